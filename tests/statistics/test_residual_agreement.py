"""Residual agreement: uniform where features are known, traps where they are learned, calibration over models."""

import math

import numpy as np
import pytest
from answer_worlds import failures, latent_world
from null_levels import distance_from_uniform, exceeds_level, holds_levels
from scipy.special import ndtr

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.model_calibration import PairScores, conformal_rank, pair_scores, predictive_t
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.residual_agreement import (
    ResidualAgreement,
    agreement_matrix,
    class_residuals,
    item_features,
    residual_agreement,
    residuals,
)

DRAWS = 1_500


def agreed(found: ResidualAgreement | NotTestable) -> ResidualAgreement:
    assert isinstance(found, ResidualAgreement)
    return found


def z_score(questioned: AnyArray, reference: AnyArray, controls: AnyArray) -> float | NotTestable:
    """The score to calibrate: both residuals after the features that the controls show."""
    left = residuals(np.stack([questioned, reference]), item_features(controls))
    found = residual_agreement(left[0], left[1])
    return found if isinstance(found, NotTestable) else found.z


def test_residuals_are_those_of_fits_without_the_item() -> None:
    rng = np.random.default_rng(1)
    features = np.column_stack([np.ones(25), rng.normal(size=(25, 3))])
    outcomes = rng.normal(size=(2, 25))
    outcomes[1, [3, 8]] = np.nan
    found = residuals(outcomes, features)
    for model, item in ((0, 0), (0, 24), (1, 7)):
        others = np.flatnonzero(~np.isnan(outcomes[model]) & (np.arange(25) != item))
        fit = np.linalg.lstsq(features[others], outcomes[model, others], rcond=None)[0]
        assert found[model, item] == pytest.approx(outcomes[model, item] - features[item] @ fit)
    assert np.isnan(found[1, [3, 8]]).all()
    assert not np.isnan(found[0]).any()


def test_an_item_that_only_its_own_feature_describes_says_nothing() -> None:
    features = np.column_stack([np.ones(20), np.arange(20) == 4])
    outcomes = np.random.default_rng(2).normal(size=20)
    assert residuals(outcomes, features)[0, 4] == 0
    doubled = np.column_stack([features, 3 * features])
    assert residuals(outcomes, doubled) == pytest.approx(residuals(outcomes, features))


def test_statistic_by_hand() -> None:
    ours, theirs = np.tile([1.0, -1.0, 2.0, 0.0], 10), np.tile([1.0, 1.0, 1.0, 3.0], 10)
    found = agreed(residual_agreement(ours, theirs))
    # Products 1, -1, 2, 0: mean 1/2, variance 3/2 - 1/4.
    assert found.z == pytest.approx(math.sqrt(40) * 0.5 / math.sqrt(1.25))
    assert found.correlation == pytest.approx(2 / math.sqrt(6 * 12))
    assert found.log10_p == pytest.approx(math.log10(1 - ndtr(found.z)))
    two_classes = agreed(residual_agreement(np.stack([ours, -ours]), np.stack([theirs, -theirs])))
    assert (two_classes.z, two_classes.correlation) == (pytest.approx(found.z), pytest.approx(found.correlation))


def test_features_by_hand() -> None:
    controls = np.array([[1, 0, 1, 0], [1, 0, 0, np.nan], [1, 1, 0, 0]])
    found = item_features(controls, strata=np.array([5, 5, 7, 9]), factors=1)
    mean = np.array([3.5, 1.5, 1.5, 0.5]) / np.array([4, 4, 4, 3])
    logit = np.log(mean / (1 - mean))
    assert pytest.approx(np.stack([np.ones(4), mean, logit, logit**2])) == found[:, :4].T
    assert found[:, 5:].T.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    plain = item_features(np.array([[4.0, -2.0], [np.nan, 0.0]]), factors=0, shares=False)
    assert plain.T.tolist() == [[1, 1], [4, -1], [16, 1]]


