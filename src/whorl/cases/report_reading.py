"""Reading a case into its report: who, what, when, and the opinion in force, whose figures are made again first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from whorl import __version__
from whorl.cases import report_wording as words
from whorl.cases.case import Case, CaseView
from whorl.cases.report_document import (
    AppealLine,
    CaseReport,
    ClaimLine,
    ControlLine,
    ExhibitLine,
    Person,
    ProtocolLines,
    ReplicationLine,
    ReplyLine,
    ReviewLines,
)
from whorl.cases.report_events import event_lines
from whorl.cases.report_figures import NO_FIGURES, Figures, figures_of
from whorl.cases.report_opinion import controls_of, opinion_issued
from whorl.dossiers.custody import Event
from whorl.dossiers.events import Acquired, Proposition, Responded, Reviewed
from whorl.dossiers.hearing import hearing_of
from whorl.dossiers.issued_opinion import Confirmed, frozen_at
from whorl.dossiers.opinion import Control
from whorl.dossiers.state import State
from whorl.statistics.verbal_scale import shipped_scale

_KEY_LETTERS: Final = 16


def read_report(case: Case) -> CaseReport:
    """Read and check a case, and put all that is shown of it into words.

    Figures are given for an opinion in force alone. They are made again from the findings before, so that a report
    never shows a number that does not follow from its case.

    Raises
    ------
    InputError
        If the case, or something that it names, cannot be read.
    VerificationError
        If a signature, a rule or a number does not hold.
    """
    view = case.read()
    state = view.state
    issued = None if state.unseen else opinion_issued(case, view)
    standing = _standing(state, issued)
    figures = NO_FIGURES if issued is None or standing != "issued" else figures_of(issued.opinion, issued.documents)
    controls = tuple(map(_control, controls_of(case, view, issued)))
    return CaseReport(
        generator=f"Whorl {__version__}",
        standing=standing,
        standing_meaning=words.STANDING_MEANINGS[standing],
        verdict=_verdict(standing, issued, figures),
        statement="" if issued is None or standing != "issued" else issued.opinion.statement,
        version="" if issued is None else f"Opinion {issued.event.version}",
        changed="" if issued is None else issued.event.text,
        case=view.id,
        head=view.head,
        at=words.day_and_time(view.events[-1].record.at),
        events=event_lines(view, outcomes=standing == "issued"),
        protocol=_protocol(view),
        controls=controls,
        failed=tuple(
            f"{one.role} {one.code}, {one.name}: expected {one.expected}, got {one.got}."
            for one in controls
            if not one.behaved
        ),
        **_beginning(state),
        **_hearing(view),
        **_scale(),
        **figures.members(),
    )


def _beginning(state: State) -> dict[str, Any]:
    """What the case is about, who takes part, and what was taken."""
    opened = state.opened
    return {
        "title": "Case, its opening erased" if opened is None else opened.title,
        "question": "" if opened is None else opened.question,
        "questioned": "" if opened is None else opened.questioned.name,
        "reference": "" if opened is None else opened.reference.name,
        "claim": _claim(state),
        "licence": "" if opened is None else opened.licence,
        "funding": "" if opened is None else opened.funding,
        "people": tuple(
            Person(name=one.name, role=words.ROLES[one.role], key=one.id[:_KEY_LETTERS])
            for one in state.parties.values()
        ),
        "propositions": tuple(map(_proposition, state.propositions)),
        "exhibits": tuple(_exhibit(state, one) for one in state.acquired),
    }


def _hearing(view: CaseView) -> dict[str, Any]:
    """What was answered, made again, reviewed and appealed."""
    state = view.state
    return {
        "replies": tuple(map(_reply, state.responses)),
        "reply_until": _time(state.reply_until),
        "unheard": state.at is not None and hearing_of(state, now=state.at) == "not_heard",
        "replications": _replications(state),
        "review": _review(view.events),
        "appeals": tuple(
            AppealLine(grounds=", ".join(words.GROUNDS[ground] for ground in one.grounds), text=one.text)
            for one in state.appeals
        ),
        "decisions": tuple((one.result, one.reasons) for one in state.decisions),
        "closed": None if state.closed is None else (state.closed.outcome, state.closed.reasons),
    }


def _scale() -> dict[str, Any]:
    scale = shipped_scale()
    return {
        "bands": tuple((_from(band.above_log10), band.support) for band in scale.bands),
        "scale": f"{scale.id}/{scale.version}",
        "scale_source": scale.source,
    }


def _standing(state: State, issued: Confirmed | None) -> words.Standing:
    if state.unseen or state.opened is None:
        return "erased"
    if state.failed_controls:
        return "void"
    if issued is not None:
        return "issued"
    return "annulled" if state.annulled else "none"


def _verdict(standing: words.Standing, issued: Confirmed | None, figures: Figures) -> str:
    if issued is None or standing != "issued":
        return words.STANDINGS[standing]
    verdict = issued.opinion.verdict
    line = figures.shared if verdict == "supports_shared_weights" else figures.headline
    return words.VERDICTS[verdict].format(support="" if line is None else line.support.capitalize())


def _claim(state: State) -> str:
    stated = {one.alternative for one in state.propositions if one.side == "complainant"}
    return words.CLAIMS["learned_from" if "learned_from" in stated and "derived" not in stated else "derived"]


def _proposition(one: Proposition) -> ClaimLine:
    about = words.CLAIMS.get(one.alternative)
    if about is None:
        about = next(title for name, title in words.ALTERNATIVES.items() if name == one.alternative)
    return ClaimLine(side=words.ROLES[one.side], about=about[:1].upper() + about[1:], statement=one.statement)


def _exhibit(state: State, one: Acquired) -> ExhibitLine:
    members = () if state.unblinded is None else state.unblinded.members
    named = next((f"{words.MEMBERS[m.role]}: {m.name}" for m in members if m.code == one.code), "under its code")
    return ExhibitLine(
        code=one.code,
        what=named if one.title is None else one.title,
        digest=one.digest,
        access=words.ACCESSES[one.access],
        how=one.how,
        at=words.day_and_time(one.acquired_at),
        filed_by=words.ROLES[one.filed_by],
    )


def _protocol(view: CaseView) -> ProtocolLines | None:
    protocol, state = view.state.protocol, view.state
    if protocol is None:
        return None
    line_up = protocol.line_up
    return ProtocolLines(
        at=_time(state.frozen_at),
        event=frozen_at(view.events),
        methods=tuple(
            (
                words.GROUPS[one.group],
                one.method,
                ", ".join(f"{name} {value}" for name, value in sorted(one.parameters.items())),
            )
            for one in protocol.methods
        ),
        populations=protocol.populations,
        treatments=tuple((words.ALTERNATIVES[one.alternative], one.tested, one.how) for one in protocol.treatments),
        stop_rule=protocol.stop_rule,
        exclusions=protocol.exclusions,
        alpha=f"{protocol.alpha:g}",
        line_up=f"{line_up.members} models: the questioned one, the reference, {_count(line_up.decoys, 'decoy')}, "
        f"{_count(line_up.positive_controls, 'positive control')}, "
        f"{_count(line_up.negative_controls, 'negative control')}",
        commitment=protocol.code_key_commitment,
    )


def _control(one: Control) -> ControlLine:
    return ControlLine(
        code=one.code,
        role=words.MEMBERS[one.role],
        name=one.name,
        expected=words.EXPECTED[one.role],
        got=words.OUTCOMES[one.outcome],
        behaved=one.behaved,
    )


def _reply(one: Responded) -> ReplyLine:
    return ReplyLine(
        declined=one.declined,
        statement=one.statement,
        alternatives=tuple(map(_proposition, one.alternatives)),
        exhibits=", ".join(one.exhibits),
    )


def _replications(state: State) -> tuple[ReplicationLine, ...]:
    return tuple(
        ReplicationLine(
            tool=one.tool,
            count=len(one.findings),
            agrees=one.agrees,
            tolerance=f"{one.tolerance:g}",
            largest=f"{max(finding.largest_difference for finding in one.findings):.2g}",
            differences=tuple(text for finding in one.findings for text in finding.differences),
        )
        for one in state.replications
    )


def _review(events: Sequence[Event]) -> ReviewLines | None:
    """The last review; an opinion is issued after one, so that it covers what is shown here."""
    last = next((event.body for event in reversed(events) if isinstance(event.body, Reviewed)), None)
    if last is None:
        return None
    return ReviewLines(
        accepted=last.accepted,
        reasons=last.reasons,
        points=tuple(
            (words.POINTS.get(one.point, one.point), words.ANSWERS[one.answer], one.note) for one in last.checklist
        ),
    )


def _from(log10: float) -> str:
    return "above 1" if log10 == 0 else f"from {words.times(log10) if log10 < 4 else f'{10**log10:,.0f}'}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
