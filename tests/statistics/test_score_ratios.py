"""Capped ratios of behavioural scores: near the truth, never beyond the caps, refused where the population is small."""

import math

import numpy as np
import pytest
from pair_worlds import H2_VARIANCE, additive_world, true_log10_lr

from whorl.statistics.labelled_pairs import labelled_pairs
from whorl.statistics.model_calibration import TooFewControls
from whorl.statistics.ratio_caps import sampling_caps
from whorl.statistics.score_ratios import ScoreCalibration, calibrate_scores, capped_ratio


def calibrated(seed: int, families: int = 60) -> ScoreCalibration:
    found = calibrate_scores(labelled_pairs(*additive_world(seed, families=families)), controls=families)
    assert isinstance(found, ScoreCalibration)
    return found


def test_ratios_are_near_the_truth_and_below_it() -> None:
    below = 0
    for seed in range(8):
        ratio = capped_ratio(calibrated(seed, families=50), np.array([2.0]))
        truth = float(true_log10_lr(np.array([2.0]))[0])
        assert ratio.lower <= ratio.central <= ratio.upper
        assert ratio.central == pytest.approx(truth, abs=0.6)
        assert 0 <= ratio.log10_lr <= ratio.lower or ratio.log10_lr == 0
        below += ratio.log10_lr <= truth
    assert below >= 7


def test_no_score_is_worth_more_than_the_population() -> None:
    found = calibrated(1)
    most = sampling_caps(60, 30)[0]
    assert found.supporting.sampling == pytest.approx(most), "60 families with children, 30 independent comparisons"
    huge = capped_ratio(found, np.array([1e9]))
    assert huge == capped_ratio(found, found.highest), "beyond what was seen nothing is extrapolated"
    assert huge.log10_lr <= min(found.supporting.sampling, found.supporting.process)
    assert capped_ratio(found, np.array([-1e9])).log10_lr >= -found.opposing.sampling
    assert found.families == (60, 60)


def test_unrelated_pairs_are_hardly_ever_supported() -> None:
    rng = np.random.default_rng(2)
    found = calibrated(3)
    reported = np.array([capped_ratio(found, score).log10_lr for score in rng.normal(0, math.sqrt(H2_VARIANCE), 1_500)])
    # Markov's bound for calibrated ratios.
    for ratio in (3, 10):
        assert np.mean(reported >= math.log10(ratio)) <= 1 / ratio
    assert np.mean(10**reported) < 1


def test_fewer_than_fifty_models_or_too_few_families_are_refused() -> None:
    scores, truth, families = additive_world(4, families=30)
    few = calibrate_scores(labelled_pairs(scores, truth, families), controls=49)
    assert isinstance(few, TooFewControls)
    assert (few.found, few.unit) == (49, "models")
    one = truth & (families[:, 0] < 2) | ~truth
    lone = calibrate_scores(labelled_pairs(scores[one], truth[one], families[one]), controls=60)
    assert isinstance(lone, TooFewControls)
    assert (lone.found, lone.needed, lone.unit) == (2, 3, "families")
    # Three families with children, but all unrelated pairs touch one of two of them: nothing is left without both.
    hub = truth & (families[:, 0] < 3) | ~truth & (families[:, 0] < 2)
    held = calibrate_scores(labelled_pairs(scores[hub], truth[hub], families[hub]), controls=60)
    assert isinstance(held, TooFewControls)
    assert held.unit == "families"


def test_what_is_refused_would_have_failed() -> None:
    # The count of pairs left agrees with leaving them out.
    from whorl.statistics.calibration import held_out_log10_lr

    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(40):
        families = rng.integers(0, 5, (12, 2))
        truth = rng.random(12) < 0.5
        if truth.all() or not truth.any() or np.unique(families).size < 3:
            continue
        pairs = labelled_pairs(rng.normal(size=12) + truth, truth, families)
        if min(np.unique(pairs.families[side]).size for side in (pairs.is_h1, ~pairs.is_h1)) < 3:
            continue
        found = calibrate_scores(pairs, controls=60)
        if isinstance(found, TooFewControls):
            refused += 1
            with pytest.raises(ValueError, match="is left"):
                held_out_log10_lr(pairs)
        else:
            assert np.isfinite(held_out_log10_lr(pairs)).all()
    assert refused > 3


def test_several_scores_make_one_ratio() -> None:
    scores, truth, families = additive_world(6, families=40)
    rng = np.random.default_rng(7)
    both = np.column_stack([scores, rng.normal(size=scores.size)])
    found = calibrate_scores(labelled_pairs(both, truth, families), controls=60)
    assert isinstance(found, ScoreCalibration)
    one, other = capped_ratio(found, np.array([3.0, 0.0])), capped_ratio(found, np.array([-1.0, 0.0]))
    assert one.log10_lr > 0 > other.central
    with pytest.raises(ValueError, match="scores of shape"):
        capped_ratio(found, np.array([1.0, 2.0, 3.0]))
