"""Longest increasing subsequence: right length, bounded null, power on pruned copies."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.core.arrays import Ints
from whorl.statistics.coincidences import mutual_best
from whorl.statistics.intervals import clopper_pearson
from whorl.statistics.subsequence import lis_log10_p, longest_increasing_subsequence

NULLS = 2000


def longest_by_definition(values: list[int]) -> int:
    ending: list[int] = []
    for i, value in enumerate(values):
        ending.append(1 + max((ending[j] for j in range(i) if values[j] < value), default=0))
    return max(ending, default=0)


@given(st.lists(st.integers(-1, 12), max_size=30))
@settings(deadline=None, max_examples=200)
def test_length_agrees_with_its_definition(match: list[int]) -> None:
    found = longest_increasing_subsequence(np.array(match, dtype=np.int64))
    assert found == longest_by_definition([value for value in match if value >= 0])


def test_equal_images_do_not_rise() -> None:
    assert longest_increasing_subsequence(np.array([4, 4, 4, -1, 5])) == 2
    assert longest_increasing_subsequence(np.array([-1, -1])) == 0


@pytest.mark.parametrize("images", [tuple(range(7)), (0, 0, 0, 1, 2, 3, 4), (0, 0, 0, 0, 1, 1, 1)])
def test_bound_holds_over_all_orders(images: tuple[int, ...]) -> None:
    orders = list(itertools.permutations(range(7)))
    lengths = [longest_by_definition([order[j] for j in images]) for order in orders]
    for q in range(1, 8):
        assert sum(length >= q for length in lengths) / len(orders) <= 10 ** lis_log10_p(q, 7) + 1e-12


def null_lengths(images: Ints, reference_rows: int, seed: int) -> Ints:
    rng = np.random.default_rng(seed)
    lengths = []
    for _ in range(NULLS):
        relabelled = np.where(images >= 0, rng.permutation(reference_rows)[images], -1)
        lengths.append(longest_increasing_subsequence(relabelled))
    return np.array(lengths)


NULL_MAPS = {
    "permutation": (np.arange(64), 64),
    "narrower": (np.arange(64), 200),
    "unmatched": (np.where(np.arange(200) % 4 == 0, np.arange(200), -1), 200),
    "hubs": (np.where(np.arange(64) % 2 == 0, np.arange(64) % 4, np.arange(64)), 64),
}


@pytest.mark.parametrize("name", NULL_MAPS)
def test_null_tail_never_exceeds_the_bound(name: str) -> None:
    images, reference_rows = NULL_MAPS[name]
    matched = int((images >= 0).sum())
    lengths = null_lengths(images, reference_rows, seed=1)
    for q in range(1, int(lengths.max()) + 1):
        at_least, _ = clopper_pearson(int((lengths >= q).sum()), NULLS, level=0.998)
        assert math.log10(at_least or 1e-300) <= lis_log10_p(q, matched)


def test_null_through_the_pipeline_with_different_widths() -> None:
    rng = np.random.default_rng(2)
    log10_p = []
    for _ in range(1000):
        questioned = rng.standard_normal((40, 16)).astype(np.float32)
        reference = rng.standard_normal((64, 16)).astype(np.float32)
        match = mutual_best(questioned @ reference.T)
        log10_p.append(lis_log10_p(longest_increasing_subsequence(match), int((match >= 0).sum())))
    for alpha in (0.5, 0.1, 0.01):
        at_least, _ = clopper_pearson(int((np.array(log10_p) <= math.log10(alpha)).sum()), 1000, level=0.998)
        assert at_least <= alpha


@pytest.mark.parametrize(("length", "matched"), [(20, 40), (90, 1000), (132, 2048), (334, 14336), (64, 64)])
def test_the_closed_form_is_the_best_of_its_family(length: int, matched: int) -> None:
    family = [
        math.comb(matched, r) / (math.factorial(r) * math.comb(length, r)) if r < 80 else None
        for r in range(length + 1)
    ]
    logs = [
        (math.lgamma(matched + 1) - math.lgamma(matched - r + 1) - 2 * math.lgamma(r + 1))
        - (math.lgamma(length + 1) - math.lgamma(r + 1) - math.lgamma(length - r + 1))
        for r in range(length + 1)
    ]
    assert lis_log10_p(length, matched) == pytest.approx(min(0.0, *logs) / math.log(10), abs=1e-9)
    assert min(v for v in family if v is not None) >= 10 ** lis_log10_p(length, matched) * (1 - 1e-9)


def test_known_answers() -> None:
    # whitebox.md 2.2: with C(k, q) / q! alone, k = 2048 needs 132 and k = 14336 needs 334 for 1e-12.
    def plain(q: int, k: int) -> float:
        return math.log10(math.comb(k, q)) - math.log10(math.factorial(q))

    assert plain(132, 2048) < -12 < plain(131, 2048)
    assert plain(334, 14336) < -12 < plain(333, 14336)
    assert lis_log10_p(125, 2048) < -12 < lis_log10_p(124, 2048)
    assert lis_log10_p(311, 14336) < -12 < lis_log10_p(310, 14336)
    assert lis_log10_p(6, 6) == pytest.approx(-math.log10(720))


def test_longer_is_never_weaker_and_chance_length_is_no_evidence() -> None:
    values = [lis_log10_p(q, 500) for q in range(501)]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(values))
    assert lis_log10_p(45, 2048) == 0.0


def test_pruned_copy_is_overwhelming() -> None:
    rng = np.random.default_rng(3)
    reference = rng.standard_normal((256, 32)).astype(np.float32)
    kept = np.sort(rng.choice(256, 128, replace=False))
    pruned = reference[kept] + 0.2 * rng.standard_normal((128, 32)).astype(np.float32)
    match = mutual_best(pruned @ reference.T)
    length = longest_increasing_subsequence(match)
    assert length > 110
    assert lis_log10_p(length, int((match >= 0).sum())) < -150
    assert math.isfinite(lis_log10_p(1_000_000, 1_000_000))


def test_trying_many_layer_pairs_is_paid_for() -> None:
    assert lis_log10_p(20, 20, comparisons=1000) == pytest.approx(lis_log10_p(20, 20) + 3)
    assert lis_log10_p(3, 3, comparisons=1000) == 0.0


@pytest.mark.parametrize(("length", "matched", "comparisons"), [(5, 4, 1), (-1, 4, 1), (3, 4, 0)])
def test_impossible_arguments_are_refused(length: int, matched: int, comparisons: int) -> None:
    with pytest.raises(ValueError, match=r"impossible|at least 1"):
        lis_log10_p(length, matched, comparisons=comparisons)
