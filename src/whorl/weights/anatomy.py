"""What a model is made of: canonical roles over a reader's tensors.

Every matrix is a lazy view in (out, in) orientation, whatever the file's layout: fused, transposed, interleaved and
stacked tensors look the same from here. Vectors (norm gains, biases) are small and read at once. Gains are
*effective* gains: a model that multiplies by ``1 + g`` is given as ``1 + g``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Floats
from whorl.core.errors import CheckpointError
from whorl.weights.source import Observer, TensorSource

BLOCK_BYTES = 1 << 20  # of float32: small enough to stay in cache, where conversion is 10 times faster


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matrix:
    """A lazy (out, in) matrix: some rows of one stored tensor, or, ``transposed``, some of its columns.

    Parameters
    ----------
    rows_at : shape (rows,), the stored rows (``transposed``: stored columns) that make up rows 0, 1, ...; no repeats
    columns_at : the contiguous range of stored columns (``transposed``: stored rows) that make up the columns
    """

    source: TensorSource
    name: str
    rows_at: NDArray[np.int64]
    columns_at: range
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows_at), len(self.columns_at)

    @property
    def storage(self) -> str:
        return self.source.meta(self.name).storage

    @property
    def lossy(self) -> bool:
        return self.source.meta(self.name).lossy

    def rows(self, index: NDArray[np.int64]) -> Floats:
        """The given rows, in the given order, as float32 of shape (len(index), columns). Refuses NaN and infinities."""
        wanted = self.rows_at[index]
        return self._columns(wanted, None) if self.transposed else self._gather(wanted, None)

    def blocks(self, observe: Observer | None = None) -> Iterator[tuple[int, Floats]]:
        """Stream ``(first row, rows)`` in order, about `BLOCK_BYTES` at a time. Refuses NaN and infinities.

        ``observe`` is given the stored bytes of every stored row that the view touches, each row once, in an order that
        depends on the view alone. A transposed view is held whole: its first row needs every stored row.
        """
        height, width = self.shape
        if self.transposed:
            turned = self._columns(self.rows_at, observe)
            step = max(1, BLOCK_BYTES // (4 * max(1, width)))
            for start in range(0, height, step):
                yield start, turned[start : start + step]
            return
        step = self._rows_per_block()
        plain = _is_run(self.rows_at) and width == self.source.meta(self.name).columns
        for start in range(0, height, step):
            wanted = self.rows_at[start : start + step]
            if plain:  # nearly every matrix of nearly every model
                yield start, self._read(int(wanted[0]), int(wanted[-1]) + 1, observe)
            else:
                yield start, self._gather(wanted, observe)

    def _rows_per_block(self) -> int:
        return max(1, BLOCK_BYTES // (4 * max(1, self.source.meta(self.name).columns)))

    def _read(self, start: int, stop: int, observe: Observer | None) -> Floats:
        values = self.source.read_rows(self.name, start, stop, observe)
        refuse_non_finite(values, self.source, self.name)
        return values

    def _gather(self, wanted: NDArray[np.int64], observe: Observer | None) -> Floats:
        """Stored rows ``wanted``, cut to the view's columns. Neighbours are fetched by one read, repeats once."""
        whole_rows = len(self.columns_at) == self.source.meta(self.name).columns
        if whole_rows and _is_run(wanted) and len(wanted) <= self._rows_per_block():
            return self._read(int(wanted[0]), int(wanted[-1]) + 1, observe)
        stored, position = np.unique(wanted, return_inverse=True)
        found = np.empty((len(stored), len(self.columns_at)), np.float32)
        cut = slice(self.columns_at.start, self.columns_at.stop)
        for first, last in _runs(stored, self._rows_per_block()):
            found[first:last] = self._read(int(stored[first]), int(stored[last - 1]) + 1, observe)[:, cut]
        return found[position]

    def _columns(self, wanted: NDArray[np.int64], observe: Observer | None) -> Floats:
        """Stored columns ``wanted`` as rows, read in bounded strips of stored rows."""
        turned = np.empty((len(wanted), len(self.columns_at)), np.float32)
        take = slice(int(wanted[0]), int(wanted[-1]) + 1) if _is_run(wanted) else wanted
        step, offset = self._rows_per_block(), self.columns_at.start
        for start in range(0, len(self.columns_at), step):
            stop = min(start + step, len(self.columns_at))
            turned[:, start:stop] = self._read(offset + start, offset + stop, observe)[:, take].T
        return turned


