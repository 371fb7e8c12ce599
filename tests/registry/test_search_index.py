"""Searching: exact, capped per claimant, not misled by floods, and the same while rows are added."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from search_population import Population, population, quantised, reference_scores, rows_of, unit

from whorl.registry.population_mean import MEAN_NEEDS
from whorl.registry.search_index import SearchIndex
from whorl.registry.search_vectors import Hit, SearchIndexError, VectorRow, Vectors, scheme_id

DIMENSION = 64
SCHEME = scheme_id("fingerprint/1", DIMENSION)


def opened(
    folder: Path, *, dimension: int = DIMENSION, sketched: bool = False, segment_rows: int = 1 << 18
) -> SearchIndex:
    return SearchIndex.open(
        folder,
        scheme=SCHEME,
        dimension=dimension,
        segment_bytes=segment_rows * dimension,
        **({"exact_bytes": 0} if sketched else {}),
    )


def capped_reference(rows: list[VectorRow], scores: NDArray[np.float64], top: int, per_group: int) -> list[Hit]:
    seen: Counter[int] = Counter()
    hits = []
    for score, row in sorted(zip(scores, rows, strict=True), key=lambda pair: (-pair[0], pair[1].key)):
        seen[row.group] += 1
        if seen[row.group] <= per_group:
            hits.append(Hit(key=row.key, group=row.group, score=float(score)))
    return hits[:top]


def assert_same(found: list[Hit], expected: list[Hit]) -> None:
    assert [(hit.key, hit.group) for hit in found] == [(hit.key, hit.group) for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, MEAN_NEEDS - 1),
    top=st.integers(1, 12),
    per_group=st.integers(1, 4),
    segment_rows=st.integers(1, 30),
    kinds=st.integers(1, 12),
)
def test_without_a_mean_it_is_the_capped_plain_cosine(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    count: int,
    top: int,
    per_group: int,
    segment_rows: int,
    kinds: int,
) -> None:
    rng = np.random.default_rng(seed)
    several = rng.integers(-2, 3, (kinds, 4)).astype(np.int8)  # few values: equal vectors and equal scores are common
    several[:, 0], several[:, 1] = 3, -3
    vectors = several[rng.integers(0, kinds, count)]
    keys = rng.permutation(1000)[:count]
    rows = [
        VectorRow(key=int(key), group=int(group), vector=vector)
        for key, group, vector in zip(keys, rng.integers(0, 5, count), vectors, strict=True)
    ]
    question = several[0]
    with opened(tmp_path_factory.mktemp("index"), dimension=4, segment_rows=segment_rows) as index:
        index.add(rows)
        found = index.search(question, top=top, per_group=per_group)
    # Different vectors may have equal cosines but for the last digit: their order is open, their scores are not.
    expected = capped_reference(rows, reference_scores(vectors, question, np.zeros(4)), top, per_group)
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-9)
    assert max(Counter(hit.group for hit in found).values()) <= per_group
    vector_of = {row.key: row.vector.tobytes() for row in rows}
    for vector in set(vector_of.values()):
        equals = [hit for hit in found if vector_of[hit.key] == vector]
        assert equals == sorted(equals, key=lambda hit: hit.key)
        assert len({hit.score for hit in equals}) <= 1
    first_of = capped_reference(rows, reference_scores(vectors, question, np.zeros(4)).round(9), 1, 1)[0]
    assert found[0].key == first_of.key or vector_of[found[0].key] != vector_of[first_of.key]


@pytest.mark.parametrize("segment_rows", [100, 1 << 18])
def test_with_a_mean_it_is_the_capped_centred_cosine(tmp_path: Path, segment_rows: int) -> None:
    rng = np.random.default_rng(1)
    models = population(rng, families=50, members=20, dimension=DIMENSION)
    rows = rows_of(models.vectors, groups=rng.integers(0, 80, 1000).tolist())
    with opened(tmp_path, segment_rows=segment_rows) as index:
        index.rebuild(rows)
        mean = index_mean(index)
        for row in (0, 500, 999):
            question = models.related(row, 0.8, rng)[0]
            scores = reference_scores(models.vectors, question, mean)
            found = index.search(question, top=15, per_group=2)
            assert_same(found, capped_reference(rows, scores, 15, 2))
            assert models.family[found[0].key] == models.family[row]


@pytest.mark.parametrize("segment_rows", [300, 1 << 18])
def test_it_stays_exact_when_the_mean_is_estimated_anew(tmp_path: Path, segment_rows: int) -> None:
    """Models that hold more and less of what is shared, so that the mean matters more and less."""
    rng = np.random.default_rng(10)
    shared, own = unit(rng.standard_normal(8)), unit(rng.standard_normal((1500, 8)))
    part = 1 - 10 ** rng.uniform(-2.5, -0.05, (1500, 1))
    rows = rows_of(quantised(np.sqrt(part) * shared + np.sqrt(1 - part) * own))
    with opened(tmp_path, dimension=8, segment_rows=segment_rows) as index:
        for start, end in ((0, 19), (19, 700), (700, 1000), (1000, 1500)):
            index.add(rows[start:end])
            check_exact(index, rows[:end], rng)
        index.remove(range(0, 1500, 2))
        check_exact(index, rows[1::2], rng)


def check_exact(index: SearchIndex, rows: list[VectorRow], rng: np.random.Generator) -> None:
    for question in quantised(rng.standard_normal((15, 8))):
        scores = reference_scores(np.stack([row.vector for row in rows]), question, index_mean(index))
        assert_same(index.search(question, top=8, per_group=1), capped_reference(rows, scores, 8, 1))


def index_mean(index: SearchIndex) -> NDArray[np.float64]:
    return index._shown().mean.origin  # the frozen estimate, which test_population_mean.py checks


def test_equal_scores_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    vector = np.arange(DIMENSION, dtype=np.int8)
    with opened(tmp_path) as index:
        index.add([VectorRow(key=key, group=key, vector=vector) for key in (7, 3, 900, 12, 5)])
        assert [hit.key for hit in index.search(vector, top=4, per_group=1)] == [3, 5, 7, 12]
        assert index.search(vector, top=1, per_group=1)[0].score == pytest.approx(1)


def test_the_mean_makes_unrelated_models_unrelated(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    models = population(rng, families=400, members=1, dimension=DIMENSION)
    with opened(tmp_path) as index:
        index.add(rows_of(models.vectors))
        hits = index.search(models.related(7, 0.9, rng)[0], top=400, per_group=1)
    plain = reference_scores(models.vectors, models.vectors[7], np.zeros(DIMENSION))
    assert np.delete(plain, 7).mean() > 0.4
    assert abs(np.mean([hit.score for hit in hits[1:]])) < 0.05
    assert hits[0].key == 7
    assert hits[0].score > 0.8


def test_the_mean_itself_is_near_nobody(tmp_path: Path) -> None:
    vectors = np.repeat(np.eye(32, dtype=np.int8), 2, axis=0)
    vectors[1::2] *= -1
    with opened(tmp_path, dimension=32) as index:
        index.add(rows_of(vectors))
        assert index_mean(index) == pytest.approx(np.zeros(32))
        assert index._shown().mean.voices == 64
    question = np.zeros(32, np.int8)
    question[:2] = 5, 1
    with opened(tmp_path, dimension=32) as index:
        assert index.search(question, top=1, per_group=1)[0].key == 0


def flood(models: Population, victim: int, rng: np.random.Generator, count: int) -> Vectors:
    """What somebody enters to bury a model: its vector with a little noise."""
    return models.related(victim, 0.97, rng, count)


@pytest.mark.parametrize("sketched", [False, True])
def test_a_flood_by_one_claimant_does_not_hide_the_parent(tmp_path: Path, sketched: bool) -> None:
    rng = np.random.default_rng(3)
    models = population(rng, families=200, members=5, dimension=256)
    with opened(tmp_path, dimension=256, sketched=sketched, segment_rows=2000) as index:
        index.add(rows_of(models.vectors))
        index.add(rows_of(flood(models, 123, rng, 10_000), first_key=5000, groups=[999_999] * 10_000))
        question = models.related(123, 0.8, rng)[0]
        hits = index.search(question, top=10, per_group=3, candidates=200)
        unflooded = [hit.key for hit in index.search(question, top=13, per_group=10_000, candidates=20_000)]
    assert Counter(hit.group for hit in hits)[999_999] == 3
    assert 123 in [hit.key for hit in hits[:4]]
    assert 123 not in unflooded


@pytest.mark.parametrize("rounds", [1, 8])
def test_a_flood_in_many_shells_hides_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """Each claimant's rows hide the next one's. Where sketches give up, every row is compared."""
    rng = np.random.default_rng(4)
    models = population(rng, families=200, members=1, dimension=256)
    shells = np.concatenate([models.related(123, 0.99 - 0.01 * shell, rng, 100) for shell in range(40)])
    rows = rows_of(models.vectors)
    rows += rows_of(shells, first_key=5000, groups=[100_000 + place // 100 for place in range(4000)])
    monkeypatch.setattr("whorl.registry.nearest_rows._ROUNDS", rounds)
    with opened(tmp_path, dimension=256, sketched=True, segment_rows=500) as index:
        index.add(rows)
        question = models.related(123, 0.99, rng)[0]
        found = index.search(question, top=60, per_group=1, candidates=50)
        scores = reference_scores(np.stack([row.vector for row in rows]), question, index_mean(index))
    expected = capped_reference(rows, scores, 60, 1)
    assert found[0].key == expected[0].key == 123
    assert {hit.group for hit in found[:5]} == {hit.group for hit in expected[:5]}
    if rounds == 1:
        assert_same(found, expected)


def test_sketches_find_what_an_exact_search_finds(tmp_path: Path) -> None:
    """Families of one: a lone parent, related as loosely as long continued training leaves it."""
    rng = np.random.default_rng(5)
    models = population(rng, families=6000, members=1, dimension=256)
    with opened(tmp_path, dimension=256, sketched=True, segment_rows=1024) as index:
        index.add(rows_of(models.vectors))
        sketched = [segment.sketches is not None for segment in index._shown().segments]
        assert sketched == [True] * 5 + [False]
        for cosine, least in ((0.8, 100), (0.5, 97)):
            asked = rng.integers(0, 6000, 100)
            found = [
                index.search(models.related(row, cosine, rng)[0], top=1, per_group=1, candidates=64) for row in asked
            ]
            assert sum(hits[0].key == row for hits, row in zip(found, asked, strict=True)) >= least


def test_one_claimant_alone_has_its_cap_and_no_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    vectors = quantised(rng.standard_normal((3000, DIMENSION)))
    for sketched in (False, True):
        with opened(tmp_path / str(sketched), sketched=sketched, segment_rows=1000) as index:
            index.add(rows_of(vectors, groups=[4] * 3000))
            hits = index.search(vectors[1500], top=10, per_group=3, candidates=50)
        assert len(hits) == 3
        assert hits[0].key == 1500


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        assert index.count == 0
        assert index.search(np.arange(DIMENSION, dtype=np.int8), top=3, per_group=3) == []
        assert index.hubness(5, sample=10, generator=np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.arange(10, dtype=np.int8), r"expected 64 numbers, found an array of shape \(10,\)"),
        (np.ones((1, DIMENSION), np.int8), r"expected 64 numbers"),
        (np.arange(DIMENSION, dtype=np.int16), "expected an int8 vector, found int16"),
        (np.full(DIMENSION, np.nan), "found float64 with NaN or infinity"),
        (np.full(DIMENSION, np.inf, np.float32), "found float32 with NaN or infinity"),
        (np.ones(DIMENSION), "found float64;"),
        (np.zeros(DIMENSION, np.int8), "found every number 0"),
        (np.full(DIMENSION, 9, np.int8), "found every number 9"),
        (np.arange(-128, -128 + DIMENSION).astype(np.int8), "found -128 in it"),
        ([1, 2, 3], "found list"),
    ],
)
def test_malformed_vectors_are_refused(tmp_path: Path, vector: Vectors, message: str) -> None:
    good = np.arange(DIMENSION, dtype=np.int8)
    with opened(tmp_path) as index:
        index.add([VectorRow(key=1, group=1, vector=good)])
        with pytest.raises(SearchIndexError, match=message):
            index.search(vector, top=1, per_group=1)
        with pytest.raises(SearchIndexError, match=f"row 3: .*{message}"):
            index.add([VectorRow(key=2, group=1, vector=good[::-1].copy()), VectorRow(key=3, group=1, vector=vector)])
        with pytest.raises(SearchIndexError, match=f"row 3: .*{message}"):
            index.rebuild(
                [VectorRow(key=2, group=1, vector=good[::-1].copy()), VectorRow(key=3, group=1, vector=vector)]
            )
        assert index.keys().tolist() == [1]


@pytest.mark.parametrize(("key", "group"), [(-1, 0), (2**63, 0), (0, -1), (0, 2**63), ("a", 0)])
def test_malformed_numbers_are_refused(tmp_path: Path, key: int, group: int) -> None:
    with opened(tmp_path) as index, pytest.raises(SearchIndexError, match=r"expected a (key|group) from 0"):
        index.add([VectorRow(key=key, group=group, vector=np.arange(DIMENSION, dtype=np.int8))])


def test_a_hub_is_seen(tmp_path: Path) -> None:
    """Half of the models lean to one side more than the others; a vector that lies there is near all of these."""
    rng = np.random.default_rng(7)
    leaning, side = rng.exponential(size=400), unit(rng.standard_normal(DIMENSION))
    own = unit(rng.standard_normal((400, DIMENSION)))
    vectors = quantised(own + 0.8 * np.outer(leaning - 1, side))
    with opened(tmp_path) as index:
        index.add(rows_of(vectors))
        index.add(rows_of(quantised(side[None]), first_key=1000))
        hubs = index.hubness(10, sample=200, generator=np.random.default_rng(8))
    assert hubs[0].key == 1000
    assert hubs[0].count > 5 * (200 * 10 / 401)
    assert sum(hub.count for hub in hubs) == 200 * 10


def test_searches_go_on_while_rows_are_added(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    models = population(rng, families=100, members=20, dimension=DIMENSION)
    rows = rows_of(models.vectors)
    wrong: list[object] = []
    done = threading.Event()

    def search(index: SearchIndex, row: int) -> None:
        try:
            while not done.is_set():
                before = index.count
                hits = index.search(models.vectors[row], top=5, per_group=1)
                if before > row and (hits[0].key != row or hits[0].score < 0.999999):
                    wrong.append(hits)
        except Exception as error:
            wrong.append(error)

    with opened(tmp_path, sketched=True, segment_rows=300) as index:
        index.add(rows[:100])
        threads = [threading.Thread(target=search, args=(index, row)) for row in (0, 50, 300, 1500)]
        for thread in threads:
            thread.start()
        for start in range(100, 2000, 50):
            index.add(rows[start : start + 50])
        index.remove(range(1900, 2000))
        index.rebuild(rows[:1900])
        done.set()
        for thread in threads:
            thread.join()
        assert index.count == 1900
    assert wrong == []
