"""Blobs: what entries refer to by digest, one file each in a folder, named by content.

``blobs/ab/cdef...`` holds the bytes with SHA-256 abcdef... A blob is on the disk before anything refers to it, and
every read hashes it again. Nothing that a client sends becomes part of a path: a name is 64 hex digits or refused.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whorl.core.durable_files import sync_folder
from whorl.core.errors import InputError, VerificationError
from whorl.registry.database_errors import RegistryError
from whorl.registry.stored_entry import digest_text, raw_digest

_PARTIAL: Final = "partial"
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A stored blob: its ``sha256:`` digest and its size in bytes."""

    digest: str
    size: int


class BlobFolder:
    """The blobs of a registry; the folder is made when the first one comes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, pieces: Iterable[bytes], *, max_bytes: int, expected: str | None = None) -> Blob:
        """Store the joined pieces durably; the same content again heals what is there.

        Parameters
        ----------
        expected : digest that the content must have

        Raises
        ------
        InputError
            If there is more than ``max_bytes``; nothing is stored then.
        VerificationError
            If the content has another digest than expected.
        RegistryError
            If the disk does not take it.
        """
        if expected is not None:
            raw_digest(expected)
        with _translated(self.path):
            partial = self._waiting() / secrets.token_hex(16)
            try:
                blob = _write(partial, pieces, max_bytes)
                if expected is not None and blob.digest != expected:
                    raise VerificationError(
                        f"expected a blob with the digest {expected}, found {blob.digest}; send it again"
                    )
                target = self._file(blob.digest)
                target.parent.mkdir(exist_ok=True)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
            sync_folder(target.parent)
            sync_folder(self.path)
            return blob

    def get(self, digest: str, *, max_bytes: int) -> bytes:
        """The bytes of a blob, hashed again.

        Raises
        ------
        InputError
            If there is none with this digest, or it is larger than ``max_bytes``.
        VerificationError
            If the file has other bytes than its name says.
        """
        file = self._file(digest)
        with _translated(self.path):
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                raise InputError(f"expected a blob of this registry, found none with the digest {digest}") from None
            with os.fdopen(descriptor, "rb") as opened:
                size = _regular_size(opened.fileno(), file)
                if size > max_bytes:
                    raise InputError(f"blob {digest}: expected at most {max_bytes} bytes, found {size}")
                data = opened.read(size + 1)
        found = digest_text(hashlib.sha256(data).digest())
        if found != digest:
            raise VerificationError(
                f"blob {digest}: found bytes with the digest {found}: the file was damaged or altered; store it again, "
                "or fetch it from a bureau that mirrors it"
            )
        return data

    def holds(self, digest: str) -> bool:
        """Whether there is a blob with this digest; its bytes are not looked at."""
        return self._file(digest).is_file()

    def delete(self, digest: str) -> bool:
        """Remove a blob for good; whether there was one."""
        file = self._file(digest)
        with _translated(self.path):
            try:
                file.unlink()
            except FileNotFoundError:
                return False
            sync_folder(file.parent)
        return True

    def digests(self) -> Iterator[str]:
        """Digests of all blobs, in order."""
        with _translated(self.path):
            for folder in sorted(self._folders()):
                for name in sorted(file.name for file in folder.iterdir()):
                    if len(name) == 62 and not set(name) - _HEX:
                        yield f"sha256:{folder.name}{name}"

    def clear_partial(self) -> int:
        """Remove what a crash left half written, while nobody stores anything; how many there were."""
        with _translated(self.path):
            waiting = self.path / _PARTIAL
            left = list(waiting.iterdir()) if waiting.is_dir() else []
            for file in left:
                file.unlink()
        return len(left)

    def _waiting(self) -> Path:
        waiting = self.path / _PARTIAL
        if not waiting.is_dir():
            waiting.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path.parent)
        return waiting

    def _folders(self) -> Iterator[Path]:
        if self.path.is_dir():
            yield from (each for each in self.path.iterdir() if len(each.name) == 2 and not set(each.name) - _HEX)

    def _file(self, digest: str) -> Path:
        name = raw_digest(digest).hex()
        return Path(f"{self.path}/{name[:2]}/{name[2:]}")


def _write(partial: Path, pieces: Iterable[bytes], max_bytes: int) -> Blob:
    running = hashlib.sha256()
    size = 0
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in pieces:
            size += len(piece)
            if size > max_bytes:
                raise InputError(f"expected a blob of at most {max_bytes} bytes, found more; nothing was stored")
            running.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return Blob(digest=digest_text(running.digest()), size=size)


def _regular_size(descriptor: int, file: Path) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise RegistryError(f"{file}: expected a file, found something else; remove it and store the blob again")
    return status.st_size


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryError(
            f"{path}: blobs cannot be read or stored ({error.strerror or error}); check the disk, its free space and "
            "the permissions, then try again"
        ) from error
