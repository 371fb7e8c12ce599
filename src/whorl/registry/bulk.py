"""Adding many rows at once: one statement, whose parameters are not looked at one by one.

SQLAlchemy's own way of adding rows takes more time for a row than SQLite does, and pg8000 sends each row by itself.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table
from sqlalchemy.engine import Dialect


def padded(values: Sequence[Any]) -> list[Any]:
    """Values to be sought, the last one repeated so that there are 1, 2, 4, 8 or so: a database keeps each statement.

    With lists of every length, hundreds of statements of up to 60 KB were kept for each connection.
    """
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))] if values else []


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows, whose values are in the order of the table's columns and as the database keeps them."""
    if not rows:
        return
    columns = list(table.columns)
    into = f"INSERT INTO {table.name} ({', '.join(column.name for column in columns)})"
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"{into} VALUES ({', '.join('?' * len(columns))})", list(rows))
        return
    arrays = ", ".join(f"CAST(%s AS {_element(column, connection.dialect)}[])" for column in columns)
    lists = tuple(_array([row[place] for row in rows]) for place in range(len(columns)))
    connection.exec_driver_sql(f"{into} SELECT * FROM unnest({arrays})", lists)


def _element(column: Column[Any], dialect: Dialect) -> str:
    """The column's type without its collation, which arrays do not have."""
    return column.type.compile(dialect).partition(" COLLATE ")[0]


def _array(values: list[Any]) -> Any:
    """A parameter for the values; texts in the server's own spelling, as pg8000 would let the word ``null`` vanish."""
    if not any(isinstance(value, str) for value in values):
        return values
    return "{" + ",".join("NULL" if value is None else _quoted(value) for value in values) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
