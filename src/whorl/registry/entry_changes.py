"""Changes to rows of `entries`: content that comes late, facts that are found later, erasure. No row is removed."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, case, func, literal, select, update

from whorl.entries.kinds import Kind
from whorl.entries.leaf import entry_id
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import counting_row, find_entry
from whorl.registry.refusals import BREAKS
from whorl.registry.stored_entry import StoredEntry, entry_columns, raw_digest
from whorl.registry.tables import Instant, entries, logs

STRUCTURAL: Final[frozenset[Kind]] = frozenset({"organisation", "key", "policy", "statusmap", "status", "dispute"})
_WHOLE: Final[frozenset[Kind]] = frozenset({"organisation", "key", "policy"})
ERASED: Final = "erased"

_PLACE: Final = (
    select(entries.c.id, entries.c.leaf, entries.c.kind, entries.c.envelope, entries.c.fault, entries.c.erased_at)
    .join_from(entries, logs)
    .where(logs.c.origin == bindparam("origin"), entries.c.idx == bindparam("index"))
)


def complete_row(connection: Connection, entry: StoredEntry) -> int:
    """Store what came later than an entry's leaf; `whorl.registry.replaying.complete_entry` also derives from it.

    Returns
    -------
    the row's number
    """
    found = connection.execute(_PLACE, {"origin": entry.origin, "index": entry.index}).first()
    if found is None or found.leaf != entry.leaf:
        raise ValueError(f"entry {entry.index} of {entry.origin} is not this one")
    if found.erased_at is not None:
        raise RegistryError(f"entry {entry_id(entry.hash)} was erased; its content is not taken again")
    if found.kind is not None and found.envelope is not None and found.fault is None:
        raise ValueError(f"entry {entry_id(entry.hash)} has its content already, and counts")
    if entry.kind in _WHOLE:
        raise RegistryError(f"expected an entry of kind {entry.kind} to be whole at once, found it completed later")
    connection.execute(update(entries).where(entries.c.id == found.id).values(**entry_columns(entry)))
    return int(found.id)


def record_stamp(connection: Connection, digest: bytes, at: datetime) -> None:
    """Store the time of an RFC 3161 token over the leaf, which the caller checked; the earliest one is kept."""
    earlier = (entries.c.stamped_at.is_(None)) | (entries.c.stamped_at > literal(at, Instant))
    connection.execute(update(entries).where(entries.c.hash == digest, earlier).values(stamped_at=at))


def record_shown(connection: Connection, digest: bytes, shown: frozenset[str]) -> None:
    """Store which content digests the blob of an opening was found to show."""
    joined = b"".join(map(raw_digest, sorted(shown)))
    connection.execute(update(entries).where(entries.c.hash == digest).values(shown=joined))


def erase_rows(connection: Connection, digest: bytes, *, at: datetime) -> tuple[int, bytes] | None:
    """Forget the content of an entry in every row that holds it; leaf, place, claim and signers stay.

    Returns
    -------
    row number and envelope of the entry that counts, where its content was still there

    Raises
    ------
    RegistryError
        If there is no such entry, or other entries are checked with what it says.
    """
    found = find_entry(connection, digest)
    if found is None:
        raise RegistryError(f"expected an entry of this registry, found {entry_id(digest)}, which is none")
    if found.kind in STRUCTURAL:
        raise RegistryError(
            f"entry {entry_id(digest)} is of kind {found.kind}, which other entries are checked with; "
            "it cannot be erased, its keys can be revoked"
        )
    row = counting_row(connection, digest)
    connection.execute(
        update(entries)
        .where(entries.c.hash == digest)
        .values(
            envelope=None,
            salt=None,
            erased_at=func.coalesce(entries.c.erased_at, literal(at, Instant)),
            # A fault may quote what was wrong. That the bureau which entered it broke a rule stays.
            fault=case(
                (entries.c.fault.is_(None), None),
                (entries.c.fault.like(f"{BREAKS}%"), f"{BREAKS}{ERASED}"),
                else_=ERASED,
            ),
        )
    )
    return None if row is None or row.envelope is None else (row.id, row.envelope)
