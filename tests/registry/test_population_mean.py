"""The mean direction: one voice per distinct vector, and no claimant above a tenth."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from search_population import population, quantised, unit

from whorl.registry import population_mean as module
from whorl.registry.population_mean import MEAN_NEEDS, PopulationMean, population_mean, voice_cap
from whorl.registry.search_vectors import Vectors

DIMENSION = 48


def of(vectors: Vectors, groups: NDArray[np.int64]) -> PopulationMean:
    """The mean of rows that lie in three files."""
    thirds = [slice(None, len(groups) // 3), slice(len(groups) // 3, len(groups) // 2), slice(len(groups) // 2, None)]
    return population_mean([(groups[part], vectors[part]) for part in thirds], DIMENSION)


def draws(seed: int, count: int) -> Vectors:
    return population(np.random.default_rng(seed), families=count, members=1, dimension=DIMENSION).vectors


def test_claimants_of_equal_size_give_the_plain_mean_direction() -> None:
    vectors = draws(1, 60)
    for groups in (np.arange(60), np.arange(60) // 3, np.zeros(60, np.int64)):
        mean = of(vectors, groups)
        assert mean.origin == pytest.approx(unit(vectors.astype(float)).mean(axis=0))
        assert mean.rows == 60


def test_too_few_distinct_vectors_have_no_mean() -> None:
    vectors = draws(2, MEAN_NEEDS)
    copies = np.concatenate([vectors[1:], np.repeat(vectors[1:2], 500, axis=0)])
    for few in (vectors[:0], vectors[1:], copies):
        mean = of(few, np.arange(len(few)))
        assert mean.voices == 0
        assert not mean.origin.any()
    assert of(vectors, np.arange(MEAN_NEEDS)).voices == MEAN_NEEDS


def test_copies_are_the_voice_of_whoever_came_first() -> None:
    vectors = draws(3, 60)
    groups = np.arange(60) // 2
    crowded = np.concatenate([vectors, np.repeat(vectors[:7], 100, axis=0)])
    alone, with_crowd = of(vectors, groups), of(crowded, np.concatenate([groups, 1000 + np.arange(700) % 90]))
    assert with_crowd.origin == pytest.approx(alone.origin)
    assert with_crowd.voices == alone.voices == 60


@pytest.mark.parametrize("count", [200, 20_000])
def test_one_claimant_cannot_move_the_mean(count: int) -> None:
    rng = np.random.default_rng(4)
    vectors, groups = draws(5, 150), np.arange(150) // 5
    aim = unit(rng.standard_normal(DIMENSION))
    flood = quantised(aim + 0.1 * rng.standard_normal((count, DIMENSION)))
    flooded = of(np.concatenate([vectors, flood]), np.concatenate([groups, np.full(count, 77_777)]))
    honest = of(vectors, groups)
    assert np.linalg.norm(flooded.origin - honest.origin) <= 2 / 31 + 1e-6
    unweighted = unit(np.concatenate([vectors, flood]).astype(float)).mean(axis=0)
    assert np.linalg.norm(unweighted - honest.origin) > 0.5


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60).filter(lambda counts: sum(counts) >= MEAN_NEEDS))
def test_the_cap_is_a_tenth_or_the_least_that_leaves_enough_voices(counts: list[int]) -> None:
    cap = voice_cap(np.array(counts))
    voices = [min(count, cap) for count in counts]
    assert sum(voices) >= MEAN_NEEDS
    if max(voices) > sum(voices) / 10:
        assert cap == 1 or sum(min(count, cap - 1) for count in counts) < MEAN_NEEDS


def test_a_sample_keeps_small_claimants(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, groups = draws(6, 120), np.arange(120) // 2
    flood = np.repeat(draws(7, 1), 30_000, axis=0)  # of copies: what is drawn of it says nothing new
    everything = np.concatenate([flood[:10_000], vectors, flood[10_000:]])
    claimants = np.concatenate([np.full(10_000, 500), groups, np.full(20_000, 500)])
    monkeypatch.setattr(module, "SAMPLE_BYTES", 1000 * DIMENSION)
    assert of(everything, claimants).voices == 121


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=30), most=st.integers(1, 500))
def test_a_sample_crowds_nobody_out(sizes: list[int], most: int) -> None:
    groups = np.random.default_rng(8).permutation(np.repeat(np.arange(len(sizes)), sizes))
    taken = module._spread(groups, most)
    assert len(taken) <= most
    assert (np.diff(taken) > 0).all()
    drawn = defaultdict(int, zip(*np.unique(groups[taken], return_counts=True), strict=True))
    if most >= 2 * len(sizes):
        for claimant, size in enumerate(sizes):
            assert drawn[claimant] >= min(size, most // len(sizes)) / 2
