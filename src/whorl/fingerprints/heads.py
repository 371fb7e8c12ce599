"""What is taken of an attention layer: two features per head that the free rewrites of attention leave alone.

*Query-key coherence.* Rotary positions let query and key of a head be multiplied by ``z`` and ``1 / conj(z)`` at each
frequency, and nothing else. Per frequency, ``<q, k> / (|q| |k|)`` (complex, over the residual stream) does not
change, and neither does it change under a rotation of the residual stream: no basis is needed.

*Output-value sketch.* ``x^T O_h V_g y`` for fixed random ``x, y`` in the shared basis does not change under ``V -> C
V``, ``O -> O C^-1``. Coordinates without rotary positions, whose queries and keys allow the same, get the same
sketch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import Floats, Ints
from whorl.fingerprints.neurons import Fold, fold_of
from whorl.weights.anatomy import Attention, Layer, Matrix
from whorl.weights.source import Observer

SKETCH = 32
FREQUENCIES = 16
_SKETCH_SEED = 0x77686F726C  # "whorl"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadFeatures:
    """Features of one layer's query heads: ``query_key`` (heads, a) and ``output_value`` (heads, `SKETCH`)."""

    query_key: Floats
    output_value: Floats


def take_heads(
    layer: Layer, attention: Attention, basis: Floats, *, centred: bool, observe: Sequence[Observer | None]
) -> HeadFeatures:
    """Features of every query head.

    Parameters
    ----------
    basis : shape (width, k)
    observe : one observer (or None) each for query, key, value, output
    """
    reading = fold_of(layer.attention_norm, centred=centred)
    writing = fold_of(layer.attention_post_norm, centred=centred)
    left, right = _probes(basis)
    group = np.arange(attention.heads) // (attention.heads // attention.kv_heads)
    value = _project(attention.value, reading.basis(right), observe[2])
    output = _project_transposed(attention.output, writing.basis(left), observe[3])
    sketch = _sketch(output, value, attention, group, slice(0, attention.head_size))
    keys, key_probe = _keys(attention.key, reading, reading.basis(right), observe[1])
    coherence, query_probe = _coherence(attention, keys, group, reading, reading.basis(left), observe[0])
    if attention.rotary_size < attention.head_size:
        free = slice(attention.rotary_size, attention.head_size)
        coherence = np.hstack([coherence, _sketch(query_probe, key_probe, attention, group, free)])
    return HeadFeatures(query_key=coherence, output_value=sketch)


def _probes(basis: Floats) -> tuple[Floats, Floats]:
    generator = np.random.Generator(np.random.Philox(_SKETCH_SEED))
    drawn = generator.standard_normal((2, basis.shape[1], SKETCH), np.float32)
    return basis @ drawn[0], basis @ drawn[1]


def _project(matrix: Matrix, probe: Floats, observe: Observer | None) -> Floats:
    out = np.empty((matrix.shape[0], probe.shape[1]), np.float32)
    for row, block in matrix.blocks(observe):
        out[row : row + len(block)] = block @ probe
    return out


def _project_transposed(matrix: Matrix, probe: Floats, observe: Observer | None) -> Floats:
    out = np.zeros((matrix.shape[1], probe.shape[1]), np.float32)
    for row, block in matrix.blocks(observe):
        out += block.T @ probe[row : row + len(block)]
    return out


def _sketch(left: Floats, right: Floats, attention: Attention, group: Ints, part: slice) -> Floats:
    """Unit vectors ``sum_c left[h, c] right[g, c]`` over the head coordinates in ``part``."""
    by_head = left.reshape(attention.heads, attention.head_size, -1)[:, part]
    by_group = right.reshape(attention.kv_heads, attention.head_size, -1)[group][:, part]
    sketch = np.einsum("hca,hca->ha", by_head, by_group)
    length = np.linalg.norm(sketch, axis=1, keepdims=True)
    return np.asarray(sketch / np.where(length > 0, length, 1), np.float32)


def _keys(matrix: Matrix, reading: Fold, probe: Floats, observe: Observer | None) -> tuple[Floats, Floats]:
    keys = np.empty(matrix.shape, np.float32)
    projected = np.empty((matrix.shape[0], probe.shape[1]), np.float32)
    for row, block in matrix.blocks(observe):
        projected[row : row + len(block)] = block @ probe
        keys[row : row + len(block)] = _folded(block, reading)
    return keys, projected


def _folded(block: Floats, reading: Fold) -> Floats:
    folded = block if reading.gain is None else block * reading.gain
    return folded - folded.mean(axis=1, keepdims=True) if reading.centred else folded


def _coherence(
    attention: Attention, keys: Floats, group: Ints, reading: Fold, probe: Floats, observe: Observer | None
) -> tuple[Floats, Floats]:
    """Coherence of shape (heads, 2 * frequencies) and the projected query rows."""
    size, half = attention.head_size, attention.rotary_size // 2
    rows = attention.heads * size
    coordinate = np.arange(rows) % size
    base = group[np.arange(rows) // size] * size
    other = np.where(coordinate < half, coordinate + half, coordinate - half)
    rotary = coordinate < 2 * half
    same_at, other_at = base + coordinate, np.where(rotary, base + other, base + coordinate)
    same, cross, square = (np.empty(rows, np.float32) for _ in range(3))
    projected = np.empty((rows, probe.shape[1]), np.float32)
    for row, block in attention.query.blocks(observe):
        span = slice(row, row + len(block))
        projected[span] = block @ probe
        folded = _folded(block, reading)
        same[span] = np.einsum("ij,ij->i", folded, keys[same_at[span]])
        cross[span] = np.einsum("ij,ij->i", folded, keys[other_at[span]])
        square[span] = np.einsum("ij,ij->i", folded, folded)
    key_square = np.einsum("ij,ij->i", keys, keys)[same_at]
    by_head = [part.reshape(attention.heads, size) for part in (same, cross, square, key_square)]
    first, second = ([part[:, :half] for part in by_head], [part[:, half : 2 * half] for part in by_head])
    real, imaginary = first[0] + second[0], first[1] - second[1]
    scale = np.sqrt((first[2] + second[2]) * (first[3] + second[3]))
    scale = np.where(scale > 0, scale, 1)
    chosen = np.unique(np.linspace(0, half - 1, min(FREQUENCIES, half)).astype(int)) if half else np.zeros(0, int)
    return np.hstack([(real / scale)[:, chosen], (imaginary / scale)[:, chosen]]).astype(np.float32), projected
