"""Index coincidences: the bounds hold on simulated nulls through the real pipeline, and the power is there."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whorl.core.arrays import Floats, Ints
from whorl.statistics.coincidences import (
    coincidence_log10_e,
    coincidence_log10_p,
    count_coincidences,
    count_signed_coincidences,
    expected_coincidences,
    mutual_best,
    signed_coincidence_log10_p,
)
from whorl.statistics.intervals import clopper_pearson

NULLS = 2000
ROWS = 32
COLUMNS = 16

Pair = tuple[Floats, Floats]


def gaussian(rng: np.random.Generator) -> Floats:
    return rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)


def independent(rng: np.random.Generator) -> Pair:
    return gaussian(rng), gaussian(rng)


def shuffled_theft(rng: np.random.Generator) -> Pair:
    """The hardest null: the reference itself, but in another order."""
    rows = gaussian(rng)
    return rows, rows


def hubs(rng: np.random.Generator) -> Pair:
    """Half of the questioned rows are nearest to one of four reference rows."""
    reference = gaussian(rng)
    questioned = reference + 0.1 * gaussian(rng)
    questioned[::2] = reference[rng.integers(0, 4, ROWS // 2)] + 0.1 * gaussian(rng)[::2]
    return questioned, reference


def duplicates(rng: np.random.Generator) -> Pair:
    rows = np.repeat(gaussian(rng)[: ROWS // 2], 2, axis=0)
    rows[: ROWS // 2] += gaussian(rng)[: ROWS // 2]
    return rows, rows


def correlated(rng: np.random.Generator) -> Pair:
    shared = 5 * rng.standard_normal(COLUMNS).astype(np.float32)
    return gaussian(rng) + shared, gaussian(rng) + shared


def zero_rows(rng: np.random.Generator) -> Pair:
    rows = gaussian(rng)
    rows[::3] = 0
    return rows, rows


def sorted_rows(rng: np.random.Generator) -> Pair:
    """The questioned party sorted its rows; the reference's order is still uniform."""
    rows = gaussian(rng)
    return rows[np.argsort(np.abs(rows).sum(axis=1))], rows


SCENARIOS = [independent, shuffled_theft, hubs, duplicates, correlated, zero_rows, sorted_rows]


def cosines(questioned: Floats, reference: Floats) -> Floats:
    unit = [rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30) for rows in (questioned, reference)]
    return (unit[0] @ unit[1].T).astype(np.float32)


def null_counts(scenario: Callable[[np.random.Generator], Pair], best: Callable[[Floats], Ints], seed: int) -> Ints:
    """Coincidences of many seeded comparisons whose reference rows stand in uniformly random order."""
    rng = np.random.default_rng(seed)
    counts = []
    for _ in range(NULLS):
        questioned, reference = scenario(rng)
        counts.append(count_coincidences(best(cosines(questioned, reference[rng.permutation(len(reference))]))))
    return np.array(counts)


def assert_bounded(statistics: Ints, log10_bound: Callable[[int], float]) -> None:
    """No observed tail lies above its bound by more than sampling noise (99.9 %, one-sided)."""
    for value in range(1, int(statistics.max()) + 2):
        at_least, _ = clopper_pearson(int((statistics >= value).sum()), statistics.size, level=0.998)
        assert math.log10(at_least or 1e-300) <= log10_bound(value), f"P(>= {value}) is at least {at_least}"


def assert_e_value(values: Floats) -> None:
    noise = 3.3 * values.std(ddof=1) / math.sqrt(values.size)
    assert values.mean() - noise <= 1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_null_tail_never_exceeds_the_bound(scenario: Callable[[np.random.Generator], Pair]) -> None:
    counts = null_counts(scenario, mutual_best, seed=1)
    assert_bounded(counts, lambda m: coincidence_log10_p([m]))
    assert_e_value(10 ** np.array([coincidence_log10_e([int(m)], tilt=1.0) for m in counts]))
    layers = counts.reshape(-1, 4)
    assert_bounded(layers.sum(axis=1), lambda m: coincidence_log10_p([m, 0, 0, 0]))
    assert_e_value(10 ** np.array([coincidence_log10_e(row.tolist(), tilt=0.5) for row in layers]))


