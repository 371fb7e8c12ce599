"""ROC figures: ties, weights, thresholds by hand, and intervals that cover because they resample models."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_worlds import additive_world, every_two

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.roc import auc, auc_interval, hit_rate, hit_rate_interval

SCORES = np.array([3.0, 2.0, 2.0, 1.0, 0.0])
TRUTH = np.array([True, True, False, False, True])


def test_figures_by_hand() -> None:
    # Of 3 x 2 comparisons: 2 won by the first, 1 won and 1 tied by the second, none by the third.
    assert auc(SCORES, TRUTH) == pytest.approx(3.5 / 6)
    assert hit_rate(SCORES, TRUTH, false_alarms=0.0) == pytest.approx(1 / 3)
    assert hit_rate(SCORES, TRUTH, false_alarms=0.49) == pytest.approx(1 / 3), "a tie cannot be parted"
    assert hit_rate(SCORES, TRUTH, false_alarms=0.5) == pytest.approx(2 / 3)
    assert hit_rate(SCORES, TRUTH, false_alarms=1.0) == 1
    assert auc(np.zeros(6), np.arange(6) < 2) == 0.5


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 3)), min_size=2, max_size=25))
@settings(deadline=None, max_examples=150)
def test_auc_is_its_definition_and_weights_are_repetitions(rows: list[tuple[int, bool, int]]) -> None:
    scores, truth, weights = (np.array(column) for column in zip(*rows, strict=True))
    if truth.all() or not truth.any():
        return
    wins = scores[truth][:, None] - scores[~truth]
    heavy = np.outer(weights[truth], weights[~truth])
    expected = (heavy * ((wins > 0) + 0.5 * (wins == 0))).sum() / heavy.sum()
    assert auc(scores, truth, weights) == pytest.approx(expected)
    assert auc(-scores, truth, weights) == pytest.approx(1 - expected)
    repeated = (np.repeat(column, weights) for column in (scores, truth))
    assert auc(*repeated) == pytest.approx(expected)
    for rate in (0.0, 0.1, 0.5):
        thresholds = [
            t for t in np.unique(scores) if weights[~truth & (scores >= t)].sum() <= rate * weights[~truth].sum()
        ]
        hits = max((weights[truth & (scores >= t)].sum() / weights[truth].sum() for t in thresholds), default=0.0)
        assert hit_rate(scores, truth, weights, false_alarms=rate) == pytest.approx(hits)


def naive_interval(scores: Doubles, truth: AnyArray, rng: np.random.Generator) -> tuple[float, float]:
    """What resampling pairs as if they were independent gives."""
    drawn = [auc(scores[rows], truth[rows]) for rows in (rng.integers(0, truth.size, truth.size) for _ in range(100))]
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


@pytest.mark.parametrize(("apart", "least"), [(1.5, 0.90), (3.0, 0.90)])
def test_intervals_over_models_cover_and_those_over_pairs_do_not(apart: float, least: float) -> None:
    def world(seed: int, families: int, children: int) -> tuple[Doubles, AnyArray, AnyArray]:
        scores, truth, units = additive_world(seed, families=families, children=children)
        return scores + np.where(truth, apart - 3.0, 0.0), truth, units

    many = [world(seed, 100, 2)[:2] for seed in range(1_000, 1_040)]
    true_auc = np.mean([auc(*one) for one in many])
    true_hits = np.mean([hit_rate(*one, false_alarms=0.05) for one in many])
    worlds = 60
    covered = np.zeros(3)
    for seed in range(worlds):
        scores, truth, families = world(seed, 25, 8)
        rng = np.random.default_rng(seed)
        found = auc_interval(scores, truth, families, resamples=200, rng=rng)
        rate = hit_rate_interval(scores, truth, families, false_alarms=0.05, resamples=200, rng=rng)
        lower, upper = naive_interval(scores, truth, rng)
        covered += [
            found.lower <= true_auc <= found.upper,
            rate.lower <= true_hits <= rate.upper,
            lower <= true_auc <= upper,
        ]
    assert covered[0] >= least * worlds
    assert covered[1] >= 0.84 * worlds
    assert covered[2] <= 0.75 * worlds


def test_without_mistakes_the_interval_says_how_few_models_there_were() -> None:
    pairs = np.concatenate([np.column_stack([np.arange(20)] * 2), every_two(20)])
    truth = pairs[:, 0] == pairs[:, 1]
    rng = np.random.default_rng(1)
    perfect = auc_interval(truth * 1.0, truth, pairs, resamples=100, rng=rng)
    assert (perfect.value, perfect.upper, perfect.units) == (1, 1, 20)
    assert perfect.lower == pytest.approx(0.025 ** (1 / 10))
    nothing = hit_rate_interval(1.0 - truth, truth, pairs, false_alarms=0.01, resamples=100, rng=rng)
    assert (nothing.value, nothing.lower) == (0, 0)
    assert nothing.upper == pytest.approx(1 - 0.025 ** (1 / 20))


def test_names_of_units_and_order_of_pairs_do_not_matter() -> None:
    scores, truth, families = additive_world(2, families=15)
    one = auc_interval(scores, truth, families, resamples=400, rng=np.random.default_rng(3))
    other = auc_interval(scores, truth, 7 - 3 * families[:, ::-1], resamples=400, rng=np.random.default_rng(4))
    assert one.value == other.value
    assert (one.lower, one.upper) == pytest.approx((other.lower, other.upper), abs=0.02)
    assert one.lower < one.value < one.upper


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"scores": np.array([1.0, np.nan, 1, 1, 1])}, "finite"),
        ({"scores": np.zeros(4)}, "one score"),
        ({"is_positive": np.ones(5, bool)}, "both kinds"),
        ({"is_positive": np.ones(5)}, "one bool"),
        ({"weights": np.array([1.0, 1, -1, 1, 1])}, "at least 0"),
        ({"weights": np.array([1.0, 1, 0, 0, 1])}, "both kinds"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(arguments: dict[str, AnyArray], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        auc(**{"scores": SCORES, "is_positive": TRUTH, **arguments})


def test_rates_and_units_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        hit_rate(SCORES, TRUTH, false_alarms=1.5)
    with pytest.raises(ValueError, match="two integer units"):
        auc_interval(SCORES, TRUTH, np.zeros((5, 3), int), resamples=9, rng=rng)
    with pytest.raises(ValueError, match="two integer units"):
        auc_interval(SCORES, TRUTH, np.zeros((5, 2)), resamples=9, rng=rng)
    # One positive and one negative pair without a common model: all four of them must be drawn, 1 time in 11.
    lone = auc_interval(np.array([1.0, 0.0]), np.array([True, False]), np.array([[0, 1], [2, 3]]), resamples=9, rng=rng)
    assert lone.lower < 0.1
