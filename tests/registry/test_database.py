"""Opening a registry's database: what is refused, what is left alone, who may write when."""

import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from sqlalchemy import func, insert, select

from whorl.core.errors import InputError
from whorl.registry.database import Database, open_database, sqlite_url
from whorl.registry.database_errors import RegistryError
from whorl.registry.tables import SCHEMA_VERSION, VERSION_TABLE, logs


def add_row(database: Database, number: int) -> None:
    with database.writing() as connection:
        connection.execute(insert(logs).values(id=number, origin=f"log {number}", own=0, size=0))


def add_and_fail(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(insert(logs).values(id=1, origin="log", own=0, size=0))
        raise ZeroDivisionError


def count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(logs)).scalar_one())


def assert_refused(url: str, message: str, *, create: bool = True) -> None:
    with pytest.raises(RegistryError, match=message) as caught:
        open_database(url, create=create)
    assert isinstance(caught.value, InputError)


def change(url: str, *statements: str, postgres: PostgresServer | None = None) -> None:
    """Alter a database behind the registry's back."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(file_of(url), isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()
    else:
        assert postgres is not None
        postgres.run(url.rpartition("/")[2], *statements)


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_a_new_registry_is_empty_and_stays_one(database_url: str) -> None:
    first = open_database(database_url, create=True)
    add_row(first, 1)
    first.close()
    again = open_database(database_url, create=False)
    assert count(again) == 1
    assert again.problems() == []
    again.close()
    once_more = open_database(database_url, create=True)  # what is there is not made again
    assert count(once_more) == 1
    once_more.close()


def test_nothing_is_made_unasked(tmp_path: Path, postgres: PostgresServer) -> None:
    assert_refused(sqlite_url(tmp_path / "none.sqlite"), "cannot be opened or made", create=False)
    assert list(tmp_path.iterdir()) == []
    url = postgres.new_database()
    assert_refused(url, "expected a registry, found an empty database", create=False)
    assert postgres.run(url.rpartition("/")[2], "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [[0]]
    (tmp_path / "empty.sqlite").touch()
    assert_refused(sqlite_url(tmp_path / "empty.sqlite"), "found an empty database", create=False)
    assert (tmp_path / "empty.sqlite").read_bytes() == b""


def test_another_programs_database_is_left_alone(database_url: str, request: pytest.FixtureRequest) -> None:
    postgres = None if database_url.startswith("sqlite") else request.getfixturevalue("postgres")
    change(database_url, "CREATE TABLE recipes (name TEXT)", postgres=postgres)
    before = file_of(database_url).read_bytes() if postgres is None else b""
    assert_refused(database_url, "found another program's database; check the address")
    if postgres is None:
        assert file_of(database_url).read_bytes() == before
    else:
        tables = postgres.run(
            database_url.rpartition("/")[2], "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        assert tables == [["recipes"]]


def test_a_newer_registry_is_refused(database_url: str, request: pytest.FixtureRequest) -> None:
    open_database(database_url, create=True).close()
    postgres = None if database_url.startswith("sqlite") else request.getfixturevalue("postgres")
    change(database_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'", postgres=postgres)
    assert_refused(database_url, f"version {SCHEMA_VERSION} or older, found version '9999'; install a newer whorl")
    change(database_url, f"DELETE FROM {VERSION_TABLE}", postgres=postgres)
    assert_refused(database_url, "expected the version of its tables, found 0")


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE tokens ADD COLUMN more TEXT", "CREATE VIEW sneak AS SELECT 1 AS one", "DROP TABLE audit"],
)
def test_a_registry_with_other_tables_is_refused(
    database_url: str, request: pytest.FixtureRequest, statement: str
) -> None:
    open_database(database_url, create=True).close()
    postgres = None if database_url.startswith("sqlite") else request.getfixturevalue("postgres")
    change(database_url, statement, postgres=postgres)
    assert_refused(database_url, "its tables are not those of a registry")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER sneak AFTER INSERT ON logs BEGIN DELETE FROM logs; END",
        "DROP INDEX entries_by_hash",
        "CREATE INDEX more ON logs (size)",
    ],
)
def test_triggers_and_other_indexes_in_a_file_are_refused(tmp_path: Path, statement: str) -> None:
    url = sqlite_url(tmp_path / "r.sqlite")
    open_database(url, create=True).close()
    change(url, statement)
    assert_refused(url, "its tables are not those of a registry")


def test_the_file_of_an_older_whorl_is_named_as_such(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "r.sqlite")
    change(url, "CREATE TABLE settings (method TEXT)", f"PRAGMA application_id = {0x57484F52}")
    assert_refused(url, "found the file of an older whorl; register its models again")


def test_a_file_without_the_mark_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "r.sqlite")
    open_database(url, create=True).close()
    change(url, "PRAGMA application_id = 0")
    assert_refused(url, "found a database without its mark")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "thesis"
    path.write_bytes(b"not a database, but somebody's thesis " * 100)
    before = path.read_bytes()
    assert_refused(sqlite_url(path), "found a file that is no SQLite database; check the path")
    assert path.read_bytes() == before


def test_paths_that_hold_no_file_are_refused(tmp_path: Path) -> None:
    assert_refused(sqlite_url(tmp_path), "found a folder")
    assert_refused(sqlite_url(tmp_path / "missing" / "r.sqlite"), "cannot be opened or made")


def test_a_path_with_odd_letters_is_only_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=memory&x=%41#c.sqlite"
    open_database(sqlite_url(path), create=True).close()
    assert path.is_file()


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://u:p@h/d", "postgresql://u:p@host", "sqlite+x:///a"],
)
def test_other_addresses_are_refused(url: str) -> None:
    assert_refused(url, "expected a database such as sqlite:///registry.sqlite or postgresql")


def test_a_server_that_does_not_let_in_is_named_without_the_password(postgres: PostgresServer) -> None:
    cases = {
        postgres.url("postgres", password="wrong secret"): "refused the user or the password",
        postgres.url("nowhere", password="correct horse"): "there is no such database; make it with createdb",
        f"postgresql://whorl:secret@127.0.0.1:{_closed_port()}/registry": "no PostgreSQL server answers there",
    }
    for url, message in cases.items():
        with pytest.raises(RegistryError, match=message) as caught:
            open_database(url, create=True)
        assert not any(word in str(caught.value) for word in ("secret", "correct", "horse"))
        assert "127.0.0.1" in str(caught.value)


def test_an_option_of_the_address_is_known_or_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    for options in ("?sslmode=require", "?sslmode=verify-full&user=x", "?host=/tmp", "?password=secret"):
        assert_refused(url + options, "expected no option in the address but sslmode=verify-full")
    assert_refused(url + "?sslmode=verify-full", "Server refuses SSL")  # rather than going on without
    open_database(url + "?sslmode=disable", create=True).close()


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds what is not for everybody, and the digests of tokens."""
    database = open_database(sqlite_url(tmp_path / "r.sqlite"), create=True)
    add_row(database, 1)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("r.sqlite*")} == {0o600}
    database.close()


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_fails_midway_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        add_and_fail(database)
    assert count(database) == 0
    add_row(database, 1)
    with pytest.raises(RegistryError, match="refuses what contradicts its entries"):
        add_row(database, 1)
    assert count(database) == 1


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(RegistryError, match="cannot be written"), database.reading() as connection:
        connection.execute(insert(logs).values(id=1, origin="log", own=0, size=0))
    add_row(database, 2)  # the same connection, from the pool
    assert count(database) == 1


