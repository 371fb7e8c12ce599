"""``whorl``: the verbs, and the way in from the shell."""

import io
import os
import sys
from typing import Annotated, Final

import typer

from whorl import __version__
from whorl.cli.alibi import alibi
from whorl.cli.alternatives import alternatives
from whorl.cli.bureau import bureau
from whorl.cli.calibrate import calibrate
from whorl.cli.case import case
from whorl.cli.check_api import check_api
from whorl.cli.commit import commit
from whorl.cli.compare import compare
from whorl.cli.dossier import dossier
from whorl.cli.exits import Exit, exits
from whorl.cli.fingerprint import fingerprint
from whorl.cli.identify import identify
from whorl.cli.identify_table import identify_table
from whorl.cli.lineage import lineage
from whorl.cli.log import log
from whorl.cli.notice import notice
from whorl.cli.pairs import pairs
from whorl.cli.population import population
from whorl.cli.probe import probe
from whorl.cli.register import register
from whorl.cli.registry import registry
from whorl.cli.release import release
from whorl.cli.serve import serve
from whorl.cli.shares import shares
from whorl.cli.verify import verify

# Whorl spreads its work over layers itself; a second pool inside the matrix library only makes both wait.
_LIBRARY_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# Plain help: it is drawn without the terminal library, and a file name in an error is never read as markup.
app = typer.Typer(
    name="whorl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"whorl {__version__}")
        raise typer.Exit(Exit.DONE)


@app.callback()
def whorl(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which model does this AI model come from? Evidence a stranger can check.

    Results go to standard output, progress to standard error. Exit status: 0 done, 1 a verification failed,
    2 usage or bad input, 3 inconclusive.
    """


app.command(short_help="Say how two models are related: by weights, or answers.")(exits(compare))
app.command(short_help="Say how much of each candidate a merged model holds.")(exits(shares))
app.command(short_help="Take a model's fingerprint: one small file.")(exits(fingerprint))
app.command(short_help="Enter a model into a registry file.")(exits(register))
app.command(short_help="Search a registry, and test each hit.")(exits(identify))
app.command(short_help="Draw the tree of a set of models.")(exits(lineage))
app.command(short_help="Calibrate ratios on models of known ancestry.")(exits(calibrate))
app.command(short_help="Ask an endpoint a battery of questions.")(exits(probe))
app.add_typer(population, name="population", short_help="Make a population of control models.")
app.command(short_help="Score every pair of models of a table of answers.")(exits(pairs))
app.command(short_help="Name the models of a table from a few answers.")(exits(identify_table))
app.command(short_help="Check that an endpoint serves the model it claims.")(exits(check_api))
app.add_typer(registry, name="registry", short_help="Make a registry, look after it, take receipts.")
app.command(short_help="Serve a registry over HTTP.")(exits(serve))
app.add_typer(bureau, name="bureau", short_help="Run a registry as one bureau among others.")
app.add_typer(notice, name="notice", short_help="File, answer, contest and rule on notices.")
app.add_typer(alibi, name="alibi", short_help="Seal that something exists now, to show it later.")
app.add_typer(log, name="log", short_help="Audit a log, or watch it.")
app.command(short_help="Check a registry's receipt, offline.")(exits(verify))
app.add_typer(case, name="case", short_help="Examine a claim about two models, hearing both sides.")
app.add_typer(alternatives, name="alternatives", short_help="Test what else explains a likeness, for either side.")
app.add_typer(dossier, name="dossier", short_help="Build, show and verify the file a case ends in.")
app.command(short_help="Seal a secret key for a model, before its release.")(exits(commit))
app.command(short_help="Write the copy to release, marked by the key.")(exits(release))


def main() -> None:
    """Run the command line and exit with its status."""
    for variable in _LIBRARY_THREADS:
        os.environ.setdefault(variable, "1")
    # A stream that the caller closed is None; what would go there goes nowhere.
    sys.stdout = sys.stdout or io.TextIOWrapper(io.BytesIO())
    sys.stderr = sys.stderr or io.TextIOWrapper(io.BytesIO())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter must not end the run
            stream.reconfigure(errors="replace")
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
