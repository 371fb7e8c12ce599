"""Related models as points in one coordinate system, and what the inference needs to know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats, Ints

COVERS: Final = 0.98  # share of a model's rows that another one must have to be held against it row by row
MOST: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Geometry:
    """Inner products of related models, row by row, in one gauge.

    Parameters
    ----------
    products : shape (rows, n, n), inner product of the two models' versions of a row; NaN where either lacks the row
    blocks : shape (rows,), which block (a kind of weight in one layer) each row belongs to; blocks vary independently
        enough for a delete-one jackknife
    characters : for each model, states of what training does not change (see `whorl.lineage.characters`)
    """

    products: Floats
    blocks: Ints
    characters: tuple[Mapping[str, str], ...]

    @property
    def models(self) -> int:
        return len(self.characters)

    def of(self, models: Sequence[int]) -> "Geometry":
        """The same of fewer models."""
        chosen = list(models)
        return Geometry(
            products=self.products[:, chosen][:, :, chosen],
            blocks=self.blocks,
            characters=tuple(self.characters[model] for model in chosen),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distances:
    """Squared distances between some models, on the rows that all of them have.

    Parameters
    ----------
    members : the models, in the order of the tables
    by_block : shape (blocks, members, members); each block scaled to weigh the same
    total : shape (members, members), the sum over blocks
    """

    members: tuple[int, ...]
    by_block: Doubles
    total: Doubles

    def between(self, one: int, other: int) -> float:
        """Squared distance of two members."""
        place = self.members.index
        return float(self.total[place(one), place(other)])

    def among(self, members: Sequence[int]) -> "Distances":
        """The same distances between fewer models."""
        places = [self.members.index(member) for member in members]
        by_block = self.by_block[:, places][:, :, places]
        return Distances(members=tuple(members), by_block=by_block, total=by_block.sum(axis=0))


def distances_by_model(geometry: Geometry) -> list[Distances]:
    """For each model, squared distances on the rows that it has, between it and all that have nearly all of them."""
    there = _there(geometry)
    known: dict[bytes, Distances] = {}
    found = []
    for model in range(geometry.models):
        key = there[:, model].tobytes()
        if key not in known:
            known[key] = _distances(geometry, there, there[:, model])
        found.append(known[key])
    return found


def common_distances(geometry: Geometry) -> Distances:
    """Squared distances on the rows that most models have, between all that have nearly all of those."""
    there = _there(geometry)
    return _distances(geometry, there, there.mean(axis=1) > MOST)


def coverage(geometry: Geometry) -> AnyArray:
    """Shape (n, n): whether the row model has nearly all rows of the column model."""
    there = _there(geometry).astype(np.float64)
    shared = there.T @ there
    return np.asarray(shared / np.maximum(np.diagonal(shared), 1)[None, :] >= COVERS)


def _there(geometry: Geometry) -> AnyArray:
    """Shape (rows, n): which model has which row."""
    return np.asarray(~np.isnan(np.diagonal(geometry.products, axis1=1, axis2=2)))


def _distances(geometry: Geometry, there: AnyArray, rows: AnyArray) -> Distances:
    """On the given rows; blocks are brought to one scale: a large embedding must not outvote every layer."""
    covering = there[rows].mean(axis=0) >= COVERS if rows.any() else np.zeros(geometry.models, bool)
    members = np.flatnonzero(covering)
    taken = rows & there[:, members].all(axis=1)
    blocks = []
    for block in np.unique(geometry.blocks[taken]):
        at = np.flatnonzero(taken & (geometry.blocks == block))
        gram = geometry.products[at][:, members][:, :, members].sum(axis=0, dtype=np.float64)
        square = np.diagonal(gram)
        distance = np.maximum(square[:, None] + square[None, :] - 2 * gram, 0)
        above = distance[np.triu_indices(len(distance), 1)]
        blocks.append(distance / (float(np.median(above[above > 0])) if (above > 0).any() else 1.0))
    by_block = np.asarray(blocks) if blocks else np.zeros((0, len(members), len(members)))
    return Distances(members=tuple(members.tolist()), by_block=by_block, total=by_block.sum(axis=0))
