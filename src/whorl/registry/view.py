"""What the rules of admission may ask about the entries that came before.

The rules are pure: the same entries in the same order give the same answers to a bureau, to the mirrors that replay
its log and to a test with a dictionary. `whorl.registry.database_view` answers from the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from whorl.entries.keys import PublicKey
from whorl.entries.kinds import Kind, Policy, Role
from whorl.entries.statement import Statement

SPEAKING: Final[tuple[Kind, ...]] = ("dispute", "status")
"""Kinds of entries that speak against others, beside revocations. Everybody is shown what they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationFacts:
    """An organisation: ``hash`` is that of its entry's leaf, ``origin`` the log in which it registered, its home."""

    hash: bytes
    origin: str
    name: str
    jurisdiction: str
    roots: tuple[bytes, ...]
    threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """An issuer's keys and what they may do in one log. The same keys in another log are another organisation's.

    Parameters
    ----------
    public : the Ed25519 key, and the ML-DSA-44 key where there is one; all of them must sign
    organisation : leaf hash of the organisation's entry
    roles : what the key may sign for; a root key may sign for everything, with the threshold of its organisation
    revoked_at : index in the home log from which the key is revoked
    compromised_since : index in the home log from which its entries are doubted
    trusted_until : when this bureau saw the entry before `compromised_since`; what was time-stamped by then is not
        doubted. None where it is not known
    introduced : leaf hash of the entry that introduced it, which is number 0 of its chain
    """

    public: tuple[PublicKey, ...]
    organisation: bytes
    introduced: bytes
    roles: frozenset[Role]
    is_root: bool
    not_after: datetime | None = None
    revoked_at: int | None = None
    compromised_since: int | None = None
    trusted_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """An entry that is in a log already.

    Parameters
    ----------
    hash : leaf hash
    origin, index : the log that holds it, and where
    kind : None in a sealed entry that was not opened
    organisation : leaf hash of the issuer's organisation; None where it is not known
    statement : None where the content was erased, is sealed or may not be seen here
    seen_at : when this bureau first saw it, by its own clock
    signers : ids of the issuers' keys that signed, each with all of its keys, as `Admitted` gives them
    stamped_at : earliest RFC 3161 time over the leaf that was checked; None where none was given
    shown : content digests that an opening's blob was found to show, where this bureau has it and checked it
    waits : whether it does not count here, and may do so, with what it says, once more of other logs was read
    """

    hash: bytes
    origin: str
    index: int
    kind: Kind | None
    issuer: bytes
    organisation: bytes | None
    statement: Statement | None
    seen_at: datetime
    signers: frozenset[bytes] = frozenset()
    stamped_at: datetime | None = None
    shown: frozenset[str] = frozenset()
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafPlace:
    """Where a leaf stands, and what it shows by itself; ``organisation`` is that of its issuer in that log."""

    hash: bytes
    origin: str
    index: int
    kind: Kind | None
    organisation: bytes | None


class View(Protocol):
    """The state of a registry before an entry, over its own log and those it mirrors.

    It knows only entries that were found admissible: what a mirrored log holds against the rules counts for nothing.
    Of an entry that does not count here, though its leaf stands in its log, `entry` tells what the leaf shows and
    nothing else: it may count for the bureau that took it, and for whoever is shown it. Only of a status or a dispute
    that keeps the rules of its own log it tells what that says, too: everybody is shown it.
    Keys and chains are those of one log: what a key does in another one is judged there.
    """

    def key(self, key_id: bytes, *, origin: str) -> KeyFacts | None:
        """The keys of an issuer in a log, by the id of the Ed25519 key."""

    def logs_of(self, key_id: bytes) -> Sequence[str]:
        """Origins of the logs in which a key is known, in order."""

    def sharing(self, organisation: bytes) -> frozenset[bytes]:
        """Organisations of other logs that registered a key of this one, by the leaf hashes of their entries.

        A key of which either organisation said that it was stolen counts for nothing: whoever stole it could tie its
        owner to anybody, for good.
        """

    def organisation(self, digest: bytes) -> OrganisationFacts | None:
        """An organisation, by the leaf hash of its entry."""

    def chain(self, issuer: bytes, *, origin: str) -> tuple[int, bytes] | None:
        """Sequence number and leaf hash of the issuer's last entry in a log; None where the key is not known.

        Number 0 is the entry that introduced the key. So every later one names, directly or through those before it,
        an entry of this log, and stands in no other.
        """

    def link(self, issuer: bytes, sequence: int, *, origin: str) -> bytes | None:
        """Leaf hash of the issuer's entry of that number in a log; of 0, of the entry that introduced the key.

        Where none counts, of the first one that stands there.
        """

    def holds(self, digest: bytes, *, origin: str) -> bool:
        """Whether a leaf stands in a log, by its hash: whether it is one of a chain there, with a key of that log.

        What a mirror is not shown, or holds back, stands in its log all the same.
        """

    def entry(self, digest: bytes) -> EntryFacts | None:
        """An entry, by its leaf hash: one that counts, or else what the leaf shows of one that stands in its log."""

    def about(self, target: bytes, *kinds: Kind) -> Sequence[EntryFacts]:
        """All entries whose leaf names a target, of all logs, in the order in which this bureau saw them.

        Parameters
        ----------
        kinds : only of these; of every kind if none is named. Anybody can enter any number of fingerprints of a model:
            a rule that asks for votes alone does not read them
        """

    def speaking(self, target: bytes) -> Sequence[EntryFacts]:
        """All statuses and disputes whose leaf names a target and that keep the rules of their own logs.

        Also those that do not count here, as another rule fails or waits. What hides an accusation is looked for among
        these, so that it hides it everywhere; what shows one is looked for in `about`.
        """

    def models(self, content: str) -> Sequence[EntryFacts]:
        """All models entered with a content digest, of all logs."""

    def notices(self, claim: bytes) -> Sequence[EntryFacts]:
        """All notices that make a claim, whatever became of them, by `whorl.registry.parties.claim_digest`."""

    def policy(self, origin: str, index: int) -> Policy | None:
        """The policy in force in a log for the entry at an index: the last one entered before it."""

    def commitments(self, organisation: bytes, since: datetime) -> Sequence[EntryFacts]:
        """The commitments that an organisation entered at or after a time, by this bureau's clock."""
