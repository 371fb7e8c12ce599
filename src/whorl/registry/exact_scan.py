"""A fast scan of every stored vector: an upper bound of each row's score, in single precision.

`whorl.registry.claimant_caps` scores rows in double precision from the highest bound down, so that the answer is exact.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles, Floats
from whorl.registry.search_vectors import NO_DIRECTION, Vectors

_BLOCK: Final = 1 << 20  # numbers: with the converted copy, what stays in a processor's cache
_PIECE_ROWS: Final = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scales:
    """Per row: what the dot product with a direction, and what the origin's share of it, is multiplied by."""

    of_row: Floats
    of_origin: Floats

    def __getitem__(self, rows: slice) -> "Scales":
        return Scales(of_row=self.of_row[rows], of_origin=self.of_origin[rows])


def scales_of(vectors: Vectors, origin: Doubles) -> Scales:
    """For v of unit direction u, with u - origin of length g: 1 / (|v| g) and 1 / g; 0 where no direction is left."""
    of_row, of_origin = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    block = max(1, _BLOCK // origin.size)
    squared = float(origin @ origin)
    for start in range(0, len(vectors), block):
        wide = vectors[start : start + block].astype(np.float64)
        lengths = np.sqrt(np.vecdot(wide, wide))
        gaps = np.sqrt(np.maximum(1 - 2 * np.vecdot(wide, origin) / lengths + squared, 0))
        gaps[gaps <= NO_DIRECTION] = np.inf
        of_row[start : start + block] = 1 / (lengths * gaps)
        of_origin[start : start + block] = 1 / gaps
    return Scales(of_row=of_row, of_origin=of_origin)


def upper_bounds(
    parts: Sequence[tuple[Vectors, Scales]], direction: Doubles, origin: Doubles, *, pool: Executor, workers: int
) -> Floats:
    """No score is above its bound, and no bound is above its score by more than rounding can account for.

    Parameters
    ----------
    direction : shape (dimension,), of unit length
    """
    # A sum of d products in single precision is off by at most d * 2^-24 of the product of the lengths; doubled, and
    # some more for the multiplications around it.
    slack = (direction.size + 16) * 2.0**-23
    offset = np.float32(float(origin @ direction) - slack)
    sought = direction.astype(np.float32)
    bounds = np.empty(sum(len(vectors) for vectors, _ in parts), np.float32)
    pieces: list[tuple[Vectors, Scales, Floats]] = []
    filled = 0
    for vectors, scales in parts:
        for start in range(0, len(vectors), _PIECE_ROWS):
            rows = slice(start, min(start + _PIECE_ROWS, len(vectors)))
            pieces.append((vectors[rows], scales[rows], bounds[filled + rows.start : filled + rows.stop]))
        filled += len(vectors)
    list(pool.map(lambda share: _bound(share, sought, offset), (pieces[first::workers] for first in range(workers))))
    return bounds


def _bound(pieces: Sequence[tuple[Vectors, Scales, Floats]], sought: Floats, offset: np.float32) -> None:
    block = max(1, _BLOCK // sought.size)
    converted = np.empty((block, sought.size), np.float32)
    for vectors, scales, bounds in pieces:
        for start in range(0, len(vectors), block):
            rows = slice(start, start + block)
            part = converted[: len(vectors[rows])]
            part[...] = vectors[rows]
            # Not a matrix product: BLAS would start threads of its own, which get in each other's way.
            np.vecdot(part, sought, out=bounds[rows])
        bounds *= scales.of_row
        bounds -= offset * scales.of_origin
