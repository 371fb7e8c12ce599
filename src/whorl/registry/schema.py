"""Whether a database is a registry, of which version, and with exactly the registry's tables.

A SQLite file may come from a stranger: a trigger, a view or a further column in it is refused before anything is read.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table

from whorl.registry.database_errors import RegistryError, damaged
from whorl.registry.migrations import known_versions, migrate
from whorl.registry.tables import SCHEMA_VERSION, VERSION_TABLE, metadata

APPLICATION: Final = 0x57484C52  # "WHLR"
_OLD_APPLICATION: Final = 0x57484F52  # the file of whorl 0.1, before there was a log


def stored_version(connection: Connection, *, where: str) -> str | None:
    """Version of the registry in this database; None in an empty database.

    Raises
    ------
    RegistryError
        If it is another program's.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    tables = {table for table, _ in _columns(connection)}
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one() if is_sqlite else 0
    if application == _OLD_APPLICATION:
        raise RegistryError(
            f"{where}: expected a registry with a log, found the file of an older whorl; register its models again"
        )
    if application not in (0, APPLICATION) or (tables and VERSION_TABLE not in tables):
        raise RegistryError(f"{where}: expected a registry, found another program's database; check the address")
    if not tables and application == 0:
        return None
    if is_sqlite and application != APPLICATION:
        raise RegistryError(f"{where}: expected a registry, found a database without its mark; check the address")
    rows = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").fetchmany(2) if tables else []
    if len(rows) != 1:
        raise damaged(f"{where}: expected the version of its tables, found {len(rows)} of them")
    return str(rows[0][0])


def bring_up_to_date(connection: Connection, *, where: str, scripts: Path) -> None:
    """Make the tables, or migrate an older registry's, in the open transaction.

    Raises
    ------
    RegistryError
        If a newer whorl made it, or the result has not exactly the registry's tables.
    """
    version = stored_version(connection, where=where)
    if version != SCHEMA_VERSION:  # or somebody else brought it up to date meanwhile
        if version is not None and version not in known_versions(scripts):
            raise RegistryError(
                f"{where}: expected a registry of version {SCHEMA_VERSION} or older, found version {version[:20]!a}; "
                "install a newer whorl to use it"
            )
        migrate(connection, scripts=scripts)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
    check_tables(connection, where=where)


def check_tables(connection: Connection, *, where: str) -> None:
    """Raise `RegistryError` unless the database has exactly the registry's tables, columns and indexes."""
    expected = {(table.name, column.name) for table in _tables() for column in table.columns}
    found = set(_columns(connection)) - {(VERSION_TABLE, "version_num")}
    if found == expected and connection.dialect.name == "sqlite":
        objects = connection.exec_driver_sql(
            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        )
        indexes = {str(index.name) for table in _tables() for index in table.indexes}
        expected = {("table", name) for name in (*metadata.tables, VERSION_TABLE)} | {("index", i) for i in indexes}
        found = {(str(kind), str(name)) for kind, name in objects}
    if found != expected:
        odd = sorted(".".join(pair) for pair in found ^ expected)
        raise damaged(f"{where}: its tables are not those of a registry ({', '.join(odd)[:200]!a})")


def _tables() -> list[Table]:
    return list(metadata.tables.values())


def _columns(connection: Connection) -> list[tuple[str, str]]:
    """Table and column of every column in the database."""
    query = (
        "SELECT s.name, c.name FROM sqlite_schema AS s, pragma_table_xinfo(s.name) AS c "
        "WHERE s.type IN ('table', 'view') AND s.name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        if connection.dialect.name == "sqlite"
        else "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    )
    return [(str(table), str(column)) for table, column in connection.exec_driver_sql(query)]
