"""Sketches: a few hundred bits per vector, by which a large index finds the rows worth scoring exactly.

Bit i says on which side of a random plane through the population's mean a vector lies; the planes are perpendicular
to each other. Two vectors at an angle t differ in a share t / pi of the bits, so that the Hamming distance of two
sketches estimates the angle: M. Charikar, Similarity estimation techniques from rounding algorithms, STOC 2002;
perpendicular planes (a smaller error): J. Ji et al., Super-bit locality-sensitive hashing, NIPS 2012. Every sketch is
compared: unlike in a graph of neighbours, no row is out of reach, whatever lies around it.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray, Doubles, Floats, Ints
from whorl.registry.row_records import map_checked
from whorl.registry.search_vectors import Vectors

MOST_BITS: Final = 512
_WORD: Final = 64
_SEED: Final = 1
_BLOCK: Final = 1 << 20
_PIECE_ROWS: Final = 1 << 17
_SAMPLED: Final = 16  # one distance in so many is counted to find the radius of a search

Words: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sketches:
    """Sketches of the rows of one file.

    Parameters
    ----------
    offsets : shape (bits,); the population's mean on the normals of the planes, when the sketches were made
    groups : shape (n,); claimants of the rows, kept here because a search in a flood reads all of them
    words : shape (bits / 64, n)
    """

    offsets: Floats
    groups: Ints
    words: Words


def bits_of(dimension: int) -> int:
    """Length of a sketch: as many bits as dimensions, in whole words, from one word to `MOST_BITS`."""
    return max(_WORD, min(MOST_BITS, dimension // _WORD * _WORD))


@lru_cache(maxsize=8)
def normals(dimension: int) -> Floats:
    """Normals of the planes, shape (bits, dimension): rows of random rotations, always the same ones."""
    generator = np.random.Generator(np.random.PCG64(_SEED))
    rows: list[AnyArray] = []
    missing = bits_of(dimension)
    while missing > 0:
        taken = min(dimension, missing)
        rows.append(np.linalg.qr(generator.standard_normal((dimension, taken)))[0].T)
        missing -= taken
    return np.ascontiguousarray(np.concatenate(rows), np.float32)


def encode_sketches(groups: Ints, vectors: Vectors, origin: Doubles) -> bytes:
    """The sketch file of some rows: origin, groups, then the words plane by plane, all little-endian."""
    from whorl.fingerprints.extraction import single_threaded_blas

    dimension = origin.size
    planes = normals(dimension)
    offsets = _offsets(origin)
    words = np.empty((len(planes) // _WORD, len(vectors)), np.uint64)
    block = max(1, _BLOCK // dimension)
    with single_threaded_blas():
        for start in range(0, len(vectors), block):
            wide = vectors[start : start + block].astype(np.float32)
            wide /= np.sqrt(np.vecdot(wide, wide))[:, None]
            words[:, start : start + block] = _packed(wide @ planes.T > offsets).T
    return origin.astype("<f8").tobytes() + groups.astype("<i8").tobytes() + words.astype("<u8").tobytes()


def open_sketches(path: Path, dimension: int, *, count: int, checksum: int) -> Sketches:
    """Map a sketch file of ``count`` rows.

    Raises
    ------
    SearchIndexError
        If it has another length, or another CRC-32 than ``checksum``.
    """
    length = 8 * (dimension + count + bits_of(dimension) // _WORD * count)
    mapped = map_checked(path, length=length, checksum=checksum)
    ends = (8 * dimension, 8 * (dimension + count))
    return Sketches(
        offsets=_offsets(mapped[: ends[0]].view("<f8")),
        groups=mapped[ends[0] : ends[1]].view("<i8"),
        words=mapped[ends[1] :].view("<u8").reshape(-1, count),
    )


def checksum_of(data: bytes) -> int:
    """CRC-32 by which `open_sketches` knows the file again."""
    return zlib.crc32(data)


def planes_of(vector: Vectors) -> Floats:
    """Where a vector's direction lies along the normals of the planes, before any mean is taken out."""
    unit = vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64))
    return np.asarray(np.vecdot(normals(vector.size), unit.astype(np.float32)))


def distances(sketches: Sketches, along: Floats) -> AnyArray:
    """Hamming distance of each sketch from that of a vector, shape (n,), of unsigned integers.

    Parameters
    ----------
    along : from `planes_of`
    """
    sought = _packed((along > sketches.offsets)[None])[0]
    count = sketches.words.shape[1]
    # Of 256 bits, a distance of 256 is counted as 0. That row is the opposite of what is sought, and scoring says so.
    found = np.empty(count, np.uint8 if len(sought) * _WORD <= 256 else np.uint16)
    differing, ones = np.empty(_PIECE_ROWS, np.uint64), np.empty(_PIECE_ROWS, np.uint8)
    for start in range(0, count, _PIECE_ROWS):
        piece = found[start : start + _PIECE_ROWS]
        for place, (word, wanted) in enumerate(zip(sketches.words[:, start : start + len(piece)], sought, strict=True)):
            np.bitwise_xor(word, wanted, out=differing[: len(piece)])
            np.bitwise_count(differing[: len(piece)], out=ones[: len(piece)])
            np.add(piece, ones[: len(piece)], out=piece) if place else np.copyto(piece, ones[: len(piece)])
    return found


def set_aside(found: AnyArray, rows: AnyArray) -> None:
    """Put rows (positions or a mask) out of reach of `within`."""
    found[rows] = _out_of_reach(found)


def within(found: Sequence[AnyArray], wanted: int) -> list[Ints]:
    """Positions of the nearest rows of each part, about ``wanted`` in all; more where many lie at one distance."""
    counts = np.zeros(MOST_BITS + 2, np.int64)
    for part in found:
        step = max(1, min(_SAMPLED, len(part) // 1024))
        reached = part[::step]
        counts += np.bincount(reached[reached < _out_of_reach(part)], minlength=len(counts)) * step
    radius = int(np.searchsorted(np.cumsum(counts), wanted))
    return [np.flatnonzero(part <= min(radius, _out_of_reach(part) - 1)) for part in found]


def _out_of_reach(found: AnyArray) -> int:
    return 255 if found.dtype == np.uint8 else MOST_BITS + 1


def _offsets(origin: Doubles) -> Floats:
    return np.asarray(np.vecdot(normals(origin.size), origin.astype(np.float32)))


def _packed(bits: NDArray[np.bool_]) -> Words:
    """Rows of bits as rows of words, the same on every processor."""
    return np.packbits(bits, axis=1, bitorder="little").view("<u8")
