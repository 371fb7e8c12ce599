"""What building a population from every table and scoring the largest table take, each in a process of its own."""

import tempfile
from pathlib import Path
from typing import Any

from bench.behaviour.realdata import RealData, answer_files
from bench.measuring import WHORL, measure


def cost_table(data: RealData) -> dict[str, Any]:
    """Time and memory of the two commands."""
    largest = max(answer_files(data.folder), key=lambda file: file.stat().st_size)
    lineage = data.folder / "lineage.csv"
    with tempfile.TemporaryDirectory() as name:
        population, scores = Path(name) / "population.parquet", Path(name) / "scores.parquet"
        build = [WHORL, "population", "build", *answer_files(data.folder), "--lineage", lineage, "--quiet"]
        pairs = [WHORL, "pairs", largest, "--population", population, "--out", scores, "--quiet"]
        runs = {
            "whorl population build": measure([*build, "--out", population]),
            f"whorl pairs {largest.name}": measure(pairs),
        }
        size = population.stat().st_size
    return {
        "commands": {
            command: {
                "wall_seconds": round(run.wall_seconds, 1),
                "cpu_seconds": round(run.cpu_seconds, 1),
                "peak_megabytes": round(run.peak_megabytes),
            }
            for command, run in runs.items()
        },
        "population_megabytes": round(size / 1e6, 1),
        "tables": len(answer_files(data.folder)),
        "answers": sum(int(table.answered.sum()) for table in data.tables),
    }
