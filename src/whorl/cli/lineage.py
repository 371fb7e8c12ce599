"""``whorl lineage``: a set of models in, their tree out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import is_whorl_page, print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress

if TYPE_CHECKING:
    from whorl.lineage.document import Lineage
    from whorl.lineage.members import Member, Unread


def lineage(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A folder that holds several models, or a registry."),
    ],
    as_json: AsJson = False,
    graphml: Annotated[
        Path | None, typer.Option("--graphml", metavar="FILE", help="Also write the graph as GraphML.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write it as one self-contained page with a picture."),
    ] = None,
    quiet: Quiet = False,
) -> Exit:
    """Say which of a set of models continues which, what was merged, and where an ancestor is missing.

    Sub-folders are checkpoints, files are checkpoints or stored fingerprints. What cannot be read is named, and left
    out.
    """
    require_input(source, expected="a folder that holds several models, or a registry")
    for path in (graphml, html):
        if path is not None:
            replace = path == html and path.is_file() and is_whorl_page(path)
            require_output(path, inputs=(source,), replace=replace)
    if graphml is not None and html is not None and graphml.resolve() == html.resolve():
        raise InputError(f"{html}: is named for both --graphml and --html; choose two places")
    if html is not None:
        from whorl.lineage.page import require_page_engine

        require_page_engine()

    from whorl.lineage.inferring import infer_lineage

    with shown_progress(quiet=quiet) as progress:
        members, unread = _members(source, progress)
        found = infer_lineage(members, unread, progress=progress)
    _write(found, graphml, html)
    if as_json:
        print_json(found.model_dump_json(indent=2))
    else:
        from whorl.cli.lineage_text import print_lineage

        print_lineage(found, page=html)
    return Exit.DONE


def _members(source: Path, progress: Progress) -> "tuple[list[Member], list[Unread]]":
    from whorl.registry.home import is_home

    if is_home(source):
        return _members_of_registry(source, progress)
    if not source.is_dir():
        raise InputError(f"{source}: expected a folder that holds several models, or a registry's folder, found a file")
    from whorl.lineage.members import members_of_folder

    return members_of_folder(source, progress=progress)


def _members_of_registry(path: Path, progress: Progress) -> "tuple[list[Member], list[Unread]]":
    from whorl.comparison.subjects import content_digest
    from whorl.fingerprints.weight_fingerprint import parse_fingerprint
    from whorl.lineage.members import Member, Unread
    from whorl.registry.registered import registered_fingerprints, remark_on, require_own_content
    from whorl.registry.registry_reader import read_registry

    members: list[Member] = []
    unread: list[Unread] = []
    with read_registry(path) as registry:
        registered = registered_fingerprints(registry)
        names = [one.name for one in registered]
        for done, one in enumerate(registered, 1):
            name = one.name if names.count(one.name) == 1 else f"{one.name} (entry {one.entry[:8]})"
            try:
                stored = parse_fingerprint(registry.blob(one.blob), origin=f"{path}: entry {one.entry}")
                require_own_content(one, content_digest(stored.view()))
            except (InputError, VerificationError) as error:  # one damaged entry must not hide the others
                unread.append(Unread(name=name, problem=str(error)))
            else:
                members.append(Member(name=name, fingerprint=stored, path=None, anatomy=None, remark=remark_on(one)))
            progress("reading models", done, len(registered))
    return members, unread


def _write(found: "Lineage", graphml: Path | None, html: Path | None) -> None:
    """Render everything before anything is written."""
    from whorl.lineage.graphml import to_graphml
    from whorl.lineage.page import render_page

    files = []
    if graphml is not None:
        files.append((graphml, to_graphml(found)))
    if html is not None:
        files.append((html, render_page(found).encode()))
    for path, data in files:
        write_whole(path, data)
