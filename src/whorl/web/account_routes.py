"""Who is who: keys that sign, organisations, their tokens, and the audit trail."""

import asyncio
import hashlib
from functools import partial
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from whorl.core.errors import InputError
from whorl.entries.kinds import EntryId, HashHex, parse_instant
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.registry.accounts import Grant, audit_trail, issue_token, revoke_token, tokens_of
from whorl.registry.database_view import DatabaseView
from whorl.registry.key_rows import keys_of
from whorl.registry.local import LocalRegistry
from whorl.registry.reading import reader_for
from whorl.registry.view import KeyFacts
from whorl.registry.votes import verified_by
from whorl.web.asking import IDENTIFIED, buffers_of, json_body, registry_of, requester_of, requester_with, service_of
from whorl.web.documents import (
    ERRORS,
    FORBIDDEN,
    NOT_FOUND,
    AuditLine,
    AuditPage,
    IssuedToken,
    IssuerDocument,
    KeyLine,
    OrganisationDocument,
    TokenLine,
    TokenList,
    TokenRequest,
    instant,
    optional_instant,
)
from whorl.web.entry_pages import claimant_name
from whorl.web.errors import ApiError, unknown
from whorl.web.reading_bodies import read_document
from whorl.web.requesters import Requester
from whorl.web.service import Service

TOKENS: Final = 100
_BUREAU_ONLY: Final = frozenset({"audit", "administer"})

router = APIRouter(tags=["accounts"])


@router.get("/api/issuers/{key}", response_model=IssuerDocument, responses={**ERRORS, **NOT_FOUND})
def issuer(request: Request, key: Annotated[HashHex, Path(description="id of the Ed25519 key")]) -> IssuerDocument:
    """A key that signs entries of this log, its organisation, and how far its chain has come."""
    registry = registry_of(request)
    with registry.database.reading() as connection:
        view = DatabaseView(connection)
        facts = view.key(bytes.fromhex(key), origin=registry.origin)
        organisation = None if facts is None else claimant_name(facts.organisation, view)
        if facts is None or organisation is None:
            raise unknown(f"expected a key that an organisation entered here, found {key}; register it first")
        chain = view.chain(bytes.fromhex(key), origin=registry.origin)
    return IssuerDocument(
        key=key,
        organisation=organisation,
        roles=tuple(sorted(facts.roles)),
        is_root=facts.is_root,
        not_after=optional_instant(facts.not_after),
        revoked_at=facts.revoked_at,
        sequence=None if chain is None else chain[0],
        last=None if chain is None else entry_id(chain[1]),
    )


@router.get("/api/organisations/{organisation}", response_model=OrganisationDocument, responses={**ERRORS, **NOT_FOUND})
def organisation(request: Request, organisation: Annotated[EntryId, Path()]) -> OrganisationDocument:
    """An organisation, its keys, and which bureaus verified it."""
    registry = registry_of(request)
    with registry.database.reading() as connection:
        view = DatabaseView(connection)
        facts = view.organisation(parse_entry_id(organisation))
        if facts is None:
            raise unknown(f"expected an organisation of this registry, found {organisation}, which is none")
        return OrganisationDocument(
            id=organisation,
            name=facts.name,
            jurisdiction=facts.jurisdiction,
            home=facts.origin,
            threshold=facts.threshold,
            keys=tuple(map(_key_line, keys_of(connection, facts.hash))),
            verified_by=tuple(map(entry_id, verified_by(facts.hash, view))),
            is_bureau=reader_for(facts.hash, view, origin=registry.origin).is_bureau,
        )


@router.post(
    "/api/tokens",
    status_code=201,
    response_model=IssuedToken,
    responses={**ERRORS, **FORBIDDEN},
    openapi_extra={"security": [{"signature": []}], **json_body("TokenRequest")},
)
async def issue(request: Request) -> IssuedToken:
    """Issue a token for the organisation whose root key signed this request. Its text is shown this once."""
    service = service_of(request)
    async with buffers_of(request).body(request) as body:
        asking = await requester_with(request, body)
        _require_root(asking)
        asked = read_document(TokenRequest, body)
    if _BUREAU_ONLY & set(asked.scopes) and asking.organisation != await run_sync(_bureau, service.registry):
        raise ApiError(403, "forbidden", "expected the scopes read and submit; others are for the registry's bureau")
    text = await asyncio.wrap_future(service.write(partial(_issue, service=service, asked=asked, by=asking)))
    token_id = hashlib.sha256(text.encode()).hexdigest()
    service.audit.note(actor=asking.actor, action="issue token", subject=f"token {token_id}", outcome="issued")
    grant = await run_sync(_token, service.registry, asking, token_id)
    return IssuedToken(token=text, line=_token_line(grant))


