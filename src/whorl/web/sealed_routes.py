"""Hit or no hit among what is sealed here, for peers alone: a number of candidates, on the record before it is told."""

import asyncio
import base64
import binascii
from functools import partial
from typing import Annotated, Final

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.entries.kinds import Digest
from whorl.registry.accounts import record_audit
from whorl.registry.database_view import DatabaseView
from whorl.registry.reading import Reader, peer_reader
from whorl.registry.sealed_search import MOST_TOLD, ContentQuestion, SealedQuestion, SealedSearch, VectorQuestion
from whorl.web.asking import buffers_of, json_body, registry_of, requester_with, service_of
from whorl.web.audit import DENY
from whorl.web.documents import ERRORS, FORBIDDEN, Base64
from whorl.web.errors import ApiError, api_error
from whorl.web.reading_bodies import read_document
from whorl.web.requesters import Requester

_ACTION: Final = "sealed search"

router = APIRouter(tags=["search"])


class SealedSearchRequest(Document):
    """What is looked for under seal: a search vector with its scheme, or the digest of a content."""

    scheme: Annotated[
        str | None, Field(min_length=1, max_length=200, examples=["whorl.weight_fingerprint/1 search vector"])
    ] = None
    vector: Annotated[
        Base64 | None, Field(min_length=4, max_length=8194, description="base64 of int8 numbers", examples=["AQIDBAUG"])
    ] = None
    content: Digest | None = Field(default=None, description="instead of a vector: digest of a model's content")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> "SealedSearchRequest":
        if (self.scheme is None) != (self.vector is None) or (self.vector is None) == (self.content is None):
            raise ValueError("expected a scheme with its vector, or a content, and not both")
        return self


class SealedHits(Document):
    """How many candidates there are: leads, never findings."""

    candidates: Annotated[
        int, Field(ge=0, le=MOST_TOLD, description=f"contents that are worth asking for; {MOST_TOLD}: so many or more")
    ]


@router.post(
    "/api/sealed-search",
    response_model=SealedHits,
    responses={**ERRORS, **FORBIDDEN},
    openapi_extra={"security": [{"signature": []}], **json_body("SealedSearchRequest")},
)
async def search_sealed(request: Request) -> SealedHits:
    """How many sealed fingerprints, whose makers let the bureau that asks find them, lie near to this one.

    For a request that the key of a peer signed, so many a day. What they are is not told: ask the bureau.
    """
    service = service_of(request)
    sealed: SealedSearch = request.app.state.sealed
    async with buffers_of(request).body(request) as body:
        asking = await requester_with(request, body)
        origin, peer = await run_sync(_peer, request, asking)
        try:
            service.rates.take("sealed_searches", f"peer {origin}")
            question = _question(body)
        except (ApiError, InputError) as problem:
            code = api_error(problem).code
            service.audit.note(actor=asking.actor, action=DENY, subject=f"{_ACTION} by {origin}", outcome=code)
            raise
        count = partial(sealed.count, question, asking=peer.names)
        found = await run_sync(count, limiter=request.app.state.searches)
        # The answer must not be given before it is on the record.
        line = partial(
            record_audit,
            at=service.registry.now(),
            actor=asking.actor,
            action=_ACTION,
            subject=f"{question} by {origin}",
            outcome=f"{found} candidates",
        )
        await asyncio.wrap_future(service.write(line))
        return SealedHits(candidates=found)


def _peer(request: Request, asking: Requester) -> tuple[str, Reader]:
    """Origin and names of the peer whose own key signed; raises `ApiError` for anybody else."""
    registry = registry_of(request)
    expected = "expected a request signed with the key of a bureau that is a peer here"
    if asking.key_id is None:
        raise ApiError(
            401, "unauthenticated", f"{expected}, found none; sign it", headers={"WWW-Authenticate": "Bearer"}
        )
    with registry.database.reading() as connection:
        peer = peer_reader(asking.key_id, DatabaseView(connection), origin=registry.origin)
    if peer is None:
        subject = f"{_ACTION} by somebody who is no peer"
        service_of(request).audit.note(actor=asking.actor, action=DENY, subject=subject, outcome="forbidden")
        raise ApiError(403, "forbidden", f"{expected}, found another key; ask the bureau in another way")
    return next(name for name in peer.names if name != asking.key_id.hex()), peer


def _question(body: bytes) -> SealedQuestion:
    asked = read_document(SealedSearchRequest, body)
    if asked.content is not None:
        return ContentQuestion(content=asked.content)
    assert asked.scheme is not None
    assert asked.vector is not None
    try:
        vector = np.frombuffer(base64.b64decode(asked.vector, validate=True), np.int8)
    except binascii.Error as error:
        raise ApiError(422, "malformed", f"expected a vector in base64, found fault with it: {error}") from None
    return VectorQuestion(scheme=asked.scheme, vector=vector)
