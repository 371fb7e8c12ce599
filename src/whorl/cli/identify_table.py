"""``whorl identify-table``: how well models of a table are identified from a few answers, for evaluation in bulk."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whorl.cli.behaviour import POPULATION
from whorl.cli.exits import Exit
from whorl.cli.files import lineage_beside, print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress

if TYPE_CHECKING:
    from whorl.comparison.answer_population import AnswerPopulation
    from whorl.comparison.documented_lineage import Lineage

_DESIGNS = {
    "same_prompts": "questioned by other draws of the prompts it is known from",
    "other_prompts": "questioned on other prompts than it is known from: only habits of style can tell",
}


def identify_table(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Answers in the long layout, Parquet or CSV.")],
    enrol: Annotated[int, typer.Option("--enrol", metavar="N", min=2, help="Answers from which each model is known.")],
    probe: Annotated[int, typer.Option("--probe", metavar="M", min=1, help="Other answers that are questioned.")] = 10,
    population: Annotated[
        Path | None,
        typer.Option("--population", "-P", metavar="FILE", help="Control models that say what is usual."),
    ] = None,
    lineage: Annotated[
        Path | None,
        typer.Option(
            "--lineage", metavar="FILE", help="Documented descent (CSV); lineage.csv beside TABLE where it is there."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the division into enrolled and questioned.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Also write every trial (Parquet).")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Try identification on a table: right model, right line, and how often an unknown model is taken for a known one.

    Each model is enrolled on N answers and questioned by samples of M others, once while it is known and once while
    nothing of its line is. Nothing is said of any model in particular: this measures the method.
    """
    require_input(table, expected="a table of answers")
    documented = lineage_beside(lineage, table)
    if population is not None:
        require_input(population, expected=POPULATION)
    inputs = [table, *(path for path in (population, documented) if path is not None)]
    if out is not None:
        require_output(out, inputs=tuple(inputs), replace=True)

    import numpy as np

    from whorl.comparison.answer_population import read_population
    from whorl.comparison.answer_sources import read_sources
    from whorl.comparison.identification_summary import document, summary, write_trials
    from whorl.comparison.identification_trials import try_table

    controls = None if population is None else read_population(population)
    known = _lineage(documented, controls)
    with shown_progress(quiet=quiet) as progress:
        tried = [
            try_table(
                one,
                known,
                enrol=enrol,
                probe=probe,
                controls=None if controls is None else controls.table(one.dataset),
                seed=seed,
                progress=progress,
            )
            for one in read_sources([table]).tables
        ]
    found = [document(one, summary(one, np.random.default_rng(seed))) for one in tried]
    if out is not None:
        file = io.BytesIO()
        write_trials(tried, file)
        write_whole(out, file.getvalue())
    if as_json:
        print_json({"schema": "whorl.identify-table/1", "seed": seed, "datasets": found})
    else:
        for one in found:
            _print(one)
    return Exit.DONE


def _lineage(documented: Path | None, controls: "AnswerPopulation | None") -> "Lineage":
    """The file's statements, and the population's about models that the file does not name."""
    from whorl.comparison.documented_lineage import Lineage, read_lineage

    stated = Lineage() if documented is None else read_lineage(documented)
    if controls is None:
        return stated
    return Lineage(
        edges=(*stated.edges, *(edge for edge in controls.lineage.edges if edge.model not in stated.families))
    )


def _print(found: dict[str, Any]) -> None:
    typer.echo(
        f"{found['dataset']}: {found['models']} models of {found['lines']} lines, each known from {found['enrol']} "
        f"answers and {_DESIGNS[found['design']]}, {found['probe']} at a time"
    )
    if found["models_with_too_few_answers"]:
        typer.echo(f"  {found['models_with_too_few_answers']} models have too few answers and were left out")
    if found["problem"]:
        typer.echo(f"  not tried: {found['problem']}")
        return
    for name, words in (
        ("right_model", "first candidate is the model itself"),
        ("right_line", "first candidate is of its line"),
        ("known_right_line", "... and accepted"),
        ("known_right_model", "the model itself, and accepted"),
        ("known_wrong", "another line accepted, though the right one is known"),
        ("unknown_accepted", "unknown model taken for a stranger"),
        ("related_accepted", "... or for a documented relative of another line"),
    ):
        share = found[name]
        if share is not None:
            typer.echo(
                f"  {words:<52} {share['value']:6.1%}  [{share['lower']:.1%}, {share['upper']:.1%}]  "
                f"{share['hits']} of {share['trials']}, {share['models']} models"
            )
    if found["open_set_problem"]:
        typer.echo(f"  unknown models were not tried: {found['open_set_problem']}")
    for confusion in found["confusions"][:3]:
        typer.echo(f"  {confusion['model']} unknown: {confusion['samples']} samples taken for {confusion['taken_for']}")
