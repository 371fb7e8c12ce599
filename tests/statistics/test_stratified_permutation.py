"""Permutation within strata: exact when strata are all there is to know, and anti-conservative when they are not."""

import itertools
import math

import numpy as np
import pytest
from answer_worlds import failures, latent_world
from null_levels import distance_from_uniform, holds_levels

from whorl.core.arrays import AnyArray
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.stratified_permutation import StratifiedPermutation, rate_strata, stratified_permutation


def p_value(one: AnyArray, other: AnyArray, strata: AnyArray, seed: int, permutations: int = 199) -> float:
    found = stratified_permutation(one, other, strata, permutations=permutations, rng=np.random.default_rng(seed))
    assert isinstance(found, StratifiedPermutation)
    return found.p


@pytest.mark.parametrize("answers", [2, 4])
def test_level_is_exact_where_strata_say_everything(answers: int) -> None:
    rng = np.random.default_rng(1)
    strata = np.repeat(np.arange(3), 40)
    p_values = np.zeros(1_000)
    for row in range(p_values.size):
        rates = rng.dirichlet(np.full(answers, 5.0), size=3)
        edges = np.cumsum(rates, axis=1)[strata]
        one, other = ((rng.random((120, 1)) > edges[:, :-1]).sum(axis=1) for _ in range(2))
        p_values[row] = p_value(one, other, strata, row, permutations=99)
    assert holds_levels(p_values)
    # Matches are whole numbers, so that ties leave p a little too large.
    assert distance_from_uniform(p_values) < 0.12
    assert np.mean(p_values <= 0.05) > 0.02


def test_dealt_matches_have_the_distribution_of_all_orders() -> None:
    one = np.tile([0, 0, 1, 2, 1, 0], 5)
    other = np.tile([1, 0, 0, 2, 2, 0], 5)
    strata = np.repeat(np.arange(5), 6)
    orders = np.array(list(itertools.permutations([1, 0, 0, 2, 2, 0])))
    single = np.bincount((orders == one[:6]).sum(axis=1), minlength=7) / len(orders)
    total = np.array([1.0])
    for _ in range(5):
        total = np.convolve(total, single)
    observed = int((one == other).sum())
    exact = float(total[observed:].sum())
    assert p_value(one, other, strata, 1, permutations=20_000) == pytest.approx(exact, abs=0.01)
    assert 0.01 < exact < 0.99


def test_p_is_never_below_one_over_permutations_plus_one() -> None:
    answers = np.tile([0, 1], 100)
    assert p_value(answers, answers, np.zeros(200, int), 1, permutations=99) == pytest.approx(1 / 100)
    found = stratified_permutation(answers, answers, answers, permutations=99, rng=np.random.default_rng(1))
    assert isinstance(found, StratifiedPermutation)
    assert (found.excess, found.p) == (0, 1), "strata that give the answers away leave nothing to explain"


def test_known_trap_bins_of_difficulty_are_not_enough() -> None:
    p_values = []
    for seed in range(150):
        outcomes = failures(latent_world(np.random.default_rng(seed), models=42, items=500)).astype(np.int64)
        p_values.append(p_value(outcomes[0], outcomes[1], rate_strata(outcomes[2:] * 1.0, 10), seed))
    assert np.mean(np.array(p_values) <= 0.05) > 0.1


def test_copies_are_found() -> None:
    rng = np.random.default_rng(2)
    strata = np.repeat(np.arange(10), 40)
    rate = np.linspace(0.1, 0.9, 10)[strata]
    p_values = []
    for seed in range(100):
        one, other = (rng.random((2, 400)) < rate).astype(np.int64)
        copied = rng.random(400) < 0.3
        other[copied] = one[copied]
        p_values.append(p_value(one, other, strata, seed))
    assert np.mean(np.array(p_values) <= 0.01) > 0.9


def test_bins_hold_alike_items_and_missing_answers_are_left_out() -> None:
    outcomes = np.array([[0, 0, 1, 1, 1, np.nan], [0, 1, 1, np.nan, 1, 0]])
    assert rate_strata(outcomes, 2).tolist() == [0, 0, 1, 1, 1, 0]
    rng = np.random.default_rng(3)
    one, other, strata = rng.integers(0, 3, 90), rng.integers(0, 3, 90), np.arange(90) % 3
    kept = rng.random(90) < 0.7
    missing = np.where(kept, one, -1)
    assert p_value(missing, other, strata, 4) == p_value(one[kept], other[kept], strata[kept], 4)


def test_what_cannot_be_tested_is_said() -> None:
    rng = np.random.default_rng(4)
    found = stratified_permutation(np.zeros(10, int), np.zeros(10, int), np.zeros(10, int), permutations=9, rng=rng)
    assert isinstance(found, NotTestable)
    assert found.reason == "too_few_items"
    with pytest.raises(ValueError, match="same items"):
        stratified_permutation(np.zeros(40, int), np.zeros(41, int), np.zeros(40, int), permutations=9, rng=rng)
    with pytest.raises(ValueError, match="at least 1"):
        stratified_permutation(np.zeros(40, int), np.zeros(40, int), np.zeros(40, int), permutations=0, rng=rng)
    assert math.isfinite(p_value(np.zeros(40, int), np.zeros(40, int), np.zeros(40, int), 1))
