"""``whorl population``: control models for behavioural comparison."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import lineage_beside, print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress

if TYPE_CHECKING:
    from whorl.comparison.answer_population import AnswerPopulation

population = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Control models to compare answers against.")


def build(
    tables: Annotated[
        list[Path],
        typer.Argument(metavar="TABLE...", help="Answers in the long layout (Parquet, CSV); or transcripts."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The population to write.")],
    lineage: Annotated[
        Path | None,
        typer.Option(
            "--lineage",
            metavar="FILE",
            help="What is documented of the models' descent (CSV). Left out: lineage.csv beside the first table.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Make a control population from answers of many models.

    The more families of models it holds, the stronger a statement it can support. Below 50 controls no ratio is given.
    """
    for table in tables:
        require_input(table, expected="a table of answers, or a transcript")
    documented = lineage_beside(lineage, tables[0])
    require_output(out, inputs=tuple(tables))

    from whorl.comparison.answer_population import build_population, write_population
    from whorl.comparison.answer_sources import read_sources
    from whorl.comparison.documented_lineage import Lineage, read_lineage

    known = Lineage() if documented is None else read_lineage(documented)
    with shown_progress(quiet=quiet) as progress:
        sources = read_sources(tables)
        built = build_population(sources.tables, known, batteries=sources.batteries, progress=progress)
    file = io.BytesIO()
    write_population(built, file)
    write_whole(out, file.getvalue())
    summary = _summary(built)
    if as_json:
        print_json(summary | {"lineage": None if documented is None else documented.name})
        return Exit.DONE
    _print(summary, f" -> {out}")
    if documented is None:
        typer.echo("No lineage was given: nothing is known of which models are related, so nothing can be calibrated.")
    return Exit.DONE


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A population of `whorl population build`.")],
    as_json: AsJson = False,
) -> Exit:
    """Say what a population holds, with the digests by which the protocol of a case names it and its questions."""
    require_input(file, expected="a population of `whorl population build`")

    from whorl.comparison.answer_population import read_population

    summary = _summary(read_population(file))
    if as_json:
        print_json(summary)
        return Exit.DONE
    _print(summary, "")
    typer.echo(f"  digest {summary['digest']}")
    for battery in summary["batteries"]:
        typer.echo(f"  battery {battery['name']}, seed {battery['seed']}: {battery['digest']}")
    return Exit.DONE


def _summary(built: "AnswerPopulation") -> dict[str, Any]:
    families = {family for model in built.models if (family := built.lineage.family(model)) is not None}
    return {
        "schema": "whorl.answer-population-summary/1",
        "digest": built.digest,
        "models": len(built.models),
        "families": len(families),
        "controls_for_ratios": built.labelled.controls,
        "datasets": [
            {"dataset": made.dataset, "models": len(made.models), "items": len(made.items)} for made in built.tables
        ],
        "batteries": [{"name": one.name, "seed": one.seed, "digest": one.digest} for one in built.batteries],
    }


def _print(summary: Mapping[str, Any], where: str) -> None:
    data_sets = summary["datasets"]
    typer.echo(f"{summary['models']} models of {summary['families']} known families, {len(data_sets)} data sets{where}")
    for made in data_sets:
        typer.echo(f"  {made['dataset']}: {made['models']} models x {made['items']} items")


for _name, _command, _help in (
    ("build", build, "Make a population from tables of answers."),
    ("show", show, "Say what a population holds, and its digests."),
):
    population.command(_name, short_help=_help)(exits(_command))
