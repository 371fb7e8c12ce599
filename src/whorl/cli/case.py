"""``whorl case``: open a case, hear both sides, fix the protocol, examine under codes, and issue an opinion.

Every command enters signed events into the case's folder. Where the case stands follows from them; nobody sets it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from whorl.cli.case_access import CaseKey, CasePlace, case_at, entered, entered_text, key_at, opened_at
from whorl.cli.case_committing import CommitPlace, committing
from whorl.cli.case_export import export
from whorl.cli.case_link import link
from whorl.cli.case_report import report
from whorl.cli.case_ruling import appeal, close, decide, expunge, opinion, replicate, respond, review
from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import ClaimantIfNew, KeyFileOption
from whorl.core.errors import InputError, VerificationError

if TYPE_CHECKING:
    from whorl.dossiers.events import Role

case = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_MOST_DOCUMENT_BYTES: Final = 1 << 28


@exits
def new(
    place: Annotated[
        str, typer.Argument(metavar="CASE", help="Where the new case goes: a folder, or the URL of a bureau's service.")
    ],
    opening: Annotated[
        Path, typer.Option("--opening", metavar="FILE", help="Title, question, parties and facts of licence.")
    ],
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Open a case, as its manager. `whorl case template opening` prints an example of FILE.

    A bureau keeps the case for everybody in it, if it knows the manager's key (`whorl registry introduce`). The case's
    own URL, which is printed, is what the others give as CASE.
    """
    require_input(opening, expected="the opening of a case")

    from whorl.cases.input_files import read_input
    from whorl.dossiers.events import Opened

    stated = read_input(opening, Opened, what="the opening of a case")
    view, url = opened_at(place, stated, key)
    return entered(view, as_json=as_json, url=url)


