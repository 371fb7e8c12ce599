"""Bytes of a stored fingerprint: a safetensors file with sorted arrays and one metadata entry, in exactly one
spelling.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from whorl.core.arrays import AnyArray
from whorl.core.digest import canonical_json
from whorl.core.errors import FingerprintError

METADATA_KEY: Final = "whorl.fingerprint"
MAX_BYTES: Final = 64 << 20
_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "F16": np.dtype("<f2"),
    "I32": np.dtype("<i4"),
}
_NAMES: Final = {dtype: name for name, dtype in _TYPES.items()}
_ALIGNMENT: Final = 8


def pack(document: str, arrays: Mapping[str, AnyArray]) -> bytes:
    """The one byte string for a header document and its arrays (dtypes u1, i1, f2, i4)."""
    header: dict[str, Any] = {"__metadata__": {METADATA_KEY: document}}
    parts, offset = [], 0
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], arrays[name].dtype.newbyteorder("<"))
        end = offset + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        parts.append(array.tobytes())
        offset = end
    text = canonical_json(header)
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def unpack(data: bytes, *, origin: str) -> tuple[str, dict[str, AnyArray]]:
    """Header document and arrays of `pack`'s bytes; any other spelling is refused.

    Raises
    ------
    FingerprintError
        If the bytes are not exactly what `pack` would write.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes, the limit is {MAX_BYTES}")
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        document = header.pop("__metadata__")[METADATA_KEY]
        body = data[8 + length :]
        arrays = {name: _array(entry, body) for name, entry in header.items()}
        whole = pack(document, arrays)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError, OverflowError) as error:
        raise _refusal(origin, f"{type(error).__name__}: {error}") from error
    if whole != data:
        raise _refusal(origin, "the bytes are not in canonical form")
    return document, arrays


def _array(entry: Mapping[str, Any], body: bytes) -> AnyArray:
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if any(type(size) is not int or size < 0 for size in (*shape, start, end)):
        raise ValueError(f"shape {shape} at {start}:{end}")
    dtype: np.dtype[Any] = _TYPES[entry["dtype"]]
    return np.frombuffer(body[start:end], dtype).reshape(shape)


def _refusal(origin: str, found: str) -> FingerprintError:
    return FingerprintError(
        f"{origin}: expected a stored Whorl fingerprint, found something else or a damaged one ({found}); "
        "make it again with `whorl fingerprint CHECKPOINT -o FILE`"
    )
