"""Costs agree with their definitions and with another implementation; families set their limits."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pair_worlds import additive_world, true_log10_lr
from scipy.optimize import isotonic_regression

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.calibration import held_out_log10_lr
from whorl.statistics.labelled_pairs import labelled_pairs
from whorl.statistics.ratio_cost import (
    dev_pav,
    empirical_cross_entropy,
    equal_error_rate,
    isotonic_log10_lr,
    log_ratio_cost,
    ratio_performance,
    tippett_curve,
)


def fixed_ratios() -> tuple[Doubles, AnyArray]:
    """Quantiles of two normal distributions, to three digits."""
    from scipy.special import ndtri

    h1 = np.round(ndtri((np.arange(40) + 0.5) / 40) * 0.8 + 1.1, 3)
    h2 = np.round(ndtri((np.arange(120) + 0.5) / 120) * 0.9 - 0.7, 3)
    return np.concatenate([h1, h2]), np.repeat([True, False], [40, 120])


def test_agrees_with_another_implementation() -> None:
    # cllr, cllr_min, calculate_ece and IsotonicCalibrator of lir 1.3.1 on these ratios, run once by hand.
    ratios, truth = fixed_ratios()
    assert log_ratio_cost(ratios, truth) == pytest.approx(0.49562254602869527, abs=1e-12)
    best = isotonic_log10_lr(ratios, truth)
    assert log_ratio_cost(best, truth) == pytest.approx(0.4300883840246096, abs=1e-12)
    assert empirical_cross_entropy(ratios, truth, prior_h1=0.1) == pytest.approx(0.26109828, abs=1e-8)
    levels = [-0.801632, -0.522879, -0.221849, 0, 0.176091, 0.477121, 0.778151, 0.954243, 1.322219]
    assert sorted(set(np.round(best[np.isfinite(best)], 6))) == pytest.approx(levels, abs=1e-6)
    assert (np.isneginf(best).sum(), np.isposinf(best).sum()) == (60, 9)


def test_cost_known_answers() -> None:
    truth = np.array([True, True, False])
    assert log_ratio_cost(np.zeros(3), truth) == pytest.approx(1), "always saying 1"
    assert log_ratio_cost(np.array([math.inf, math.inf, -math.inf]), truth) == 0
    assert log_ratio_cost(np.array([-math.inf, 0.0, 0.0]), truth) == math.inf
    # log2(1 + 1/3), log2(1 + 1) and log2(1 + 1/7)
    ratios = np.log10([3.0, 1.0, 1 / 7])
    assert log_ratio_cost(ratios, truth) == pytest.approx(((math.log2(4 / 3) + 1) / 2 + math.log2(8 / 7)) / 2)
    assert log_ratio_cost(ratios, truth, np.array([3.0, 1.0, 9.0])) == pytest.approx(
        ((3 * math.log2(4 / 3) + 1) / 4 + math.log2(8 / 7)) / 2
    )


def test_weights_are_copies() -> None:
    ratios, truth = fixed_ratios()
    weights = np.random.default_rng(1).integers(1, 4, ratios.size)
    many, truths = ratios.repeat(weights), truth.repeat(weights)
    for function in (log_ratio_cost, equal_error_rate):
        assert function(ratios, truth, weights) == pytest.approx(function(many, truths))
    assert isotonic_log10_lr(ratios, truth, weights).repeat(weights) == pytest.approx(isotonic_log10_lr(many, truths))
    one, other = tippett_curve(ratios, truth, weights), tippett_curve(many, truths)
    assert one.share_h2 == pytest.approx(other.share_h2)


def test_no_order_or_monotone_change_moves_discrimination() -> None:
    ratios, truth = fixed_ratios()
    before = ratios.copy()
    order = np.random.default_rng(2).permutation(ratios.size)
    best = isotonic_log10_lr(ratios, truth)
    assert isotonic_log10_lr(ratios[order] ** 3 + 5, truth[order]) == pytest.approx(best[order])
    rising = best[np.argsort(ratios)]
    assert (rising[1:] >= rising[:-1]).all()
    for factor in (0.3, 1.0, 3.0):
        assert log_ratio_cost(best, truth) <= log_ratio_cost(ratios * factor, truth)
    assert equal_error_rate(ratios * 7 - 2, truth) == pytest.approx(equal_error_rate(ratios, truth))
    assert np.array_equal(ratios, before)


small = st.integers(-3, 3).map(float)


@given(st.lists(st.tuples(small, st.booleans(), st.integers(1, 5)), min_size=2, max_size=40))
def test_the_best_recalibration_is_isotonic_regression_and_is_left_alone_by_another(
    given_pairs: list[tuple[float, bool, int]],
) -> None:
    ratios, truth, weights = (np.array(column) for column in zip(*given_pairs, strict=True))
    assume(truth.any() and not truth.all())
    share = weights / np.where(truth, weights[truth].sum(), weights[~truth].sum())
    values, place = np.unique(ratios, return_inverse=True)
    sizes = np.array([np.bincount(place[side], share[side], minlength=values.size) for side in (truth, ~truth)])
    reference = isotonic_regression(sizes[0] / sizes.sum(axis=0), weights=sizes.sum(axis=0)).x[place]
    best = isotonic_log10_lr(ratios, truth, weights)
    assert 1 / (1 + 10.0**-best) == pytest.approx(reference, abs=1e-9)
    for side, end in ((truth, -math.inf), (~truth, math.inf)):
        assert not (best[side] == end).any(), "an infinite ratio is never wrong about its own pairs"
    held = np.clip(best, -9.0, 9.0)
    assert np.clip(isotonic_log10_lr(held, truth, weights), -9.0, 9.0) == pytest.approx(held, abs=1e-9)
    distance = dev_pav(best, truth, weights)
    assert distance is None or distance == pytest.approx(0, abs=1e-9)
    assert log_ratio_cost(best, truth, weights) <= log_ratio_cost(ratios, truth, weights) + 1e-12
    assert log_ratio_cost(best, truth, weights) <= 1 + 1e-12, "saying nothing is a monotone recalibration"
    half = empirical_cross_entropy(ratios, truth, weights, prior_h1=0.5)
    assert half == pytest.approx(log_ratio_cost(ratios, truth, weights))
    curve = tippett_curve(ratios, truth, weights)
    for shares in (curve.share_h1, curve.share_h2):
        assert shares[0] == pytest.approx(1), "all ratios are at least the least of them"
        assert (np.diff(shares) <= 1e-12).all()
    assert curve.share_h1[-1] + curve.share_h2[-1] > 0
    assert curve.share_h1 @ np.ones(values.size) == pytest.approx(sizes[0] @ np.arange(1, values.size + 1))


def test_equal_error_rate_known_answers() -> None:
    truth = np.repeat([True, False], 4)
    assert equal_error_rate(np.array([1.0, 2, 3, 4, -4, -3, -2, -1]), truth) == 0
    assert equal_error_rate(np.array([1.0, 2, 3, 4, 1, 2, 3, 4]), truth) == pytest.approx(0.5)
    assert equal_error_rate(np.array([-4.0, -3, -2, -1, 1, 2, 3, 4]), truth) == pytest.approx(0.5), "on the hull"
    assert equal_error_rate(np.array([0.0, 2, 3, 4, -4, -3, -2, 1]), truth) == pytest.approx(0.125)
    assert equal_error_rate(np.array([0.0, 0, 3, 4, -4, -3, 0, 0]), truth) == pytest.approx(0.25)


def test_tippett_curve_known_answers() -> None:
    curve = tippett_curve(np.array([1.0, 0, 1, -2]), np.array([True, True, False, False]))
    assert curve.log10_lr.tolist() == [-2, 0, 1]
    assert curve.share_h1.tolist() == [1, 1, 0.5]
    assert curve.share_h2.tolist() == [1, 0.5, 0.5]


def test_cross_entropy_of_saying_nothing_is_that_of_the_prior() -> None:
    truth = np.array([True, False, False])
    for prior in (0.001, 0.3, 0.9):
        entropy = -prior * math.log2(prior) - (1 - prior) * math.log2(1 - prior)
        assert empirical_cross_entropy(np.zeros(3), truth, prior_h1=prior) == pytest.approx(entropy)


def test_performance_of_a_calibrated_population() -> None:
    pairs = labelled_pairs(*additive_world(3, families=40))
    found = ratio_performance(pairs, held_out_log10_lr(pairs))
    assert found.cllr == pytest.approx(found.cllr_min + found.cllr_cal)
    assert found.cllr_lower <= found.cllr <= found.cllr_upper
    assert 0 < found.cllr_min < found.cllr < 0.5
    assert found.cllr_cal < 0.08
    assert found.dev_pav is not None
    assert found.dev_pav < 0.6
    h1, h2 = found.misleading_h1, found.misleading_h2
    assert (h1.pairs, h1.families, h1.comparisons) == (200, 40, 40)
    assert (h2.pairs, h2.families, h2.comparisons) == (780, 40, pytest.approx(20))
    assert 0 < h2.rate < 0.15 < h2.upper < 0.4
    assert h2.misleading == round(h2.rate * 780)
    shifted = ratio_performance(pairs, held_out_log10_lr(pairs) + 1)
    assert shifted.cllr_min == pytest.approx(found.cllr_min)
    assert shifted.cllr_cal > 0.2, "ratios ten times too large"
    assert shifted.dev_pav is not None
    assert shifted.dev_pav > found.dev_pav + 0.2


def test_dev_pav_known_answers() -> None:
    # Against, for, against, for: the two in the middle are pooled to a ratio of 1.
    truth = np.array([False, True, False, True])
    assert dev_pav(np.array([-1.0, 0, 1, 2]), truth) == pytest.approx(0.5), "from 0 to 1 away, on average a half"
    assert dev_pav(np.array([-5.0, -1, 1, 5]), truth) == pytest.approx(0.5), "two triangles"
    assert dev_pav(np.array([-5.0, 2, 3, 5]), truth) == pytest.approx(2.5)
    assert dev_pav(np.array([-1.0, 0.3, 0.3, 2]), truth) == pytest.approx(0.3), "a single point"
    assert dev_pav(np.array([-1.0, 1, -2, 2]), truth) is None, "separated"
    assert dev_pav(np.array([-np.inf, -1, 1, np.inf]), truth) == pytest.approx(0.5)


def test_dev_pav_is_the_area_over_the_width() -> None:
    ratios, truth = fixed_ratios()
    before = ratios.copy()
    points, first = np.unique(ratios, return_index=True)
    best = isotonic_log10_lr(ratios, truth)[first]
    finite = np.isfinite(best)
    grid = np.linspace(points[finite][0], points[finite][-1], 400_001)
    expected = np.abs(np.interp(grid, points[finite], best[finite]) - grid).mean()
    found = dev_pav(ratios, truth)
    assert found == pytest.approx(expected, abs=1e-4)
    order = np.random.default_rng(3).permutation(ratios.size)
    assert dev_pav(ratios[order], truth[order]) == pytest.approx(found)
    weights = np.random.default_rng(1).integers(1, 4, ratios.size)
    assert dev_pav(ratios, truth, weights) == pytest.approx(dev_pav(ratios.repeat(weights), truth.repeat(weights)))
    too_large = dev_pav(ratios * 3, truth)
    assert found is not None
    assert too_large is not None
    assert too_large > 2 * found
    assert np.array_equal(ratios, before)


def test_cost_limits_cover() -> None:
    # The mean cost of true ratios over many worlds is what each world's interval should hold.
    found = []
    for seed in range(200):
        pairs = labelled_pairs(*additive_world(seed, families=30, children=2))
        found.append(ratio_performance(pairs, true_log10_lr(pairs.scores[:, 0])))
    expected = np.mean([one.cllr for one in found])
    assert np.mean([one.cllr_lower <= expected <= one.cllr_upper for one in found]) >= 0.88  # nominal 0.95


def test_no_misleading_ratio_is_no_zero_rate() -> None:
    scores, truth, families = additive_world(5, families=12)
    pairs = labelled_pairs(np.where(truth, 2.0, -2.0), truth, families)
    found = ratio_performance(pairs, pairs.scores[:, 0])
    assert found.misleading_h2.rate == 0
    assert found.misleading_h2.upper == pytest.approx(1 - 0.05 ** (1 / 6))
    assert found.misleading_h1.upper == pytest.approx(1 - 0.05 ** (1 / 12))
    always_wrong = ratio_performance(pairs, -pairs.scores[:, 0])
    assert always_wrong.misleading_h2.upper == 1
    assert scores.size == 126


def test_undefined_costs_are_refused() -> None:
    ratios, truth = fixed_ratios()
    with pytest.raises(ValueError, match="no pair"):
        log_ratio_cost(ratios[truth], truth[truth])
    with pytest.raises(ValueError, match="numbers"):
        log_ratio_cost(np.full(160, np.nan), truth)
    with pytest.raises(ValueError, match="positive"):
        log_ratio_cost(ratios, truth, np.zeros(160))
    with pytest.raises(ValueError, match="shapes"):
        log_ratio_cost(ratios[:-1], truth)
    with pytest.raises(ValueError, match="bool"):
        log_ratio_cost(ratios, truth.astype(int))
    with pytest.raises(ValueError, match="prior"):
        empirical_cross_entropy(ratios, truth, prior_h1=1.0)
    pairs = labelled_pairs(*additive_world(6, families=5))
    with pytest.raises(ValueError, match="finite"):
        ratio_performance(pairs, np.where(pairs.is_h1, math.inf, 0.0))
