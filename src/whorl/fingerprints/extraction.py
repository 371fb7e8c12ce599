"""The streaming pass: every stored weight is read, hashed and condensed into features, layer by layer.

What is chosen by content (the strongest neurons of a layer) is fetched again while the layer is still in the page
cache.

A layer is the unit of work; layers run side by side on threads (reading, hashing and BLAS release the interpreter
lock), each with one BLAS thread, so that the result does not depend on how many there are.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Floats
from whorl.core.progress import Progress
from whorl.fingerprints.frame import is_layer_norm
from whorl.fingerprints.heads import HeadFeatures, take_heads
from whorl.fingerprints.neurons import NeuronSignatures, take_neurons
from whorl.weights.anatomy import Anatomy, Layer, Matrix, Norm

PROFILE_ROWS: Final = 16
LEVEL_GROUP: Final = 32
LEVEL_FILLED: Final = 24
STRUCTURE_LAYERS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRecord:
    """Identity and profile of one matrix in its role.

    ``digest`` covers the stored bytes that were read for this role, in the order they were read, so it survives
    sharding and renaming; roles that share a transposed tensor (GPT-2) share its digest. ``zeros`` is the share of
    exact zeros and ``levels`` the median count of distinct values among `LEVEL_GROUP` neighbours, both over
    `PROFILE_ROWS` evenly spaced rows."""

    role: str
    storage: str
    lossy: bool
    shape: tuple[int, int]
    digest: str
    zeros: float
    levels: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerFeatures:
    """What the pass keeps of one layer."""

    neurons: NeuronSignatures
    heads: HeadFeatures | None
    records: tuple[MatrixRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What the pass keeps of a model. ``records`` are those of the embeddings; layers carry their own."""

    layers: tuple[LayerFeatures, ...]
    records: tuple[MatrixRecord, ...]

    def all_records(self) -> Iterator[MatrixRecord]:
        """Every matrix record of the model."""
        yield from self.records
        for layer in self.layers:
            yield from layer.records


def extract(
    anatomy: Anatomy, bases: Sequence[Floats], *, neurons: int, jobs: int, progress: Progress
) -> tuple[Features, ...]:
    """One streaming pass over a checkpoint; the features in each basis.

    Parameters
    ----------
    bases : each of shape (width, k), see `whorl.fingerprints.frame`
    neurons : how many neurons to keep per layer
    jobs : threads
    """
    outer = outer_matrices(anatomy)
    sizes = [_stored_bytes(matrix for _, matrix in outer)]
    sizes += [_stored_bytes(matrix for _, matrix in layer_matrices(layer, 0)) for layer in anatomy.layers]
    total, done = sum(sizes), 0
    centred = is_layer_norm(anatomy)
    sampled = set(np.linspace(0, len(anatomy.layers) - 1, STRUCTURE_LAYERS).astype(int).tolist())
    with ThreadPoolExecutor(jobs) as pool:
        first = pool.submit(lambda: tuple(_record_only(role, matrix) for role, matrix in outer))
        tasks = [
            pool.submit(
                _layer_features, layer, number, bases, neurons=neurons, centred=centred, structure=number in sampled
            )
            for number, layer in enumerate(anatomy.layers)
        ]
        try:
            layers = []
            for task, size in zip(tasks, sizes[1:], strict=True):
                layers.append(task.result())
                done += size
                progress("reading", done, total)
            records = first.result()
        except BaseException:
            # An interrupt or a damaged tensor must not wait for layers that nobody will use.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        progress("reading", total, total)
    return tuple(Features(layers=kept, records=records) for kept in zip(*layers, strict=True))


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One BLAS thread inside: threads over layers are ours, and sums come out the same however many cores there are."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def outer_matrices(anatomy: Anatomy) -> list[tuple[str, Matrix]]:
    """Role and matrix of everything outside the layers."""
    roles = {"embedding": anatomy.embedding, "unembedding": anatomy.unembedding, "positions": anatomy.positions}
    return [(role, matrix) for role, matrix in roles.items() if matrix is not None]


