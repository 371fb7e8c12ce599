"""Cases over HTTP: events that are checked before they are kept, exhibits by digest, links to pages.

Everything but the opening is for the people that a case names, who sign each request; for everybody else there is no
such case. Format: ``docs/specs/service.md``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from whorl.cases.held_cases import HeadMovedError, HeldCase, finish_erasing
from whorl.cases.held_desk import default_expiry
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.custody import Kept, parse_chain, write_chain
from whorl.dossiers.proceeding import require_allowed
from whorl.entries.kinds import Digest, HashHex, parse_instant
from whorl.registry.database_errors import RegistryError
from whorl.registry.request_signatures import digest_of
from whorl.registry.stored_entry import raw_digest
from whorl.web.asking import buffers_of, json_body, requester_with, service_of
from whorl.web.blob_routes import BlobResponse, pieces_of, require_room
from whorl.web.case_documents import CONFLICT, CaseHead, CaseLink, LinkRequest
from whorl.web.case_people import cases_of, person_asking, refused
from whorl.web.documents import ERRORS, FORBIDDEN, NOT_FOUND, BlobDocument, instant
from whorl.web.errors import ApiError, busy, unknown
from whorl.web.reading_bodies import read_document

_BYTES: Final = "application/octet-stream"
_LINES: Final = "application/jsonl"
_KIB: Final = 1 << 10
_SIGNED: Final[dict[str, Any]] = {"security": [{"signature": []}]}
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_EVENT: Final = {**_SIGNED, **json_body("CaseEvent")}
_ANSWERS: Final = {**ERRORS, **NOT_FOUND}

CaseId = Annotated[HashHex, Path(description="id of the case")]

router = APIRouter(tags=["cases"])


@router.post(
    "/api/cases",
    status_code=201,
    response_model=CaseHead,
    responses={**ERRORS, **FORBIDDEN},
    openapi_extra=_EVENT,
)
async def open_case(request: Request) -> CaseHead:
    """Open a case by its first event, as its manager, with a key of an organisation that registered here.

    The same event again, byte for byte, is answered as the first time.
    """
    service = service_of(request)
    async with buffers_of(request).body(request) as body:
        asking = await requester_with(request, body)
        asking.require("submit")
        if asking.key_id is None or not asking.at_home:
            raise ApiError(
                403,
                "forbidden",
                "expected a request signed by a key of an organisation that registered here, found another; a token "
                "does not do. Introduce the manager's key first",
            )
        first = _event(body, sequence=0)
        _require_own(first, asking.key_id.hex())
        service.rates.take("cases", asking.who)
        require_room(service, len(body))
        with _told():
            held = await run_sync(cases_of(request).open, first, limiter=request.app.state.filing)
    service.audit.note(actor=asking.actor, action="open case", subject=f"case {held.view.id}", outcome="opened")
    return _head(held)


@router.get(
    "/api/cases/{case}/events",
    response_class=Response,
    responses={
        **_ANSWERS,
        200: {"content": {_LINES: _BINARY}, "headers": {"ETag": {"schema": {"type": "string"}}}},
    },
    openapi_extra=_SIGNED,
)
async def events(request: Request, case: CaseId) -> Response:
    """All events of a case, as the lines of `custody.jsonl`."""
    held, _ = await person_asking(request, case, body_digest=digest_of(b""))
    with buffers_of(request).room(sum(2 * len(one.envelope or b"") for one in held.view.kept)):
        data = await run_sync(write_chain, held.view.kept)
    return Response(data, media_type=_LINES, headers={"ETag": f'"{held.view.head}"'})


@router.post(
    "/api/cases/{case}/events",
    status_code=201,
    response_model=CaseHead,
    responses={**_ANSWERS, **FORBIDDEN, **CONFLICT},
    openapi_extra=_EVENT,
)
async def append_event(request: Request, case: CaseId) -> CaseHead:
    """Enter an event that follows the last one, if the rules of cases allow it.

    The same event again, byte for byte, is answered as the first time.
    """
    service = service_of(request)
    async with buffers_of(request).body(request) as body:
        _, person = await person_asking(request, case, body_digest=digest_of(body))
        service.rates.take("entries", f"key {person}")
        made = _event(body)
        _require_own(made, person)
        require_room(service, len(body))
        told = f"event {made.record.sequence} {made.record.kind}"
        try:
            with _told():
                held = await run_sync(cases_of(request).append, case, made, limiter=request.app.state.filing)
        except ApiError as problem:
            service.audit.note(
                actor=f"key {person}", action="deny", subject=f"case {case}", outcome=f"{told}: {problem.code}"
            )
            raise
    service.audit.note(actor=f"key {person}", action="enter case event", subject=f"case {case}", outcome=told)
    return _head(held)


@router.put(
    "/api/cases/{case}/exhibits/{digest}",
    status_code=201,
    response_model=BlobDocument,
    responses={
        **_ANSWERS,
        **FORBIDDEN,
        411: {**NOT_FOUND[404], "description": "The length was not stated"},
    },
    openapi_extra={**_SIGNED, "requestBody": {"required": True, "content": {_BYTES: _BINARY}}},
)
async def put_exhibit(request: Request, case: CaseId, digest: Annotated[Digest, Path()]) -> BlobDocument:
    """Keep an exhibit, for an event that is to name it."""
    service = service_of(request)
    held, person = await person_asking(request, case, body_digest=raw_digest(digest))
    _require_going_on(held, person)
    length = request.headers.get("content-length")
    if length is None:
        raise ApiError(411, "no_length", "expected the Content-Length of the exhibit, found none; state it")
    service.rates.take("blob_kib", f"case {case} key {person}", cost=-(-int(length) // _KIB))
    require_room(service, int(length))
    uploads: anyio.CapacityLimiter = request.app.state.uploads
    if uploads.available_tokens < 1:
        raise busy("too many blobs are being received; try again in a moment")

    def receive() -> int:
        new = held.desk.reserve(digest, int(length), by=held.view.state.parties[person])
        try:
            size = held.store.receive(pieces_of(request.stream()), digest=digest, max_bytes=service.limits.blob_bytes)
        except BaseException:
            if new:
                held.desk.release(digest)
            raise
        finish_erasing(cases_of(request).held(case))
        if not held.store.holds(digest):
            raise InputError(
                "expected a case in which exhibits are still filed, found one of which something was erased meanwhile; "
                "nothing more can be filed in it"
            )
        return size

    try:
        size = await run_sync(receive, limiter=uploads)
    except VerificationError as error:
        raise ApiError(422, "wrong_digest", str(error)) from None
    except RegistryError:
        raise
    except InputError as error:  # of the store's folder nobody needs to hear
        message = str(error).removeprefix(f"{held.store.path}: ")
        raise ApiError(422, "malformed", message) from None
    service.audit.note(
        actor=f"key {person}", action="keep case exhibit", subject=f"case {case} {digest}", outcome=f"{size} bytes"
    )
    return BlobDocument(digest=digest, size=size)


@router.get(
    "/api/cases/{case}/exhibits/{digest}",
    response_class=Response,
    responses={**_ANSWERS, 200: {"content": {_BYTES: _BINARY}}},
    openapi_extra=_SIGNED,
)
async def get_exhibit(request: Request, case: CaseId, digest: Annotated[Digest, Path()]) -> Response:
    """The bytes of an exhibit."""
    held, _ = await person_asking(request, case, body_digest=digest_of(b""))
    return exhibit_response(request, held, digest)


def exhibit_response(request: Request, held: HeldCase, digest: str) -> Response:
    """An exhibit as it is sent; raises `ApiError` where there is none."""
    size = held.store.size(digest)
    if size is None:
        raise unknown(f"expected an exhibit of this case, found {digest}, which is none: it was erased or lost")
    return BlobResponse(lambda: held.store.get(digest), digest=digest, size=size, buffers=buffers_of(request))


@router.post(
    "/api/cases/{case}/links",
    status_code=201,
    response_model=CaseLink,
    responses={**_ANSWERS, **FORBIDDEN},
    openapi_extra={**_SIGNED, **json_body("LinkRequest")},
)
async def make_link(request: Request, case: CaseId) -> CaseLink:
    """Make a link to the page of one person: the manager for anybody, others for themselves."""
    service = service_of(request)
    async with buffers_of(request).body(request) as body:
        held, asking = await person_asking(request, case, body_digest=digest_of(body))
        wanted = read_document(LinkRequest, body)
    _require_for(held, asking, wanted.person)
    now = service.registry.now()
    expires_at = default_expiry(now) if wanted.expires_at is None else parse_instant(wanted.expires_at)

    def issue() -> str:
        return held.desk.issue_link(wanted.person, now=now, expires_at=expires_at, random_bytes=service.random_bytes)

    text = await run_sync(issue)
    service.audit.note(
        actor=f"key {asking}",
        action="make case link",
        subject=f"case {case}",
        outcome=f"for key {wanted.person}, until {instant(expires_at)}",
    )
    return CaseLink(link=text, person=wanted.person, expires_at=instant(expires_at))


@router.delete(
    "/api/cases/{case}/links/{person}",
    status_code=204,
    responses={**_ANSWERS, **FORBIDDEN},
    openapi_extra=_SIGNED,
)
async def end_links(
    request: Request, case: CaseId, person: Annotated[HashHex, Path(description="id of their Ed25519 key")]
) -> Response:
    """End all links to the page of one person."""
    held, asking = await person_asking(request, case, body_digest=digest_of(b""))
    _require_for(held, asking, person)
    ended = await run_sync(held.desk.end_links, person)
    service_of(request).audit.note(
        actor=f"key {asking}", action="end case links", subject=f"case {case}", outcome=f"{ended} for key {person}"
    )
    return Response(status_code=204)


def _event(body: bytes, *, sequence: int | None = None) -> Kept:
    """The one event that a body is."""
    try:
        (made,) = parse_chain(body + b"\n")
    except ValueError:
        raise ApiError(422, "malformed", "expected one event, found several lines") from None
    if made.envelope is None or made.salt is None:
        raise ApiError(422, "malformed", "expected an event with envelope and salt, found one without")
    if sequence is not None and made.record.sequence != sequence:
        raise ApiError(422, "malformed", "expected the first event of a case, found another")
    return made


def _require_own(made: Kept, person: str) -> None:
    if made.record.actor != person:
        raise ApiError(403, "forbidden", "expected an event handed in by whoever signed it, found one of somebody else")


def _require_going_on(held: HeldCase, person: str) -> None:
    """An exhibit is for an event that can still come: of those that name one, this person may enter some now."""
    for kind in ("frozen", "acquired", "analysed", "replicated", "opined"):
        try:
            require_allowed(held.view.state, kind, person)
        except VerificationError:
            continue
        return
    raise ApiError(
        403,
        "forbidden",
        f"expected somebody who may file an exhibit now, in the stage {held.view.state.stage}, found another",
    )


def _require_for(held: HeldCase, asking: str, person: str) -> None:
    parties = held.view.state.parties
    if person not in parties:
        raise ApiError(422, "malformed", "expected a person of this case, found another; `whorl case show` lists them")
    if asking not in (person, held.view.state.manager):
        raise ApiError(403, "forbidden", "expected the manager, or a link for oneself, found a link for somebody else")


@contextmanager
def _told() -> Iterator[None]:
    """What speaks against an event is for whoever made it; no fault of the service's."""
    try:
        yield
    except HeadMovedError as moved:
        raise ApiError(409, "head_moved", str(moved), headers={"ETag": f'"{moved.head}"'}) from None
    except VerificationError as problem:
        raise refused(problem) from None
    except RegistryError:
        raise
    except InputError as problem:
        raise ApiError(422, "malformed", str(problem)) from None


def _head(held: HeldCase) -> CaseHead:
    view = held.view
    return CaseHead(case=view.id, head=view.head, events=len(view.kept))
