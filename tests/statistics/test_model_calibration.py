"""Calibration over models: exact ranks and predictive tails, the cautious direction, and refusal below 50 controls."""

import math

import numpy as np
import pytest
from null_levels import distance_from_uniform, exceeds_level, holds_levels

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.model_calibration import (
    LEAST_CONTROLS,
    PairCalibration,
    PairScores,
    TooFewControls,
    calibrate_pair,
    conformal_rank,
    pair_scores,
    predictive_t,
    robust_predictive_t,
)
from whorl.statistics.not_testable import NotTestable

DRAWS = 4_000


def test_rank_by_hand() -> None:
    assert conformal_rank(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    assert conformal_rank(9.0, np.arange(49.0)) == pytest.approx(41 / 50)
    assert conformal_rank(99.0, np.arange(49.0)) == pytest.approx(1 / 50)


def test_predictive_t_by_hand() -> None:
    found = predictive_t(5.0, np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.t == pytest.approx(2.5 / (math.sqrt(5 / 3) * math.sqrt(5 / 4)))
    assert found.degrees_of_freedom == 3
    # Student's t with 3 degrees of freedom has the closed tail 1/2 - (x/(1+x^2) + atan x)/pi at x = t/sqrt 3.
    x = found.t / math.sqrt(3)
    assert 10**found.log10_p == pytest.approx(0.5 - (x / (1 + x * x) + math.atan(x)) / math.pi)
    robust = robust_predictive_t(5.0, np.array([1.0, 2.0, 3.0, 4.0, 1_000.0]))
    assert robust.t == pytest.approx(2 / (1.4826 * math.sqrt(1 + math.pi / 10)))


@pytest.mark.parametrize("shape", ["normal", "skewed", "discrete"])
def test_ranks_are_uniform_whatever_the_distribution(shape: str) -> None:
    rng = np.random.default_rng(1)
    scores = {
        "normal": rng.normal(size=(DRAWS, 60)),
        "skewed": rng.exponential(size=(DRAWS, 60)) ** 2,
        "discrete": rng.poisson(3, size=(DRAWS, 60)).astype(np.float64),
    }[shape]
    ranks = np.array([conformal_rank(row[0], row[1:]) for row in scores])
    assert holds_levels(ranks)
    if shape != "discrete":
        assert distance_from_uniform(ranks) < 1 / 60 + 1.95 / math.sqrt(DRAWS)


@pytest.mark.parametrize("controls", [50, 120])
def test_predictive_tails_are_uniform_for_normal_scores(controls: int) -> None:
    rng = np.random.default_rng(2)
    scores = 3 + 2 * rng.normal(size=(DRAWS, controls + 1))
    for test in (predictive_t, robust_predictive_t):
        p_values = np.array([10 ** test(row[0], row[1:]).log10_p for row in scores])
        assert distance_from_uniform(p_values) < 1.95 / math.sqrt(DRAWS)
        assert not exceeds_level(p_values, 0.01)
        assert not exceeds_level(p_values, 0.05)


def test_hidden_relatives_among_controls_hide_the_pair_and_the_robust_tail_shows_it() -> None:
    rng = np.random.default_rng(3)
    plain, robust = [], []
    for _ in range(300):
        controls = rng.normal(size=60)
        controls[:5] += 6
        plain.append(predictive_t(4.5, controls).log10_p)
        robust.append(robust_predictive_t(4.5, controls).log10_p)
    assert np.mean(np.array(plain) <= -2) < 0.3
    assert np.mean(np.array(robust) <= -2) > 0.95


def test_known_trap_the_robust_tail_fails_for_skewed_scores() -> None:
    rng = np.random.default_rng(4)
    scores = rng.exponential(size=(DRAWS, 61))
    p_values = np.array([10 ** robust_predictive_t(row[0], row[1:]).log10_p for row in scores])
    assert exceeds_level(p_values, 0.01), "why it is never the headline"


def exchangeable_pair(rng: np.random.Generator, controls: int, excess: float = 0.0) -> PairScores:
    """Score = effects of both models and noise, as in a table of all pairs."""
    effect = rng.normal(0, 0.7, controls + 2)
    noise = rng.normal(0, 1, (2, controls))
    return PairScores(
        value=float(effect[0] + effect[1] + rng.normal() + excess),
        for_questioned=effect[1] + effect[2:] + noise[0],
        for_reference=effect[0] + effect[2:] + noise[1],
    )


def test_the_least_favourable_direction_counts() -> None:
    rng = np.random.default_rng(5)
    scores = exchangeable_pair(rng, 60, excess=4)
    found = calibrate_pair(scores)
    assert isinstance(found, PairCalibration)
    sides = (scores.for_questioned, scores.for_reference)
    assert found.rank_p == max(conformal_rank(scores.value, side) for side in sides)
    assert found.predicted == max((predictive_t(scores.value, side) for side in sides), key=lambda one: one.log10_p)
    assert found.robust == max((robust_predictive_t(scores.value, side) for side in sides), key=lambda one: one.log10_p)
    turned = PairScores(value=scores.value, for_questioned=sides[1], for_reference=sides[0])
    assert calibrate_pair(turned) == found


def test_the_pair_holds_its_level_although_models_have_effects_of_their_own() -> None:
    # A model that agrees with everybody makes its pairs remarkable from one side only: the side of the other model.
    rng = np.random.default_rng(6)
    found = [calibrate_pair(exchangeable_pair(rng, 60)) for _ in range(1_500)]
    calibrated = [one for one in found if isinstance(one, PairCalibration)]
    assert len(calibrated) == 1_500
    assert holds_levels(np.array([one.rank_p for one in calibrated]))
    assert holds_levels(np.array([10**one.predicted.log10_p for one in calibrated if one.predicted is not None]))
    related = [calibrate_pair(exchangeable_pair(rng, 60, excess=5)) for _ in range(200)]
    tails = [one.predicted.log10_p for one in related if isinstance(one, PairCalibration) and one.predicted is not None]
    assert np.mean(np.array(tails) <= -2) > 0.8
    assert len(tails) == 200


def test_fewer_than_fifty_controls_are_refused() -> None:
    rng = np.random.default_rng(7)
    scores = exchangeable_pair(rng, LEAST_CONTROLS)
    assert isinstance(calibrate_pair(scores), PairCalibration)
    fewer = PairScores(value=9.0, for_questioned=scores.for_questioned, for_reference=scores.for_reference[1:])
    refused = calibrate_pair(fewer)
    assert isinstance(refused, TooFewControls)
    assert (refused.found, refused.needed, refused.unit) == (49, 50, "models")
    assert "add models" in refused.detail


def test_controls_that_have_one_score_leave_the_rank_only() -> None:
    same = PairScores(value=3.0, for_questioned=np.repeat([0.0, 1.0], [45, 15]), for_reference=np.zeros(60))
    found = calibrate_pair(same)
    assert isinstance(found, PairCalibration)
    assert (found.rank_p, found.predicted, found.robust) == (pytest.approx(1 / 61), None, None)


def counted(questioned: AnyArray, reference: AnyArray, controls: AnyArray) -> float | NotTestable:
    """A score that tells what it was given: matches, and how many rows of controls there were."""
    if (questioned < 0).all():
        return NotTestable(reason="too_few_items", detail="none")
    return float((questioned == reference).sum() + 1_000 * len(controls) + 1e-3 * controls.sum())


def test_every_control_takes_both_places_and_the_pair_takes_its() -> None:
    rng = np.random.default_rng(8)
    answers = rng.integers(0, 3, (5, 20))
    answers[4] = -1
    found = pair_scores(counted, questioned=answers[0], reference=answers[1], controls=answers[2:])
    assert isinstance(found, PairScores)
    assert found.value == counted(answers[0], answers[1], answers[2:])
    assert found.for_questioned.tolist() == [
        counted(answers[2], answers[1], answers[[0, 3, 4]]),
        counted(answers[3], answers[1], answers[[2, 0, 4]]),
    ], "a control without a score is left out"
    assert found.for_reference[0] == counted(answers[0], answers[2], answers[[1, 3, 4]])
    assert len(found.for_reference) == 3
    refused = pair_scores(counted, questioned=answers[4], reference=answers[1], controls=answers[:3])
    assert isinstance(refused, NotTestable)


@pytest.mark.parametrize(
    ("value", "controls", "named"),
    [
        (1.0, np.zeros(2), "at least 3 controls"),
        (math.nan, np.arange(5.0), "finite"),
        (1.0, np.array([1.0, np.inf, 2.0]), "finite"),
        (1.0, np.ones(5), "same score"),
        (1.0, np.ones((5, 2)), "at least 3 controls"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(value: float, controls: Doubles, named: str) -> None:
    for test in (predictive_t, robust_predictive_t):
        with pytest.raises(ValueError, match=named):
            test(value, controls)
    with pytest.raises(ValueError, match=r"at least 1 controls|finite"):
        conformal_rank(math.nan, np.zeros(3) if controls.ndim == 1 else controls)