def layer_matrices(layer: Layer, number: int) -> list[tuple[str, Matrix]]:
    """Role and matrix of everything in a layer."""
    named: list[tuple[str, Matrix | None]] = []
    if layer.attention is not None:
        at = layer.attention
        named += [("query", at.query), ("key", at.key), ("value", at.value), ("output", at.output)]
    named.append(("router", layer.router))
    for expert, mlp in enumerate(layer.mlps):
        named += [(f"mlp.{expert}.gate", mlp.gate), (f"mlp.{expert}.up", mlp.up), (f"mlp.{expert}.down", mlp.down)]
    return [(f"layers.{number}.{role}", matrix) for role, matrix in named if matrix is not None]


def layer_norms(layer: Layer) -> dict[str, Norm]:
    """The norms of a layer under their role names; a norm that serves two roles stands once."""
    roles = {
        "attention_norm": layer.attention_norm,
        "mlp_norm": None if layer.mlp_norm is layer.attention_norm else layer.mlp_norm,
        "attention_post_norm": layer.attention_post_norm,
        "mlp_post_norm": layer.mlp_post_norm,
    }
    return {role: norm for role, norm in roles.items() if norm is not None}


def _layer_features(
    layer: Layer, number: int, bases: Sequence[Floats], *, neurons: int, centred: bool, structure: bool
) -> tuple[LayerFeatures, ...]:
    matrices = dict(layer_matrices(layer, number))
    hashes = {role: hashlib.sha256() for role in matrices}

    def watch(*ends: str) -> list[Callable[[memoryview], None] | None]:
        return [hashes[role].update for role in matrices if role.endswith(ends)]

    observe = watch(".gate", ".up", ".down")
    taken = take_neurons(layer, bases, count=neurons, centred=centred, structure=structure, observe=observe)
    heads: Sequence[HeadFeatures | None] = [None] * len(bases)
    if layer.attention is not None:
        observe = watch(".query", ".key", ".value", ".output")
        heads = take_heads(layer, layer.attention, bases, centred=centred, observe=observe)
    if layer.router is not None:
        for _ in layer.router.blocks(watch(".router")[0]):
            pass
    records = tuple(_record(role, matrix, hashes[role].hexdigest()) for role, matrix in matrices.items())
    return tuple(
        LayerFeatures(neurons=neuron, heads=head, records=records) for neuron, head in zip(taken, heads, strict=True)
    )


def _record_only(role: str, matrix: Matrix) -> MatrixRecord:
    state = hashlib.sha256()
    for _ in matrix.blocks(state.update):
        pass
    return _record(role, matrix, state.hexdigest())


def _record(role: str, matrix: Matrix, digest: str) -> MatrixRecord:
    rows, columns = matrix.shape
    sample = matrix.rows(np.unique(np.linspace(0, rows - 1, min(PROFILE_ROWS, rows)).astype(np.int64)))
    whole = sample[:, : columns - columns % LEVEL_GROUP].reshape(-1, LEVEL_GROUP)
    # Zeros of a pruned matrix would pass for a coarse grid.
    ordered = np.sort(whole[np.count_nonzero(whole, axis=1) >= LEVEL_FILLED], axis=1)
    levels = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1)
    return MatrixRecord(
        role=role,
        storage=matrix.storage,
        lossy=matrix.lossy,
        shape=matrix.shape,
        digest=f"sha256:{digest}",
        zeros=float(np.mean(sample == 0)),
        levels=float(np.median(levels)) if len(levels) else 0.0,
    )


def _stored_bytes(matrices: Iterable[Matrix]) -> int:
    total = 0
    for matrix in matrices:
        meta = matrix.source.meta(matrix.name)
        rows, columns = matrix.shape
        total += meta.nbytes * rows * columns // max(1, meta.rows * meta.columns)
    return total
