"""Blobs: what entries point to by digest. Handed in before the entry, by somebody who is known."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Annotated, Final

import anyio.from_thread
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from whorl.core.errors import VerificationError
from whorl.entries.kinds import Digest
from whorl.registry.blobs import Blob
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import entries_with_digest
from whorl.registry.local import LocalRegistry
from whorl.registry.reading import Reader, has_sealed, withheld
from whorl.registry.stored_entry import raw_digest
from whorl.web.asking import ANYBODY, IDENTIFIED, buffers_of, registry_of, requester_of, service_of
from whorl.web.documents import ERRORS, FORBIDDEN, NOT_FOUND, BlobDocument
from whorl.web.errors import LOG, ApiError, busy, unknown
from whorl.web.guard import Buffers
from whorl.web.service import Service

_BYTES: Final = "application/octet-stream"
_PIECE: Final = 1 << 16
_KIB: Final = 1 << 10
_REFERRING: Final = 1000

router = APIRouter(tags=["blobs"])


@router.put(
    "/api/blobs/{digest}",
    status_code=201,
    response_model=BlobDocument,
    responses={**ERRORS, **FORBIDDEN, 411: {**NOT_FOUND[404], "description": "The length was not stated"}},
    openapi_extra={
        **IDENTIFIED,
        "requestBody": {
            "required": True,
            "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
async def put_blob(request: Request, digest: Annotated[Digest, Path()]) -> BlobDocument:
    """Store a blob, for an entry that is to refer to it within a day; after that it is removed.

    Needs a token with the scope `submit`, or a request signed by a key of an organisation that registered here.
    """
    service = service_of(request)
    asking = await run_sync(lambda: requester_of(request, body_digest=raw_digest(digest)))
    asking.require("submit")
    if asking.organisation is not None and not asking.at_home:
        raise ApiError(403, "forbidden", "expected an organisation that registered here; hand blobs in at its home")
    length = request.headers.get("content-length")
    if length is None:
        raise ApiError(411, "no_length", "expected the Content-Length of the blob, found none; state it")
    service.rates.take("blob_kib", asking.who, cost=-(-int(length) // _KIB))
    require_room(service, int(length))
    uploads: anyio.CapacityLimiter = request.app.state.uploads
    if uploads.available_tokens < 1:
        raise busy("too many blobs are being received; try again in a moment")
    try:
        blob = await run_sync(_store, service, request.stream(), digest, limiter=uploads)
    except VerificationError as error:
        raise ApiError(422, "wrong_digest", str(error)) from None
    service.audit.note(actor=asking.actor, action="store blob", subject=digest, outcome=f"{blob.size} bytes")
    return BlobDocument(digest=blob.digest, size=blob.size)


@router.get(
    "/api/blobs/{digest}",
    response_class=Response,
    responses={
        **ERRORS,
        **NOT_FOUND,
        200: {"content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}},
    },
    openapi_extra=ANYBODY,
)
def get_blob(request: Request, digest: Annotated[Digest, Path()]) -> Response:
    """The bytes of a blob, if an entry refers to it that whoever asks may see."""
    registry = registry_of(request)
    name = digest.removeprefix("sha256:")
    file = registry.blobs.path / name[:2] / name[2:]
    if not _may_read(registry, digest, requester_of(request).reader) or not file.is_file():
        raise unknown(f"expected a blob that an entry you may see refers to, found {digest}, which is none")
    return BlobResponse(
        lambda: registry.blob(digest), digest=digest, size=file.stat().st_size, buffers=buffers_of(request)
    )


class BlobResponse(Response):
    """Reads a blob when it is to be sent, and sends it in pieces, as fast as the client takes them."""

    def __init__(self, read: Callable[[], bytes], *, digest: str, size: int, buffers: Buffers) -> None:
        super().__init__(media_type=_BYTES)
        self._read = read
        self._digest = digest
        self._size = size
        self._buffers = buffers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        with self._buffers.room(self._size):
            data = await run_sync(self._read)
            name = f"{self._digest.replace(':', '-')}.bin"
            headers = {
                "content-type": _BYTES,
                "content-length": str(len(data)),
                "content-disposition": f'attachment; filename="{name}"',
            }
            raw = [(key.encode(), value.encode()) for key, value in headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            for first in range(0, len(data), _PIECE):
                await send({"type": "http.response.body", "body": data[first : first + _PIECE], "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _store(service: Service, stream: AsyncIterator[bytes], digest: str) -> Blob:
    return service.registry.blobs.put(pieces_of(stream), max_bytes=service.limits.blob_bytes, expected=digest)


def pieces_of(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """In a thread: the pieces of a body, from the event loop as they come."""

    async def piece() -> bytes | None:
        return await anext(stream, None)

    while (found := anyio.from_thread.run(piece)) is not None:
        yield found


def require_room(service: Service, length: int) -> None:
    """Raise `ApiError` where the disk has no room for so many bytes more."""
    path = service.registry.blobs.path
    free = shutil.disk_usage(path if path.exists() else path.parent).free
    if free - length < service.limits.free_bytes:
        LOG.error("%s: only %d bytes are free; blobs are refused", path, free)
        raise busy("the registry has no room for further blobs at present; its operator has been told")


def _may_read(registry: LocalRegistry, digest: str, reader: Reader) -> bool:
    with registry.database.reading() as connection:
        view = DatabaseView(connection)
        found = islice(entries_with_digest(connection, digest, role="blob"), _REFERRING)
        return any(
            has_sealed(stored, reader, view) or withheld(facts_of(stored), reader, view, at=registry.now()) is None
            for stored in found
        )
