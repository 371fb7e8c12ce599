"""Identity: SHA-256 over canonical JSON with a type tag, arrays by dtype, shape and little-endian bytes."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import rfc8785

from whorl.core.arrays import AnyArray


def canonical_json(document: Any) -> bytes:
    """RFC 8785 canonical JSON: one byte string for one value.

    Raises
    ------
    ValueError
        If the value has no canonical form (NaN, infinities, integers beyond 2**53).
    """
    try:
        return rfc8785.dumps(document)
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"no canonical JSON form: {error}") from error


def digest_bytes(data: bytes | memoryview) -> str:
    """``sha256:`` and the hex digest of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_array(array: AnyArray) -> str:
    """Digest of an array's dtype, shape and little-endian C-order bytes."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    header = canonical_json({"dtype": little.dtype.str, "shape": list(little.shape)})
    return digest_bytes(header + b"\n" + little.tobytes())


def digest_document(kind: str, document: Mapping[str, Any]) -> str:
    """Digest of a JSON document under a type tag, so that values of different kinds never collide."""
    return digest_bytes(canonical_json({"kind": kind, "value": document}))
