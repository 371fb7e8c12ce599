"""Sketches: Hamming distances that estimate angles, counted right, and picked about as many as asked for."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from search_population import quantised, unit

from whorl.core.arrays import Doubles
from whorl.registry.search_vectors import SearchIndexError, Vectors
from whorl.registry.sketches import (
    MOST_BITS,
    Sketches,
    bits_of,
    checksum_of,
    distances,
    encode_sketches,
    normals,
    open_sketches,
    planes_of,
    set_aside,
    within,
)


def sketched(folder: Path, vectors: Vectors, origin: Doubles) -> Sketches:
    data = encode_sketches(np.arange(len(vectors)), vectors, origin)
    (folder / "sketches.bin").write_bytes(data)
    dimension = vectors.shape[1]
    return open_sketches(folder / "sketches.bin", dimension, count=len(vectors), checksum=checksum_of(data))


@pytest.mark.parametrize(("dimension", "bits"), [(3, 64), (64, 64), (100, 64), (256, 256), (2080, 512)])
def test_a_sketch_has_as_many_bits_as_dimensions_up_to_a_cap(dimension: int, bits: int) -> None:
    assert bits_of(dimension) == bits
    planes = normals(dimension)
    assert planes.shape == (bits, dimension)
    blocks = planes[:dimension]
    assert blocks @ blocks.T == pytest.approx(np.eye(len(blocks)), abs=1e-5)


@pytest.mark.parametrize("dimension", [5, 64, 256, 2080])
def test_distances_are_counted_right(tmp_path: Path, dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    vectors = quantised(rng.standard_normal((500, dimension)))
    origin = 0.5 * unit(rng.standard_normal(dimension))
    sketches = sketched(tmp_path, vectors, origin)
    assert sketches.groups.tolist() == list(range(500))

    def bits(rows: Vectors) -> NDArray[np.bool_]:
        return (unit(rows.astype(float)) - origin) @ normals(dimension).T.astype(float) > 0

    expected = (bits(vectors) != bits(vectors[7:8])).sum(axis=1)
    found = distances(sketches, planes_of(vectors[7])).astype(int)
    # Rounding decides a bit where a vector lies in the plane itself, to seven digits: hardly ever.
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.02
    assert found[7] == 0


@pytest.mark.parametrize("cosine", [0.3, 0.6, 0.9])
def test_distances_estimate_angles(tmp_path: Path, cosine: float) -> None:
    rng = np.random.default_rng(1)
    origin = 0.7 * unit(rng.standard_normal(256))
    own = unit(rng.standard_normal(256))
    noise = rng.standard_normal((2000, 256))
    noise -= np.outer(noise @ own, own)
    related = cosine * own + np.sqrt(1 - cosine**2) * unit(noise)
    sketches = sketched(tmp_path, quantised(_around(origin, related)), origin)
    found = distances(sketches, planes_of(quantised(_around(origin, own[None]))[0])) / 256
    assert found.mean() == pytest.approx(np.arccos(cosine) / np.pi, abs=0.02)  # one vector, its bits fixed
    assert found.std() < 0.03


def _around(origin: Doubles, directions: Doubles) -> Doubles:
    """Unit vectors whose way from the origin has the given directions."""
    along = directions @ origin
    return origin + (np.sqrt(along**2 + 1 - origin @ origin) - along)[:, None] * directions


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_the_nearest_are_picked_and_set_aside(kind: type) -> None:
    rng = np.random.default_rng(2)
    middle = 128 if kind is np.uint8 else 256
    found = [rng.normal(middle, 8, size).clip(1, 2 * middle - 5).astype(kind) for size in (70_000, 3, 30_000)]
    found[1][2] = 0
    places = within(found, 500)
    picked = sum(map(len, places))
    assert 500 / 3 <= picked <= 500 * 3
    farthest = max(part[rows].max() for part, rows in zip(found, places, strict=True) if len(rows))
    assert picked == sum((part <= farthest).sum() for part in found)
    assert 2 in places[1]
    for part, rows in zip(found, places, strict=True):
        set_aside(part, rows)
    again = within(found, 500)
    assert not any(np.isin(first, second).any() for first, second in zip(places, again, strict=True))
    assert 500 / 3 <= sum(map(len, again)) <= 500 * 3
    for part in found:
        set_aside(part, np.ones(len(part), bool))
    assert [len(rows) for rows in within(found, 500)] == [0, 0, 0]


def test_fewer_rows_than_wanted_are_all_picked() -> None:
    found = [np.arange(200, dtype=np.uint8), np.full(9, MOST_BITS, np.uint16)]
    assert [len(rows) for rows in within(found, 10_000)] == [200, 9]


def test_a_file_of_another_length_or_content_is_refused(tmp_path: Path) -> None:
    vectors = quantised(np.random.default_rng(3).standard_normal((50, 64)))
    data = encode_sketches(np.arange(50), vectors, np.zeros(64))
    path = tmp_path / "sketches.bin"
    path.write_bytes(data)
    right = checksum_of(data)
    for count, checksum, message in (
        (51, right, f"expected {len(data) + 16} bytes, found {len(data)}"),
        (50, right ^ 1, f"expected CRC-32 {right ^ 1:08x}, found {right:08x}"),
    ):
        with pytest.raises(SearchIndexError, match=message):
            open_sketches(path, 64, count=count, checksum=checksum)
    with pytest.raises(SearchIndexError, match="expected a file that can be read"):
        open_sketches(tmp_path / "none.bin", 64, count=50, checksum=right)
