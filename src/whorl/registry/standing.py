"""Whether an entry is in good standing, and the list of those that are not, from which the status map is made."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

from whorl.entries.kinds import Dispute, Key, Status
from whorl.registry.notices import NoticeState, notice_standing
from whorl.registry.view import EntryFacts, LeafPlace, View
from whorl.registry.votes import ACCUSING, flaw_of, revoked_key, ruling, takes_back

Standing: TypeAlias = Literal["good", "annulled", "withdrawn", "doubted", "refused", "disputed", "expired"]

_Stolen: TypeAlias = dict[tuple[str, bytes], tuple[int, EntryFacts]]
"""By log and key: the index from which its entries are doubted there, and the entry that says so."""

_OF_NOTICES: Final[dict[NoticeState, Standing]] = {
    "filed": "good",
    "reviewed": "good",
    "published": "good",
    "upheld": "good",
    "annulled": "annulled",
    "withdrawn": "withdrawn",
    "refused": "refused",
    "expired": "expired",
}
_ANNULLED, _WITHDRAWN, _DOUBTED, _REFUSED, _DISPUTED = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryStanding:
    """Whether an entry stands, and the entries by which it does not."""

    standing: Standing
    by: tuple[bytes, ...] = ()


def entry_standing(entry: EntryFacts, view: View, *, at: datetime) -> EntryStanding:
    """Whether an entry stands at a time.

    doubted: the key that signed it is said to have been compromised by then, and no independent time says otherwise;
    of a notice also, that its findings do not stand any more. disputed: a notice that somebody whom it names contests.
    """
    if entry.kind != "notice":
        flaw = flaw_of(entry, view)
        return EntryStanding(standing="good") if flaw is None else EntryStanding(standing=flaw.reason, by=flaw.by)
    notice = notice_standing(entry, view, at=at)
    if notice.state != "blocked":
        return EntryStanding(standing=_OF_NOTICES[notice.state], by=notice.by)
    against = (view.entry(digest) for digest in notice.by)
    disputed = any(one is not None and one.kind == "dispute" for one in against)
    return EntryStanding(standing="disputed" if disputed else "doubted", by=notice.by)


class Leaves(Protocol):
    """Leaves of the logs that a status map covers, up to the sizes that it states, and only those that stand there."""

    def place(self, digest: bytes) -> LeafPlace | None:
        """Where a leaf stands, by its hash."""

    def signed_by(self, issuer: bytes, *, origin: str, since: int) -> Iterable[bytes]:
        """Hashes of the leaves that an issuer signed in a log from an index on."""


def not_in_good_standing(speaking: Iterable[EntryFacts], leaves: Leaves, view: View) -> dict[bytes, bytes]:
    """All entries that something speaks against, and for each the entry that does: what the status map holds.

    It follows from what everybody is shown alone, and from no clock, so that every mirror of the same logs makes the
    same map, in whatever order it read them: from what leaves show, and from statuses, disputes and revocations that
    keep the rules of their own logs. Nothing that an entry of another kind says is asked, nor whether somebody who
    disputes is a party.

    What was once disputed or refused stays in it, however that ended: absence means that nobody ever spoke against the
    entry, presence that a reader must look. Only a withdrawal by a key that was compromised by then is left out, unless
    it takes an accusation back: with it a thief would undo what the key's owner entered. Of several entries against one
    the gravest counts (annulled, withdrawn, doubted, refused, disputed), among equals the first by log and index.

    Parameters
    ----------
    speaking : statuses, disputes and revocations among the entries that the map covers; others say nothing here
    """
    against: dict[bytes, tuple[int, str, int, bytes]] = {}
    ballots: dict[bytes, list[EntryFacts]] = {}
    taken_back: list[tuple[EntryFacts, bytes]] = []
    stolen: _Stolen = {}

    def speak(target: bytes, by: EntryFacts, gravity: int) -> None:
        said = gravity, by.origin, by.index, by.hash
        against[target] = min(against.get(target, said), said)

    for entry in speaking:
        if entry.statement is None:
            continue
        body, target = entry.statement.body, entry.statement.target
        bare = replace(entry, statement=None)
        if isinstance(body, Dispute):
            place = leaves.place(target)
            if place is not None and place.kind == "notice":
                speak(target, bare, _DISPUTED)
        elif isinstance(body, Status) and body.state == "refused":
            if _is_by_peer(entry, leaves.place(target), view):
                speak(target, bare, _REFUSED)
        elif isinstance(body, Status) and body.state == "withdrawn":
            taken_back.append((bare, target))
        elif isinstance(body, Status) and body.state == "annulled":
            ballots.setdefault(target, []).append(bare)
        elif isinstance(body, Key) and body.compromised_since is not None:
            key_id = revoked_key(entry)
            assert key_id is not None
            stolen[entry.origin, key_id] = (body.compromised_since, bare)
    for vote, target in taken_back:
        place = leaves.place(target)
        if (
            place is not None
            and takes_back(vote, place)
            and (place.kind in ACCUSING or not _is_by_stolen_key(vote, stolen))
        ):
            speak(target, vote, _WITHDRAWN)
    for target, cast in ballots.items():
        if _is_annulled(leaves.place(target), cast, view):
            for vote in cast:
                speak(target, vote, _ANNULLED)
    for (origin, issuer), (since, revocation) in stolen.items():
        for digest in leaves.signed_by(issuer, origin=origin, since=since):
            speak(digest, revocation, _DOUBTED)
    return {target: said[-1] for target, said in against.items()}


def _is_by_stolen_key(entry: EntryFacts, stolen: _Stolen) -> bool:
    since = stolen.get((entry.origin, entry.issuer))
    return since is not None and entry.index >= since[0]


def _is_by_peer(vote: EntryFacts, notice: LeafPlace | None, view: View) -> bool:
    """Whether a bureau votes that the notice's policy names; what the notice says is not asked."""
    policy = None if notice is None else view.policy(notice.origin, notice.index)
    reviewer = None if vote.organisation is None else view.organisation(vote.organisation)
    if policy is None or reviewer is None or notice is None or notice.kind != "notice":
        return False
    return (reviewer.origin, reviewer.roots[0].hex()) in {(peer.origin, peer.organisation) for peer in policy.peers}


def _is_annulled(case: LeafPlace | None, ballots: list[EntryFacts], view: View) -> bool:
    """Whether the chamber voted so, without the organisation that entered it. Who else is a party a notice says."""
    policy = None if case is None else view.policy(case.origin, case.index)
    if case is None or policy is None:
        return False
    barred = frozenset() if case.organisation is None else frozenset({case.organisation})
    return ruling(ballots, policy, view, barred=barred, even_doubted=True) is not None