@exits
def join(
    place: CasePlace,
    name: Annotated[str, typer.Option("--name", help="Their name.")],
    role: Annotated[Literal["replicator", "appeal_reviewer"], typer.Option("--role", help="What they will do.")],
    public: Annotated[
        list[str], typer.Option("--public", metavar="KEY", help="Their public keys: ed25519:..., then mldsa44:...")
    ],
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Name a replicator or an appeal reviewer, as the manager."""
    from whorl.cases import casework
    from whorl.dossiers.events import Party

    return entered_text(
        lambda: casework.join(case_at(place, key), Party(name=name, role=role, keys=tuple(public)), key_at(key)),
        as_json=as_json,
    )


@exits
def propose(
    place: CasePlace,
    propositions: Annotated[
        Path, typer.Option("--propositions", metavar="FILE", help="The propositions of your side.")
    ],
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """File propositions: statements of where the questioned model comes from. Both sides must be heard.

    `whorl case template propositions` prints an example of FILE.
    """
    require_input(propositions, expected="propositions")

    from whorl.cases import casework
    from whorl.cases.input_files import Propositions, read_input

    filed = read_input(propositions, Propositions, what="propositions")
    return entered(casework.propose(case_at(place, key), filed.propositions, key_at(key)), as_json=as_json)


@exits
def freeze(
    place: CasePlace,
    protocol: Annotated[Path, typer.Option("--protocol", metavar="FILE", help="Methods, alternatives, stop rule.")],
    line_up: Annotated[
        Path, typer.Option("--line-up", metavar="FILE", help="The models, and candidates for decoys and controls.")
    ],
    population: Annotated[
        list[Path] | None,
        typer.Option("--population", "-P", metavar="FILE", help="Calibrated populations; else the release's own."),
    ] = None,
    commit: CommitPlace = None,
    claimant: ClaimantIfNew = None,
    key: KeyFileOption = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Fix the protocol, as the manager: deal the line-up out under codes and commit to it.

    With --commit a registry's receipt shows others when the protocol was fixed, and that it was this one: it goes into
    the case and its dossier.

    Which model has which code is kept in CASE/line-up*.json until `unblind`: give the folder to analysts without it. Of
    a case that a bureau keeps, that file lies on your machine alone, below the folder of your key.
    """
    for file, what in ((protocol, "a protocol"), (line_up, "candidates of a line-up")):
        require_input(file, expected=what)
    for file in population or ():
        require_input(file, expected="a file")

    from whorl.cases import casework
    from whorl.cases.input_files import ProtocolPlan, read_input
    from whorl.cases.line_up import read_candidates

    opened = case_at(place, key)
    with shown_progress(quiet=quiet) as progress:
        view = casework.freeze(
            opened,
            plan=read_input(protocol, ProtocolPlan, what="a protocol"),
            candidates=read_candidates(line_up),
            populations=[_bounded(file) for file in population] if population else [_own_population()],
            commit=None if commit is None else committing(commit, key=key, claimant=claimant),
            key=key_at(key),
            progress=progress,
        )
    return entered(view, as_json=as_json)


@exits
def acquire(
    place: CasePlace,
    document: Annotated[
        Path | None, typer.Option("--document", metavar="FILE", help="File this document, and no model.")
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Of the document.")] = "",
    how: Annotated[str, typer.Option("--how", help="How the document was come by.")] = "",
    filed_by: Annotated[
        Literal["complainant", "respondent", "manager"] | None,
        typer.Option("--filed-by", help="For whom the manager files it."),
    ] = None,
    key: KeyFileOption = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Take the fingerprints of the whole line-up, as the manager; or file one document, as a party or the manager."""
    from whorl.cases import casework

    if document is None:
        if title or how or filed_by:
            raise InputError("--title, --how and --filed-by: expected --document FILE as well; models have codes only")
        with shown_progress(quiet=quiet) as progress:
            view = casework.acquire_line_up(case_at(place, key), key_at(key), progress=progress)
        return entered(view, as_json=as_json)
    require_input(document, expected="a document")
    data, role = _bounded(document), _role(filed_by)
    return entered_text(
        lambda: casework.acquire_document(
            case_at(place, key), data, title=title, how=how, filed_by=role, key=key_at(key)
        ),
        as_json=as_json,
    )


@exits
def analyse(place: CasePlace, key: KeyFileOption = None, as_json: AsJson = False, quiet: Quiet = False) -> Exit:
    """Make every comparison of the protocol, as an analyst who sees codes only. Every finding stays."""
    from whorl.cases import casework

    with shown_progress(quiet=quiet) as progress:
        view = casework.analyse(case_at(place, key), key_at(key), progress=progress)
    return entered(view, as_json=as_json)


@exits
def unblind(place: CasePlace, key: KeyFileOption = None, as_json: AsJson = False) -> Exit:
    """Show which model has which code, as the manager. Exit status 3: a control failed, and the run is void."""
    from whorl.cases import casework

    return entered(casework.unblind(case_at(place, key), key_at(key)), as_json=as_json)


@exits
def show(place: CasePlace, key: CaseKey = None, as_json: AsJson = False) -> Exit:
    """Check the whole case and say where it stands, what was found, and who may do what next.

    Of a case in a folder every exhibit is read too; exit status 1 means that one is missing or was altered.
    """
    from whorl.cases.showing import case_document, exhibit_faults
    from whorl.cases.store import FolderStore

    case = case_at(place, key)
    view = case.read()
    faults = exhibit_faults(view, case.store) if isinstance(case.store, FolderStore) else None
    document = case_document(view, now=case.now(), exhibit_faults=faults)
    if as_json:
        print_json(document)
    else:
        _print(document)
    if faults:
        raise VerificationError(
            f"{place}: expected every exhibit that an event names, found {len(faults)} missing or altered: {faults[0]}"
        )
    return Exit.DONE


@exits
def template(
    kind: Annotated[
        Literal["opening", "propositions", "protocol", "line-up", "checklist", "remarks"],
        typer.Argument(metavar="KIND", help="opening, propositions, protocol, line-up, checklist or remarks"),
    ],
) -> Exit:
    """Print an example of a file that the other commands read, to be edited."""
    from whorl.cases.input_files import example

    print_json(example(kind))
    return Exit.DONE


def _print(document: dict[str, Any]) -> None:
    from whorl.cli.summary import print_facts, print_lines
    from whorl.comparison.wording import visible

    until = document["reply_until"]
    print_facts(
        visible(document["title"] or "Case, its opening erased"),
        {"Case": document["case"], "Stage": document["stage"], "Question": document["question"] or "erased"}
        | ({} if until is None else {"Reply until": until})
        | {"Respondent": document["hearing_text"], "Signatures": document["signed_text"] or "opening erased"}
        | ({"Void": "the run is void, nothing in it counts"} if document["void"] else {}),
    )
    for caveat in document["caveats"]:
        print_lines(f"Note: {caveat}")
    print_lines("", "Events")
    for event in document["events"]:
        gone = "  (erased)" if event["erased"] else ""
        print_lines(f"{event['sequence']:>4}  {event['at']}  {event['kind']:<15}{event['by']}{gone}")
    if document["findings"]:
        print_lines("", "Findings")
    for finding in document["findings"]:
        ratio = "" if finding["log10_lr"] is None else f"  log10 ratio {finding['log10_lr']:.2f}"
        who = f"  {finding['role']}: {finding['name']}" if finding["name"] else ""
        print_lines(visible(f"{finding['code']:>6}  {finding['relation']:<22}{ratio}{who}"))
    for reason in document["failed_controls"]:
        print_lines(f"Void: {reason}")
    print_lines("", "Next: " + "; ".join(f"{one['event']} ({', '.join(one['by'])})" for one in document["next"]))


def _role(filed_by: Literal["complainant", "respondent", "manager"] | None) -> "Role | None":
    return filed_by


def _own_population() -> bytes:
    from importlib.resources import files

    return files("whorl.comparison").joinpath("population.json").read_bytes()


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MOST_DOCUMENT_BYTES + 1)
    if len(data) > _MOST_DOCUMENT_BYTES:
        raise InputError(f"{path}: expected at most {_MOST_DOCUMENT_BYTES} bytes, found more; file an extract")
    return data


for _name, _command, _help in (
    ("new", new, "Open a case, with everybody who takes part."),
    ("link", link, "Make a link to the page of one person, at a bureau."),
    ("join", join, "Name a replicator or an appeal reviewer."),
    ("propose", propose, "File propositions, before anything is acquired."),
    ("freeze", freeze, "Fix the protocol and deal the line-up."),
    ("acquire", acquire, "Take the line-up's fingerprints, or a document."),
    ("analyse", analyse, "Compare, under codes, what was acquired."),
    ("unblind", unblind, "Show which model has which code."),
    ("respond", respond, "Answer, as the respondent."),
    ("replicate", replicate, "Make every finding again, as a second analyst."),
    ("review", review, "Review the file before anything is issued."),
    ("opinion", opinion, "Issue an opinion, or its next version."),
    ("close", close, "Close the case."),
    ("appeal", appeal, "Appeal against the opinion, as a party."),
    ("decide", decide, "Decide on an appeal."),
    ("expunge", expunge, "Erase what was said, and leave a tombstone."),
    ("report", report, "Write what a reader must know of the case."),
    ("export", export, "Write a case in another format."),
    ("show", show, "Check a case and say where it stands."),
    ("template", template, "Print an example of a file to fill in."),
):
    case.command(_name, short_help=_help)(_command)
