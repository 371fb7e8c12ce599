"""What a perfect system would show on so few families: costs of simulated ratios that are calibrated by construction.

The best monotone recalibration is fitted to the very pairs that it judges. With few families it finds something to mend
in any ratios, so that Cllr - Cllr_min is above 0 even for perfect ones; how far, depends on the families alone.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.labelled_pairs import LabelledPairs
from whorl.statistics.ratio_cost import isotonic_log10_lr, log_ratio_cost

_MOST_SPREAD: Final = 60.0
_HALVINGS: Final = 60
_REACH: Final = 9.0  # standard deviations over which an expectation is taken
_POINTS: Final = 4001


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationReference:
    """Cllr_cal of calibrated ratios in simulated populations with the same pairs, families and expected cost.

    Parameters
    ----------
    median, upper : of the simulated populations, ``upper`` at 95 %
    correlations : between ratios of the same two families, under H1 and H2, as found in the ratios that were given
    """

    median: float
    upper: float
    correlations: tuple[float, float]


def expected_cost(spread: float) -> float:
    """Expected Cllr, in bits, of calibrated ratios whose natural logarithms are normal.

    Their mean is then half their variance, and its negative under the alternative.

    Parameters
    ----------
    spread : standard deviation of ln LR, the same under both propositions

    References
    ----------
    van Leeuwen and Brummer, The distribution of calibrated likelihood-ratios in speaker recognition, Interspeech 2013.
    """
    points = np.linspace(-_REACH, _REACH, _POINTS)
    chance = np.exp(-(points**2) / 2)
    bits = np.logaddexp(0.0, -(spread**2 / 2 + spread * points)) / math.log(2)
    return float(chance @ bits / chance.sum())


def spread_of(cost: float) -> float:
    """The inverse of `expected_cost`.

    Parameters
    ----------
    cost : Cllr, between 0 and 1
    """
    if not 0 < cost < 1:
        raise ValueError(f"calibrated ratios cost between 0 and 1 bit, got {cost}")
    low, high = 0.0, _MOST_SPREAD
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_cost(middle) > cost else (low, middle)
    return high


def correlation_within(values: AnyArray, families: AnyArray) -> float:
    """Correlation between values of pairs of the same two families: one-way analysis of variance, unweighted.

    Parameters
    ----------
    values : shape (n,)
    families : shape (n, 2), integers, the smaller first

    Returns
    -------
    between 0 and 1; 0 where no two families have two pairs
    """
    given = np.asarray(values, np.float64)
    _, group, size = np.unique(families, axis=0, return_inverse=True, return_counts=True)
    place = group.ravel()
    if not 1 < size.size < given.size:
        return 0.0
    means = np.bincount(place, given) / size
    between = float((size * (means - given.mean()) ** 2).sum()) / (size.size - 1)
    within = float(((given - means[place]) ** 2).sum()) / (given.size - size.size)
    typical = (given.size - float((size**2).sum()) / given.size) / (size.size - 1)
    total = between + (typical - 1) * within
    return max(0.0, (between - within) / total) if total > 0 else 0.0


def calibrated_ratios(
    rng: np.random.Generator, pairs: LabelledPairs, *, spread: float, correlations: tuple[float, float]
) -> Doubles:
    """log10 ratios that are calibrated by construction, for pairs of these truths and families.

    ln LR is normal with `expected_cost`'s means, and what pairs of the same two families share is put down to one
    effect of each family: two pairs that share one family correlate by half as much.

    Parameters
    ----------
    spread : standard deviation of ln LR
    correlations : between pairs of the same two families, under H1 and H2
    """
    left, right = pairs.families.T
    natural = np.zeros(left.size)
    for side, sign, shared in ((pairs.is_h1, 1, correlations[0]), (~pairs.is_h1, -1, correlations[1])):
        effects = rng.normal(size=pairs.labels.size)
        both = np.where(left == right, effects[left], (effects[left] + effects[right]) / math.sqrt(2))[side]
        noise = rng.normal(size=int(side.sum()))
        natural[side] = sign * spread**2 / 2 + spread * (math.sqrt(shared) * both + math.sqrt(1 - shared) * noise)
    return np.asarray(natural / math.log(10))


def calibration_reference(
    pairs: LabelledPairs, log10_lr: AnyArray, rng: np.random.Generator, *, worlds: int
) -> CalibrationReference | None:
    """How large Cllr_cal would be, had the ratios of these pairs been perfect.

    Parameters
    ----------
    log10_lr : shape (n,), held-out ratios; only their cost and their correlation within families are used
    worlds : populations to simulate

    Returns
    -------
    None where the ratios cost a bit or more: no calibrated ratios do, but those that are always 1
    """
    ratios = np.asarray(log10_lr, np.float64)
    cost = log_ratio_cost(ratios, pairs.is_h1, pairs.weights)
    if cost >= 1 - 1e-9:
        return None
    first, second = (correlation_within(ratios[side], pairs.families[side]) for side in (pairs.is_h1, ~pairs.is_h1))
    spread = spread_of(cost)
    found = []
    for _ in range(worlds):
        made = calibrated_ratios(rng, pairs, spread=spread, correlations=(first, second))
        best = isotonic_log10_lr(made, pairs.is_h1, pairs.weights)
        found.append(
            log_ratio_cost(made, pairs.is_h1, pairs.weights) - log_ratio_cost(best, pairs.is_h1, pairs.weights)
        )
    return CalibrationReference(
        median=float(np.median(found)), upper=float(np.quantile(found, 0.95)), correlations=(first, second)
    )
