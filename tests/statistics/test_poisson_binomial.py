"""Tails of sums of unequal trials: exact against whole numbers, far below floating point, valid as p-values."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from null_levels import holds_levels

from whorl.core.arrays import Doubles
from whorl.statistics.intervals import binomial_log10_tail
from whorl.statistics.poisson_binomial import poisson_binomial_log10_tail, weighted_log10_tail_bound


def exact_log10_tails(chances: Doubles) -> list[float]:
    """log10 P(M >= m) for m from 0 to n, in whole numbers: a double is a whole number over a power of two."""
    ratios = [chance.as_integer_ratio() for chance in chances.tolist()]
    unit = max(denominator for _, denominator in ratios)
    distribution = [1]
    for numerator, denominator in ratios:
        hit = numerator * (unit // denominator)
        kept, moved = ([part * share for part in distribution] for share in (unit - hit, hit))
        distribution = [stay + come for stay, come in zip([*kept, 0], [0, *moved], strict=True)]
    whole, tails, total = len(ratios) * math.log(unit), [], 0
    for part in reversed(distribution):
        total += part
        tails.append((math.log(total) - whole) / math.log(10) if total else -math.inf)
    return tails[::-1]


def test_by_hand() -> None:
    # Chances 1/2 and 1/4: 3/8 for none, 1/2 for one, 1/8 for both.
    chances = np.array([0.5, 0.25])
    assert poisson_binomial_log10_tail(0, chances) == 0
    assert poisson_binomial_log10_tail(1, chances) == pytest.approx(math.log10(5 / 8), abs=1e-12)
    assert poisson_binomial_log10_tail(2, chances) == pytest.approx(math.log10(1 / 8), abs=1e-12)


@pytest.mark.parametrize("shrunk", [1.0, 1 / 64, 2.0**-40])
def test_every_tail_agrees_with_whole_numbers(shrunk: float) -> None:
    chances = np.random.default_rng(1).integers(1, 1024, 120) / 1024
    chances[::3] *= shrunk
    found = [poisson_binomial_log10_tail(m, chances) for m in range(121)]
    assert found == pytest.approx(exact_log10_tails(chances), rel=1e-10, abs=1e-11)
    assert found[-1] < -40


@pytest.mark.parametrize(("successes", "trials", "rate"), [(200, 400, 0.1), (900, 1000, 0.3), (19_990, 20_000, 0.5)])
def test_equal_chances_are_binomial_however_far_out(successes: int, trials: int, rate: float) -> None:
    found = poisson_binomial_log10_tail(successes, np.full(trials, rate))
    assert found < -60
    assert found == pytest.approx(binomial_log10_tail(successes, trials, rate), rel=1e-10)


def test_a_tail_of_ten_to_the_minus_200_is_right() -> None:
    # 100 chances of 1/100, all of which happen, beside 400 of 1/2: 10^-200 times a binomial tail.
    chances = np.concatenate([np.full(100, 0.01), np.full(400, 0.5)])
    exact = exact_log10_tails(chances)[430]
    assert -200 < exact < -60
    assert poisson_binomial_log10_tail(430, chances) == pytest.approx(exact, rel=1e-11)
    assert poisson_binomial_log10_tail(100, np.full(100, 0.01)) == pytest.approx(-200)
    assert poisson_binomial_log10_tail(99, np.full(100, 0.01)) == pytest.approx(-198 + math.log10(0.99 * 100 + 0.01))


def test_twenty_thousand_trials_take_about_a_second_at_most() -> None:
    chances = np.random.default_rng(2).beta(1, 3, 20_000)
    start = time.perf_counter()
    found = poisson_binomial_log10_tail(10_000, chances)
    assert time.perf_counter() - start < 5
    assert -2000 < found < -1500


def test_certain_and_impossible_trials() -> None:
    chances = np.array([0.0, 1.0, 1.0, 0.5])
    assert poisson_binomial_log10_tail(2, chances) == 0
    assert poisson_binomial_log10_tail(3, chances) == pytest.approx(math.log10(0.5))
    assert poisson_binomial_log10_tail(4, chances) == -math.inf
    assert poisson_binomial_log10_tail(0, np.zeros(0)) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(deadline=None, max_examples=100)
def test_laws(chances: list[float]) -> None:
    row = np.array(chances)
    tails = [poisson_binomial_log10_tail(m, row) for m in range(row.size + 1)]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(tails))
    order = np.random.default_rng(row.size).permutation(row.size)
    assert tails == pytest.approx([poisson_binomial_log10_tail(m, row[order]) for m in range(row.size + 1)], abs=1e-9)
    # Larger chances, larger tails: what makes an upper bound of a chance safe.
    raised = np.minimum(1, row + 0.1)
    assert all(poisson_binomial_log10_tail(m, raised) >= tail - 1e-9 for m, tail in enumerate(tails))


def test_simulated_sums_are_never_rarer_than_their_tail_says() -> None:
    rng = np.random.default_rng(3)
    chances = rng.beta(0.5, 1.5, 60)
    sums = (rng.random((2_000, 60)) < chances).sum(axis=1)
    tails = {int(m): 10 ** poisson_binomial_log10_tail(int(m), chances) for m in np.unique(sums)}
    assert holds_levels(np.array([tails[int(m)] for m in sums]))
    for m, tail in tails.items():
        assert np.mean(sums >= m) == pytest.approx(tail, abs=0.045)


def test_weighted_bound_is_a_bound_and_not_far_off() -> None:
    rng = np.random.default_rng(4)
    chances, weights = rng.beta(0.5, 1.5, 60), rng.exponential(1, 60)
    sums = (rng.random((4_000, 60)) < chances) @ weights
    bounds = np.array([10 ** weighted_log10_tail_bound(float(s), chances, weights) for s in sums])
    assert holds_levels(bounds)
    assert np.mean(bounds <= 0.05) > 0.05 / 8, "useless if much too cautious"
    exact = exact_log10_tails(chances)
    for m in range(61):
        bound = weighted_log10_tail_bound(m, chances, np.ones(60))
        assert exact[m] - 1e-9 <= bound <= exact[m] + 1.5
    assert weighted_log10_tail_bound(weights.sum() * 1.01, chances, weights) == -math.inf
    assert weighted_log10_tail_bound(float(weights.sum()), chances, weights) == pytest.approx(
        np.log10(chances).sum(), rel=1e-9
    )


@pytest.mark.parametrize("chances", [np.array([0.5, 1.5]), np.array([0.5, np.nan]), np.full((2, 2), 0.5)])
def test_what_is_no_chance_is_refused(chances: Doubles) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        poisson_binomial_log10_tail(1, chances)
    with pytest.raises(ValueError, match="between 0 and 1"):
        weighted_log10_tail_bound(1.0, chances, np.ones(chances.shape))


def test_impossible_numbers_are_refused() -> None:
    for successes in (-1, 3):
        with pytest.raises(ValueError, match="impossible"):
            poisson_binomial_log10_tail(successes, np.full(2, 0.5))
    with pytest.raises(ValueError, match="weight"):
        weighted_log10_tail_bound(1.0, np.full(2, 0.5), np.array([1.0, -1.0]))
