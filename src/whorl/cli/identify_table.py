"""``whorl identify-table``: how often is a model named rightly from a few answers, and a stranger taken for one?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.core.errors import InputError


def identify_table(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Answers in the long layout, Parquet or CSV.")],
    enrol: Annotated[int, typer.Option("--enrol", min=2, help="Answers of each model that it is enrolled on.")],
    probe: Annotated[int, typer.Option("--probe", min=1, help="Answers that it is to be named from.")],
    lineage: Annotated[
        Path | None,
        typer.Option("--lineage", metavar="FILE", help="Documented descent; left out: lineage.csv beside the table."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the split of questions.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Name each model of a table from a few of its answers, with its line enrolled and without.

    Closed set: is the best candidate right? Open set: with the model's own line left out, is a candidate accepted?
    Thresholds are set on families other than the probe's.
    """
    require_input(table, expected="a table of answers")
    beside = table.parent / "lineage.csv"
    documented = lineage if lineage is not None else (beside if beside.is_file() else None)
    if documented is not None:
        require_input(documented, expected="a CSV table with the columns model, family, base, relation")

    from whorl.comparison.answer_sources import read_sources
    from whorl.comparison.documented_lineage import Lineage, read_lineage
    from whorl.comparison.identification import identify_table as identified
    from whorl.comparison.identification import shares

    known = Lineage() if documented is None else read_lineage(documented)
    found, refused = [], []
    with shown_progress(quiet=quiet) as progress:
        for one in read_sources([table]).tables:
            try:
                found.append(identified(one, known, enrol=enrol, probe=probe, seed=seed, progress=progress))
            except InputError as error:  # a small data set must not hide the others
                refused.append(str(error))
    if not found:
        raise InputError("; ".join(refused))
    documents: list[dict[str, object]] = [
        {
            "dataset": one.dataset,
            "design": one.design,
            "models": one.models,
            "enrolled": one.enrolled,
            "probed": one.probed,
            "probes": len(one.results),
            **shares(one.results),
        }
        for one in found
    ]
    if as_json:
        print_json(
            {
                "schema": "whorl.identification/1",
                "datasets": documents,
                "left_out": refused,
                "probes": [asdict(result) for one in found for result in one.results],
            }
        )
        return Exit.DONE
    for result in found:
        rates = shares(result.results)
        typer.echo(
            f"{result.dataset}: {result.models} models, enrolled on {result.enrolled} answers, {len(result.results)} "
            f"probes of {result.probed} ({result.design})\n"
            f"  right model {rates['right']:.3f}, right line {rates['right_line']:.3f}, right line and accepted "
            f"{rates['right_line_and_accepted']:.3f}, stranger accepted {rates['stranger_accepted']:.3f}"
        )
    for line in refused:
        typer.echo(f"left out: {line}")
    return Exit.DONE
