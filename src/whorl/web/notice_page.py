"""What the page of a notice shows: what is said and what is replied, the state, what comes next, and the evidence.

As long as a notice may not be shown, nothing shows that its author says of it either (`whorl.web.page_reading`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import Dispute, FindingEntry, Notice, Response, State, Status
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.log.policy import Policy
from whorl.registry.findings import cited, is_independent
from whorl.registry.notice_case import NoticeCase, open_case
from whorl.registry.notices import NoticeStanding, NoticeState, Strength, notice_standing, strength_after_tests
from whorl.registry.parties import Parties
from whorl.registry.remembering_view import RememberingView
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.view import EntryFacts, View
from whorl.registry.votes import doubted
from whorl.web.documents import EntryLine, OrganisationName
from whorl.web.entry_pages import claimant_name, entry_line
from whorl.web.entry_times import Interval, interval_of
from whorl.web.page_reading import Hidden, hidden, is_shown

WAY: Final[tuple[NoticeState, ...]] = ("filed", "reviewed", "published")
LISTED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody says; ``text`` is None where it is not shown."""

    entry: str
    by: OrganisationName | None
    at: datetime
    text: str | None
    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeCard:
    """A dispute, what the accuser answered, and until when they had or have to."""

    said: Said
    answers: tuple[Said, ...]
    deadline: datetime
    settled: datetime | None
    votes: tuple["VoteLine", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteLine:
    """A vote on the notice or on a dispute; ``reason`` is None where it is not shown."""

    entry: str
    state: State
    by: OrganisationName | None
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedFinding:
    """A finding that the notice rests on."""

    entry: str
    body: FindingEntry
    by: OrganisationName | None
    independent: bool
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePage:
    """All that the page shows; ``body`` is None as long as the notice may not be shown."""

    id: str
    state: NoticeState
    because: str
    next_steps: tuple[str, ...]
    until: datetime | None
    hidden: Hidden | None
    body: Notice | None
    accuser: OrganisationName | None
    accused: tuple[OrganisationName, ...]
    others: tuple[OrganisationName, ...]
    target_id: str
    target: EntryLine | None
    reference: EntryLine | None
    also_named: tuple[EntryLine, ...]
    additions: tuple[Said, ...]
    replies: tuple[Said, ...]
    disputes: tuple[DisputeCard, ...]
    votes: tuple[VoteLine, ...]
    findings: tuple[CitedFinding, ...]
    strength: Strength | None
    interval: Interval
    leaf: str


def notice_page(connection: Connection, notice: EntryFacts, *, policy: Policy | None, at: datetime) -> NoticePage:
    """Gather what is shown of a notice to everybody.

    Parameters
    ----------
    policy : by which tree heads of its log are checked; None for a log of another bureau
    """
    view = RememberingView(connection)
    standing = notice_standing(notice, view, at=at)
    reason = hidden(notice, view, at=at)
    case = open_case(notice, view, at=at)
    statement = notice.statement
    body = statement.body if statement is not None and reason is None else None
    shown = body if isinstance(body, Notice) else None
    target = None if statement is None else view.entry(statement.target)
    telling = _Telling(view, at=at)
    about = [] if case is None else list(case.about)[:LISTED]
    return NoticePage(
        id=entry_id(notice.hash),
        state=standing.state,
        because=reason_in_words(standing, case),
        next_steps=tuple(_next_steps(standing, case)),
        until=standing.until,
        hidden=reason,
        body=shown,
        accuser=claimant_name(notice.organisation, view),
        **_parties(case, target, view, everybody=shown is not None),
        target_id="" if statement is None else entry_id(statement.target),
        target=telling.line(target),
        reference=None if shown is None or shown.reference is None else telling.named(shown.reference),
        also_named=() if shown is None else tuple(filter(None, map(telling.named, shown.also_named))),
        additions=telling.said(one for one in about if one.organisation == notice.organisation),
        replies=telling.said(one for one in about if one.organisation != notice.organisation),
        disputes=() if case is None else tuple(telling.dispute(one, case) for one in case.disputes[:LISTED]),
        votes=() if case is None else telling.votes(case.speaking[:LISTED]),
        findings=() if shown is None or case is None else _cited(shown, case.parties, view, at=at),
        strength=None if shown is None else strength_after_tests(shown),
        interval=interval_of(connection, notice, policy=policy),
        leaf=notice.hash.hex(),
    )


class _Telling:
    """What entries about a notice say, as far as pages may tell it."""

    def __init__(self, view: View, *, at: datetime) -> None:
        self._view = view
        self._at = at

    def line(self, entry: EntryFacts | None) -> EntryLine | None:
        if entry is None or not is_shown(entry, self._view, at=self._at):
            return None
        return entry_line(entry, self._view)

    def named(self, entry: str) -> EntryLine | None:
        return self.line(self._view.entry(parse_entry_id(entry)))

    def said(self, entries: Iterable[EntryFacts]) -> tuple[Said, ...]:
        """The replies among some entries."""
        return tuple(self._one(entry) for entry in entries if entry.kind == "response")

    def dispute(self, dispute: EntryFacts, case: NoticeCase) -> DisputeCard:
        about = list(self._view.about(dispute.hash))[:LISTED]
        return DisputeCard(
            said=self._one(dispute),
            answers=self.said(about),
            deadline=case.deadline(dispute),
            settled=case.settled(dispute),
            votes=self.votes(about),
        )

    def votes(self, entries: Sequence[EntryFacts]) -> tuple[VoteLine, ...]:
        return tuple(
            VoteLine(
                entry=entry_id(entry.hash),
                state=entry.statement.body.state,
                by=claimant_name(entry.organisation, self._view),
                at=entry.seen_at,
                reason=entry.statement.body.reason if is_shown(entry, self._view, at=self._at) else None,
            )
            for entry in entries
            if entry.statement is not None and isinstance(entry.statement.body, Status)
        )

    def _one(self, entry: EntryFacts) -> Said:
        body = None if entry.statement is None else entry.statement.body
        text = body.text if isinstance(body, Response) else body.grounds if isinstance(body, Dispute) else None
        told = is_shown(entry, self._view, at=self._at)
        return Said(
            entry=entry_id(entry.hash),
            by=claimant_name(entry.organisation, self._view),
            at=entry.seen_at,
            text=text if told else None,
            blobs=body.blobs if told and isinstance(body, Response | Dispute) else (),
        )


def _parties(
    case: NoticeCase | None, target: EntryFacts | None, view: View, *, everybody: bool
) -> dict[str, tuple[OrganisationName, ...]]:
    """Who is accused, and who else is named; of a hidden notice only what its leaf shows: whose entry it is about."""
    if case is None or not everybody:
        whose = None if target is None else claimant_name(target.organisation, view)
        return {"accused": () if whose is None else (whose,), "others": ()}
    accused = case.parties.accused
    return {
        "accused": _organisations(accused, view),
        "others": _organisations(case.parties.named - accused, view),
    }


def _organisations(digests: Iterable[bytes], view: View) -> tuple[OrganisationName, ...]:
    named = (claimant_name(digest, view) for digest in sorted(digests)[:LISTED])
    return tuple(one for one in named if one is not None)


def _cited(notice: Notice, parties: Parties, view: View, *, at: datetime) -> tuple[CitedFinding, ...]:
    found = []
    for entry in cited(notice.findings, view):
        body = None if entry.statement is None else entry.statement.body
        if isinstance(body, FindingEntry) and is_shown(entry, view, at=at):
            found.append(
                CitedFinding(
                    entry=entry_id(entry.hash),
                    body=body,
                    by=claimant_name(entry.organisation, view),
                    independent=is_independent(entry, parties, view),
                    standing=entry_standing(entry, view, at=at).standing,
                )
            )
    return tuple(found)


def reason_in_words(standing: NoticeStanding, case: NoticeCase | None) -> str:
    """Why a notice is in its state, as a sentence that names no offence."""
    if standing.state == "blocked" and case is not None and not case.pending and doubted(case.notice, case.view):
        return "The key that signed it is in doubt: it may have been in other hands."
    return f"{standing.because[:1].upper()}{standing.because[1:]}."


def _next_steps(standing: NoticeStanding, case: NoticeCase | None) -> Iterable[str]:
    """What can come next; times are added by the page where time alone decides."""
    match standing.state:
        case "filed":
            yield "A bureau at home with neither side reviews it. Until then its text stays hidden."
        case "reviewed":
            yield "It is shown once everybody accused has replied, or when the time to reply is over."
        case "published" | "upheld":
            yield "It is shown until somebody whom it names disputes it, until it is withdrawn or annulled, or expires."
        case "blocked":
            yield from _of_a_blocked_one(case)
        case "annulled":
            yield "Nothing brings it back. The same claim needs a new notice, which names this one and new evidence."
        case "withdrawn" | "refused" | "expired":
            yield "The same claim needs a new notice, which names this one and new evidence."


def _of_a_blocked_one(case: NoticeCase | None) -> Iterable[str]:
    if case is None or not case.pending:
        yield "It stays hidden until what speaks against it is put right."
    elif case.silent_from is not None:
        yield "Whoever filed it must answer the dispute. Without an answer in time the notice is annulled."
    else:
        yield "Whoever filed it has answered. The chamber dismisses the dispute, or upholds or annuls the notice."
