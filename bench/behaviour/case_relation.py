"""How often a case would call two models not independent: ``python -m bench.behaviour.case_relation REALDATA``.

For pairs of documented relation, both families left out: both ranks of agreement and the rank of phrasing pass the
level of a verdict, and no model of another family is nearer in phrasing, as
`whorl.dossiers.answers_again.answer_relation` asks. What circumstances explain is not looked at. Pairs with fewer than
50 controls on either side are left out.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.behaviour.realdata import RealData, read_realdata
from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_scores import score_pairs
from whorl.core.arrays import AnyArray, Doubles
from whorl.core.behaviour import LEVEL
from whorl.fingerprints.answer_table import AnswerTable
from whorl.statistics.model_calibration import LEAST_CONTROLS, conformal_rank

RESULTS: Final = Path(__file__).parent / "case_relation.json"
MOST_PAIRS: Final = 6000
RELATIONS: Final = ("unrelated", "same_weights", "derived", "siblings", "same_family", "distilled")
SEED: Final = 20261127


def main() -> None:
    """Measure every set with enough models, and write the result."""
    data = read_realdata(Path(sys.argv[1]))
    rows = [row for table in data.tables if len(table.models) > LEAST_CONTROLS for row in _rows(data, table)]
    command = "python -m bench.behaviour.case_relation REALDATA"
    RESULTS.write_text(json.dumps({"command": command, "most_pairs": MOST_PAIRS, "rows": rows}, indent=1) + "\n")
    print(RESULTS.read_text())


def _rows(data: RealData, table: AnswerTable) -> list[dict[str, Any]]:
    found = agreement(table, np.ones(len(table.models), bool), groups_of(table.models, data.lineage))
    scores = score_pairs(found, data.lineage).scores
    families = np.array([data.family(model) for model in table.models])
    left, right = np.nonzero(np.tril(np.ones((len(families), len(families)), bool), -1))
    chosen = np.random.default_rng(SEED).permutation(left.size)[:MOST_PAIRS]
    counts: dict[str, list[int]] = {}
    for one, other in zip(left[chosen], right[chosen], strict=True):
        relation = data.labels[table.dataset, table.models[one], table.models[other]]
        apart = (families != families[one]) & (families != families[other])
        passed = _passes(scores["same_weights"], scores["taught"], int(one), int(other), apart)
        if relation in RELATIONS and passed is not None:
            counts.setdefault(relation, []).append(passed)
    return [
        {"set": table.dataset, "relation": relation, "pairs": len(counts[relation]), "called": sum(counts[relation])}
        for relation in RELATIONS
        if relation in counts
    ]


def _passes(agreeing: Doubles, phrasing: Doubles, one: int, other: int, apart: AnyArray) -> bool | None:
    """Whether the pair is called not independent; None where it has no score or too few controls."""
    sides = [_known(agreeing[place, apart]) for place in (one, other)]
    taught, rivals = _known(phrasing[other, apart]), _known(phrasing[one, apart])
    if np.isnan(agreeing[one, other]) or min(map(len, sides)) < LEAST_CONTROLS or not taught.size or not rivals.size:
        return None
    ranks = [conformal_rank(float(agreeing[one, other]), side) for side in sides]
    ranks.append(conformal_rank(float(phrasing[one, other]), taught))
    return bool(max(ranks) <= LEVEL and phrasing[one, other] >= rivals.max())


def _known(values: Doubles) -> Doubles:
    return np.asarray(values[~np.isnan(values)])


if __name__ == "__main__":
    main()
