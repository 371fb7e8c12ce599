"""Who asks: somebody unknown, the bearer of a token, or a key that signed this very request.

A token lets its bearer read and hand in for its organisation, and signs nothing: whoever steals one forges no entry.
A signed request shows the key itself, for one request, once.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final

from fastapi import Request
from sqlalchemy import Connection

from whorl.core.errors import InputError
from whorl.entries.keys import parse_public
from whorl.registry.accounts import Scope, TokenError, open_token
from whorl.registry.database_view import DatabaseView
from whorl.registry.reading import ANYBODY, Reader, peer_reader, reader_for, requesting_key
from whorl.registry.request_signatures import CLOCKS_DIFFER, SignedRequest, parse_signed_request
from whorl.registry.view import KeyFacts
from whorl.web.audit import DENY
from whorl.web.errors import ApiError, busy, unknown
from whorl.web.guard import address_of
from whorl.web.service import Service

NO_BODY: Final = hashlib.sha256(b"").digest()

_NONCES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asks.

    Parameters
    ----------
    who : whom what they do is counted for
    actor : what the audit trail calls them
    reader : what they may read as
    scopes : what a token allows; a key that signed may read and submit
    at_home : whether their organisation registered here
    is_root : whether a root key signed this request
    key_id : the key that signed this request; None for a token
    """

    who: str
    actor: str
    reader: Reader = ANYBODY
    scopes: frozenset[Scope] = frozenset()
    at_home: bool = False
    is_root: bool = False
    key_id: bytes | None = None

    @property
    def organisation(self) -> bytes | None:
        return self.reader.organisation

    def require(self, scope: Scope) -> None:
        """Raise `ApiError` unless a token or key with this scope was shown."""
        if scope not in self.scopes:
            expected = f"expected a token with the scope {scope}, or a signed request"
            if self.scopes:
                raise ApiError(403, "forbidden", f"{expected}, found another; ask your organisation for one")
            raise _refused(f"{expected}, found none; ask your organisation for a token, or sign with a key of it")


