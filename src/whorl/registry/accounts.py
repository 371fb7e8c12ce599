"""Access tokens and the audit trail.

A token lets its bearer read and hand in; it cannot sign, so a stolen one forges nothing. Of each only the SHA-256 is
kept: tokens have 256 random bits, which nobody finds by trying. They begin with ``whorl_``, for programs that look for
leaked secrets.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any, Final, Literal, TypeAlias, get_args

from sqlalchemy import Connection, bindparam, func, insert, select, update

from whorl.registry.database_errors import RegistryError, damaged
from whorl.registry.stored_entry import visible
from whorl.registry.tables import audit, tokens

Scope: TypeAlias = Literal["read", "submit", "audit", "administer"]

LONGEST_LIFE: Final = timedelta(days=366)
TOKEN_BYTES: Final = 32
MAX_SHOWN: Final = 1000

_PREFIX: Final = "whorl_"
_SCOPES: Final = {scope: scope for scope in get_args(Scope)}


class TokenError(RegistryError):
    """A token gives no access: unknown, expired, revoked, or used from somewhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows.

    Parameters
    ----------
    id : 64 hex digits that name the token and are no secret
    organisation : leaf hash of the organisation it acts for; None for a person of the bureau
    network : addresses from which it may be used, such as ``192.0.2.0/24``; None for everywhere
    label : what its holder wrote on it
    """

    id: str
    scopes: frozenset[Scope]
    organisation: bytes | None
    network: str | None
    label: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One line of the audit trail: who did what to what, and how it ended."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str


def issue_token(
    connection: Connection,
    *,
    scopes: frozenset[Scope],
    organisation: bytes | None,
    label: str,
    now: datetime,
    expires_at: datetime,
    network: str | None = None,
    random_bytes: Callable[[int], bytes],
) -> str:
    """Make a token and give its text, which is shown once and not kept.

    Raises
    ------
    RegistryError
        If it would live for longer than `LONGEST_LIFE` or not at all, or its network is none.
    """
    if not now < expires_at <= now + LONGEST_LIFE:
        raise RegistryError(
            f"expected a token that expires within {LONGEST_LIFE.days} days, found {expires_at:%Y-%m-%d}"
        )
    if network is not None:
        try:
            network = str(ip_network(network))
        except ValueError:
            raise RegistryError(f"expected a network such as 192.0.2.0/24, found {network[:60]!a}") from None
    text = new_token_text(random_bytes)
    connection.execute(
        insert(tokens).values(
            digest=_digest(text),
            scopes=" ".join(sorted(scopes)),
            organisation=organisation,
            network=network,
            label=visible(label),
            issued_at=now,
            expires_at=expires_at,
        )
    )
    return text


def new_token_text(random_bytes: Callable[[int], bytes]) -> str:
    """The text of a new token, or of another secret that is shown once and kept as its SHA-256."""
    return _PREFIX + base64.b32encode(random_bytes(TOKEN_BYTES)).decode().rstrip("=").lower()


def open_token(connection: Connection, text: str, *, now: datetime, address: str | None) -> Grant:
    """What a token allows whoever shows it now.

    Parameters
    ----------
    address : IP address from which it comes; None where that is not known

    Raises
    ------
    TokenError
        If it allows nothing.
    """
    row = connection.execute(_BY_DIGEST, {"sought": _digest(text)}).first()
    if row is None:
        raise TokenError("expected an access token of this registry, found an unknown one; ask its bureau for one")
    grant = _grant(row)
    if grant.revoked_at is not None:
        raise TokenError("expected an access token in force, found one that was revoked; ask for a new one")
    if now >= grant.expires_at:
        raise TokenError(
            f"expected an access token in force, found one that expired at {grant.expires_at:%Y-%m-%d %H:%M} UTC"
        )
    if grant.network is not None and not _within(address, grant.network):
        raise TokenError("expected an access token used from its own network, found it coming from another address")
    return grant


def revoke_token(connection: Connection, token_id: str, *, now: datetime) -> bool:
    """End a token; whether it was in force."""
    digest = _digest_of_id(token_id)
    ended = update(tokens).where(tokens.c.digest == digest, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    return connection.execute(ended).rowcount == 1


def tokens_of(connection: Connection, organisation: bytes) -> list[Grant]:
    """Tokens that act for an organisation, those that ended too; at most `MAX_SHOWN`."""
    return [_grant(row) for row in connection.execute(_OF_ORGANISATION, {"sought": organisation})]


def record_audit(connection: Connection, *, at: datetime, actor: str, action: str, subject: str, outcome: str) -> None:
    """Add a line to the audit trail, in the transaction of what it tells."""
    number = int(connection.execute(_LAST).scalar_one()) + 1
    texts = {"actor": actor, "action": action, "subject": subject, "outcome": outcome}
    connection.execute(insert(audit).values(id=number, at=at, **{name: visible(text) for name, text in texts.items()}))


def audit_trail(connection: Connection, *, before: int | None = None, most: int = 100) -> list[AuditRecord]:
    """Lines of the audit trail, the newest first; at most `MAX_SHOWN`.

    Parameters
    ----------
    before : only those with a smaller number, to turn the page
    """
    parameters = {"before": 2**62 if before is None else before, "most": min(most, MAX_SHOWN)}
    return [
        AuditRecord(
            number=row.id, at=row.at, actor=row.actor, action=row.action, subject=row.subject, outcome=row.outcome
        )
        for row in connection.execute(_TRAIL, parameters)
    ]


_BY_DIGEST: Final = select(tokens).where(tokens.c.digest == bindparam("sought"))
_OF_ORGANISATION: Final = (
    select(tokens)
    .where(tokens.c.organisation == bindparam("sought"))
    .order_by(tokens.c.issued_at, tokens.c.digest)
    .limit(MAX_SHOWN)
)
_LAST: Final = select(func.coalesce(func.max(audit.c.id), 0))
_TRAIL: Final = (
    select(audit).where(audit.c.id < bindparam("before")).order_by(audit.c.id.desc()).limit(bindparam("most"))
)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _digest_of_id(token_id: str) -> bytes:
    try:
        return bytes.fromhex(token_id)
    except ValueError:
        raise RegistryError(f"expected a token's id of 64 hex digits, found {token_id[:80]!a}") from None


def _grant(row: Any) -> Grant:
    try:
        scopes = frozenset(_SCOPES[scope] for scope in row.scopes.split())
    except KeyError as error:
        raise damaged(f"a token has the unknown scope {error}") from error
    return Grant(
        id=row.digest.hex(),
        scopes=scopes,
        organisation=row.organisation,
        network=row.network,
        label=row.label,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _within(address: str | None, network: str) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found) in ip_network(network)
