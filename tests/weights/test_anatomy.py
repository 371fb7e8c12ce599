"""Views over stored tensors give the rows they promise, read in bounded pieces, and refuse NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_source import MemorySource

from whorl.core.arrays import AnyArray, Ints
from whorl.core.errors import CheckpointError
from whorl.weights.anatomy import BLOCK_BYTES, Matrix

STORED = np.arange(1200 * 700, dtype=np.float32).reshape(1200, 700)


def _view(stored: AnyArray, rows_at: Ints, columns_at: range, transposed: bool = False) -> tuple[Matrix, MemorySource]:
    source = MemorySource({"w": stored}, {})
    return Matrix(source=source, name="w", rows_at=rows_at, columns_at=columns_at, transposed=transposed), source


def _expected(stored: AnyArray, matrix: Matrix) -> AnyArray:
    plane = stored.reshape(-1, stored.shape[-1])
    plane = plane.T if matrix.transposed else plane
    return plane[matrix.rows_at][:, matrix.columns_at.start : matrix.columns_at.stop]


VIEWS = {
    "whole": (np.arange(1200), range(700), False),
    "every third row": (np.arange(2, 1200, 3), range(700), False),
    "shuffled rows, some columns": (np.random.default_rng(0).permutation(1200)[:900], range(13, 600), False),
    "transposed": (np.arange(700), range(1200), True),
    "alternate columns of one expert": (np.arange(1, 700, 2), range(400, 800), True),
}


@pytest.mark.parametrize("view", list(VIEWS))
def test_blocks_are_the_view_in_order_and_bounded(view: str) -> None:
    matrix, source = _view(STORED, *VIEWS[view])
    firsts, blocks = zip(*matrix.blocks(), strict=True)
    assert all(block.dtype == np.float32 and block.nbytes <= BLOCK_BYTES for block in blocks)
    assert list(firsts) == list(np.cumsum([0, *map(len, blocks)])[:-1])
    np.testing.assert_array_equal(np.concatenate(blocks), _expected(STORED, matrix))
    assert matrix.shape == (sum(map(len, blocks)), blocks[0].shape[1])
    assert max(stop - start for _, start, stop in source.reads) * 700 * 4 <= BLOCK_BYTES


@pytest.mark.parametrize("view", list(VIEWS))
def test_observer_sees_each_touched_row_once_and_always_in_the_same_order(view: str) -> None:
    matrix, _ = _view(STORED, *VIEWS[view])
    seen: list[list[bytes]] = []
    for _ in range(2):
        seen.append([])
        for _ in matrix.blocks(lambda data: seen[-1].append(bytes(data))):
            pass
    assert seen[0] == seen[1]
    rows = np.frombuffer(b"".join(seen[0]), np.float32).reshape(-1, 700)
    touched = STORED[matrix.columns_at.start : matrix.columns_at.stop] if matrix.transposed else STORED[matrix.rows_at]
    np.testing.assert_array_equal(np.sort(rows[:, 0]), np.sort(touched[:, 0]))


def test_neighbouring_rows_are_fetched_by_one_read() -> None:
    matrix, source = _view(STORED, np.arange(1200), range(700))
    found = matrix.rows(np.array([7, 5, 6, 90, 5]))
    np.testing.assert_array_equal(found, STORED[[7, 5, 6, 90, 5]])
    assert source.reads == [("w", 5, 8), ("w", 90, 91)]


@given(data=st.data(), transposed=st.booleans())
def test_any_rows_of_any_view(data: st.DataObject, transposed: bool) -> None:
    stored = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    high, wide = (5, 12) if transposed else (12, 5)
    rows_at = np.array(data.draw(st.permutations(range(high)))[: data.draw(st.integers(1, high))])
    start = data.draw(st.integers(0, wide - 1))
    matrix, _ = _view(stored, rows_at, range(start, data.draw(st.integers(start + 1, wide))), transposed)
    index = np.array(data.draw(st.lists(st.integers(0, len(rows_at) - 1), max_size=20)), np.int64)
    np.testing.assert_array_equal(matrix.rows(index), _expected(stored, matrix)[index])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("transposed", [False, True])
def test_non_finite_values_are_refused_by_name(bad: float, transposed: bool) -> None:
    stored = np.ones((6, 6), np.float32)
    stored[4, 2] = bad
    matrix, _ = _view(stored, np.arange(6), range(6), transposed)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: tensor 'w': expected finite"):
        list(matrix.blocks())
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        matrix.rows(np.arange(6))


def test_values_that_cannot_be_squared_are_refused() -> None:
    large = np.full((600, 700), 1e14, np.float32)
    matrix, _ = _view(large, np.arange(600), range(700))
    assert sum(len(rows) for _, rows in matrix.blocks()) == 600
    matrix, _ = _view(large * np.float32(1e10), np.arange(600), range(700))
    with pytest.raises(CheckpointError, match="whose squares overflow"):
        list(matrix.blocks())
