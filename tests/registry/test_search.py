"""Ranking: exact, free of what all models share, and not misled by a crowd of copies."""

import numpy as np
import pytest

from whorl.core.arrays import Floats
from whorl.registry.search import MEAN_NEEDS, Vectors, cosines, population_mean

DIMENSION = 500


def quantised(rows: Floats) -> Vectors:
    return np.rint(np.clip(20 * rows, -127, 127)).astype(np.int8)


def population(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """What every model shares, and each model's own part."""
    return 2 * rng.standard_normal(DIMENSION), rng.standard_normal((count, DIMENSION))


def test_without_a_mean_it_is_the_plain_cosine() -> None:
    rng = np.random.default_rng(1)
    stored = rng.integers(-127, 128, (9, DIMENSION)).astype(np.int8)
    query = rng.integers(-127, 128, DIMENSION).astype(np.int8)
    found = np.concatenate(list(cosines([stored[:4], stored[4:]], query, mean=None)))
    wide = stored.astype(float)
    expected = wide @ query / np.linalg.norm(wide, axis=1) / np.linalg.norm(query.astype(float))
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_mean_takes_out_what_unrelated_models_share() -> None:
    rng = np.random.default_rng(2)
    shared, own = population(rng, 60)
    stored, query = quantised(shared + own), quantised(shared + own[7] + 0.5 * rng.standard_normal(DIMENSION))
    plain = next(cosines([stored], query, mean=None))
    centred = next(cosines([stored], query, mean=population_mean([stored[:30], stored[30:]])))
    assert np.delete(plain, 7).mean() > 0.7
    assert abs(np.delete(centred, 7).mean()) < 0.05
    assert centred.argmax() == 7
    assert centred[7] > 0.8


def test_too_few_distinct_vectors_have_no_mean() -> None:
    rng = np.random.default_rng(3)
    stored = quantised(rng.standard_normal((MEAN_NEEDS, DIMENSION)))
    assert population_mean([]) is None
    assert population_mean([stored[1:], np.repeat(stored[1:2], 100, axis=0)]) is None
    assert population_mean([stored]) is not None


def test_a_crowd_of_equal_vectors_is_one_voice() -> None:
    rng = np.random.default_rng(4)
    stored = quantised(rng.standard_normal((30, DIMENSION)))
    crowded = np.concatenate([stored, np.repeat(stored[:1], 500, axis=0)])
    mean, with_crowd = population_mean([stored]), population_mean([crowded[:300], crowded[300:]])
    assert mean is not None
    assert with_crowd == pytest.approx(mean, abs=1e-6)


def test_vectors_without_direction_score_zero() -> None:
    stored = np.zeros((2, 4), dtype=np.int8)
    stored[1] = 5
    assert next(cosines([stored], stored[1], mean=None)).tolist() == pytest.approx([0, 1])
    assert next(cosines([stored], stored[0], mean=None)).tolist() == [0, 0]
