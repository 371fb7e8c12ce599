"""What the search index stores and gives back, what it refuses, and the exact score of one vector against others.

Search vectors describe how a model's parts lie relative to each other. Models trained on similar data agree in part of
that whoever trained them, so unrelated entries have a high plain cosine. That common part, the population's mean
direction, is taken out of both sides before the cosine is taken: see `whorl.registry.population_mean`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.core.errors import InputError

Vectors: TypeAlias = NDArray[np.int8]

LARGEST_NUMBER: Final = 2**63 - 1
LARGEST_DIMENSION: Final = 1 << 16
NO_DIRECTION: Final = 1e-5  # what is left of a unit vector below this, after the mean, is rounding
_WRONG_VECTOR: Final = "make the fingerprint again with the whorl release that the registry's scheme names"


class SearchIndexError(InputError):
    """A search index cannot be used, or refuses what it was given; the index holds what it held before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRow:
    """One entry's search vector.

    Parameters
    ----------
    key : row number of the entry in the database, unique, not negative
    group : number of the claimant, not negative; caps are per group
    vector : shape (dimension,)
    """

    key: int
    group: int
    vector: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An entry worth comparing, a lead and never a finding.

    Parameters
    ----------
    score : cosine of its vector with the one searched for, both taken from the population's mean; -1 to 1
    """

    key: int
    group: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedRows:
    """Checked rows as arrays: ``keys`` and ``groups`` of shape (n,), ``vectors`` of shape (n, dimension)."""

    keys: Ints
    groups: Ints
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, chosen: slice | AnyArray) -> "StackedRows":
        return StackedRows(keys=self.keys[chosen], groups=self.groups[chosen], vectors=self.vectors[chosen])

    @classmethod
    def joined(cls, parts: Sequence["StackedRows"]) -> "StackedRows":
        """All rows of one or more parts."""
        return cls(
            keys=np.concatenate([part.keys for part in parts]),
            groups=np.concatenate([part.groups for part in parts]),
            vectors=np.concatenate([part.vectors for part in parts]),
        )


def scheme_id(method: str, dimension: int) -> str:
    """Name of what vectors of one kind have in common: method with its version, dimension, type of number."""
    return f"{method};{dimension};int8"


def check_vector(vector: AnyArray, dimension: int, *, what: str = "search vector") -> Vectors:
    """The vector itself, if it can be searched for and stored.

    Parameters
    ----------
    what : what it is called in errors

    Raises
    ------
    SearchIndexError
        If it has another type or dimension, or is zero, constant or holds -128, which no fingerprint does.
    """
    _check_shape(vector, dimension, what)
    return np.asarray(stack_vectors([vector], dimension, names=[what])[0], np.int8)


def stack_rows(rows: Sequence[VectorRow], dimension: int) -> StackedRows:
    """Rows as arrays, all of them checked.

    Raises
    ------
    SearchIndexError
        If a number or vector is malformed, or two rows of one key differ. Equal rows are one row.
    """
    kept: dict[int, VectorRow] = {}
    for row in rows:
        for number, name in ((row.key, "key"), (row.group, "group")):
            if not isinstance(number, int) or not 0 <= number <= LARGEST_NUMBER:
                raise SearchIndexError(
                    f"expected a {name} from 0 to 2^63 - 1, found {number!r:.40}; give its row number"
                )
        _check_shape(row.vector, dimension, f"row {row.key}")
        before = kept.setdefault(row.key, row)
        if before is not row and (before.group != row.group or (before.vector != row.vector).any()):
            raise SearchIndexError(
                f"row {row.key}: expected one vector and one claimant, found two; give each key once"
            )
    chosen = list(kept.values())
    vectors = stack_vectors([row.vector for row in chosen], dimension, names=[f"row {key}" for key in kept])
    return StackedRows(
        keys=np.fromiter(kept, np.int64, len(chosen)),
        groups=np.fromiter((row.group for row in chosen), np.int64, len(chosen)),
        vectors=vectors,
    )


def stack_vectors(vectors: Sequence[AnyArray], dimension: int, *, names: Sequence[str]) -> Vectors:
    """Vectors of the right type and shape, one below the other, refused if one of them says nothing."""
    stacked = np.array(vectors, np.int8).reshape(len(vectors), dimension)
    lowest, highest = stacked.min(axis=1), stacked.max(axis=1)
    for place in np.flatnonzero((lowest == highest) | (lowest == -128))[:1]:
        found = "-128 in it" if lowest[place] == -128 else f"every number {lowest[place]}"
        raise SearchIndexError(
            f"{names[place]}: expected a vector of different numbers from -127 to 127, found {found}; {_WRONG_VECTOR}"
        )
    return stacked


def _check_shape(vector: AnyArray, dimension: int, what: str) -> None:
    if not isinstance(vector, np.ndarray) or vector.dtype != np.int8:
        found = type(vector).__name__
        if isinstance(vector, np.ndarray):
            found = f"{vector.dtype}"
            if vector.dtype.kind == "f" and not np.isfinite(vector).all():
                found += " with NaN or infinity"
        raise SearchIndexError(f"{what}: expected an int8 vector, found {found}; {_WRONG_VECTOR}")
    if vector.shape != (dimension,):
        raise SearchIndexError(
            f"{what}: expected {dimension} numbers, found an array of shape {vector.shape}; {_WRONG_VECTOR}"
        )


def directions(vectors: Vectors, origin: Doubles) -> Doubles:
    """Unit vectors, less ``origin``, brought to unit length again; zero where no direction is left.

    Parameters
    ----------
    vectors : shape (n, dimension), none of them zero
    origin : shape (dimension,), the population's mean direction, or zeros
    """
    wide = vectors.astype(np.float64)
    rows = wide / np.sqrt(np.vecdot(wide, wide))[:, None] - origin
    lengths = np.sqrt(np.vecdot(rows, rows))
    lengths[lengths <= NO_DIRECTION] = np.inf
    return np.asarray(rows / lengths[:, None])


def exact_scores(vectors: Vectors, direction: Doubles, origin: Doubles) -> Doubles:
    """Cosine of each vector with ``direction``, in double precision, after ``origin`` is taken out; -1 to 1."""
    block = max(1, (1 << 20) // max(1, direction.size))
    parts = [
        np.vecdot(directions(vectors[start : start + block], origin), direction)
        for start in range(0, len(vectors), block)
    ]
    return np.asarray(np.clip(np.concatenate([np.zeros(0), *parts]), -1, 1))
