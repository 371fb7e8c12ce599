"""What entries do to the derived tables: replayed one after another, all of them again from the start, and erased."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, delete, select, tuple_

from whorl.core.errors import InputError
from whorl.entries.kinds import Key, Organisation
from whorl.entries.statement import Statement, open_entry
from whorl.registry.blobs import BlobFolder
from whorl.registry.database import Database
from whorl.registry.database_errors import damaged
from whorl.registry.derived_rows import Derived, delete_derived, derive, insert_derived, unreferenced
from whorl.registry.entry_changes import complete_row, erase_rows
from whorl.registry.entry_rows import PAGE, counting_entries, erased_among
from whorl.registry.key_rows import apply_key, insert_organisation
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.tables import DERIVED

Numbered = tuple[int, StoredEntry, Statement]
"""An entry that counts, with its row number and what it says."""


def replay(connection: Connection, admitted: Sequence[Numbered]) -> None:
    """Derive what follows from entries that were just written, in their order.

    Of a sealed entry that was not opened, that is only which blobs it needs.
    """
    erased = erased_among(connection, [entry.hash for _, entry, _ in admitted])
    insert_derived(
        connection,
        [(number, _derived(entry, statement)) for number, entry, statement in admitted if entry.hash not in erased],
    )
    for number, entry, statement in admitted:
        if entry.kind is None:
            continue
        match statement.body:
            case Organisation() as body:
                insert_organisation(connection, number, entry, body)
            case Key() as body:
                apply_key(connection, entry, body)
            case _:
                pass


def complete_entry(connection: Connection, entry: StoredEntry, statement: Statement) -> None:
    """Take what came later than the entry's leaf, and derive what follows from it.

    That is the content of a sealed entry that was opened or of one that was fetched, or that an entry of another log
    counts after all, now that more of the other logs is known.

    Raises
    ------
    RegistryError
        If the content was erased, or the kind is one that other entries are checked with: those never come late.
    ValueError
        If the log holds no such entry at that index, or nothing was missing.
    """
    number = complete_row(connection, entry)
    delete_derived(connection, number, derive(statement))
    if entry.fault is None:
        replay(connection, [(number, entry, statement)])


def erase_entry(database: Database, blobs: BlobFolder, digest: bytes, *, at: datetime) -> list[str]:
    """Erase what an entry says: envelope, salt, what it is found by, and the blobs that no other entry refers to.

    Its leaf stays, and with it every proof. Interrupted, it can be called again.

    Returns
    -------
    digests of the blobs that were deleted

    Raises
    ------
    RegistryError
        If there is no such entry, other entries are checked with what it says, or readers still see it.
    """
    deleted: list[str] = []
    with database.writing() as connection:
        erased = erase_rows(connection, digest, at=at)
        if erased is not None:
            number, envelope = erased
            derived = derive(open_entry(envelope).statement)
            delete_derived(connection, number, derived)
            deleted = [blob for blob in unreferenced(connection, derived.blobs) if blobs.delete(blob)]
    database.scrub()
    return deleted


def rebuild_derived(connection: Connection) -> list[str]:
    """Make the derived tables again from the entries.

    Returns
    -------
    names of tables that are not as they were; empty for a sound registry. To look without changing anything, roll the
    transaction back.
    """
    before = [_digest(connection, table) for table in DERIVED]
    for table in DERIVED:
        connection.execute(delete(table))
    pending: list[Numbered] = []
    for number, entry in counting_entries(connection):
        if entry.envelope is not None:
            pending.append((number, entry, _statement(entry, entry.envelope)))
        if len(pending) == PAGE:
            replay(connection, pending)
            pending = []
    replay(connection, pending)
    return [table.name for table, digest in zip(DERIVED, before, strict=True) if _digest(connection, table) != digest]


def stated(entry: StoredEntry) -> Statement | None:
    """What an entry says; None where it is sealed, erased or not held here.

    Raises
    ------
    RegistryError
        If it counts and cannot be read: no such entry is admitted.
    """
    if entry.envelope is None or entry.kind is None:
        return None
    return _statement(entry, entry.envelope)


def _statement(entry: StoredEntry, envelope: bytes) -> Statement:
    try:
        return open_entry(envelope).statement
    except InputError as error:
        raise damaged(f"entry {entry.index} of {entry.origin} says nothing that can be read ({error})") from error


def _derived(entry: StoredEntry, statement: Statement) -> Derived:
    derived = derive(statement)
    if entry.kind is not None:
        return derived
    return Derived(digests=frozenset((role, digest) for role, digest in derived.digests if role == "blob"))


def _digest(connection: Connection, table: Table) -> bytes:
    """Digest of all rows of a table, in the order of its primary key."""
    running = hashlib.sha256()
    place = list(table.primary_key.columns)
    query = select(table).order_by(*place).limit(PAGE)
    rows = connection.execute(query).all()
    while rows:
        for row in rows:
            running.update(repr(tuple(row)).encode())
        last = tuple_(*(getattr(rows[-1], column.name) for column in place))
        rows = connection.execute(query.where(tuple_(*place) > last)).all()
    return running.digest()
