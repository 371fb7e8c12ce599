"""Opening a registry's database: one SQLite file, or a PostgreSQL server by another URL.

Whoever writes holds the whole registry: there is one sequencer, and what it reads stays true until it commits. Readers
see one state from beginning to end and never wait. Nothing is written to a database of another program.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from whorl.registry.database_errors import RegistryError, translated
from whorl.registry.engines import Engines, open_engines
from whorl.registry.migrations import SCRIPTS
from whorl.registry.schema import bring_up_to_date, check_tables, stored_version
from whorl.registry.tables import SCHEMA_VERSION


class Database:
    """An open registry database; use `open_database`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @property
    def where(self) -> str:
        """Its path or address for messages, without a password."""
        return self._engines.where

    @property
    def is_sqlite(self) -> bool:
        return self._engines.writer.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that sees one state and cannot write.

        Raises
        ------
        RegistryError
            Here and in `writing`, if the database cannot be read or written, is damaged or stays busy.
        """
        with translated(self.where), self._engines.reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that no other writer shares; committed at the end, whole or not at all."""
        with translated(self.where), self._engines.writer.begin() as connection:
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
        with translated(self.where), self._engines.writer.connect() as connection:
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
        self._engines.reader.dispose()
        self._engines.writer.dispose()


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
    database = Database(open_engines(url, create=create))
    try:
        with translated(database.where):
            _prepare(database, create=create, scripts=scripts)
    except BaseException:
        database.close()
        raise
    return database


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _prepare(database: Database, *, create: bool, scripts: Path) -> None:
    with database.reading() as connection:
        version = stored_version(connection, where=database.where)
        if version == SCHEMA_VERSION:
            check_tables(connection, where=database.where)
            return
    if version is None and not create:
        raise RegistryError(f"{database.where}: expected a registry, found an empty database; check the address")
    if database.is_sqlite:
        with database._engines.writer.connect() as connection:
            _driver(connection).execute("PRAGMA journal_mode = WAL")
    with database.writing() as connection:
        bring_up_to_date(connection, where=database.where, scripts=scripts)


def _driver(connection: Connection) -> Any:
    """The driver's own connection, outside of any transaction."""
    return connection.connection.driver_connection
