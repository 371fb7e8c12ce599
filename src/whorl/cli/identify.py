"""``whorl identify``: one model against a registry; every hit is a lead and is then tested as a pair."""

from dataclasses import asdict, dataclass
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
    from whorl.registry.leads import Lead

_STRONGEST_FIRST: Final[dict["Relation", int]] = {
    "identical": 0,
    "derived": 0,
    "shared_initialisation": 1,
    "inconclusive": 2,
    "none_found": 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredLead:
    """A search hit that says nothing of the model whose entry it stands on, and why."""

    entry: str
    fingerprint: str
    taken_by: str | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedLead:
    """A search hit and what the pairwise test said of it, or why it could not be tested."""

    entry: str
    name: str
    claimant: str
    level: int
    standing: str
    fingerprint_standing: str
    taken_by: str | None
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
        leads, ignored = tested_leads(suspect, registry, top=top, progress=progress)
    if as_json:
        print_json({"leads": [_document(lead) for lead in leads], "ignored": [asdict(lead) for lead in ignored]})
    else:
        _print_leads(leads, ignored, registry)
    return _exit_status(leads)


def tested_leads(
    suspect: Path, registry: str, *, top: int, progress: Progress
) -> tuple[list[TestedLead], list[IgnoredLead]]:
    """The registry's nearest models, each compared with the suspect, strongest finding first; and hits to be ignored.

    Anybody can enter a fingerprint on anybody's model, and a service can answer anything: a fingerprint of another
    content than the model's entry claims is not tested.
    """
    from whorl.comparison.comparing import compare_fingerprints
    from whorl.comparison.subjects import content_digest, fingerprint_of
    from whorl.fingerprints.weight_fingerprint import parse_fingerprint

    tested: list[TestedLead] = []
    ignored: list[IgnoredLead] = []
    with searchable(registry) as (find, blob):
        questioned = fingerprint_of(suspect, progress=progress)
        leads = find(questioned, top)
        for done, lead in enumerate(leads, start=1):
            finding: Finding | str
            try:
                reference = parse_fingerprint(blob(lead.blob), origin=f"{registry}: entry {lead.fingerprint}")
                content = content_digest(reference.view())
                if content != lead.content:
                    ignored.append(_ignored(lead, content))
                    continue
                finding = compare_fingerprints(questioned, reference, with_power=False)
            except (InputError, VerificationError) as error:  # one damaged entry must not hide the others
                finding = str(error)
            tested.append(_tested(lead, finding))
            progress("testing leads", done, len(leads))
    return sorted(tested, key=lambda lead: lead.rank), ignored


def _tested(lead: "Lead", finding: "Finding | str") -> TestedLead:
    return TestedLead(
        entry=lead.entry,
        name=lead.name,
        claimant=lead.claimant,
        level=lead.level,
        standing=lead.standing,
        fingerprint_standing=lead.fingerprint_standing,
        taken_by=lead.taken_by,
        score=lead.score,
        finding=finding,
    )


def _ignored(lead: "Lead", content: str) -> IgnoredLead:
    claimed = "none" if lead.content is None else f"{lead.content[:23]}..."
    return IgnoredLead(
        entry=lead.entry,
        fingerprint=lead.fingerprint,
        taken_by=lead.taken_by,
        problem=f"its fingerprint was taken of the content {content[:23]}..., and the entry claims {claimed}",
    )


def _document(lead: TestedLead) -> dict[str, object]:
    document: dict[str, object] = {
        "entry": lead.entry,
        "name": lead.name,
        "claimant": lead.claimant,
        "level": lead.level,
        "standing": lead.standing,
        "fingerprint_standing": lead.fingerprint_standing,
        "taken_by": lead.taken_by,
        "score": lead.score,
    }
    if isinstance(lead.finding, str):
        return {**document, "finding": None, "problem": lead.finding}
    return {**document, "finding": lead.finding.model_dump(mode="json")}


def _print_leads(leads: list[TestedLead], ignored: list[IgnoredLead], registry: str) -> None:
    from whorl.cli.summary import print_lead, print_lines

    print_lines(*(f"Ignored entry {lead.fingerprint} on {lead.entry}: {lead.problem}." for lead in ignored))
    if not leads:
        print_lines(f"{registry} holds no entry to compare with.")
        return
    for place, lead in enumerate(leads, start=1):
        print_lead(
            place,
            name=lead.name,
            entry=lead.entry,
            claimant=f"{lead.claimant} (L{lead.level})",
            remarks=_remarks(lead),
            score=lead.score,
            finding=lead.finding,
        )
    print_lines("A search hit is a lead, never a finding: what counts is the test printed under each one.")


def _remarks(lead: TestedLead) -> list[tuple[str, str]]:
    """What a reader must know of the entries before the result of the test."""
    remarks = []
    if lead.standing != "good":
        remarks.append(("Standing", f"the model's entry is {lead.standing}"))
    if lead.taken_by is not None:
        remarks.append(("Fingerprint", f"entered by {lead.taken_by}, not by the claimant"))
    if lead.fingerprint_standing != "good":
        remarks.append(("Fingerprint", f"its entry is {lead.fingerprint_standing}"))
    return remarks


def _exit_status(leads: list[TestedLead]) -> Exit:
    tested = [lead.finding for lead in leads if not isinstance(lead.finding, str)]
    relations = {finding.conclusion.relation for finding in tested}
    if relations & {"identical", "derived", "shared_initialisation"}:
        return Exit.DONE
    return Exit.INCONCLUSIVE if "inconclusive" in relations or len(tested) < len(leads) else Exit.DONE
