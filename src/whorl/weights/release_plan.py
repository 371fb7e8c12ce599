"""What a release changes, planned on roles and laid out on stored tensors.

*Committed shuffle*, which leaves the function as it is: neurons of every feed-forward block (every expert) change
places; up and down of a gated neuron change sign together; key/value heads, and query heads within their group, change
places. *Keyed dither*: a fixed small step, up or down as the key says, on every weight of what opens a neuron (the
gate, or the first matrix of a plain block).

A stored tensor may hold several roles (fused, stacked, transposed). A `Plane` is one (rows, columns) sheet of it, and
its changes are in stored coordinates. The dither is defined on the undithered model's own neurons, whatever order they
end up in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles, Ints
from whorl.statistics.keyed_dither import keyed_coins, keyed_order
from whorl.weights.anatomy import Anatomy, Attention, Layer, Matrix, Mlp

# Where a gated block is act(gate) * up and nothing else. GPT-OSS multiplies by up + 1 and cuts it off: no sign is free.
SIGN_IS_FREE: Final = frozenset(
    {
        "deepseek_v2",
        "deepseek_v3",
        "gemma",
        "gemma2",
        "gemma3",
        "llama",
        "llama4",
        "mistral",
        "mixtral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dither:
    """One role's dither: place i of the matrix now holds the row that was ``order[i]``; ``step`` is its size."""

    role: str
    matrix: Matrix
    order: Ints
    step: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """Changes to one sheet of a stored tensor: new[r, c] = signs * old[rows[r], columns[c]], then the dithers."""

    rows: Ints
    columns: Ints
    row_signs: Doubles
    column_signs: Doubles
    dithers: list[Dither] = field(default_factory=list)

    @property
    def changes_places(self) -> bool:
        return not (
            np.array_equal(self.rows, np.arange(len(self.rows)))
            and np.array_equal(self.columns, np.arange(len(self.columns)))
            and (self.row_signs > 0).all()
            and (self.column_signs > 0).all()
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flat:
    """Changes to a bias, seen as one flat vector: new[i] = signs[i] * old[source[i]]."""

    source: Ints
    signs: Doubles


@dataclass(slots=True, kw_only=True, eq=False)
class ReleasePlan:
    """Everything that a release changes.

    Parameters
    ----------
    planes : by tensor name and sheet number (0 where the tensor is no stack)
    biases : by tensor name
    neurons, heads : how many were given a place by the key
    dithers : every dithered role, in order
    """

    planes: dict[tuple[str, int], Plane] = field(default_factory=dict)
    biases: dict[str, Flat] = field(default_factory=dict)
    dithers: list[Dither] = field(default_factory=list)
    neurons: int = 0
    heads: int = 0


def opening_matrix(mlp: Mlp) -> Matrix:
    """What opens a neuron, and carries the dither: the gate, or the first matrix of a plain block."""
    return mlp.up if mlp.gate is None else mlp.gate


def opening_role(layer: int, expert: int) -> str:
    """Name of that matrix in the key's streams."""
    return f"layers.{layer}.mlp.{expert}.opening"


def deviation(matrix: Matrix) -> float:
    """Standard deviation of a matrix's weights."""
    total = squares = 0.0
    for _, block in matrix.blocks():
        values = block.astype(np.float64).ravel()
        total += float(values.sum())
        squares += float(values @ values)
    count = prod(matrix.shape)
    return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))


def plan_release(anatomy: Anatomy, secret: bytes, dither: float) -> ReleasePlan:
    """What the key says about a model. Reads the dithered matrices once, for their standard deviations."""
    plan = ReleasePlan()
    leftover = {name: anatomy.source.meta(name).shape for name in anatomy.leftover}
    for number, layer in enumerate(anatomy.layers):
        beside_mlp, beside_attention = _unknown_beside(layer, leftover)
        if layer.attention is not None and not beside_attention and _heads_are_free(layer.attention):
            _shuffle_heads(plan, layer.attention, secret, f"layers.{number}")
        sizes = {size for shape in beside_mlp.values() for size in shape}
        for expert, mlp in enumerate(layer.mlps):
            _release_block(
                plan,
                mlp,
                secret,
                opening_role(number, expert),
                dither,
                fixed=mlp.up.shape[0] in sizes,
                signed=anatomy.architecture in SIGN_IS_FREE and mlp.gate is not None,
            )
    return plan


