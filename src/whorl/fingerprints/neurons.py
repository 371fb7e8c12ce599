"""What is taken of an MLP: the signatures of its most important neurons, in a basis, with their positions.

Neurons of all experts of a layer form one pool, so a permuted expert order changes nothing. Which neurons are taken
depends on their content, ``|gate| |up| |down|`` (unchanged by every free rewrite), not on their position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats, Ints
from whorl.core.errors import CheckpointError
from whorl.statistics.spectrum import structured_share
from whorl.weights.anatomy import Layer, Matrix, Mlp, Norm
from whorl.weights.source import Observer

STRUCTURE_NEURONS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuronSignatures:
    """The taken neurons of one layer.

    Parameters
    ----------
    index : shape (n,), ascending position in the pool (expert * neurons per expert + neuron)
    gate : shape (n, k), what opens the neuron: gate row, or the first matrix's row where the MLP has no gate
    up, down : shape (n, k); ``up`` is all zeros where the MLP has no gate. Known up to a common scale and sign when
        gated.
    norms : shape (n, 2), length of the gate row and ``|up| |down|`` (ungated: ``|down|``), both unchanged by rewrites
    structure : structured share of gate, up and down (see `whorl.statistics.spectrum`), None in layers not sampled
    blocks : neurons of each expert (one block when dense): a neuron's position lies within its expert
    """

    index: Ints
    gate: Floats
    up: Floats
    down: Floats
    norms: Floats
    structure: tuple[float, float, float] | None
    blocks: tuple[int, ...]

    @property
    def pool(self) -> int:
        """How many neurons the layer has."""
        return sum(self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """How a matrix meets the residual stream: effective gain of shape (width,) or None, and whether LayerNorm removes
    the mean.
    """

    gain: Floats | None
    centred: bool

    def basis(self, basis: Floats) -> Floats:
        """The basis as this matrix's stored weights see it."""
        seen = basis - basis.mean(axis=0, keepdims=True) if self.centred else basis
        return seen if self.gain is None else self.gain[:, None] * seen

    def rows(self, rows: Floats) -> Floats:
        """Stored rows (or a writer's columns) as the residual stream sees them; changes ``rows`` in place."""
        if self.gain is not None:
            rows *= self.gain
        if self.centred:
            rows -= rows.mean(axis=1, keepdims=True)
        return rows


def fold_of(norm: Norm | None, *, centred: bool) -> Fold:
    """Fold for a matrix behind (or before) ``norm``."""
    return Fold(gain=None if norm is None else norm.gain, centred=centred)


def take_neurons(
    layer: Layer,
    bases: Sequence[Floats],
    *,
    count: int,
    centred: bool,
    structure: bool,
    observe: Sequence[Observer | None],
) -> tuple[NeuronSignatures, ...]:
    """Signatures of the ``count`` most important neurons of a layer, once in each basis.

    Parameters
    ----------
    bases : each of shape (width, k)
    centred : whether LayerNorm stands before and after
    structure : whether to measure the structured share
    observe : one observer (or None) per stored matrix, in the order gate, up, down of each expert
    """
    reading, writing = fold_of(layer.mlp_norm, centred=centred), fold_of(layer.mlp_post_norm, centred=centred)
    watchers = iter(observe)
    opens, pairs = [], []
    for mlp in layer.mlps:
        gate_norm = None if mlp.gate is None else _row_norms(mlp.gate, reading, next(watchers))
        up_norm = _row_norms(mlp.up, reading, next(watchers))
        down_norm = _column_norms(mlp.down, writing, next(watchers))
        opens.append(up_norm if gate_norm is None else gate_norm)
        pairs.append(down_norm if gate_norm is None else up_norm * down_norm)
    open_norm, pair_norm = np.concatenate(opens), np.concatenate(pairs)
    importance = open_norm * pair_norm
    if not np.isfinite(importance).all():
        first = layer.mlps[0].up
        raise CheckpointError(
            "expected weights and norm gains whose products are finite, found an overflow in this layer's MLP; the "
            "checkpoint is damaged or made to break readers",
            file=first.source.meta(first.name).file,
            tensor=first.name,
        )
    index = largest(importance, count)
    gate, up, down = _chosen_rows(layer.mlps, index, reading, writing)
    strongest = largest(importance[index], STRUCTURE_NEURONS)
    norms = np.stack([open_norm[index], pair_norm[index]], axis=1).astype(np.float32)
    strong = gate[strongest], up[strongest], down[strongest]
    shares = _structure(*(_without_mean(part) for part in strong) if centred else strong) if structure else None
    return tuple(
        NeuronSignatures(
            index=index,
            gate=gate @ basis,
            up=up @ basis,
            down=down @ basis,
            norms=norms,
            structure=shares,
            blocks=tuple(mlp.up.shape[0] for mlp in layer.mlps),
        )
        for basis in bases
    )


def neuron_rows(layer: Layer, index: Ints, *, centred: bool) -> tuple[Floats, Floats, Floats]:
    """Gate rows, up rows and down columns at these positions of the pool, as the residual stream sees them.

    Shape (n, width) each, norm gains folded, in the order of ``index``. Without a gate the first matrix's rows stand
    in its place and those of ``up`` are zero.
    """
    reading, writing = fold_of(layer.mlp_norm, centred=centred), fold_of(layer.mlp_post_norm, centred=centred)
    return _chosen_rows(layer.mlps, index, reading, writing)


