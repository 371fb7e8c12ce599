"""The opinion that a report shows: the one in force, once it was composed again from the findings."""

from dataclasses import dataclass

from whorl.cases.analysing import read_tools
from whorl.cases.case import Case, CaseView
from whorl.core.errors import VerificationError
from whorl.dossiers.composing import CaseDocuments, compose_opinion
from whorl.dossiers.differences import differences
from whorl.dossiers.events import Opined
from whorl.dossiers.opinion import Control, Opinion, Remarks, parse_opinion
from whorl.dossiers.opinion_steps import MAX_OPINION_BYTES
from whorl.dossiers.proceeding import proceed
from whorl.dossiers.ratios_again import TOLERANCE
from whorl.dossiers.recorded import require_recorded
from whorl.dossiers.references import opinion_in_force
from whorl.dossiers.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """The opinion in force, its event and the documents that it follows from."""

    opinion: Opinion
    event: Opined
    documents: CaseDocuments


def opinion_issued(case: Case, view: CaseView) -> Issued | None:
    """The opinion in force, composed again; None where none is.

    Raises
    ------
    InputError
        If something that it rests on is missing or malformed.
    VerificationError
        If it is not the one that follows from the findings, or a finding says something else than the chain.
    """
    digest = opinion_in_force(view.events)
    if digest is None:
        return None
    place, event = next(
        (place, event.body)
        for place, event in reversed(list(enumerate(view.events)))
        if isinstance(event.body, Opined) and event.body.document == f"sha256:{digest}"
    )
    opinion = parse_opinion(case.store.get(event.document), what="opinion", most=MAX_OPINION_BYTES)
    state = proceed(view.events[:place])
    documents = _documents(case, state)
    again = compose_opinion(
        state, documents, case=view.id, protocol_sequence=opinion.protocol_sequence, remarks=opinion.remarks
    )
    largest, places = differences(opinion.model_dump(mode="json"), again.model_dump(mode="json"), where="opinion")
    if places or largest > TOLERANCE:
        where = places[0][:400] if places else f"a number that differs by {largest:.3g}"
        raise VerificationError(
            f"expected the opinion that follows from the findings, found another: {where}; no report is made of it"
        )
    return Issued(opinion=opinion, event=event, documents=documents)


def _documents(case: Case, state: State) -> CaseDocuments:
    """What an opinion follows from; every finding says what the chain says of it."""
    populations = () if state.protocol is None else state.protocol.populations
    findings = {one.document: case.store.get(one.document) for one in state.analysed}
    for one in state.analysed:
        require_recorded(state, one, findings[one.document])
    return CaseDocuments(
        findings=findings,
        populations=read_tools([case.store.get(digest) for digest in populations]).populations,
    )


def controls_of(case: Case, view: CaseView, issued: Issued | None) -> tuple[Control, ...]:
    """What the controls gave: a fact, whether there is an opinion or not."""
    state = view.state
    if issued is not None:
        return issued.opinion.controls
    if state.unseen or state.unblinded is None:
        return ()
    made = compose_opinion(
        state, _documents(case, state), case=view.id, protocol_sequence=frozen_at(view), remarks=Remarks()
    )
    return made.controls


def frozen_at(view: CaseView) -> int:
    """Number of the event that fixed the protocol; there is one."""
    return [event.record.kind for event in view.events].index("frozen")
