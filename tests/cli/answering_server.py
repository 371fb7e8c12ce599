"""A chat server on a real socket, in a thread of its own: it can be slow, refuse or vanish, and keeps every request."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MODEL = "northwind-7b"


class AnsweringServer:
    """Answers chat completions.

    Parameters
    ----------
    refuse : for the number of a request (from 0) and its body, a status and headers to refuse it with, or None
    """

    def __init__(
        self,
        *,
        seconds: float = 0.0,
        refuse: Callable[[int, dict[str, Any]], tuple[int, tuple[str, ...]] | None] = lambda _number, _body: None,
        port: int = 0,
    ) -> None:
        self.seconds = seconds
        self.refuse = refuse
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.answered = 0
        self.changed = threading.Condition()
        self.url = ""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies if body]

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        """Vanish: close the port and break off what is under way."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    def wait_for_answers(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.answered >= count, timeout=60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._ready.set()
        await self._stopping.wait()
        server.close()
        await asyncio.sleep(0)  # what was accepted already begins, so that it can be broken off
        while self._connections:
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lengths = [line for line in head.split("\r\n") if line.lower().startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].split(":")[1])) if lengths else b""
                writer.write(await self._answer(head, body))
                await writer.drain()
                with self.changed:
                    self.answered += 1
                    self.changed.notify_all()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, head: str, body: bytes) -> bytes:
        number = len(self.bodies)
        self.bodies.append(body)
        self.heads.append(head)
        if head.startswith("GET"):
            return _http({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        await asyncio.sleep(self.seconds)
        document = json.loads(body)
        if (refused := self.refuse(number, document)) is not None:
            return _http({"error": {"message": "scripted"}}, status=refused[0], headers=refused[1])
        message = {"role": "assistant", "content": f"answer number {number}"}
        return _http(
            {
                "id": f"chatcmpl-{number}",
                "model": document["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 40, "completion_tokens": 1},
            }
        )


def _http(body: dict[str, Any], *, status: int = 200, headers: tuple[str, ...] = ()) -> bytes:
    content = json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Length: {len(content)}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


@contextmanager
def answering(**script: Any) -> Iterator[AnsweringServer]:
    server = AnsweringServer(**script)
    server.start()
    try:
        yield server
    finally:
        server.stop()
