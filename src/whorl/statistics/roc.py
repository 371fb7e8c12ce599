"""How well a score tells related pairs from others: area under the ROC curve, and hits at a rate of false alarms.

Pairs of the same models are not independent: intervals resample models, or families, and a pair counts as often as both
of its members were drawn.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.statistics.ratio_caps import effective_comparisons
from whorl.statistics.student import student_quantile

_TAIL: Final = 0.025
_MOST_AT_ONCE: Final = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RocFigure:
    """A share with its interval.

    Parameters
    ----------
    value : on the pairs as they are
    lower, upper : 95 % interval over resampled units; where nothing went wrong (or right), resampling shows nothing
        either, and the end away from ``value`` is Clopper-Pearson's for so many independent comparisons
    positives, negatives : pairs of either kind
    units : models or families among the pairs of the kind that has fewer of them
    """

    value: float
    lower: float
    upper: float
    positives: int
    negatives: int
    units: int


def auc(scores: AnyArray, is_positive: AnyArray, weights: AnyArray | None = None) -> float:
    """Chance that a positive pair scores above a negative one, ties counting half.

    Parameters
    ----------
    scores : shape (n,), finite
    is_positive : shape (n,), bool
    weights : shape (n,), not negative; left out, 1
    """
    values, truth, heavy = _checked(scores, is_positive, weights)
    return float(_auc(_Steps(values, truth), heavy[None])[0])


def hit_rate(scores: AnyArray, is_positive: AnyArray, weights: AnyArray | None = None, *, false_alarms: float) -> float:
    """Share of positive pairs above the lowest threshold at which no more than this share of negative ones are.

    A threshold cannot part equal scores, so that the share of false alarms may stay below what is allowed.

    Parameters
    ----------
    scores, is_positive, weights : as in `auc`
    false_alarms : between 0 and 1
    """
    values, truth, heavy = _checked(scores, is_positive, weights)
    return float(_hits(_Steps(values, truth), heavy[None], _rate(false_alarms))[0])


def auc_interval(
    scores: AnyArray, is_positive: AnyArray, units: AnyArray, *, resamples: int, rng: np.random.Generator
) -> RocFigure:
    """`auc` with an interval over models or families.

    Parameters
    ----------
    scores, is_positive : as in `auc`
    units : shape (n, 2), integers: the two models, or their families, of each pair
    resamples : 999 or more

    Notes
    -----
    A resample draws as many units as there are, with replacement, and gives a pair the product of its members' numbers;
    a pair within one unit, that unit's number. Resamples without both kinds of pairs are drawn again. How often such
    intervals hold the truth is in the table of ``docs/methods/model_calibration.md``.

    References
    ----------
    Snijders and Borgatti, Connections 22(2), 1999. Owen, Annals of Applied Statistics 1(2), 2007.
    """
    values, truth, heavy = _checked(scores, is_positive, None)
    steps = _Steps(values, truth)
    drawn = [_auc(steps, part) for part in _resampled(truth, units, resamples, rng)]
    return _figure(float(_auc(steps, heavy[None])[0]), np.concatenate(drawn), truth, np.asarray(units), (truth, ~truth))


def hit_rate_interval(
    scores: AnyArray,
    is_positive: AnyArray,
    units: AnyArray,
    *,
    false_alarms: float,
    resamples: int,
    rng: np.random.Generator,
) -> RocFigure:
    """`hit_rate` with an interval over models or families; the threshold is found anew in every resample.

    Parameters
    ----------
    scores, is_positive, false_alarms : as in `hit_rate`
    units, resamples : as in `auc_interval`
    """
    values, truth, heavy = _checked(scores, is_positive, None)
    steps, allowed = _Steps(values, truth), _rate(false_alarms)
    drawn = [_hits(steps, part, allowed) for part in _resampled(truth, units, resamples, rng)]
    return _figure(
        float(_hits(steps, heavy[None], allowed)[0]), np.concatenate(drawn), truth, np.asarray(units), (truth,)
    )


class _Steps:
    """Pairs in falling order of their scores, equal scores as one step."""

    def __init__(self, values: Doubles, truth: AnyArray) -> None:
        self.order = np.argsort(-values, kind="stable")
        ordered = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, np.diff(ordered) != 0])
        self.truth = truth[self.order]

    def sums(self, weights: Doubles) -> tuple[Doubles, Doubles]:
        """Weight of positive and of negative pairs at each step as shares, two of shape (m, steps)."""
        ordered = weights[:, self.order]
        both = [
            np.add.reduceat(np.where(side, ordered, 0.0), self.starts, axis=1) for side in (self.truth, ~self.truth)
        ]
        return both[0] / both[0].sum(axis=1, keepdims=True), both[1] / both[1].sum(axis=1, keepdims=True)


def _auc(steps: _Steps, weights: Doubles) -> Doubles:
    positive, negative = steps.sums(weights)
    below = 1 - np.cumsum(negative, axis=1)
    return np.asarray(np.clip((positive * (below + negative / 2)).sum(axis=1), 0.0, 1.0))


def _hits(steps: _Steps, weights: Doubles, allowed: float) -> Doubles:
    positive, negative = steps.sums(weights)
    kept = np.cumsum(negative, axis=1) <= allowed + 1e-12
    return np.asarray(np.clip((positive * kept).sum(axis=1), 0.0, 1.0))


def _resampled(truth: AnyArray, units: AnyArray, resamples: int, rng: np.random.Generator) -> list[Doubles]:
    """Weights of the pairs in resamples, in parts of shape (m, n)."""
    touched = np.asarray(units)
    if touched.shape != (truth.size, 2) or not np.issubdtype(touched.dtype, np.integer) or resamples < 1:
        raise ValueError(f"expected two integer units per pair and at least 1 resample, got shape {touched.shape}")
    labels, codes = np.unique(touched, return_inverse=True)
    left, right = codes.reshape(-1, 2).T
    parts: list[Doubles] = []
    kept = 0
    while kept < resamples:
        rows = min(resamples - kept, max(1, _MOST_AT_ONCE // truth.size))
        numbers = rng.multinomial(labels.size, np.full(labels.size, 1 / labels.size), size=rows).astype(np.float64)
        weights = numbers[:, left] * np.where(left == right, 1.0, numbers[:, right])
        usable = (weights[:, truth].sum(axis=1) > 0) & (weights[:, ~truth].sum(axis=1) > 0)
        parts.append(weights[usable])
        kept += int(usable.sum())  # usable at least 1 time in 11: two pairs touch four units at most
    return parts


def _figure(value: float, drawn: Doubles, truth: AnyArray, units: Ints, sides: tuple[AnyArray, ...]) -> RocFigure:
    lower, upper = _limits(value, drawn, np.unique(units).size)
    if min(value, 1 - value) < 1e-12:
        value = float(round(value))
        independent = min(effective_comparisons(units[side], rho=None) for side in sides)
        unseen = _TAIL ** (1 / max(1.0, independent))
        lower, upper = (unseen, 1.0) if value == 1 else (0.0, 1 - unseen)
    return RocFigure(
        value=value,
        lower=min(value, lower),
        upper=max(value, upper),
        positives=int(np.count_nonzero(truth)),
        negatives=int(np.count_nonzero(~truth)),
        units=min(np.unique(units[side]).size for side in (truth, ~truth)),
    )


def _limits(value: float, drawn: Doubles, units: int) -> tuple[float, float]:
    """The wider of the percentiles and Student's t on the resampled log odds, shrunk by half a mistake in all units.

    Near 1 the percentiles alone end too high: resamples cannot show mistakes that rare models would have made.
    """

    def log_odds(share: Doubles) -> Doubles:
        shrunk = (share * units + 0.5) / (units + 1)
        return np.asarray(np.log(shrunk / (1 - shrunk)))

    reach = student_quantile(max(1, units - 1), 1 - _TAIL) * float(log_odds(drawn).std())
    centre = float(log_odds(np.array(value)))
    by_odds = [1 / (1 + math.exp(-min(700.0, max(-700.0, centre + side * reach)))) for side in (-1, 1)]
    low, high = np.quantile(drawn, (_TAIL, 1 - _TAIL))
    return min(float(low), by_odds[0]), max(float(high), by_odds[1])


def _rate(false_alarms: float) -> float:
    if not 0 <= false_alarms <= 1:
        raise ValueError(f"a share of false alarms lies between 0 and 1, got {false_alarms}")
    return false_alarms


def _checked(scores: AnyArray, is_positive: AnyArray, weights: AnyArray | None) -> tuple[Doubles, AnyArray, Doubles]:
    values, truth = np.asarray(scores, np.float64), np.asarray(is_positive)
    heavy = np.ones(values.shape) if weights is None else np.asarray(weights, np.float64)
    if not (values.ndim == 1 and values.shape == truth.shape == heavy.shape) or truth.dtype != np.bool_:
        raise ValueError(f"expected one score, one bool and one weight per pair, got {values.shape} and {truth.shape}")
    if not np.isfinite(values).all() or not (np.isfinite(heavy).all() and (heavy >= 0).all()):
        raise ValueError(
            "scores must be finite and weights at least 0: leave out pairs without a score, and say how many"
        )
    if heavy[truth].sum() <= 0 or heavy[~truth].sum() <= 0:
        raise ValueError("a ROC curve needs pairs of both kinds")
    return values, truth, heavy
