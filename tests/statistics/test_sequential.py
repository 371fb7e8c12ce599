"""Stopping early keeps its promise: false alarms, prices, drawing without replacement, and no running maximum."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.arrays import Doubles
from whorl.statistics.ratio_caps import rate_upper_limit
from whorl.statistics.sequential import (
    StoppingRule,
    bernoulli_divergence,
    crossing_chances,
    decide,
    log10_e_process,
    query_plan,
)


def rule(**changed: float) -> StoppingRule:
    """From 0.3 to 0.5, 100 comparisons behind each."""
    values = {
        "unrelated_at_most": 0.3,
        "related_at_least": 0.5,
        "unrelated_comparisons": 100.0,
        "related_comparisons": 100.0,
        "budget": 400,
    }
    return StoppingRule(**(values | changed))  # type: ignore[arg-type]


def by_hand(agreements: list[float], at_most: float, pool: int | None = None) -> list[float]:
    """The e-process from its definition: plain products, without logarithms."""
    stakes = [0.02 * (0.98 / 0.02) ** (place / 24) for place in range(25)]
    wealth, found, seen = [1.0] * 25, [], 0.0
    for place, value in enumerate(agreements):
        mean = at_most if pool is None else min(1.0, (pool * at_most - seen) / (pool - place))
        wealth = [w * (1 + bet / mean * (value - mean)) for w, bet in zip(wealth, stakes, strict=True)]
        seen += value
        found.append(sum(wealth) / 25)
    return found


def test_process_follows_its_definition() -> None:
    values = [0.2, 1.0, 0.0, 0.7, 1.0, 1.0]
    assert 10 ** log10_e_process(np.array(values), at_most=0.4) == pytest.approx(by_hand(values, 0.4))
    found = 10 ** log10_e_process(np.array(values), at_most=0.4, pool=12)
    assert found == pytest.approx(by_hand(values, 0.4, 12))
    # One agreement at a mean of 1/2 doubles a full stake: the mean of 1 + bet.
    bets = np.geomspace(0.02, 0.98, 25)
    assert 10 ** log10_e_process(np.ones(1), at_most=0.5)[0] == pytest.approx(1 + bets.mean())


@pytest.mark.parametrize("chance", [0.05, 0.3, 0.7])
def test_expectation_is_exactly_one_at_the_null(chance: float) -> None:
    # All 2**9 sequences, with their probabilities: at every look, and where a rule stops.
    sequences = np.array(list(itertools.product((0.0, 1.0), repeat=9)))
    probability = np.prod(np.where(sequences == 1, chance, 1 - chance), axis=1)
    found = 10 ** log10_e_process(sequences, at_most=chance)
    assert probability @ found == pytest.approx(np.ones(9))
    limit = 1.3
    stops = np.where((found >= limit).any(axis=1), (found >= limit).argmax(axis=1), 8)
    assert probability @ found[np.arange(512), stops] == pytest.approx(1)
    assert probability @ found.max(axis=1) > 1.05, "the running maximum is no e-value"


def test_expectation_is_at_most_one_in_every_pool_of_the_null() -> None:
    # Every order of pools of 6 whose mean is at most 1/3; at 1/3 it is 1.
    for pool in ([1, 1, 0, 0, 0, 0], [0.9, 0.6, 0.5, 0, 0, 0], [1, 0, 0, 0, 0, 0]):
        orders = np.array(list(itertools.permutations(pool)), float)
        found = 10 ** log10_e_process(orders, at_most=1 / 3, pool=6)
        expectation = found.mean(axis=0)
        assert (expectation <= 1 + 1e-9).all()
        assert sum(pool) < 2 or expectation[:4] == pytest.approx(np.ones(4), abs=1e-6)


def test_what_exceeds_the_whole_pool_is_certain() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0])
    found = log10_e_process(values, at_most=0.25, pool=8)
    assert np.isfinite(found[:2]).all(), "2 of 8 is what the null allows"
    assert np.isposinf(found[2:]).all()
    assert np.isfinite(log10_e_process(np.zeros(8), at_most=0.25, pool=8)).all()
    stopped = decide(np.ones(8), rule(unrelated_at_most=0.25, pool=8, budget=8))
    assert (stopped.outcome, stopped.log10_e) == ("above_unrelated", 2.0), "no more than the comparisons behind it"


@pytest.mark.parametrize(("low", "high"), [(0.30, 0.35), (0.30, 0.40), (0.30, 0.50), (0.05, 0.10), (0.05, 0.20)])
def test_crossing_chances_are_exact(low: float, high: float) -> None:
    sequences = np.array(list(itertools.product((0.0, 1.0), repeat=10)))
    probability = np.prod(np.where(sequences == 1, high, 1 - high), axis=1)
    over = log10_e_process(sequences, at_most=low) >= math.log10(1.4)
    first = np.where(over.any(axis=1), over.argmax(axis=1), 99)
    expected = [probability[first == place].sum() for place in range(10)]
    assert crossing_chances(high, at_most=low, target=1.4, budget=10) == pytest.approx(expected, abs=1e-12)


def test_plan_agrees_with_the_reference_table() -> None:
    # Medians to 20, 100 and 1,000 and the ninth decile to 1,000, found there by simulation: a few percent off.
    for low, high, medians, decile in (
        (0.30, 0.35, (570, 920, 1320), 2390),
        (0.30, 0.40, (138, 218, 324), 614),
        (0.30, 0.50, (39, 59, 87), 162),
        (0.05, 0.10, (155, 232, 365), 704),
        (0.05, 0.20, (26, 37, 55), 108),
    ):
        for target, median in zip((20.0, 100.0, 1000.0), medians, strict=True):
            plan = query_plan(
                rule(
                    unrelated_at_most=low,
                    related_at_least=high,
                    target=target,
                    unrelated_comparisons=1e4,
                    budget=4_000,
                )
            )
            assert plan.median == pytest.approx(median, rel=0.08)
            assert plan.price == pytest.approx(math.log(target) / bernoulli_divergence(high, low))
            assert target != 100 or (plan.median is not None and plan.median <= 1.3 * plan.price)
        assert plan.ninetieth == pytest.approx(decile, rel=0.02)


def test_false_alarms_over_many_looks() -> None:
    looks = 5_000
    exact = float(crossing_chances(0.3, at_most=0.3, target=100, budget=looks).sum())
    assert 0.004 < exact <= 0.01
    # The mean of each answer depends on the answers before it, and is always at most 0.3.
    answers, rng = np.zeros((600, looks)), np.random.default_rng(1)
    ups, ahead = rng.random(answers.shape), np.zeros(600)
    for place in range(looks):
        answers[:, place] = ups[:, place] < np.where(ahead > 0.02 * place, 0.2, 0.3)
        ahead += answers[:, place] - 0.3
    alarms = int((log10_e_process(answers, at_most=0.3) >= math.log10(20)).any(axis=1).sum())
    assert rate_upper_limit(alarms / 600, 600) <= 0.05


def test_plan_counts_errors_of_questions_and_of_families() -> None:
    plan = query_plan(rule())
    assert plan.total_error == pytest.approx(0.01 + 1 / 101)
    assert plan.false_alarm <= 0.01
    assert plan.false_clearance <= 0.01
    assert plan.reached > 0.99
    assert plan.cleared > 0.99
    assert plan.median is not None
    assert plan.clearing_median is not None
    few = rule(unrelated_comparisons=12.0)
    assert (few.accuse_at, few.clear_at) == (12.0, 100.0)
    assert query_plan(few).total_error == pytest.approx(1 / 12 + 1 / 13), "no number of questions makes up for families"
    short = query_plan(rule(budget=20))
    assert (short.median, short.ninetieth) == (None, None)
    assert short.reached < 0.5


def test_a_pair_is_accused_or_cleared_and_later_answers_do_not_count() -> None:
    rng = np.random.default_rng(2)
    related, unrelated = ((rng.random(400) < chance).astype(float) for chance in (0.5, 0.3))
    found, cleared = decide(related, rule()), decide(unrelated, rule())
    assert found.outcome == "above_unrelated"
    assert found.log10_e == 2.0
    assert cleared.outcome == "below_related"
    assert cleared.log10_e < 0
    assert cleared.log10_e_mirror == 2.0
    for answers, stopped in ((related, found), (unrelated, cleared)):
        for later in (answers[: stopped.queries], np.append(answers[: stopped.queries], np.ones(200))):
            assert decide(later, rule()) == stopped
        before = decide(answers[: stopped.queries - 1], rule())
        assert before.outcome == "go_on"
    between = decide(np.tile([1.0, 0.0, 0.0, 1.0, 0.0], 3), rule(budget=15))
    assert (between.outcome, between.queries) == ("budget_spent", 15)
    assert decide(np.zeros(0), rule()).queries == 0


def test_value_where_stopped_is_not_the_running_maximum() -> None:
    answers = np.concatenate([np.ones(4), np.zeros(36)])
    stopped = decide(answers, rule(budget=40, related_comparisons=1e9, target=1e9, unrelated_comparisons=1e9))
    process = log10_e_process(answers, at_most=0.3)
    assert stopped.log10_e == process[-1] < process.max()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.05, 0.9), st.integers(0, 39))
def test_more_agreement_never_lowers_the_process(values: list[float], mean: float, place: int) -> None:
    answers: Doubles = np.array(values)
    before = answers.copy()
    found = log10_e_process(answers, at_most=mean)
    higher = answers.copy()
    higher[place % answers.size] = 1.0
    assert (log10_e_process(higher, at_most=mean) >= found - 1e-9).all()
    assert np.isfinite(found).all()
    assert np.array_equal(answers, before)
    order = log10_e_process(answers[::-1], at_most=mean)[-1]
    assert order == pytest.approx(found[-1], abs=1e-9), "drawn afresh, the order of answers does not matter"
    stacked = log10_e_process(np.stack([answers, higher]), at_most=mean)
    assert stacked[0] == pytest.approx(found, abs=1e-12)


def test_a_pool_needs_fewer_questions() -> None:
    rng = np.random.default_rng(3)
    pool = np.repeat([1.0, 0.0], [60, 90])
    shorter = [
        decide(order, rule(budget=150, pool=150)).queries - decide(order, rule(budget=150)).queries
        for order in (rng.permutation(pool) for _ in range(60))
    ]
    assert np.mean(shorter) < -1


def test_impossible_arguments_are_refused() -> None:
    for changed, named in (
        ({"unrelated_at_most": 0.6}, "agree alike"),
        ({"unrelated_at_most": 0.0}, "agree alike"),
        ({"unrelated_comparisons": 1.0}, "so few families"),
        ({"target": math.inf}, "target"),
        ({"budget": 0}, "budget"),
        ({"budget": 100_001}, "budget"),
        ({"pool": 399}, "within the pool"),
    ):
        with pytest.raises(ValueError, match=named):
            rule(**changed)  # type: ignore[arg-type]
    for answers in (np.array([0.5, np.nan]), np.array([1.1]), np.array([-0.1]), np.float64(0.5)):
        with pytest.raises(ValueError, match="from 0 to 1"):
            log10_e_process(answers, at_most=0.3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one agreement per answer"):
        decide(np.zeros((2, 3)), rule())
    with pytest.raises(ValueError, match="pool of 2"):
        log10_e_process(np.zeros(3), at_most=0.3, pool=2)
    with pytest.raises(ValueError, match="strictly"):
        log10_e_process(np.zeros(3), at_most=1.0)
    with pytest.raises(ValueError, match="target above 1"):
        crossing_chances(0.3, at_most=0.3, target=1.0, budget=5)
    with pytest.raises(ValueError, match="strictly"):
        bernoulli_divergence(0.0, 0.3)
