"""Which entries something speaks against, read from the tables: what the bureau's status map holds."""

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import Kind, StatusMapHead
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import PAGE, entries_about, entries_of_issuer, held_of_issuer, latest_entries
from whorl.registry.key_rows import compromised_keys
from whorl.registry.standing import not_in_good_standing
from whorl.registry.view import EntryFacts
from whorl.registry.votes import revoked_key

_SPEAKING: Final[tuple[Kind, ...]] = ("dispute", "status")


def spoken_against(connection: Connection, *, until: Mapping[str, int]) -> dict[bytes, bytes]:
    """Leaf hashes of all entries that something speaks against, each with that of the entry that does.

    Parameters
    ----------
    until : sizes of logs, by origin; what came at or after them, or in another log, is left out
    """
    speaking = [facts for facts in _speaking(connection) if facts.index < until.get(facts.origin, 0)]
    return not_in_good_standing(speaking, DatabaseView(connection))


def covered_sizes(origin: str, head: StatusMapHead) -> dict[str, int]:
    """The sizes of logs, by origin, that a status map of a log states."""
    return {**head.covers, origin: head.log_size}


def _speaking(connection: Connection) -> Iterator[EntryFacts]:
    for kind in _SPEAKING:
        yield from _of_kind(connection, kind)
    for key_id, origin, organisation in compromised_keys(connection):
        about = map(facts_of, entries_about(connection, organisation))
        yield from (facts for facts in about if revoked_key(facts) == key_id)
        yield from map(facts_of, entries_of_issuer(connection, key_id, origin=origin))
        yield from map(facts_of, held_of_issuer(connection, key_id, origin=origin))


def _of_kind(connection: Connection, kind: Kind) -> Iterator[EntryFacts]:
    before = None
    while page := latest_entries(connection, kind, most=PAGE, before=before):
        for _, entry in page:
            yield facts_of(entry)
        before = page[-1][0]
