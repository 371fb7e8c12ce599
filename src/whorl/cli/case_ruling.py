"""``whorl case``, from the unblinding on: reply, replication, review, opinion, appeal and expungement."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from whorl.cli.case_access import (
    CasePlace,
    Reasons,
    case_at,
    differing_findings,
    entered,
    entered_text,
    key_at,
)
from whorl.cli.exits import Exit, exits
from whorl.cli.files import require_input
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import KeyFileOption
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.dossiers.events import Ground


@exits
def respond(
    place: CasePlace,
    statement: Annotated[str, typer.Option("--statement", help="Your answer, in your own words.")] = "",
    declined: Annotated[bool, typer.Option("--declined", help="Say that no answer will come.")] = False,
    alternatives: Annotated[
        Path | None, typer.Option("--alternatives", metavar="FILE", help="Further propositions of your side.")
    ] = None,
    exhibit: Annotated[
        list[str] | None, typer.Option("--exhibit", metavar="CODE", help="Documents filed before: D-1.")
    ] = None,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Answer, as the respondent, within the window that began with the unblinding."""
    if not statement and not declined:
        raise InputError("expected --statement TEXT, or --declined, found neither")
    if alternatives is not None:
        require_input(alternatives, expected="propositions")

    from whorl.cases import casework
    from whorl.cases.input_files import Propositions, read_input

    filed = () if alternatives is None else read_input(alternatives, Propositions, what="propositions").propositions
    return entered_text(
        lambda: casework.respond(
            case_at(place, key),
            key_at(key),
            statement=statement,
            declined=declined,
            alternatives=filed,
            exhibits=exhibit or (),
        ),
        as_json=as_json,
    )


@exits
def replicate(place: CasePlace, key: KeyFileOption = None, as_json: AsJson = False, quiet: Quiet = False) -> Exit:
    """Make every finding again from the stored exhibits, as a second analyst. Exit status 3: some differ."""
    from whorl.cases import casework

    with shown_progress(quiet=quiet) as progress:
        view = casework.replicate(case_at(place, key), key_at(key), progress=progress)
    made = view.state.replications[-1]
    status = entered(view, as_json=as_json, differing=differing_findings(made))
    return status if made.agrees else Exit.INCONCLUSIVE


@exits
def review(
    place: CasePlace,
    checklist: Annotated[
        Path, typer.Option("--checklist", metavar="FILE", help="Every point answered, accepted or not, and why.")
    ],
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Review the file, as the reviewer. `whorl case template checklist` prints an example of FILE."""
    require_input(checklist, expected="a reviewer's checklist")

    from whorl.cases import casework
    from whorl.cases.input_files import ReviewFile, read_input

    filled = read_input(checklist, ReviewFile, what="a reviewer's checklist")
    view = casework.review(
        case_at(place, key), key_at(key), checklist=filled.checklist, accepted=filled.accepted, reasons=filled.reasons
    )
    return entered(view, as_json=as_json)


@exits
def opinion(
    place: CasePlace,
    remarks: Annotated[
        Path | None, typer.Option("--remarks", metavar="FILE", help="Departures from the protocol, further limits.")
    ] = None,
    cause: Annotated[
        Literal["calibration", "correction", "appeal"], typer.Option("--cause", help="Why there is a new version.")
    ] = "correction",
    text: Annotated[str, typer.Option("--text", help="What changed, in plain words.")] = "",
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Compose the opinion from the findings and issue it, as the analyst, after a review that accepts the file.

    Done again after another review, it issues the next version. `whorl case template remarks` prints an
    example of FILE.
    """
    if remarks is not None:
        require_input(remarks, expected="remarks")

    from whorl.cases.input_files import read_input
    from whorl.cases.opining import issue
    from whorl.dossiers.opinion import Remarks

    added = Remarks() if remarks is None else read_input(remarks, Remarks, what="remarks")
    return entered_text(
        lambda: issue(case_at(place, key), key_at(key), remarks=added, cause=cause, text=text), as_json=as_json
    )


@exits
def close(
    place: CasePlace,
    outcome: Annotated[
        Literal["completed", "void", "withdrawn", "unanswerable"],
        typer.Option("--outcome", help="completed: with an opinion; void: a control failed; ..."),
    ],
    reasons: Reasons,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Close the case, as its manager."""
    from whorl.cases import casework

    return entered_text(
        lambda: casework.close(case_at(place, key), key_at(key), outcome=outcome, reasons=reasons), as_json=as_json
    )


@exits
def appeal(
    place: CasePlace,
    ground: Annotated[
        list[str],
        typer.Option("--ground", help="custody, method, population, new_evidence or bias; may be repeated."),
    ],
    text: Annotated[str, typer.Option("--text", help="Why, in plain words.")],
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Appeal against the opinion, as a party."""
    from whorl.cases import casework

    return entered_text(
        lambda: casework.appeal(case_at(place, key), key_at(key), grounds=cast("list[Ground]", ground), text=text),
        as_json=as_json,
    )


@exits
def decide(
    place: CasePlace,
    result: Annotated[
        Literal["upheld", "varied", "annulled"], typer.Option("--result", help="What becomes of the opinion.")
    ],
    reasons: Reasons,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Decide on an appeal, as somebody who had no other part in the case."""
    from whorl.cases import casework

    return entered_text(
        lambda: casework.decide(case_at(place, key), key_at(key), result=result, reasons=reasons), as_json=as_json
    )


@exits
def expunge(
    place: CasePlace,
    ground: Annotated[
        Literal["annulment", "withdrawal", "retention", "court_order"], typer.Option("--ground", help="Why.")
    ],
    event: Annotated[
        list[int] | None, typer.Option("--event", metavar="N", help="Erase these events only; else all of them.")
    ] = None,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Erase what was said and what was kept of it, for good, as the manager. Records and a tombstone stay."""
    from whorl.cases.erasing import expunge as erase

    return entered(erase(case_at(place, key), key_at(key), ground=ground, events=event), as_json=as_json)
