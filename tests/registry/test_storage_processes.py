"""Several processes on one registry, and processes that die while they write."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from sample_entries import ORIGIN, issuer
from storage_writer import BATCH

from whorl.registry.database import Database, open_database
from whorl.registry.entry_rows import chain_end, entries_of_log
from whorl.registry.replaying import rebuild_derived

WRITER = Path(__file__).with_name("storage_writer.py")


def start(url: str, name: int, batches: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(WRITER), url, str(name), str(batches)], stdout=subprocess.PIPE)


def assert_sound(database: Database, acknowledged: dict[int, int]) -> None:
    """Everything that was acknowledged is there, batches are whole, nothing contradicts anything."""
    assert database.problems() == []
    with database.writing() as connection:
        size = len(list(entries_of_log(connection, ORIGIN)))
        assert size % BATCH == 0
        assert size >= BATCH * sum(acknowledged.values())
        for name, batches in acknowledged.items():
            end = chain_end(connection, issuer(name).id, origin=ORIGIN)
            assert (0 if end is None else end[0] + 1) >= BATCH * batches
        assert rebuild_derived(connection) == []


def test_writers_in_several_processes_lose_nothing(database_url: str) -> None:
    """They also race to make the registry."""
    writers = [start(database_url, name, 5) for name in range(3)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    database = open_database(database_url, create=False)
    assert_sound(database, dict.fromkeys(range(3), 5))
    with database.reading() as connection:
        assert len(list(entries_of_log(connection, ORIGIN))) == 3 * 5 * BATCH
    database.close()


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_a_writer_that_is_killed_leaves_whole_batches_and_no_lock(registry_url: str, seconds: float) -> None:
    writer = start(registry_url, 1, 100_000)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(3)]
    time.sleep(seconds)
    writer.kill()
    acknowledged += writer.stdout.read().split(b"\n")
    writer.wait(60)
    last = max(int(line) for line in acknowledged if line.strip())
    database = open_database(registry_url, create=False)
    assert_sound(database, {1: last})
    follower = start(registry_url, 2, 2)  # who comes after does not wait for who is gone
    assert follower.wait(60) == 0
    assert_sound(database, {1: last, 2: 2})
    database.close()


def test_readers_are_not_disturbed_by_a_writer(registry_url: str) -> None:
    writer = start(registry_url, 1, 100_000)
    assert writer.stdout is not None
    writer.stdout.readline()
    database = open_database(registry_url, create=False)
    sizes = []
    for _ in range(20):
        with database.reading() as connection:
            first = len(list(entries_of_log(connection, ORIGIN)))
            assert len(list(entries_of_log(connection, ORIGIN))) == first
            sizes.append(first)
    writer.kill()
    writer.wait(60)
    assert sizes == sorted(sizes)
    assert all(size % BATCH == 0 for size in sizes)
    database.close()
