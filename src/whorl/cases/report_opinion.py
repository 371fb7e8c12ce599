"""The opinion that a report shows: the one in force, once it was composed again from the findings."""

from whorl.cases.case import Case, CaseView
from whorl.cases.opining import composed, confirmed_opinion
from whorl.dossiers.issued_opinion import Confirmed, issued_opinion
from whorl.dossiers.opinion import Control, Remarks


def opinion_issued(case: Case, view: CaseView) -> Confirmed | None:
    """The opinion in force, composed again; None where none is.

    Raises
    ------
    InputError, VerificationError
        As `whorl.cases.opining.confirmed_opinion`.
    """
    issued = issued_opinion(view.events)
    return None if issued is None else confirmed_opinion(case, view, issued)


def controls_of(case: Case, view: CaseView, confirmed: Confirmed | None) -> tuple[Control, ...]:
    """What the controls gave: a fact, whether there is an opinion or not."""
    if confirmed is not None:
        return confirmed.opinion.controls
    if view.state.unseen or view.state.unblinded is None:
        return ()
    return composed(case, Remarks()).controls
