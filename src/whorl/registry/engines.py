"""Connections to a registry's database: many that read one state each, few that write and share nothing.

Both kinds are set up here for SQLite and for PostgreSQL, and nowhere else is there a difference in how transactions
begin.
"""

import os
import sqlite3
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from whorl.registry.database_errors import BUSY_SECONDS, RegistryError
from whorl.registry.schema import APPLICATION

READERS: Final = 40

_STATEMENTS: Final = 64  # kept prepared by each connection
_LARGEST_VALUE: Final = 1 << 20  # a row with its envelope
_PRAGMAS: Final = (
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "secure_delete = ON",
    "synchronous = FULL",
)
# Each commit makes readers forget what they had cached, so that a large cache would be filled in vain.
_READING_PRAGMAS: Final = ("query_only = ON", "cache_size = -1024")
# Leaf hashes come in no order, so a batch changes pages all over an index: in a small cache, some of them many times.
_WRITING_PRAGMAS: Final = ("cache_size = -16384", "wal_autocheckpoint = 16384")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Connections for readers and for the writer; ``where`` is the address without a password, for messages."""

    reader: Engine
    writer: Engine
    where: str


def open_engines(url: str, *, create: bool) -> Engines:
    """Prepare to connect; nothing is asked of the database yet.

    Parameters
    ----------
    create : make a SQLite file where there is none

    Raises
    ------
    RegistryError
        If the URL is of no kind of database that holds a registry.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _bad_url("something else") from None
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return _sqlite_engines(Path(str(parsed.database)), create=create)
    if parsed.drivername in ("postgresql", "postgresql+pg8000") and parsed.database:
        return _server_engines(parsed.set(drivername="postgresql+pg8000"))
    raise _bad_url(parsed.drivername)


def _bad_url(found: str) -> RegistryError:
    return RegistryError(
        "expected a database such as sqlite:///registry.sqlite or postgresql+pg8000://user:password@host/name, "
        f"found {found[:60]!a}; check the address"
    )


def _sqlite_engines(path: Path, *, create: bool) -> Engines:
    if path.exists() and not path.is_file():
        raise RegistryError(f"{path}: expected a registry file, found a folder or device; check the path")
    if create:
        _make_private(path)
    address = f"{path.absolute().as_uri()}?{'mode=rwc' if create else _mode(path)}"
    return Engines(
        reader=_sqlite_engine(address, _READING_PRAGMAS, begin="BEGIN", connections=READERS),
        writer=_sqlite_engine(address, _WRITING_PRAGMAS, begin="BEGIN IMMEDIATE", connections=1),
        where=str(path),
    )


def _mode(path: Path) -> str:
    """How to open an existing file. On a disk that may only be read, nothing can be made beside it, and nobody writes.

    Where a write-ahead log lies beside it, as another machine may write the disk, it is read with that; SQLite then
    needs the log's index too, and says so if it is missing.
    """
    if not path.exists() or not os.statvfs(path).f_flag & os.ST_RDONLY:
        return "mode=rw"
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"


def _sqlite_engine(address: str, pragmas: tuple[str, ...], *, begin: str, connections: int) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            address,
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
            for pragma in (*_PRAGMAS, *pragmas):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
    )
    _begin_with(engine, begin)
    return engine


def _make_private(path: Path) -> None:
    """Make the file, if there is none, so that only its owner can read it; SQLite itself asks for no such thing."""
    with suppress(OSError):  # SQLite will say what is wrong
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _server_engines(url: URL) -> Engines:
    where = url.set(query={}).render_as_string(hide_password=True)
    options = dict(url.query)
    mode = options.pop("sslmode", "disable")
    if options or mode not in ("disable", "verify-full"):
        raise RegistryError(
            f"{where}: expected no option in the address but sslmode=verify-full or sslmode=disable, found "
            f"{', '.join(sorted(url.query))[:100]!a}; the server's certificate is checked in full or not asked for"
        )
    arguments = {"ssl_context": ssl.create_default_context()} if mode == "verify-full" else {}
    return Engines(
        reader=_server_engine(url, arguments, READERS, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
        # Not repeatable read: its snapshot would be taken before the lock is.
        writer=_server_engine(
            url,
            arguments,
            1,
            f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'",
            f"SELECT pg_advisory_xact_lock({APPLICATION})",
        ),
        where=where,
    )


def _server_engine(url: URL, arguments: dict[str, Any], connections: int, *begin: str) -> Engine:
    engine = create_engine(
        url.set(query={}),
        connect_args=arguments,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
    )
    _begin_with(engine, *begin)
    return engine


def _begin_with(engine: Engine, *statements: str) -> None:
    """Execute these at the beginning of every transaction."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)
