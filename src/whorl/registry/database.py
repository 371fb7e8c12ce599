"""Opening a registry's database: one SQLite file, or a PostgreSQL server by another URL.

Whoever writes holds the whole registry: there is one sequencer, and what it reads stays true until it commits. Readers
see one state from beginning to end and never wait. Nothing is written to a database of another program.
"""

import os
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from whorl.registry.database_errors import BUSY_SECONDS, RegistryError, translated
from whorl.registry.migrations import SCRIPTS
from whorl.registry.schema import APPLICATION, bring_up_to_date, check_tables, stored_version
from whorl.registry.tables import SCHEMA_VERSION

_LARGEST_VALUE: Final = 1 << 20  # a row with its envelope
_PRAGMAS: Final = (
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "secure_delete = ON",
    "synchronous = FULL",
    "cache_size = -8192",  # KiB for each connection
)
_CONNECTIONS: Final = 40
_WRITING: Final = "whorl_writing"


class Database:
    """An open registry database; use `open_database`.

    Parameters
    ----------
    where : its path or address for messages, without a password
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self.where = where
        self._engine = engine

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that sees one state and cannot write.

        Raises
        ------
        RegistryError
            Here and in `writing`, if the database cannot be read or written, is damaged or stays busy.
        """
        with translated(self.where), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that no other writer shares; committed at the end, whole or not at all."""
        with translated(self.where), self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITING: True})
            with connection.begin():
                yield connection

    def scrub(self) -> None:
        """Remove what was erased from the disk, after the erasing transaction was committed.

        SQLite overwrites erased values with zeros (``secure_delete``); this empties the write-ahead log, where they may
        still stand. PostgreSQL gives the space free to be overwritten; its own write-ahead log and backups are the
        operator's to expire.

        Raises
        ------
        RegistryError
            If readers hold an older state; nothing is lost, call it again.
        """
        with translated(self.where), self._engine.connect() as connection:
            driver = _driver(connection)
            if self.is_sqlite:
                busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            else:
                driver.rollback()
                driver.autocommit = True
                driver.cursor().execute("VACUUM entries, names, digests, vectors")
                driver.autocommit = False
                busy = 0
        if busy:
            raise RegistryError(f"{self.where}: somebody still reads what was erased; scrub it again when they ended")

    def problems(self) -> list[str]:
        """What the database itself finds wrong with its pages, indexes and references; empty if nothing.

        PostgreSQL checks its pages when it reads them, where the server was made with checksums; here it is asked
        nothing.
        """
        if not self.is_sqlite:
            return []
        with self.reading() as connection:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
            orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(20)
        return [line for line in found if line != "ok"] + [f"table {row[0]} refers to a missing row" for row in orphans]

    def close(self) -> None:
        """Close all connections; what was committed is safe."""
        self._engine.dispose()


def open_database(url: str, *, create: bool, scripts: Path = SCRIPTS) -> Database:
    """Open a registry's database, and bring it to this version's tables.

    Parameters
    ----------
    url : ``sqlite:///path/to/registry.sqlite`` or ``postgresql+pg8000://user:password@host/database``, to which
        ``?sslmode=verify-full`` can be added for a server that is not on this machine
    create : make the registry if there is none; without it, nothing is made
    scripts : folder of the migrations

    Raises
    ------
    RegistryError
        If there is no registry, another program's database or a registry of a newer whorl, or it cannot be opened.
    """
    engine, where = _engine(url, create=create)
    database = Database(engine, where)
    try:
        with translated(where):
            _prepare(database, create=create, scripts=scripts)
    except BaseException:
        database.close()
        raise
    return database


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _engine(url: str, *, create: bool) -> tuple[Engine, str]:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _bad_url("something else") from None
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return _sqlite_engine(Path(str(parsed.database)), create=create)
    if parsed.drivername in ("postgresql", "postgresql+pg8000") and parsed.database:
        return _server_engine(parsed.set(drivername="postgresql+pg8000"))
    raise _bad_url(parsed.drivername)


def _bad_url(found: str) -> RegistryError:
    return RegistryError(
        "expected a database such as sqlite:///registry.sqlite or postgresql+pg8000://user:password@host/name, "
        f"found {found[:60]!a}; check the address"
    )


def _sqlite_engine(path: Path, *, create: bool) -> tuple[Engine, str]:
    if path.exists() and not path.is_file():
        raise RegistryError(f"{path}: expected a registry file, found a folder or device; check the path")
    if create:
        _make_private(path)
    address = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            address, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=_CONNECTIONS, max_overflow=0)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql(f"PRAGMA query_only = {0 if writing else 1}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine, str(path)


def _make_private(path: Path) -> None:
    """Make the file, if there is none, so that only its owner can read it; SQLite itself asks for no such thing."""
    with suppress(OSError):  # SQLite will say what is wrong
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _server_engine(url: URL) -> tuple[Engine, str]:
    where = url.set(query={}).render_as_string(hide_password=True)
    options = dict(url.query)
    mode = options.pop("sslmode", "disable")
    if options or mode not in ("disable", "verify-full"):
        raise RegistryError(
            f"{where}: expected no option in the address but sslmode=verify-full or sslmode=disable, found "
            f"{str(dict(url.query))[:100]}; the server's certificate is either checked in full or not asked for"
        )
    engine = create_engine(
        url.set(query={}),
        connect_args={"ssl_context": ssl.create_default_context()} if mode == "verify-full" else {},
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITING, False):
            # Not repeatable read: its snapshot would be taken before the lock is.
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({APPLICATION})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    return engine, where


def _prepare(database: Database, *, create: bool, scripts: Path) -> None:
    with database.reading() as connection:
        version = stored_version(connection, where=database.where)
        if version == SCHEMA_VERSION:
            check_tables(connection, where=database.where)
            return
    if version is None and not create:
        raise RegistryError(f"{database.where}: expected a registry, found an empty database; check the address")
    if database.is_sqlite:
        with database._engine.connect() as connection:
            _driver(connection).execute("PRAGMA journal_mode = WAL")
    with database.writing() as connection:
        bring_up_to_date(connection, where=database.where, scripts=scripts)


def _driver(connection: Connection) -> Any:
    """The driver's own connection, outside of any transaction."""
    return connection.connection.driver_connection
