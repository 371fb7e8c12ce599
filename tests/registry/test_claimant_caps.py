"""The capped best rows are exact for any upper bounds, and sketches get past one claimant's flood on their own."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_population import population

from whorl.core.arrays import Ints
from whorl.registry.claimant_caps import Scored, best_rows, capped, full_groups
from whorl.registry.nearest_rows import sketched_candidates
from whorl.registry.search_vectors import directions, exact_scores
from whorl.registry.sketches import checksum_of, encode_sketches, open_sketches


def reference(keys: Ints, groups: Ints, scores: np.ndarray, per_group: int) -> list[int]:
    taken: dict[int, int] = {}
    stays = []
    for place in sorted(range(len(keys)), key=lambda place: (-scores[place], keys[place])):
        taken[groups[place]] = taken.get(groups[place], 0) + 1
        if taken[groups[place]] <= per_group:
            stays.append(place)
    return stays


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 600),
    claimants=st.integers(1, 40),
    top=st.integers(1, 30),
    per_group=st.integers(1, 5),
    slack=st.sampled_from([0.0, 0.01, 0.3]),
    levels=st.sampled_from([3, 50, 10**6]),
    earlier=st.integers(0, 50),
)
def test_the_best_are_exact_for_any_upper_bounds(
    seed: int, count: int, claimants: int, top: int, per_group: int, slack: float, levels: int, earlier: int
) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.permutation(10_000)[: count + earlier]
    groups = (claimants * rng.random(count + earlier) ** 3).astype(np.int64)  # some large, many small
    scores = rng.integers(-levels, levels + 1, count + earlier) / levels
    bounds = (scores + slack * rng.random(len(scores)) + 1e-6).astype(np.float32)[:count]
    expected = reference(keys, groups, scores, per_group)[:top]
    found = best_rows(
        bounds,
        [groups[: count // 3], groups[count // 3 : count]],
        lambda rows: Scored(keys=keys[rows], groups=groups[rows], scores=scores[rows]),
        before=Scored(keys=keys[count:], groups=groups[count:], scores=scores[count:]),
        top=top,
        per_group=per_group,
    )
    assert found.keys.tolist() == keys[expected].tolist()
    assert found.groups.tolist() == groups[expected].tolist()
    assert found.scores.tolist() == scores[expected].tolist()


@pytest.mark.parametrize("claimants", [3, 10**5])
def test_the_best_of_very_many_rows_are_exact(claimants: int) -> None:
    """So many that where to cut is told from some of the rows."""
    rng = np.random.default_rng(claimants)
    keys, groups = rng.permutation(10**6)[:300_000], rng.integers(0, claimants, 300_000)
    scores = np.concatenate([rng.normal(0, 0.1, 299_900), np.full(100, 0.6)]).round(4)
    scored: list[Ints] = []

    def score(rows: Ints) -> Scored:
        scored.append(rows)
        return Scored(keys=keys[rows], groups=groups[rows], scores=scores[rows])

    bounds = (scores + 1e-6 + 0.01 * rng.random(300_000)).astype(np.float32)
    found = best_rows(bounds, [groups], score, before=Scored.joined([]), top=8, per_group=2)
    expected = reference(keys, groups, scores, 2)[:8]
    assert found.keys.tolist() == keys[expected].tolist()
    assert sum(map(len, scored)) < 3000


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), max_size=40),
    st.integers(1, 4),
)
def test_the_cap_keeps_each_claimants_best(rows: list[tuple[int, int]], per_group: int) -> None:
    keys = np.arange(len(rows))[::-1].copy()
    groups, scores = np.array([*rows, (0, 0)], np.int64)[:-1].T
    assert capped(keys, groups, scores / 3, per_group).tolist() == reference(keys, groups, scores / 3, per_group)
    counts = {group: groups.tolist().count(group) for group in set(groups.tolist())}
    assert full_groups(groups, per_group).tolist() == sorted(
        group for group, count in counts.items() if count >= per_group
    )


@pytest.mark.parametrize("others", [800, 1])
def test_sketches_get_past_a_flood(tmp_path: Path, others: int) -> None:
    """Without looking at more than a few of its rows, and also where there is next to nothing else."""
    rng = np.random.default_rng(1)
    models = population(rng, families=others, members=1, dimension=256)
    vectors = np.concatenate([models.vectors, models.related(0, 0.95, rng, 5000)])
    groups = np.concatenate([np.arange(others), np.full(5000, 77_777)])
    origin = np.sqrt(0.5) * models.shared
    data = encode_sketches(groups, vectors, origin)
    (tmp_path / "sketches.bin").write_bytes(data)
    sketches = open_sketches(tmp_path / "sketches.bin", 256, count=len(vectors), checksum=checksum_of(data))
    question = models.related(0, 0.8, rng)[0]
    direction = directions(question[None], origin)[0]

    def score(_: int, rows: Ints) -> Scored:
        return Scored(keys=rows, groups=groups[rows], scores=exact_scores(vectors[rows], direction, origin))

    with ThreadPoolExecutor(1) as pool:
        found = sketched_candidates([sketches], question, score, wanted=100, per_group=3, pool=pool)
    assert found is not None
    assert len(found.keys) < 600
    assert 0 in found.keys
    assert len(set(found.groups.tolist())) >= min(others, 20)
