"""``whorl registry import``: bring a catalogue of signed entries into a registry's folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import DEFAULT_REGISTRY, RegistryPlace, local_registry
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.registry.import_lines import BadLine

_SMALL: Final = 1 << 22  # bytes of a file that are read before other processes would have begun
_LISTED: Final = 100


@exits
def import_entries(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSON Lines: a signed entry on each, with envelope, salt and sealed."),
    ],
    place: RegistryPlace = DEFAULT_REGISTRY,
    blobs: Annotated[
        Path | None,
        typer.Option("--blobs", metavar="FOLDER", help="Files that the entries refer to; stored before the entries."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Enter signed entries from a file into a registry's folder, while no service runs on it.

    A line is what `POST /api/entries` takes as one entry, and is judged by the same rules. Each line that was not
    entered is named with the reason; the others are entered. Interrupted or mended, it can be begun again: what the log
    has is left out.
    """
    require_input(source, expected="a file of signed entries")
    if not source.is_file():
        raise InputError(f"{source}: expected a file of signed entries, found a folder or device; check the path")

    from whorl.comparison.wording import visible
    from whorl.registry.importing import import_blobs, import_file

    problems: list[dict[str, int | str]] = []

    def refused(line: "BadLine") -> None:
        if len(problems) < _LISTED:
            problems.append({"line": line.number, "problem": line.problem})
        if not as_json:
            typer.echo(f"line {line.number}: {visible(line.problem)}")

    processes = 0 if source.stat().st_size < _SMALL else os.cpu_count() or 1
    with local_registry(place) as registry, shown_progress(quiet=quiet) as progress:
        stored = 0 if blobs is None else import_blobs(registry, blobs, progress=progress)
        imported = import_file(registry, source, processes=processes, refused=refused, progress=progress)
    facts = {"blobs": stored, "entered": imported.entered, "known": imported.known, "refused": imported.refused}
    if as_json:
        print_json({"schema": "whorl.registry-import/1"} | facts | {"problems": problems})
    else:
        from whorl.cli.summary import print_facts

        labels = {"blobs": "Blobs stored", "entered": "Entered", "known": "There before", "refused": "Not entered"}
        shown = {labels[name]: str(number) for name, number in facts.items() if number or name == "entered"}
        print_facts("Imported", shown)
    if imported.refused:
        first = problems[0]
        raise InputError(
            f"{source}: {imported.refused} lines were not entered; the first, line {first['line']}: "
            f"{first['problem']}. All others are in the log. Mend these lines and give the same command again"
        )
    return Exit.DONE
