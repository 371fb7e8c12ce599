"""What labels could gain: ``python -m bench.behaviour.ceiling REALDATA``.

Every measure of agreement, and the naive similarity, joined by a logistic regression on the ranks: once with weights
learned from the very pairs that it judges, and once, for each family, with weights learned from pairs that do not touch
it. The first is close to the best that a rule of this kind can do on these answers; the second is what learning brings
to a family that was not seen. The program's own scores, which learn nothing, stand beside on the same pairs.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

from bench.behaviour.areas import SCORE_OF
from bench.behaviour.naive import naive_similarity
from bench.behaviour.realdata import RealData, read_realdata
from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_scores import score_pairs
from whorl.core.arrays import AnyArray, Doubles
from whorl.fingerprints.answer_table import AnswerTable
from whorl.statistics.roc import auc

RESULTS: Final = Path(__file__).parent / "ceiling.json"
LEAST_PAIRS: Final = 20
LEAST_FAMILIES: Final = 2
LEAST_TO_LEARN: Final = 10
RIDGE: Final = 1e-3
_FARTHEST: Final = 50.0


def main() -> None:
    """Measure every set with enough pairs, and write the result."""
    data = read_realdata(Path(sys.argv[1]))
    rows = [row for table in data.tables for row in _rows(data, table)]
    RESULTS.write_text(
        json.dumps({"command": "python -m bench.behaviour.ceiling REALDATA", "rows": rows}, indent=1) + "\n"
    )


def _rows(data: RealData, table: AnswerTable) -> list[dict[str, Any]]:
    relations, (left, right) = _relations(data, table)
    families = np.array([data.family(model) for model in table.models])
    if not _wanted(relations, families[left]):
        return []
    found = agreement(table, np.ones(len(table.models), bool), groups_of(table.models, data.lineage))
    scores = score_pairs(found, data.lineage).scores
    columns = [values[left, right] for values in found.means.values()] + [naive_similarity(table)[left, right]]
    known = ~np.isnan(np.array(columns)).any(axis=0)
    features = np.stack([_ranks(column[known]) for column in columns], axis=1)
    sides = families[left[known]], families[right[known]]
    return [
        {
            "set": table.dataset,
            "relation": relation,
            **_figures(features, scores[SCORE_OF[relation]][left, right][known], relations[known], relation, sides),
        }
        for relation in _wanted(relations[known], sides[0])
    ]


def _wanted(relations: AnyArray, families: AnyArray) -> list[str]:
    return [
        relation
        for relation in SCORE_OF
        if len(_families(families, relations == relation)) >= LEAST_FAMILIES
        and np.count_nonzero(relations == relation) >= LEAST_PAIRS
        and (relations == "unrelated").any()
    ]


def _relations(data: RealData, table: AnswerTable) -> tuple[AnyArray, tuple[AnyArray, AnyArray]]:
    count = len(table.models)
    left, right = np.nonzero(np.tril(np.ones((count, count), bool), -1))
    named = [
        data.labels[table.dataset, table.models[one], table.models[other]]
        for one, other in zip(left, right, strict=True)
    ]
    return np.array(named), (left, right)


def _figures(
    features: Doubles, own: Doubles, relations: AnyArray, relation: str, sides: tuple[AnyArray, AnyArray]
) -> dict[str, Any]:
    related, unrelated = relations == relation, relations == "unrelated"
    both = related | unrelated
    learned = _learned(features[both], related[both])(features[both])
    held_out = _held_out(features, own, related, unrelated, sides)
    weights = [count for count, _, _ in held_out]
    return {
        "pairs": int(np.count_nonzero(related)),
        "unrelated": int(np.count_nonzero(unrelated)),
        "families": len(_families(sides[0], related)),
        "in_sample": auc(learned, related[both]),
        "own": auc(own[both], related[both]),
        "judged": len(held_out),
        "held_out": float(np.average([area for _, area, _ in held_out], weights=weights)) if held_out else None,
        "own_held_out": float(np.average([area for _, _, area in held_out], weights=weights)) if held_out else None,
    }


def _held_out(
    features: Doubles, own: Doubles, related: AnyArray, unrelated: AnyArray, sides: tuple[AnyArray, AnyArray]
) -> list[tuple[int, float, float]]:
    """For each family: its related pairs, and the areas of both scores against unrelated pairs that touch it."""
    found = []
    for family in _families(sides[0], related):
        touched = (sides[0] == family) | (sides[1] == family)
        apart = (related | unrelated) & ~touched
        judged = touched & (related | unrelated)
        if np.count_nonzero(related & apart) < LEAST_TO_LEARN or not (unrelated & judged).any():
            continue
        score = _learned(features[apart], related[apart])
        truth = related[judged]
        found.append((int(truth.sum()), auc(score(features[judged]), truth), auc(own[judged], truth)))
    return found


def _families(of: AnyArray, chosen: AnyArray) -> Counter[str]:
    return Counter(of[chosen].tolist())


def _ranks(values: Doubles) -> Doubles:
    return np.argsort(np.argsort(values)) / values.size


def _learned(features: Doubles, truth: AnyArray) -> Callable[[Doubles], Doubles]:
    """A ridge logistic regression in which both kinds of pair weigh alike."""
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-12

    def columns(given: Doubles) -> Doubles:
        return np.column_stack([np.ones(len(given)), (given - middle) / spread])

    table, sign = columns(features), np.where(truth, 1.0, -1.0)
    weight = np.where(truth, 0.5 / np.count_nonzero(truth), 0.5 / np.count_nonzero(~truth))

    def loss(slopes: Doubles) -> tuple[float, Doubles]:
        margin = sign * (table @ slopes)
        pull = weight * sign / (1 + np.exp(np.minimum(margin, _FARTHEST)))
        gradient = -(table * pull[:, None]).sum(axis=0)
        gradient[1:] += 2 * RIDGE * slopes[1:]
        return float((weight * np.logaddexp(0, -margin)).sum() + RIDGE * (slopes[1:] ** 2).sum()), gradient

    slopes = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
    return lambda given: columns(given) @ slopes


if __name__ == "__main__":
    main()