def strongest(layer: NeuronSignatures, count: int) -> NeuronSignatures:
    """The ``count`` neurons of largest norm, fewer where the last places are tied."""
    return _only(layer, largest(layer.norms.prod(axis=1), count))


def without_positions(layer: NeuronSignatures, positions: Ints) -> NeuronSignatures:
    """The layer less the neurons at these positions of the pool."""
    return _only(layer, np.flatnonzero(~np.isin(layer.index, positions)))


def _only(layer: NeuronSignatures, kept: Ints) -> NeuronSignatures:
    return replace(
        layer,
        index=layer.index[kept],
        gate=layer.gate[kept],
        up=layer.up[kept],
        down=layer.down[kept],
        norms=layer.norms[kept],
    )


def opening_rows(layer: Layer, index: Ints, *, centred: bool) -> Floats:
    """What opens the neurons at these positions of the pool, as the residual stream sees it: shape (n, width).

    Gate rows, or the first matrix's rows where the MLP has no gate, norm gain folded, in the order of ``index``.
    """
    rows = np.zeros((len(index), layer.mlps[0].up.shape[1]), np.float32)
    start = 0
    for mlp in layer.mlps:
        neurons = mlp.up.shape[0]
        chosen = np.flatnonzero((index >= start) & (index < start + neurons))
        if len(chosen):
            rows[chosen] = (mlp.up if mlp.gate is None else mlp.gate).rows(index[chosen] - start)
        start += neurons
    return fold_of(layer.mlp_norm, centred=centred).rows(rows)


def _structure(gate: Floats, up: Floats, down: Floats) -> tuple[float, float, float]:
    return structured_share(gate), structured_share(up), structured_share(down)


def _without_mean(rows: Floats) -> Floats:
    """Rows of mean zero, as LayerNorm leaves them, in one coordinate less: else the missing one counts as structure.

    A Householder reflection takes the all-ones direction to the first axis, which is then dropped.
    """
    width = rows.shape[1]
    mirror = np.full(width, 1 / np.sqrt(width), np.float32)
    mirror[0] -= 1
    mirror /= np.linalg.norm(mirror)
    reflected: Floats = rows - 2 * np.outer(rows @ mirror, mirror)
    return reflected[:, 1:]


def largest(values: AnyArray, count: int) -> Ints:
    """Positions of the ``count`` largest values, ascending; fewer where the last places are tied.

    A tie broken by position would make the choice depend on the order of neurons, which positional tests must not.
    """
    if len(values) <= count:
        return np.arange(len(values))
    cut = np.partition(values, (len(values) - count - 1, len(values) - count))
    first_out, last_in = cut[len(values) - count - 1], cut[len(values) - count]
    return np.flatnonzero(values >= last_in if last_in > first_out else values > last_in)


def _chosen_rows(mlps: Sequence[Mlp], index: Ints, reading: Fold, writing: Fold) -> tuple[Floats, Floats, Floats]:
    """Folded gate rows, up rows and down columns of the chosen neurons, each (n, width).

    Without a gate the first matrix's rows stand in its place and those of ``up`` are zero.
    """
    width = mlps[0].up.shape[1]
    gate, up, down = (np.zeros((len(index), width), np.float32) for _ in range(3))
    start = 0
    for mlp in mlps:
        neurons = mlp.up.shape[0]
        chosen = np.flatnonzero((index >= start) & (index < start + neurons))
        if len(chosen):
            local = index[chosen] - start
            first = mlp.up.rows(local)
            if mlp.gate is None:
                gate[chosen] = first
            else:
                gate[chosen], up[chosen] = mlp.gate.rows(local), first
            for row, block in mlp.down.blocks():
                down[chosen, row : row + len(block)] = block[:, local].T
        start += neurons
    return reading.rows(gate), reading.rows(up), writing.rows(down)


def _row_norms(matrix: Matrix, fold: Fold, observe: Observer | None) -> Doubles:
    width = matrix.shape[1]
    gain = np.ones(width, np.float32) if fold.gain is None else fold.gain
    weight = gain * gain
    squares = np.empty(matrix.shape[0], np.float64)
    for row, block in matrix.blocks(observe):
        mean = (block @ gain) ** 2 / width if fold.centred else 0.0
        squares[row : row + len(block)] = np.square(block, out=block) @ weight - mean
    return np.sqrt(np.maximum(squares, 0))


def _column_norms(matrix: Matrix, fold: Fold, observe: Observer | None) -> Doubles:
    width, neurons = matrix.shape
    gain = np.ones(width, np.float32) if fold.gain is None else fold.gain
    squares, sums = np.zeros(neurons, np.float64), np.zeros(neurons, np.float64)
    for row, block in matrix.blocks(observe):
        part = gain[row : row + len(block)]
        if fold.centred:
            sums += part @ block
        squares += (part * part) @ np.square(block, out=block)
    if fold.centred:
        squares -= sums**2 / width
    return np.sqrt(np.maximum(squares, 0))
