"""The view of a batch: what the database holds, and the entries of the batch that are not written yet.

Entries that others are checked with (organisations, keys, policies, notices and what is said about them) are written
before the next one is looked at. The bulk of a registry, models and what is computed from them, is held here until the
batch is written as a whole.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import KIND_NUMBERS, Kind, Policy
from whorl.entries.leaf import Leaf
from whorl.registry.entry_rows import PAGE, chain_ends
from whorl.registry.key_rows import find_keys, find_organisations
from whorl.registry.submissions import CheckedKey, Held
from whorl.registry.view import EntryFacts, KeyFacts, OrganisationFacts, View

HELD_BACK: Final[frozenset[Kind]] = frozenset({"model", "dataset", "fingerprint"})
_CHANGING_KEYS: Final = frozenset({KIND_NUMBERS["organisation"], KIND_NUMBERS["key"]})


class PendingView:
    """A `View` over another one and some entries after it; clear it when they are written.

    Parameters
    ----------
    origin, start : the log that the batch is for, and where it begins
    held : signatures of the batch that were checked beforehand
    """

    def __init__(self, written: View, *, origin: str, start: int, held: frozenset[Held] = frozenset()) -> None:
        self._written = written
        self._origin = origin
        self._start = start
        self._held = held
        self._entries: dict[bytes, EntryFacts] = {}
        self._chains: dict[bytes, tuple[int, bytes]] = {}
        self._keys: dict[bytes, KeyFacts | None] = {}
        self._organisations: dict[bytes, OrganisationFacts | None] = {}
        self._policies: dict[str, Policy | None] = {}

    def prime(self, connection: Connection, issuers: Collection[bytes]) -> None:
        """Look up together what is asked of each of these issuers in the log of the batch."""
        for first in range(0, len(issuers), PAGE):
            some = list(issuers)[first : first + PAGE]
            found = find_keys(connection, some, origin=self._origin)
            self._keys.update((key_id, self._checked(key)) for key_id, key in found.items())
            organisations = {key.organisation for key in found.values()}
            self._organisations.update(find_organisations(connection, list(organisations)))
            self._chains.update(chain_ends(connection, some, origin=self._origin))

    def add(self, facts: EntryFacts, *, sequence: int) -> None:
        """Count an admitted entry, which is of a kind in `HELD_BACK`."""
        self._entries[facts.hash] = facts
        self._chains[facts.issuer] = (sequence, facts.hash)

    def clear(self, *, start: int, last: Leaf | None = None) -> None:
        """The database has everything now, up to the index ``start`` of the log: forget what may be otherwise.

        Parameters
        ----------
        last : of the entry that was written last, where all before it were of a kind in `HELD_BACK`; None if others
            were among them
        """
        self._start = start
        self._entries.clear()
        self._policies.clear()
        if last is None:
            for held in (self._chains, self._keys, self._organisations):
                held.clear()
            return
        self._chains.pop(last.issuer, None)
        if last.kind in _CHANGING_KEYS:
            self._keys = {
                key_id: key for key_id, key in self._keys.items() if key is not None and key.organisation != last.target
            }
            self._organisations = {digest: one for digest, one in self._organisations.items() if one is not None}

    def key(self, key_id: bytes, *, origin: str) -> KeyFacts | None:
        if origin != self._origin:
            return self._written.key(key_id, origin=origin)
        if key_id not in self._keys:
            found = self._written.key(key_id, origin=origin)
            self._keys[key_id] = None if found is None else self._checked(found)
        return self._keys[key_id]

    def logs_of(self, key_id: bytes) -> Sequence[str]:
        return self._written.logs_of(key_id)

    def sharing(self, organisation: bytes) -> frozenset[bytes]:
        return self._written.sharing(organisation)

    def organisation(self, digest: bytes) -> OrganisationFacts | None:
        if digest not in self._organisations:
            self._organisations[digest] = self._written.organisation(digest)
        return self._organisations[digest]

    def chain(self, issuer: bytes, *, origin: str) -> tuple[int, bytes] | None:
        if origin != self._origin:
            return self._written.chain(issuer, origin=origin)
        if issuer not in self._chains:
            found = self._written.chain(issuer, origin=origin)
            if found is None:
                return None
            self._chains[issuer] = found
        return self._chains[issuer]

    def link(self, issuer: bytes, sequence: int, *, origin: str) -> bytes | None:
        for facts in self._entries.values() if origin == self._origin else ():
            if facts.issuer == issuer and facts.statement is not None and facts.statement.sequence == sequence:
                return facts.hash
        return self._written.link(issuer, sequence, origin=origin)

    def holds(self, digest: bytes, *, origin: str) -> bool:
        pending = self._entries.get(digest)
        return self._written.holds(digest, origin=origin) or (pending is not None and pending.origin == origin)

    def entry(self, digest: bytes) -> EntryFacts | None:
        return self._entries.get(digest) or self._written.entry(digest)

    def about(self, target: bytes, *kinds: Kind) -> Sequence[EntryFacts]:
        pending = [
            facts
            for facts in self._entries.values()
            if facts.statement is not None and facts.statement.target == target and (not kinds or facts.kind in kinds)
        ]
        return [*self._written.about(target, *kinds), *pending]

    def speaking(self, target: bytes) -> Sequence[EntryFacts]:
        return self._written.speaking(target)

    def models(self, content: str) -> Sequence[EntryFacts]:
        pending = [
            facts
            for facts in self._entries.values()
            if facts.kind == "model" and facts.statement is not None and _content(facts) == content
        ]
        return [*self._written.models(content), *pending]

    def notices(self, claim: bytes) -> Sequence[EntryFacts]:
        return self._written.notices(claim)

    def policy(self, origin: str, index: int) -> Policy | None:
        if origin != self._origin or index < self._start:  # an older case is judged by the rules of its day
            return self._written.policy(origin, index)
        if origin not in self._policies:  # within a batch the index only grows, and policies are written at once
            self._policies[origin] = self._written.policy(origin, index)
        return self._policies[origin]

    def commitments(self, organisation: bytes, since: datetime) -> Sequence[EntryFacts]:
        return self._written.commitments(organisation, since)

    def _checked(self, facts: KeyFacts) -> KeyFacts:
        """The same, with keys that know which signatures hold."""
        if not self._held:
            return facts
        known = (CheckedKey(algorithm=key.algorithm, public=key.public, held=self._held) for key in facts.public)
        return replace(facts, public=tuple(known))


def _content(facts: EntryFacts) -> str | None:
    return getattr(facts.statement and facts.statement.body, "content", None)
