"""The opinion on a case as it stands: composed from its own exhibits, issued by the analyst."""

from typing import Literal

from whorl.cases.case import Case, CaseView
from whorl.cases.casework import opine
from whorl.core.errors import VerificationError
from whorl.dossiers.composing import CaseDocuments, compose_opinion
from whorl.dossiers.heard import MAX_HEARD_BYTES
from whorl.dossiers.issued_opinion import Confirmed, Issued, confirm_opinion, frozen_at
from whorl.dossiers.opinion import Opinion, Remarks
from whorl.dossiers.populations import calibrated
from whorl.dossiers.state import State
from whorl.dossiers.wording import require_fair
from whorl.entries.keys import IssuerKey


def composed(case: Case, remarks: Remarks) -> Opinion:
    """Compose the opinion that follows from the case; nothing is issued.

    Raises
    ------
    VerificationError
        If the case is not unblinded yet, or a remark is worded as no opinion may be.
    """
    view = case.read()
    state = view.state
    if state.protocol is None:
        raise VerificationError("expected a case whose protocol is fixed, found one without; freeze it first")
    for text in (*remarks.deviations, *remarks.limitations):
        require_fair(text, where="remark")
    return compose_opinion(
        state, documents_of(case, state), case=view.id, protocol_sequence=frozen_at(view.events), remarks=remarks
    )


def documents_of(case: Case, state: State) -> CaseDocuments:
    """The findings and populations that an opinion on the case follows from."""
    populations = () if state.protocol is None else state.protocol.populations
    documents = [(one.digest, case.store.get(one.digest)) for one in state.acquired if one.access == "document"]
    return CaseDocuments(
        findings={one.document: case.store.get(one.document) for one in state.analysed},
        filed={digest: data for digest, data in documents if len(data) <= MAX_HEARD_BYTES},
        populations=calibrated({one: case.store.get(one) for one in populations}),
    )


def confirmed_opinion(case: Case, view: CaseView, issued: Issued) -> Confirmed:
    """The opinion in force, composed again from the case's own exhibits.

    Raises
    ------
    InputError, VerificationError
        As `whorl.dossiers.issued_opinion.confirm_opinion`.
    """
    data = case.store.get(issued.event.document)
    return confirm_opinion(data, view.events, issued, documents_of=lambda state: documents_of(case, state))


def issue(
    case: Case,
    key: IssuerKey,
    *,
    remarks: Remarks,
    cause: Literal["calibration", "correction", "appeal"] = "correction",
    text: str = "",
) -> CaseView:
    """Compose the opinion and issue it, or its next version.

    Parameters
    ----------
    cause, text : why there is a new version; not used for the first
    """
    opinion = composed(case, remarks)
    return opine(
        case,
        opinion.model_dump_json().encode(),
        key,
        headline_log10=None if opinion.headline is None else opinion.headline.log10_lr,
        cause=cause,
        text=text,
    )
