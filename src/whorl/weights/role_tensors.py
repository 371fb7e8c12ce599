"""A reader's tensors as (out, in) planes of checked shape: the material that roles are cut from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from whorl.core.arrays import Floats, Ints
from whorl.core.errors import CheckpointError
from whorl.weights.anatomy import Matrix, refuse_non_finite
from whorl.weights.source import TensorSource

MOST_COLUMNS = 1 << 18  # four times the widest fused matrix published
MOST_ROWS = 1 << 23  # stored rows of one tensor; every expert of the largest published layer needs 2 million
Rows: TypeAlias = range | Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One (out, in) matrix inside a stored tensor: all of it, or one expert's slice of a stack."""

    name: str
    outputs: int
    inputs: int
    transposed: bool
    expert: int | None

    @property
    def start(self) -> int:
        """First stored row."""
        return (self.expert or 0) * (self.inputs if self.transposed else self.outputs)


@dataclass(slots=True)
class Shelf:
    """The tensors of one checkpoint under one prefix; remembers which of them were given a role."""

    source: TensorSource
    names: frozenset[str]
    used: set[str] = field(default_factory=set)
    # One shared index that all plain views are slices of: a view per expert and role must not cost memory of its own.
    _counting: Ints = field(default_factory=lambda: np.arange(0))

    def first(self, names: Sequence[str]) -> str | None:
        """The first of the names that the checkpoint has."""
        return next((name for name in names if name in self.names), None)

    def require(self, names: Sequence[str]) -> str:
        """Like `first`; raises `CheckpointError` naming the preferred tensor where there is none."""
        found = self.first(names)
        if found is None:
            raise CheckpointError(
                "expected this tensor, found no such name; a shard is missing or the configuration belongs to another "
                "model, get the whole checkpoint",
                file=self.source.path,
                tensor=names[0],
            )
        return found

    def refuse(self, name: str, expected: str) -> CheckpointError:
        """The error for a tensor that cannot play its role."""
        meta = self.source.meta(name)
        return CheckpointError(
            f"expected {expected}, found shape {list(meta.shape)}; weights and configuration disagree, get both again",
            file=meta.file,
            tensor=name,
        )

    def plane(self, name: str, *, transposed: bool = False) -> Plane:
        """A whole two-dimensional tensor."""
        shape = self._shape(name, 2)
        outputs, inputs = (shape[1], shape[0]) if transposed else shape
        return Plane(name=name, outputs=outputs, inputs=inputs, transposed=transposed, expert=None)

    def stack(self, name: str, *, transposed: bool = False) -> list[Plane]:
        """The planes of a three-dimensional tensor, one per expert."""
        experts, rows, columns = self._shape(name, 3)
        outputs, inputs = (columns, rows) if transposed else (rows, columns)
        return [
            Plane(name=name, outputs=outputs, inputs=inputs, transposed=transposed, expert=expert)
            for expert in range(experts)
        ]

    def check(self, plane: Plane, *, outputs: int | None = None, inputs: int | None = None, role: str) -> None:
        """Refuse a plane whose size is not the one its role needs."""
        if outputs not in (None, plane.outputs) or inputs not in (None, plane.inputs):
            wanted = f"{'any' if outputs is None else outputs} outputs and {'any' if inputs is None else inputs} inputs"
            stored = ", stored (in, out)" if plane.transposed else ""
            raise self.refuse(plane.name, f"{wanted} for {role}{stored}")

    def matrix(self, plane: Plane, rows: Rows | None = None) -> Matrix:
        """A view of some outputs of a plane, all of them by default."""
        self.used.add(plane.name)
        at = rows if rows is not None else range(plane.outputs)
        first, columns = (0, range(plane.start, plane.start + plane.inputs))
        if not plane.transposed:
            first, columns = plane.start, range(plane.inputs)
        if isinstance(at, range):
            rows_at = self._count_to(first + at.stop)[first + at.start : first + at.stop : at.step]
        else:
            rows_at = at + first
        return Matrix(
            source=self.source, name=plane.name, rows_at=rows_at, columns_at=columns, transposed=plane.transposed
        )

    def bias(self, plane: Plane, rows: Rows | None = None) -> Floats | None:
        """The bias that belongs to a plane's weight, for the same outputs; None where the checkpoint has none."""
        name = plane.name.removesuffix(".weight") + ".bias" if plane.name.endswith(".weight") else f"{plane.name}_bias"
        if name not in self.names:
            return None
        shape = self._shape(name, 1 if plane.expert is None else 2)
        if shape[-1] != plane.outputs:
            raise self.refuse(name, f"{plane.outputs} values in a bias")
        values = self._read_row(name, plane.expert or 0)
        return values if rows is None else np.take(values, rows)

    def vector(self, name: str, sizes: tuple[int, ...], role: str) -> Floats:
        """A one-dimensional tensor of one of the given sizes."""
        if self._shape(name, 1)[0] not in sizes:
            raise self.refuse(name, f"{' or '.join(map(str, dict.fromkeys(sizes)))} values for {role}")
        return self._read_row(name, 0)

    def _shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        meta = self.source.meta(name)
        if len(meta.shape) != dimensions or 0 in meta.shape or meta.rows > MOST_ROWS or meta.columns > MOST_COLUMNS:
            most = f"at most {MOST_ROWS} rows of {MOST_COLUMNS}"
            raise self.refuse(name, f"{dimensions} non-zero dimension(s) and {most}")
        return meta.shape

    def _read_row(self, name: str, row: int) -> Floats:
        self.used.add(name)
        values = self.source.read_rows(name, row, row + 1)
        refuse_non_finite(values, self.source, name)
        return values.reshape(-1)

    def _count_to(self, stop: int) -> Ints:
        if len(self._counting) < stop:
            self._counting = np.arange(max(stop, 2 * len(self._counting)))
            self._counting.flags.writeable = False
        return self._counting
