"""Rows of `organisations` and `keys`: who may sign, derived from the entries that say so."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from sqlalchemy import Connection, bindparam, insert, select, text, update

from whorl.entries.claimants import issuer_keys
from whorl.entries.keys import PublicKey
from whorl.entries.kinds import Key, Organisation, Role, parse_instant
from whorl.entries.leaf import HASH_BYTES
from whorl.registry.bulk import padded
from whorl.registry.database_errors import damaged
from whorl.registry.log_rows import stored_log
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.tables import entries, keys, logs, organisations
from whorl.registry.view import KeyFacts, OrganisationFacts

_ROLES: Final[Mapping[str, Role]] = {role: role for role in get_args(Role)}
_ORGANISATION: Final = (
    select(organisations, logs.c.origin)
    .join_from(organisations, logs)
    .where(organisations.c.hash == bindparam("sought"))
)
_KEYS: Final = (
    select(keys)
    .join_from(keys, logs)
    .where(keys.c.id.in_(bindparam("sought", expanding=True)), logs.c.origin == bindparam("origin"))
)
_LOGS: Final = select(logs.c.origin).join_from(keys, logs).where(keys.c.id == bindparam("sought"))
_ORGANISATIONS: Final = (
    select(organisations, logs.c.origin)
    .join_from(organisations, logs)
    .where(organisations.c.hash.in_(bindparam("sought", expanding=True)))
)
_COMPROMISED: Final = (
    select(keys.c.id, logs.c.origin, keys.c.organisation)
    .join_from(keys, logs)
    .where(text("keys.compromised_since IS NOT NULL"))
    .order_by(keys.c.id, keys.c.log)
)
_KEYS_OF: Final = select(keys).where(keys.c.organisation == bindparam("sought")).order_by(keys.c.id).limit(1000)
_ELSEWHERE: Final = keys.alias()
_SHARING: Final = (
    select(_ELSEWHERE.c.organisation)
    .join_from(keys, _ELSEWHERE, (_ELSEWHERE.c.id == keys.c.id) & (_ELSEWHERE.c.log != keys.c.log))
    .where(
        keys.c.organisation == bindparam("sought"),
        keys.c.compromised_since.is_(None),
        _ELSEWHERE.c.compromised_since.is_(None),
    )
)
_SEEN_AT: Final = select(entries.c.seen_at).where(
    entries.c.log == bindparam("log"), entries.c.idx == bindparam("index")
)


def find_organisation(connection: Connection, digest: bytes) -> OrganisationFacts | None:
    """An organisation, by the leaf hash of its entry."""
    row = connection.execute(_ORGANISATION, {"sought": digest}).first()
    return None if row is None else _organisation_facts(row)


def _organisation_facts(row: Any) -> OrganisationFacts:
    if not row.roots or len(row.roots) % HASH_BYTES:
        raise damaged(f"the root keys of an organisation are cut off ({row.hash.hex()})")
    return OrganisationFacts(
        hash=row.hash,
        origin=row.origin,
        name=row.name,
        jurisdiction=row.jurisdiction,
        roots=tuple(row.roots[i : i + HASH_BYTES] for i in range(0, len(row.roots), HASH_BYTES)),
        threshold=row.threshold,
    )


def find_key(connection: Connection, key_id: bytes, *, origin: str) -> KeyFacts | None:
    """An issuer's keys in a log, by the id of the Ed25519 key."""
    return find_keys(connection, [key_id], origin=origin).get(key_id)


def logs_of_key(connection: Connection, key_id: bytes) -> list[str]:
    """Origins of the logs in which a key is known."""
    return sorted(row.origin for row in connection.execute(_LOGS, {"sought": key_id}))


def organisations_sharing(connection: Connection, organisation: bytes) -> frozenset[bytes]:
    """Organisations of other logs that share with one a key of which neither said that it was stolen."""
    return frozenset(row.organisation for row in connection.execute(_SHARING, {"sought": organisation}))


def keys_of(connection: Connection, organisation: bytes) -> list[KeyFacts]:
    """Keys of an organisation, revoked ones too; the first thousand."""
    return [_key_facts(row) for row in connection.execute(_KEYS_OF, {"sought": organisation})]


