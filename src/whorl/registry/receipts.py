"""Making receipts: the entry under the first tree head that has it, its standing under the newest one.

The first tree head is the one whose witnesses bound the entry's time; the newest says what speaks against it by now.
Nothing is given out that was not checked: a tile, a row or a tree head that was damaged gives an error, not a receipt
that fails elsewhere.
"""

import logging
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from whorl.core.errors import InputError
from whorl.entries.kinds import Key, Organisation, StatusMapHead
from whorl.entries.leaf import entry_id
from whorl.entries.receipt import StoredEntry as ReceiptEntry
from whorl.entries.receipt import StoredStatus, encode, write_receipt
from whorl.entries.statement import open_entry
from whorl.entries.status_map import StatusMap
from whorl.log.auditing import OpenHead
from whorl.log.merkle import inclusion_path, verify_inclusion
from whorl.log.proofs import Proof
from whorl.log.tiles import TileSource, hash_reader
from whorl.registry.entry_rows import entries_about, entries_of_log, find_entry
from whorl.registry.heads import first_head, newest_head
from whorl.registry.key_rows import find_key
from whorl.registry.spoken_against import covered_sizes, spoken_against
from whorl.registry.stored_entry import StoredEntry

_LOG: Final = logging.getLogger(__name__)


def make_receipt(
    connection: Connection, log: TileSource, digest: bytes, *, with_content: bool, open_head: OpenHead
) -> bytes:
    """The receipt of an entry, as a file.

    Parameters
    ----------
    log : tiles of the log that holds it
    with_content : whether whoever asks may see what the entry says
    open_head : checks the signatures of the log's tree heads

    Raises
    ------
    InputError
        If there is no such entry, or no published tree head has it yet.
    VerificationError
        If what is stored does not give a proof that holds.
    """
    stored = find_entry(connection, digest)
    if stored is None:
        raise InputError(f"expected an entry of this registry, found {entry_id(digest)}, which is none; check the id")
    if stored.fault is not None:
        raise InputError(f"entry {entry_id(digest)} counts for nothing: {stored.fault}")
    head = first_head(connection, stored.origin, stored.index)
    if head is None:
        raise InputError(f"entry {entry_id(digest)} is not under a published tree head yet; ask again in a moment")
    source = _Source(log, open_head)
    # Without its content a sealed entry must not show whose it is.
    vouching = _authority(connection, stored) if with_content else []
    authority = [source.proven(one, head) for one in vouching]
    status = _status(connection, source, stored)
    return write_receipt(source.proven(stored, head, with_content=with_content), authority, status)


@dataclass(frozen=True, slots=True)
class _Source:
    """Tiles and tree heads to prove entries with."""

    log: TileSource
    open_head: OpenHead

    def proven(self, stored: StoredEntry, note: bytes, *, with_content: bool = True) -> ReceiptEntry:
        head = self.open_head(note).head
        path = inclusion_path(hash_reader(self.log, head.size), stored.index, head.size)
        verify_inclusion(stored.hash, stored.index, head.size, path, head.root)
        shown = with_content and stored.envelope is not None and stored.salt is not None
        return ReceiptEntry(
            leaf=encode(stored.leaf),
            envelope=encode(stored.envelope) if shown and stored.envelope is not None else None,
            salt=stored.salt.hex() if shown and stored.salt is not None else None,
            proof=Proof(index=stored.index, path=path, tree_head_note=note).to_text(),
        )


def _status(connection: Connection, source: _Source, stored: StoredEntry) -> StoredStatus | None:
    newest = newest_head(connection, stored.origin)
    if newest is None:
        return None
    size = source.open_head(newest).head.size  # the database may be ahead of what is published
    last = next(iter(entries_of_log(connection, stored.origin, start=size - 1, stop=size)), None)
    if last is None or last.envelope is None or last.index <= stored.index:
        return None
    body = open_entry(last.envelope).statement.body
    if not isinstance(body, StatusMapHead):
        return None
    status_map = StatusMap(spoken_against(connection, until=covered_sizes(stored.origin, body)))
    if (status_map.root.hex(), status_map.size) != (body.root, body.size):
        # Something was erased, came late from another log, or was damaged: nothing is better than a proof that fails.
        _LOG.warning(
            "the entries do not give the status map of entry %d any more; receipts are without one", last.index
        )
        return None
    return StoredStatus(
        map=source.proven(last, newest),
        authority=tuple(source.proven(one, newest) for one in _authority(connection, last)),
        proof=status_map.prove(stored.hash),
    )


def _authority(connection: Connection, stored: StoredEntry) -> list[StoredEntry]:
    """The entries that introduce whoever issued one: the organisation's and, for a delegated key, the key's."""
    if stored.envelope is None:
        return []
    statement = open_entry(stored.envelope).statement
    if isinstance(statement.body, Organisation):
        return []
    key = find_key(connection, statement.issuer, origin=stored.origin)
    organisation = None if key is None else find_entry(connection, key.organisation)
    if key is None or organisation is None:
        return []
    if key.is_root:
        return [organisation]
    added = (
        one
        for one in entries_about(connection, key.organisation)
        if one.kind == "key" and one.envelope is not None and one.index < stored.index
    )
    for one in added:
        assert one.envelope is not None
        body = open_entry(one.envelope).statement.body
        if isinstance(body, Key) and body.action == "add" and _adds(body, statement.issuer):
            return [organisation, one]
    return [organisation]


def _adds(body: Key, issuer: bytes) -> bool:
    from whorl.entries.claimants import issuer_keys

    return issuer_keys(body.public)[0].id == issuer
