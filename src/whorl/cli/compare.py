"""``whorl compare``: two checkpoints in, one finding out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import is_whorl_page, print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress

if TYPE_CHECKING:
    from whorl.core.evidence import Finding


def compare(
    questioned: Annotated[Path, typer.Argument(metavar="QUESTIONED", help="The model in question.")],
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="The model it is compared with.")],
    as_json: AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write the full report as one self-contained page."),
    ] = None,
    quiet: Quiet = False,
) -> Exit:
    """Say how two models' weights are related, and on what evidence.

    Each side is a checkpoint folder, a checkpoint file or a stored fingerprint. Exit status 3 means inconclusive.
    """
    require_input(questioned)
    require_input(reference)
    if html is not None:
        require_page(html, inputs=(questioned, reference))

    from whorl.comparison.comparing import compare as compare_models

    with shown_progress(quiet=quiet) as progress:
        finding = compare_models(questioned, reference, progress=progress)
    if html is not None:
        write_page(finding, html)
    if as_json:
        print_json(finding.model_dump_json(indent=2))
    else:
        from whorl.cli.summary import print_finding

        print_finding(finding, page=html)
    return Exit(finding.exit_code)


def require_page(path: Path, *, inputs: tuple[Path, ...]) -> None:
    """Raise `InputError` unless the page can be made and written, before any work is done."""
    from whorl.comparison.report import require_template_engine

    require_template_engine()
    require_output(path, inputs=inputs, replace=path.is_file() and is_whorl_page(path))


def write_page(finding: "Finding", path: Path) -> None:
    """Write the finding's page."""
    from whorl.comparison.report import render_html

    write_whole(path, render_html(finding).encode())
