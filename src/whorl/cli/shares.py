"""``whorl shares``: how much of each candidate is in the questioned model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress

if TYPE_CHECKING:
    from whorl.comparison.share_document import CandidateShare, Shares

CHECKPOINT: Final = "a checkpoint folder or a checkpoint file"

_WITHOUT: Final[dict[str, str]] = {
    "none_found": "Nothing found",
    "inconclusive": "Inconclusive",
    "not_comparable": "Not comparable",
}
_PAIRED: Final[dict[str, str]] = {
    "as_stored": "paired by position",
    "reordered": "matched, in another order",
    "rotated": "matched after a rotation of the residual stream",
    "with_another": "paired as those of another candidate",
}


def shares(
    questioned: Annotated[Path, typer.Argument(metavar="QUESTIONED", help="The model in question.")],
    candidates: Annotated[
        list[Path], typer.Argument(metavar="CANDIDATE...", help="Models that may have been merged into it.")
    ],
    base: Annotated[
        Path | None,
        typer.Option("--base", metavar="MODEL", help="The candidates' common ancestor: their changes are added up."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Say how much of each candidate's weights a merged model holds.

    Every model is a checkpoint folder or file. Exit status 3 means inconclusive.
    """
    for path in (questioned, *candidates, *([] if base is None else [base])):
        require_input(path, CHECKPOINT)

    from whorl.comparison.shares import model_shares

    with shown_progress(quiet=quiet) as progress:
        found = model_shares(questioned, candidates, base=base, progress=progress)
    if as_json:
        print_json(found.model_dump_json(indent=2))
    else:
        _print(found)
    return Exit(found.exit_code)


def _print(found: "Shares") -> None:
    from whorl.cli.summary import print_facts, print_lines
    from whorl.comparison.wording import sentence

    print_lines(found.statement)
    for share in found.candidates:
        print()
        if share.kinship is not None:
            print_facts(share.candidate.name, _facts(share, base_named=found.base is not None))
            print_lines(sentence(share.kinship))
        else:
            print_lines(share.candidate.name, f"{_WITHOUT[share.outcome]}: {share.detail}")
    if found.unexplained is not None:
        whole = "the change from the base" if found.base_share is not None else "the questioned weights"
        print()
        print_facts("All together", {"Unexplained": f"{found.unexplained:.1%} of {whole}"})
    print()
    print_lines("What this does not show", *(f"- {limit}" for limit in found.limits))


def _facts(share: "CandidateShare", *, base_named: bool) -> dict[str, str]:
    """What fits of a candidate: as its share only where that is established."""
    of = "its change from the base" if share.of == "change_from_base" else "its weights"
    fits = f"{share.fitted:.2f} of {of}, interval {share.lower:.2f} to {share.upper:.2f}"
    facts = {"Share": fits} if share.outcome == "share" else {"Share": "none established", "Would fit": fits}
    if share.proportion is not None:
        facts["Proportion"] = f"{share.proportion:.2f} of what the candidates give together"
    facts["Shared"] = _shared(share, base_named=base_named)
    if share.p is not None:
        facts["Shuffled rows"] = f"p = {share.p:.4f}"
    if share.pairing is not None:
        facts["Neurons"] = _PAIRED[share.pairing]
    facts["By layer"] = " ".join("-" if value is None else f"{value:.2f}" for value in share.layers)
    return facts


def _shared(share: "CandidateShare", *, base_named: bool) -> str:
    """What it is that fits, in a few words."""
    if share.outcome == "common_start":
        return "a common start; the two were trained apart"
    if share.outcome == "not_established" and share.of == "change_from_base":
        return "open: this training, or another of the same base"
    if share.outcome == "not_established":
        return "open: trained weights, or a common start alone"
    if share.of == "change_from_base" or base_named:
        return "trained weights"
    return "trained weights, its own or an ancestor's"
