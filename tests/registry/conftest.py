"""Every storage test runs over both databases: a SQLite file and a real PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import NoServerError, PostgresServer, start_server

from whorl.registry.database import Database, open_database, sqlite_url
from whorl.registry.tables import metadata


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
def shared_registry(postgres: PostgresServer) -> str:
    """A registry on the server that tests empty before they use it: a new database for each takes much longer."""
    url = postgres.new_database()
    open_database(url, create=True).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "registry.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def registry_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with an empty registry in it, whose tables stay as they are."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "registry.sqlite")
        open_database(url, create=True).close()
        return url
    server: PostgresServer = request.getfixturevalue("postgres")
    url = request.getfixturevalue("shared_registry")
    server.run(url.rpartition("/")[2], f"TRUNCATE {', '.join(metadata.tables)}")
    return url


@pytest.fixture
def database(registry_url: str) -> Iterator[Database]:
    """A new registry."""
    opened = open_database(registry_url, create=False)
    yield opened
    opened.close()
