"""What `compare` says of every pair of a folder of models with known relations, counted by relation.

Usage: ``python bench/kinship.py FOLDER [--stored]`` with a FOLDER made by ``python -m demo.zoo FOLDER``. The table in
``docs/methods/kinship.md`` was made with it. ``--stored`` compares stored fingerprints instead of weights.
"""

import json
import sys
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.evidence import Finding, Score
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint

Truth = dict[str, dict[str, Any]]


def line(truth: Truth, name: str) -> list[str]:
    """The model and its ancestors by weights, youngest first; a distilled student has none."""
    entry = truth[name]
    parent = None if entry["relation"] == "distilled" else entry["parent"]
    return [name, *(line(truth, parent) if parent else [])]


def start(truth: Truth, name: str) -> tuple[str, int]:
    """What the oldest ancestor was initialised from: architecture and seed."""
    root = truth[line(truth, name)[-1]]
    return root["architecture"], root["seed"]


def relation(truth: Truth, one: str, other: str) -> str:
    """How two models are really related."""
    ours, theirs = line(truth, one), line(truth, other)
    common = [name for name in ours if name in theirs]
    long = {"continued_pretraining"}
    if not common:
        same_start = start(truth, one) == start(truth, other)
        if not same_start:
            return "unrelated"
        return "siblings" if len(ours) == len(theirs) == 1 else "a child of one, and its sibling"
    path = [name for name in (*ours, *theirs) if name not in common]
    what = "child" if one in theirs or other in ours else "cousins"
    return f"{what}, continued pre-training" if any(truth[name]["relation"] in long for name in path) else what


def figures(finding: Finding) -> tuple[float, float] | None:
    """Correlation of gains (NaN-free: 0 where there is none) and difference over structure."""
    scores = {e.method: e for e in finding.evidence if isinstance(e, Score)}
    matched, gains = scores.get("matched_weights/1"), scores.get("gain_slopes/1")
    if matched is None:
        return None
    structure = max(matched.statistic["structure"], 1e-9)
    return (0.0 if gains is None else gains.value), matched.statistic["difference"] / structure


def main(folder: Path, *, stored: bool) -> None:
    """Print one row per relation and disguise."""
    truth: Truth = json.loads((folder / "truth.json").read_text())
    names = sorted(name for name in truth if (folder / name / "config.json").exists())
    prints = {name: fingerprint_checkpoint(folder / name, progress=silent) for name in names} if stored else {}
    answers: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    ranges: dict[tuple[str, bool], list[tuple[float, float]]] = defaultdict(list)
    for one, other in combinations(names, 2):
        if truth[one]["architecture"] != truth[other]["architecture"]:
            continue
        if stored:
            finding = compare_fingerprints(prints[one], prints[other])
        else:
            finding = compare(folder / one, folder / other, progress=silent)
        disguises = sum(truth[name]["relation"] == "rewritten" for name in (one, other))
        if disguises == 2:
            continue
        key = relation(truth, one, other), disguises == 1
        answers[key][finding.conclusion.relation] += 1
        if (found := figures(finding)) is not None:
            ranges[key].append(found)
    for key in sorted(answers):
        gains, ratios = zip(*ranges[key], strict=True) if ranges[key] else ((), ())
        spread = (
            "" if not gains else f"gains {min(gains):.3f}..{max(gains):.3f} ratio {min(ratios):.2f}..{max(ratios):.2f}"
        )
        print(f"{key[0]}{', one rewritten' if key[1] else ''}: {dict(answers[key])} {spread}", flush=True)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--stored"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    main(Path(arguments[0]), stored="--stored" in sys.argv)
