"""What has become of a notice. States are derived, never stored: they follow from the entries about it and the time.

The same entries in any order give the same state. In this order of precedence:

=========  ============================================================================================
annulled   by a ruling of the chamber, or because the accuser did not answer a dispute in time
withdrawn  by the accuser
expired    kept for as long as the policy allows, and not renewed
refused    by at least as many reviewing bureaus as passed it
blocked    a dispute is open, its findings do not stand any more, or a key is doubted
upheld     otherwise published, and the chamber ruled that it stands
published  reviewed, and answered by everybody accused or left unanswered until the time to reply was over
reviewed   by a bureau that is at home with neither side, while the time to reply runs
filed      nothing of that yet
=========  ============================================================================================

Only a published or upheld notice shows its text. Format and reasons: ``docs/specs/notices.md``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Final, Literal, TypeAlias

from whorl.entries.kinds import Notice
from whorl.entries.leaf import parse_entry_id
from whorl.registry.findings import EXAMINERS, independent_findings
from whorl.registry.notice_case import NoticeCase, open_case
from whorl.registry.parties import persons_beside
from whorl.registry.view import EntryFacts, View
from whorl.registry.votes import doubted, revocations

NoticeState: TypeAlias = Literal[
    "filed", "reviewed", "published", "blocked", "upheld", "annulled", "withdrawn", "expired", "refused"
]
OPEN: Final[frozenset[NoticeState]] = frozenset({"filed", "reviewed", "published", "blocked", "upheld"})
_SHOWN: Final[frozenset[NoticeState]] = frozenset({"published", "upheld"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeStanding:
    """The state of a notice.

    Parameters
    ----------
    because : one sentence for people
    by : leaf hashes of the entries that brought it about
    until : when time alone changes the state next; None if it does not
    """

    state: NoticeState
    because: str
    by: tuple[bytes, ...] = ()
    until: datetime | None = None

    @property
    def may_show_text(self) -> bool:
        """Whether the accusation may be shown. What the accused says may always be."""
        return self.state in _SHOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """What a red notice states, after correction for all tests behind it."""

    log10_lr: float
    false_positive_bound: float
    tests: int


def notice_standing(notice: EntryFacts, view: View, *, at: datetime) -> NoticeStanding:
    """What has become of a notice at a time.

    Every entry that is known counts, whatever the clock says; only waiting times need `at`. Those whose end hides a
    notice are over as soon as the clock, or an entry in the case, shows a later time. A clock that was set back can
    therefore delay a publication, and bring back nothing that was hidden.

    Parameters
    ----------
    at : the time by this bureau's clock, with a time zone
    """
    case = open_case(notice, view, at=at)
    if case is None:
        return NoticeStanding(state="blocked", because="its log has no policy by which it could be judged")
    for rule in _PRECEDENCE:
        standing = rule(case)
        if standing is not None:
            return standing
    return _waiting_or_shown(case)


def strength_after_tests(notice: Notice) -> Strength | None:
    """What a red notice may claim, given that its evidence was chosen among so many tests; None for other notices.

    The false-positive bound is multiplied by the number of tests (Bonferroni), and the ratio divided by it, though
    never turned into one against the claim.
    """
    if notice.log10_lr_least_favourable is None or notice.false_positive_bound is None or notice.tests_run is None:
        return None
    stated = notice.log10_lr_least_favourable
    return Strength(
        log10_lr=min(stated, max(0.0, stated - math.log10(notice.tests_run))),
        false_positive_bound=min(1.0, notice.false_positive_bound * notice.tests_run),
        tests=notice.tests_run,
    )


def _annulled(case: NoticeCase) -> NoticeStanding | None:
    if case.annulled is None:
        return None
    return NoticeStanding(state="annulled", because="the chamber annulled it", by=case.annulled.by)


def _annulled_by_silence(case: NoticeCase) -> NoticeStanding | None:
    taken_back = [vote.seen_at for vote in case.withdrawals]
    for dispute in case.disputes:
        deadline = case.deadline(dispute)
        ends = [end for end in (*taken_back, case.settled(dispute)) if end is not None]
        unanswered = case.latest > deadline and not case.answered(dispute, deadline)
        if unanswered and all(end > deadline for end in ends):
            return NoticeStanding(
                state="annulled", because="the accuser did not answer a dispute in time", by=(dispute.hash,)
            )
    return None


def _withdrawn(case: NoticeCase) -> NoticeStanding | None:
    taken_back = case.withdrawals
    if not taken_back:
        return None
    return NoticeStanding(state="withdrawn", because="the accuser took it back", by=(taken_back[0].hash,))


def _expired(case: NoticeCase) -> NoticeStanding | None:
    if case.latest <= case.expires:
        return None
    because = "the time for which it is kept is over, and nobody renewed it"
    return NoticeStanding(state="expired", because=because, until=case.silent_from)


def _refused(case: NoticeCase) -> NoticeStanding | None:
    refusing = case.reviewers("refused")
    passing = case.reviewers("reviewed").keys() - refusing.keys()
    if not refusing or len(refusing) < len(passing):
        return None
    return NoticeStanding(
        state="refused", because="reviewing bureaus refused it", by=tuple(refusing.values()), until=case.ends
    )


def _blocked(case: NoticeCase) -> NoticeStanding | None:
    view = case.view
    if case.pending:
        return NoticeStanding(
            state="blocked",
            because="somebody whom it names disputes it",
            by=tuple(dispute.hash for dispute in case.pending),
            until=case.ends,
        )
    if doubted(case.notice, view):
        return NoticeStanding(
            state="blocked",
            because="the key that signed it is said to have been compromised by then",
            by=revocations(case.notice, view),
            until=case.expires,
        )
    unreadable = tuple(entry.hash for entry in case.about if entry.kind == "status" and entry.statement is None)
    if unreadable:
        return NoticeStanding(
            state="blocked", because="a vote on it cannot be read here", by=unreadable, until=case.expires
        )
    return _without_evidence(case)


def _without_evidence(case: NoticeCase) -> NoticeStanding | None:
    statement = case.notice.statement
    if statement is None:
        return NoticeStanding(state="blocked", because="what it says is not here", until=case.expires)
    body = statement.body
    if not isinstance(body, Notice) or body.colour != "red":
        return None
    standing = independent_findings(statement, case.parties, case.view)
    examiners = persons_beside(chain.from_iterable(standing.values()), case.parties.everyone, case.view)
    if examiners >= EXAMINERS:
        return None
    return NoticeStanding(
        state="blocked",
        because=f"findings of {examiners} independent examiners stand, where {EXAMINERS} are needed",
        by=tuple(map(parse_entry_id, body.findings)),
        until=case.expires,
    )


def _waiting_or_shown(case: NoticeCase) -> NoticeStanding:
    expires = case.expires
    passing = case.reviewers("reviewed")
    if not passing:
        return NoticeStanding(state="filed", because="no bureau of the federation has reviewed it", until=expires)
    by = tuple(passing.values())
    silent = case.parties.accused - {
        entry.organisation for entry in case.about if entry.kind == "response" and not doubted(entry, case.view)
    }
    reply_by = case.notice.seen_at + timedelta(seconds=case.policy.reply_seconds)
    if silent and case.at <= reply_by:
        return NoticeStanding(
            state="reviewed", because="the accused has time to reply", by=by, until=min(reply_by, expires)
        )
    if case.upheld is not None:
        return NoticeStanding(state="upheld", because="the chamber upheld it", by=case.upheld.by, until=expires)
    reply = "the time to reply is over" if silent else "everybody accused has replied"
    return NoticeStanding(state="published", because=f"reviewed, and {reply}", by=by, until=expires)


_PRECEDENCE: Final[tuple[Callable[[NoticeCase], NoticeStanding | None], ...]] = (
    _annulled,
    _annulled_by_silence,
    _withdrawn,
    _expired,
    _refused,
    _blocked,
)
