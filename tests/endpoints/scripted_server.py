"""A server on a real socket that answers exactly what a test wants, byte for byte, and a clock that a test winds."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from whorl.endpoints.exchange import Message, Question
from whorl.endpoints.limits import Limits
from whorl.endpoints.opening import open_endpoint

KEY = 'sk-Meridian-0123456789/aBc+"x'


@dataclass
class Received:
    """One request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body, which a test expects to be JSON."""
        document: dict[str, Any] = json.loads(self.body)
        return document


Answering = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """Where the server is and what it was asked."""

    url: str
    received: list[Received] = field(default_factory=list)


@asynccontextmanager
async def scripted(answering: "Answering | bytes | list[bytes]") -> AsyncIterator[Scripted]:
    """Serve on a free port of 127.0.0.1: by a function, always the same bytes, or a list of them in turn."""
    server = Scripted(url="")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                server.received.append(request)
                if isinstance(answering, bytes):
                    writer.write(answering)
                elif isinstance(answering, list):
                    writer.write(answering[min(len(server.received), len(answering)) - 1])
                else:
                    await answering(request, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    line, *fields = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (entry.partition(": ") for entry in fields)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(line=line, headers=headers, body=body)


def http(
    body: "bytes | dict[str, Any]",
    *,
    status: int = 200,
    headers: tuple[str, ...] = (),
    kind: str | None = "application/json",
) -> bytes:
    """A whole response."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}", *headers]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def chat(text: str = "Hello.", **members: Any) -> dict[str, Any]:
    """The body of an ordinary chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    counts = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return {"id": "chatcmpl-1", "model": "northwind-1", "choices": [choice], "usage": counts} | members


class WoundClock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC) + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._passed += seconds
        await asyncio.sleep(0)


QUESTION = Question(messages=(Message(role="user", text="Good morning?"),), max_tokens=8, temperature=0.0)


def quick(**changes: Any) -> Limits:
    """Limits under which a test of a hanging server takes a fraction of a second."""
    return Limits(**({"exchange_seconds": 0.5, "body_bytes": 100_000} | changes))


async def opened(server: Scripted, **settings: Any) -> Any:
    """An endpoint at the server, on a clock that does not make the test wait."""
    defaults = {"model": "northwind-1", "limits": quick(), "rng": random.Random(0), "clock": WoundClock()}
    return await open_endpoint(server.url, **(defaults | settings))
