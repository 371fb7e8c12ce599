"""``whorl identify``: one model against a registry; every hit is a lead and is then tested as a pair."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from whorl.cli.behaviour import identify_transcript, is_transcript_file
from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import DEFAULT_REGISTRY, RegistryPlace, searchable
from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress

if TYPE_CHECKING:
    from whorl.core.evidence import Finding, Relation

_STRONGEST_FIRST: Final[dict["Relation", int]] = {
    "identical": 0,
    "derived": 0,
    "shared_initialisation": 1,
    "inconclusive": 2,
    "none_found": 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedLead:
    """A search hit and what the pairwise test said of it, or why it could not be tested."""

    entry: str
    name: str
    claimant: str
    level: int
    score: float
    finding: "Finding | str"

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts the strongest relation first, then the highest search score; untested hits last."""
        if isinstance(self.finding, str):
            return len(_STRONGEST_FIRST), -self.score
        return _STRONGEST_FIRST[self.finding.conclusion.relation], -self.score


def identify(
    suspect: Annotated[
        Path, typer.Argument(metavar="SUSPECT", help="A checkpoint, a stored fingerprint, or a transcript.")
    ],
    registry: RegistryPlace = DEFAULT_REGISTRY,
    top: Annotated[int, typer.Option("--top", min=1, max=100, help="How many search hits are tested.")] = 5,
    population: Annotated[
        Path | None,
        typer.Option("--population", "-P", metavar="FILE", help="Transcripts: the models whose lines are known."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Transcripts: also write the report as one page.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Search for the models that this one may come from: weights in a registry, answers in a population.

    A search hit is a lead; what counts is the pairwise test printed with it. Exit status 3 means that no relation was
    established and at least one test was inconclusive.
    """
    require_input(suspect)
    if is_transcript_file(suspect):
        return identify_transcript(suspect, population, html=html, as_json=as_json, quiet=quiet)
    if population is not None or html is not None:
        raise InputError(f"{suspect}: --population and --html are for transcripts, and this is none")
    with shown_progress(quiet=quiet) as progress:
        leads = tested_leads(suspect, registry, top=top, progress=progress)
    if as_json:
        print_json({"leads": [_document(lead) for lead in leads]})
    else:
        _print_leads(leads, registry)
    return _exit_status(leads)


def tested_leads(suspect: Path, registry: str, *, top: int, progress: Progress) -> list[TestedLead]:
    """The registry's nearest models, each compared with the suspect, strongest finding first."""
    from whorl.comparison.comparing import compare_fingerprints
    from whorl.comparison.subjects import fingerprint_of
    from whorl.fingerprints.weight_fingerprint import parse_fingerprint

    tested = []
    with searchable(registry) as (find, blob):
        questioned = fingerprint_of(suspect, progress=progress)
        leads = find(questioned, top)
        for done, lead in enumerate(leads, start=1):
            finding: Finding | str
            try:
                reference = parse_fingerprint(blob(lead.blob), origin=f"{registry}: entry {lead.fingerprint}")
                finding = compare_fingerprints(questioned, reference, with_power=False)
            except (InputError, VerificationError) as error:  # one damaged entry must not hide the others
                finding = str(error)
            tested.append(
                TestedLead(
                    entry=lead.entry,
                    name=lead.name,
                    claimant=lead.claimant,
                    level=lead.level,
                    score=lead.score,
                    finding=finding,
                )
            )
            progress("testing leads", done, len(leads))
    return sorted(tested, key=lambda lead: lead.rank)


def _document(lead: TestedLead) -> dict[str, object]:
    document: dict[str, object] = {
        "entry": lead.entry,
        "name": lead.name,
        "claimant": lead.claimant,
        "level": lead.level,
        "score": lead.score,
    }
    if isinstance(lead.finding, str):
        return {**document, "finding": None, "problem": lead.finding}
    return {**document, "finding": lead.finding.model_dump(mode="json")}


def _print_leads(leads: list[TestedLead], registry: str) -> None:
    from whorl.cli.summary import print_lead, print_lines

    if not leads:
        print_lines(f"{registry} holds no entry to compare with.")
        return
    for place, lead in enumerate(leads, start=1):
        print_lead(
            place,
            name=lead.name,
            entry=lead.entry,
            claimant=f"{lead.claimant} (L{lead.level})",
            score=lead.score,
            finding=lead.finding,
        )
    print_lines("A search hit is a lead, never a finding: what counts is the test printed under each one.")


def _exit_status(leads: list[TestedLead]) -> Exit:
    tested = [lead.finding for lead in leads if not isinstance(lead.finding, str)]
    relations = {finding.conclusion.relation for finding in tested}
    if relations & {"identical", "derived", "shared_initialisation"}:
        return Exit.DONE
    return Exit.INCONCLUSIVE if "inconclusive" in relations or len(tested) < len(leads) else Exit.DONE
