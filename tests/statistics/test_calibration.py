"""Calibrated ratios mean what they say, families are the unit, and bad populations are refused."""

import math

import numpy as np
import pytest
from pair_worlds import additive_world, every_two, true_log10_lr, unrelated_scores

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.calibration import (
    RIDGE,
    Calibration,
    FamilyJackknife,
    fit_calibration,
    fit_family_jackknife,
    held_out_log10_lr,
)
from whorl.statistics.labelled_pairs import LabelledPairs, family_pair_weights, labelled_pairs
from whorl.statistics.ratio_caps import RatioCaps, effective_comparisons, headline_log10_lr, sampling_caps

TWO = np.array([2.0])


def several_scores(seed: int, families: int = 12) -> tuple[Doubles, AnyArray, AnyArray]:
    """A good score, a noisy copy of it, and its opposite with noise."""
    scores, truth, touched = additive_world(seed, families=families)
    rng = np.random.default_rng(seed + 1000)
    noise = rng.normal(size=(2, scores.size))
    return np.column_stack([scores, scores + noise[0], noise[1] - scores]), truth, touched


def penalised_loss(pairs: LabelledPairs, fit: Calibration, ridge: float) -> float:
    """What the fit minimises, written out from its definition."""
    sides = [pairs.weights[side].sum() for side in (pairs.is_h1, ~pairs.is_h1)]
    weights = pairs.weights / (2 * np.where(pairs.is_h1, *sides))
    against = np.where(pairs.is_h1, -1, 1) * fit.log10_lr(pairs.scores) * math.log(10)
    variance = weights @ pairs.scores**2 - (weights @ pairs.scores) ** 2
    penalty = ridge / pairs.smaller_side * np.array(fit.slopes) ** 2 @ variance
    return float(weights @ np.logaddexp(0, against) + penalty / 2)


def test_family_pairs_count_once_whatever_their_descendants() -> None:
    families = np.array([[0, 0], [0, 0], [1, 1], [0, 1], [1, 0], [0, 1], [1, 2], [0, 0]])
    truth = np.array([True, True, True, False, False, False, False, False])
    assert family_pair_weights(truth, families).tolist() == pytest.approx([0.5, 0.5, 1, 1 / 3, 1 / 3, 1 / 3, 1, 1])


def test_more_descendants_of_one_family_do_not_move_the_fit() -> None:
    world = additive_world(1, families=8)
    more = tuple(np.concatenate([array, array[:5].repeat(9, axis=0)]) for array in world)
    plain, heavier = fit_calibration(labelled_pairs(*world)), fit_calibration(labelled_pairs(*more))
    assert heavier.slopes == pytest.approx(plain.slopes)
    pushed = fit_calibration(labelled_pairs(*more, weights=np.ones(more[0].size)))
    assert pushed.slopes != pytest.approx(plain.slopes, rel=1e-2)


@pytest.mark.parametrize("nonnegative", [None, (False, False, False), (True, False, True)])
def test_fit_is_the_minimum(nonnegative: tuple[bool, ...] | None) -> None:
    pairs = labelled_pairs(*several_scores(2))
    fit = fit_calibration(pairs, ridge=0.5, nonnegative=nonnegative)
    least = penalised_loss(pairs, fit, 0.5)
    bounded = nonnegative or (True, True, True)
    values = np.array([fit.intercept, *fit.slopes])
    for place in range(4):
        for change in (-1e-3, 1e-3):
            moved = values.copy()
            moved[place] += change
            if place and bounded[place - 1] and moved[place] < 0:
                continue
            other = Calibration(intercept=float(moved[0]), slopes=tuple(moved[1:].tolist()))
            assert penalised_loss(pairs, other, 0.5) > least
    assert all(slope >= 0 for slope, bound in zip(fit.slopes, bounded, strict=True) if bound)
    assert (fit.slopes[2] == 0) == bounded[2], "the opposite score says nothing unless it may speak against"