def test_public_factors_are_found() -> None:
    rng = np.random.default_rng(3)
    factor = rng.normal(size=300)
    controls = rng.normal(size=(40, 1)) * factor + 0.5 * rng.normal(size=(40, 300)) + rng.normal(size=300)
    found = item_features(controls, factors=1, shares=False)[:, 3]
    assert abs(np.corrcoef(found, factor)[0, 1]) > 0.98


@pytest.mark.parametrize("kind", ["yes or no", "real", "three classes"])
def test_level_holds_where_features_are_known(kind: str) -> None:
    rng = np.random.default_rng(4)
    items = 300
    p_values = np.zeros(DRAWS)
    for row in range(DRAWS):
        difficulty = rng.normal(0, 1.6, items)
        if kind == "real":
            features = np.column_stack([np.ones(items), difficulty])
            outcomes = rng.normal(0, 1, (2, 1)) + difficulty + rng.normal(0, 1, (2, items))
            left = residuals(outcomes, features)[:, None]
        else:
            chance = 1 / (1 + np.exp(-difficulty))
            features = np.column_stack([np.ones(items), chance, difficulty, difficulty**2])
            failed = rng.random((2, items)) < 1 / (1 + np.exp(-difficulty - rng.normal(0, 0.8, (2, 1))))
            classes = failed * (1 + (rng.random((2, items)) < 0.3)) if kind == "three classes" else failed[:, None] * 1
            used = range(3) if kind == "three classes" else [1]
            left = np.stack([residuals((classes.reshape(2, items) == one) * 1.0, features) for one in used], axis=1)
        p_values[row] = 10 ** agreed(residual_agreement(left[0], left[1])).log10_p
    assert holds_levels(p_values)
    assert distance_from_uniform(p_values) < 1.95 / math.sqrt(DRAWS)


def test_dependence_is_found_where_features_are_known() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(100):
        difficulty, shared = rng.normal(0, 1.6, 500), rng.normal(0, 1, 500)
        own = rng.normal(0, 1, (2, 500))
        outcomes = difficulty + math.sqrt(0.3) * shared + math.sqrt(0.7) * own
        left = residuals(outcomes, np.column_stack([np.ones(500), difficulty]))
        found.append(agreed(residual_agreement(left[0], left[1])))
    assert np.mean([one.correlation for one in found]) == pytest.approx(0.3, abs=0.02)
    # n = ((z_a + z_b) / r)^2: 212 items for alpha 1e-3 and power 0.9 at r = 0.3.
    assert np.mean([one.log10_p <= -3 for one in found]) > 0.95


def world_scores(
    seed: int, *, items: int, controls: int, shared: float = 0.0
) -> tuple[float, float, float, PairScores]:
    """z of the plain correlation, with one feature, with factors, and the pair's scores for calibration."""
    outcomes = failures(latent_world(np.random.default_rng(seed), models=controls + 2, items=items, shared=shared))
    one, other, others = outcomes[0], outcomes[1], outcomes[2:]
    plain = float(np.corrcoef(one, other)[0, 1]) * math.sqrt(items)
    left = residuals(outcomes[:2], item_features(others, factors=0))
    difficulty = agreed(residual_agreement(left[0], left[1])).z
    scores = pair_scores(z_score, questioned=one, reference=other, controls=others)
    assert isinstance(scores, PairScores)
    return plain, difficulty, scores.value, scores


def shares_rejected(values: list[float], level: float) -> float:
    return float(np.mean(1 - ndtr(np.array(values)) <= level))


@pytest.mark.parametrize(("controls", "least"), [(40, 0.08), (10, 0.3)])
def test_known_trap_item_level_tails_fail_and_calibration_over_models_holds(controls: int, least: float) -> None:
    # In shape the table of independent models with 500 items: difficulty sd 1.6, four public factors.
    worlds = [world_scores(seed, items=500, controls=controls) for seed in range(30)]
    plain, difficulty, factors = ([world[place] for world in worlds] for place in range(3))
    assert shares_rejected(plain, 1e-3) > 0.95
    assert shares_rejected(difficulty, 0.05) > least
    assert shares_rejected(factors, 0.05) > least
    for side in ("for_questioned", "for_reference"):
        p_values = np.array([10 ** predictive_t(world[3].value, getattr(world[3], side)).log10_p for world in worlds])
        assert not exceeds_level(p_values, 0.05)
        assert not exceeds_level(p_values, 0.01)