def _is_run(index: NDArray[np.int64]) -> bool:
    return len(index) > 0 and bool((np.diff(index) == 1).all())


def _runs(index: NDArray[np.int64], longest: int) -> Iterator[tuple[int, int]]:
    """Split a strictly increasing index into maximal runs of consecutive values, none above ``longest``."""
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    edges = [0, *breaks.tolist(), len(index)]
    for first, last in pairwise(edges):
        for start in range(first, last, longest):
            yield start, min(start + longest, last)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm:
    """A normalisation before (or after) a sublayer: effective gain of shape (width,), LayerNorm's bias or None."""

    kind: Literal["rms", "layer"]
    gain: Floats
    bias: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attention:
    """One attention sublayer.

    ``query`` (heads * head_size, width), ``key`` and ``value`` (kv_heads * head_size, width), ``output`` (width,
    heads * head_size). Query head h uses key head ``h // (heads // kv_heads)``. ``rotary_size`` leading coordinates of
    each head are rotated in the half-split layout (i with i + rotary_size / 2): readers and role files undo interleaved
    layouts. 0 means no rotary positions. Latent attention (MLA) has no plain heads: it is given as ``None`` in
    `Layer.attention`, with the reason in `Layer.attention_missing`.

    ``query_norm`` and ``key_norm`` are effective QK-norm gains, None where the model has none: of shape (head_size,)
    where each head is normalised by itself (Qwen3, Gemma-3), or of the full shape (heads * head_size,) and
    (kv_heads * head_size,) where all heads are normalised together (OLMo-2).
    """

    query: Matrix
    key: Matrix
    value: Matrix
    output: Matrix
    heads: int
    kv_heads: int
    head_size: int
    rotary_size: int
    query_bias: Floats | None = None
    key_bias: Floats | None = None
    value_bias: Floats | None = None
    output_bias: Floats | None = None
    query_norm: Floats | None = None
    key_norm: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mlp:
    """One feed-forward block (a dense layer's, or one expert's).

    ``gate`` and ``up`` (neurons, width), ``down`` (width, neurons). Ungated blocks have ``gate`` None and their first
    matrix as ``up``.
    """

    gate: Matrix | None
    up: Matrix
    down: Matrix
    gate_bias: Floats | None = None
    up_bias: Floats | None = None
    down_bias: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One decoder layer. ``mlps`` has one entry when dense, one per expert (shared experts last) when not."""

    attention: Attention | None
    attention_missing: str | None
    mlps: tuple[Mlp, ...]
    router: Matrix | None
    attention_norm: Norm | None  # before attention
    mlp_norm: Norm | None  # before the MLP; in parallel blocks with one norm, the same object as attention_norm
    attention_post_norm: Norm | None = None  # on attention's output (OLMo-2, Gemma-2/3)
    mlp_post_norm: Norm | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Anatomy:
    """A whole model in canonical roles.

    ``unembedding`` is None when tied to the embedding. ``vocabulary`` holds token strings by embedding row, never more
    than there are rows (fewer where the embedding is padded); where the checkpoint has no tokenizer it is None.
    ``leftover`` names tensors that play no role here (extra layers and heads, latent attention), buffers that follow
    from the configuration left out: compared by their bytes only.
    """

    source: TensorSource
    architecture: str
    width: int
    embedding: Matrix
    unembedding: Matrix | None
    positions: Matrix | None  # learned absolute positions
    final_norm: Norm | None
    layers: tuple[Layer, ...]
    vocabulary: tuple[str, ...] | None
    leftover: tuple[str, ...] = ()


def refuse_non_finite(values: Floats, source: TensorSource, name: str) -> None:
    """Raise `CheckpointError` naming file and tensor if any value is NaN, infinite or too large to be squared."""
    # One fast pass without a temporary mask: NaN and infinity survive a sum of squares, and so does what would overflow
    # the norms and products of everything that follows.
    if not np.isfinite(np.vdot(values, values)):
        large = np.isfinite(values).all()
        raise CheckpointError(
            "expected weights below 1e15, found larger ones, whose squares overflow; training gives none: scale them"
            if large
            else "expected finite weights, found NaN or infinity; the checkpoint is damaged or broken, get it again",
            file=source.meta(name).file,
            tensor=name,
        )
