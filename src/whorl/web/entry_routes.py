"""Entries: handing them in, and reading them one by one or, for mirrors, in a row."""

import asyncio
import base64
import binascii
import json
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from whorl.core.errors import InputError
from whorl.entries.kinds import EntryId
from whorl.entries.leaf import parse_entry_id
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import entries_of_log, find_entry
from whorl.registry.local import LocalRegistry
from whorl.registry.reading import has_sealed, withheld
from whorl.registry.sequencer import Entered, Submission
from whorl.registry.stored_entry import StoredEntry
from whorl.web.asking import ANYBODY, buffers_of, json_body, registry_of, requester_of, requester_with, service_of
from whorl.web.documents import (
    ERRORS,
    FORBIDDEN,
    NOT_FOUND,
    ContentsDocument,
    EntriesRequest,
    EntriesResult,
    EntryDocument,
    StoredContent,
)
from whorl.web.entry_pages import entry_document
from whorl.web.errors import ApiError, outcome_document, unavailable, unknown
from whorl.web.reading_bodies import read_document

CONTENTS: Final = 256
_PARSED_HERE: Final = 1 << 17  # larger bodies are parsed in a thread, while others are served

ENTRIES: Final = "/api/entries"

router = APIRouter(tags=["entries"])


@router.post(
    ENTRIES,
    status_code=201,
    response_model=EntriesResult,
    responses={
        **ERRORS,
        **FORBIDDEN,
        207: {"model": EntriesResult, "description": "Some entries were refused; each result says why"},
    },
    openapi_extra={**ANYBODY, **json_body("EntriesRequest")},
)
async def hand_in(request: Request) -> Response:
    """Enter signed entries: the answer comes when a published tree head has them.

    201: all are in the log. 207: some are not; each result says why. The same entry again, byte for byte, gives the
    same answer: whoever lost an answer sends the request again.
    """
    service = service_of(request)
    async with buffers_of(request).body(request) as body:
        submissions = _submissions(body) if len(body) < _PARSED_HERE else await run_sync(_submissions, body)
        if len(submissions) > service.limits.entries_per_request:
            raise ApiError(422, "malformed", f"expected at most {service.limits.entries_per_request} entries at once")
        asking = await requester_with(request, body)
        if request.app.state.needs_token:
            asking.require("submit")
        if asking.organisation is None:
            service.rates.take("entries", asking.who, cost=len(submissions))
        outcomes = await asyncio.wrap_future(service.enter(submissions, actor=asking.actor))
    all_in = all(isinstance(outcome, Entered) for outcome in outcomes)
    answer = json.dumps({"results": [outcome_document(outcome) for outcome in outcomes]}).encode()
    return Response(answer, 201 if all_in else 207, media_type="application/json")


class HandIn:
    """`hand_in` as an ASGI application of its own: the one route that must be fast passes by the framework."""

    path = ENTRIES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self  # for the metrics, as the framework does
        answer = await hand_in(Request(scope, receive, send))
        await answer(scope, receive, send)


@router.get(
    "/api/entries/{entry_id}",
    response_model=EntryDocument,
    responses={**ERRORS, **NOT_FOUND},
    openapi_extra=ANYBODY,
)
def entry(request: Request, entry_id: Annotated[EntryId, Path()]) -> EntryDocument:
    """An entry, its standing now, notices about it, and what it says if whoever asks may see it."""
    reader = requester_of(request).reader
    registry = registry_of(request)
    with registry.database.reading() as connection:
        found = find_entry(connection, parse_entry_id(entry_id))
        if found is None:
            raise unknown(f"expected an entry of this registry, found {entry_id}, which is none; check the id")
        return entry_document(connection, found, reader, at=registry.now())


@router.get(
    "/api/entries/{entry_id}/receipt",
    response_class=Response,
    responses={
        **ERRORS,
        **NOT_FOUND,
        200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "whorl.receipt/1"},
    },
    openapi_extra=ANYBODY,
)
def receipt(request: Request, entry_id: Annotated[EntryId, Path()]) -> Response:
    """The receipt, with which anybody checks the entry offline: see ``docs/specs/receipt.md``."""
    reader = requester_of(request).reader
    registry = registry_of(request)
    digest = parse_entry_id(entry_id)
    with registry.database.reading() as connection:
        found = find_entry(connection, digest)
        if found is None or found.fault is not None:
            raise unknown(f"expected an entry that counts, found {entry_id}, which is none; check the id")
        if found.origin != registry.origin:
            raise unknown(f"expected an entry of {registry.origin}, found one of {found.origin}; ask its bureau for it")
        view = DatabaseView(connection)
        shown = has_sealed(found, reader, view) or withheld(facts_of(found), reader, view, at=registry.now()) is None
    return Response(_receipt(registry, found, with_content=shown), media_type="application/json")


@router.get("/api/contents", response_model=ContentsDocument, responses=ERRORS, openapi_extra=ANYBODY)
def contents(
    request: Request,
    start: Annotated[int, Query(ge=0, le=2**53, description="index of the first entry")],
    stop: Annotated[int, Query(ge=0, le=2**53, description="index after the last; at most 256 entries")],
) -> ContentsDocument:
    """Envelopes and salts of consecutive entries of this registry's log, for mirrors."""
    reader = requester_of(request).reader
    registry = registry_of(request)
    if not start <= stop <= start + CONTENTS:
        raise ApiError(422, "malformed", f"expected start and stop with at most {CONTENTS} entries between them")
    found: list[StoredContent | None] = []
    with registry.database.reading() as connection:
        view = DatabaseView(connection)
        for stored in entries_of_log(connection, registry.origin, start=start, stop=stop):
            hidden = withheld(facts_of(stored), reader, view, at=registry.now())
            if hidden is not None or stored.envelope is None or stored.salt is None:
                found.append(None)
            else:
                envelope = base64.b64encode(stored.envelope).decode()
                found.append(StoredContent(envelope=envelope, salt=stored.salt.hex()))
    return ContentsDocument(start=start, contents=tuple(found))


def _receipt(registry: LocalRegistry, found: StoredEntry, *, with_content: bool) -> bytes:
    """The receipt of an entry; from a tree that may grow meanwhile, whose partial tiles full ones replace."""
    for is_last in (False, True):
        try:
            return registry.receipt(found.hash, with_content=with_content)
        except InputError as error:
            published = registry.log.published()
            if published is None or found.index >= published.size:
                raise unknown("expected an entry under a published tree head, found one that waits for it") from None
            if is_last:
                raise unavailable(error) from error
    raise AssertionError("one of two tries ends it")


def _submissions(body: bytes) -> list[Submission]:
    submissions = []
    for place, one in enumerate(read_document(EntriesRequest, body).entries):
        try:
            envelope = base64.b64decode(one.envelope, validate=True)
        except binascii.Error as error:
            raise ApiError(422, "malformed", f"entry {place}: expected base64, found fault with it: {error}") from None
        submissions.append(Submission(envelope=envelope, salt=bytes.fromhex(one.salt), sealed=one.sealed))
    return submissions
