"""What went wrong, as a page for people: programs get the same as JSON.

Errors have one shape (`whorl.web.errors`). Around the whole application this turns it into a page for a browser that
asked for one, whatever stage the request came to.
"""

import json
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whorl.web.page_engine import HEADERS, rendered

_FOR_PROGRAMS: Final = ("/api/", "/log/", "/witness/", "/metrics", "/healthz", "/static/")
_MOST: Final = 1 << 16
_HEADINGS: Final = {
    400: "That request makes no sense here",
    404: "There is no such page",
    408: "That took too long",
    413: "That is too large",
    422: "That request makes no sense here",
    429: "Too many requests",
    503: "The registry cannot answer now",
}
_FALLBACK: Final = "Something went wrong"
_WORDS: Final = {
    "Not Found": "expected the address of a page, found another one; look for what you need with the search",
    "Method Not Allowed": "expected another kind of request at this address; begin with the search",
}


class ErrorPages:
    """ASGI middleware, outside of all others.

    Parameters
    ----------
    origin : of the registry's log, which stands on every page
    """

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _wants_page(scope):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(send, self._origin).send)


class _Answer:
    """Holds an error's JSON back until it is whole, and sends a page in its place."""

    def __init__(self, send: Send, origin: str) -> None:
        self._send = send
        self._origin = origin
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_error(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")[: _MOST - len(self._body)]
            if not message.get("more_body", False):
                await self._send_page(self._start)

    async def _send_page(self, start: Message) -> None:
        status: int = start["status"]
        headers = MutableHeaders(raw=list(start["headers"]))
        page = rendered(
            "error.html",
            origin=self._origin,
            status=status,
            heading=_HEADINGS.get(status, _FALLBACK),
            message=_message(self._body),
            retry_after=headers.get("retry-after"),
        ).encode()
        headers.update(HEADERS)
        headers["content-type"] = "text/html; charset=utf-8"
        headers["content-length"] = str(len(page))
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": page})


def _wants_page(scope: Scope) -> bool:
    return "text/html" in Headers(scope=scope).get("accept", "") and not scope["path"].startswith(_FOR_PROGRAMS)


def _is_error(start: Message) -> bool:
    return start["status"] >= 400 and Headers(raw=start["headers"]).get("content-type") == "application/json"


def _message(body: bytes) -> str:
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return _FALLBACK
    return _WORDS.get(message, message)
