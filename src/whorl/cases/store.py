"""Where a case is kept: one small interface, and a folder with its chain in SQLite and its exhibits by content.

::

    case.sqlite     one row for each event: its record, and envelope and salt until they are erased
    exhibits/       stored fingerprints, findings, documents and opinions, by digest
    line-up.json    the manager's: which model each code stands for; gone once the case is expunged
    line-up-*.json  those of attempts to freeze before that one, by their commitments

An event is on the disk before the command that made it answers, and what it points to is there before it. One program
writes at a time; others wait. A crash leaves the events that were acknowledged and at most an exhibit that none names.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from pydantic import ValidationError

from whorl.core.digest import canonical_json, digest_bytes
from whorl.core.durable_files import sync_folder
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.case_steps import MAX_CUSTODY_BYTES
from whorl.dossiers.custody import MAX_EVENTS, Kept, Record, write_chain
from whorl.registry.blobs import BlobFolder

DATABASE: Final = "case.sqlite"
EXHIBITS: Final = "exhibits"
MAX_EXHIBIT_BYTES: Final = 1 << 28
MAX_EXHIBITS: Final = 15_000
MAX_CASE_BYTES: Final = 3 << 29
"""Exhibits of one case and their bytes: less than a dossier's archive holds, so that what is kept can be handed on."""

_APPLICATION: Final = 0x57684361  # "WhCa"
_VERSION: Final = 1
_BUSY_SECONDS: Final = 30
_LARGEST_VALUE: Final = 1 << 20
_SCHEMA: Final = """CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    envelope BLOB,
    salt BLOB,
    CHECK ((envelope IS NULL) = (salt IS NULL))
) STRICT"""


class CaseStore(Protocol):
    """The events and exhibits of one case: in a folder here, or with a service (`whorl.cases.remote_store`)."""

    @property
    def path(self) -> Path:
        """The folder on this machine: of the whole case, or of what its manager keeps of a case kept elsewhere."""

    def kept(self) -> tuple[Kept, ...]:
        """All events, in order; not checked: see `whorl.dossiers.custody.open_chain`."""

    def append(self, make: Callable[[tuple[Kept, ...]], Kept], *, erase: Sequence[int] = ()) -> Kept:
        """Add one event; when this returns it is on the disk.

        Parameters
        ----------
        make : gives the event, from all those before it; whatever it raises, nothing is changed
        erase : events whose envelopes and salts go in the same moment
        """

    def put(self, data: bytes) -> str:
        """Keep an exhibit; its ``sha256:`` digest, once it is on the disk."""

    def get(self, digest: str) -> bytes:
        """An exhibit's bytes, hashed again."""

    def keep_only(self, named: Collection[str]) -> tuple[str, ...]:
        """Remove all exhibits but these, once a tombstone was entered; digests of those that went."""

    def checked(self, kept: Sequence[Kept]) -> None:
        """Take note that these events, all that there are, were found to hold."""


