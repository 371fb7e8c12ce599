"""From a request to who asks and what is asked: what routes have in common."""

import re
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import Request

from whorl.registry.local import LocalRegistry
from whorl.registry.request_signatures import digest_of
from whorl.web.guard import Buffers, address_of
from whorl.web.requesters import NO_BODY, Doorkeeper, Requester
from whorl.web.service import Service

ANYBODY: Final[dict[str, Any]] = {"security": [{"token": []}, {"signature": []}, {}]}
"""OpenAPI's words for a route that anybody may use, and that shows more to some."""
IDENTIFIED: Final[dict[str, Any]] = {"security": [{"token": []}, {"signature": []}]}
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


def service_of(request: Request) -> Service:
    """The service that answers."""
    service: Service = request.app.state.service
    return service


def registry_of(request: Request) -> LocalRegistry:
    """The registry behind it."""
    return service_of(request).registry


def buffers_of(request: Request) -> Buffers:
    """Where bodies are counted."""
    buffers: Buffers = request.app.state.buffers
    return buffers


def requester_of(request: Request, *, body_digest: bytes = NO_BODY) -> Requester:
    """Who asks; reads the database, so not for the event loop."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper.requester(request, body_digest=body_digest)


async def requester_with(request: Request, body: bytes) -> Requester:
    """Who sent a body; somebody unknown is so without any look into the database."""
    headers = request.headers
    if "authorization" not in headers and "signature-input" not in headers:
        address = address_of(request.scope)
        return Requester(who=address, actor=address)
    return await run_sync(lambda: requester_of(request, body_digest=digest_of(body)))


def json_body(model: str, *, also: dict[str, Any] | None = None) -> dict[str, Any]:
    """OpenAPI's description of a JSON body that a route reads itself.

    Parameters
    ----------
    model : its name among the components
    also : contents of other types that do as well
    """
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}
    return {"requestBody": {"required": True, "content": {**content, **(also or {})}}}


def base_of(request: Request) -> str:
    """The address of this service as the browser names it, if it is one that can stand in a command."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}" if _HOST.fullmatch(host) else "https://REGISTRY"
