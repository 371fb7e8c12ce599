"""A database to make everything again in, and the comparison of its tables with the registry's."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, Final

from sqlalchemy import Connection, Table, create_engine, select, tuple_
from sqlalchemy.pool import StaticPool

from whorl.registry.entry_rows import PAGE
from whorl.registry.migrations import migrate

_CACHE_KIB: Final = 1 << 14
_OBJECTS: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"


@contextmanager
def scratch_database() -> Iterator[Connection]:
    """A database without a name, with a registry's tables; it needs no more memory than its cache."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            migrate(connection)
            yield connection
    finally:
        engine.dispose()


def first_object_difference(one: Connection, other: Connection) -> str | None:
    """Name of the first table or index that two SQLite databases do not define alike.

    Both were made by the same migrations, so the definitions are the same to the letter.
    """
    found = [set(connection.exec_driver_sql(_OBJECTS).all()) for connection in (one, other)]
    return min((str(row.name) for row in found[0] ^ found[1]), default=None)


def first_difference(one: Connection, other: Connection, table: Table) -> str | None:
    """Key of the first row that only one of the two has, or that they do not have alike."""
    place = list(table.primary_key.columns)
    query = select(table).order_by(*place).limit(PAGE)
    after: tuple[Any, ...] | None = None
    while True:
        page = query if after is None else query.where(tuple_(*place) > tuple_(*after))
        pages = [list(connection.execute(page)) for connection in (one, other)]
        for pair in zip_longest(*pages):
            if pair[0] != pair[1]:
                first = next(row for row in pair if row is not None)
                return ", ".join(_shown(getattr(first, column.name)) for column in place)
        if not pages[0]:
            return None
        after = tuple(getattr(pages[0][-1], column.name) for column in place)


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)[:80]