def test_shrinkage_is_part_of_what_is_minimised() -> None:
    pairs = labelled_pairs(*several_scores(2))
    form = np.array([[2.0, -2.0, 0.0], [-2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    plain = fit_calibration(pairs)
    assert fit_calibration(pairs, shrinkage=np.zeros((3, 3))) == plain
    weak, strong = (fit_calibration(pairs, shrinkage=form * size) for size in (1, 1e6))
    assert strong.slopes[0] == pytest.approx(strong.slopes[1], rel=1e-4)
    assert abs(weak.slopes[0] - weak.slopes[1]) < abs(plain.slopes[0] - plain.slopes[1])

    def loss(fit: Calibration) -> float:
        slopes = np.array(fit.slopes)
        return penalised_loss(pairs, fit, RIDGE) + float(slopes @ form @ slopes) / (2 * pairs.smaller_side)

    for place in range(3):
        for change in (-1e-3, 1e-3):
            slopes = list(weak.slopes)
            slopes[place] += change
            assert slopes[place] < 0 or loss(Calibration(intercept=weak.intercept, slopes=tuple(slopes))) > loss(weak)
    assert held_out_log10_lr(pairs, shrinkage=form) != pytest.approx(held_out_log10_lr(pairs), abs=1e-3)


def test_agrees_with_another_implementation() -> None:
    # LogitCalibrator(C=1e12) of lir 1.3.1 (scikit-learn 1.9.1) on these scores, run once by hand.
    from scipy.special import ndtri

    h1 = np.round(ndtri((np.arange(40) + 0.5) / 40) * 0.8 + 1.1, 3)
    h2 = np.round(ndtri((np.arange(120) + 0.5) / 120) * 0.9 - 0.7, 3)
    families = np.arange(160)[:, None].repeat(2, axis=1)
    pairs = labelled_pairs(np.concatenate([h1, h2]), np.repeat([True, False], [40, 120]), families)
    fit = fit_calibration(pairs, ridge=1e-9)
    assert (fit.intercept, fit.slopes[0]) == pytest.approx((-0.59031571, 2.53066583), abs=2e-4)
    assert fit.log10_lr(np.array([0.5, 2.0])) == pytest.approx([0.29315625, 1.94173756], abs=2e-4)


def test_many_families_give_the_true_ratio() -> None:
    fit = fit_calibration(labelled_pairs(*additive_world(3, families=150)))
    scores = np.array([1.0, 1.5, 2.0])
    assert fit.log10_lr(scores) == pytest.approx(true_log10_lr(scores), abs=0.25)


def test_jackknife_interval_covers_and_pairs_as_units_do_not() -> None:
    covered = too_sure = 0
    truth = float(true_log10_lr(TWO)[0])
    for seed in range(200):
        world = additive_world(seed, families=20)
        found = fit_family_jackknife(labelled_pairs(*world)).log10_ratios(TWO)
        covered += bool(found.lower[0] <= truth <= found.upper[0])
        if seed < 30:
            alone = np.arange(world[0].size)[:, None].repeat(2, axis=1)
            naive = fit_family_jackknife(labelled_pairs(*world[:2], alone)).log10_ratios(TWO)
            too_sure += not naive.lower[0] <= truth <= naive.upper[0]
    assert covered >= 172, "nominal 95 %; at 200 worlds 86 % would be a defect"
    assert too_sure >= 8


def test_headlines_of_new_unrelated_pairs_have_mean_below_one() -> None:
    # What is reported after interval and caps, not the central value: that fails now and then, as its caps do not bind.
    fresh = np.concatenate([unrelated_scores(np.random.default_rng(1000 + seed), 30) for seed in range(10)])
    means = []
    for seed in range(20):
        pairs = labelled_pairs(*additive_world(seed, families=20))
        h1, h2 = (effective_comparisons(pairs.families[side], rho=None) for side in (pairs.is_h1, ~pairs.is_h1))
        supporting, opposing = (RatioCaps(sampling=cap, process=2.0) for cap in sampling_caps(h1, h2))
        found = fit_family_jackknife(pairs).log10_ratios(fresh)
        headlines = [
            headline_log10_lr(lower, upper, supporting=supporting, opposing=opposing)
            for lower, upper in zip(found.lower.tolist(), found.upper.tolist(), strict=True)
        ]
        means.append(np.mean(10 ** np.array(headlines)))
    assert max(means) <= 1
    assert min(means) > 0.05


def test_interval_narrows_with_families() -> None:
    widths = []
    for families in (12, 48):
        spans = [
            fit_family_jackknife(labelled_pairs(*additive_world(seed, families=families))).log10_ratios(TWO)
            for seed in range(20)
        ]
        widths.append(float(np.median([span.upper - span.lower for span in spans])))
    assert widths[1] < 0.7 * widths[0]


def test_stored_jackknife_gives_the_same_interval() -> None:
    pairs = labelled_pairs(*several_scores(4))
    found = fit_family_jackknife(pairs)
    assert len(found.without) == 12
    assert found.degrees_of_freedom == 11
    stored = [(fit.intercept, fit.slopes) for fit in (found.whole, *found.without)]
    whole, *without = (Calibration(intercept=intercept, slopes=slopes) for intercept, slopes in stored)
    again = FamilyJackknife(whole=whole, without=tuple(without), degrees_of_freedom=found.degrees_of_freedom)
    query = pairs.scores[:7]
    assert again == found
    left_out = np.array([fit.log10_lr(query)[3] for fit in without])
    # 2.200985 is the 97.5 % point of Student's distribution with 11 degrees of freedom.
    reach = 2.200985 * math.sqrt(11 / 12 * ((left_out - left_out.mean()) ** 2).sum())
    assert again.log10_ratios(query).upper[3] == pytest.approx(whole.log10_lr(query)[3] + reach, rel=1e-5)
    assert np.array_equal(again.log10_ratios(query).lower, found.log10_ratios(query).lower)


def test_each_replicate_is_the_fit_without_that_family() -> None:
    scores, truth, families = several_scores(5)
    pairs = labelled_pairs(scores, truth, families)
    found = fit_family_jackknife(pairs)
    for family in (0, 7):
        kept = ~(families == family).any(axis=1)
        part = labelled_pairs(scores[kept], truth[kept], families[kept], pairs.weights[kept])
        fit = fit_calibration(part, ridge=RIDGE * part.smaller_side / pairs.smaller_side)
        assert found.without[family].slopes == pytest.approx(fit.slopes, abs=1e-6)
        assert found.without[family].intercept == pytest.approx(fit.intercept, abs=1e-6)


def test_held_out_ratio_has_seen_neither_family() -> None:
    scores, truth, families = several_scores(6, families=9)
    pairs = labelled_pairs(scores, truth, families)
    held_out = held_out_log10_lr(pairs)
    for pair in (0, 20, 45, 60):
        kept = ~np.isin(families, families[pair]).any(axis=1)
        part = labelled_pairs(scores[kept], truth[kept], families[kept], pairs.weights[kept])
        fit = fit_calibration(part, ridge=RIDGE * part.smaller_side / pairs.smaller_side)
        assert held_out[pair] == pytest.approx(fit.log10_lr(scores[pair : pair + 1])[0], abs=1e-6)


def test_order_of_pairs_and_units_of_scores_do_not_matter() -> None:
    scores, truth, families = several_scores(7)
    before = [array.copy() for array in (scores, truth, families)]
    pairs = labelled_pairs(scores, truth, families)
    held_out, found = held_out_log10_lr(pairs), fit_family_jackknife(pairs).log10_ratios(scores)
    for array, copy in zip((scores, truth, families), before, strict=True):
        assert np.array_equal(array, copy)
        assert array.flags.writeable
    order = np.random.default_rng(8).permutation(len(scores))
    relabelled = 1000 - 7 * families[order][:, ::-1]
    moved = labelled_pairs(scores[order] * [1e-6, 50.0, 1.0] + [3.0, -1.0, 200.0], truth[order], relabelled)
    assert held_out_log10_lr(moved) == pytest.approx(held_out[order], abs=1e-6)
    again = fit_family_jackknife(moved).log10_ratios(moved.scores)
    assert again.lower == pytest.approx(found.lower[order], abs=1e-6)


def test_ratio_rises_with_the_score() -> None:
    for seed in range(5):
        scores, truth, families = additive_world(seed, families=6)
        fit = fit_calibration(labelled_pairs(-scores if seed == 4 else scores, truth, families))
        steps = np.diff(fit.log10_lr(np.linspace(-3, 6, 50)))
        assert (steps >= 0).all()
        assert fit.slopes[0] > 0 or seed == 4


def test_separated_and_constant_scores_stay_finite() -> None:
    families = np.concatenate([np.arange(10)[:, None].repeat(2, axis=1), every_two(10)])
    truth = np.repeat([True, False], [10, 45])
    separated = labelled_pairs(np.column_stack([truth * 1.0, np.full(55, 7.0)]), truth, families)
    found = fit_family_jackknife(separated).log10_ratios(np.array([[0.0, 7.0], [1.0, 7.0], [1.0, 9.0]]))
    assert found.central[1] == pytest.approx(-found.central[0])
    assert 1 < found.central[1] < 5
    assert found.central[2] == pytest.approx(found.central[1]), "a constant score says nothing, whatever the case shows"
    assert np.isfinite(held_out_log10_lr(separated)).all()
    far = labelled_pairs(np.where(truth, 1e9, -1e9) + np.arange(55), truth, families)
    assert np.isfinite(fit_family_jackknife(far).log10_ratios(np.array([1e9])).upper).all()


def test_bad_populations_are_refused() -> None:
    scores, truth, families = additive_world(9, families=4)
    with pytest.raises(ValueError, match="no pair under the alternative"):
        labelled_pairs(scores[truth], truth[truth], families[truth])
    with pytest.raises(ValueError, match="no pair under the first proposition"):
        labelled_pairs(scores[~truth], truth[~truth], families[~truth])
    with pytest.raises(ValueError, match="at least 3 families"):
        labelled_pairs(scores, truth, families % 2)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            labelled_pairs(np.where(scores == scores[3], bad, scores), truth, families)
    with pytest.raises(ValueError, match="shapes"):
        labelled_pairs(scores[:-1], truth, families)
    with pytest.raises(ValueError, match="bool"):
        labelled_pairs(scores, truth.astype(int), families)
    with pytest.raises(ValueError, match="weight"):
        labelled_pairs(scores, truth, families, np.zeros(scores.size))
    # Families 0 and 1 hold all derived pairs: nothing is left to learn from without both.
    few = ~truth | (families[:, 0] < 2)
    with pytest.raises(ValueError, match=r"families \[0, 1\] no pair under the first proposition"):
        held_out_log10_lr(labelled_pairs(scores[few], truth[few], families[few]))
    only = ~truth | (families[:, 0] < 1)
    with pytest.raises(ValueError, match="no pair under the first proposition"):
        fit_family_jackknife(labelled_pairs(scores[only], truth[only], families[only]))


def test_bad_arguments_are_refused() -> None:
    pairs = labelled_pairs(*several_scores(10, families=4))
    for ridge in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="ridge"):
            fit_calibration(pairs, ridge=ridge)
    with pytest.raises(ValueError, match="nonnegative"):
        fit_calibration(pairs, nonnegative=(True,))
    for shrinkage in (np.zeros((2, 2)), -np.eye(3), np.triu(np.ones((3, 3)))):
        with pytest.raises(ValueError, match="shrinkage"):
            fit_calibration(pairs, shrinkage=shrinkage)
    found = fit_family_jackknife(pairs)
    with pytest.raises(ValueError, match="shape"):
        found.log10_ratios(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="missing"):
        found.log10_ratios(np.array([[0.0, np.nan, 0.0]]))
    with pytest.raises(ValueError, match="level"):
        found.log10_ratios(pairs.scores, level=1.0)
    with pytest.raises(ValueError, match="finite"):
        Calibration(intercept=math.nan, slopes=(1.0,))
    with pytest.raises(ValueError, match="degrees"):
        FamilyJackknife(whole=found.whole, without=found.without, degrees_of_freedom=4)
    with pytest.raises(ValueError, match="other scores"):
        FamilyJackknife(whole=Calibration(intercept=0.0, slopes=(1.0,)), without=found.without, degrees_of_freedom=3)