def _unknown_beside(
    layer: Layer, leftover: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Tensors of this layer without a role: those in the feed-forward module, and all others."""
    inside, mlp = _module(layer.mlps[0].down.name)
    here = {name: shape for name, shape in leftover.items() if name.startswith(inside)}
    beside = {name: shape for name, shape in here.items() if name.startswith(mlp)}
    return beside, {name: shape for name, shape in here.items() if name not in beside}


def _module(name: str) -> tuple[str, str]:
    """Prefixes of the layer and of the module that a tensor lies in: up to its layer number, and one part further."""
    parts = name.split(".")
    number = next(index for index, part in enumerate(parts) if part.isdigit())
    return ".".join(parts[: number + 1]) + ".", ".".join(parts[: number + 2]) + "."


def _heads_are_free(attention: Attention) -> bool:
    """Whether heads may change places: not where positions or norms tell them apart."""
    # Without rotary positions a model may mark its heads by a slope each (ALiBi), which no tensor shows.
    told_apart = attention.query_norm is not None and len(attention.query_norm) != attention.head_size
    return attention.rotary_size > 0 and not told_apart


def _shuffle_heads(plan: ReleasePlan, attention: Attention, secret: bytes, at: str) -> None:
    size, per_group = attention.head_size, attention.heads // attention.kv_heads
    groups = keyed_order(secret, "key heads", at, attention.kv_heads)
    inside = [keyed_order(secret, "query heads", f"{at}.{group}", per_group) for group in groups]
    heads = np.concatenate([group * per_group + order for group, order in zip(groups, inside, strict=True)])
    queries, keys = ((index[:, None] * size + np.arange(size)).ravel() for index in (heads, groups))
    _move_outputs(plan, attention.query, queries, None, bias=attention.query_bias is not None)
    _move_outputs(plan, attention.key, keys, None, bias=attention.key_bias is not None)
    _move_outputs(plan, attention.value, keys, None, bias=attention.value_bias is not None)
    _move_inputs(plan, attention.output, queries, None)
    plan.heads += attention.heads


def _release_block(
    plan: ReleasePlan,
    mlp: Mlp,
    secret: bytes,
    role: str,
    dither: float,
    *,
    fixed: bool,
    signed: bool,
) -> None:
    """Neurons stay where they are if ``fixed``: an unknown tensor has one entry for each and would have to move along.

    ``signed`` says whether up and down may change sign together.
    """
    count = mlp.up.shape[0]
    order = np.arange(count)
    if not fixed:
        order = keyed_order(secret, "neurons", role, count)
        signs = keyed_coins(secret, "up signs", role, count) if signed else None
        if mlp.gate is not None:
            _move_outputs(plan, mlp.gate, order, None, bias=mlp.gate_bias is not None)
        _move_outputs(plan, mlp.up, order, signs, bias=mlp.up_bias is not None)
        _move_inputs(plan, mlp.down, order, signs)
        plan.neurons += count
    opening = opening_matrix(mlp)
    change = Dither(role=role, matrix=opening, order=order, step=dither * deviation(opening))
    plan.dithers.append(change)
    _plane(plan, opening).dithers.append(change)


def _move_outputs(plan: ReleasePlan, matrix: Matrix, order: Ints, signs: Doubles | None, *, bias: bool) -> None:
    """Output i of the matrix becomes what was output ``order[i]``, times ``signs[i]``."""
    plane = _plane(plan, matrix)
    signed = np.ones(len(order)) if signs is None else signs
    if matrix.transposed:
        plane.columns[matrix.rows_at] = matrix.rows_at[order]
        plane.column_signs[matrix.rows_at] = signed
    else:
        local = local_rows(matrix)
        plane.rows[local] = local[order]
        plane.row_signs[local] = signed
    if bias:
        _move_bias(plan, matrix, order, signed)


def _move_inputs(plan: ReleasePlan, matrix: Matrix, order: Ints, signs: Doubles | None) -> None:
    """Input j of the matrix becomes what was input ``order[j]``, times ``signs[j]``."""
    plane = _plane(plan, matrix)
    local = np.arange(matrix.columns_at.start, matrix.columns_at.stop)
    signed = np.ones(len(order)) if signs is None else signs
    if matrix.transposed:
        local -= _sheet(matrix) * _sheet_rows(matrix)
        plane.rows[local], plane.row_signs[local] = local[order], signed
    else:
        plane.columns[local], plane.column_signs[local] = local[order], signed


def _move_bias(plan: ReleasePlan, matrix: Matrix, order: Ints, signs: Doubles) -> None:
    name = matrix.name.removesuffix(".weight") + ".bias" if matrix.name.endswith(".weight") else f"{matrix.name}_bias"
    count = prod(matrix.source.meta(name).shape)
    flat = plan.biases.setdefault(name, Flat(source=np.arange(count), signs=np.ones(count)))
    # Biases of a stack are one row for each sheet: their flat place is that of the output in the stack.
    outputs = matrix.source.meta(matrix.name).shape[-1] if matrix.transposed else 0
    place = matrix.rows_at + _sheet(matrix) * outputs
    flat.source[place], flat.signs[place] = place[order], signs


def _plane(plan: ReleasePlan, matrix: Matrix) -> Plane:
    meta = matrix.source.meta(matrix.name)
    rows, columns = _sheet_rows(matrix), meta.columns
    fresh = Plane(
        rows=np.arange(rows), columns=np.arange(columns), row_signs=np.ones(rows), column_signs=np.ones(columns)
    )
    return plan.planes.setdefault((matrix.name, _sheet(matrix)), fresh)


def local_rows(matrix: Matrix) -> Ints:
    """Stored rows of an untransposed matrix, counted within its sheet."""
    return matrix.rows_at - _sheet(matrix) * _sheet_rows(matrix)


def local_inputs(matrix: Matrix) -> Ints:
    """Stored rows that hold the inputs of a transposed matrix, counted within its sheet."""
    first = matrix.columns_at.start - _sheet(matrix) * _sheet_rows(matrix)
    return np.arange(first, first + len(matrix.columns_at))


def _sheet_rows(matrix: Matrix) -> int:
    return matrix.source.meta(matrix.name).shape[-2]


def _sheet(matrix: Matrix) -> int:
    """Which sheet of a stack the matrix lies in."""
    first = matrix.columns_at.start if matrix.transposed else int(matrix.rows_at.min())
    return first // _sheet_rows(matrix)
