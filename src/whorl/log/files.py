"""Reading and locking the files that logs, witnesses and monitors keep."""

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from whorl.core.errors import InputError

Write: TypeAlias = Callable[[Path, bytes], None]
"""Puts a file on the disk, whole or not at all, as `whorl.core.durable_files.write_durably` does."""


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """Read a regular file whole.

    Raises
    ------
    InputError
        If there is none, it is a pipe or device, it is larger than ``max_bytes``, or it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not keep us waiting
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{path}: expected a regular file, found a folder, pipe or device")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise InputError(f"{path}: expected a file, found none") from None
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    if len(data) > max_bytes:
        raise InputError(f"{path}: expected at most {max_bytes} bytes, found more")
    return data


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path`` alone, among the threads of this process and all others; waits for it."""
    # Opened anew each time: a lock belongs to an open file, so threads that shared one would share the lock.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def origin_hash(origin: str) -> str:
    """A log's name where a name of a file or an address is needed: SHA-256 in lower-case hex (C2SP tlog-witness)."""
    return hashlib.sha256(origin.encode()).hexdigest()
