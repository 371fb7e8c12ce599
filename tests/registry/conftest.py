"""Every storage test runs over both databases: a SQLite file and a real PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import NoServerError, PostgresServer, start_server

from whorl.registry.database import Database, open_database, sqlite_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests, started by the first that asks."""
    try:
        server = start_server()
    except NoServerError as error:
        pytest.skip(f"no PostgreSQL server can be started here: {error}")
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of a database with a new registry in it, from which others are made quickly."""
    url = postgres.new_database()
    open_database(url, create=True).close()
    return url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "registry.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def registry_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with a new registry in it."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "registry.sqlite")
        open_database(url, create=True).close()
        return url
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database(template=request.getfixturevalue("postgres_template"))


@pytest.fixture
def database(registry_url: str) -> Iterator[Database]:
    """A new registry."""
    opened = open_database(registry_url, create=False)
    yield opened
    opened.close()
