"""Agreement beyond the items: centred, and as surprise."""

import numpy as np
import pytest

from whorl.comparison.agreement import LEAST_ITEMS, agreement, centred, measures, surprise
from whorl.fingerprints.answer_table import Answer, answer_tables


def kernel(size: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((size, size))
    return (drawn + drawn.T) / 2


def test_centring_takes_away_items_and_habits() -> None:
    """A constant and any effect of one model alone vanish: only what a pair has of its own stays."""
    plain = kernel(9, 1)
    habits = np.random.default_rng(2).random(9)
    reference = np.ones(9, dtype=bool)
    off = ~np.eye(9, dtype=bool)
    moved = centred(plain + 7 + habits[:, None] + habits[None], reference)
    assert np.allclose(moved[off], centred(plain, reference)[off])


def test_reference_rows_are_centred_on_zero() -> None:
    reference = np.array([True] * 7 + [False] * 2)
    found = centred(kernel(9, 3), reference)
    among = found[:7, :7][~np.eye(7, dtype=bool)]
    assert np.allclose(among.reshape(7, 6).mean(axis=1), 0)


def test_surprise_of_exchangeable_models_is_about_one() -> None:
    """Minus the logarithm of a uniform share has mean 1."""
    rng = np.random.default_rng(5)
    reference = np.ones(40, dtype=bool)
    found = [surprise(kernel(40, int(rng.integers(1 << 30))), reference)[0, 1] for _ in range(1000)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)


def test_the_nearest_of_all_is_the_most_surprising() -> None:
    given = kernel(20, 6)
    given[0, 1] = given[1, 0] = 2.0
    found = surprise(given, np.ones(20, dtype=bool))
    off = ~np.eye(20, dtype=bool)
    assert found[0, 1] == found[off].max()
    assert found[0, 1] == pytest.approx(np.log(19 / 0.5))


def test_surprise_is_blind_to_the_scale_of_an_item() -> None:
    given, reference = kernel(15, 7), np.ones(15, dtype=bool)
    assert np.allclose(surprise(given, reference), surprise(3 * given - 1, reference))


def test_ties_count_half_and_nobody_is_surprised_where_all_are_alike() -> None:
    found = surprise(np.ones((10, 10)), np.ones(10, dtype=bool))
    assert np.allclose(found[~np.eye(10, dtype=bool)], np.log(2))


def rows(models: int, items: int) -> list[Answer]:
    return [
        Answer(dataset="d", model=f"m{model}", prompt_id=f"p{item}", response=f"word{model * item % 5} and word{item}")
        for model in range(models)
        for item in range(items)
    ]


def test_pairs_with_too_few_common_items_have_no_score() -> None:
    answers = [row for row in rows(6, LEAST_ITEMS + 2) if not (row.model == "m0" and row.prompt_id > "p4")]
    (table,) = answer_tables(answers)
    found = agreement(table, np.ones(6, dtype=bool))
    assert set(found.means) == set(measures())
    for values in found.means.values():
        assert np.isnan(values[0]).all() or found.items[0].max() >= LEAST_ITEMS
        assert np.isfinite(values[1, 2])
        assert np.isnan(np.diag(values)).all()


def test_items_without_enough_reference_answers_are_left_out() -> None:
    (table,) = answer_tables(rows(6, 10))
    reference = np.array([True] * 3 + [False] * 3)
    assert agreement(table, reference).items.max() == 0
