"""The GGUF header: metadata and tensor places, read by an own parser that bounds every claim before acting on it.

Layout (little-endian): "GGUF", version u32, tensor count u64, key count u64; each key a string, a type u32 and a value;
each tensor a name, its dimension count u32, dimensions u64 (fastest first), type u32 and offset u64 into the data, that
start at the next multiple of ``general.alignment``. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.files import OpenFile
from whorl.weights.stored import name_problem

MAX_HEADER_BYTES: Final = 64 << 20  # the largest public vocabularies, with their merges, need about 20 MB
MAX_KEYS: Final = 4096
MAX_TENSORS: Final = 100_000
MAX_TOKENS: Final = 1 << 21
MAX_KEY_LENGTH: Final = 65_535  # the format's own limit
MAX_KEPT_ARRAY: Final = 1024  # per-layer settings are kept; scores, merges and the like are skipped
MAX_ARRAY_DEPTH: Final = 4
MAX_DIMENSIONS: Final = 4  # the format's own limit
MAX_ALIGNMENT: Final = 1 << 16
TOKENS_KEY: Final = "tokenizer.ggml.tokens"

_WINDOW: Final = 1 << 20
_SCALARS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING: Final = 8
_ARRAY: Final = 9

# ggml type number: (name, values per block, bytes per block)
TYPES: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
# Withdrawn types, types of activations, and NVFP4, whose tensors need a second tensor of scales.
UNREAD_TYPES: Final[Mapping[int, str]] = {
    4: "Q4_2",
    5: "Q4_3",
    9: "Q8_1",
    15: "Q8_K",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
    40: "NVFP4",
    41: "Q1_0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor's place in its file. ``shape`` is slowest dimension first; blocks never cross a row."""

    name: str
    storage: str
    block_values: int
    block_bytes: int
    shape: tuple[int, ...]
    offset: int  # in bytes from the start of the file

    @property
    def nbytes(self) -> int:
        return prod(self.shape) // self.block_values * self.block_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a GGUF file says of itself: scalars and short numeric arrays, the vocabulary, and where tensors lie."""

    version: int
    metadata: Mapping[str, Any]
    tokens: tuple[str, ...] | None
    tensors: tuple[GgufTensor, ...]


def read_header(file: OpenFile) -> GgufHeader:
    """Read the header of an open GGUF file.

    Raises
    ------
    CheckpointError
        If the header is cut short, exceeds a bound, names something twice or places tensors outside the data, unaligned
        or over one another.
    UnsupportedError
        If the file is big-endian, of another version or holds a tensor type that is not read.
    """
    cursor = _Cursor(file)
    version = _read_version(cursor)
    tensor_count = cursor.count("tensors", MAX_TENSORS)
    key_count = cursor.count("metadata keys", MAX_KEYS)
    metadata: dict[str, Any] = {}
    tokens: tuple[str, ...] | None = None
    for _ in range(key_count):
        key = _read_key(cursor)
        if key in metadata:
            raise cursor.error(f"expected each metadata key once, found {key[:100]!r} twice")
        kind = cursor.number("<I")
        if key == TOKENS_KEY:
            metadata[key], tokens = None, _read_tokens(cursor, kind)
        else:
            metadata[key] = _read_value(cursor, kind, key)
    tensors = [_read_tensor(cursor) for _ in range(tensor_count)]
    placed = _place(tensors, cursor, _alignment(metadata, cursor))
    return GgufHeader(version=version, metadata=metadata, tokens=tokens, tensors=placed)


class _Cursor:
    """Reads the header front to back, loading it as far as it is needed and never beyond `MAX_HEADER_BYTES`."""

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.position = 0
        self._data = bytearray()

    def error(self, problem: str, tensor: str | None = None) -> CheckpointError:
        return CheckpointError(f"GGUF header: {problem}; get the file again", file=self.file.path, tensor=tensor)

    def require(self, length: int) -> None:
        """Have ``length`` bytes from the position on in memory, or raise."""
        end = self.position + length
        if end > self.file.size:
            raise self.error(f"expected {length} bytes at offset {self.position}, found the end at {self.file.size}")
        if end > MAX_HEADER_BYTES:
            raise self.error(f"expected at most {MAX_HEADER_BYTES} bytes, found more")
        if end > len(self._data):
            wanted = min(max(end, len(self._data) + _WINDOW), self.file.size)
            self._data += self.file.read(len(self._data), wanted - len(self._data))

    def number(self, layout: str) -> Any:
        size = struct.calcsize(layout)
        self.require(size)
        (value,) = struct.unpack_from(layout, self._data, self.position)
        self.position += size
        return value

    def count(self, what: str, limit: int) -> int:
        value: int = self.number("<Q")
        if value > limit:
            raise self.error(f"expected at most {limit} {what}, found {value}")
        return value

    def take(self, length: int) -> bytes:
        self.require(length)
        taken = bytes(self._data[self.position : self.position + length])
        self.position += length
        return taken

    def strings(self, count: int) -> Iterator[bytes]:
        """The next ``count`` strings. One loop without calls: vocabularies and merges have several hundred thousand."""
        unpack = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if self.position + 8 > len(self._data):
                self.require(8)
            (length,) = unpack(self._data, self.position)
            start = self.position + 8
            end = start + length
            if end > len(self._data):
                self.require(8 + length)
            self.position = end
            yield bytes(self._data[start:end])

    def skip(self, length: int) -> None:
        self.require(length)
        self.position += length