class Doorkeeper:
    """Finds out who asks; remembers which signed requests were seen."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = Lock()
        self._seen: OrderedDict[tuple[bytes, str], datetime] = OrderedDict()

    def requester(self, request: Request, *, body_digest: bytes = NO_BODY) -> Requester:
        """Who asks.

        Parameters
        ----------
        body_digest : SHA-256 of the body, which a signed request must have stated

        Raises
        ------
        ApiError
            With status 401, if a token or a signature was shown that gives no access.
        """
        address = address_of(request.scope)
        authorization = request.headers.get("authorization")
        stated = request.headers.get("signature-input")
        if authorization is None and stated is None:
            return Requester(who=address, actor=address)
        try:
            with self._service.registry.database.reading() as connection:
                if stated is not None:
                    found = self._by_signature(connection, request, stated, body_digest)
                else:
                    found = self._by_token(connection, request, authorization or "")
        except ApiError as problem:
            self._tell(address, DENY, request, problem.code)
            raise
        self._tell(found.actor, "ask", request, "allowed")
        return found

    def _by_token(self, connection: Connection, request: Request, authorization: str) -> Requester:
        kind, _, text = authorization.partition(" ")
        if kind.lower() != "bearer" or not text.isascii():
            raise _refused("expected an Authorization of the kind Bearer, found another; give a token of this registry")
        client = request.client.host if request.client else None
        try:
            grant = open_token(connection, text.strip(), now=self._service.registry.now(), address=client)
        except TokenError as error:
            raise _refused(str(error)) from None
        reader, at_home = self._as_reader(connection, grant.organisation)
        return Requester(
            who=f"organisation {grant.organisation.hex()}" if grant.organisation else f"token {grant.id}",
            actor=f"token {grant.id}",
            reader=reader,
            scopes=grant.scopes,
            at_home=at_home,
        )

    def signer(self, request: Request, *, body_digest: bytes, admits: Callable[[bytes], bool], of: str) -> bytes:
        """Id of the key that signed a request, for what has people of its own: a case.

        The request shows the key itself, so that nothing that is answered depends on what is known of it here.

        Parameters
        ----------
        admits : whether a key takes part; asked once the signature holds
        of : what those who do not take part are told that there is none of

        Raises
        ------
        ApiError
            With status 401 without a signature that holds, and 404 where the key does not take part.
        """
        stated = request.headers.get("signature-input")
        try:
            if stated is None:
                raise _refused("expected a signed request, found none; sign it with a key of somebody who takes part")
            signed = self._stated(request, stated)
            try:
                key = parse_public(request.headers.get("whorl-key", ""))
            except InputError as error:
                raise _refused(str(error)) from None
            if not signed.is_by(key):
                raise _refused("expected a request signed with the key that it shows, found another; sign it anew")
            if not admits(signed.key_id):
                raise unknown(f"expected {of} that this key takes part in, found none; check the address and the key")
            self._require_body(signed, body_digest)
            self._require_fresh(signed)
        except ApiError as problem:
            self._tell(address_of(request.scope), DENY, request, problem.code)
            raise
        return signed.key_id

    def _stated(self, request: Request, stated: str) -> SignedRequest:
        try:
            return parse_signed_request(
                digest=request.headers.get("content-digest", ""),
                signature_input=stated,
                signature=request.headers.get("signature", ""),
                method=request.method,
                path=request.scope["raw_path"].decode("ascii"),
                query=request.scope["query_string"].decode("ascii"),
                origin=self._service.registry.origin,
            )
        except InputError as error:
            raise _refused(str(error)) from None

    def _by_signature(self, connection: Connection, request: Request, stated: str, body_digest: bytes) -> Requester:
        signed = self._stated(request, stated)
        view = DatabaseView(connection)
        key = requesting_key(signed.key_id, view, origin=self._service.registry.origin)
        if key is None:
            found = self._as_peer(view, signed, request.headers.get("whorl-key", ""))
        elif _is_in_force(key, self._service.registry.now()) and signed.is_by(key.public[0]):
            reader, at_home = self._as_reader(connection, key.organisation)
            found = Requester(
                who=f"organisation {key.organisation.hex()}",
                actor=f"key {signed.key_id.hex()}",
                reader=reader,
                scopes=frozenset({"read", "submit"}),
                at_home=at_home,
                is_root=key.is_root,
                key_id=signed.key_id,
            )
        else:
            raise _refused("expected a signature by a key in force, found one that does not hold or is over")
        self._require_body(signed, body_digest)
        self._require_fresh(signed)
        return found

    def _as_peer(self, view: DatabaseView, signed: SignedRequest, given: str) -> Requester:
        """A peer that this registry knows by the id of its key only, as it does not mirror its log yet."""
        reader = peer_reader(signed.key_id, view, origin=self._service.registry.origin)
        try:
            key = None if reader is None else parse_public(given)
        except InputError:
            key = None
        if reader is None or key is None or not signed.is_by(key):
            raise _refused("expected a request signed with a key that this registry knows, found another; register it")
        actor = f"key {signed.key_id.hex()}"
        return Requester(who=actor, actor=actor, reader=reader, scopes=frozenset({"read"}), key_id=signed.key_id)

    def _as_reader(self, connection: Connection, organisation: bytes | None) -> tuple[Reader, bool]:
        origin = self._service.registry.origin
        view = DatabaseView(connection)
        facts = None if organisation is None else view.organisation(organisation)
        if facts is None:
            return ANYBODY, False
        return reader_for(facts.hash, view, origin=origin), facts.origin == origin

    def _require_body(self, signed: SignedRequest, digest: bytes) -> None:
        if signed.body_digest != digest:
            raise _refused("expected the body whose digest was signed, found another; send it as it was signed")

    def _require_fresh(self, signed: SignedRequest) -> None:
        """Each request once. What was signed before this service began may have been used with the one before it."""
        now = self._service.registry.now()
        begun = self._service.began_at.replace(microsecond=0)
        if signed.created <= begun or abs(now - signed.created) > CLOCKS_DIFFER:
            raise ApiError(
                401,
                "sign_again",
                f"expected a request signed within {CLOCKS_DIFFER.seconds // 60} minutes and since this service began, "
                f"found one of {signed.created:%Y-%m-%d %H:%M:%S} UTC; set the clock and sign again",
                headers=_CHALLENGE,
            )
        with self._lock:
            while self._seen and now - next(iter(self._seen.values())) > 2 * CLOCKS_DIFFER:
                self._seen.popitem(last=False)
            if (signed.key_id, signed.nonce) in self._seen:
                raise _refused("expected a request that was not used before, found one that was; sign it anew")
            if len(self._seen) >= _NONCES:
                raise busy("too many signed requests at once; try again in a moment")
            self._seen[signed.key_id, signed.nonce] = now

    def _tell(self, actor: str, action: str, request: Request, outcome: str) -> None:
        subject = f"{request.method} {request.url.path}"
        self._service.audit.note(actor=actor, action=action, subject=subject, outcome=outcome)


_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


def _refused(message: str) -> ApiError:
    return ApiError(401, "unauthenticated", message, headers=_CHALLENGE)


def _is_in_force(key: KeyFacts, now: datetime) -> bool:
    return key.revoked_at is None and (key.not_after is None or now <= key.not_after)
