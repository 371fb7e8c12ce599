"""Whose word counts: bureaus, verified organisations, reviewers, the chamber; and whose is doubted.

One principle decides the doubtful cases. What hides an accusation counts even if the key that signed it is doubted;
what shows one does not; and it counts if it keeps the rules of its own log, even where another rule fails for a mirror
that is shown less. A key that was stolen, or is said to have been, can therefore take nothing back into the light.
Of entries that accuse nobody a doubted key takes none back: whoever stole it must not undo what its owner entered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from whorl.entries.claimants import issuer_keys
from whorl.entries.kinds import Key, Kind, Policy, Role, State, Status
from whorl.registry.parties import owners_of, with_sharing
from whorl.registry.view import EntryFacts, LeafPlace, OrganisationFacts, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """Enough chamber keys voted alike: ``at`` the time by which they had, and the entries in which they did."""

    at: datetime
    by: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Why an entry is not in good standing, and by which entries."""

    reason: Literal["annulled", "withdrawn", "doubted"]
    by: tuple[bytes, ...]


ACCUSING: Final[frozenset[Kind | None]] = frozenset({"notice", "finding"})
"""Kinds of entries that may be taken back with a doubted key: so much the better for whom they speak of."""

Barrier: TypeAlias = Literal["party", "same_bureau", "no_peer"]


def votes(about: Iterable[EntryFacts], state: State) -> list[EntryFacts]:
    """The votes for a state among entries about one target."""
    return [
        entry
        for entry in about
        if entry.statement is not None
        and isinstance(entry.statement.body, Status)
        and entry.statement.body.state == state
    ]


def takes_back(vote: EntryFacts, target: EntryFacts | LeafPlace) -> bool:
    """Whether a vote is of the organisation that entered something, later in the same log."""
    if vote.organisation is None or target.index >= vote.index:
        return False
    return (vote.origin, vote.organisation) == (target.origin, target.organisation)


def acts_as(role: Role, entry: EntryFacts, view: View) -> bool:
    """Whether the key that issued an entry has a role; a root key has every one."""
    key = view.key(entry.issuer, origin=entry.origin)
    return key is not None and (key.is_root or role in key.roles)


def doubted(entry: EntryFacts, view: View, *, signer: bytes | None = None) -> bool:
    """Whether a key that signed an entry had perhaps been stolen by then.

    An entry that was time-stamped while the key was still trusted is not doubted, wherever it stands in the log.

    Parameters
    ----------
    signer : one of the entry's signers; its issuer if not given
    """
    key = view.key(entry.issuer if signer is None else signer, origin=entry.origin)
    if key is None or key.compromised_since is None or entry.index < key.compromised_since:
        return False
    stamped = entry.stamped_at is not None and key.trusted_until is not None and entry.stamped_at <= key.trusted_until
    return not stamped


def _after_compromise(entry: EntryFacts, view: View) -> bool:
    """`doubted`, whatever time stamps say: these are not known to every mirror, and the status map must be."""
    key = view.key(entry.issuer, origin=entry.origin)
    return key is not None and key.compromised_since is not None and entry.index >= key.compromised_since


def is_bureau(organisation: OrganisationFacts, index: int, view: View) -> bool:
    """Whether an organisation runs the log in which it is at home, by the policy in force at an index."""
    policy = view.policy(organisation.origin, index)
    return policy is not None and policy.bureau.organisation == organisation.roots[0].hex()


def verified_by(organisation: bytes, view: View) -> tuple[bytes, ...]:
    """The entries by which bureaus verified an organisation; no bureau verifies itself."""
    return tuple(
        vote.hash
        for vote in votes(view.about(organisation, "status"), "verified")
        if vote.organisation != organisation
        and acts_as("bureau", vote, view)
        and not doubted(vote, view)
        and _by_bureau(vote, view)
    )


def is_vouched_for(entry: EntryFacts, view: View) -> bool:
    """Whether an entry is of a bureau, or of an organisation that a bureau verified.

    Roles are what an organisation says of its own keys; this is what keeps somebody from being two examiners at once.
    """
    return entry.organisation is not None and (_by_bureau(entry, view) or bool(verified_by(entry.organisation, view)))


