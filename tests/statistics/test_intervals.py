"""Intervals cover, tails do not underflow, and combinations stay valid."""

import math

import numpy as np
import pytest

from whorl.statistics.combine import bonferroni_log10_p
from whorl.statistics.intervals import RatioInterval, binomial_log10_tail, clopper_pearson, ratio_interval
from whorl.statistics.slopes import regression_slopes


def test_clopper_pearson_known_answer() -> None:
    # Rule of three, exact form: the upper end for 0 of n is 1 - (alpha/2)**(1/n).
    assert clopper_pearson(0, 20) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert clopper_pearson(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    # Its definition: at each end the observed tail has probability alpha/2.
    lower, upper = clopper_pearson(8, 30)
    assert 10 ** binomial_log10_tail(8, 30, lower) == pytest.approx(0.025)
    assert 1 - 10 ** binomial_log10_tail(9, 30, upper) == pytest.approx(0.025)


@pytest.mark.parametrize(("successes", "trials", "rate"), [(1, 1, 0.3), (3, 10, 0.5), (60, 100, 0.1), (2, 50, 0.2)])
def test_binomial_tail_agrees_with_its_sum(successes: int, trials: int, rate: float) -> None:
    exact = math.fsum(math.comb(trials, x) * rate**x * (1 - rate) ** (trials - x) for x in range(successes, trials + 1))
    assert binomial_log10_tail(successes, trials, rate) == pytest.approx(math.log10(exact), abs=1e-9)


def test_binomial_tail_does_not_underflow() -> None:
    assert binomial_log10_tail(350_000, 350_000, 0.01) == pytest.approx(-700_000)
    assert -700_000 < binomial_log10_tail(340_000, 350_000, 0.01) < -600_000
    assert binomial_log10_tail(0, 100, 0.01) == 0.0
    assert binomial_log10_tail(1, 350_000, 0.5) == pytest.approx(0.0, abs=1e-9)


def test_ratio_interval_covers_when_layers_vary() -> None:
    rng = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(500):
        sizes = rng.integers(100, 400, 12)
        hits = rng.binomial(sizes, rng.beta(6, 14, 12))
        interval = ratio_interval(hits.tolist(), sizes.tolist())
        lower, upper = clopper_pearson(int(hits.sum()), int(sizes.sum()))
        covered += interval.lower <= 0.3 <= interval.upper
        naive += lower <= 0.3 <= upper
    assert covered >= 460
    assert naive < 350, "neurons as units would be too sure"


def test_interval_says_what_it_counted() -> None:
    one = ratio_interval([5, 0], [20, 0])
    assert (one.unit, (one.lower, one.upper)) == ("neurons", clopper_pearson(5, 20))
    assert ratio_interval([5, 6], [20, 20]).unit == "layers"


def test_layers_in_perfect_agreement_do_not_make_certainty() -> None:
    interval = ratio_interval([0, 0, 0], [20, 20, 20])
    assert (interval.value, interval.lower) == (0.0, 0.0)
    assert interval.upper == pytest.approx(clopper_pearson(0, 60)[1])
    full = ratio_interval([20, 20], [20, 20])
    assert full.upper == 1.0
    assert full.lower < 0.95


def test_one_layer_against_the_rest_stays_within_the_unit_interval() -> None:
    interval = ratio_interval([100, 0], [100, 1])
    assert 0 <= interval.lower <= interval.value <= interval.upper <= 1


@pytest.mark.parametrize(("successes", "trials"), [([], []), ([0], [0]), ([3], [2]), ([-1, 2], [5, 5])])
def test_impossible_counts_are_refused(successes: list[int], trials: list[int]) -> None:
    with pytest.raises(ValueError, match="trial"):
        ratio_interval(successes, trials)


def test_other_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        binomial_log10_tail(1, 2, 1.0)
    with pytest.raises(ValueError, match="level"):
        clopper_pearson(1, 2, level=1.0)
    with pytest.raises(ValueError, match="outside"):
        RatioInterval(value=0.5, lower=0.6, upper=0.7, unit="layers")


def test_bonferroni_pays_for_every_p_value() -> None:
    assert bonferroni_log10_p([-30.0, -0.1]) == pytest.approx(-30 + math.log10(2))
    assert bonferroni_log10_p([-0.1, -0.2, 0.0]) == 0.0


def test_slopes_tell_parent_from_sibling() -> None:
    rng = np.random.default_rng(2)
    parent, other, tuning = rng.standard_normal((3, 20_000))
    child, sibling_a, sibling_b = parent + 0.5 * tuning, parent + tuning, parent + other

    def slopes(questioned: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
        return regression_slopes(questioned @ reference, questioned @ questioned, reference @ reference)

    assert slopes(child, parent) == (pytest.approx(1.0, abs=0.03), pytest.approx(0.8, abs=0.03))
    assert slopes(parent, child) == slopes(child, parent)[::-1]
    assert slopes(sibling_a, sibling_b) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.5, abs=0.03))
    assert slopes(other, tuning) == (pytest.approx(0.0, abs=0.03), pytest.approx(0.0, abs=0.03))


@pytest.mark.parametrize("norm", [0.0, float("nan")])
def test_no_slope_through_parameters_that_never_moved(norm: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        regression_slopes(0.0, norm, 1.0)
