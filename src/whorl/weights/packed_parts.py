"""What packed quantisations have in common: a matrix spread over several stored tensors, and bit fields in words."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, Protocol

import numpy as np

from whorl.core.arrays import AnyArray, Bytes, Floats
from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.source import TensorSource
from whorl.weights.stored import RawTensorSource

MAX_WHOLE_BYTES: Final = 512 << 20  # the packed integers of one matrix; at 405 billion parameters they take 436 MB
KEPT_BYTES: Final = 128 << 20


class PackedTensor(Protocol):
    """One logical matrix and the stored tensors that hold it; ``parts[0]`` is the one with the codes."""

    @property
    def storage(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def parts(self) -> tuple[str, ...]: ...

    def load(self) -> tuple[AnyArray, ...]:
        """What every block of rows needs: scales, and codes that are not cut along rows."""

    def rows(self, loaded: tuple[AnyArray, ...], start: int, stop: int) -> Floats:
        """Rows ``start:stop`` as float32, shape (stop - start, columns)."""


class Kept:
    """The last results of loading, up to about `KEPT_BYTES`, so that a matrix read block by block is loaded once.

    Safe to use from several threads; two that miss the same key at once both load it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._arrays: OrderedDict[str, tuple[AnyArray, ...]] = OrderedDict()

    def get(self, key: str, load: Callable[[], tuple[AnyArray, ...]]) -> tuple[AnyArray, ...]:
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        loaded = load()
        with self._lock:
            self._arrays[key] = loaded
            while len(self._arrays) > 1 and self._total() > KEPT_BYTES:
                self._arrays.popitem(last=False)
        return loaded

    def _total(self) -> int:
        return sum(array.nbytes for arrays in self._arrays.values() for array in arrays)


def whole_floats(source: TensorSource, name: str) -> Floats:
    """A whole tensor as float32, shape (rows, columns)."""
    meta = source.meta(name)
    _refuse_huge(source, name, 4)
    return source.read_rows(name, 0, meta.rows)


def whole_raw(source: RawTensorSource, name: str) -> AnyArray:
    """A whole tensor's stored codes, shape (rows, columns)."""
    _refuse_huge(source, name, 8)
    return source.read_raw(name, 0, source.meta(name).rows)


def _refuse_huge(source: TensorSource, name: str, value_bytes: int) -> None:
    meta = source.meta(name)
    if min(meta.rows * meta.columns * value_bytes, 2 * meta.nbytes) > MAX_WHOLE_BYTES:
        raise UnsupportedError(
            f"{meta.file}: tensor {name!r}: expected a packed matrix of at most {MAX_WHOLE_BYTES} bytes, found "
            f"{meta.nbytes}; dequantise the model with the tool that packed it"
        )


def present(source: TensorSource, name: str) -> bool:
    """Whether the checkpoint has a tensor of this name."""
    try:
        source.meta(name)
    except KeyError:
        return False
    return True


def part(source: TensorSource, name: str, of: str) -> str:
    """``name`` if the checkpoint has it; raise `CheckpointError` for the packed tensor ``of`` if not."""
    if not present(source, name):
        problem = f"expected {name!r} beside it, found none; get the checkpoint again"
        raise CheckpointError(problem, file=source.meta(of).file, tensor=of)
    return name


def matrix_shape(source: TensorSource, name: str, storages: tuple[str, ...]) -> tuple[int, int]:
    """The shape of a two-dimensional, non-empty tensor stored in one of ``storages``; `CheckpointError` otherwise."""
    meta = source.meta(name)
    if len(meta.shape) != 2 or 0 in meta.shape or meta.storage not in storages:
        raise CheckpointError(
            f"expected a matrix of {' or '.join(storages)}, found {meta.storage} of shape {meta.shape}",
            file=meta.file,
            tensor=name,
        )
    return meta.shape[0], meta.shape[1]


def expect(source: TensorSource, name: str, what: str, *, expected: Any, found: Any) -> None:
    """Raise `CheckpointError` for tensor ``name`` unless ``found == expected``."""
    if found != expected:
        problem = f"expected {what} {expected}, found {found}; get the checkpoint again"
        raise CheckpointError(problem, file=source.meta(name).file, tensor=name)


def take_pairs(pairs: Floats, codes: AnyArray) -> Floats:
    """Two values for each byte: pairs (256, 2), codes of any shape; the last axis doubles.

    A pair is moved as one number of 64 bits, which is several times faster than as a row of two.
    """
    return np.take(np.ascontiguousarray(pairs).view(np.uint64).reshape(-1), codes).view(np.float32)


def unpack_words(words: AnyArray, bits: int) -> Bytes:
    """Split 32-bit words along the last axis into fields of ``bits`` bits, lowest first, crossing words where needed.

    Shape (..., words) becomes (..., words * 32 // bits).
    """
    stored = np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
    if bits == 8:
        return stored
    if 8 % bits == 0:
        fields = np.empty((*stored.shape, 8 // bits), dtype=np.uint8)
        for place in range(8 // bits):  # a few passes over whole arrays: 5 times faster than one over a short axis
            fields[..., place] = (stored >> np.uint8(place * bits)) & np.uint8((1 << bits) - 1)
        return fields.reshape(*stored.shape[:-1], -1)
    flags = np.unpackbits(stored, axis=-1, bitorder="little")
    weights = (1 << np.arange(bits)).astype(np.uint8)
    return (flags.reshape(*flags.shape[:-1], -1, bits) @ weights).astype(np.uint8)
