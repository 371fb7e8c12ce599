"""One process writes a registry; the next one that wants to is told so.

The log's own lock is held for one append. Between the rows of one batch and its tree head nobody else may write rows
either, so whoever opens a registry to write holds this lock until it closes it. Readers need none.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from whorl.registry.database_errors import RegistryError

NAME: Final = ".writer"
PATIENCE_SECONDS: Final = 3.0  # as long as another command takes that enters something
_PAUSE_SECONDS: Final = 0.05


class RegistryBusyError(RegistryError):
    """Another process writes this registry."""


class WriterLock:
    """The lock of a registry's folder, held from here to `release`; a process that dies gives it back.

    Raises
    ------
    RegistryBusyError
        If somebody else holds it for longer than a few seconds.
    RegistryError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                _take(self._descriptor, folder)
            except BaseException:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise RegistryError(
                f"{path}: cannot be locked for writing ({error.strerror}); check the permissions of the folder and "
                "that its disk supports locks"
            ) from error

    def release(self) -> None:
        """Let others write; once is enough."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_written(folder: Path) -> bool:
    """Whether another process holds the lock of a folder now; nothing is made there."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _take(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise RegistryBusyError(
                    f"{folder}: another process writes this registry, such as `whorl serve`; end it first, or name "
                    "its address with --registry URL. Reading needs no lock"
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return
