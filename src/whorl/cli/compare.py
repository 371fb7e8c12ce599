"""``whorl compare``: two checkpoints in, one finding out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.behaviour import compare_transcripts, is_transcript_file
from whorl.cli.exits import Exit
from whorl.cli.files import is_whorl_page, print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.core.evidence import Finding
    from whorl.weights.release_key import ReleaseKey


def compare(
    questioned: Annotated[Path, typer.Argument(metavar="QUESTIONED", help="The model in question.")],
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="The model it is compared with.")],
    as_json: AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write the full report as one self-contained page."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="Also test for this release key; REFERENCE is what it was made for."
        ),
    ] = None,
    commitment: Annotated[
        Path | None,
        typer.Option("--commitment", metavar="FILE", help="First check that the key opens this commitment."),
    ] = None,
    population: Annotated[
        Path | None,
        typer.Option(
            "--population",
            "-P",
            metavar="FILE",
            help="Weigh with this: of `whorl calibrate` for weights, of `whorl population` for transcripts.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> Exit:
    """Say how two models are related, and on what evidence.

    Each side is a checkpoint folder, a checkpoint file or a stored fingerprint; or both are transcripts of endpoints,
    made by `whorl probe`. Exit status 3 means inconclusive.
    """
    require_input(questioned)
    require_input(reference)
    transcripts = [is_transcript_file(path) for path in (questioned, reference)]
    if any(transcripts):
        if not all(transcripts):
            raise InputError(
                f"{questioned} and {reference}: expected two transcripts or two sets of weights, found one of each; "
                "probe the other model as well, or compare its weights"
            )
        if key is not None or commitment is not None:
            raise InputError("--key and --commitment: a release key marks weights, which a transcript does not hold")
        return compare_transcripts(questioned, reference, population, html=html, as_json=as_json, quiet=quiet)
    if html is not None:
        require_page(html, inputs=(questioned, reference))
    secret = None if key is None and commitment is None else read_opened_key(key, commitment)

    if population is not None:
        require_input(population, expected="the population that `whorl calibrate` wrote")

    from whorl.comparison.comparing import compare as compare_models
    from whorl.comparison.population import read_population

    weighing = None if population is None else read_population(population)
    with shown_progress(quiet=quiet) as progress:
        finding = compare_models(questioned, reference, progress=progress, key=secret, population=weighing)
    if html is not None:
        write_page(finding, html)
    if as_json:
        print_json(finding.model_dump_json(indent=2))
    else:
        from whorl.cli.summary import print_finding

        print_finding(finding, page=html)
    return Exit(finding.exit_code)


def read_opened_key(key: Path | None, commitment: Path | None) -> "ReleaseKey":
    """The key, once it was seen to open the commitment, where one is given.

    Raises
    ------
    InputError
        If either file is broken, or there is a commitment and no key.
    VerificationError
        If the key does not open the commitment.
    """
    if key is None:
        raise InputError("--commitment: expected the key that opens it as well; give --key FILE")
    require_input(key, expected="the key file that `whorl commit` wrote")

    from whorl.weights.release_key import read_commitment, read_key, verify_opening

    secret = read_key(key)
    if commitment is not None:
        require_input(commitment, expected="the commitment file that `whorl commit` wrote")
        verify_opening(secret, read_commitment(commitment))
    return secret


def require_page(path: Path, *, inputs: tuple[Path, ...]) -> None:
    """Raise `InputError` unless the page can be made and written, before any work is done."""
    from whorl.comparison.report import require_template_engine

    require_template_engine()
    require_output(path, inputs=inputs, replace=path.is_file() and is_whorl_page(path))


def write_page(finding: "Finding", path: Path) -> None:
    """Write the finding's page."""
    from whorl.comparison.report import render_html

    write_whole(path, render_html(finding).encode())
