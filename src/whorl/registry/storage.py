"""The registry file: entries, their fingerprints and their search vectors in one SQLite database.

Any number of processes may read and write it at once (write-ahead log, one transaction per registration). The file is
untrusted: its schema must be exactly ours, and every row is checked when it is read.
"""

import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError
from whorl.fingerprints.container import MAX_BYTES
from whorl.fingerprints.weight_fingerprint import SCHEMA as FINGERPRINT_SCHEMA
from whorl.registry.search import Vectors, cosines, population_mean

VERSION: Final = 1
NAME_LENGTH: Final = 200

_APPLICATION: Final = 0x57484F52  # "WHOR", so that another program's SQLite file is refused and not written to
_BATCH: Final = 4096
_BUSY_SECONDS: Final = 30
_TABLES: Final = {
    "settings": "CREATE TABLE settings (method TEXT NOT NULL) STRICT",
    "fingerprints": "CREATE TABLE fingerprints (digest TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT",
    "entries": (
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
        "digest TEXT NOT NULL REFERENCES fingerprints (digest), registered_at TEXT NOT NULL, vector BLOB NOT NULL, "
        "UNIQUE (name, digest)) STRICT"
    ),
}
_RESTORE: Final = "restore it from a backup, or register the models again into a new file"
_REMEDIES: Final = {
    sqlite3.SQLITE_NOTADB: "expected a registry, found a file that is no SQLite database; check the path",
    sqlite3.SQLITE_CORRUPT: f"the database is damaged; {_RESTORE}",
    sqlite3.SQLITE_TOOBIG: f"it holds a value larger than any fingerprint; {_RESTORE}",
    sqlite3.SQLITE_READONLY: "it cannot be written; change its permissions, or copy it to a folder you may write to",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened or made; check that its folder exists and may be written to",
    sqlite3.SQLITE_BUSY: f"another program held it for over {_BUSY_SECONDS} seconds; try again when that has ended",
    sqlite3.SQLITE_FULL: "the disk is full; nothing was registered; free some space and try again",
}


class RegistryError(InputError):
    """A registry file cannot be used, or refuses what it was given; nothing was registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One registered model: a name somebody gave to a fingerprint, and when."""

    id: int
    name: str
    digest: str
    registered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """An entry worth comparing: the cosine of its search vector with the one searched for, between -1 and 1."""

    entry: Entry
    score: float


