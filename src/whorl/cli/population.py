"""``whorl population``: control models for behavioural comparison."""

import io
from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import lineage_beside, print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress

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
    families = {family for model in built.models if (family := known.family(model)) is not None}
    summary = {
        "schema": "whorl.answer-population-summary/1",
        "digest": built.digest,
        "models": len(built.models),
        "families": len(families),
        "lineage": None if documented is None else documented.name,
        "controls_for_ratios": built.labelled.controls,
        "datasets": [
            {"dataset": made.dataset, "models": len(made.models), "items": len(made.items)} for made in built.tables
        ],
    }
    if as_json:
        print_json(summary)
        return Exit.DONE
    typer.echo(f"{len(built.models)} models of {len(families)} known families, {len(built.tables)} data sets -> {out}")
    for made in built.tables:
        typer.echo(f"  {made.dataset}: {len(made.models)} models x {len(made.items)} items")
    if documented is None:
        typer.echo("No lineage was given: nothing is known of which models are related, so nothing can be calibrated.")
    return Exit.DONE


population.command("build", short_help="Make a population from tables of answers.")(exits(build))
