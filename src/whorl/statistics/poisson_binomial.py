"""Sums of independent yes-or-no trials with different chances: exact upper tails far beyond floating-point range."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles

_DIRECT: Final = 40  # widest factors that are multiplied term by term; wider ones by Fourier transform
_HALVINGS: Final = 100


def poisson_binomial_log10_tail(successes: int, chances: AnyArray) -> float:
    """log10 of P(M >= successes), M the number of successes in independent trials; -inf where it cannot happen.

    The chances are tilted until ``successes`` is the expected number, so that what is asked for lies in the middle of
    the tilted distribution and nothing underflows: a tail of 1e-200, or of 1e-20000, has the same relative error as one
    of 0.01, below 1e-9. Factors are multiplied pairwise, by Fourier transform where they are long: n log(n)**2 steps.

    Parameters
    ----------
    successes : between 0 and the number of trials
    chances : shape (n,), each between 0 and 1

    Notes
    -----
    A p-value only if trials are independent under the null and every chance is at least the true one, given any
    outcome of the others.

    References
    ----------
    Hong, On computing the distribution function for the Poisson binomial distribution, Computational Statistics and
    Data Analysis 59, 2013. Tilting: Esscher, Skandinavisk Aktuarietidskrift 15, 1932.
    """
    rates = _checked(chances)
    if not 0 <= successes <= rates.size:
        raise ValueError(f"{successes} successes in {rates.size} trials is impossible")
    wanted = successes - int(np.count_nonzero(rates == 1))
    rates = rates[(rates > 0) & (rates < 1)]
    if wanted <= 0:
        return 0.0
    if wanted > rates.size:
        return -math.inf
    if wanted == rates.size:
        return float(np.log(rates).sum()) / math.log(10)
    hit, missed = np.log(rates), np.log1p(-rates)
    tilt = _tilt(hit - missed, wanted)
    tilted = _distribution(_logistic(hit - missed + tilt), _logistic(missed - hit - tilt))[wanted:]
    beyond = float(tilted @ np.exp(-tilt * np.arange(tilted.size)))
    cumulant = float(np.logaddexp(missed, hit + tilt).sum())
    return min(0.0, (cumulant - tilt * wanted + math.log(beyond)) / math.log(10))


def weighted_log10_tail_bound(total: float, chances: AnyArray, weights: AnyArray) -> float:
    """log10 of an upper bound on P(sum of the weights of successes >= total), by Chernoff; -inf where impossible.

    Never below the true tail; above it by about the factor 2.5 t s, s the standard deviation of the tilted sum.

    Parameters
    ----------
    chances : shape (n,), each between 0 and 1
    weights : shape (n,), not negative

    Notes
    -----
    A p-value under the conditions of `poisson_binomial_log10_tail`.

    References
    ----------
    Chernoff, Annals of Mathematical Statistics 23(4), 1952.
    """
    rates, heavy = _checked(chances), np.asarray(weights, np.float64)
    if heavy.shape != rates.shape or not (np.isfinite(heavy).all() and (heavy >= 0).all()):
        raise ValueError("expected one finite weight of at least 0 per trial")
    used = (rates > 0) & (heavy > 0)
    rates, heavy = rates[used], heavy[used]
    if total <= float(rates @ heavy):
        return 0.0
    most = float(heavy.sum())
    if total > most * (1 + 1e-12):
        return -math.inf
    if total >= most * (1 - 1e-12):
        return min(0.0, float(np.log(rates).sum()) / math.log(10))
    with np.errstate(divide="ignore"):
        hit, missed = np.log(rates), np.log1p(-rates)
    tilt = _halve(lambda t: float(heavy @ _logistic(hit - missed + t * heavy)), total, 1 / float(heavy.max()))
    cumulant = float(np.logaddexp(missed, hit + tilt * heavy).sum())
    return min(0.0, (cumulant - tilt * total) / math.log(10))


def _checked(chances: AnyArray) -> Doubles:
    rates = np.asarray(chances, np.float64)
    if rates.ndim != 1 or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError("expected a row of chances between 0 and 1")
    return rates


def _tilt(odds: Doubles, wanted: int) -> float:
    """What must be added to all log odds for this expected number of successes; 0 where it is reached anyway."""
    return _halve(lambda t: float(_logistic(odds + t).sum()), wanted, 1.0)


def _halve(rising: Callable[[float], float], wanted: float, step: float) -> float:
    """Where a rising function reaches a value, from 0 upwards; any point near will do."""
    if rising(0.0) >= wanted:
        return 0.0
    low, high = 0.0, step
    while rising(high) < wanted:
        low, high = high, 2 * high
        if high > 1e9 * step:
            return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
        if high - low <= 1e-12 * high:
            break
    return low


def _logistic(odds: Doubles) -> Doubles:
    small = np.exp(-np.abs(odds))
    return np.asarray(np.where(odds >= 0, 1.0, small) / (1 + small))


def _distribution(hit: Doubles, missed: Doubles) -> Doubles:
    """Chance of every number of successes from 0 to n, shape (n + 1,)."""
    full = 1 << max(0, hit.size - 1).bit_length()
    rows = np.zeros((full, 2))
    rows[:, 0] = 1.0
    rows[: hit.size] = np.column_stack([missed, hit])
    while len(rows) > 1:
        rows = _products(rows[0::2], rows[1::2])
    return np.asarray(rows[0, : hit.size + 1])


def _products(left: Doubles, right: Doubles) -> Doubles:
    """Row by row the distribution of the sum of two numbers, from shapes (m, w) to (m, 2 w - 1)."""
    width = left.shape[1]
    if width <= _DIRECT:
        both = np.zeros((len(left), 2 * width - 1))
        for shift in range(width):
            both[:, shift : shift + width] += left[:, shift, None] * right
        return both
    length = 2 * width - 1
    padded = -(-length // 64) * 64
    product = np.fft.rfft(left, padded) * np.fft.rfft(right, padded)
    return np.asarray(np.maximum(np.fft.irfft(product, padded)[:, :length], 0.0))