def many_to_one(similarity: Floats) -> Ints:
    return similarity.argmax(axis=1)


@pytest.mark.parametrize("scenario", [independent, hubs, correlated])
def test_bound_holds_for_many_to_one_maps(scenario: Callable[[np.random.Generator], Pair]) -> None:
    assert_bounded(null_counts(scenario, many_to_one, seed=2), lambda m: coincidence_log10_p([m]))


def test_a_tie_broken_by_index_breaks_the_null() -> None:
    """Zero rows all choose index 0, which is then found at its own place far too often."""
    counts = null_counts(zero_rows, many_to_one, seed=2)
    with pytest.raises(AssertionError):
        assert_e_value(10 ** np.array([coincidence_log10_e([int(m)], tilt=1.0) for m in counts]))
    assert counts.mean() > 1.5 > null_counts(zero_rows, mutual_best, seed=2).mean()


@pytest.mark.parametrize("images", [(0, 1, 2, 3, 4), (0, 0, 2, 3, 4), (-1, 1, 1, 1, 4), (4, 3, 2, -1, -1)])
def test_bound_holds_over_all_orders(images: tuple[int, ...]) -> None:
    orders = list(itertools.permutations(range(5)))
    hits = [sum(j >= 0 and order[j] == i for i, j in enumerate(images)) for order in orders]
    for m in range(1, 6):
        assert sum(h >= m for h in hits) / len(orders) <= 10 ** coincidence_log10_p([m]) + 1e-12


def test_rows_at_fixed_indices_keep_the_bound() -> None:
    """A sketch holds the same pre-chosen indices of both models."""
    rng = np.random.default_rng(3)
    counts = []
    for _ in range(NULLS):
        questioned, reference = shuffled_theft(rng)
        kept = slice(0, ROWS, 2)
        similarity = cosines(questioned[kept], reference[rng.permutation(ROWS)][kept])
        counts.append(count_coincidences(mutual_best(similarity)))
    assert_bounded(np.array(counts), lambda m: coincidence_log10_p([m]))


def most_important(rows: Floats) -> Ints:
    return np.sort(np.argsort(-np.linalg.norm(rows, axis=1))[: ROWS // 2])


def test_rows_chosen_by_content_keep_the_bound_with_the_smaller_expectation() -> None:
    """A compact fingerprint holds the most important rows of each side and where they stood."""
    rng = np.random.default_rng(8)
    log10_p, e_values = [], []
    for _ in range(NULLS):
        hits, expected = [], 0.0
        for _ in range(2):
            questioned, reference = shuffled_theft(rng)
            reference = reference[rng.permutation(ROWS)]
            q, r = most_important(questioned), most_important(reference)
            match = mutual_best(cosines(questioned[q], reference[r]))
            hits.append(count_coincidences(match, questioned_index=q, reference_index=r))
            expected += expected_coincidences(match, blocks=[ROWS], questioned_index=q, reference_index=r)
        log10_p.append(coincidence_log10_p(hits, expected=expected))
        e_values.append(10 ** coincidence_log10_e(hits, tilt=1.0, expected=expected))
    assert min(log10_p) < -2
    for alpha in (0.5, 0.1, 0.01, 0.001):
        at_least, _ = clopper_pearson(int((np.array(log10_p) <= math.log10(alpha)).sum()), NULLS, level=0.998)
        assert at_least <= alpha
    assert_e_value(np.array(e_values))


def test_experts_count_as_layers() -> None:
    """Neurons change places within their expert only, so one lucky expert brings several hits at once."""
    rng = np.random.default_rng(9)
    experts, width = 8, 8
    pooled, by_expert = [], []
    for _ in range(NULLS):
        rows = rng.standard_normal((experts, width, COLUMNS)).astype(np.float32)
        moved = np.stack([rows[e][rng.permutation(width)] for e in rng.permutation(experts)])
        match = mutual_best(cosines(rows.reshape(-1, COLUMNS), moved.reshape(-1, COLUMNS)))
        hits = count_coincidences(match)
        pooled.append(hits)
        expected = expected_coincidences(match, blocks=[width] * experts)
        by_expert.append(coincidence_log10_p([hits], expected=expected))
    for alpha in (0.5, 0.1, 0.01, 0.001):
        at_least, _ = clopper_pearson(int((np.array(by_expert) <= math.log10(alpha)).sum()), NULLS, level=0.998)
        assert at_least <= alpha
    with pytest.raises(AssertionError, match="P"):
        assert_bounded(np.array(pooled), lambda m: coincidence_log10_p([m]))


def test_signed_null_tail_never_exceeds_the_bound() -> None:
    rng = np.random.default_rng(4)
    counts = []
    for _ in range(NULLS):
        embedding = gaussian(rng).T
        signs = rng.choice([-1, 1], len(embedding))[:, None]
        moved = (signs * embedding)[rng.permutation(len(embedding))]
        counts.append(count_signed_coincidences(cosines(embedding, moved)))
    assert max(counts) >= 2
    assert_bounded(np.array(counts), signed_coincidence_log10_p)


similarities = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7),
    elements=st.integers(-3, 3).map(float),
)