def compromised_keys(connection: Connection) -> list[tuple[bytes, str, bytes]]:
    """Ids of the keys whose entries are doubted from some index on, with their log's origin and their organisation."""
    return [(row.id, row.origin, row.organisation) for row in connection.execute(_COMPROMISED)]


def find_keys(connection: Connection, key_ids: Sequence[bytes], *, origin: str) -> dict[bytes, KeyFacts]:
    """Issuers' keys in a log by the ids of their Ed25519 keys, as far as they are known."""
    rows = connection.execute(_KEYS, {"sought": padded(key_ids), "origin": origin})
    return {row.id: _key_facts(row) for row in rows}


def find_organisations(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, OrganisationFacts]:
    """Organisations by the leaf hashes of their entries, as far as they are known."""
    rows = connection.execute(_ORGANISATIONS, {"sought": padded(digests)})
    return {row.hash: _organisation_facts(row) for row in rows}


def insert_organisation(connection: Connection, number: int, entry: StoredEntry, body: Organisation) -> None:
    """Derive the rows of an organisation and its root keys."""
    log = stored_log(connection, entry.origin)
    assert log is not None
    roots = [issuer_keys(root) for root in body.roots]
    connection.execute(
        insert(organisations).values(
            hash=entry.hash,
            entry=number,
            log=log.id,
            name=body.name,
            jurisdiction=body.jurisdiction,
            roots=b"".join(root[0].id for root in roots),
            threshold=body.threshold,
        )
    )
    connection.execute(insert(keys), [_key_row(root, entry, log.id, entry.hash, is_root=True) for root in roots])


def apply_key(connection: Connection, entry: StoredEntry, body: Key) -> None:
    """Derive the row of a key that an entry adds, or what a revocation changes in it."""
    public = issuer_keys(body.public)
    log = stored_log(connection, entry.origin)
    assert log is not None
    if body.action == "add":
        assert entry.organisation is not None
        row = _key_row(public, entry, log.id, entry.organisation, is_root=False)
        not_after = None if body.not_after is None else parse_instant(body.not_after)
        connection.execute(insert(keys).values({**row, "roles": " ".join(sorted(body.roles)), "not_after": not_after}))
        return
    connection.execute(
        update(keys)
        .where(keys.c.id == public[0].id, keys.c.log == log.id)
        .values(
            revoked_at=entry.index,
            compromised_since=body.compromised_since,
            trusted_until=_seen_before(connection, entry.origin, body.compromised_since),
        )
    )


def _seen_before(connection: Connection, origin: str, index: int | None) -> Any:
    """When this bureau saw the entry before one; None where there is none."""
    log = stored_log(connection, origin)
    if log is None or not index:
        return None
    return connection.execute(_SEEN_AT, {"log": log.id, "index": index - 1}).scalar()


def _key_row(
    public: tuple[PublicKey, ...], entry: StoredEntry, log: int, organisation: bytes, *, is_root: bool
) -> dict[str, Any]:
    return {
        "id": public[0].id,
        "log": log,
        "organisation": organisation,
        "introduced": entry.hash,
        "ed25519": public[0].public,
        "mldsa44": public[1].public if len(public) > 1 else None,
        "roles": "",
        "is_root": int(is_root),
    }


def _key_facts(row: Any) -> KeyFacts:
    try:
        public = [PublicKey(algorithm="ed25519", public=row.ed25519)]
        if row.mldsa44 is not None:
            public.append(PublicKey(algorithm="mldsa44", public=row.mldsa44))
        if public[0].id != row.id:
            raise ValueError("its id is that of another key")
        roles = frozenset(_ROLES[role] for role in row.roles.split())
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(f"a key cannot be read ({error})") from error
    return KeyFacts(
        public=tuple(public),
        organisation=row.organisation,
        introduced=row.introduced,
        roles=roles,
        is_root=bool(row.is_root),
        not_after=row.not_after,
        revoked_at=row.revoked_at,
        compromised_since=row.compromised_since,
        trusted_until=row.trusted_until,
    )
