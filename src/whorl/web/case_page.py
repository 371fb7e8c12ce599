"""What the page of a case shows to one person in it: what is said, where it stands, what they may file and until when.

No figure of a finding is shown: a ratio means nothing without its alternative, interval and caps, which are in the
report. Names that codes stand for show once they were shown in the case, and findings not before that; whoever reads
the signed events themselves finds the outcomes there, by code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from whorl.cases.case import CaseView
from whorl.cases.report_wording import EVENTS, ROLES
from whorl.dossiers.events import Acquired, Analysed, CodedMember, Party, Proposition, Responded, Role
from whorl.dossiers.state import State
from whorl.web.case_filings import Filing, filings

Progress: TypeAlias = Literal["done", "now", "ahead"]

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time to reply; ``left`` in words, None once it is over."""

    until: datetime
    left: str | None
    answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step on the way of a case."""

    name: str
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One exhibit on record; ``stands_for`` is None as long as its code does not show."""

    code: str
    title: str | None
    filed_by: str
    at: str
    digest: str
    blob: str | None
    stands_for: CodedMember | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding in a word."""

    code: str
    stands_for: CodedMember | None
    outcome: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One event."""

    number: int
    at: str
    what: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """All that the page shows to one person."""

    view: CaseView
    state: State
    you: Party
    other_side: str
    ours: tuple[Proposition, ...]
    theirs: tuple[Proposition, ...]
    window: Window | None
    steps: tuple[Step, ...]
    next: tuple[str, ...]
    filings: tuple[Filing, ...]
    models: tuple[Exhibit, ...]
    documents: tuple[Exhibit, ...]
    findings: tuple[Found, ...]
    replies: tuple[Responded, ...]
    happened: tuple[Happened, ...]
    url: str
    ends: datetime


def case_page(view: CaseView, you: Party, *, url: str, ends: datetime, at: datetime) -> CasePage:
    """Gather what one person is shown.

    Parameters
    ----------
    url : of the case, as commands name it
    ends : when the link ends by which the page is read
    at : now
    """
    state = view.state
    own_side = "respondent" if you.role == "respondent" else "complainant"
    everything = (*state.propositions, *(one for reply in state.responses for one in reply.alternatives))
    shown = {} if state.unblinded is None else {member.code: member for member in state.unblinded.members}
    exhibits = [_exhibit(one, shown) for one in state.acquired]
    return CasePage(
        view=view,
        state=state,
        you=you,
        other_side=_names(state, "complainant" if own_side == "respondent" else "respondent"),
        ours=tuple(one for one in everything if one.side == own_side),
        theirs=tuple(one for one in everything if one.side != own_side),
        window=_window(state, at),
        steps=tuple(_steps(state)),
        next=tuple(_next(state)),
        filings=filings(state, you, url=url, at=at),
        models=tuple(one for one in exhibits if one.title is None),
        documents=tuple(one for one in exhibits if one.title is not None),
        findings=() if state.unblinded is None else tuple(_found(one, shown) for one in state.analysed),
        replies=state.responses,
        happened=tuple(_happened(view)),
        url=url,
        ends=ends,
    )


def downloads(state: State) -> frozenset[str]:
    """Digests of what a person may fetch by a link: documents, opinions, and findings once the codes are shown."""
    filed = {one.blob for one in state.acquired if one.access == "document" and one.blob is not None}
    issued = {one.document for one in state.opinions}
    found = set() if state.unblinded is None else {one.document for one in state.analysed}
    return frozenset(filed | issued | found)


def time_left(left: timedelta) -> str | None:
    """How much of a window is left, in words that never say more than there is; None where it is over."""
    if left < timedelta(0):
        return None
    number, unit = (left // _DAY, "day") if left >= 2 * _DAY else (left // _HOUR, "hour")
    if number == 0:
        return "less than an hour left"
    return f"{number} {unit}{'' if number == 1 else 's'} left"


def _window(state: State, at: datetime) -> Window | None:
    until = state.reply_until
    if until is None or state.void:
        return None
    return Window(until=until, left=time_left(until - at), answered=bool(state.responses))


def _steps(state: State) -> Iterator[Step]:
    """The way of a case. Reply and repetition may be left out, so what comes next follows the last that was done."""
    fixed = state.protocol is not None
    reached = (
        ("Opened", True),
        ("Both sides heard", {one.side for one in state.propositions} == {"complainant", "respondent"}),
        ("Protocol fixed", fixed),
        ("Exhibits taken", fixed and not state.not_acquired()),
        ("Compared under codes", fixed and not state.not_analysed()),
        ("Codes shown", state.unblinded is not None),
        ("Reply", bool(state.responses)),
        ("Repeated", bool(state.replications)),
        ("Reviewed", state.review is not None or bool(state.opinions)),
        ("Opinion", bool(state.opinions)),
        ("Closed", state.closed is not None),
    )
    ended = state.closed is not None or state.void
    last = max(place for place, (_, done) in enumerate(reached) if done)
    for place, (name, done) in enumerate(reached):
        yield Step(name=name, progress="done" if done else "now" if place == last + 1 and not ended else "ahead")


def _next(state: State) -> Iterator[str]:
    """What comes next, in sentences."""
    match state.stage:
        case "opened" | "proposed":
            yield "Both sides file propositions. Then the manager fixes the protocol, before anything is looked at."
        case "frozen" | "acquiring" if state.not_acquired():
            yield "The manager takes the exhibits of the line-up, under codes."
        case "acquiring" | "analysing" if state.not_analysed():
            yield "The analyst compares the line-up under codes, by the protocol and nothing else."
        case "analysing":
            yield "The manager shows which model has which code. The controls decide then whether the run counts."
        case "void":
            yield "A control failed: nothing in this run counts, for or against anybody. The manager closes the case."
        case "unblinded" | "answered" | "replicated":
            yield from _before_review(state)
        case "reviewed":
            yield (
                "The analyst issues the opinion."
                if state.review is not None and state.review.accepted
                else "The file is put right and reviewed again."
            )
        case "opined":
            yield "The manager closes the case. Either side may appeal."
        case "closed" if state.opinions:
            yield "Either side may appeal against the opinion."
        case "appealed":
            yield "Somebody who had no other part in the case decides on the appeal."
        case "decided":
            yield (
                "The opinion was annulled. What was said may be erased." if state.annulled else "The appeal is decided."
            )
        case _:
            yield "Nothing is due."


def _before_review(state: State) -> Iterator[str]:
    if not state.responses:
        yield "The respondent has time to reply."
    if not state.replications:
        yield "A second analyst may make every finding again."
    yield "Then a reviewer goes through the file."


def _exhibit(one: Acquired, shown: dict[str, CodedMember]) -> Exhibit:
    return Exhibit(
        code=one.code,
        title=one.title,
        filed_by=ROLES[one.filed_by],
        at=one.acquired_at,
        digest=one.digest,
        blob=one.blob,
        stands_for=shown.get(one.code),
    )


def _found(one: Analysed, shown: dict[str, CodedMember]) -> Found:
    return Found(
        code=one.questioned,
        stands_for=shown.get(one.questioned),
        outcome=one.summary.outcome,
        document=one.document,
    )


def _happened(view: CaseView) -> Iterator[Happened]:
    for event in view.events:
        record = event.record
        party = view.state.parties.get(record.actor)
        who = "a key that is not known any more" if party is None else f"{party.name} ({ROLES[party.role]})"
        yield Happened(number=record.sequence, at=record.at, what=EVENTS[record.kind], who=who)


def _names(state: State, role: Role) -> str:
    return ", ".join(party.name for party in state.parties.values() if party.role == role)
