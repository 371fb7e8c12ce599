"""Perfect ratios are what they are called, and few families make even those look as if they could be mended."""

import math

import numpy as np
import pytest
from pair_worlds import additive_world, true_log10_lr

from whorl.statistics.labelled_pairs import LabelledPairs, labelled_pairs
from whorl.statistics.ratio_cost import isotonic_log10_lr, log_ratio_cost
from whorl.statistics.ratio_reference import (
    calibrated_ratios,
    calibration_reference,
    correlation_within,
    expected_cost,
    spread_of,
)


def world(families: int, *, children: int = 2) -> LabelledPairs:
    return labelled_pairs(*additive_world(1, families=families, children=children))


def alone(count: int) -> LabelledPairs:
    """As many families as pairs, half of them of ancestor and descendant."""
    families = np.arange(count)[:, None].repeat(2, axis=1)
    return labelled_pairs(np.zeros(count), np.arange(count) < count // 2, families)


def test_the_expected_cost_of_calibrated_normal_ratios() -> None:
    # By another rule of integration, and at both ends: saying nothing costs a bit.
    from scipy.integrate import quad
    from scipy.stats import norm

    for spread in (0.5, 2.0, 5.0):
        expected, _ = quad(
            lambda ln: norm.pdf(ln, spread**2 / 2, spread) * np.logaddexp(0, -ln) / math.log(2),  # noqa: B023
            spread**2 / 2 - 12 * spread,
            spread**2 / 2 + 12 * spread,
            limit=200,
        )
        assert expected_cost(spread) == pytest.approx(expected, abs=1e-7)
    assert expected_cost(0.0) == pytest.approx(1)
    assert expected_cost(30.0) < 1e-6
    for cost in (0.02, 0.4, 0.99):
        assert expected_cost(spread_of(cost)) == pytest.approx(cost, abs=1e-9)
    for cost in (0.0, 1.0, 1.3):
        with pytest.raises(ValueError, match="between 0 and 1 bit"):
            spread_of(cost)


def test_perfect_ratios_are_calibrated() -> None:
    """Their cost is the expected one, E[LR | H2] = E[1/LR | H1] = 1, and no recalibration saves anything."""
    pairs = alone(200_000)
    ratios = calibrated_ratios(np.random.default_rng(2), pairs, spread=1.2, correlations=(0.4, 0.9))
    cost = log_ratio_cost(ratios, pairs.is_h1)
    assert cost == pytest.approx(expected_cost(1.2), abs=0.004)
    assert (10 ** ratios[~pairs.is_h1]).mean() == pytest.approx(1, abs=0.04)
    assert (10 ** -ratios[pairs.is_h1]).mean() == pytest.approx(1, abs=0.04)
    assert cost - log_ratio_cost(isotonic_log10_lr(ratios, pairs.is_h1), pairs.is_h1) < 0.002


def test_pairs_of_the_same_families_go_together_as_much_as_they_were_told_to() -> None:
    pairs = world(60, children=12)
    within = (pairs.families[:, 0] == pairs.families[:, 1]) & pairs.is_h1
    for wanted in (0.0, 0.5, 0.9):
        found = [
            correlation_within(
                calibrated_ratios(np.random.default_rng(seed), pairs, spread=2.0, correlations=(wanted, 0.0))[within],
                pairs.families[within],
            )
            for seed in range(20)
        ]
        assert np.mean(found) == pytest.approx(wanted, abs=0.05)


def test_correlation_within_known_answers() -> None:
    pairs = np.array([[0, 0], [0, 0], [1, 1], [1, 1]])
    assert correlation_within(np.array([1.0, 1.0, 3.0, 3.0]), pairs) == pytest.approx(1)
    assert correlation_within(np.array([1.0, 3.0, 1.0, 3.0]), pairs) == 0
    # Means 1.5 and 3.5: 4 between, 0.5 within, (4 - 0.5) / (4 + 0.5).
    assert correlation_within(np.array([1.0, 2.0, 3.0, 4.0]), pairs) == pytest.approx(7 / 9)
    assert correlation_within(np.array([1.0, 2.0]), pairs[[0, 2]]) == 0, "no two families have two pairs"
    assert correlation_within(np.array([1.0, 2.0]), pairs[:2]) == 0, "only two families"
    assert correlation_within(np.ones(4), pairs) == 0


def test_few_families_make_perfect_ratios_look_mendable_and_many_do_not() -> None:
    found = []
    for families in (8, 24, 72):
        pairs = world(families)
        reference = calibration_reference(pairs, true_log10_lr(pairs.scores[:, 0]), np.random.default_rng(3), worlds=60)
        assert reference is not None
        assert 0 < reference.median < reference.upper
        found.append(reference.median)
    assert found[0] > 2 * found[1] > 3 * found[2]
    assert found[2] < 0.05 < found[0]


def test_the_same_seed_gives_the_same_reference_and_ratios_that_say_nothing_have_none() -> None:
    pairs = world(12)
    ratios = true_log10_lr(pairs.scores[:, 0])
    one, other = (calibration_reference(pairs, ratios, np.random.default_rng(4), worlds=5) for _ in range(2))
    assert one == other
    assert calibration_reference(pairs, np.zeros(ratios.size), np.random.default_rng(4), worlds=5) is None
