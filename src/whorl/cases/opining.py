"""The opinion on a case as it stands: composed from its own exhibits, issued by the analyst."""

from typing import Literal

from whorl.cases.analysing import read_tools
from whorl.cases.case import Case, CaseView
from whorl.cases.casework import opine
from whorl.core.errors import VerificationError
from whorl.dossiers.composing import CaseDocuments, compose_opinion
from whorl.dossiers.opinion import Opinion, Remarks
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
    documents = CaseDocuments(
        findings={one.document: case.store.get(one.document) for one in state.analysed},
        populations=read_tools([case.store.get(digest) for digest in state.protocol.populations]).populations,
    )
    kinds = [event.record.kind for event in view.events]
    return compose_opinion(
        state,
        documents,
        case=view.kept[0].record.hash.hex(),
        protocol_sequence=kinds.index("frozen"),
        remarks=remarks,
    )


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
