"""Check a dossier offline, step by step: ``docs/specs/dossier.md`` says what each step asks.

A step passes, fails, or could not be asked, and says why; none stops those after it. A dossier is refused if any step
fails. What was not checked is never part of what was found to hold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.case_steps import completeness_step, custody_step, proceeding_step
from whorl.dossiers.events import Side, Verdict
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed, Step
from whorl.dossiers.file_steps import archive_step, bag_step, crate_step, root_step
from whorl.dossiers.hearing import Hearing, Signed, controls_judged, hearing_of, signed_by_sides
from whorl.dossiers.issued_opinion import issued_opinion
from whorl.dossiers.opinion_steps import numbers_step, opinion_step
from whorl.dossiers.reading import open_dossier
from whorl.dossiers.receipt_step import receipts_step
from whorl.dossiers.wording_step import wording_step
from whorl.entries.keys import PublicKey, encode_public
from whorl.log.policy import Policy

STEPS: Final[tuple[tuple[str, Callable[[Examination], Found]], ...]] = (
    ("archive", archive_step),
    ("bag", bag_step),
    ("catalogue", crate_step),
    ("signature", root_step),
    ("custody", custody_step),
    ("proceeding", proceeding_step),
    ("completeness", completeness_step),
    ("opinion", opinion_step),
    ("numbers", numbers_step),
    ("receipts", receipts_step),
    ("wording", wording_step),
)
"""Number 1 first. The numbers are part of the format: a new step goes to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How every step ended.

    Parameters
    ----------
    case : hex id of the case, once steps 4 and 5 agree on it
    issuer : the Ed25519 key that signed, once step 4 passed
    verdict : of the opinion in force, unless a step failed; None where there is none
    void : whether the run was void, once step 6 passed; None also where models were compared and no control was judged
    hearing : whether the respondent was heard, once step 6 passed
    signed : how far either side's own signatures reach, once step 5 passed
    """

    steps: tuple[Step, ...]
    case: str | None
    issuer: str | None
    verdict: Verdict | None = None
    void: bool | None = None
    hearing: Hearing | None = None
    signed: Mapping[Side, Signed | None] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Step, ...]:
        """The steps that found something else than they should; empty if the dossier holds as far as it was checked."""
        return tuple(step for step in self.steps if step.outcome == "failed")

    @property
    def not_checked(self) -> tuple[Step, ...]:
        """The steps that could not be asked."""
        return tuple(step for step in self.steps if step.outcome == "not_checked")


def verify_dossier(
    path: Path,
    *,
    now: datetime,
    policy: Policy | None = None,
    case: str | None = None,
    keys: Sequence[PublicKey] = (),
) -> Verification:
    """Run all steps; whatever is wrong with the file is in the result, nothing is raised for it.

    Parameters
    ----------
    now : the reader's clock, with its time zone
    policy : the logs and witnesses that the reader trusts; receipts are not checked without one
    case : hex id of the case that the reader expects, from a notice or a party
    keys : keys of which the reader expects one to have issued the dossier
    """
    try:
        with open_dossier(path) as dossier:
            examination = Examination(dossier=dossier, now=now, policy=policy, case=case, keys=keys)
            steps = tuple(_step(number, name, ask, examination) for number, (name, ask) in enumerate(STEPS, start=1))
    except InputError as error:
        return Verification(steps=_unreadable(str(error)), case=None, issuer=None)
    root, events = examination.root, examination.events
    state, issued = examination.state, None if events is None else issued_opinion(events)
    refused = any(step.outcome == "failed" for step in steps)
    return Verification(
        steps=steps,
        case=None if root is None or events is None else root.predicate.case,
        issuer=None if root is None else encode_public(root.keys[0]),
        verdict=None if refused or issued is None else issued.event.verdict,
        void=state.void if state is not None and (state.void or controls_judged(state)) else None,
        hearing=None if state is None else hearing_of(state, now=now),
        signed={} if events is None else signed_by_sides(events),
    )


def _step(number: int, name: str, ask: Callable[[Examination], Found], examination: Examination) -> Step:
    try:
        found = ask(examination)
    except (InputError, VerificationError) as error:
        return Step(number=number, name=name, outcome="failed", detail=str(error))
    except (ValueError, ArithmeticError, LookupError) as error:  # well-formed, and nothing can be computed with it
        detail = f"expected values that can be computed with, found {type(error).__name__}: {str(error)[:300]}"
        return Step(number=number, name=name, outcome="failed", detail=detail)
    match found:
        case Passed(detail=detail):
            return Step(number=number, name=name, outcome="passed", detail=detail)
        case NotChecked(detail=detail):
            return Step(number=number, name=name, outcome="not_checked", detail=detail)


def _unreadable(problem: str) -> tuple[Step, ...]:
    first = Step(number=1, name=STEPS[0][0], outcome="failed", detail=problem)
    rest = (
        Step(number=number, name=name, outcome="not_checked", detail="the file could not be read, see step 1")
        for number, (name, _) in enumerate(STEPS[1:], start=2)
    )
    return (first, *rest)
