"""Backups: a registry in one file, copied while it goes on running.

One reading transaction says what is in it: so many entries of the own log, and all else that is known by then. The
log's tiles are left out, for they follow from the leaves, and so are the derived tables. What a witness remembers is
left out as well: a witness that was put back from a backup has forgotten what it promised.
Format: ``docs/specs/registry-backup.md``; the way back is `whorl.registry.restoring`.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal

from pydantic import Field
from sqlalchemy import Connection, Table, select, tuple_

from whorl.core.durable_files import sync_folder
from whorl.core.errors import InputError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.progress import Progress, silent
from whorl.entries.kinds import HashHex
from whorl.log.files import read_file
from whorl.registry.blobs import BlobFolder
from whorl.registry.bulk import insert_rows
from whorl.registry.database import open_database, sqlite_url
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import PAGE
from whorl.registry.home import Home
from whorl.registry.log_rows import stored_log
from whorl.registry.registry_reader import MAX_BLOB_BYTES, RegistryReader
from whorl.registry.tables import audit, entries, heads, logs, microseconds, tokens
from whorl.registry.ustar import PIECE, TarWriter

SETTINGS: Final = "registry.json"
ROWS: Final = "registry.sqlite"
MANIFEST: Final = "manifest.json"
KEYS: Final = ("keys/bureau.json", "keys/log.json")
FORK: Final = re.compile(r"(?:seen|witness)/fork-[0-9A-Za-z._-]{1,70}\.proof")
MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_SMALL_BYTES: Final = 1 << 20
COPIED: Final = (logs, heads, entries, tokens, audit)
"""The tables that hold what came from outside, each after those that it refers to."""

_MAX_FORKS: Final = 1000


class Member(Document):
    """One file of a backup."""

    name: Annotated[str, Field(max_length=100)]
    size: Annotated[int, Field(ge=0)]
    sha256: HashHex


class BlobSum(Document):
    """All blobs of a backup; their names are their digests."""

    count: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=0)]


class Manifest(StoredDocument):
    """``manifest.json``, the last member: what belongs to the backup, and which state of the registry it is of."""

    schema_: Literal["whorl.registry-backup/1"] = Field(default="whorl.registry-backup/1", alias="schema")
    origin: str
    made_at: str
    size: Annotated[int, Field(ge=0, description="entries of the own log")]
    tree_head: str | None = Field(description="the newest signed tree head that was recorded")
    members: Annotated[tuple[Member, ...], Field(max_length=_MAX_FORKS + 10)]
    blobs: BlobSum


def back_up(registry: RegistryReader, output: Path, *, with_keys: bool, progress: Progress = silent) -> Manifest:
    """Write a backup, whole or not at all. Another process may write the registry meanwhile.

    Parameters
    ----------
    output : the file; its folder needs room for the database twice
    with_keys : also the private keys of the log and the bureau; without them, they are needed to restore

    Raises
    ------
    VerificationError
        If a blob is damaged: the backup would be, too.
    RegistryError
        If the registry cannot be read, or the file cannot be written.
    """
    name = f".{output.name}-{secrets.token_hex(8)}"
    partial, copy = output.with_name(f"{name}.partial"), output.with_name(f"{name}.sqlite")
    try:
        with registry.database.reading() as connection:
            held = stored_log(connection, registry.origin)
            if held is None:
                raise RegistryError(
                    f"{registry.home.path}: expected the registry's own log in its database, found none"
                )
            copy_rows(connection, copy, progress=progress)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            writing = _Writing(file)
            _add_files(writing, registry.home, copy, with_keys=with_keys)
            manifest = Manifest(
                origin=registry.origin,
                made_at=_stated(registry.now()),
                size=held.size,
                tree_head=None if held.head is None else held.head.decode(errors="replace"),
                blobs=_add_blobs(writing, registry.blobs, progress=progress),
                members=tuple(writing.members),
            )
            writing.add(MANIFEST, [manifest.model_dump_json(indent=1).encode() + b"\n"])
            writing.finish()
        partial.replace(output)
        sync_folder(output.parent)
    except OSError as error:
        raise RegistryError(
            f"{error.filename or output}: the backup cannot be written ({error.strerror}); check the disk and its free "
            "space"
        ) from error
    finally:
        for leftover in (partial, copy, copy.with_name(f"{copy.name}-wal"), copy.with_name(f"{copy.name}-shm")):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
    return manifest


def copy_rows(source: Connection, path: Path, *, progress: Progress = silent) -> None:
    """Copy the tables that hold what came from outside into a new SQLite file."""
    copy = open_database(sqlite_url(path), create=True)
    path.chmod(0o600)
    try:
        for table in COPIED:
            for count, rows in enumerate(table_pages(source, table)):
                with copy.writing() as connection:
                    insert_rows(connection, table, rows)
                progress(f"{table.name} copied", count * PAGE + len(rows), 0)
    finally:
        copy.close()


def table_pages(connection: Connection, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    """All rows of a table in pages, in the order of its primary key, as `insert_rows` takes them."""
    place = list(table.primary_key.columns)
    query = select(table).order_by(*place).limit(PAGE)
    rows = connection.execute(query).all()
    while rows:
        yield [tuple(microseconds(value) if isinstance(value, datetime) else value for value in row) for row in rows]
        last = tuple_(*(getattr(rows[-1], column.name) for column in place))
        rows = connection.execute(query.where(tuple_(*place) > last)).all()


class _Writing:
    """A backup under way, with what its manifest will say."""

    def __init__(self, file: BinaryIO) -> None:
        self.members: list[Member] = []
        self._file = file
        self._tar = TarWriter(file)

    def add(self, name: str, pieces: Iterable[bytes], *, size: int | None = None) -> None:
        """Add a member. Without its size, the pieces are few and small."""
        if size is None:
            pieces = list(pieces)
            size = sum(map(len, pieces))
        running = hashlib.sha256()
        self._tar.add(name, size, _hashed(pieces, running))
        self.members.append(Member(name=name, size=size, sha256=running.hexdigest()))

    def add_blob(self, digest: str, data: bytes) -> None:
        self._tar.add(blob_member(digest), len(data), [data])

    def finish(self) -> None:
        self._tar.finish()
        self._file.flush()
        os.fsync(self._file.fileno())


def blob_member(digest: str) -> str:
    """The name of a blob in a backup."""
    return f"blobs/{digest.removeprefix('sha256:')}"


def _add_files(writing: _Writing, home: Home, copy: Path, *, with_keys: bool) -> None:
    """Settings without the address of the database, which may hold a password; peers; keys; proofs of forks; rows."""
    settings = home.settings.model_copy(update={"database": None})
    writing.add(SETTINGS, [settings.model_dump_json(indent=1).encode() + b"\n"])
    names = ["peers.json"] if (home.path / "peers.json").exists() else []
    names += KEYS if with_keys else ()
    names += _forks(home)
    for name in names:
        writing.add(name, [read_file(home.path / name, max_bytes=MAX_SMALL_BYTES)])
    with copy.open("rb") as file:
        writing.add(ROWS, iter(lambda: file.read(PIECE), b""), size=os.fstat(file.fileno()).st_size)


def _forks(home: Home) -> list[str]:
    """Proofs of forks that others were caught at: evidence that nobody can make again."""
    found = sorted(
        f"{folder}/{path.name}" for folder in ("seen", "witness") for path in (home.path / folder).glob("fork-*.proof")
    )
    return [name for name in found if FORK.fullmatch(name)][:_MAX_FORKS]


def _add_blobs(writing: _Writing, blobs: BlobFolder, *, progress: Progress) -> BlobSum:
    count = size = 0
    for digest in blobs.digests():
        try:
            data = blobs.get(digest, max_bytes=MAX_BLOB_BYTES)
        except InputError:
            if blobs.holds(digest):
                raise
            continue  # erased meanwhile
        writing.add_blob(digest, data)
        count, size = count + 1, size + len(data)
        progress("blobs copied", count, 0)
    return BlobSum(count=count, size=size)


def _hashed(pieces: Iterable[bytes], running: "hashlib._Hash") -> Iterator[bytes]:
    for piece in pieces:
        running.update(piece)
        yield piece


def _stated(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
