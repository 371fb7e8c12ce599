"""What is taken of an attention layer: two features per head that the free rewrites of attention leave alone.

*Query-key coherence.* Rotary positions let query and key of a head be multiplied by ``z`` and ``1 / conj(z)`` at each
frequency, and nothing else. Per frequency, ``<q, k> / (|q| |k|)`` (complex, over the residual stream) does not
change, and neither does it change under a rotation of the residual stream: no basis is needed.

*Output-value sketch.* ``x^T O_h V_g y`` for fixed random ``x, y`` in the shared basis does not change under ``V -> C
V``, ``O -> O C^-1``. Coordinates without rotary positions, whose queries and keys allow the same, get the same
sketch.
"""

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
    layer: Layer,
    attention: Attention,
    bases: Sequence[Floats],
    *,
    centred: bool,
    observe: Sequence[Observer | None],
) -> tuple[HeadFeatures, ...]:
    """Features of every query head, once in each basis.

    Parameters
    ----------
    bases : each of shape (width, k)
    observe : one observer (or None) each for query, key, value, output
    """
    reading = fold_of(layer.attention_norm, centred=centred)
    writing = fold_of(layer.attention_post_norm, centred=centred)
    left, right = _probes(bases)
    group = np.arange(attention.heads) // (attention.heads // attention.kv_heads)
    value = _project(attention.value, reading.basis(right), observe[2])
    output = _project_transposed(attention.output, writing.basis(left), observe[3])
    sketches = _sketches(output, value, attention, group, slice(0, attention.head_size))
    coherence = _coherence(attention, group, reading, observe[0], observe[1])
    if attention.rotary_size == attention.head_size:
        return tuple(HeadFeatures(query_key=coherence, output_value=sketch) for sketch in sketches)
    query = _project(attention.query, reading.basis(left), None)
    key = _project(attention.key, reading.basis(right), None)
    rest = _sketches(query, key, attention, group, slice(attention.rotary_size, attention.head_size))
    return tuple(
        HeadFeatures(query_key=np.hstack([coherence, unrotated]), output_value=sketch)
        for unrotated, sketch in zip(rest, sketches, strict=True)
    )


def _probes(bases: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Left and right probes of all bases side by side, each (width, `SKETCH` * bases)."""
    left, right = [], []
    for basis in bases:
        generator = np.random.Generator(np.random.Philox(_SKETCH_SEED))
        drawn = generator.standard_normal((2, basis.shape[1], SKETCH), np.float32)
        left.append(basis @ drawn[0])
        right.append(basis @ drawn[1])
    return np.hstack(left), np.hstack(right)


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


def _sketches(left: Floats, right: Floats, attention: Attention, group: Ints, part: slice) -> list[Floats]:
    """Per basis, unit vectors ``sum_c left[h, c] right[g, c]`` over the head coordinates in ``part``."""
    by_head = left.reshape(attention.heads, attention.head_size, -1)[:, part]
    by_group = right.reshape(attention.kv_heads, attention.head_size, -1)[group][:, part]
    sketch = np.einsum("hca,hca->ha", by_head, by_group).reshape(attention.heads, -1, SKETCH)
    length = np.linalg.norm(sketch, axis=2, keepdims=True)
    return list((sketch / np.where(length > 0, length, 1)).astype(np.float32).swapaxes(0, 1))


def _coherence(
    attention: Attention, group: Ints, reading: Fold, see_query: Observer | None, see_key: Observer | None
) -> Floats:
    """Coherence of shape (heads, 2 * frequencies)."""
    half = attention.rotary_size // 2
    chosen = np.unique(np.linspace(0, half - 1, min(FREQUENCIES, half)).astype(int)) if half else np.zeros(0, int)
    pairs = np.concatenate([chosen, chosen + half])  # both coordinates of each rotated pair
    shape = (-1, 2, len(chosen), attention.query.shape[1])
    queries = _folded_rows(attention.query, attention.heads, pairs, reading, see_query).reshape(shape)
    keys = _folded_rows(attention.key, attention.kv_heads, pairs, reading, see_key).reshape(shape)
    same, cross = (np.empty((attention.heads, 2, len(chosen)), np.float32) for _ in range(2))
    for head, at in enumerate(group):
        same[head] = np.einsum("pcw,pcw->pc", queries[head], keys[at])
        cross[head] = np.einsum("pcw,pcw->pc", queries[head], keys[at, ::-1])
    lengths = np.einsum("hpcw,hpcw->hc", queries, queries) * np.einsum("hpcw,hpcw->hc", keys, keys)[group]
    scale = np.sqrt(np.where(lengths > 0, lengths, 1))
    return np.hstack([same.sum(axis=1) / scale, (cross[:, 0] - cross[:, 1]) / scale]).astype(np.float32)


def _folded_rows(matrix: Matrix, heads: int, coordinates: Ints, reading: Fold, observe: Observer | None) -> Floats:
    """The given coordinates of every head, folded, out of one pass over the whole matrix."""
    size = matrix.shape[0] // heads
    wanted = (np.arange(heads)[:, None] * size + coordinates).ravel()
    found = np.empty((len(wanted), matrix.shape[1]), np.float32)
    for row, block in matrix.blocks(observe):
        first, last = np.searchsorted(wanted, (row, row + len(block)))
        found[first:last] = reading.rows(block[wanted[first:last] - row])
    return found