class FolderStore:
    """A case in a folder.

    Parameters
    ----------
    path : its folder; `create_store` makes one
    """

    def __init__(self, path: Path) -> None:
        if not (path / DATABASE).is_file():
            raise InputError(f"{path}: expected the folder of a case, found none; make one with `whorl case new`")
        self.path = path
        self._blobs = BlobFolder(path / EXHIBITS)

    def kept(self) -> tuple[Kept, ...]:
        """All events, in order; not checked: see `whorl.dossiers.custody.open_chain`.

        Raises
        ------
        InputError
            If the database cannot be read or is damaged.
        """
        with self._connected() as connection:
            return _read(connection, self.path)

    def append(self, make: Callable[[tuple[Kept, ...]], Kept], *, erase: Sequence[int] = ()) -> Kept:
        """Add one event; when this returns it is on the disk.

        Parameters
        ----------
        make : gives the event, from all those before it; whatever it raises, nothing is changed
        erase : events whose envelopes and salts go in the same moment
        """
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                before = _read(connection, self.path)
                made = make(before)
                if made.record.sequence != len(before):
                    raise ValueError("an event's number is its place in the chain")
                _require_readable(before, made, self.path)
                connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", _row(made))
                connection.executemany(
                    "UPDATE events SET envelope = NULL, salt = NULL WHERE sequence = ?", [(one,) for one in erase]
                )
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk ends it before
                    connection.execute("ROLLBACK")
                raise
            if erase:
                connection.execute("VACUUM")
        return made

    def put(self, data: bytes) -> str:
        """Keep an exhibit; its ``sha256:`` digest, once it is on the disk.

        Raises
        ------
        InputError
            If it, or all that is kept with it, is more than a case may hold.
        """
        if not self.holds(digest_bytes(data)):
            self._room(len(data))
        pieces = (data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20))
        return self._blobs.put(pieces, max_bytes=MAX_EXHIBIT_BYTES).digest

    def get(self, digest: str) -> bytes:
        """An exhibit's bytes, hashed again.

        Raises
        ------
        InputError
            If there is none with this digest.
        VerificationError
            If it was damaged or altered.
        """
        if not self._blobs.holds(digest):
            raise InputError(f"{self.path}: expected the exhibit {digest}, found none: it was erased or lost")
        try:
            return self._blobs.get(digest, max_bytes=MAX_EXHIBIT_BYTES)
        except VerificationError:
            raise VerificationError(
                f"{self.path}: the exhibit {digest} has other bytes than its digest says: it was damaged or altered"
            ) from None

    def holds(self, digest: str) -> bool:
        """Whether there is an exhibit with this digest; its bytes are not looked at."""
        return self._blobs.holds(digest)

    def size(self, digest: str) -> int | None:
        """Bytes of an exhibit, which are not looked at; None if there is none with this digest."""
        name = digest.removeprefix("sha256:")
        file = self.path / EXHIBITS / name[:2] / name[2:]
        return file.stat().st_size if self.holds(digest) else None

    def receive(self, pieces: Iterable[bytes], *, digest: str, max_bytes: int) -> int:
        """Keep an exhibit that comes piece by piece; its size.

        Raises
        ------
        InputError
            If there is more than ``max_bytes``, or than a case may hold; nothing is kept then.
        VerificationError
            If the bytes have another digest.
        """
        most = max_bytes if self.holds(digest) else min(max_bytes, self._room())
        return self._blobs.put(pieces, max_bytes=most, expected=digest).size

    def _room(self, needed: int = 1) -> int:
        """Bytes that another exhibit may have.

        Raises
        ------
        InputError
            If there is no room for one of ``needed`` bytes.
        """
        kept = [file.stat().st_size for file in (self.path / EXHIBITS).glob("??/*")]
        if len(kept) >= MAX_EXHIBITS or sum(kept) + needed > MAX_CASE_BYTES:
            raise InputError(
                f"{self.path}: expected at most {MAX_EXHIBITS} exhibits of {MAX_CASE_BYTES >> 20} MiB together in a "
                f"case, found {len(kept)} of {sum(kept)} bytes and one more; a dossier could not hold them: file "
                "extracts"
            )
        return MAX_CASE_BYTES - sum(kept)

    def keep_only(self, named: Collection[str]) -> tuple[str, ...]:
        """Remove all exhibits but these for good, also those that no event named; digests of those that went."""
        return tuple(one for one in tuple(self._blobs.digests()) if one not in named and self._blobs.delete(one))

    def checked(self, kept: Sequence[Kept]) -> None:
        """Nothing: a folder is read by whoever has it."""

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with _translated(self.path):
            connection = _connect(self.path / DATABASE)
            try:
                _require_case(connection, self.path)
                yield connection
            finally:
                connection.close()


def create_store(path: Path) -> FolderStore:
    """Make the folder of a new case, with no event yet.

    Raises
    ------
    InputError
        If something is there already.
    """
    if path.exists():
        raise InputError(f"{path}: exists already and was left alone; choose another place for a new case")
    with _translated(path):
        path.mkdir(mode=0o700, parents=True)
        connection = _connect(path / DATABASE)
        try:
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        finally:
            connection.close()
        sync_folder(path)
        sync_folder(path.parent)
    return FolderStore(path)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, timeout=_BUSY_SECONDS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "secure_delete = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _require_case(connection: sqlite3.Connection, path: Path) -> None:
    """A stranger's file may call anything a table: only the very schema that is made here is read."""
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    schema = connection.execute("SELECT sql FROM sqlite_schema LIMIT 2").fetchall()
    if (found, version, schema) != (_APPLICATION, _VERSION, [(_SCHEMA,)]):
        raise InputError(f"{path}: expected a case of this release, found another kind of database")


def _read(connection: sqlite3.Connection, path: Path) -> tuple[Kept, ...]:
    rows = connection.execute(
        "SELECT record, envelope, salt FROM events ORDER BY sequence LIMIT ?", (MAX_EVENTS + 1,)
    ).fetchall()
    try:
        return tuple(
            Kept(record=Record.model_validate_json(record), envelope=envelope, salt=salt)
            for record, envelope, salt in rows
        )
    except ValidationError:
        raise InputError(f"{path}: expected the records of a case, found something else: it was damaged") from None


def _require_readable(before: Sequence[Kept], made: Kept, path: Path) -> None:
    """A chain that no verifier reads is not made."""
    if len(write_chain([*before, made])) > MAX_CUSTODY_BYTES:
        raise InputError(
            f"{path}: expected a chain of at most {MAX_CUSTODY_BYTES >> 20} MiB, which is as much as is read of a "
            "dossier, found no room for another event; file what is long as a document"
        )


def _row(kept: Kept) -> tuple[int, bytes, bytes | None, bytes | None]:
    return kept.record.sequence, canonical_json(kept.record.model_dump(mode="json")), kept.envelope, kept.salt


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: the case cannot be read or written ({error}); nothing was changed. Check the disk, its free "
            "space and the permissions; if another program holds it, try again"
        ) from error
