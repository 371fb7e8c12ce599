"""The validation of behavioural scores on real answers: ``python -m bench.behaviour.study [REALDATA [KEPT]]``.

With the folder of the data everything is measured anew and ``results.json`` is renewed; comparisons of answers are kept
in the folder KEPT, so that an interrupted run goes on. Without it the page is written from the committed results.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.behaviour.areas import area_table, hit_table, split_table
from bench.behaviour.cost import cost_table
from bench.behaviour.held_out import HeldOutScores, ScoredPairs
from bench.behaviour.page import page
from bench.behaviour.rates import rate_table, ratio_table
from bench.behaviour.realdata import RealData, halves, read_realdata
from bench.behaviour.safety import safety_table
from bench.behaviour.teachers import teacher_table
from bench.behaviour.traps import traps
from bench.reporting import machine

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results.json"
CEILING = Path(__file__).parent / "ceiling.json"
PAGE = ROOT / "docs" / "validation-behaviour.md"
SEED = 20261126


def measured(data: RealData, kept: Path) -> dict[str, Any]:
    """Every figure of the page."""
    held_out = HeldOutScores(data, kept)
    rng = np.random.default_rng(SEED)
    facts = machine()
    whole = [_told(held_out.left_out_pairs(table)) for table in data.tables]
    scored = [one for one in whole if one.left.size]
    splits = [
        runs
        for table in data.tables
        if (runs := [one for half in _both_halves(data) if (one := held_out.split_pairs(table, half)) is not None])
    ]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": facts,
        "sets": {one.dataset: _about(one) for one in whole},
        "areas": area_table(scored, rng=rng),
        "hits": hit_table(scored, rng=rng),
        "p": rate_table(scored, rng=rng),
        "ratios": ratio_table(scored, rng=rng),
        "splits": split_table(splits, rng=rng),
        "p_of_splits": rate_table([one for runs in splits for one in runs], rng=rng),
        "teachers": teacher_table(data, held_out, rng=rng),
        "safety": safety_table(data, rng=rng),
        "traps": traps(data, scored),
        "cost": cost_table(data),
    }


def _both_halves(data: RealData) -> list[frozenset[str]]:
    return [half for parted in halves(data) for half in parted]


def _told(pairs: ScoredPairs) -> ScoredPairs:
    print(f"{pairs.dataset}: {pairs.left.size} pairs with a score", file=sys.stderr, flush=True)
    return pairs


def _about(pairs: ScoredPairs) -> dict[str, Any]:
    return {
        "models": len(pairs.models),
        "families": len(set(pairs.families)),
        "items": pairs.items,
        "pairs": int(pairs.left.size),
        "without_score": pairs.without_score,
        "by_own_table": int(np.count_nonzero(pairs.by_own_table)),
    }


def rounded(value: Any) -> Any:
    """Figures to five digits, which is more than any of them is worth."""
    if isinstance(value, dict):
        return {str(key): rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main(arguments: Sequence[str]) -> None:
    """Measure where data are given, and write the page."""
    if arguments:
        kept = Path(arguments[1]) if len(arguments) > 1 else Path(tempfile.gettempdir()) / "whorl-study-behaviour"
        results = rounded(measured(read_realdata(Path(arguments[0])), kept))
        RESULTS.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(results, json.loads(CEILING.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{PAGE}: {len(results['sets'])} data sets")


if __name__ == "__main__":
    main(sys.argv[1:])
