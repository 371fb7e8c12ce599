"""One bounded HTTP exchange: what goes out, what comes back, and nothing a server says makes us do anything else.

The transport of httpx2 is used without its client: no redirect is followed, no cookie kept, no proxy or password taken
from the environment or ``.netrc``. What is called is the address that was given. ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``
are honoured: they decide who is believed, not who is called.
"""

import asyncio
import logging
import zlib
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import httpx2

from whorl.endpoints.clock import Clock
from whorl.endpoints.keys import Redaction
from whorl.endpoints.limits import Limits
from whorl.endpoints.quoting import excerpt, shown
from whorl.endpoints.retrying import Failure

Headers: TypeAlias = list[tuple[str, str]]

_ALWAYS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "whorl"}
_PLAIN: Final = ("", "identity")
_ENCODINGS: Final = (*_PLAIN, "gzip", "x-gzip", "deflate")
_KEPT: Final = ("age", "content-type", "date", "retry-after", "server", "via")
_KEPT_PARTS: Final = ("cache", "model", "provider", "ratelimit", "rate-limit", "request-id", "requestid", "cf-ray")
_NEVER_KEPT: Final = ("cookie", "authoriz", "authenticat", "api-key", "apikey")
_MOST_KEPT: Final = 64
_LONGEST_NAME: Final = 80
_LONGEST_HEADER: Final = 300
_AUTOMATIC: Final = 47  # zlib's window bits for "gzip or zlib, whichever it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back, with every secret removed.

    Parameters
    ----------
    headers : those worth keeping, names in lower case, in the server's order
    body : decompressed
    started : when the request was sent, RFC 3339 UTC
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    started: str
    seconds: float

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        return next((value for kept, value in self.headers if kept == name), None)


