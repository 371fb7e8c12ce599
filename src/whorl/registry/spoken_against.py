"""Which entries something speaks against, read from the tables: what the bureau's status map holds."""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection

from whorl.entries.kinds import Kind, StatusMapHead
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import (
    PAGE,
    entries_about,
    faulty_entries,
    latest_entries,
    leaves_of_issuer,
    place_of,
)
from whorl.registry.key_rows import compromised_keys
from whorl.registry.standing import not_in_good_standing
from whorl.registry.view import SPEAKING, EntryFacts, LeafPlace
from whorl.registry.votes import revoked_key


class StoredLeaves:
    """Leaves as the tables hold them, of logs by origin up to some sizes."""

    def __init__(self, connection: Connection, until: Mapping[str, int]) -> None:
        self._connection = connection
        self._until = until

    def place(self, digest: bytes) -> LeafPlace | None:
        found = place_of(self._connection, digest)
        return found if found is not None and found.index < self._until.get(found.origin, 0) else None

    def signed_by(self, issuer: bytes, *, origin: str, since: int) -> Iterator[bytes]:
        end = self._until.get(origin, 0)
        for digest, index in leaves_of_issuer(self._connection, issuer, origin=origin):
            if since <= index < end:
                yield digest


def spoken_against(connection: Connection, *, until: Mapping[str, int]) -> dict[bytes, bytes]:
    """Leaf hashes of all entries that something speaks against, each with that of the entry that does.

    Parameters
    ----------
    until : sizes of logs, by origin; what came at or after them, or in another log, is left out
    """
    speaking = (facts for facts in _speaking(connection) if facts.index < until.get(facts.origin, 0))
    return not_in_good_standing(speaking, StoredLeaves(connection, until), DatabaseView(connection))


def covered_sizes(origin: str, head: StatusMapHead) -> dict[str, int]:
    """The sizes of logs, by origin, that a status map of a log states."""
    return {**head.covers, origin: head.log_size}


def _speaking(connection: Connection) -> Iterator[EntryFacts]:
    for kind in SPEAKING:
        yield from _of_kind(connection, kind)
        # What keeps the rules of its own log, though it waits for others, or breaks a rule on what it speaks of.
        yield from (facts_of(entry) for entry in faulty_entries(connection, kind) if entry.signers)
    for organisation in dict.fromkeys(organisation for *_, organisation in compromised_keys(connection)):
        about = map(facts_of, entries_about(connection, organisation, "key"))
        yield from (facts for facts in about if revoked_key(facts) is not None)


def _of_kind(connection: Connection, kind: Kind) -> Iterator[EntryFacts]:
    before = None
    while page := latest_entries(connection, kind, most=PAGE, before=before):
        for _, entry in page:
            yield facts_of(entry)
        before = page[-1][0]
