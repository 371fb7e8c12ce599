"""Tensors that lie as contiguous rows in files: what the safetensors and PyTorch readers have in common."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from whorl.core.arrays import AnyArray, Floats
from whorl.weights.files import OpenFile, open_unchanged
from whorl.weights.numbers import CHUNK_VALUES, FORMATS, decode
from whorl.weights.source import Observer, TensorMeta, TensorSource

MAX_DIMENSIONS: Final = 16
MAX_EMPTY_EXTENT: Final = 1 << 31  # a tensor without values may still claim rows: keep loops over them short
MAX_NAME_LENGTH: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where one tensor's values lie, and the state its file was in when that was found out."""

    meta: TensorMeta
    offset: int  # in bytes from the start of the file
    file_size: int
    file_modified_ns: int


class RawTensorSource(TensorSource, Protocol):
    """A source that also gives the stored codes, for readers that unpack quantised storages themselves."""

    def read_raw(self, name: str, start: int, stop: int, observe: Observer | None = None) -> AnyArray:
        """Rows ``start:stop`` as stored, shape (stop - start, columns).

        The array's type is `whorl.weights.numbers.NumberFormat.codes` of the tensor's storage: signed and unsigned
        integers and F64, F32, F16 as themselves, BF16 as uint16, 8-bit floats and BOOL as uint8. Otherwise as
        `read_rows`.
        """


class StoredSource:
    """A `RawTensorSource` over tensors at known places in one or more files.

    Parameters
    ----------
    read_vocabulary : called once, when the vocabulary is first asked for
    """

    def __init__(
        self,
        *,
        path: Path,
        tensors: Mapping[str, StoredTensor],
        config: Mapping[str, Any],
        description: str,
        read_vocabulary: Callable[[], Sequence[str] | None],
    ) -> None:
        self._path = path
        self._tensors = dict(sorted(tensors.items()))
        self._config = config
        self._description = description
        self._read_vocabulary = read_vocabulary

    @property
    def path(self) -> Path:
        return self._path

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def description(self) -> str:
        return self._description

    @cached_property
    def vocabulary(self) -> Sequence[str] | None:
        return self._read_vocabulary()

    def names(self) -> Sequence[str]:
        return tuple(self._tensors)

    def meta(self, name: str) -> TensorMeta:
        return self._tensors[name].meta

    def read_rows(self, name: str, start: int, stop: int, observe: Observer | None = None) -> Floats:
        tensor = self._tensors[name]
        storage = tensor.meta.storage
        values = np.empty(_extent(tensor.meta, start, stop), dtype=np.float32)
        flat = values.reshape(-1)
        if not flat.size:
            return values
        # Chunk by chunk through one small buffer, so that both sides of the decoding stay in cache.
        buffer = np.empty(min(flat.size, CHUNK_VALUES), dtype=FORMATS[storage].codes)
        with _open(tensor) as file:
            for at in range(0, flat.size, CHUNK_VALUES):
                out = flat[at : at + CHUNK_VALUES]
                codes = buffer[: out.size]
                _read_codes(file, tensor, start * values.shape[1] + at, codes, observe)
                decode(storage, codes, out)
        return values

    def read_raw(self, name: str, start: int, stop: int, observe: Observer | None = None) -> AnyArray:
        tensor = self._tensors[name]
        codes = np.empty(_extent(tensor.meta, start, stop), dtype=FORMATS[tensor.meta.storage].codes)
        if codes.size:
            with _open(tensor) as file:
                _read_codes(file, tensor, start * codes.shape[1], codes.reshape(-1), observe)
        return codes


def _extent(meta: TensorMeta, start: int, stop: int) -> tuple[int, int]:
    if not 0 <= start <= stop <= meta.rows:
        raise ValueError(f"rows {start}:{stop} outside 0:{meta.rows} of {meta.name!r}")
    return stop - start, meta.columns


def _open(tensor: StoredTensor) -> AbstractContextManager[OpenFile]:
    meta = tensor.meta
    return open_unchanged(meta.file, meta.name, size=tensor.file_size, modified_ns=tensor.file_modified_ns)


def _read_codes(file: OpenFile, tensor: StoredTensor, first: int, codes: AnyArray, observe: Observer | None) -> None:
    stored = codes.view(np.uint8).data
    file.read_into(tensor.offset + first * codes.itemsize, stored, tensor.meta.name)
    if observe is not None:
        observe(stored.toreadonly())


def stored_tensor(name: str, storage: str, shape: tuple[int, ...], offset: int, file: OpenFile) -> StoredTensor:
    """Describe a tensor found in an open file.

    The caller has checked with `shape_problem` and `name_problem`, and that its bytes lie within the file.
    """
    number = FORMATS[storage]
    return StoredTensor(
        meta=TensorMeta(
            name=name,
            storage=storage,
            shape=shape,
            nbytes=prod(shape) * number.bytes_per_value,
            file=file.path,
            lossy=number.lossy,
        ),
        offset=offset,
        file_size=file.size,
        file_modified_ns=file.modified_ns,
    )


def name_problem(name: str) -> str | None:
    """Why a tensor cannot be called so: terminals and canonical JSON must be able to show the name."""
    if len(name) > MAX_NAME_LENGTH:
        return f"expected a name of at most {MAX_NAME_LENGTH} characters, found {len(name)}"
    return None if name.isprintable() else "expected a name of printable characters, found others"


def shape_problem(shape: object) -> str | None:
    """Why a value read from a file is no shape: expected is a short list or tuple of sizes."""
    if not isinstance(shape, list | tuple) or len(shape) > MAX_DIMENSIONS:
        return f"expected a shape of at most {MAX_DIMENSIONS} dimensions"
    if any(type(size) is not int or size < 0 for size in shape):
        return "expected a shape of whole numbers from 0 up"
    if 0 in shape and prod(max(size, 1) for size in shape) > MAX_EMPTY_EXTENT:
        return f"expected a tensor without values to span at most {MAX_EMPTY_EXTENT} places"
    return None
