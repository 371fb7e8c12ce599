"""Synthetic search vectors as registries hold them: a part that all share, families, members, and questions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Floats
from whorl.registry.search_vectors import VectorRow, Vectors


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def quantised(rows: NDArray[np.float64]) -> Vectors:
    return np.rint(127 * rows / np.abs(rows).max(axis=-1, keepdims=True)).astype(np.int8)


def mixed(left: NDArray[np.float64], right: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Unit rows whose squared length comes by ``share`` from the left ones."""
    return unit(np.sqrt(share) * unit(left) + np.sqrt(1 - share) * unit(right))


@dataclass(frozen=True, kw_only=True)
class Population:
    """Half of every vector is shared by all; of the rest, 0.7 by its family."""

    shared: NDArray[np.float64]
    centres: NDArray[np.float64]
    own: NDArray[np.float64]
    family: NDArray[np.int64]
    vectors: Vectors

    def related(self, row: int, cosine: float, rng: np.random.Generator, count: int = 1) -> Vectors:
        """Vectors whose own part has this cosine with a row's."""
        noise = rng.standard_normal((count, len(self.shared)))
        noise -= np.outer(noise @ self.own[row], self.own[row])
        own = cosine * self.own[row] + np.sqrt(1 - cosine**2) * unit(noise)
        return quantised(mixed(np.broadcast_to(self.shared, own.shape), own, 0.5))


def population(rng: np.random.Generator, *, families: int, members: int, dimension: int) -> Population:
    shared = unit(rng.standard_normal(dimension))
    centres = unit(rng.standard_normal((families, dimension)))
    family = np.repeat(np.arange(families), members)
    own = mixed(centres[family], rng.standard_normal((len(family), dimension)), 0.7)
    vectors = quantised(mixed(np.broadcast_to(shared, own.shape), own, 0.5))
    return Population(shared=shared, centres=centres, own=own, family=family, vectors=vectors)


def rows_of(vectors: Vectors, *, first_key: int = 0, groups: list[int] | None = None) -> list[VectorRow]:
    """Rows with ascending keys, each of a claimant of its own unless given."""
    return [
        VectorRow(key=first_key + place, group=first_key + place if groups is None else groups[place], vector=vector)
        for place, vector in enumerate(vectors)
    ]


def reference_scores(vectors: Vectors, question: Vectors, mean: Floats | NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines after the mean is taken out, written down without any of the code under test."""
    rows = unit(vectors.astype(float)) - mean
    sought = unit(question.astype(float)) - mean
    return np.asarray(rows @ sought / np.linalg.norm(rows, axis=1) / np.linalg.norm(sought))