def barrier_to_review(
    reviewer: OrganisationFacts, notice: EntryFacts, parties: frozenset[bytes], policy: Policy, view: View
) -> Barrier | None:
    """Why an organisation may not review a notice between some parties; None if it may.

    A reviewer is a bureau that the policy of the notice's log names as a peer, no party, and at home neither in the
    log of the accuser nor in that of the accused.
    """
    if reviewer.hash in parties:
        return "party"
    target = None if notice.statement is None else view.entry(notice.statement.target)
    accused = None if target is None or target.organisation is None else view.organisation(target.organisation)
    if reviewer.origin in {notice.origin, accused.origin if accused is not None else None}:
        return "same_bureau"
    peers = {(peer.origin, peer.organisation) for peer in policy.peers}
    return None if (reviewer.origin, reviewer.roots[0].hex()) in peers else "no_peer"


def ruling(
    ballots: Sequence[EntryFacts], policy: Policy, view: View, *, barred: frozenset[bytes], even_doubted: bool
) -> Ruling | None:
    """The chamber's decision, if votes for one state reach its threshold. A key has one vote, in however many logs.

    Parameters
    ----------
    ballots : votes for that state on one target
    barred : organisations whose keys do not count, because it is their own case. Nor do, in another log, their root
        keys and, except where doubted votes count, any other key that one of them registered there, or keys of
        organisations that share one with them: that can change, and nobody is to undo an annulment by it
    even_doubted : whether votes count that were signed with a key that is doubted
    """
    chamber = frozenset(policy.chamber.keys)
    own_keys = root_keys(barred, view)
    parties = frozenset() if even_doubted else with_sharing(barred, view)
    first: dict[bytes, tuple[datetime, bytes]] = {}
    for vote in ballots:
        for signer in vote.signers:
            key = view.key(signer, origin=vote.origin)
            if signer.hex() not in chamber or key is None or key.organisation in barred or signer in own_keys:
                continue
            if parties and not parties.isdisjoint(owners_of([signer], view) | with_sharing([key.organisation], view)):
                continue
            if even_doubted or not doubted(vote, view, signer=signer):
                first[signer] = min(first.get(signer, (vote.seen_at, vote.hash)), (vote.seen_at, vote.hash))
    if len(first) < policy.chamber.threshold:
        return None
    in_time = sorted(first.values())
    return Ruling(at=in_time[policy.chamber.threshold - 1][0], by=tuple(dict.fromkeys(digest for _, digest in in_time)))


def flaw_of(entry: EntryFacts, view: View) -> Flaw | None:
    """What speaks against an entry that is no notice; None if it is in good standing."""
    about = view.speaking(entry.hash)
    policy = view.policy(entry.origin, entry.index)
    barred = frozenset() if entry.organisation is None else frozenset({entry.organisation})
    annulled = (
        None if policy is None else ruling(votes(about, "annulled"), policy, view, barred=barred, even_doubted=True)
    )
    if annulled is not None:
        return Flaw(reason="annulled", by=annulled.by)
    taken_back = [
        vote.hash
        for vote in votes(about, "withdrawn")
        if takes_back(vote, entry) and (entry.kind in ACCUSING or not _after_compromise(vote, view))
    ]
    if taken_back:
        return Flaw(reason="withdrawn", by=tuple(sorted(taken_back)))
    return Flaw(reason="doubted", by=revocations(entry, view)) if doubted(entry, view) else None


def revocations(entry: EntryFacts, view: View) -> tuple[bytes, ...]:
    """The entries that revoke the key that issued an entry, in the log of that entry."""
    key = view.key(entry.issuer, origin=entry.origin)
    about = () if key is None else view.about(key.organisation, "key")
    return tuple(sorted(one.hash for one in about if revoked_key(one) == entry.issuer))


def root_keys(organisations: Iterable[bytes], view: View) -> frozenset[bytes]:
    """Ids of the root keys of organisations, each of which signed their entry; they never change."""
    known = (view.organisation(digest) for digest in organisations)
    return frozenset(root for one in known if one is not None for root in one.roots)


def _by_bureau(entry: EntryFacts, view: View) -> bool:
    organisation = None if entry.organisation is None else view.organisation(entry.organisation)
    return organisation is not None and is_bureau(organisation, entry.index, view)


def revoked_key(entry: EntryFacts) -> bytes | None:
    """Id of the key that an entry revokes; None if it revokes none."""
    body = None if entry.statement is None else entry.statement.body
    if not isinstance(body, Key) or body.action != "revoke":
        return None
    return issuer_keys(body.public)[0].id
