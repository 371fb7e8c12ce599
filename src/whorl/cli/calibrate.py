"""``whorl calibrate``: a folder of models with known ancestry in, a reference population out."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress

if TYPE_CHECKING:
    from whorl.statistics.ratio_population import Population

SEED = 20261124


def calibrate(
    zoo: Annotated[Path, typer.Argument(metavar="ZOO", help="A folder of models, described by its zoo.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the population goes.")],
    ledger: Annotated[
        Path | None,
        typer.Option(
            "--ledger",
            metavar="FILE",
            help="Where measured pairs are kept, so that an interrupted run goes on; FILE with .pairs.jsonl, if left "
            "out.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the population; the folder's name, if left out.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Comparisons side by side.")] = os.cpu_count() or 1,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Calibrate ratios on your own models: compare pairs of known relation and fit what their figures are worth.

    ZOO/zoo.json says which model descends from which (docs/specs/population.md). The result is what `whorl compare
    --population FILE` takes.
    """
    require_input(zoo, expected="a folder of models with a zoo.json")
    require_output(output, replace=force)

    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from whorl.comparison.figures import MeasuredPair
    from whorl.comparison.measuring import measure_pairs
    from whorl.comparison.population import calibrate as fit
    from whorl.comparison.population import population_bytes
    from whorl.comparison.zoo import planned_pairs, read_zoo
    from whorl.core.evidence import Access

    pairs = planned_pairs(read_zoo(zoo), seed=SEED)
    kept = ledger or output.with_name(f"{output.name}.pairs.jsonl")
    rows: list[MeasuredPair] = []
    accesses: tuple[Access, ...] = ("weights", "fingerprint")
    with (
        shown_progress(quiet=quiet) as progress,
        # Spawned, not forked: a forked child inherits the matrix library's threads in an unusable state.
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as executor,
    ):
        for access in accesses:
            rows += measure_pairs(zoo, pairs, kept, access=access, executor=executor, progress=progress)
    population = fit(rows, name=name or zoo.resolve().name)
    require_output(output, replace=force)
    write_whole(output, population_bytes(population))
    if as_json:
        print_json({"schema": "whorl.calibration-receipt/1", "file": str(output), "digest": population.digest})
    else:
        _print(population, output, len(rows))
    return Exit.DONE


def _print(population: "Population", output: Path, pairs: int) -> None:
    from whorl.cli.summary import LABEL_WIDTH, print_facts

    facts = {
        "Population": f"{population.name}, {population.families} families, {pairs} measured pairs",
        "Digest": population.digest,
        "File": str(output),
    }
    print_facts("Calibrated", facts)
    label = "Ratios"
    for cell in population.cells:
        spoken = f"{cell.access}, {cell.alternative.replace('_', ' ')}"
        families = f"{cell.families[0]} against {cell.families[1]} families"
        print(f"{label:<{LABEL_WIDTH}}{spoken}: {families}, up to 10^{cell.supporting.sampling:.1f}")
        label = ""
