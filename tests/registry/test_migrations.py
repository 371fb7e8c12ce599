"""Migrations lead to exactly the tables of this version, whole or not at all."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, insert, select

from whorl.registry import migrations
from whorl.registry.database import Database, open_database
from whorl.registry.database_errors import RegistryError
from whorl.registry.tables import SCHEMA_VERSION, VERSION_TABLE, logs, metadata

OLDEST = """
import sqlalchemy as sa
from alembic import op
revision = "0000"
down_revision = None
def upgrade():
    op.create_table("early", sa.Column("x", sa.Integer))
"""
BREAKS = """
from alembic import op
revision = "0000a"
down_revision = "0000"
def upgrade():
    op.execute("INSERT INTO early VALUES (2)")
    op.execute("SELECT nonsense FROM nowhere")
"""
MENDS = BREAKS.replace("SELECT nonsense FROM nowhere", "DROP TABLE early")


def scripts_from(folder: Path, *steps: str) -> Path:
    """The package's migrations with some before the first one."""
    shutil.copytree(migrations.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for number, step in enumerate(steps):
        (folder / "versions" / f"early{number}.py").write_text(step)
    first = folder / "versions" / "0001_registry.py"
    last = steps[-1].split('revision = "')[1].split('"')[0]
    first.write_text(first.read_text().replace("down_revision = None", f'down_revision = "{last}"'))
    return folder


def at_version_zero(url: str) -> None:
    """A database as the migration 0000 left it, with the mark of a registry."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)")
        connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES ('0000')")
        connection.exec_driver_sql("CREATE TABLE early (x INTEGER)")
        connection.exec_driver_sql("INSERT INTO early VALUES (1)")
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA application_id = {0x57484C52}")
    engine.dispose()


def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").all() == [(SCHEMA_VERSION,)]


def test_a_migrated_file_has_word_for_word_the_tables_of_the_metadata(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/migrated.sqlite", create=True).close()
    plain = create_engine(f"sqlite:///{tmp_path}/plain.sqlite")
    metadata.create_all(plain)
    plain.dispose()
    migrated, made = (
        dict(sqlite3.connect(tmp_path / f"{name}.sqlite").execute("SELECT name, sql FROM sqlite_schema"))
        for name in ("migrated", "plain")
    )
    assert {name: sql for name, sql in migrated.items() if VERSION_TABLE not in name} == made


def test_an_older_registry_is_brought_up_to_date_when_it_is_opened(database_url: str, tmp_path: Path) -> None:
    at_version_zero(database_url)
    scripts = scripts_from(tmp_path / "scripts", OLDEST, MENDS)
    database = open_database(database_url, create=False, scripts=scripts)
    with database.writing() as connection:
        connection.execute(insert(logs).values(id=1, origin="log", own=0, size=0))
    database.close()
    again = open_database(database_url, create=False, scripts=scripts)
    with again.reading() as connection:
        assert connection.execute(select(logs.c.id)).scalars().all() == [1]
    again.close()


def test_a_migration_that_fails_leaves_everything_as_it_was(database_url: str, tmp_path: Path) -> None:
    at_version_zero(database_url)
    with pytest.raises(RegistryError, match=r"no such table|does not exist"):
        open_database(database_url, create=False, scripts=scripts_from(tmp_path / "broken", OLDEST, BREAKS))
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT x FROM early").all() == [(1,)]
        assert connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").all() == [("0000",)]
    engine.dispose()
    open_database(
        database_url, create=False, scripts=scripts_from(tmp_path / "mended", OLDEST, MENDS)
    ).close()  # and can be tried again


def test_a_version_that_no_migration_knows_is_newer(database_url: str) -> None:
    at_version_zero(database_url)
    with pytest.raises(RegistryError, match="found version '0000'; install a newer whorl"):
        open_database(database_url, create=True)