class Http:
    """Speaks HTTP within limits. Safe to use concurrently from one event loop."""

    def __init__(
        self,
        *,
        limits: Limits,
        redaction: Redaction,
        clock: Clock,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        # It logs response headers at DEBUG, and a server may have put our key there.
        logging.getLogger("httpcore2.http11").setLevel(logging.INFO)
        self._limits = limits
        self.redaction = redaction
        self._clock = clock
        self._transport = transport or httpx2.AsyncHTTPTransport(
            # How many exchanges run at once is the caller's decision; waiting here would use up their time.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=limits.connections)
        )

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> Response | Failure:
        """One exchange, over after ``seconds`` at the latest."""
        request = httpx2.Request(
            method,
            url,
            headers={**_ALWAYS, "Connection": _connection(url), **headers},
            content=body,
            extensions={"timeout": {"connect": self._limits.connect_seconds}},
        )
        response: httpx2.Response | None = None
        started, began = self._clock.now(), self._clock.monotonic()
        try:
            async with asyncio.timeout(seconds):
                response = await self._transport.handle_async_request(request)
                told = self._cleaned(response.headers.raw)
                content = await self._read(response, told)
        except TimeoutError:
            return _too_slow(seconds, response)
        except httpx2.TransportError as error:
            return self._broken_off(error)
        if isinstance(content, Failure):
            return content
        return Response(
            status=response.status_code,
            headers=tuple(header for header in told if _worth_keeping(header[0]))[:_MOST_KEPT],
            body=content,
            started=started.isoformat().replace("+00:00", "Z"),
            seconds=max(0.0, self._clock.monotonic() - began),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _read(self, response: httpx2.Response, headers: Headers) -> bytes | Failure:
        try:
            if 300 <= response.status_code < 400:
                return _redirected(response, headers)
            encoding = ", ".join(value.strip().lower() for name, value in headers if name == "content-encoding")
            if encoding not in _ENCODINGS:
                return _unreadable(f"expected a body in plain or gzip, found encoding '{encoding}'", response)
            body = _Body(compressed=encoding not in _PLAIN, most=self._limits.body_bytes)
            try:
                async with aclosing(response.aiter_raw()) as chunks:
                    async for chunk in chunks:
                        body.add(chunk)
                return self.redaction.body(body.whole())
            except _UnreadableError as error:
                return _unreadable(f"{error}; it begins {excerpt(self.redaction.body(bytes(body.read)))}", response)
        finally:
            await response.aclose()

    def _cleaned(self, raw: list[tuple[bytes, bytes]]) -> Headers:
        """Every header without secrets, printable and short; the secrets are removed first, lest a cut leaves half."""
        return [
            (
                shown(self.redaction.text(name.decode("latin-1")), limit=_LONGEST_NAME).lower(),
                shown(self.redaction.text(value.decode("latin-1")), limit=_LONGEST_HEADER),
            )
            for name, value in raw
        ]

    def _broken_off(self, error: httpx2.TransportError) -> Failure:
        told = f"{type(error).__name__}: {shown(self.redaction.text(str(error)))}"
        match error:
            case httpx2.ConnectError():
                return Failure(trouble="refused_connection", detail=f"no connection ({told})", again=True)
            case httpx2.TimeoutException():
                return Failure(trouble="timed_out", detail=f"no connection in time ({told})", again=True)
            case httpx2.NetworkError() | httpx2.RemoteProtocolError():
                return Failure(trouble="malformed", detail=f"the answer broke off ({told})", again=True)
            case _:
                return Failure(trouble="malformed", detail=f"no HTTP exchange ({told})", again=False)


def _connection(url: str) -> str:
    # A server with a thread for each connection (llama.cpp's) lets others wait while a thread's connection is kept
    # open and idle. Such servers speak plain HTTP; with TLS, opening a connection each time would be dear.
    return "keep-alive" if url.startswith("https://") else "close"


class _UnreadableError(Exception):
    """A body that is not read to its end."""


class _Body:
    """Collects a body up to a size, undoing compression on the way, so that no chunk can grow beyond the size."""

    def __init__(self, *, compressed: bool, most: int) -> None:
        self._decompressor = zlib.decompressobj(_AUTOMATIC) if compressed else None
        self._received = 0
        self._most = most
        self.read = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes off the wire."""
        self._received += len(chunk)
        try:
            self.read += self._plain(chunk)
        except zlib.error as error:
            raise _UnreadableError(f"expected a body compressed with gzip, found other bytes ({error})") from None
        if len(self.read) > self._most or self._received > self._most:
            raise _UnreadableError(f"expected an answer of at most {self._most} bytes, found a longer one")

    def whole(self) -> bytes:
        """The body, if it was complete."""
        if self._decompressor is not None and self._received:
            if not self._decompressor.eof:
                raise _UnreadableError("expected a whole compressed body, found one cut short")
            if self._decompressor.unused_data:
                raise _UnreadableError("expected one compressed body, found more bytes after it")
        return bytes(self.read)

    def _plain(self, chunk: bytes) -> bytes:
        if self._decompressor is None:
            return chunk
        return self._decompressor.decompress(chunk, self._most - len(self.read) + 1)


def _worth_keeping(name: str) -> bool:
    if any(part in name for part in _NEVER_KEPT):
        return False
    return name in _KEPT or any(part in name for part in _KEPT_PARTS)


def _redirected(response: httpx2.Response, headers: Headers) -> Failure:
    location = next((value for name, value in headers if name == "location"), "")
    target = _without_secrets(location) or "nowhere"
    return Failure(
        trouble="redirected",
        detail=f"expected an answer, found a redirect to {target}, not followed; give the address that answers",
        status=response.status_code,
        again=False,
    )


def _too_slow(seconds: float, response: httpx2.Response | None) -> Failure:
    if response is None:
        return Failure(trouble="timed_out", detail=f"no answer within {seconds:.0f} s", again=True)
    return _unreadable(
        f"expected an answer that ends, found one still coming after {seconds:.0f} s; raise the limit if it is slow",
        response,
    )


def _unreadable(detail: str, response: httpx2.Response) -> Failure:
    return Failure(trouble="malformed", detail=detail, status=response.status_code, again=False)


def _without_secrets(url: str) -> str:
    """A URL for people: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
        host = f"//{parts.hostname}" if parts.hostname else ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    return f"{scheme}{host}{port}{parts.path}"
