"""Bounds from the scan: never below the score, and not far above it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from search_population import population, quantised, reference_scores, unit

from whorl.registry.exact_scan import scales_of, upper_bounds
from whorl.registry.search_vectors import directions, exact_scores


@pytest.mark.parametrize("dimension", [3, 64, 2080])
def test_bounds_are_never_below_the_score(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    models = population(rng, families=300, members=2, dimension=dimension)
    origin = unit(models.vectors.astype(float)).mean(axis=0)
    direction = directions(models.related(0, 0.5, rng), origin)[0]
    exact = exact_scores(models.vectors, direction, origin)
    parts = [(part, scales_of(part, origin)) for part in (models.vectors[:250], models.vectors[250:])]
    with ThreadPoolExecutor(2) as pool:
        bounds = upper_bounds(parts, direction, origin, pool=pool, workers=2)
    assert (bounds >= exact).all()
    assert bounds == pytest.approx(exact, abs=1e-5 * dimension / 8 + 1e-4)


def test_a_row_next_to_the_mean_has_a_wide_bound() -> None:
    rng = np.random.default_rng(1)
    shared = quantised(rng.standard_normal(256))
    vectors = np.stack([shared, np.roll(shared, 1), *(shared,) * 5])
    vectors[2:, 0] += np.arange(5, dtype=np.int8)
    for distance in (0, 1e-7, 1e-4):
        origin = unit(shared.astype(float)) * (1 - distance)
        direction = directions(np.roll(shared, 1)[None], origin)[0]
        exact = exact_scores(vectors, direction, origin)
        with ThreadPoolExecutor(1) as pool:
            bounds = upper_bounds([(vectors, scales_of(vectors, origin))], direction, origin, pool=pool, workers=1)
        assert (bounds >= exact).all()
        assert (exact[0] == 0) == (distance < 1e-5)


def test_exact_scores_are_cosines_from_the_mean() -> None:
    rng = np.random.default_rng(2)
    vectors = quantised(rng.standard_normal((3000, 700)))
    origin = 0.3 * unit(rng.standard_normal(700))
    scores = exact_scores(vectors, directions(vectors[5:6], origin)[0], origin)
    assert scores == pytest.approx(reference_scores(vectors, vectors[5], origin), abs=1e-12)
    assert exact_scores(vectors[:0], origin, origin).shape == (0,)
