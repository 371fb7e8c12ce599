"""How large a likelihood ratio may be claimed: limits from the number of families and from blind trials.

A calibrated ratio extrapolates; a population of F families cannot show that something happens less often than about
once in F. Every ratio that is reported goes through `headline_log10_lr`. Everything is in log10. Method page:
``docs/methods/likelihood_ratio.md``.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.statistics.labelled_pairs import LabelledPairs, jackknife_error
from whorl.statistics.student import student_quantile

ONE_SIDED: Final = 0.05
LARGEST_CORRELATION: Final = 0.5
MIN_EXCEEDANCES: Final = 20
LEAST_CLAIM: Final = 0.3  # log10 of a ratio of 2
_MIN_FAMILIES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioCaps:
    """log10 of the largest ratio each limit allows in one direction, supporting or opposing.

    Parameters
    ----------
    sampling : from the number of comparisons, `sampling_caps`; not negative
    process : from blind trials of the whole procedure, `process_cap`; not negative
    """

    sampling: float
    process: float

    def __post_init__(self) -> None:
        if not (0 <= self.sampling < math.inf and 0 <= self.process < math.inf):
            raise ValueError(f"caps must be finite and at least 0, got {self.sampling} and {self.process}")


def effective_comparisons(families: AnyArray, *, rho: float | None) -> float:
    """How many independent comparisons say as much about a rate as these comparisons of families.

    Every two families count once, whatever number of pairs connects them. With M comparisons, of which each shares a
    family with N others on average, this is M / (1 + N rho): exact for the variance of a rate if comparisons that share
    no family are uncorrelated. All F (F - 1) / 2 comparisons of F families have N = 2 (F - 2). Comparisons within
    families have N = 0 and count in full; one of them and one across correlate with up to the square root of 2 times
    rho.

    Parameters
    ----------
    families : shape (n, 2), integers in any order; both the same for a comparison within a family
    rho : correlation, between two comparisons that share a family, of the indicator "score above the threshold"
        Not of the scores: see `exceedance_correlation`. None where unknown: 1/2, the largest that families drawn
        independently of each other can have, which leaves F / 2 when all were compared with all.

    Raises
    ------
    ValueError
        If there is no comparison, or ``rho`` is not between 0 and 1/2.
    """
    chance = LARGEST_CORRELATION if rho is None else rho
    if not 0 <= chance <= LARGEST_CORRELATION:
        raise ValueError(f"the correlation of comparisons that share a family is between 0 and 1/2, got {rho}")
    if not np.asarray(families).size:
        raise ValueError("no comparison at all: nothing can be claimed")
    codes, _ = _comparisons(np.asarray(families))
    within = codes[:, 0] == codes[:, 1]
    across = np.bincount(codes[~within].ravel(), minlength=codes.max() + 1)
    mixed = across[codes[within, 0]].sum()
    neighbours = float((across * (across - 1)).sum() + 2 * math.sqrt(2) * mixed)
    return len(codes) / (1 + neighbours / len(codes) * chance)


def exceedance_correlation(
    scores: AnyArray, families: AnyArray, *, threshold: float, level: float = 0.95
) -> float | None:
    """Upper limit for the correlation of "score above the threshold" between comparisons that share a family.

    Comparisons that share no family give the rate and, with those that share one, an unbiased covariance; the limit
    is Student's t on the delete-one-family jackknife. The correlation falls as the threshold rises, so that a threshold
    below the one that matters errs on the safe side, except where a few families attract everything.

    Parameters
    ----------
    scores : shape (n,), of one proposition's pairs
    families : shape (n, 2), integers in any order; pairs of the same two families are averaged, pairs within a family
        have no part in it
    threshold : fixed before the case was scored
    level : one-sided; 0.5 gives the estimate itself

    Returns
    -------
    between 0 and 1/2; None where fewer than 20 comparisons exceed the threshold, or fewer than 20 do not, or there are
    fewer than 6 families: it cannot be estimated and 1/2 must be assumed
    """
    values, touched = np.asarray(scores, np.float64), np.asarray(families)
    if values.shape != (len(touched),) or not np.isfinite(values).all():
        raise ValueError("expected one finite score per pair of families")
    across = touched[:, 0] != touched[:, 1]
    codes, place = _comparisons(touched[across])
    above = np.bincount(place, values[across] > threshold, minlength=len(codes)) / np.bincount(place)
    count = int(codes.max(initial=-1)) + 1
    if min(above.sum(), (1 - above).sum()) < MIN_EXCEEDANCES or count < _MIN_FAMILIES:
        return None
    estimate = _shared_correlation(above, codes)
    kept = [(codes != number).all(axis=1) for number in range(count)]
    deleted = np.array([_shared_correlation(above[keep], codes[keep]) for keep in kept])
    if estimate is None or not all(one is not None for one in deleted):
        return None
    reach = student_quantile(count - 1, level) * float(jackknife_error(deleted.astype(np.float64)))
    return float(np.clip(estimate + reach, 0.0, LARGEST_CORRELATION))


def sampling_caps(h1_comparisons: float, h2_comparisons: float) -> tuple[float, float]:
    """log10 of the largest supporting and the largest opposing ratio that so many comparisons can show.

    Even if every comparison under H1 scored above a threshold and every one under H2 below it: the lower 95 % limit
    of the one rate over the upper 95 % limit of the other, both Clopper-Pearson, jointly right with at least 90 %. The
    threshold must have been fixed before the case was scored, or be the largest score under H2.

    Parameters
    ----------
    h1_comparisons, h2_comparisons : positive, from `effective_comparisons`

    Returns
    -------
    supporting, opposing : not negative; 0 where nothing can be claimed

    References
    ----------
    Clopper and Pearson, Biometrika 26(4), 1934. Compare Vergeer et al., Science and Justice 56(6), 2016.
    """
    if not (0 < h1_comparisons < math.inf and 0 < h2_comparisons < math.inf):
        raise ValueError(f"numbers of comparisons must be positive, got {h1_comparisons} and {h2_comparisons}")

    def largest(numerator: float, denominator: float) -> float:
        natural = math.log(ONE_SIDED) / numerator - math.log(-math.expm1(math.log(ONE_SIDED) / denominator))
        return max(0.0, natural / math.log(10))

    return largest(h1_comparisons, h2_comparisons), largest(h2_comparisons, h1_comparisons)


def process_cap(trials: int, *, failures: int = 0, reached: float = 1.0) -> float:
    """log10 of the largest ratio that the procedure itself deserves: log10 of ``reached`` / eps.

    eps is the upper 95 % limit of the chance that the procedure gives such evidence for a reason that is no statistic:
    a wrong file, a leaked reference, a mislabelled pair. 1 - 0.05**(1/trials) where no trial failed, about 3 / trials.

    Parameters
    ----------
    trials : blind trials from file to finding, on pairs of which the contrary is known to be true
    failures : those that nevertheless gave evidence at least this strong
    reached : chance that a true case gives evidence at least this strong, from `reached_share`

    Returns
    -------
    not negative; 0 where nothing can be claimed
    """
    if not 0 <= failures <= trials or trials < 1:
        raise ValueError(f"{failures} failures in {trials} blind trials is impossible: run at least one")
    if not 0 <= reached <= 1:
        raise ValueError(f"a chance lies between 0 and 1, got {reached}")
    return max(0.0, math.log10(max(reached, 1e-300) / rate_upper_limit(failures / trials, trials)))


def calibration_caps(pairs: LabelledPairs, held_out: Doubles) -> tuple[RatioCaps, RatioCaps]:
    """Caps for supporting and for opposing ratios of a calibration, from the pairs that it was fitted to.

    Sampling caps from what the comparisons of each side are worth; process caps from the held-out pairs as blind
    trials: one fails if it gives the wrong side all that the sampling cap would let anybody claim.

    Parameters
    ----------
    held_out : shape (n,), log10 ratio of each pair with its own families left out of the fit
    """
    sides = (pairs.is_h1, ~pairs.is_h1)
    # Correlations between comparisons that share a family are taken as large as they can be: to measure them takes more
    # families than there are.
    worth = [effective_comparisons(pairs.families[side], rho=None) for side in sides]
    caps = []
    for sign, (true, false), most in zip((1, -1), ((0, 1), (1, 0)), sampling_caps(worth[0], worth[1]), strict=True):
        trials = max(1, int(worth[false]))
        wrong = sign * held_out[sides[false]] >= max(most, LEAST_CLAIM)
        failures = min(trials, math.ceil(trials * float(np.average(wrong, weights=pairs.weights[sides[false]]))))
        strong = np.minimum(sign * held_out[sides[true]], most)
        reached = reached_share(
            strong, float(np.median(strong)), weights=pairs.weights[sides[true]], comparisons=worth[true]
        )
        caps.append(RatioCaps(sampling=most, process=process_cap(trials, failures=failures, reached=max(reached, 0.5))))
    return caps[0], caps[1]


def reached_share(log10_lr: AnyArray, value: float, *, weights: AnyArray, comparisons: float) -> float:
    """Lower 95 % limit of the share of true cases whose evidence is at least as strong as ``value``.

    Parameters
    ----------
    log10_lr, weights : shape (n,), held-out ratios of the pairs for which the supported proposition holds
        After the sampling cap, and with their sign turned for opposing evidence; ``value`` likewise.
    comparisons : what they are worth, from `effective_comparisons`
    """
    from scipy.special import betaincinv

    ratios, heavy = np.asarray(log10_lr, np.float64), np.asarray(weights, np.float64)
    share = float(heavy[ratios >= value].sum() / heavy.sum())
    hits = share * comparisons
    return float(betaincinv(hits, comparisons - hits + 1, ONE_SIDED)) if hits > 0 else 0.0


def rate_upper_limit(rate: float, comparisons: float) -> float:
    """Upper 95 % Clopper-Pearson limit of a rate seen in a number of comparisons that need not be whole."""
    from scipy.special import betaincinv

    hits = rate * comparisons
    return float(betaincinv(hits + 1, comparisons - hits, 1 - ONE_SIDED)) if rate < 1 else 1.0


def headline_log10_lr(lower: float, upper: float, *, supporting: RatioCaps, opposing: RatioCaps) -> float:
    """The one number to report: the interval's end nearer 0, after the caps; 0 where the interval spans 0.

    The sampling cap cuts. The process acts on top of it, LR = 1 / (1 / LR + 1 / cap), mirrored for opposing ratios:
    half of a coincidence's chance may be a coincidence of models and half a mistake. No cap turns a ratio's direction.

    Parameters
    ----------
    lower, upper : interval of log10 LR
    supporting, opposing : caps for positive and for negative log10 ratios
    """
    if not lower <= upper:
        raise ValueError(f"expected an interval, got {lower} to {upper}")
    if lower <= 0 <= upper:
        return 0.0
    caps = supporting if lower > 0 else opposing
    size = min(lower if lower > 0 else -upper, caps.sampling)
    # 10**-x + 10**-y without leaving the range of floating point.
    weaker, stronger = min(size, caps.process), max(size, caps.process)
    size = max(0.0, weaker - math.log10(1 + 10.0 ** (weaker - stronger)))
    return size if lower > 0 else -size


def _comparisons(families: AnyArray) -> tuple[Ints, Ints]:
    """The different pairs of families, as places among the families, and which of them each row is."""
    labels, codes = np.unique(families, return_inverse=True)
    codes = np.sort(codes.reshape(-1, 2), axis=1)
    pairs, place = np.unique(codes[:, 0] * labels.size + codes[:, 1], return_inverse=True)
    return np.column_stack(np.divmod(pairs, max(labels.size, 1))).astype(np.int64), place.astype(np.int64)


def _shared_correlation(above: Doubles, codes: AnyArray) -> float | None:
    """Correlation across comparisons sharing a family; None where all are alike or none are disjoint."""
    total, squares = float(above.sum()), float(above @ above)
    per_family = np.bincount(codes.ravel(), np.repeat(above, 2))
    degree = np.bincount(codes.ravel())
    sharing = float((degree * (degree - 1)).sum())
    disjoint = len(above) * (len(above) - 1) - sharing
    if sharing <= 0 or disjoint <= 0:
        return None
    shared_product = float((per_family**2).sum()) - 2 * squares
    square_of_rate = (total**2 - squares - shared_product) / disjoint
    variance = squares / len(above) - square_of_rate
    return (shared_product / sharing - square_of_rate) / variance if variance > 0 else None