class Registry:
    """An open registry file; a context manager.

    Parameters
    ----------
    path : the file
    create : make the registry if there is none; without it, nothing is written that was not asked for
    method : what kind of fingerprint the registry holds; one registry holds one kind

    Raises
    ------
    RegistryError
        Here and in every method, if the file is not a registry, is damaged, is of a newer version or holds another
        kind of fingerprint, or cannot be read or written.
    """

    def __init__(self, path: Path, *, create: bool = False, method: str = FINGERPRINT_SCHEMA) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise RegistryError(f"{path}: expected a registry file, found a folder or device; check the path")
        with self._translated():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_SECONDS,
            )
        try:
            with self._translated():
                self._prepare(method, create=create)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was registered is already safe."""
        self._connection.close()

    def register(
        self, *, name: str, fingerprint_bytes: bytes, digest: str, search_vector: Vectors, registered_at: datetime
    ) -> Entry:
        """Enter a fingerprint under a name, whole or not at all.

        The same name and digest again give the existing entry. Another fingerprint under the same name is a further
        entry: names are claims, not keys.

        Parameters
        ----------
        digest : ``sha256:`` digest of ``fingerprint_bytes``
        search_vector : shape (dimension,), the dimension of the entries already there
        registered_at : with a time zone
        """
        self._check_name(name)
        if len(fingerprint_bytes) > MAX_BYTES:
            raise RegistryError(f"{name}: expected at most {MAX_BYTES} bytes, found {len(fingerprint_bytes)}")
        if digest != digest_bytes(fingerprint_bytes):
            raise ValueError(f"{digest} is not the digest of the fingerprint's bytes")
        if registered_at.tzinfo is None:
            raise ValueError("the time of registration needs a time zone")
        when = registered_at.astimezone(UTC).isoformat(timespec="seconds")
        with self._transaction("IMMEDIATE") as run:
            self._check_vector(search_vector)
            run("INSERT OR IGNORE INTO fingerprints VALUES (?, ?)", (digest, fingerprint_bytes))
            run(
                "INSERT OR IGNORE INTO entries (name, digest, registered_at, vector) VALUES (?, ?, ?, ?)",
                (name, digest, when, search_vector.tobytes()),
            )
            row = run(
                "SELECT id, name, digest, registered_at FROM entries WHERE name = ? AND digest = ?", (name, digest)
            ).fetchone()
        return self._entry(row)

    def entries(self) -> list[Entry]:
        """All entries, in the order in which they were registered."""
        with self._transaction("DEFERRED") as run:
            return [self._entry(row) for row in run("SELECT id, name, digest, registered_at FROM entries ORDER BY id")]

    def fingerprint(self, entry_id: int) -> bytes:
        """The stored fingerprint of an entry, after checking that its bytes still have the recorded digest."""
        with self._transaction("DEFERRED") as run:
            row = run(
                "SELECT entries.digest, body FROM entries LEFT JOIN fingerprints USING (digest) WHERE id = ?",
                (entry_id,),
            ).fetchone()
        if row is None:
            raise RegistryError(f"{self.path}: expected the number of an entry, found {entry_id}, which is none")
        digest, body = row
        found = digest_bytes(body) if isinstance(body, bytes) else "no bytes"
        if found != digest:
            raise self._damaged(f"entry {entry_id} was recorded as {digest}, found {found}")
        return bytes(body)

    def search(self, vector: Vectors, top: int) -> list[Lead]:
        """The ``top`` entries whose search vectors are nearest to ``vector``, best first; equals in order of entry.

        Exact: every entry is compared. See `whorl.registry.search` for what the score is.
        """
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        with self._transaction("DEFERRED") as run:
            self._check_vector(vector)
            mean = population_mean(batch for _, batch in self._vectors(vector.size))
            ids: list[int] = []
            scores = [np.zeros(0, dtype=np.float32)]
            for batch_ids, batch in self._vectors(vector.size):
                ids += batch_ids
                scores += cosines([batch], vector, mean=mean)
            score = np.concatenate(scores)
            leads = []
            for position in np.argsort(-score, kind="stable")[:top]:
                row = run(
                    "SELECT id, name, digest, registered_at FROM entries WHERE id = ?", (ids[position],)
                ).fetchone()
                leads.append(Lead(entry=self._entry(row), score=float(np.clip(score[position], -1, 1))))
        return leads

    def _prepare(self, method: str, *, create: bool) -> None:
        connection = self._connection
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES + (1 << 20))
        for pragma in ("foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON"):
            connection.execute(f"PRAGMA {pragma}")
        if create and not self._schema():
            connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction("IMMEDIATE") as run:
                if not self._schema():  # nobody else made it meanwhile
                    for statement in _TABLES.values():
                        run(statement)
                    run("INSERT INTO settings VALUES (?)", (method,))
                    run(f"PRAGMA application_id = {_APPLICATION}")
                    run(f"PRAGMA user_version = {VERSION}")
        self._check_file(method)

    def _check_file(self, method: str) -> None:
        application, version = (
            self._connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in ("application_id", "user_version")
        )
        if application != _APPLICATION:
            raise RegistryError(f"{self.path}: expected a registry, found another program's database; check the path")
        if version > VERSION:
            raise RegistryError(
                f"{self.path}: expected registry version {VERSION}, found {version}; install a newer whorl to use it"
            )
        if version != VERSION or self._schema() != _TABLES:
            raise self._damaged("its tables are not those of a registry")
        methods = [row[0] for row in self._connection.execute("SELECT method FROM settings LIMIT 2")]
        if methods != [method]:
            raise RegistryError(
                f"{self.path}: expected fingerprints of {method}, found {', '.join(map(repr, methods)) or 'none'}; "
                "use the whorl release that made it, or register the models again into a new file"
            )

    def _schema(self) -> dict[str, str]:
        return dict(self._connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))

    def _vectors(self, dimension: int) -> Iterator[tuple[list[int], Vectors]]:
        cursor = self._connection.execute("SELECT id, vector FROM entries ORDER BY id")
        while rows := cursor.fetchmany(_BATCH):
            ids, vectors = zip(*rows, strict=True)
            if any(not isinstance(vector, bytes) or len(vector) != dimension for vector in vectors):
                raise self._damaged("search vectors of different lengths")
            yield list(ids), np.frombuffer(b"".join(vectors), dtype=np.int8).reshape(len(ids), dimension)

    def _check_vector(self, vector: Vectors) -> None:
        if vector.dtype != np.int8 or vector.ndim != 1:
            raise ValueError(f"expected an int8 vector, got {vector.dtype} of shape {vector.shape}")
        row = self._connection.execute("SELECT length(vector) FROM entries LIMIT 1").fetchone()
        if row is not None and row[0] != vector.size:
            raise RegistryError(
                f"{self.path}: expected a search vector of {row[0]} numbers, found {vector.size}; "
                "make the fingerprint again with the whorl release that made the registry"
            )

    def _check_name(self, name: str) -> None:
        # Names are shown in terminals and pages: no control characters, no reversed or invisible text.
        hidden = any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in name)
        if hidden or not name.strip() or len(name) > NAME_LENGTH:
            raise RegistryError(
                f"expected a name of 1 to {NAME_LENGTH} visible characters, found {name[:NAME_LENGTH]!a}; "
                "give another one with --name"
            )

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        try:
            number, name, digest, when = row
            self._check_name(name)
            return Entry(id=number, name=name, digest=digest, registered_at=datetime.fromisoformat(when))
        except (TypeError, ValueError, RegistryError) as error:
            raise self._damaged(f"entry {row[0]} cannot be read ({error})") from error

    def _damaged(self, what: str) -> RegistryError:
        return RegistryError(f"{self.path}: {what}; {_RESTORE}")

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Any]:
        with self._translated():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            remedy = _REMEDIES.get(code, f"SQLite reports: {error}; {_RESTORE}")
            raise RegistryError(f"{self.path}: {remedy}") from error
