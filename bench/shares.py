"""Merge shares against the truth: every merge of a zoo with all of its parents named, and models that are in none.

Usage: ``python -m bench.shares FOLDER [OUTPUT.json]`` with a FOLDER made by ``python -m bench.zoo FOLDER``. The tables
in ``docs/methods/merge_shares.md`` were made with it. Merges of two descendants of one founder are measured with the
founder as the base, merges with strangers without one. The truth is the share that was set, of a passthrough merge the
share of layers. Errors and coverage are of shares of at least `LEAST`, established or merely fitting.

Of runs that share only their start with what is in the questioned model, and of trainings of one base apart from each
other, no share may be established.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from whorl.comparison.shares import model_shares

LEAST = 0.2
APART = ("ft_light", "ft_heavy", "ft_heavy_2", "ft_same_text", "cpt", "lora", "dpo")
"""Members that were each trained from the founder, apart from each other."""

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
            **{key: getattr(candidate, key) for key in ("outcome", "fitted", "lower", "upper", "proportion")},
        }


def summary(found: list[Row]) -> Iterator[str]:
    """Errors by kind of merge, as lines of a table."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        if row["truth"] >= LEAST:
            kinds[row["merge"].split("/")[1]].append(row)
    yield "| Merge | Fitted | Established | Mean error | Largest | of proportion | In the interval |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for kind, members in sorted(kinds.items()):
        yield line(kind, members)
    yield line("all", [row for members in kinds.values() for row in members])


def line(name: str, members: list[Row]) -> str:
    """One line of the table."""
    told = [row for row in members if row["fitted"] is not None and row["outcome"] != "none_found"]
    if not told:
        return f"| {name} | 0 of {len(members)} | | | | |"
    established = sum(row["outcome"] == "share" for row in told)
    error = [abs(row["fitted"] - row["truth"]) for row in told]
    inside = sum(row["lower"] <= row["truth"] <= row["upper"] for row in told)
    proportions = [abs(row["proportion"] - row["truth"]) for row in told if row["proportion"] is not None]
    proportion = f"{np.mean(proportions):.4f}" if proportions else ""
    figures = f"{np.mean(error):.4f} | {np.max(error):.3f} | {proportion} | {inside} of {len(told)}"
    return f"| {name} | {len(told)} of {len(members)} | {established} | {figures} |"


def without_part(folder: Path) -> Iterator[tuple[str, Path, list[Path], Path | None, int]]:
    """Questions about a model of which nothing that was trained is in the questioned one: it is the last number."""
    for path in sorted(folder.glob("*/base")):
        name, _, again = path.parent.name.rpartition("-")
        founder, twin = folder / name / "base", folder / f"{name}-twin" / "base"
        if again not in ("order", "text") or not founder.exists() or not twin.exists():
            continue
        for one, other in ((path, founder), (founder, path)):
            yield "second run, alone", one, [other], None, 0
            yield "second run, beside a stranger", one, [other, twin], None, 0
        for merge in sorted((folder / name).glob("stranger_*")):
            yield "second run of a parent, alone", merge, [path], None, 0
            yield "second run of a parent, beside the other parent", merge, [path, twin], None, 0
            yield "second run of a parent, beside both parents", merge, [path, founder, twin], None, 0
    for family in sorted(path.parent for path in folder.glob("*/ft_heavy")):
        found = [family / name for name in APART if (family / name).exists()]
        for one, other in permutations(found, 2):
            yield "another training of the base", one, [other], family / "base", 0


def asked(questioned: Path, candidates: list[Path], base: Path | None, number: int) -> Row:
    """What is said of the one candidate of which nothing is in it."""
    candidate = model_shares(questioned, candidates, base=base).candidates[number]
    return {"questioned": str(questioned), "outcome": candidate.outcome, "fitted": candidate.fitted}


def denials(found: dict[str, list[Row]]) -> Iterator[str]:
    """How often each answer was given where nothing trained is shared, and the most that fitted: lines of a table."""
    answers = ("common_start", "not_established", "none_found", "inconclusive", "share")
    yield f"| Nothing of it was put in | Asked | {' | '.join(answers)} | Fits at most |"
    yield "| --- |" + " --- |" * (len(answers) + 2)
    for kind, rows in found.items():
        counts = " | ".join(str(sum(row["outcome"] == answer for row in rows)) for answer in answers)
        yield f"| {kind} | {len(rows)} | {counts} | {max(row['fitted'] or 0 for row in rows):.2f} |"


def main(folder: Path, output: Path | None) -> None:
    """Ask everything and print both tables."""
    found: list[Row] = []
    for questioned, truth, base in merges(folder):
        found.extend(measured(questioned, truth, base))
        print(f"{questioned.relative_to(folder)}", file=sys.stderr, flush=True)
    denied: dict[str, list[Row]] = defaultdict(list)
    for kind, questioned, candidates, base, number in without_part(folder):
        denied[kind].append(asked(questioned, candidates, base, number))
        print(f"{questioned.relative_to(folder)}: {kind}", file=sys.stderr, flush=True)
    if output is not None:
        output.write_text(json.dumps({"merges": found, "without_part": denied}, indent=1) + "\n")
    for text in (*summary(found), "", *denials(denied)):
        print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
