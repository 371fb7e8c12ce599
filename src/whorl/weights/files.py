"""Files that nobody vouches for: regular files only, bounded sizes, positional reads, JSON with limits."""

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import CheckpointError

MAX_JSON_BYTES: Final = 128 << 20
MAX_JSON_VALUES: Final = 3_000_000  # 1.3 GB of Python objects at worst; the largest tokenizers have under 2 million
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """An open regular file with what tells later whether it is still the same."""

    path: Path
    descriptor: int
    size: int
    modified_ns: int

    def read_into(self, offset: int, buffer: memoryview, tensor: str | None = None) -> None:
        """Fill a flat byte buffer from ``offset``; raise `CheckpointError` if the file cannot be read that far."""
        while buffer.nbytes:
            try:
                count = os.preadv(self.descriptor, [buffer], offset)
            except OSError as error:
                raise CheckpointError(f"cannot be read: {error.strerror}", file=self.path, tensor=tensor) from error
            if count == 0:
                problem = f"expected {buffer.nbytes} more bytes at offset {offset}, found the end; get the file again"
                raise CheckpointError(problem, file=self.path, tensor=tensor)
            buffer, offset = buffer[count:], offset + count

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at ``offset``; the caller bounds ``length``."""
        data = bytearray(length)
        self.read_into(offset, memoryview(data))
        return bytes(data)


@contextmanager
def open_regular(path: Path, tensor: str | None = None) -> Iterator[OpenFile]:
    """Open a regular file, following symbolic links; anything else is a `CheckpointError`.

    A named pipe or a device is refused and never waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CheckpointError(f"cannot be opened: {error.strerror}", file=path, tensor=tensor) from error
    except ValueError as error:  # a zero byte in the name
        raise CheckpointError(f"cannot be opened: {error}", file=path, tensor=tensor) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError("expected a regular file, found a folder, pipe or device", file=path, tensor=tensor)
        yield OpenFile(path=path, descriptor=descriptor, size=found.st_size, modified_ns=found.st_mtime_ns)
    finally:
        os.close(descriptor)


@contextmanager
def open_unchanged(path: Path, tensor: str, *, size: int, modified_ns: int) -> Iterator[OpenFile]:
    """Open a file again that was opened before; a `CheckpointError` if it changed since."""
    with open_regular(path, tensor) as file:
        if (file.size, file.modified_ns) != (size, modified_ns):
            raise CheckpointError(
                f"expected the file as it was opened ({size} bytes), found it changed ({file.size} bytes); "
                "keep other programs from writing to it and start again",
                file=path,
                tensor=tensor,
            )
        yield file


def read_bounded(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """A whole small file; raise `CheckpointError` if it is larger than ``limit`` bytes."""
    with open_regular(path) as file:
        if file.size > limit:
            raise CheckpointError(f"expected at most {limit} bytes, found {file.size}", file=path)
        return file.read(0, file.size)


def read_json_object(path: Path, *, unique_keys: bool = False) -> dict[str, Any]:
    """A JSON file that holds one object; see `parse_json_object`."""
    return parse_json_object(read_bounded(path), path, unique_keys=unique_keys)


def parse_json_object(data: bytes, file: Path, *, unique_keys: bool = False) -> dict[str, Any]:
    """Parse one JSON object in bounded memory.

    Parameters
    ----------
    unique_keys : refuse an object that has the same key twice (otherwise the last one holds, as in Python's parser)

    Raises
    ------
    CheckpointError
        If the bytes are no JSON object in UTF-8, hold too many values, are nested too deeply or hold half of a
        surrogate pair.
    """
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_VALUES:
        raise CheckpointError(f"expected at most {MAX_JSON_VALUES} JSON values, found more", file=file)
    try:
        document = json.loads(data.decode(), object_pairs_hook=_unique if unique_keys else None)
        if _SURROGATE_ESCAPE.search(data):
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise CheckpointError("expected JSON of ordinary depth, found it nested too deeply", file=file) from None
    except ValueError as error:
        raise CheckpointError(f"expected JSON in UTF-8, found: {error}", file=file) from error
    if not isinstance(document, dict):
        raise CheckpointError(f"expected a JSON object, found {type(document).__name__}", file=file)
    return document


def shown(value: object) -> str:
    """The start of a value from a file, for a message; a container is only named, as its text could be endless."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to print integers of thousands of digits
        return "an integer of more than 256 bits"
    return repr(value)[:100] if isinstance(value, str | int | float | None) else type(value).__name__


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:100]!r} more than once in one object")
    return members
