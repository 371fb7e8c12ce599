"""The witness of this bureau, for the logs of others (C2SP tlog-witness)."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from whorl.log.witnessing import Reply
from whorl.web.asking import buffers_of, registry_of, service_of
from whorl.web.documents import ERRORS
from whorl.web.errors import unknown
from whorl.web.guard import address_of

_TEXT: Final = {"text/plain; charset=utf-8": {"schema": {"type": "string"}}}
_REPLIES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": _TEXT, "description": "Cosignature lines"},
    400: {"content": _TEXT, "description": "No request of the protocol"},
    403: {"content": _TEXT, "description": "Not signed by a known key of the log"},
    404: {"content": _TEXT, "description": "A log that is not witnessed here"},
    409: {
        "content": {"text/x.tlog.size": {"schema": {"type": "string"}}},
        "description": "Another size was cosigned last: this one",
    },
    422: {"content": _TEXT, "description": "It did not grow out of what was cosigned last"},
}

router = APIRouter(tags=["witness"])


@router.post(
    "/witness/add-checkpoint",
    response_class=Response,
    responses={**{status: answer for status, answer in ERRORS.items() if status != 422}, **_REPLIES},
    openapi_extra={"requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def add_checkpoint(request: Request) -> Response:
    """Cosign a tree head of a log that is witnessed here, if it grew out of the one that was cosigned last."""
    service_of(request).rates.take("witness", address_of(request.scope))
    async with buffers_of(request).body(request) as body:
        witness = _witness(request)
        at = int(registry_of(request).now().timestamp())
        limiter = request.app.state.cosigning
        return _answer(await run_sync(lambda: witness.add_checkpoint(body, at=at), limiter=limiter))


@router.get(
    "/witness/{origin_hash}/checkpoint",
    response_class=Response,
    responses={**ERRORS, 200: _REPLIES[200], 404: _REPLIES[404]},
)
def latest(
    request: Request,
    origin_hash: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the log's origin, in hex")],
) -> Response:
    """The tree head of a log that was cosigned last, for monitors."""
    return _answer(_witness(request).latest(origin_hash))


class AnsweringWitness(Protocol):
    """A witness: `whorl.log.witnessing.Witness`, or one that mirrors what it cosigns."""

    def add_checkpoint(self, body: bytes, *, at: int) -> Reply:
        """Answer an ``add-checkpoint`` request at a time in POSIX seconds."""

    def latest(self, hashed_origin: str) -> Reply:
        """The tree head of a log that was cosigned last."""


class Witnesses:
    """Several witnesses under one address; the first that knows a log answers."""

    def __init__(self, *witnesses: AnsweringWitness) -> None:
        self._witnesses = witnesses

    def add_checkpoint(self, body: bytes, *, at: int) -> Reply:
        """See `AnsweringWitness`."""
        return self._first(lambda witness: witness.add_checkpoint(body, at=at))

    def latest(self, hashed_origin: str) -> Reply:
        """See `AnsweringWitness`."""
        return self._first(lambda witness: witness.latest(hashed_origin))

    def _first(self, ask: Callable[[AnsweringWitness], Reply]) -> Reply:
        reply = Reply(status=404, body=b"this registry witnesses no other logs\n")
        for witness in self._witnesses:
            reply = ask(witness)
            if reply.status != 404:
                break
        return reply


def _witness(request: Request) -> AnsweringWitness:
    witness: AnsweringWitness | None = request.app.state.witness
    if witness is None:
        raise unknown("this registry witnesses no other logs")
    return witness


def _answer(reply: Reply) -> Response:
    # As a header, for the framework adds a character set to what it is told as a type.
    return Response(
        reply.body, 503 if reply.status == 500 else reply.status, headers={"Content-Type": reply.content_type}
    )
