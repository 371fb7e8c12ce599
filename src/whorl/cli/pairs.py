"""``whorl pairs``: score every pair of models of a table."""

import io
from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, PopulationFile, Quiet
from whorl.cli.progress import shown_progress


def pairs(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Answers in the long layout, Parquet or CSV.")],
    population: PopulationFile,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The scores to write (Parquet).")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Score every pair of models of a table, for evaluation in bulk.

    The scores rank pairs. They are no findings: `calibrated_p` and `log10_lr` say what the population makes of a pair.
    Where fewer than 10 of its models answered the same questions, the table's models are measured by each other, and
    both are empty.
    """
    require_input(table, expected="a table of answers")
    require_input(population, expected="the population that `whorl population build` wrote")
    require_output(out, inputs=(table, population), replace=True)

    from whorl.comparison.answer_pairs import pair_rows, write_pairs
    from whorl.comparison.answer_population import read_population
    from whorl.comparison.answer_sources import read_sources

    file = io.BytesIO()
    with shown_progress(quiet=quiet) as progress:
        tables = read_sources([table]).tables
        count = write_pairs(pair_rows(tables, read_population(population), progress=progress), file)
    write_whole(out, file.getvalue())
    if as_json:
        print_json({"schema": "whorl.pairs-summary/1", "pairs": count, "datasets": len(tables), "out": str(out)})
    else:
        typer.echo(f"{count:,} pairs of {len(tables)} data sets -> {out}")
    return Exit.DONE
