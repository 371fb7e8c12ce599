"""Shares with an interval, and binomial tails far beyond floating-point range."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whorl.core.arrays import Doubles
from whorl.statistics.student import student_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioInterval:
    """A share, its interval, and what was counted as independent to get it."""

    value: float
    lower: float
    upper: float
    unit: Literal["layers", "neurons"]

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= self.value <= self.upper <= 1:
            raise ValueError(f"share {self.value} outside its interval [{self.lower}, {self.upper}]")


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Exact interval for a binomial rate: covers it with probability at least ``level``.

    Invalid where trials influence each other; see `ratio_interval` for neurons of the same layers.

    References
    ----------
    Clopper and Pearson, Biometrika 26(4), 1934.
    """
    from scipy.special import betaincinv

    _check_counts(successes, trials)
    _check_level(level)
    tail = (1 - level) / 2
    lower = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    upper = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return lower, upper


def binomial_log10_tail(successes: int, trials: int, rate: float) -> float:
    """log10 of P(X >= successes) for X binomial, without underflow; time and memory grow with trials - successes.

    A p-value only if ``rate`` bounds the true rate of every trial given the others.
    """
    _check_counts(successes, trials)
    if not 0 < rate < 1:
        raise ValueError(f"rate must lie strictly between 0 and 1, got {rate}")
    if successes == 0:
        return 0.0
    log_first = (
        math.lgamma(trials + 1)
        - math.lgamma(successes + 1)
        - math.lgamma(trials - successes + 1)
        + successes * math.log(rate)
        + (trials - successes) * math.log1p(-rate)
    )
    count = np.arange(successes, trials, dtype=np.float64)
    log_ratios = np.log((trials - count) / (count + 1)) + math.log(rate) - math.log1p(-rate)
    natural = log_first + _log_sum_exp(np.concatenate(([0.0], np.cumsum(log_ratios))))
    return min(0.0, natural / math.log(10))


def ratio_interval(successes: Sequence[int], trials: Sequence[int], *, level: float = 0.95) -> RatioInterval:
    """Interval for sum(successes) / sum(trials) with layers, not neurons, as the independent units.

    Neurons of one layer succeed and fail together, so counting them as independent makes the interval too short.
    Student's t on the delete-one-layer jackknife, and never narrower than Clopper-Pearson over neurons: layers that
    happen to agree are no proof of certainty.

    Fewer than 2 layers with trials say nothing about the variation between layers; the interval is then
    Clopper-Pearson over neurons, too short if they depend on each other, and ``unit`` says "neurons". The jackknife is
    approximate: with fewer than about 8 layers, or with one layer holding most trials, it may cover less than
    ``level``. It speaks of layers like these, not of other models.

    Parameters
    ----------
    successes, trials : one number per layer; layers without trials are left out

    Raises
    ------
    ValueError
        If no layer has trials.

    References
    ----------
    Miller, The jackknife: a review, Biometrika 61(1), 1974.
    """
    used = [(hits, size) for hits, size in zip(successes, trials, strict=True) if size > 0]
    for hits, size in used:
        _check_counts(hits, size)
    if not used:
        raise ValueError("a share needs at least one trial")
    hit_counts, sizes = np.array(used, dtype=np.float64).T
    value = float(hit_counts.sum() / sizes.sum())
    lower, upper = clopper_pearson(int(hit_counts.sum()), int(sizes.sum()), level=level)
    layers = len(used)
    if layers >= 2:
        left_out = (hit_counts.sum() - hit_counts) / (sizes.sum() - sizes)
        spread = math.sqrt((layers - 1) / layers * float(((left_out - left_out.mean()) ** 2).sum()))
        reach = student_quantile(layers - 1, (1 + level) / 2) * spread
        lower, upper = max(0.0, min(lower, value - reach)), min(1.0, max(upper, value + reach))
    return RatioInterval(value=value, lower=lower, upper=upper, unit="layers" if layers >= 2 else "neurons")


def _log_sum_exp(logs: Doubles) -> float:
    largest = float(logs.max())
    return largest + math.log(float(np.exp(logs - largest).sum()))


def _check_counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes in {trials} trials is impossible")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
