"""Whether an entry is in good standing, and the list of those that are not, from which the status map is made."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from whorl.entries.kinds import Dispute, Key, State, Status
from whorl.registry.notices import NoticeState, notice_standing
from whorl.registry.parties import barred_from_ruling
from whorl.registry.view import EntryFacts, View
from whorl.registry.votes import ACCUSING, flaw_of, revoked_key, ruling

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
_VOTES_AGAINST: Final[dict[State, int]] = {"withdrawn": 1, "refused": 3}
_ANNULLED, _DOUBTED, _DISPUTED = 0, 2, 4


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


def not_in_good_standing(entries: Collection[EntryFacts], view: View) -> dict[bytes, bytes]:
    """All entries that something speaks against, and for each the entry that does: what the status map holds.

    It follows from the entries alone, not from any clock, so that every mirror of the same logs makes the same map.
    What was once disputed or refused therefore stays in it, however that ended: absence means that nobody ever spoke
    against the entry, presence that a reader must look. Only a withdrawal by a key that was compromised by then is left
    out, unless it takes an accusation back: with it a thief would undo what the key's owner entered. Of several entries
    against one the gravest counts (annulled, withdrawn, doubted, refused, disputed), among equals the first by log and
    index.

    Parameters
    ----------
    entries : those of the map's own log, and of the logs that it covers, up to the sizes that it states. Only
        statuses, disputes, revocations and entries of compromised keys need be among them
    """
    against: dict[bytes, list[tuple[int, str, int, bytes]]] = {}
    ballots: dict[bytes, list[EntryFacts]] = {}
    cast_against: list[tuple[State, EntryFacts, bytes]] = []
    stolen: _Stolen = {}
    for entry in entries:
        body = None if entry.statement is None else entry.statement.body
        if entry.statement is None:
            continue
        if isinstance(body, Dispute):
            against.setdefault(entry.statement.target, []).append(_speaks(entry, _DISPUTED))
        elif isinstance(body, Status) and body.state in _VOTES_AGAINST:
            cast_against.append((body.state, entry, entry.statement.target))
        elif isinstance(body, Status) and body.state == "annulled":
            ballots.setdefault(entry.statement.target, []).append(entry)
        elif isinstance(body, Key) and body.compromised_since is not None:
            key_id = revoked_key(entry)
            assert key_id is not None
            stolen[entry.origin, key_id] = (body.compromised_since, entry)
    for state, vote, target in cast_against:
        if state != "withdrawn" or not _is_by_stolen_key(vote, stolen) or _is_accusing(target, view):
            against.setdefault(target, []).append(_speaks(vote, _VOTES_AGAINST[state]))
    for target, cast in ballots.items():
        if _is_annulled(target, cast, view):
            against.setdefault(target, []).extend(_speaks(vote, _ANNULLED) for vote in cast)
    for entry in entries:
        if _is_by_stolen_key(entry, stolen):
            _, revocation = stolen[entry.origin, entry.issuer]
            against.setdefault(entry.hash, []).append(_speaks(revocation, _DOUBTED))
    return {target: min(spoken)[-1] for target, spoken in against.items()}


def _speaks(entry: EntryFacts, gravity: int) -> tuple[int, str, int, bytes]:
    return gravity, entry.origin, entry.index, entry.hash


def _is_by_stolen_key(entry: EntryFacts, stolen: _Stolen) -> bool:
    since = stolen.get((entry.origin, entry.issuer))
    return since is not None and entry.index >= since[0]


def _is_accusing(target: bytes, view: View) -> bool:
    """Whether an entry accuses; one that is not known here is taken to, so that nothing said against it is lost."""
    entry = view.entry(target)
    return entry is None or entry.kind in ACCUSING


def _is_annulled(target: bytes, ballots: list[EntryFacts], view: View) -> bool:
    case = view.entry(target)
    policy = None if case is None else view.policy(case.origin, case.index)
    if case is None or policy is None:
        return False
    barred = barred_from_ruling(case, view, annulling=True)
    return ruling(ballots, policy, view, barred=barred, even_doubted=True) is not None
