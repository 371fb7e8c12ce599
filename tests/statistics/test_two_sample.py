"""Same distribution of answers? Exact level within prompts, power, and the pooled permutation that is another test."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from null_levels import distance_from_uniform, holds_levels

from whorl.core.arrays import Doubles
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.text_kernels import text_gram
from whorl.statistics.two_sample import PromptGram, TwoSampleTest, swap_power, two_sample_test, unbiased_mmd2


def compared(prompts: Sequence[PromptGram], seed: int, permutations: int = 199) -> TwoSampleTest:
    found = two_sample_test(prompts, permutations=permutations, rng=np.random.default_rng(seed))
    assert isinstance(found, TwoSampleTest)
    return found


def gaussian(points: Doubles) -> Doubles:
    return np.asarray(np.exp(-((points[:, None] - points) ** 2) / 2))


def prompt_of(rng: np.random.Generator, reference: int, questioned: int, shift: float = 0.0) -> PromptGram:
    """Answers as numbers around the prompt's own centre; the questioned endpoint's shifted."""
    points = rng.normal(0, 3) + rng.normal(size=reference + questioned)
    points[reference:] += shift
    return PromptGram(gram=gaussian(points), reference=reference)


def test_statistic_by_its_definition() -> None:
    rng = np.random.default_rng(1)
    gram = gaussian(rng.normal(size=7))
    ours = np.array([True, True, True, False, False, False, False])
    within = [np.mean([gram[i, j] for i in part for j in part if i != j]) for part in (range(3), range(3, 7))]
    expected = sum(within) - 2 * gram[:3, 3:].mean()
    assert unbiased_mmd2(gram, ours[None])[0] == pytest.approx(expected)
    assert unbiased_mmd2(gram + 5, ours[None])[0] == pytest.approx(expected), "a constant says nothing"
    # Two points 0 and 1 at similarity 0, each twice: 1 + 1 - 0.
    apart = np.kron(np.eye(2), np.ones((2, 2)))
    assert compared([PromptGram(gram=apart, reference=2)], 1).mmd2 == pytest.approx(2)


def test_the_statistic_is_unbiased() -> None:
    rng = np.random.default_rng(2)
    values = [compared([prompt_of(rng, 3, 5)], row, permutations=1).mmd2 for row in range(2_000)]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / math.sqrt(2_000))


def test_level_is_exact_with_unequal_numbers_of_answers() -> None:
    rng = np.random.default_rng(3)
    p_values = np.zeros(1_200)
    for row in range(p_values.size):
        sizes = rng.integers(1, 9, (6, 2))
        sizes[0] = 4, 7
        p_values[row] = compared([prompt_of(rng, int(m), int(n)) for m, n in sizes], row, permutations=99).p
    assert holds_levels(p_values)
    assert distance_from_uniform(p_values) < 0.01 + 1.95 / math.sqrt(p_values.size)


def test_level_holds_for_texts_that_are_often_equal() -> None:
    rng = np.random.default_rng(4)
    words = ["yes", "yes indeed", "no", "I cannot say", "yes, of course it is"]
    p_values = np.zeros(1_000)
    grams = text_gram(words)
    for row in range(p_values.size):
        prompts = []
        for _ in range(5):
            drawn = rng.choice(5, 9, p=rng.dirichlet(np.ones(5)))
            prompts.append(PromptGram(gram=grams[np.ix_(drawn, drawn)], reference=4))
        p_values[row] = compared(prompts, row, permutations=99).p
    assert holds_levels(p_values)


def test_known_trap_pooled_permutation_is_blind_to_small_differences_between_unlike_prompts() -> None:
    # The kernel is 0 across prompts. Dealing answers across prompts leaves each prompt with uneven numbers of either
    # endpoint, and the spread that comes of it hides what differs within.
    rng = np.random.default_rng(5)
    within, pooled = [], []
    for row in range(60):
        prompts = [prompt_of(rng, 6, 6, shift=1.1) for _ in range(12)]
        within.append(compared(prompts, row, permutations=99).p)
        block = np.zeros((144, 144))
        for place, prompt in enumerate(prompts):
            block[place * 12 : place * 12 + 12, place * 12 : place * 12 + 12] = prompt.gram
        order = np.argsort(np.tile(np.repeat([0, 1], 6), 12), kind="stable")
        pooled.append(compared([PromptGram(gram=block[np.ix_(order, order)], reference=72)], row, permutations=99).p)
    assert np.mean(np.array(within) <= 0.05) > 0.9
    assert np.mean(np.array(pooled) <= 0.05) < np.mean(np.array(within) <= 0.05) - 0.2


def test_a_shift_is_seen_and_a_smaller_one_less_often() -> None:
    rng = np.random.default_rng(6)
    power = [
        np.mean([compared([prompt_of(rng, 10, 10, s) for _ in range(25)], row, 99).p <= 0.01 for row in range(40)])
        for s in (0.8, 0.3, 0.0)
    ]
    assert power[0] > 0.95
    assert power[0] > power[1] > power[2]
    assert power[2] < 0.15


def test_prompts_with_one_answer_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(7)
    full = prompt_of(rng, 4, 5)
    found = compared([full, prompt_of(rng, 1, 5), prompt_of(rng, 5, 0)], 1)
    assert (found.prompts, found.answers) == (1, 9)
    assert found.p == compared([full], 1).p


def test_order_of_answers_within_a_sample_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    prompt = prompt_of(rng, 4, 6, 1.0)
    order = np.concatenate([rng.permutation(4), 4 + rng.permutation(6)])
    other = PromptGram(gram=prompt.gram[np.ix_(order, order)], reference=4)
    one, two = compared([prompt], 1, 5_000), compared([other], 2, 5_000)
    assert one.mmd2 == pytest.approx(two.mmd2)
    assert one.p == pytest.approx(two.p, abs=0.03)
    assert one.p >= 1 / 210, "there are 210 ways to deal ten answers, of which the observed one is always counted"


def test_power_is_the_share_of_models_told_apart() -> None:
    rng = np.random.default_rng(9)
    models = [[prompt_of(rng, 8, 20, shift) for _ in range(8)] for shift in [0.0] * 15 + [2.0] * 15]
    found = swap_power(models, answers=8, level=0.05, permutations=99, trials=3, rng=rng)
    assert found.models == 30
    assert found.probability == pytest.approx(0.525, abs=0.05)
    fewer = swap_power(models[15:], answers=2, level=0.05, permutations=99, trials=1, rng=rng)
    assert fewer.probability <= 1
    silent = [[prompt_of(rng, 8, 1) for _ in range(3)]]
    unseen = swap_power(silent, answers=8, level=0.05, permutations=99, trials=1, rng=rng)
    assert (unseen.probability, unseen.lower) == (0, 0), "what cannot be tested is not seen"


def test_what_cannot_be_tested_has_a_reason() -> None:
    rng = np.random.default_rng(10)
    same = two_sample_test([PromptGram(gram=np.ones((6, 6)), reference=3)], permutations=9, rng=rng)
    none = two_sample_test([prompt_of(rng, 1, 4)], permutations=9, rng=rng)
    assert isinstance(same, NotTestable)
    assert isinstance(none, NotTestable)
    assert (same.reason, none.reason) == ("no_variation", "too_few_items")


def test_matrices_that_are_no_similarities_are_refused() -> None:
    for gram, reference in ((np.ones((2, 3)), 1), (np.ones((3, 3)), 4)):
        with pytest.raises(ValueError, match="square"):
            PromptGram(gram=gram, reference=reference)
    for gram in (np.array([[1.0, 0.2], [0.3, 1.0]]), np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match="symmetric"):
            PromptGram(gram=gram, reference=1)
    rng = np.random.default_rng(11)
    with pytest.raises(ValueError, match="at least 1 permutation"):
        two_sample_test([prompt_of(rng, 2, 2)], permutations=0, rng=rng)
    with pytest.raises(ValueError, match="reach the level"):
        swap_power([[prompt_of(rng, 2, 2)]], answers=2, level=0.001, permutations=99, trials=1, rng=rng)
