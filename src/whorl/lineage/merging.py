"""Merges: models that are weighted sums of others, which no tree of distances allows for.

A model on the path between two others is at a right angle of them; a weighted mean lies on their connecting line.
Merges that drop part of each parent (TIES, DARE) leave the line but keep the shares: as much of both parents' changes
as makes up a whole, with much left unexplained, which neither a child nor a parent of the two shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles
from whorl.lineage.changes import cosines
from whorl.statistics.shares import nonnegative_solution

LEAST_SHARE: Final = 0.12
OFF_LINE: Final = 0.2  # squared distance from the line over that of two independent halves
NEARLY_AS_GOOD: Final = 0.001
WIDEST: Final = 0.95
LEAST_SUM: Final = 0.8
MOST_SUM: Final = 1.5
OTHERS: Final = 0.25
UNEXPLAINED: Final = 0.3
LEAST_EXPLAINED: Final = 0.35
SURE: Final = 0.95
ONE_RAY: Final = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two parents by their place, the first one's share (the second has the rest), and how sure that is."""

    first: int
    second: int
    share: float
    confidence: float


def on_a_line(table: Doubles, model: int, parents: Sequence[int]) -> Merge | None:
    """The two models between which this one lies on a straight line; of several, those farthest apart.

    Parameters
    ----------
    table : squared distances, shape (n, n)
    parents : places that may be parents
    """
    if len(parents) < 2:
        return None
    between = table[np.ix_(parents, parents)]
    away = table[model][list(parents)]
    far = between > 0
    scale = np.where(far, between, 1.0)
    share = (between + away[None, :] - away[:, None]) / (2 * scale)
    allowed = far & (share > LEAST_SHARE) & (share < 1 - LEAST_SHARE)
    halves = np.where(allowed, share * (1 - share) * scale, 1.0)
    off = np.where(allowed, (away[:, None] - (1 - share) ** 2 * between) / halves, np.inf)
    best = float(off.min())
    if best > OFF_LINE:
        return None
    good = off <= best + NEARLY_AS_GOOD
    widest = float(between[good].max())
    nearest = np.where(good & (between >= WIDEST * widest), off, np.inf)
    first, second = np.unravel_index(int(nearest.argmin()), nearest.shape)
    return Merge(
        first=parents[int(first)],
        second=parents[int(second)],
        share=float(share[first, second]),
        confidence=SURE - 0.5 * best / OFF_LINE * (SURE - 0.5),
    )


def on_ray_of(gram: Doubles, place: int, others: Sequence[int]) -> list[int]:
    """Which of the others changed in the same direction as this one: sums of one start and one model not at hand."""
    found = cosines(gram)[place]
    return [other for other in others if found[other] >= ONE_RAY]


def as_a_sum(gram: Doubles, model: int, parents: Sequence[int], *, drift: float) -> Merge | None:
    """The two models of whose changes this one contains parts that make up a whole; None where that is not so.

    Parameters
    ----------
    gram : inner products of changes from the origin, shape (n, n)
    drift : what part of an unrelated model's change a model may seem to contain
    """
    square = float(gram[model, model])
    if len(parents) < 2 or square <= 0:
        return None
    places = list(parents)
    weights = nonnegative_solution(gram[np.ix_(places, places)], gram[places, model])
    second, first = np.argsort(weights)[-2:]
    two = float(weights[first] + weights[second])
    explained = float(2 * weights @ gram[places, model] - weights @ gram[np.ix_(places, places)] @ weights) / square
    fits = (
        weights[second] > max(1.5 * LEAST_SHARE, drift)
        and weights[first] < 1 - LEAST_SHARE / 2
        and LEAST_SUM <= two <= MOST_SUM
        and float(weights.sum()) - two <= OTHERS
        and explained >= LEAST_EXPLAINED
        and two - explained >= UNEXPLAINED
    )
    if not fits:
        return None
    share = float(weights[first]) / two
    return Merge(first=places[first], second=places[second], share=share, confidence=0.75)
