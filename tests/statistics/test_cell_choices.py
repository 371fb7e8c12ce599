"""Low-entropy choices: statistics by hand, an exact level with unequal samples, and power that is not flattered."""

import math

import numpy as np
import pytest
from null_levels import distance_from_uniform, holds_levels

from whorl.core.arrays import AnyArray, Ints
from whorl.statistics.cell_choices import CellTest, cell_power, cell_test, choice_counts, g_statistic, jensen_shannon
from whorl.statistics.not_testable import NotTestable


def compared(first: AnyArray, second: AnyArray, seed: int, permutations: int = 199) -> CellTest:
    found = cell_test(first, second, permutations=permutations, rng=np.random.default_rng(seed))
    assert isinstance(found, CellTest)
    return found


def sampled(rng: np.random.Generator, rates: AnyArray, draws: AnyArray) -> Ints:
    return np.array([rng.multinomial(int(count), rate) for count, rate in zip(draws, rates, strict=True)])


def test_counts_follow_the_answers_of_each_cell() -> None:
    first, second = choice_counts([["blue", "red", "blue"], ["7"]], [["red", "green"], ["7", "7"]])
    assert first.tolist() == [[2, 0, 1], [1, 0, 0]]
    assert second.tolist() == [[0, 1, 1], [2, 0, 0]]
    with pytest.raises(ValueError, match="zip"):
        choice_counts([["a"]], [])


def test_statistics_by_hand() -> None:
    # All ten answers of one sample differ from all ten of the other: G^2 = 2 * 20 ln 2, one bit apart.
    assert g_statistic(np.array([10, 0]), np.array([0, 10])) == pytest.approx(40 * math.log(2))
    assert jensen_shannon(np.array([10, 0]), np.array([0, 3])) == pytest.approx(1)
    assert g_statistic(np.array([4, 6]), np.array([8, 12])) == pytest.approx(0)
    assert jensen_shannon(np.array([4, 6]), np.array([8, 12])) == pytest.approx(0)
    table = np.array([[3, 7], [9, 1]])
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / 20
    assert g_statistic(table[0], table[1]) == pytest.approx(2 * (table * np.log(table / expected)).sum())
    # With samples of one size n, G^2 is 4 n ln 2 times the divergence in bits.
    assert g_statistic(table[0], table[1]) == pytest.approx(40 * math.log(2) * jensen_shannon(table[0], table[1]))


def test_p_of_one_cell_is_fishers() -> None:
    # 3 + 3 answers, all apart: 2 of the 20 ways to deal them are as extreme.
    found = compared(np.array([[3, 0]]), np.array([[0, 3]]), 1, permutations=20_000)
    assert found.p == pytest.approx(0.1, abs=0.008)
    assert found.divergence == pytest.approx(1)


def test_level_is_exact_with_unequal_samples_and_any_cells() -> None:
    rng = np.random.default_rng(2)
    p_values = np.zeros(1_000)
    for row in range(p_values.size):
        rates = rng.dirichlet(np.array([2.0, 1.0, 0.3, 0.1, 0.1]), size=8)
        first = sampled(rng, rates, rng.integers(0, 40, 8))
        second = sampled(rng, rates, rng.integers(3, 12, 8))
        p_values[row] = compared(first, second, row, permutations=99).p
    assert holds_levels(p_values)
    assert distance_from_uniform(p_values) < 0.01 + 1.95 / math.sqrt(p_values.size)


def test_pooling_cells_would_not_be_the_same_test() -> None:
    # Two cells that differ in opposite directions: together no difference, cell by cell a clear one.
    first, second = np.array([[20, 5], [5, 20]]), np.array([[5, 20], [20, 5]])
    assert compared(first, second, 3).p == pytest.approx(1 / 200)
    assert compared(first.sum(axis=0)[None], second.sum(axis=0)[None], 3).p == 1


def test_chance_alone_explains_the_divergence_of_few_draws() -> None:
    rng = np.random.default_rng(4)
    rates = rng.dirichlet(np.ones(6), size=40)
    same = compared(*(sampled(rng, rates, np.full(40, 15)) for _ in range(2)), 5)
    assert same.divergence > 0.05
    assert same.divergence == pytest.approx(same.divergence_by_chance, abs=0.02)
    assert same.g2 == pytest.approx(same.expected, rel=0.15)
    other = compared(sampled(rng, rates, np.full(40, 15)), sampled(rng, rates[::-1], np.full(40, 15)), 6)
    assert other.divergence > 2 * other.divergence_by_chance
    assert other.p == pytest.approx(1 / 200)


def test_power_is_the_share_of_models_told_apart() -> None:
    rng = np.random.default_rng(7)
    rates = rng.dirichlet(np.ones(4), size=20)
    reference = sampled(rng, rates, np.full(20, 30))
    models = [sampled(rng, rng.dirichlet(np.ones(4), size=20), np.full(20, 30)) for _ in range(12)]
    models += [sampled(rng, rates, np.full(20, 30)) for _ in range(12)]
    found = cell_power(reference, models, draws=10, level=0.05, permutations=99, trials=4, rng=rng)
    # Twelve are other models, and twelve the same one, which are told apart as often as the level says.
    assert found.models == 24
    assert found.probability == pytest.approx(0.525, abs=0.06)
    assert found.lower < 0.4 < 0.65 < found.upper


def test_power_without_replacement_is_not_flattered_by_noise() -> None:
    # The same distribution, asked no oftener than is tested: rejected at the level. With replacement, more.
    rng = np.random.default_rng(8)
    rates = rng.dirichlet(np.ones(5), size=15)
    reference = sampled(rng, rates, np.full(15, 20))
    models = [sampled(rng, rates, np.full(15, 20)) for _ in range(150)]
    honest = cell_power(reference, models, draws=20, level=0.05, permutations=99, trials=1, rng=rng)
    assert honest.probability < 0.12
    again = [sampled(rng, model / model.sum(axis=1, keepdims=True), np.full(15, 20)) for model in models]
    flattered = cell_power(reference, again, draws=20, level=0.05, permutations=99, trials=1, rng=rng)
    assert flattered.probability > 0.3


def test_what_cannot_be_tested_has_a_reason() -> None:
    rng = np.random.default_rng(9)
    same = cell_test(np.array([[5, 0]]), np.array([[7, 0]]), permutations=9, rng=rng)
    none = cell_test(np.array([[5, 0], [0, 0]]), np.array([[0, 0], [1, 2]]), permutations=9, rng=rng)
    assert isinstance(same, NotTestable)
    assert isinstance(none, NotTestable)
    assert (same.reason, none.reason) == ("no_variation", "too_few_items")


@pytest.mark.parametrize(
    ("first", "permutations", "named"),
    [
        (np.array([[1, -1]]), 9, "negative"),
        (np.array([[1.0, 2.0]]), 9, "integer counts"),
        (np.array([1, 2]), 9, "integer counts"),
        (np.array([[1, 2]]), 0, "at least 1 permutation"),
    ],
)
def test_what_is_no_count_is_refused(first: AnyArray, permutations: int, named: str) -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match=named):
        cell_test(first, np.array([[1, 2]]), permutations=permutations, rng=rng)


def test_a_level_that_permutations_cannot_reach_is_refused() -> None:
    counts = np.array([[1, 2]])
    with pytest.raises(ValueError, match="reach the level"):
        cell_power(counts, [counts], draws=3, level=0.001, permutations=99, trials=1, rng=np.random.default_rng(1))
