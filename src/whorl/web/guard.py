"""What every request passes: bounded bodies, one shape of errors, headers that keep browsers from guessing, figures."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whorl.log.witness_requests import MAX_REQUEST_BYTES
from whorl.web.errors import ApiError, api_error, busy, error_response
from whorl.web.limits import Limits, who_at
from whorl.web.service import Service

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Of every answer that does not say otherwise itself."""


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        exchange = _Exchange(scope, receive, send, self._service.limits)
        try:
            exchange.check_stated_length()
            if scope["method"] == "GET" and scope["path"].startswith("/api/"):
                self._service.rates.take("reads", address_of(scope))
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as error:
            if exchange.status is not None:
                raise
            await error_response(api_error(error))(scope, receive, exchange.send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._service.metrics.requests.labels(route, exchange.status or 0).inc()
            self._service.metrics.seconds.labels(route).observe(time.monotonic() - began)


class Buffers:
    """Counts the bytes of bodies that are in memory, so that many large ones do not fill it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body of a request, counted until the request is answered.

        Raises
        ------
        ApiError
            If it is too long or too slow, or there is no room for it now.
        """
        pieces: list[bytes] = []
        held = 0
        try:
            async for piece in request.stream():
                self._take(len(piece))
                held += len(piece)
                pieces.append(piece)
            yield b"".join(pieces)
        finally:
            self._held -= held

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Room for so many bytes of an answer; raises `ApiError` if there is none now."""
        self._take(size)
        try:
            yield
        finally:
            self._held -= size

    def _take(self, size: int) -> None:
        if self._held + size > self._most:
            raise busy("too much is being sent and received; try again in a moment")
        self._held += size


def address_of(scope: Scope) -> str:
    """Who somebody unknown is counted as."""
    client = scope.get("client")
    return who_at(client[0] if client else None)


class _Exchange:
    """One request and its answer, on the way in and out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self.status: int | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._most = _most_bytes(scope["path"], limits)
        self._received = 0

    def check_stated_length(self) -> None:
        """Refuse a body that says itself that it is too long, before any of it is read."""
        for name, value in self._scope["headers"]:
            if name == b"content-length" and int(value) > self._most:
                raise self._too_large()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._most:
                raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            stated = {name for name, _ in headers}
            headers += [header for header in HEADERS if header[0] not in stated]
            message = {**message, "headers": headers}
        await self._send(message)

    def _too_large(self) -> ApiError:
        return ApiError(
            413, "too_large", f"expected a body of at most {self._most} bytes, found a larger one", headers=_CLOSE
        )


_CASE_EXHIBIT: Final = re.compile(r"/api/cases/[0-9a-f]{64}/exhibits/")
_CLOSE: Final = {"Connection": "close"}  # what is left of the body is not worth reading


def _most_bytes(path: str, limits: Limits) -> int:
    if path == "/api/entries":
        return limits.entries_bytes
    if path.startswith("/api/blobs/") or _CASE_EXHIBIT.match(path):
        return limits.blob_bytes
    if path == "/api/cases" or (path.startswith("/api/cases/") and path.endswith("/events")):
        return limits.case_event_bytes
    if path in ("/api/search", "/search"):
        return limits.search_bytes
    if path.startswith("/witness/"):
        return MAX_REQUEST_BYTES
    return limits.small_bytes
