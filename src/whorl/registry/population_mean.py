"""The direction that all models share, estimated so that no claimant and no crowd of copies can move it.

Each distinct vector is one voice of the claimant who entered it first: a hundred tunes of one model that left its
embeddings alone say the same thing once. A claimant has at most as many voices as the tenth-largest claimant has
distinct vectors, hence at most a tenth of the weight; where that would leave fewer than `MEAN_NEEDS` voices, the cap
is the lowest that leaves as many. Voices of a claimant above the cap are not chosen among but weighted down alike.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles, Ints
from whorl.registry.search_vectors import Vectors

MEAN_NEEDS: Final = 20
SAMPLE_BYTES: Final = 1 << 26
_LARGE_CLAIMANTS: Final = 10
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PopulationMean:
    """What is taken out of every vector before a cosine is taken.

    Parameters
    ----------
    origin : shape (dimension,); zeros where there are too few distinct vectors for a mean
    voices : how many voices it was estimated from; 0 for none
    rows : how many rows there were when it was estimated
    """

    origin: Doubles
    voices: int
    rows: int

    def due(self, rows: int) -> bool:
        """Whether it is to be estimated again at so many rows: when they have doubled, sooner while there is none."""
        return rows >= max(2 * self.rows, 1) or (not self.voices and MEAN_NEEDS <= rows < 20 * MEAN_NEEDS)


def no_mean(dimension: int, rows: int = 0) -> PopulationMean:
    """Nothing is taken out."""
    return PopulationMean(origin=np.zeros(dimension), voices=0, rows=rows)


def population_mean(parts: Sequence[tuple[Ints, Vectors]], dimension: int) -> PopulationMean:
    """Estimate the mean direction from stored rows, at most `SAMPLE_BYTES` of them.

    Parameters
    ----------
    parts : groups of shape (n,) and vectors of shape (n, dimension), in the order in which they were entered
    """
    rows = sum(len(groups) for groups, _ in parts)
    groups, vectors = _sample(parts, dimension)
    distinct = _first_of_each(vectors)
    if len(distinct) < MEAN_NEEDS:
        return no_mean(dimension, rows)
    _, claimant, counts = np.unique(groups[distinct], return_inverse=True, return_counts=True)
    voices = np.minimum(counts, voice_cap(counts))
    weights = (voices / counts)[claimant]
    total = np.zeros(dimension)
    block = max(1, _BLOCK // dimension)
    for start in range(0, len(distinct), block):
        wide = vectors[distinct[start : start + block]].astype(np.float64)
        total += np.vecdot((wide / np.sqrt(np.vecdot(wide, wide))[:, None]).T, weights[start : start + block])
    return PopulationMean(origin=total / voices.sum(), voices=int(voices.sum()), rows=rows)


def voice_cap(counts: Ints) -> int:
    """Most voices one claimant may have.

    Parameters
    ----------
    counts : distinct vectors of each claimant, `MEAN_NEEDS` or more in all
    """
    largest = np.sort(counts)[::-1]
    cap = int(largest[_LARGE_CLAIMANTS - 1]) if len(largest) >= _LARGE_CLAIMANTS else 1
    while np.minimum(counts, cap).sum() < MEAN_NEEDS:
        cap += 1
    return cap


def _sample(parts: Sequence[tuple[Ints, Vectors]], dimension: int) -> tuple[Ints, Vectors]:
    """Claimants and vectors of at most `SAMPLE_BYTES`: of large claimants every so-manieth row, of others all rows."""
    groups = np.concatenate([np.zeros(0, np.int64), *(part for part, _ in parts)])
    chosen = _spread(groups, max(1, SAMPLE_BYTES // dimension))
    vectors, start = [np.zeros((0, dimension), np.int8)], 0
    for part, rows in parts:
        vectors.append(rows[chosen[(chosen >= start) & (chosen < start + len(part))] - start])
        start += len(part)
    return groups[chosen], np.concatenate(vectors)


def _spread(groups: Ints, most: int) -> Ints:
    """Positions of at most ``most`` rows in which no claimant crowds out another."""
    if len(groups) <= most:
        return np.arange(len(groups))
    _, claimant, counts = np.unique(groups, return_inverse=True, return_counts=True)
    quota, ordered = most // len(counts), np.sort(counts)
    if quota:  # what small claimants leave over goes to the others
        below = np.concatenate([[0], np.cumsum(ordered)])[:-1]
        quota = int(((most - below) // np.arange(len(counts), 0, -1)).clip(0).max())
    order = np.argsort(claimant, kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    stride = -(-counts // max(1, quota))
    taken = np.sort(order[place % stride[claimant[order]] == 0])
    return np.asarray(taken[:: -(-len(taken) // most)], np.int64)


def _first_of_each(vectors: Vectors) -> Ints:
    """Positions of the first occurrence of each distinct vector."""
    digests = np.frombuffer(b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in vectors), np.uint64)
    return np.asarray(np.sort(np.unique(digests, return_index=True)[1]), np.int64)
