"""The view of the rules over the tables: what `whorl.registry.view.View` asks, answered by one transaction.

Whoever writes replays what it wrote (`whorl.registry.replaying.replay`) before it asks again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from whorl.entries.kinds import Kind, Policy
from whorl.entries.statement import Statement
from whorl.registry.database_errors import damaged
from whorl.registry.entry_rows import (
    chain_end,
    commitments_since,
    entries_about,
    entries_with_claim,
    entries_with_digest,
    entry_in_chain,
    faulty_about,
    policy_before,
    standing_entry,
    standing_in_chain,
    stands_in_log,
)
from whorl.registry.key_rows import find_key, find_organisation, logs_of_key, organisations_sharing
from whorl.registry.refusals import WAITS
from whorl.registry.replaying import stated
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.view import SPEAKING, EntryFacts, KeyFacts, OrganisationFacts


class DatabaseView:
    """A `View` of the state that a transaction sees."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def key(self, key_id: bytes, *, origin: str) -> KeyFacts | None:
        return find_key(self._connection, key_id, origin=origin)

    def logs_of(self, key_id: bytes) -> Sequence[str]:
        return logs_of_key(self._connection, key_id)

    def sharing(self, organisation: bytes) -> frozenset[bytes]:
        return organisations_sharing(self._connection, organisation)

    def organisation(self, digest: bytes) -> OrganisationFacts | None:
        return find_organisation(self._connection, digest)

    def chain(self, issuer: bytes, *, origin: str) -> tuple[int, bytes] | None:
        end = chain_end(self._connection, issuer, origin=origin)
        key = self.key(issuer, origin=origin) if end is None else None
        return end if key is None else (0, key.introduced)

    def link(self, issuer: bytes, sequence: int, *, origin: str) -> bytes | None:
        entry = entry_in_chain(self._connection, issuer, sequence, origin=origin)
        if entry is not None:
            return entry.hash
        key = None if sequence else self.key(issuer, origin=origin)
        if key is not None:
            return key.introduced
        return standing_in_chain(self._connection, issuer, sequence, origin=origin)

    def holds(self, digest: bytes, *, origin: str) -> bool:
        return stands_in_log(self._connection, digest, origin=origin)

    def entry(self, digest: bytes) -> EntryFacts | None:
        entry = standing_entry(self._connection, digest)
        if entry is None or entry.fault is None:
            return None if entry is None else facts_of(entry)
        waits = entry.fault.startswith(WAITS)
        if entry.kind in SPEAKING and entry.signers:
            return replace(facts_of(entry), waits=waits)
        # What it says was not found to keep the rules, or not read at all: only its leaf can be gone by.
        bare = replace(entry, envelope=None, salt=None, signers=frozenset())
        return replace(facts_of(bare), waits=waits)

    def about(self, target: bytes, *kinds: Kind) -> Sequence[EntryFacts]:
        return _all(entries_about(self._connection, target, *kinds))

    def speaking(self, target: bytes) -> Sequence[EntryFacts]:
        faulty = (entry for entry in faulty_about(self._connection, target, *SPEAKING) if entry.signers)
        return [*self.about(target, *SPEAKING), *_all(faulty)]

    def models(self, content: str) -> Sequence[EntryFacts]:
        named = entries_with_digest(self._connection, content, role="content")
        return _all(entry for entry in named if entry.kind == "model")

    def notices(self, claim: bytes) -> Sequence[EntryFacts]:
        return _all(entries_with_claim(self._connection, claim))

    def policy(self, origin: str, index: int) -> Policy | None:
        entry = policy_before(self._connection, origin, index)
        statement = None if entry is None else stated(entry)
        if statement is None:
            return None
        if not isinstance(statement.body, Policy):
            raise damaged(f"the policy of {origin} before index {index} is none")
        return statement.body

    def commitments(self, organisation: bytes, since: datetime) -> Sequence[EntryFacts]:
        return _all(commitments_since(self._connection, organisation, since))


def facts_of(entry: StoredEntry, statement: Statement | None = None) -> EntryFacts:
    """What the rules may know of an entry that counts.

    Parameters
    ----------
    statement : what it says, where that was read already; of a public entry, for its leaf names the issuer
    """
    return EntryFacts(
        hash=entry.hash,
        origin=entry.origin,
        index=entry.index,
        kind=entry.kind,
        issuer=(entry.read_leaf() if statement is None else statement).issuer,
        organisation=entry.organisation,
        statement=statement or stated(entry),
        seen_at=entry.seen_at,
        signers=entry.signers,
        stamped_at=entry.stamped_at,
        shown=entry.shown,
    )


def _all(entries: Iterable[StoredEntry]) -> list[EntryFacts]:
    return [facts_of(entry) for entry in entries]