@router.get("/api/tokens", response_model=TokenList, responses={**ERRORS, **FORBIDDEN}, openapi_extra=IDENTIFIED)
def tokens(request: Request) -> TokenList:
    """The tokens of the organisation whose root key signed this request."""
    asking = requester_of(request)
    _require_root(asking)
    assert asking.organisation is not None
    with registry_of(request).database.reading() as connection:
        return TokenList(tokens=tuple(map(_token_line, tokens_of(connection, asking.organisation))))


@router.delete(
    "/api/tokens/{token_id}",
    status_code=204,
    responses={**ERRORS, **FORBIDDEN, **NOT_FOUND},
    openapi_extra=IDENTIFIED,
)
async def revoke(request: Request, token_id: Annotated[HashHex, Path()]) -> Response:
    """End a token: by a root key of its organisation, by its bearer, or by the bureau."""
    service = service_of(request)
    asking = await requester_with(request, b"")
    is_own = asking.actor == f"token {token_id}"
    if not is_own and "administer" not in asking.scopes:
        _require_root(asking)
        await run_sync(_token, service.registry, asking, token_id)
    now = service.registry.now()
    ended = await asyncio.wrap_future(service.write(lambda connection: revoke_token(connection, token_id, now=now)))
    if not ended:
        raise unknown(f"expected a token in force, found {token_id}, which is none")
    service.audit.note(actor=asking.actor, action="revoke token", subject=f"token {token_id}", outcome="revoked")
    return Response(status_code=204)


@router.get("/api/audit", response_model=AuditPage, responses={**ERRORS, **FORBIDDEN}, openapi_extra=IDENTIFIED)
def audit(
    request: Request,
    before: Annotated[int | None, Query(ge=0, le=2**62, description="`next` of the page before")] = None,
) -> AuditPage:
    """The audit trail, for tokens of the bureau with the scope `audit`."""
    requester_of(request).require("audit")
    with registry_of(request).database.reading() as connection:
        lines = audit_trail(connection, before=before)
    return AuditPage(
        lines=tuple(
            AuditLine(
                number=line.number,
                at=instant(line.at),
                actor=line.actor,
                action=line.action,
                subject=line.subject,
                outcome=line.outcome,
            )
            for line in lines
        ),
        next=lines[-1].number if lines and lines[-1].number > 1 else None,
    )


def _require_root(asking: Requester) -> None:
    asking.require("read")
    if not asking.is_root or not asking.at_home:
        raise ApiError(
            403,
            "forbidden",
            "expected a request signed by a root key of an organisation that registered here, found another; a token "
            "does not do",
        )


def _issue(connection: Connection, *, service: Service, asked: TokenRequest, by: Requester) -> str:
    assert by.organisation is not None
    now = service.registry.now()
    in_force = [
        one for one in tokens_of(connection, by.organisation) if one.revoked_at is None and one.expires_at > now
    ]
    if len(in_force) >= TOKENS:
        raise ApiError(403, "forbidden", f"expected at most {TOKENS} tokens in force, found more; revoke some first")
    try:
        return issue_token(
            connection,
            scopes=frozenset(asked.scopes),
            organisation=by.organisation,
            label=asked.label,
            now=now,
            expires_at=parse_instant(asked.expires_at),
            network=asked.network,
            random_bytes=service.random_bytes,
        )
    except InputError as error:
        raise ApiError(422, "malformed", str(error)) from None


def _token(registry: LocalRegistry, asking: Requester, token_id: str) -> Grant:
    assert asking.organisation is not None
    with registry.database.reading() as connection:
        for grant in tokens_of(connection, asking.organisation):
            if grant.id == token_id:
                return grant
    raise unknown(f"expected a token of the organisation that asks, found {token_id}, which is none")


def _bureau(registry: LocalRegistry) -> bytes | None:
    return registry.organisation_of(registry.home.bureau_key().id)


def _token_line(grant: Grant) -> TokenLine:
    return TokenLine(
        id=grant.id,
        scopes=tuple(sorted(grant.scopes)),
        label=grant.label,
        network=grant.network,
        issued_at=instant(grant.issued_at),
        expires_at=instant(grant.expires_at),
        revoked_at=optional_instant(grant.revoked_at),
    )


def _key_line(key: KeyFacts) -> KeyLine:
    return KeyLine(
        key=key.public[0].id.hex(),
        roles=tuple(sorted(key.roles)),
        is_root=key.is_root,
        not_after=optional_instant(key.not_after),
        revoked_at=key.revoked_at,
        compromised_since=key.compromised_since,
    )
