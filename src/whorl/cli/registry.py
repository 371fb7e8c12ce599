"""``whorl registry``: make a registry, look after it, and take receipts out of it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import (
    DEFAULT_REGISTRY,
    KeyFileOption,
    RegistryPlace,
    default_key_file,
    is_url,
    registry_at,
)
from whorl.cli.registry_drafts import cosign, enter_draft
from whorl.cli.registry_import import import_entries
from whorl.cli.registry_keys import add_key, introduce, revoke_key
from whorl.core.errors import InputError, VerificationError

if TYPE_CHECKING:
    from whorl.cases.held_cases import CheckedCases
    from whorl.registry.registry_reader import RegistryReader

registry = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

EntryArgument = Annotated[str, typer.Argument(metavar="ENTRY", help="An entry's id: 52 letters and digits.")]
ShortRegistry = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the registry is to be.")]


@exits
def create(
    folder: ShortRegistry,
    origin: Annotated[
        str, typer.Option("--origin", help="The log's name: a URL without scheme that nobody else uses.")
    ],
    name: Annotated[str, typer.Option("--name", help="The organisation that runs it.")],
    jurisdiction: Annotated[str, typer.Option("--jurisdiction", metavar="XX", help="Its country, as two letters.")],
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="URL", help="A PostgreSQL database, instead of a file in the folder."),
    ] = None,
    as_json: AsJson = False,
) -> Exit:
    """Make a registry: keys, database, log, and the first entries, which say whose it is."""
    from whorl.registry.local import create_registry

    with create_registry(folder, origin=origin, bureau_name=name, jurisdiction=jurisdiction, database=database) as made:
        facts = {
            "registry": str(folder),
            "origin": origin,
            "policy": str(made.home.policy_file),
            "log_keys": list(made.home.settings.log_keys),
        }
    if as_json:
        print_json({"schema": "whorl.registry-made/1"} | facts)
    else:
        from whorl.cli.summary import print_facts, print_lines

        print_facts("Made", {"Registry": str(folder), "Origin": origin, "Policy": str(facts["policy"])})
        print_lines(
            "",
            "Publish policy.txt: with it anybody checks receipts offline. Keep the folder keys/ to yourself, and make "
            "backups with `whorl registry backup`.",
        )
    return Exit.DONE


@exits
def receipt(
    entry: EntryArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the receipt goes.")],
    place: RegistryPlace = DEFAULT_REGISTRY,
) -> Exit:
    """Write the receipt of an entry, which `whorl verify` checks offline."""
    require_output(output)

    from whorl.entries.leaf import parse_entry_id

    digest = parse_entry_id(entry)
    if is_url(place):
        with registry_at(place) as opened:
            data = opened.receipt(digest)
    else:
        with _read(place) as reader:
            data = reader.receipt(digest)
    write_whole(output, data)
    return Exit.DONE


@exits
def fsck(place: RegistryPlace = DEFAULT_REGISTRY, as_json: AsJson = False, quiet: Quiet = False) -> Exit:
    """Check everything a registry holds: log, tiles, entries, signatures, blobs, derived tables.

    Nothing is changed. It may be in use meanwhile, and may be too damaged to be opened by other commands.
    """
    from whorl.registry.checking import MAX_PROBLEMS, check_folder

    with shown_progress(quiet=quiet) as progress:
        report = check_folder(_folder(place), progress=progress)
    if (cases := _cases(_folder(place))).counted:
        report = replace(
            report,
            counted={**report.counted, "cases": cases.counted},
            problems=(*report.problems, *cases.problems)[:MAX_PROBLEMS],
        )
    if as_json:
        print_json(report.to_json())
    else:
        from whorl.cli.summary import print_facts, print_lines

        shown = {label: number for label, number in report.counted.items() if number or label == "entries"}
        print_facts("Checked", {label.replace("_", " ").capitalize(): str(number) for label, number in shown.items()})
        print_lines(*report.problems)
    if report.problems:
        raise VerificationError(f"{place}: {len(report.problems)} problems were found; the first: {report.problems[0]}")
    return Exit.DONE


@exits
def backup(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where the backup goes.")],
    place: RegistryPlace = DEFAULT_REGISTRY,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Also the private keys: keep such a backup as safe as the keys.")
    ] = False,
    quiet: Quiet = False,
) -> Exit:
    """Copy a registry into one file, while it goes on running."""
    require_output(output)

    from whorl.registry.backup import back_up

    with _read(place) as reader, shown_progress(quiet=quiet) as progress:
        made = back_up(reader, output, with_keys=with_keys, progress=progress)
    from whorl.cli.summary import print_facts

    facts = {"Registry": made.origin, "Entries": str(made.size), "Blobs": str(made.blobs.count), "File": str(output)}
    print_facts("Backed up", facts)
    if (cases := _cases(_folder(place))).counted:
        typer.echo(
            f"whorl: {cases.counted} cases of this bureau are not in it: stop the service and copy {cases.path}, too",
            err=True,
        )
    return Exit.DONE


def _cases(folder: Path) -> "CheckedCases":
    """The cases that a bureau keeps; nothing is imported for a registry that keeps none."""
    from whorl.cases.held_cases import CASES_FOLDER, check_cases

    return check_cases(folder / CASES_FOLDER)


@exits
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    folder: ShortRegistry,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FOLDER", help="The private keys, for a backup without them.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database", metavar="URL", help="An empty PostgreSQL database, instead of a file in the folder."
        ),
    ] = None,
    nobody_saw_more: Annotated[
        bool,
        typer.Option(
            "--nobody-saw-more", help="You know that nothing was signed since; without it, witnesses are asked."
        ),
    ] = False,
    quiet: Quiet = False,
) -> Exit:
    """Make a registry's folder again from a backup.

    It signs nothing before all its witnesses were asked, and nothing at all if one of them knows of more entries than
    the backup has. Its own witness gets new keys.
    """
    require_input(source, expected="a backup")

    from whorl.registry.restoring import restore_backup

    with shown_progress(quiet=quiet) as progress:
        made = restore_backup(
            source, folder, keys=keys, database=database, nobody_saw_more=nobody_saw_more, progress=progress
        )
    from whorl.cli.summary import print_facts, print_lines

    print_facts("Restored", {"Registry": made.origin, "Entries": str(made.size), "Folder": str(folder)})
    asked = f"It signs nothing before these were asked: {', '.join(made.witnesses)}." if made.witnesses else ""
    print_lines(
        "",
        f"Check it with `whorl registry fsck --registry {folder}`. {asked}",
        "Its own witness has new keys: tell them to the logs that it cosigns.",
    )
    return Exit.DONE


@exits
def key(path: KeyFileOption = None, as_json: AsJson = False) -> Exit:
    """Show the public half of your key, which others check your entries with."""
    from whorl.registry.home import read_issuer_key
    from whorl.registry.public_keys import issuer_public

    file = path or default_key_file()
    public = issuer_public(read_issuer_key(file))
    facts = {"file": str(file), "id": read_issuer_key(file).id.hex(), **public.model_dump(mode="json")}
    if as_json:
        print_json({"schema": "whorl.public-key/1"} | facts)
    else:
        from whorl.cli.summary import print_lines

        print_lines(f"{facts['id']}  {file}", public.ed25519, public.mldsa44 or "")
    return Exit.DONE


@exits
def new_key(path: Annotated[Path, typer.Argument(metavar="FILE", help="Where the new private key goes.")]) -> Exit:
    """Draw a new key; whoever has the file can make entries in your name."""
    import secrets

    from whorl.registry.issuing import new_key_file

    new_key_file(path, secrets.token_bytes)
    return Exit.DONE


def _folder(place: str) -> Path:
    if is_url(place):
        raise InputError(f"{place}: expected the folder of a registry on this machine, found a URL")
    return Path(place)


def _read(place: str) -> "RegistryReader":
    from whorl.registry.registry_reader import read_registry

    return read_registry(_folder(place))


for _name, _command, _help in (
    ("create", create, "Make a registry."),
    ("introduce", introduce, "Enter your organisation."),
    ("add-key", add_key, "Let another key sign for you."),
    ("revoke-key", revoke_key, "Revoke a key of yours."),
    ("cosign", cosign, "Sign a draft with a key that it names."),
    ("enter-draft", enter_draft, "Enter a draft that all have signed."),
    ("import", import_entries, "Enter signed entries from a file."),
    ("receipt", receipt, "Write the receipt of an entry."),
    ("fsck", fsck, "Check everything a registry holds."),
    ("backup", backup, "Copy a registry into one file."),
    ("restore", restore, "Make a registry again from a backup."),
    ("new-key", new_key, "Draw a new key into a file."),
    ("key", key, "Show the public half of your key."),
):
    registry.command(_name, short_help=_help)(_command)
