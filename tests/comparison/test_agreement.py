"""Agreement beyond the items: centred, and as surprise."""

from itertools import combinations

import numpy as np
import pytest

from whorl.comparison.agreement import LEAST_ITEMS, agreement, centred, groups_of, measures, surprise
from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.fingerprints.answer_kernels import Crowd
from whorl.fingerprints.answer_table import Answer, answer_tables


def kernel(size: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((size, size))
    return (drawn + drawn.T) / 2


def everyone(size: int) -> Crowd:
    return Crowd.of(np.ones(size, dtype=bool), np.arange(size))


def test_centring_takes_away_items_and_habits() -> None:
    """A constant and any effect of one model alone vanish: only what a pair has of its own stays."""
    plain = kernel(9, 1)
    habits = np.random.default_rng(2).random(9)
    off = ~np.eye(9, dtype=bool)
    moved = centred(plain + 7 + habits[:, None] + habits[None], everyone(9))
    assert np.allclose(moved[off], centred(plain, everyone(9))[off])


@pytest.mark.parametrize("seed", range(5))
def test_a_pair_is_measured_by_reference_models_of_other_groups(seed: int) -> None:
    """Against the definitions, written out as loops; rounded values, so that there are ties."""
    rng = np.random.default_rng(seed)
    given, reference, groups = np.round(kernel(13, seed), 1), rng.random(13) < 0.7, rng.integers(0, 6, 13)
    crowd = Crowd.of(reference, groups)
    by_centring, by_surprise = centred(given, crowd), surprise(given, crowd)
    for one, other in combinations(range(13), 2):
        others = [k for k in range(13) if reference[k] and groups[k] not in (groups[one], groups[other])]
        among = [given[k, m] for k in others for m in others if groups[k] != groups[m]]
        usual = given[one, others].mean() + given[other, others].mean() - np.mean(among)
        assert by_centring[one, other] == pytest.approx(given[one, other] - usual)
        sides = [
            (np.sum(given[k, others] > given[one, other]) + np.sum(given[k, others] == given[one, other]) / 2 + 0.5)
            / (len(others) + 1)
            for k in (one, other)
        ]
        assert by_surprise[one, other] == pytest.approx(-np.mean(np.log(np.minimum(sides, 1))))


def test_surprise_of_exchangeable_models_is_about_one() -> None:
    """Minus the logarithm of a uniform share has mean 1."""
    rng = np.random.default_rng(5)
    found = [surprise(kernel(40, int(rng.integers(1 << 30))), everyone(40))[0, 1] for _ in range(1000)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)


def test_the_nearest_of_all_is_the_most_surprising() -> None:
    given = kernel(20, 6)
    given[0, 1] = given[1, 0] = 2.0
    found = surprise(given, everyone(20))
    off = ~np.eye(20, dtype=bool)
    assert found[0, 1] == found[off].max()
    assert found[0, 1] == pytest.approx(np.log(19 / 0.5))  # 18 others, and none of them nearer


def test_surprise_is_blind_to_the_scale_of_an_item() -> None:
    given = kernel(15, 7)
    assert np.allclose(surprise(given, everyone(15)), surprise(3 * given - 1, everyone(15)))


def test_ties_count_half_and_nobody_is_surprised_where_all_are_alike() -> None:
    found = surprise(np.ones((10, 10)), everyone(10))
    assert np.allclose(found[~np.eye(10, dtype=bool)], np.log(2))


def test_a_documented_family_is_one_group_and_everybody_else_one_each() -> None:
    lineage = Lineage(
        edges=tuple(
            DocumentedEdge(model=model, family=family, base="", relation="same_family")
            for model, family in (("a", "f"), ("b", "g"), ("c", "f"))
        )
    )
    found = groups_of(["x", "a", "b", "c", "y"], lineage, known_as={"y": "b"})
    assert found[1] == found[3]
    assert found[2] == found[4]
    assert len(set(found.tolist())) == 3


def rows(models: int, items: int) -> list[Answer]:
    return [
        Answer(dataset="d", model=f"m{model}", prompt_id=f"p{item}", response=f"word{model * item % 5} and word{item}")
        for model in range(models)
        for item in range(items)
    ]


def test_pairs_with_too_few_common_items_have_no_score() -> None:
    answers = [row for row in rows(7, LEAST_ITEMS + 2) if not (row.model == "m0" and row.prompt_id > "p4")]
    (table,) = answer_tables(answers)
    found = agreement(table, np.ones(7, dtype=bool))
    assert set(found.means) == set(measures())
    for values in found.means.values():
        assert np.isnan(values[0]).all() or found.items[0].max() >= LEAST_ITEMS
        assert np.isfinite(values[1, 2])
        assert np.isnan(np.diag(values)).all()


def test_items_without_enough_reference_answers_are_left_out() -> None:
    (table,) = answer_tables(rows(6, 10))
    reference = np.array([True] + [False] * 5)
    assert agreement(table, reference).items.max() == 0


def test_items_do_not_count_for_pairs_outside_of_which_too_few_are_left() -> None:
    (table,) = answer_tables(rows(8, 10))
    found = agreement(table, np.ones(8, dtype=bool), np.array([0, 0, 0, 1, 2, 3, 4, 5]))
    assert found.items[3, 4] == 10  # six others
    assert found.items[0, 3] == 10  # four
    assert agreement(table, np.ones(8, dtype=bool), np.array([0, 0, 0, 0, 0, 0, 4, 5])).items[0, 6] == 0  # one