def _read_version(cursor: _Cursor) -> int:
    magic = cursor.take(4)
    if magic != b"GGUF":
        raise cursor.error(f"expected the bytes 'GGUF' first, found {magic!r}")
    version: int = cursor.number("<I")
    if version and version & 0xFFFF == 0:
        raise UnsupportedError(f"{cursor.file.path}: big-endian GGUF is not read; convert the file to little-endian")
    if version not in (2, 3):
        raise UnsupportedError(f"{cursor.file.path}: GGUF version {version} is not read, only 2 and 3; convert it anew")
    return version


def _read_key(cursor: _Cursor) -> str:
    length = cursor.count("bytes in a metadata key", MAX_KEY_LENGTH)
    try:
        return cursor.take(length).decode()
    except UnicodeDecodeError:
        raise cursor.error(f"expected a metadata key in UTF-8 before offset {cursor.position}") from None


def _read_tokens(cursor: _Cursor, kind: int) -> tuple[str, ...]:
    item_kind = cursor.number("<I") if kind == _ARRAY else None
    if item_kind != _STRING:
        raise cursor.error(f"expected {TOKENS_KEY} to be a list of strings")
    count = cursor.count("tokens", MAX_TOKENS)
    return tuple([token.decode(errors="replace") for token in cursor.strings(count)])


def _read_value(cursor: _Cursor, kind: int, key: str, depth: int = 0) -> Any:
    """A scalar, a string, a short numeric array, or None for an array that is skipped."""
    if kind in _SCALARS:
        return cursor.number(_SCALARS[kind])
    if kind == _STRING:
        return cursor.take(cursor.number("<Q")).decode(errors="replace")
    if kind != _ARRAY:
        raise cursor.error(f"expected a value type from 0 to 12 for {key[:100]!r}, found {kind}")
    if depth == MAX_ARRAY_DEPTH:
        raise cursor.error(f"expected arrays nested at most {MAX_ARRAY_DEPTH} deep, found {key[:100]!r} deeper")
    item_kind: int = cursor.number("<I")
    count = cursor.count(f"array items in {key[:100]!r}", MAX_HEADER_BYTES)
    if item_kind in _SCALARS:
        return _read_numbers(cursor, _SCALARS[item_kind], count)
    if item_kind == _STRING:
        for _ in cursor.strings(count):
            pass
    else:
        for _ in range(count):
            _read_value(cursor, item_kind, key, depth + 1)
    return None


def _read_numbers(cursor: _Cursor, layout: str, count: int) -> tuple[Any, ...] | None:
    length = count * struct.calcsize(layout)
    if count > MAX_KEPT_ARRAY:
        cursor.skip(length)
        return None
    data = np.frombuffer(cursor.take(length), dtype=layout)
    return tuple(data.tolist())


def _read_tensor(cursor: _Cursor) -> GgufTensor:
    """One tensor's entry, its offset still relative to the data."""
    length = cursor.count("bytes in a tensor name", MAX_KEY_LENGTH)
    name = cursor.take(length).decode(errors="replace")
    if problem := name_problem(name):
        raise cursor.error(problem)
    dimensions: int = cursor.number("<I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise cursor.error(f"expected 1 to {MAX_DIMENSIONS} dimensions, found {dimensions}", name)
    sizes = tuple(cursor.number("<Q") for _ in range(dimensions))
    if 0 in sizes or prod(sizes) >= 1 << 62:
        raise cursor.error(f"expected dimensions from 1 up and fewer than 2**62 values, found {sizes}", name)
    kind: int = cursor.number("<I")
    if kind not in TYPES:
        raise UnsupportedError(
            f"{cursor.file.path}: tensor {name!r} has type {UNREAD_TYPES.get(kind, f'number {kind}')}, which is not "
            f"read; use a file in one of {', '.join(storage for storage, _, _ in TYPES.values())}"
        )
    storage, block_values, block_bytes = TYPES[kind]
    if sizes[0] % block_values:
        raise cursor.error(f"expected rows of whole {storage} blocks of {block_values}, found {sizes[0]} values", name)
    return GgufTensor(
        name=name,
        storage=storage,
        block_values=block_values,
        block_bytes=block_bytes,
        shape=sizes[::-1],
        offset=cursor.number("<Q"),
    )


def _alignment(metadata: Mapping[str, Any], cursor: _Cursor) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise cursor.error(f"expected an alignment that is a power of two from 8 to {MAX_ALIGNMENT}, found {alignment}")
    return alignment


def _place(tensors: list[GgufTensor], cursor: _Cursor, alignment: int) -> tuple[GgufTensor, ...]:
    """Tensors with offsets from the start of the file, after checking that each has bytes of its own."""
    data_start = -(-cursor.position // alignment) * alignment
    placed: dict[str, GgufTensor] = {}
    end, before = data_start, None
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.name in placed:
            raise cursor.error("expected each tensor name once, found it twice", tensor.name)
        if tensor.offset % alignment:
            raise cursor.error(f"expected an offset in multiples of {alignment}, found {tensor.offset}", tensor.name)
        start = data_start + tensor.offset
        if start < end:
            raise cursor.error(f"expected tensors apart, found its bytes within those of {before!r}", tensor.name)
        end, before = start + tensor.nbytes, tensor.name
        if end > cursor.file.size:
            found = f"expected its last byte before {cursor.file.size}, the end of the file, found it at {end}"
            raise cursor.error(found, tensor.name)
        placed[tensor.name] = GgufTensor(
            name=tensor.name,
            storage=tensor.storage,
            block_values=tensor.block_values,
            block_bytes=tensor.block_bytes,
            shape=tensor.shape,
            offset=start,
        )
    return tuple(placed.values())
