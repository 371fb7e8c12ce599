"""Merge shares against the truth: every merge of a zoo, all of its parents named.

Usage: ``python -m bench.shares FOLDER [OUTPUT.json]`` with a FOLDER made by ``python -m bench.zoo FOLDER``. The table
in ``docs/methods/merge_shares.md`` was made with it. Merges of two descendants of one founder are measured with the
founder as the base, merges with strangers without one. The truth is the share that was set, of a passthrough merge the
share of layers. Errors and coverage are of shares of at least `LEAST`.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from whorl.comparison.shares import model_shares

LEAST = 0.2

Row = dict[str, Any]


def merges(folder: Path) -> Iterator[tuple[Path, dict[Path, float], Path | None]]:
    """Every merge: the questioned model, its parents with their shares, and the base to name."""
    for path in sorted(folder.glob("*/[!.]*/record.json")):
        family, record = path.parents[1], json.loads(path.read_text())
        while not record.get("parents") and record["parent"] is not None:  # what was done to a merge afterwards
            record = json.loads((family / record["parent"] / "record.json").read_text())
        others: dict[str, float] = record.get("parents") or {}
        if others:
            shares = {family / record["parent"]: 1 - sum(others.values())}
            shares |= {(folder if "/" in name else family) / name: share for name, share in others.items()}
            relatives = record["parent"] != "base"
            yield path.parent, shares, family / "base" if relatives else None


def measured(questioned: Path, truth: dict[Path, float], base: Path | None) -> Iterator[Row]:
    """One row per parent."""
    found = model_shares(questioned, list(truth), base=base)
    for candidate, (path, share) in zip(found.candidates, truth.items(), strict=True):
        yield {
            "merge": f"{questioned.parent.name}/{questioned.name}",
            "parent": str(path.relative_to(questioned.parents[1])),
            "truth": share,
            **{key: getattr(candidate, key) for key in ("outcome", "share", "lower", "upper", "proportion")},
        }


def summary(found: list[Row]) -> Iterator[str]:
    """Errors by kind of merge, as lines of a table."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        if row["truth"] >= LEAST:
            kinds[row["merge"].split("/")[1]].append(row)
    yield "| Merge | Shares told | Mean error | Largest | of proportion | In the interval |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind, members in sorted(kinds.items()):
        yield line(kind, members)
    yield line("all", [row for members in kinds.values() for row in members])


def line(name: str, members: list[Row]) -> str:
    """One line of the table."""
    told = [row for row in members if row["outcome"] == "share"]
    if not told:
        return f"| {name} | 0 of {len(members)} | | | | |"
    error = [abs(row["share"] - row["truth"]) for row in told]
    proportion = [abs(row["proportion"] - row["truth"]) for row in told if row["proportion"] is not None]
    inside = sum(row["lower"] <= row["truth"] <= row["upper"] for row in told)
    figures = f"{np.mean(error):.4f} | {np.max(error):.3f} | {np.mean(proportion):.4f} | {inside} of {len(told)}"
    return f"| {name} | {len(told)} of {len(members)} | {figures} |"


def main(folder: Path, output: Path | None) -> None:
    """Measure every merge and print the table."""
    found: list[Row] = []
    for questioned, truth, base in merges(folder):
        found.extend(measured(questioned, truth, base))
        print(f"{questioned.relative_to(folder)}", file=sys.stderr, flush=True)
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n")
    for text in summary(found):
        print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