@given(similarities, st.integers(0, 2**32))
@settings(deadline=None, max_examples=200)
def test_mutual_best_follows_every_reordering(similarity: Floats, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = (rng.permutation(n) for n in similarity.shape)
    moved = mutual_best(similarity[rows][:, columns])
    back = np.where(moved >= 0, columns[moved], -1)
    assert back.tolist() == mutual_best(similarity)[rows].tolist()


@given(similarities)
@settings(deadline=None, max_examples=200)
def test_mutual_best_is_what_its_name_says(similarity: Floats) -> None:
    for i, j in enumerate(mutual_best(similarity).tolist()):
        ahead = [j for j, value in enumerate(similarity[i]) if value > np.delete(similarity[i], j).max(initial=-np.inf)]
        if min(similarity.shape) < 2 or not ahead:
            assert j == -1
        elif similarity[i, ahead[0]] > np.delete(similarity[:, ahead[0]], i).max():
            assert j == ahead[0]
        else:
            assert j == -1


def test_duplicates_do_not_match_wherever_rounding_puts_them() -> None:
    """A matrix product rounds equal rows differently, depending on their position."""
    rng = np.random.default_rng(5)
    reference = rng.standard_normal((60, 16)).astype(np.float32)
    reference[59] = reference[0]
    similarity = reference @ reference.T
    similarity[[0, 59], 59] = np.nextafter(similarity[[0, 59], 0], np.float32(np.inf))
    similarity[59, :] = np.nextafter(similarity[0, :], np.float32(np.inf))
    match = mutual_best(similarity)
    assert match[[0, 59]].tolist() == [-1, -1]
    assert np.array_equal(match[1:59], np.arange(1, 59))


def test_no_match_is_named_twice_and_blocks_do_not_show() -> None:
    rng = np.random.default_rng(6)
    similarity = rng.standard_normal((700, 300)).astype(np.float32)
    match = mutual_best(similarity)
    matched = match[match >= 0]
    assert 0 < matched.size == np.unique(matched).size
    expected = [int(similarity[:, similarity[i].argmax()].argmax()) == i for i in range(700)]
    assert (match >= 0).tolist() == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_similarities_that_are_no_numbers_are_refused(bad: float) -> None:
    similarity = np.zeros((3, 3), dtype=np.float32)
    similarity[1, 2] = bad
    with pytest.raises(ValueError, match="finite"):
        mutual_best(similarity)


def test_known_answers() -> None:
    # whitebox.md 2.1 gives 83 hits in 32 layers for 1e-12 with Chernoff's bound; this bound needs no more.
    assert coincidence_log10_p([83] + [0] * 31) == pytest.approx(-12.413, abs=1e-3)
    assert coincidence_log10_p([81] + [0] * 31) > -12
    assert coincidence_log10_p([5]) == pytest.approx(-math.log10(120))
    assert signed_coincidence_log10_p(5) == pytest.approx(-math.log10(120 * 32))
    assert coincidence_log10_e([3, 0], tilt=1.0) == pytest.approx(math.log10(8 * math.exp(-2)))


@pytest.mark.parametrize("layers", [1, 2, 7, 32, 80])
def test_bound_is_never_above_chernoff_or_the_plain_moment(layers: int) -> None:
    padding = [0] * (layers - 1)
    for m in range(layers + 1, 6 * layers + 20):
        plain = m * math.log(layers) - math.lgamma(m + 1)
        chernoff = m - layers + m * math.log(layers / m)
        assert coincidence_log10_p([m, *padding]) <= min(plain, chernoff) / math.log(10) + 1e-9


@pytest.mark.parametrize("m", [0, 1, 5, 31, 32])
def test_fewer_hits_than_expected_are_no_evidence(m: int) -> None:
    """Chernoff's formula is tiny on this side too, where it bounds the other tail."""
    assert coincidence_log10_p([m] + [0] * 31) == 0.0


def test_positions_count_in_the_layer_not_among_the_compared_rows() -> None:
    match = np.array([0, 1, -1, 3])
    assert count_coincidences(match) == 3
    here, there = np.array([5, 9, 20, 31]), np.array([5, 10, 20, 31])
    assert count_coincidences(match, questioned_index=here, reference_index=there) == 2


def test_fewer_matched_rows_make_each_hit_count_more() -> None:
    few = 32 * expected_coincidences(np.arange(256), blocks=[11008])
    assert few == pytest.approx(0.744, abs=1e-3)
    assert coincidence_log10_p([14] + [0] * 31, expected=few) < -12 < coincidence_log10_p([14] + [0] * 31)


def test_only_matches_within_a_block_are_expected_to_coincide() -> None:
    match = np.array([1, 0, -1, 4, 2, 5])
    assert expected_coincidences(match, blocks=[6]) == pytest.approx(5 / 6)
    assert expected_coincidences(match, blocks=[2, 4]) == pytest.approx(2 / 2 + 3 / 4)
    assert expected_coincidences(match, blocks=[1, 1, 2, 2]) == pytest.approx(1 / 2)
    assert expected_coincidences(np.full(3, -1), blocks=[3]) == 0.0


def test_nothing_compared_and_nothing_found_say_nothing() -> None:
    assert coincidence_log10_p([]) == 0.0
    assert signed_coincidence_log10_p(0) == 0.0
    assert coincidence_log10_e([0, 0], tilt=1.0) < 0


def test_planted_copy_is_overwhelming_and_finite() -> None:
    rng = np.random.default_rng(7)
    reference = rng.standard_normal((512, 64)).astype(np.float32)
    questioned = reference + 0.3 * rng.standard_normal((512, 64)).astype(np.float32)
    hits = count_coincidences(mutual_best(cosines(questioned, reference)))
    assert hits == 512
    assert coincidence_log10_p([hits]) == pytest.approx(-math.log10(math.factorial(512)))
    assert -7e7 < coincidence_log10_p([10_000_000]) < -6e7
    assert 3e6 < coincidence_log10_e([10_000_000], tilt=1.0) < 3.1e6


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        coincidence_log10_p([3, -1])
    with pytest.raises(ValueError, match="negative"):
        signed_coincidence_log10_p(-1)
    with pytest.raises(ValueError, match="no row is matched"):
        coincidence_log10_p([1], expected=0.0)
    with pytest.raises(ValueError, match="expected number"):
        coincidence_log10_e([1], tilt=1.0, expected=float("nan"))
    with pytest.raises(ValueError, match="beyond the 3 rows"):
        expected_coincidences(np.array([0, 3]), blocks=[1, 2])
    with pytest.raises(ValueError, match="both sides"):
        count_coincidences(np.array([0]), questioned_index=np.array([0]))
    with pytest.raises(ValueError, match="tilt"):
        coincidence_log10_e([3], tilt=0.0)