def test_the_calibrated_rank_is_exact() -> None:
    ranks, tails = np.zeros(1_000), np.zeros(1_000)
    for seed in range(1_000):
        outcomes = failures(latent_world(np.random.default_rng(seed), models=21, items=60))
        # The reference is model 1; every other model takes the questioned one's place, with the rest as its controls.
        places = [0, *range(2, 21)]
        scores = [z_score(outcomes[one], outcomes[1], outcomes[[n for n in places if n != one]]) for one in places]
        value, others = scores[0], np.array([one for one in scores[1:] if not isinstance(one, NotTestable)])
        assert isinstance(value, float)
        assert others.size >= 18
        ranks[seed], tails[seed] = conformal_rank(value, others), 10 ** predictive_t(value, others).log10_p
    assert holds_levels(ranks, (0.05, 0.1, 0.5))
    assert np.mean(ranks <= 0.05) == pytest.approx(0.05, abs=0.02)
    assert distance_from_uniform(ranks) < 1 / 20 + 1.95 / math.sqrt(1_000)
    assert not exceeds_level(tails, 0.05)
    assert np.mean(tails <= 0.01) < 0.025


@pytest.mark.parametrize(("shared", "least"), [(0.5, 0.6), (0.8, 0.85)])
def test_the_calibrated_score_finds_relatives(shared: float, least: float) -> None:
    worlds = [world_scores(seed, items=500, controls=40, shared=shared)[3] for seed in range(20)]
    found = [max(predictive_t(w.value, side).log10_p for side in (w.for_questioned, w.for_reference)) for w in worlds]
    assert np.mean(np.array(found) <= math.log10(0.05)) >= least


def test_all_pairs_at_once_are_the_pairs_one_by_one() -> None:
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 3, (9, 120))
    codes[rng.random(codes.shape) < 0.1] = -1
    left = class_residuals(codes, codes, categories=3)
    scores = agreement_matrix(left)
    assert scores == pytest.approx(scores.T)
    for one, other in ((0, 1), (8, 3)):
        assert scores[one, other] == pytest.approx(agreed(residual_agreement(left[one], left[other])).z)
    plain = residuals(np.where(codes < 0, np.nan, codes == 1), item_features(np.where(codes < 0, np.nan, codes == 1)))
    assert plain == pytest.approx(left[:, 1], nan_ok=True)
    assert agreement_matrix(plain)[2, 5] == pytest.approx(agreed(residual_agreement(plain[2], plain[5])).z)
    left[4] = np.nan
    assert np.isnan(agreement_matrix(left)[4]).all()


def test_what_cannot_be_tested_has_a_reason() -> None:
    nothing = residual_agreement(np.zeros(50), np.ones(50))
    few = residual_agreement(np.full(50, np.nan), np.ones(50))
    assert isinstance(nothing, NotTestable)
    assert isinstance(few, NotTestable)
    assert (nothing.reason, few.reason) == ("no_variation", "too_few_items")
    saturated = np.ones((12, 60))
    assert isinstance(z_score(saturated[0], saturated[1], saturated[2:]), NotTestable)


@pytest.mark.parametrize(
    "controls", [np.zeros(5), np.full((2, 5), 1.5), np.full((2, 5), np.inf), np.zeros((0, 5)), np.full((2, 5), -0.5)]
)
def test_outcomes_that_are_none_are_refused(controls: Doubles) -> None:
    with pytest.raises(ValueError, match="expected"):
        item_features(controls)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="of 6 items"):
        residuals(np.zeros((2, 5)), np.ones((6, 1)))
    with pytest.raises(ValueError, match="same items"):
        residual_agreement(np.zeros(5), np.zeros(6))
    with pytest.raises(ValueError, match="same items"):
        class_residuals(np.zeros((1, 5), int), np.zeros((3, 6), int), categories=2)
