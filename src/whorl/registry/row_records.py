"""Rows of the search index as fixed records in a file that only grows.

One record: key and group (8 bytes each, little-endian), the vector (int8), CRC-32 of these bytes (4 bytes,
little-endian). The checksum starts from the file's name and the index's scheme, so that a record moved from another
file does not fit. A write that was cut off leaves records that do not fit at the end of the file, and only there.
"""

import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray
from whorl.registry.search_vectors import SearchIndexError, StackedRows

_CHECKSUM_BYTES: Final = 4
_CHUNK_BYTES: Final = 1 << 20


def record_type(dimension: int) -> np.dtype[np.void]:
    """One row in a file."""
    return np.dtype(
        [("key", "<i8"), ("group", "<i8"), ("vector", "i1", (dimension,)), ("checksum", f"<u{_CHECKSUM_BYTES}")]
    )


def checksum_start(scheme: str, file: str) -> int:
    """What the checksums in a file start from."""
    return zlib.crc32(f"{scheme}\n{file}\n".encode())


def encode_rows(rows: StackedRows, *, start: int) -> bytes:
    """The rows' records.

    Parameters
    ----------
    start : from `checksum_start`
    """
    records = np.zeros(len(rows), record_type(rows.vectors.shape[1]))
    records["key"], records["group"], records["vector"] = rows.keys, rows.groups, rows.vectors
    records["checksum"] = _checksums(records, start)
    return records.tobytes()


def whole_records(data: bytes, dimension: int, *, start: int) -> NDArray[np.void]:
    """The records of a file that grows, without a torn end.

    Raises
    ------
    SearchIndexError
        If a record before the end does not fit its checksum.
    """
    kind = record_type(dimension)
    records = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
    fits = records["checksum"] == _checksums(records, start)
    whole = len(records) if fits.all() else int(np.argmin(fits))
    if fits[whole:].any():
        raise SearchIndexError(f"record {whole} does not fit its checksum, though later ones do")
    return records[:whole]


def mapped_records(path: Path, dimension: int, *, count: int, checksum: int) -> NDArray[np.void]:
    """The records of a finished file, mapped into memory.

    Parameters
    ----------
    checksum : CRC-32 of the whole file

    Raises
    ------
    SearchIndexError
        If the file has another length or checksum.
    """
    kind = record_type(dimension)
    mapped = map_checked(path, length=count * kind.itemsize, checksum=checksum)
    return mapped.view(kind)


def map_checked(path: Path, *, length: int, checksum: int) -> NDArray[np.uint8]:
    """A finished file of the index, mapped read-only, once its length and CRC-32 are found right.

    Raises
    ------
    SearchIndexError
        If they are not, or it cannot be read.
    """
    try:
        found_length, found = 0, 0
        with path.open("rb") as file:  # read, not mapped: what is only checked need not stay in the process's memory
            while chunk := file.read(_CHUNK_BYTES):
                found_length, found = found_length + len(chunk), zlib.crc32(chunk, found)
        if found_length != length:
            raise SearchIndexError(f"{path.name}: expected {length} bytes, found {found_length}")
        if found != checksum:
            raise SearchIndexError(f"{path.name}: expected CRC-32 {checksum:08x}, found {found:08x}")
        return np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    except OSError as error:
        raise SearchIndexError(f"{path.name}: expected a file that can be read, found: {error.strerror}") from error


def _checksums(records: AnyArray, start: int) -> NDArray[np.uint32]:
    size = records.dtype.itemsize
    view = np.ascontiguousarray(records).view(np.uint8).data
    return np.fromiter(
        (zlib.crc32(view[at : at + size - _CHECKSUM_BYTES], start) for at in range(0, len(view), size)),
        np.uint32,
        len(records),
    )
