"""What a model is made of: canonical roles over a reader's tensors.

Every matrix is a lazy view in (out, in) orientation, whatever the file's layout: fused, transposed, interleaved and stacked
tensors look the same from here. Vectors (norm gains, biases) are small and read at once. Gains are *effective*
gains: a model that multiplies by ``1 + g`` is given as ``1 + g``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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
    rows_at : shape (rows,), the stored rows (``transposed``: stored columns) that make up rows 0, 1, ...
    columns_at : the range of stored columns (``transposed``: stored rows) that make up the columns
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
        raise NotImplementedError

    def blocks(self, observe: Observer | None = None) -> Iterator[tuple[int, Floats]]:
        """Stream ``(first row, rows)`` in order, about `BLOCK_BYTES` at a time. Refuses NaN and infinities."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm:
    """A normalisation before (or after) a sublayer: effective gain of shape (width,), LayerNorm's bias or None."""

    kind: Literal["rms", "layer"]
    gain: Floats
    bias: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attention:
    """One attention sublayer.

    ``query`` (heads * head_size, width), ``key`` and ``value`` (kv_heads * head_size, width), ``output`` (width, heads *
    head_size). Query head h uses key head ``h // (heads // kv_heads)``. ``rotary_size`` leading coordinates of each head are
    rotated in the half-split layout (i with i + rotary_size / 2): readers and role files undo interleaved layouts. 0 means no
    rotary positions. Latent attention (MLA) has no plain heads: it is given as ``None`` in `Layer.attention`, with the reason in
    `Layer.attention_missing`.
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
    query_norm: Floats | None = None  # effective QK-norm gains where the model has them
    key_norm: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mlp:
    """One feed-forward block (a dense layer's, or one expert's).

    ``gate`` and ``up`` (neurons, width), ``down`` (width, neurons). Ungated blocks have ``gate`` None and their first matrix as
    ``up``.
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

    ``unembedding`` is None when tied to the embedding. ``vocabulary`` holds token strings by embedding row; where the checkpoint
    has no tokenizer it is None. ``leftover`` names tensors that play no role here (buffers, extra heads): reported, not hidden.
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
    """Raise `CheckpointError` naming file and tensor if any value is NaN or infinite."""
    # A sum of squares is finite in float64 exactly when every float32 value is: one fast pass, no temporary mask.
    if not np.isfinite(np.vdot(values, values)) and not np.isfinite(values).all():
        raise CheckpointError(
            "expected finite weights, found NaN or infinity; the checkpoint is damaged or deliberately broken, get it again",
            file=source.meta(name).file,
            tensor=name,
        )
