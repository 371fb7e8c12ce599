"""Turing's check passes calibrated ratios, catches a wrong product, and admits what few families cannot show."""

import numpy as np
import pytest
from pair_worlds import every_two, true_log10_lr, unrelated_scores

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.ratio_checks import mean_ratio, turing_checks

STRENGTH = 1.2


def product_of_channels(seed: int, *, correlation: float, scores: int) -> tuple[Doubles, AnyArray, Doubles]:
    """Five equicorrelated channels under H2, each with a true ratio of its own, multiplied as if independent."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(scores, 1)), rng.normal(size=(scores, 5))
    channels = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    natural = (STRENGTH * channels - STRENGTH**2 / 2).sum(axis=1)
    return natural / np.log(10), np.arange(scores)[:, None].repeat(2, axis=1), np.ones(scores)


def test_independent_channels_pass_and_their_wrong_product_is_caught() -> None:
    for seed in range(20):
        right = turing_checks(*product_of_channels(seed, correlation=0.0, scores=5_000))
        assert not any(check.refuted for check in right)
        assert right[0].supported
        assert right[1].mean == pytest.approx(0.76, abs=0.2)
    wrong = [turing_checks(*product_of_channels(seed, correlation=0.1, scores=5_000))[1] for seed in range(20)]
    assert all(check.refuted for check in wrong)
    assert np.mean([check.mean for check in wrong]) == pytest.approx(1.66, abs=0.1)
    assert turing_checks(*product_of_channels(0, correlation=0.6, scores=500))[1].refuted


def test_calibrated_ratios_are_hardly_ever_refuted() -> None:
    pairs = every_two(16)
    ones = np.ones(len(pairs))
    refuted = np.zeros(3)
    means = np.zeros(3)
    for seed in range(1_000):
        ratios = true_log10_lr(unrelated_scores(np.random.default_rng(seed), 16))
        checks = turing_checks(ratios, pairs, ones)
        refuted += [check.refuted for check in checks]
        means += [check.mean / 1_000 for check in checks]
    assert (refuted <= 50).all()
    assert (means <= 1.05).all()


def test_pairs_as_units_would_refute_too_often() -> None:
    # Ratios whose mean is exactly 1 in the long run, half of it from which families happen to be there.
    rng = np.random.default_rng(1)
    pairs, alone = every_two(20), np.arange(190)[:, None].repeat(2, axis=1)
    by_family = by_pair = 0
    for _ in range(500):
        effect = rng.normal(0, 0.25, 20)[pairs].sum(axis=1)
        ratios = np.log10(np.clip(1 + effect, 0.05, 5))
        by_family += turing_checks(ratios, pairs, np.ones(190), levels=(10.0,))[0].refuted
        by_pair += turing_checks(ratios, alone, np.ones(190), levels=(10.0,))[0].refuted
    assert by_family <= 0.08 * 500
    assert by_pair >= 0.15 * 500


def test_few_families_prove_nothing() -> None:
    pairs = every_two(20)
    checks = turing_checks(np.full(190, -3.0), pairs, np.ones(190))
    assert not any(check.refuted for check in checks)
    assert [check.supported for check in checks] == [False, False, False], "10 comparisons cannot show 1 in 10"
    for check in checks:
        assert check.excess == 0
        assert check.excess_upper == pytest.approx(check.level * (1 - 0.05 ** (1 / 10)))
        assert check.unseen == pytest.approx((check.level - 1e-3) * (1 - 0.05 ** (1 / 10)))
    many = every_two(80)
    capped = turing_checks(np.full(len(many), -3.0), many, np.ones(len(many)))
    assert [check.supported for check in capped] == [True, False, False]


def test_check_known_answers() -> None:
    ratios = np.array([2.0, 0.0, -np.inf, np.inf])
    families = np.arange(4)[:, None].repeat(2, axis=1)
    first, second, _ = turing_checks(ratios, families, np.array([1.0, 1.0, 1.0, 3.0]))
    assert first.mean == pytest.approx((10 + 1 + 0 + 30) / 6)
    assert second.mean == pytest.approx((100 + 1 + 0 + 300) / 6)
    assert (first.reaching, first.excess) == (2, pytest.approx(10 * 4 / 6))
    even = turing_checks(ratios[:3], families[:3], np.ones(3), levels=(10.0,))[0]
    # With equal weights the jackknife is the standard error of a mean.
    error = np.std([10, 1, 0], ddof=1) / np.sqrt(3)
    assert even.lower == pytest.approx(max(0, 11 / 3 - 2.9199856 * error))
    left_out = np.log([0.5, 5, 5.5])
    factor = np.exp(2.9199856 * np.sqrt(2 / 3 * ((left_out - left_out.mean()) ** 2).sum()))
    assert even.upper == pytest.approx(min(10, 11 / 3 * factor))
    shrunk = turing_checks(ratios[:3] / 10, families[:3], np.ones(3), levels=(10.0,))[0]
    assert shrunk.lower < shrunk.mean < shrunk.upper <= 10
    assert even.unseen == 0


def test_mean_ratio_known_answers() -> None:
    families = np.arange(3)[:, None].repeat(2, axis=1)
    found = mean_ratio(np.log10([4.0, 1.0, 0.25]), families, np.ones(3))
    assert found.mean == pytest.approx(5.25 / 3)
    assert found.largest == pytest.approx(np.log10(4))
    left_out = np.log([0.625, 2.125, 2.5])
    reach = np.exp(4.3026527 * np.sqrt(2 / 3 * ((left_out - left_out.mean()) ** 2).sum()))
    assert (found.lower, found.upper) == pytest.approx((5.25 / 3 / reach, 5.25 / 3 * reach))
    assert not found.refuted
    weighted = mean_ratio(np.log10([4.0, 1.0, 0.25]), families, np.array([1.0, 2.0, 4.0]))
    assert weighted.mean == pytest.approx(7 / 7)
    assert mean_ratio(np.full(3, 1.0), families, np.ones(3)).refuted, "always ten"
    with pytest.raises(ValueError, match="infinite"):
        mean_ratio(np.array([0.0, 1.0, np.inf]), families, np.ones(3))
    with pytest.raises(ValueError, match="3 families"):
        mean_ratio(np.zeros(2), families[:2], np.ones(2))


def test_order_does_not_matter_and_input_stays() -> None:
    ratios = true_log10_lr(unrelated_scores(np.random.default_rng(2), 12))
    before, order = ratios.copy(), np.random.default_rng(3).permutation(66)
    weights = np.linspace(1, 2, 66)
    one = turing_checks(ratios, every_two(12), weights)
    other = turing_checks(ratios[order], 50 - every_two(12)[order], weights[order])
    assert [check.upper for check in one] == pytest.approx([check.upper for check in other])
    assert np.array_equal(ratios, before)


def test_degenerate_input_is_refused() -> None:
    pairs, ones = every_two(6), np.ones(15)
    with pytest.raises(ValueError, match="at least one ratio"):
        turing_checks(np.zeros(0), np.zeros((0, 2), dtype=int), np.zeros(0))
    with pytest.raises(ValueError, match="numbers"):
        turing_checks(np.full(15, np.nan), pairs, ones)
    with pytest.raises(ValueError, match="at least 3 families"):
        turing_checks(np.zeros(15), pairs % 2, ones)
    with pytest.raises(ValueError, match="one family is in every pair"):
        turing_checks(np.zeros(5), pairs[:5], np.ones(5))
    with pytest.raises(ValueError, match="level"):
        turing_checks(np.zeros(15), pairs, ones, levels=(1.0,))
