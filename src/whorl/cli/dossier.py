"""``whorl dossier``: build, show and verify the one file that a case ends in."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from whorl.cli.dossier_text import outline_document, print_outline, print_verification, verification_document
from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson
from whorl.cli.registry_access import default_key_file, is_url
from whorl.core.errors import InputError, VerificationError

if TYPE_CHECKING:
    from whorl.dossiers.building import Built, Source
    from whorl.entries.keys import IssuerKey

dossier = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

DossierFile = Annotated[Path, typer.Argument(metavar="FILE", help="A dossier.")]
_CASE_PREFIX: Final = "urn:whorl:case:"
_MAX_KEY_BYTES: Final = 1 << 14


@exits
def build(
    case: Annotated[
        str,
        typer.Argument(
            metavar="CASE",
            help="The folder of a case, its URL at a bureau, or the data folder of an unpacked dossier.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the dossier goes.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", envvar="WHORL_KEY", help="The private key of the case's manager."),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="PLACE=FILE", help="Another file, as report.html=FILE; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> Exit:
    """Put a case's files into one file, list them with their digests, and sign the list.

    PLACE is report.html, report.pdf, policy.txt, registry/NAME.receipt.json or exports/NAME.json.
    The same case gives the same bytes: the root that was signed is kept in CASE/root.dsse.json for the next time. The
    result is verified before it is put in its place; exit status 1 means that it would not hold.
    """
    if not is_url(case):
        require_input(Path(case), expected="the folder of a case's files")
    require_output(output, inputs=() if is_url(case) else (Path(case),))

    files, folder = _case_files(case, key)
    for place, file in map(_added, add or ()):
        if files.setdefault(place, file) != file:
            raise InputError(f"--add: expected a place that is free, found {place!r} taken")
    built = _built(files, folder, _signing_key(key), output)
    facts = {"file": str(output), "digest": f"sha256:{built.digest}", "bytes": built.size, "files": len(files)}
    if as_json:
        print_json({"schema": "whorl.built-dossier/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Built", {label.capitalize(): str(value) for label, value in facts.items()})
    return Exit.DONE


@exits
def show(file: DossierFile, as_json: AsJson = False) -> Exit:
    """Say what a dossier holds and what its case says of itself. Nothing is checked: see `whorl dossier verify`."""
    require_input(file, expected="a dossier")

    from whorl.dossiers.showing import outline_of

    found = outline_of(file)
    if as_json:
        print_json(outline_document(found))
    else:
        print_outline(found)
    return Exit.DONE


@exits
def verify(
    file: DossierFile,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", "-p", metavar="FILE", envvar="WHORL_POLICY", help="Logs and witnesses that you trust."
        ),
    ] = None,
    case: Annotated[
        str | None, typer.Option("--case", metavar="ID", help="The case that you expect: 64 hex digits.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="PUBLIC", help="The issuer's public key that you expect: ed25519:BASE64."),
    ] = None,
    as_json: AsJson = False,
) -> Exit:
    """Check a dossier offline, step by step, with nothing but the base install.

    Exit status 0: no step failed, and opinion and numbers were checked; 1: a step failed; 2: an argument is not what
    it should be; 3: no step failed, but the opinion or its numbers could not be checked. Steps that could not be asked
    are named: without --policy, or where the dossier has no receipt, that is step 10, which leaves the status 0.
    Without --case or --key any case of any issuer will do.
    """
    require_input(file, expected="a dossier")
    if policy is not None:
        require_input(policy, expected="a policy file: the logs and witnesses that you trust")

    from whorl.dossiers.verifying import verify_dossier
    from whorl.entries.keys import parse_public
    from whorl.log.policy import MAX_POLICY_BYTES, parse_policy

    found = verify_dossier(
        file,
        now=datetime.now(UTC),
        policy=None if policy is None else parse_policy(_bounded(policy, MAX_POLICY_BYTES)),
        case=None if case is None else _case_id(case),
        keys=[parse_public(text) for text in key or ()],
    )
    if as_json:
        print_json(verification_document(found, file))
    else:
        print_verification(found, expected=case is not None or bool(key))
    if found.failed:
        first = found.failed[0]
        raise VerificationError(f"step {first.number} ({first.name}) failed: {first.detail}")
    unsure = {step.name for step in found.not_checked} & {"opinion", "numbers"}
    return Exit.INCONCLUSIVE if unsure else Exit.DONE


def _built(files: "Mapping[str, Source]", case: Path, key: "IssuerKey", output: Path) -> "Built":
    """Build beside the output, verify, keep the root, and only then move the file into its place."""
    from whorl.dossiers.bag import ROOT
    from whorl.dossiers.building import build_dossier
    from whorl.dossiers.case_facts import facts_of
    from whorl.dossiers.verifying import verify_dossier
    from whorl.entries.envelope import MAX_ENVELOPE_BYTES

    kept = case / ROOT
    earlier = _bounded(kept, MAX_ENVELOPE_BYTES) if kept.is_file() else None
    with TemporaryDirectory(dir=output.parent, prefix=".whorl-") as folder:
        made = Path(folder) / "dossier"
        built = build_dossier(files, facts=facts_of(files), key=key, out=made, kept_root=earlier)
        if failed := verify_dossier(made, now=datetime.now(UTC)).failed:
            raise VerificationError(
                f"{case}: nothing was written, as it would not hold: step {failed[0].number} ({failed[0].name}) "
                f"failed: {failed[0].detail}"
            )
        write_whole(kept, built.root)
        made.replace(output)
    return built


def _case_files(place: str, key: Path | None) -> "tuple[dict[str, Source], Path]":
    """What goes into the dossier, of a case or of a folder laid out as a payload; and where its root is kept."""
    from whorl.cases.store import DATABASE
    from whorl.dossiers.payload_folder import payload_files

    if not is_url(place) and not (Path(place) / DATABASE).is_file():
        return {**payload_files(Path(place))}, Path(place)

    from whorl.cases.bundling import dossier_files
    from whorl.cli.case_access import case_at
    from whorl.dossiers.layout import PROTOCOL_RECEIPT
    from whorl.dossiers.references import references

    case = case_at(place, key)
    view = case.read()
    files: dict[str, Source] = {**dossier_files(view, case.store)}
    for one in references(view.events):
        if one.kind == "receipt":
            files[PROTOCOL_RECEIPT] = case.store.get(f"sha256:{one.digest}")
    return files, case.path


def _added(text: str) -> tuple[str, Path]:
    from whorl.dossiers.bag import PAYLOAD
    from whorl.dossiers.layout import ADDED_KINDS, place_of

    name, _, file = text.partition("=")
    place = place_of(PAYLOAD + name)
    if not file or place is None or place.kind not in ADDED_KINDS:
        raise InputError(f"--add: expected PLACE=FILE, such as report.html=FILE, found {text[:80]!a}; see --help")
    require_input(Path(file), expected="a file to add")
    return PAYLOAD + name, Path(file)


def _signing_key(file: Path | None) -> "IssuerKey":
    """The manager's key; unlike a registry's commands this makes none: a new key manages no case."""
    from whorl.entries.keys import parse_key_file

    path = file or default_key_file()
    require_input(path, expected="the key file of the case's manager")
    return parse_key_file(_bounded(path, _MAX_KEY_BYTES), origin=str(path))


def _case_id(text: str) -> str:
    case = text.removeprefix(_CASE_PREFIX)
    if len(case) != 64 or set(case) - set("0123456789abcdef"):
        raise InputError(f"--case: expected 64 lower-case hex digits, found {text[:80]!a}; copy the id again")
    return case


def _bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path}: expected at most {most} bytes, found more; check the path")
    return data


for _name, _command, _help in (
    ("build", build, "Put a case into one signed file."),
    ("show", show, "Say what a dossier holds; nothing is checked."),
    ("verify", verify, "Check a dossier offline, step by step."),
):
    dossier.command(_name, short_help=_help)(_command)
