"""How good a set of likelihood ratios is: cost, discrimination, calibration, and how often they mislead.

All functions take log10 ratios of pairs with known truth, and weights; the two propositions always count alike. Ratios
must come from calibrations that have not seen the pair's families (`whorl.statistics.calibration.held_out_log10_lr`).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.labelled_pairs import LabelledPairs, deleted_family_means, jackknife_error
from whorl.statistics.ratio_caps import effective_comparisons, rate_upper_limit
from whorl.statistics.student import student_quantile

_TO_BITS: Final = math.log2(10)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TippettCurve:
    """Share of ratios that are at least a given size, under each proposition; all of shape (m,), sizes rising."""

    log10_lr: Doubles
    share_h1: Doubles
    share_h2: Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class MisleadingRate:
    """Ratios on the wrong side of 1, for pairs of one proposition.

    Parameters
    ----------
    misleading, pairs : counts of pairs
    families : families among them
    comparisons : independent comparisons they are worth at least, `effective_comparisons` with unknown correlation
    rate : weighted share of misleading pairs
    upper : one-sided 95 % limit: the larger of Clopper-Pearson for so many comparisons and the family jackknife
    """

    misleading: int
    pairs: int
    families: int
    comparisons: float
    rate: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioPerformance:
    """What a validation report says about held-out ratios.

    Parameters
    ----------
    cllr : cost in bits, 0 perfect, 1 what is paid for always saying 1
    cllr_lower, cllr_upper : 95 % delete-one-family jackknife of its logarithm; calibrations are taken as they are
    cllr_min : what is left after the best monotone recalibration: discrimination
    cllr_cal : the difference: calibration
    dev_pav : mean distance of the best monotone recalibration from the ratios, `dev_pav`; None where it has no range
    equal_error_rate : of the receiver operating characteristic's convex hull
    misleading_h1 : ratios below 1 although the first proposition holds
    misleading_h2 : ratios above 1 although the alternative holds
    """

    cllr: float
    cllr_lower: float
    cllr_upper: float
    cllr_min: float
    cllr_cal: float
    dev_pav: float | None
    equal_error_rate: float
    misleading_h1: MisleadingRate
    misleading_h2: MisleadingRate


def log_ratio_cost(log10_lr: AnyArray, is_h1: AnyArray, weights: AnyArray | None = None) -> float:
    """Cllr: mean penalty of a set of ratios in bits, log2(1 + 1/LR) under H1 and log2(1 + LR) under H2, half each.

    Parameters
    ----------
    log10_lr : shape (n,); infinite values are allowed
    is_h1 : shape (n,), bool
    weights : shape (n,), positive; left out, pairs of one proposition count alike

    Raises
    ------
    ValueError
        If a ratio is NaN, or there is no pair under one of the propositions.

    References
    ----------
    Brummer and du Preez, Computer Speech and Language 20(2-3), 2006.
    """
    return empirical_cross_entropy(log10_lr, is_h1, weights, prior_h1=0.5)


def empirical_cross_entropy(
    log10_lr: AnyArray, is_h1: AnyArray, weights: AnyArray | None = None, *, prior_h1: float
) -> float:
    """Mean surprise in bits of a reader who had this prior and used the ratios. At 1/2 it is Cllr.

    Parameters
    ----------
    log10_lr, is_h1, weights : as in `log_ratio_cost`
    prior_h1 : probability of the first proposition before the ratios, strictly between 0 and 1

    References
    ----------
    Ramos and Gonzalez-Rodriguez, Forensic Science International 230(1-3), 2013.
    """
    if not 0 < prior_h1 < 1:
        raise ValueError(f"a prior probability lies strictly between 0 and 1, got {prior_h1}")
    ratios, truth, share = _checked(log10_lr, is_h1, weights)
    prior_bits = math.log2(prior_h1 / (1 - prior_h1))
    surprise = np.logaddexp2(0.0, np.where(truth, -1.0, 1.0) * (ratios * _TO_BITS + prior_bits))
    return float(prior_h1 * (share[truth] @ surprise[truth]) + (1 - prior_h1) * (share[~truth] @ surprise[~truth]))


def isotonic_log10_lr(log10_lr: AnyArray, is_h1: AnyArray, weights: AnyArray | None = None) -> Doubles:
    """The best monotone recalibration of ratios on these very pairs (pool adjacent violators).

    For diagnosis only: it knows the truth, and its ends are infinite wherever the extreme scores are of one kind.

    Parameters
    ----------
    log10_lr, is_h1, weights : as in `log_ratio_cost`; any score that rises with the ratio will do

    Returns
    -------
    shape (n,)
    """
    _, place, chance = _pooled(*_checked(log10_lr, is_h1, weights))
    with np.errstate(divide="ignore"):
        return np.asarray((np.log10(chance) - np.log10(1 - chance))[place])


def dev_pav(log10_lr: AnyArray, is_h1: AnyArray, weights: AnyArray | None = None) -> float | None:
    """devPAV: how far ratios lie from their best monotone recalibration on average, in powers of ten.

    The area between the line through the points (log10 ratio, recalibrated log10 ratio) and the identity, over its
    width, where the recalibration is finite: from the smallest ratio under H1 to the largest under H2.

    Parameters
    ----------
    log10_lr, is_h1, weights : as in `log_ratio_cost`

    Returns
    -------
    None where no recalibrated ratio is finite: the two propositions are separated, and nothing can be said

    References
    ----------
    Vergeer, van Schaik and Sjerps, Forensic Science International 321, 2021.
    """
    ratios, truth, share = _checked(log10_lr, is_h1, weights)
    points, first = np.unique(ratios, return_index=True)
    best = isotonic_log10_lr(ratios, truth, share)[first]
    finite = np.isfinite(best) & np.isfinite(points)
    points = points[finite]
    gaps = best[finite] - points
    if points.size < 2:
        return float(abs(gaps[0])) if points.size else None
    left, right, widths = gaps[:-1], gaps[1:], np.diff(points)
    size = np.abs(left) + np.abs(right)
    # Where the line crosses the identity there are two triangles, whose bases are as their heights.
    crossing = (left**2 + right**2) / np.where(size > 0, size, 1.0)
    areas = np.where(left * right < 0, crossing, size) * widths / 2
    return float(areas.sum() / (points[-1] - points[0]))


def equal_error_rate(log10_lr: AnyArray, is_h1: AnyArray, weights: AnyArray | None = None) -> float:
    """The rate at which misses and false hits are equal, on the convex hull of what thresholds can reach.

    Parameters
    ----------
    log10_lr, is_h1, weights : as in `log_ratio_cost`
    """
    sizes, _, chance = _pooled(*_checked(log10_lr, is_h1, weights))
    starts = np.flatnonzero(np.r_[True, np.diff(chance) != 0])
    missed, rejected = np.hstack([np.zeros((2, 1)), np.cumsum(np.add.reduceat(sizes, starts, axis=1), axis=1)])
    # Along the hull the gap between misses and false hits rises from -1 to 1; where it is 0 both are the rate.
    return float(np.interp(0.0, missed - (1 - rejected), missed))


def tippett_curve(log10_lr: AnyArray, is_h1: AnyArray, weights: AnyArray | None = None) -> TippettCurve:
    """Points of a Tippett plot: at each ratio that occurs, the shares of ratios at least as large.

    Parameters
    ----------
    log10_lr, is_h1, weights : as in `log_ratio_cost`
    """
    ratios, truth, share = _checked(log10_lr, is_h1, weights)
    values, place = np.unique(ratios, return_inverse=True)
    at_least = [
        np.asarray(np.cumsum(np.bincount(place[side], share[side], minlength=values.size)[::-1])[::-1], np.float64)
        for side in (truth, ~truth)
    ]
    return TippettCurve(log10_lr=values, share_h1=at_least[0], share_h2=at_least[1])


def ratio_performance(pairs: LabelledPairs, log10_lr: AnyArray) -> RatioPerformance:
    """Everything a validation report says about held-out ratios, with the family as the unit.

    Parameters
    ----------
    log10_lr : shape (n,), finite, in the order of ``pairs``

    Raises
    ------
    ValueError
        If a ratio is not finite, or one family is in every pair of a proposition.
    """
    ratios, truth, share = _checked(log10_lr, pairs.is_h1, pairs.weights)
    if not np.isfinite(ratios).all():
        raise ValueError("held-out ratios must be finite")
    cost = log_ratio_cost(ratios, truth, share)
    surprise = np.logaddexp2(0.0, np.where(truth, -ratios, ratios) * _TO_BITS)
    halves = [
        deleted_family_means(surprise[side], pairs.families[side], pairs.weights[side], pairs.labels.size)
        for side in (truth, ~truth)
    ]
    # On the logarithm: a cost is positive and skewed, and a symmetric interval ends too low.
    error = float(jackknife_error(np.log(np.maximum((halves[0] + halves[1]) / 2, 1e-300))))
    reach = math.exp(min(700.0, student_quantile(pairs.smaller_side - 1, 0.975) * error))
    best = log_ratio_cost(isotonic_log10_lr(ratios, truth, share), truth, share)
    return RatioPerformance(
        cllr=cost,
        cllr_lower=cost / reach,
        cllr_upper=cost * reach,
        cllr_min=best,
        cllr_cal=cost - best,
        dev_pav=dev_pav(ratios, truth, share),
        equal_error_rate=equal_error_rate(ratios, truth, share),
        misleading_h1=_misleading(pairs, truth, ratios < 0),
        misleading_h2=_misleading(pairs, ~truth, ratios > 0),
    )


def _misleading(pairs: LabelledPairs, side: AnyArray, wrong: AnyArray) -> MisleadingRate:
    families, weights, hits = pairs.families[side], pairs.weights[side], wrong[side].astype(np.float64)
    rate = float(np.clip(weights @ hits / weights.sum(), 0.0, 1.0))
    comparisons = effective_comparisons(families, rho=None)
    count = int(np.unique(families).size)
    error = float(jackknife_error(deleted_family_means(hits, families, weights, pairs.labels.size)))
    upper = max(rate_upper_limit(rate, comparisons), rate + student_quantile(count - 1, 0.95) * error)
    return MisleadingRate(
        misleading=int(hits.sum()),
        pairs=int(side.sum()),
        families=count,
        comparisons=comparisons,
        rate=rate,
        upper=min(1.0, upper),
    )


def _pooled(ratios: Doubles, truth: AnyArray, share: Doubles) -> tuple[Doubles, AnyArray, Doubles]:
    """Per distinct ratio, rising: weight under H1 and H2, shape (2, m); place of each pair; pooled chance of H1."""
    values, place = np.unique(ratios, return_inverse=True)
    sizes = np.array([np.bincount(place[side], share[side], minlength=values.size) for side in (truth, ~truth)])
    blocks: list[tuple[float, float, int]] = []
    for h1, h2 in sizes.T.tolist():
        count = 1
        # Cross-multiplied, so that a block of one kind only is 0 or 1 exactly.
        while blocks and blocks[-1][0] * h2 >= h1 * blocks[-1][1]:
            before = blocks.pop()
            h1, h2, count = h1 + before[0], h2 + before[1], count + before[2]
        blocks.append((h1, h2, count))
    chance = np.repeat([h1 / (h1 + h2) for h1, h2, _ in blocks], [count for _, _, count in blocks])
    return sizes, place, chance


def _checked(log10_lr: AnyArray, is_h1: AnyArray, weights: AnyArray | None) -> tuple[Doubles, AnyArray, Doubles]:
    """Ratios, truths, and weights that sum to 1 under each proposition."""
    ratios, truth = np.asarray(log10_lr, np.float64), np.asarray(is_h1)
    heavy = np.ones(ratios.shape) if weights is None else np.array(weights, np.float64)
    if not (ratios.ndim == 1 and ratios.shape == truth.shape == heavy.shape) or truth.dtype != np.bool_:
        raise ValueError(
            f"expected one ratio, one bool truth and one weight per pair, got shapes {ratios.shape}, {truth.shape} and "
            f"{heavy.shape}"
        )
    if np.isnan(ratios).any() or not (np.isfinite(heavy).all() and (heavy > 0).all()):
        raise ValueError("ratios must be numbers and weights positive: leave out pairs without a ratio")
    if truth.all() or not truth.any():
        raise ValueError("no pair under one of the two propositions: the cost is undefined, not zero")
    share = heavy / np.where(truth, heavy[truth].sum(), heavy[~truth].sum())
    return ratios, truth, share
