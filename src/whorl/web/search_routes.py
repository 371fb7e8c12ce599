"""Looking for entries: by words of a name, by a digest, and by a fingerprint."""

import base64
import binascii
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Final, get_args

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Connection

from whorl.entries.kinds import Digest, Kind
from whorl.registry.database_errors import RegistryError
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.derived_rows import Role
from whorl.registry.entry_rows import entries_with_digest, latest_entries
from whorl.registry.leads import search_vector_of
from whorl.registry.levels import competing_claims
from whorl.registry.local import LocalRegistry
from whorl.registry.name_rows import MAX_WORDS, entries_named, words_of
from whorl.registry.reading import Reader, withheld
from whorl.registry.search_vectors import Vectors
from whorl.registry.view import EntryFacts
from whorl.web.asking import ANYBODY, buffers_of, json_body, registry_of, requester_of, requester_with, service_of
from whorl.web.documents import (
    ERRORS,
    ClaimDocument,
    DigestDocument,
    EntryLine,
    EntryPage,
    LeadDocument,
    LeadsDocument,
    VectorSearch,
    instant,
)
from whorl.web.entry_pages import RememberingView, entry_line, level_document, visible_lines
from whorl.web.errors import ApiError
from whorl.web.reading_bodies import read_document

PAGE: Final = 50
LISTED: Final = 100
TOP: Final = 20
_SCANNED: Final = 500
_FILE: Final = "application/octet-stream"

router = APIRouter(tags=["search"])


@router.get("/api/entries", response_model=EntryPage, responses=ERRORS, openapi_extra=ANYBODY)
def find_entries(
    request: Request,
    q: Annotated[str | None, Query(max_length=500, description="words of a name; the last may be a beginning")] = None,
    kind: Annotated[Kind | None, Query(description="only entries of this kind")] = None,
    before: Annotated[int | None, Query(ge=0, le=2**62, description="`next` of the page before")] = None,
) -> EntryPage:
    """Entries by words of a name or, without words, the newest ones of a kind."""
    reader = requester_of(request).reader
    registry = registry_of(request)
    if q is not None:
        return _named(registry, q, kind, reader, skipped=before or 0)
    if kind is None:
        raise ApiError(422, "malformed", "expected words to look for in q, or a kind, found neither; give one of them")
    with registry.database.reading() as connection:
        page = latest_entries(connection, kind, most=PAGE, before=before)
        lines = visible_lines(connection, [entry for _, entry in page], reader, at=registry.now())
    return EntryPage(entries=tuple(lines), next=page[-1][0] if len(page) == PAGE else None)


@router.get("/api/digests/{digest}", response_model=DigestDocument, responses=ERRORS, openapi_extra=ANYBODY)
def find_digest(request: Request, digest: Annotated[Digest, Path()]) -> DigestDocument:
    """Everything that names a digest; claims on one content stand side by side."""
    reader = requester_of(request).reader
    registry = registry_of(request)
    with registry.database.reading() as connection:
        view = RememberingView(connection)
        named = {role: _naming(connection, digest, role, reader, registry) for role in get_args(Role)}
        models = {facts.hash: facts for facts in named["content"] if facts.kind == "model"}
        claims = tuple(
            ClaimDocument(
                entry=entry_line(models[claim.model], view),
                level=level_document(claim),
                earliest=instant(claim.earliest),
            )
            for claim in competing_claims(models.values(), view)
        )
        lines = {role: tuple(entry_line(facts, view) for facts in found) for role, found in named.items()}
    is_whole = all(len(found) < LISTED for found in lines.values())
    return DigestDocument(digest=digest, claims=claims, named_by=lines, is_whole=is_whole)


@router.post(
    "/api/search",
    response_model=LeadsDocument,
    responses=ERRORS,
    openapi_extra={
        **ANYBODY,
        **json_body("VectorSearch", also={_FILE: {"schema": {"type": "string", "format": "binary"}}}),
    },
)
async def search(
    request: Request,
    top: Annotated[int, Query(ge=1, le=100, description="most leads, for a stored fingerprint")] = TOP,
) -> LeadsDocument:
    """Models that a fingerprint may come from, by a search vector (JSON) or a stored fingerprint (bytes).

    Each is a lead, never a finding: fetch its fingerprint under `blob`, and compare the two.
    """
    service = service_of(request)
    async with buffers_of(request).body(request) as body:
        asking = await requester_with(request, body)
        service.rates.take("searches", asking.who)
        is_file = request.headers.get("content-type", "").partition(";")[0].strip() == _FILE

        def find() -> LeadsDocument:
            scheme, vector, most = _from_file(body, top) if is_file else _from_json(body)
            found = service.leads.find(vector, scheme=scheme, top=most, reader=asking.reader)
            return LeadsDocument(leads=tuple(LeadDocument(**asdict(lead)) for lead in found))

        return await run_sync(find, limiter=request.app.state.searches)


def _from_file(body: bytes, top: int) -> tuple[str, Vectors, int]:
    return *search_vector_of(body, origin="the body"), top


def _from_json(body: bytes) -> tuple[str, Vectors, int]:
    asked = read_document(VectorSearch, body)
    try:
        vector = np.frombuffer(base64.b64decode(asked.vector, validate=True), np.int8)
    except binascii.Error as error:
        raise ApiError(422, "malformed", f"expected a vector in base64, found fault with it: {error}") from None
    return asked.scheme, vector, asked.top


def _named(registry: LocalRegistry, q: str, kind: Kind | None, reader: Reader, *, skipped: int) -> EntryPage:
    words = words_of(q)
    if not 1 <= len(words) <= MAX_WORDS:
        raise ApiError(422, "malformed", f"expected 1 to {MAX_WORDS} words of a name, found {len(words)}")
    lines: list[EntryLine] = []
    looked_at = 0
    with registry.database.reading() as connection:
        view = RememberingView(connection)
        found = islice(entries_named(connection, q), skipped, skipped + _SCANNED)
        try:
            for stored in found:
                looked_at += 1
                facts = facts_of(stored)
                if kind in (None, stored.kind) and withheld(facts, reader, view, at=registry.now()) is None:
                    lines.append(entry_line(facts, view))
                if len(lines) == PAGE:
                    break
        except RegistryError as error:  # the words fit too many names
            raise ApiError(422, "too_common", str(error)) from None
    may_be_more = len(lines) == PAGE or looked_at == _SCANNED
    return EntryPage(entries=tuple(lines), next=skipped + looked_at if may_be_more else None)


def _naming(
    connection: Connection, digest: str, role: str, reader: Reader, registry: LocalRegistry
) -> list[EntryFacts]:
    view = DatabaseView(connection)
    found = map(facts_of, islice(entries_with_digest(connection, digest, role=role), LISTED))
    return [facts for facts in found if withheld(facts, reader, view, at=registry.now()) is None]