def test_a_reader_sees_one_state_and_is_not_waited_for(database: Database) -> None:
    add_row(database, 1)
    with database.reading() as connection:
        query = select(func.count()).select_from(logs)
        assert connection.execute(query).scalar_one() == 1
        add_row(database, 2)
        assert connection.execute(query).scalar_one() == 1
    assert count(database) == 2


def test_writers_follow_each_other_and_see_what_came_before(database: Database) -> None:
    """The second one's view begins when the first one ended, not when it began to wait."""
    entered = threading.Event()

    def add_next() -> None:
        with database.writing() as connection:
            entered.set()
            number = connection.execute(select(func.count()).select_from(logs)).scalar_one()
            time.sleep(0.02)
            connection.execute(insert(logs).values(id=number + 1, origin=f"log {number}", own=0, size=0))

    threads = [threading.Thread(target=add_next) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert entered.is_set()
    assert count(database) == 8


def test_a_busy_registry_is_not_waited_for_without_end(registry_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whorl.registry.engines.BUSY_SECONDS", 0.2)
    holder, other = open_database(registry_url, create=False), open_database(registry_url, create=False)
    with holder.writing():
        started = time.monotonic()
        with pytest.raises(RegistryError, match="another program held it for over"):
            add_row(other, 1)
        assert time.monotonic() - started < 10
        assert count(other) == 0
    add_row(other, 1)
    assert count(holder) == 1
    holder.close()
    other.close()


def test_a_server_that_goes_away_is_said_and_come_back_to(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    database = open_database(url, create=True)
    add_row(database, 1)
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.rpartition('/')[2]}'"

    def read_while_it_ends() -> None:
        with database.reading() as connection:
            postgres.run("postgres", end)
            connection.execute(select(logs)).all()

    with pytest.raises(RegistryError, match=r"starting, stopping|connection was lost"):
        read_while_it_ends()
    assert count(database) == 1
    database.close()
