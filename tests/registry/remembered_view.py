"""A view over entries in memory: what `whorl.registry.view.View` asks, in the fewest lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from whorl.entries.claimants import issuer_keys
from whorl.entries.kinds import Key, Kind, Model, Notice, Organisation, Policy, parse_instant
from whorl.registry.parties import claim_digest
from whorl.registry.standing import not_in_good_standing
from whorl.registry.view import SPEAKING, EntryFacts, KeyFacts, LeafPlace, OrganisationFacts, View


class RememberedView:
    """Entries, in the order in which they were inserted, and what the leaves of others show that only stand there."""

    def __init__(self) -> None:
        self.entries: dict[bytes, EntryFacts] = {}
        self.keys: dict[tuple[str, bytes], KeyFacts] = {}
        self.organisations: dict[bytes, OrganisationFacts] = {}
        self.held: dict[bytes, EntryFacts] = {}
        self.aside: list[EntryFacts] = []  # keeps the rules of its own log, and does not count here
        self._links: dict[tuple[str, bytes], dict[int, bytes]] = {}
        self._claims: dict[bytes, list[bytes]] = {}
        self._policies: dict[str, list[tuple[int, Policy]]] = {}

    def copy(self) -> "RememberedView":
        other = RememberedView()
        other.entries, other.keys, other.organisations = dict(self.entries), dict(self.keys), dict(self.organisations)
        other.held, other.aside = dict(self.held), list(self.aside)
        other._links = {place: dict(links) for place, links in self._links.items()}
        other._claims = {claim: list(notices) for claim, notices in self._claims.items()}
        other._policies = {origin: list(found) for origin, found in self._policies.items()}
        return other

    def hold(self, facts: EntryFacts, *, waits: bool = False) -> None:
        """Have nothing but the leaf of an entry, which stands in its log."""
        assert facts.statement is not None
        self._links.setdefault((facts.origin, facts.issuer), {})[facts.statement.sequence] = facts.hash
        self.held[facts.hash] = replace(facts, statement=None, signers=frozenset(), waits=waits)

    def insert(self, facts: EntryFacts) -> None:
        self.entries[facts.hash] = facts
        statement = facts.statement
        if statement is None:
            return
        self._links.setdefault((facts.origin, facts.issuer), {})[statement.sequence] = facts.hash
        body = statement.body
        if isinstance(body, Organisation):
            roots = tuple(issuer_keys(root) for root in body.roots)
            self.organisations[facts.hash] = OrganisationFacts(
                hash=facts.hash,
                origin=facts.origin,
                name=body.name,
                jurisdiction=body.jurisdiction,
                roots=tuple(keys[0].id for keys in roots),
                threshold=body.threshold,
            )
            for keys in roots:
                self.keys[facts.origin, keys[0].id] = KeyFacts(
                    public=keys, organisation=facts.hash, introduced=facts.hash, roles=frozenset(), is_root=True
                )
        elif isinstance(body, Key):
            self._change_key(facts, body)
        elif isinstance(body, Policy):
            self._policies.setdefault(facts.origin, []).append((facts.index, body))
        elif isinstance(body, Notice):
            self._claims.setdefault(claim_digest(facts, self), []).append(facts.hash)

    def _change_key(self, facts: EntryFacts, body: Key) -> None:
        keys = issuer_keys(body.public)
        if body.action == "add":
            assert facts.statement is not None
            self.keys[facts.origin, keys[0].id] = KeyFacts(
                public=keys,
                organisation=facts.statement.target,
                introduced=facts.hash,
                roles=frozenset(body.roles),
                is_root=False,
                not_after=None if body.not_after is None else parse_instant(body.not_after),
            )
            return
        before = [
            entry.seen_at
            for entry in self.entries.values()
            if entry.origin == facts.origin and entry.index < (body.compromised_since or 0)
        ]
        self.keys[facts.origin, keys[0].id] = replace(
            self.keys[facts.origin, keys[0].id],
            revoked_at=facts.index,
            compromised_since=body.compromised_since,
            trusted_until=max(before, default=None),
        )

    def key(self, key_id: bytes, *, origin: str) -> KeyFacts | None:
        return self.keys.get((origin, key_id))

    def logs_of(self, key_id: bytes) -> Sequence[str]:
        return sorted(origin for origin, known in self.keys if known == key_id)

    def sharing(self, organisation: bytes) -> frozenset[bytes]:
        sound = {place: key for place, key in self.keys.items() if key.compromised_since is None}
        own = {place for place, key in sound.items() if key.organisation == organisation}
        return frozenset(
            key.organisation
            for (origin, key_id), key in sound.items()
            if any(key_id == other and origin != home for home, other in own)
        )

    def organisation(self, digest: bytes) -> OrganisationFacts | None:
        return self.organisations.get(digest)

    def chain(self, issuer: bytes, *, origin: str) -> tuple[int, bytes] | None:
        return max(self._chain(issuer, origin).items(), default=None)

    def link(self, issuer: bytes, sequence: int, *, origin: str) -> bytes | None:
        return self._chain(issuer, origin).get(sequence)

    def _chain(self, issuer: bytes, origin: str) -> dict[int, bytes]:
        key = self.keys.get((origin, issuer))
        introduced = {} if key is None else {0: key.introduced}
        return introduced | self._links.get((origin, issuer), {})

    def holds(self, digest: bytes, *, origin: str) -> bool:
        found = self.entry(digest)
        return found is not None and found.origin == origin

    def entry(self, digest: bytes) -> EntryFacts | None:
        return self.entries.get(digest) or self.held.get(digest)

    def about(self, target: bytes, *kinds: Kind) -> Sequence[EntryFacts]:
        about = [one for one in self.entries.values() if one.statement is not None and one.statement.target == target]
        return [one for one in about if not kinds or one.kind in kinds]

    def speaking(self, target: bytes) -> Sequence[EntryFacts]:
        aside = [one for one in self.aside if one.statement is not None and one.statement.target == target]
        return [*self.about(target, *SPEAKING), *aside]

    def models(self, content: str) -> Sequence[EntryFacts]:
        return [
            one
            for one in self.entries.values()
            if one.statement is not None
            and isinstance(one.statement.body, Model)
            and one.statement.body.content == content
        ]

    def notices(self, claim: bytes) -> Sequence[EntryFacts]:
        return [self.entries[digest] for digest in self._claims.get(claim, ())]

    def policy(self, origin: str, index: int) -> Policy | None:
        before = [policy for at, policy in self._policies.get(origin, ()) if at < index]
        return before[-1] if before else None

    def commitments(self, organisation: bytes, since: datetime) -> Sequence[EntryFacts]:
        return [
            one
            for one in self.entries.values()
            if one.kind == "commitment" and one.organisation == organisation and one.seen_at >= since
        ]


class RememberedLeaves:
    """Leaves of some entries, as far as a status map covers their logs."""

    def __init__(self, entries: Iterable[EntryFacts], until: Mapping[str, int] | None = None) -> None:
        self.entries = {one.hash: one for one in entries if until is None or one.index < until.get(one.origin, 0)}

    def place(self, digest: bytes) -> LeafPlace | None:
        one = self.entries.get(digest)
        if one is None:
            return None
        return LeafPlace(
            hash=one.hash, origin=one.origin, index=one.index, kind=one.kind, organisation=one.organisation
        )

    def signed_by(self, issuer: bytes, *, origin: str, since: int) -> list[bytes]:
        signed = (one for one in self.entries.values() if (one.issuer, one.origin) == (issuer, origin))
        return [one.hash for one in signed if one.index >= since]


def against(entries: Iterable[EntryFacts], view: View) -> dict[bytes, bytes]:
    """What a status map over these entries holds."""
    listed = list(entries)
    return not_in_good_standing(listed, RememberedLeaves(listed), view)
