"""The registry file: what goes in comes out, writers do not lose each other, and no bad file is used."""

import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError
from whorl.registry.search import Vectors
from whorl.registry.storage import NAME_LENGTH, VERSION, Entry, Registry, RegistryError

WHEN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DIMENSION = 16


def vector(seed: int, dimension: int = DIMENSION) -> Vectors:
    return np.random.default_rng(seed).integers(-127, 128, dimension).astype(np.int8)


def enter(registry: Registry, name: str, seed: int, *, when: datetime = WHEN) -> Entry:
    body = b"fingerprint %d" % seed
    return registry.register(
        name=name,
        fingerprint_bytes=body,
        digest=digest_bytes(body),
        search_vector=vector(seed),
        registered_at=when,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models.db"


@pytest.fixture
def filled(path: Path) -> Path:
    with Registry(path, create=True) as registry:
        for seed in range(3):
            enter(registry, f"Northwind {seed}", seed)
    return path


def edit(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_what_was_registered_is_found_again(filled: Path) -> None:
    with Registry(filled) as registry:
        entries = registry.entries()
        assert [(entry.id, entry.name) for entry in entries] == [(i + 1, f"Northwind {i}") for i in range(3)]
        assert entries[1].registered_at == WHEN
        assert registry.fingerprint(2) == b"fingerprint 1"
        leads = registry.search(vector(1), 2)
        assert leads[0].entry == entries[1]
        assert leads[0].score == pytest.approx(1.0)
        assert len(leads) == 2
        assert len(registry.search(vector(1), 99)) == 3


def test_same_name_and_digest_is_one_entry(filled: Path) -> None:
    with Registry(filled) as registry:
        again = enter(registry, "Northwind 1", 1, when=WHEN + timedelta(days=9))
        assert again == registry.entries()[1]
        assert len(registry.entries()) == 3


def test_a_name_is_a_claim_and_not_a_key(filled: Path) -> None:
    with Registry(filled) as registry:
        other_model = enter(registry, "Northwind 1", 50)
        other_name = enter(registry, "Meridian AI", 1)
        assert {other_model.id, other_name.id} == {4, 5}
        assert registry.fingerprint(other_name.id) == registry.fingerprint(2)
    connection = sqlite3.connect(filled)
    assert connection.execute("SELECT count(*) FROM fingerprints").fetchone() == (4,)
    connection.close()


def test_times_are_kept_in_utc(path: Path) -> None:
    with Registry(path, create=True) as registry:
        entry = enter(registry, "m", 1, when=WHEN.astimezone(timezone(timedelta(hours=5))))
        assert entry.registered_at == WHEN
        assert entry.registered_at.utcoffset() == timedelta(0)
        with pytest.raises(ValueError, match="time zone"):
            enter(registry, "n", 2, when=WHEN.replace(tzinfo=None))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31mred", "evil\u202eexe.txt", "a\u2028b", "x" * 201, "\ud800"])
def test_names_that_could_deceive_are_refused(path: Path, name: str) -> None:
    with Registry(path, create=True) as registry:
        with pytest.raises(RegistryError, match="visible characters"):
            enter(registry, name, 1)
        assert registry.entries() == []


def test_names_in_any_script_are_kept(path: Path) -> None:
    with Registry(path, create=True) as registry:
        name = "模型-Ω'; DROP TABLE entries;--".ljust(NAME_LENGTH, "x")
        enter(registry, name, 1)
        assert registry.entries()[0].name == name


def test_vectors_of_another_dimension_are_refused(filled: Path) -> None:
    with Registry(filled) as registry:
        with pytest.raises(RegistryError, match="expected a search vector of 16 numbers, found 8"):
            registry.search(vector(1, 8), 1)
        with pytest.raises(RegistryError, match="found 8"):
            registry.register(
                name="n",
                fingerprint_bytes=b"n",
                digest=digest_bytes(b"n"),
                search_vector=vector(1, 8),
                registered_at=WHEN,
            )
        assert len(registry.entries()) == 3
        with pytest.raises(ValueError, match="int8"):
            registry.search(vector(1).astype(np.float32), 1)


def test_fingerprints_of_another_method_are_refused(filled: Path) -> None:
    with pytest.raises(RegistryError, match=r"expected fingerprints of whorl.weight_fingerprint/9, found 'whorl"):
        Registry(filled, method="whorl.weight_fingerprint/9")


def test_wrong_digest_and_unknown_entry_are_refused(filled: Path) -> None:
    with Registry(filled) as registry:
        with pytest.raises(ValueError, match="not the digest"):
            registry.register(
                name="n", fingerprint_bytes=b"n", digest=digest_bytes(b"m"), search_vector=vector(1), registered_at=WHEN
            )
        with pytest.raises(RegistryError, match="found 77"):
            registry.fingerprint(77)
        with pytest.raises(ValueError, match="at least 1"):
            registry.search(vector(1), 0)


def test_oversized_fingerprint_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whorl.registry.storage.MAX_BYTES", 10)
    with Registry(path, create=True) as registry, pytest.raises(RegistryError, match="at most 10 bytes"):
        enter(registry, "m", 1)


def test_empty_registry_has_no_leads(path: Path) -> None:
    with Registry(path, create=True) as registry:
        assert registry.entries() == []
        assert registry.search(vector(1), 5) == []


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE fingerprints SET body = x'00' WHERE digest = (SELECT digest FROM entries WHERE id = 2)",
            "recorded as",
        ),
        ("DELETE FROM fingerprints", "no bytes"),
    ],
)
def test_altered_fingerprints_are_noticed(filled: Path, statement: str, message: str) -> None:
    edit(filled, statement)
    with Registry(filled) as registry, pytest.raises(RegistryError, match=message):
        registry.fingerprint(2)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET registered_at = 'yesterday' WHERE id = 2",
        "UPDATE entries SET name = 'a' || char(10) WHERE id = 2",
        "UPDATE entries SET name = CAST(x'ff' AS TEXT) WHERE id = 2",
    ],
)
def test_altered_entries_are_noticed(filled: Path, statement: str) -> None:
    edit(filled, statement)
    with Registry(filled) as registry, pytest.raises(RegistryError, match="restore"):
        registry.entries()


def test_altered_vectors_are_noticed(filled: Path) -> None:
    edit(filled, "UPDATE entries SET vector = x'0102' WHERE id = 2")
    with Registry(filled) as registry, pytest.raises(RegistryError, match="different lengths"):
        registry.search(vector(1), 1)


def assert_refused(path: Path, message: str) -> None:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(RegistryError, match=message) as caught:
        Registry(path, create=True)
    assert isinstance(caught.value, InputError)
    assert str(path) in str(caught.value)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database, but somebody's thesis " * 100)
    assert_refused(path, "no SQLite database")


def test_another_programs_database_is_left_alone(path: Path) -> None:
    edit(path, "CREATE TABLE recipes (name TEXT)")
    assert_refused(path, "another program's database")


def test_a_newer_registry_is_refused(filled: Path) -> None:
    edit(filled, f"PRAGMA user_version = {VERSION + 1}")
    assert_refused(filled, f"version {VERSION}, found {VERSION + 1}; install a newer whorl")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER sneak AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
        "ALTER TABLE entries ADD COLUMN more TEXT",
        "PRAGMA user_version = 0",
    ],
)
def test_a_registry_with_other_tables_is_refused(filled: Path, statement: str) -> None:
    edit(filled, statement)
    assert_refused(filled, "not those of a registry")


def test_a_truncated_registry_is_refused(filled: Path) -> None:
    filled.write_bytes(filled.read_bytes()[:5000])
    assert_refused(filled, "damaged")


def test_damage_in_the_pages_is_refused(filled: Path) -> None:
    content = bytearray(filled.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    filled.write_bytes(content)
    with pytest.raises(RegistryError, match="restore"), Registry(filled) as registry:
        registry.entries()


def test_paths_that_hold_no_file_are_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, "found a folder")
    assert_refused(tmp_path / "missing" / "models.db", "cannot be opened or made")


def test_a_registry_that_may_not_be_written_is_still_read(filled: Path) -> None:
    with Registry(filled) as registry:
        registry._connection.execute("PRAGMA query_only = ON")  # what SQLite does with a write-protected file
        assert len(registry.entries()) == 3
        with pytest.raises(RegistryError, match="cannot be written; change its permissions"):
            enter(registry, "m", 9)


def test_a_registry_in_use_is_not_waited_for_without_end(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whorl.registry.storage._BUSY_SECONDS", 0.1)
    with Registry(filled) as holder, Registry(filled) as other:
        holder._connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistryError, match="another program held it"):
            enter(other, "m", 9)
        assert len(other.entries()) == 3
        holder._connection.execute("ROLLBACK")
        assert enter(other, "m", 9).id == 4


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
from whorl.core.digest import digest_bytes
from whorl.registry.storage import Registry
path, number, dies = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["dies"]
with Registry(path, create=True) as registry:
    if dies:
        import os
        registry._connection.set_trace_callback(lambda sql: os._exit(9) if "INTO entries" in sql else None)
    for i in range(10):
        body = b"%d %d" % (number, i)
        registry.register(name=f"{number}", fingerprint_bytes=body, digest=digest_bytes(body),
                          search_vector=np.full(16, i, np.int8), registered_at=datetime.now(UTC))
"""


def test_concurrent_writers_lose_nothing(path: Path) -> None:
    """They also race to make the file."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(i)]) for i in range(4)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    with Registry(path, create=True) as registry:
        names = [entry.name for entry in registry.entries()]
    assert sorted(names) == [str(i) for i in range(4) for _ in range(10)]


def test_a_crash_between_writes_leaves_nothing_half_written(filled: Path) -> None:
    died = subprocess.run([sys.executable, "-c", WRITER, str(filled), "7", "dies"], check=False)
    assert died.returncode == 9
    with Registry(filled) as registry:
        assert len(registry.entries()) == 3
        assert enter(registry, "after", 8).id == 4
        stored = registry._connection.execute("SELECT count(*) FROM fingerprints").fetchone()
    assert stored == (4,)


def refuse_entries(action: int, table: str | None, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if (action, table) == (sqlite3.SQLITE_INSERT, "entries") else sqlite3.SQLITE_OK


def test_a_registration_that_fails_midway_is_rolled_back(filled: Path) -> None:
    with Registry(filled) as registry:
        registry._connection.set_authorizer(refuse_entries)
        with pytest.raises(RegistryError, match="SQLite reports"):
            enter(registry, "m", 9)
        registry._connection.set_authorizer(None)
        assert registry._connection.execute("SELECT count(*) FROM fingerprints").fetchone() == (3,)
        assert enter(registry, "m", 9).id == 4


def test_ten_thousand_entries_are_searched_in_well_under_a_second(path: Path) -> None:
    dimension, count = 2080, 10_000
    rng = np.random.default_rng(5)
    shared = rng.standard_normal(dimension)
    Registry(path, create=True).close()
    connection = sqlite3.connect(path)
    for i in range(count):
        stored = np.clip(30 * (shared + rng.standard_normal(dimension)), -127, 127).astype(np.int8)
        connection.execute("INSERT INTO fingerprints VALUES (?, x'00')", (str(i),))
        connection.execute(
            "INSERT INTO entries VALUES (?, 'm', ?, '2026-01-01T00:00:00+00:00', ?)", (i, str(i), stored)
        )
        if i == 1234:
            sought = stored
    connection.commit()
    connection.close()
    with Registry(path, create=True) as registry:
        started = time.process_time()
        leads = registry.search(sought, 3)
        elapsed = time.process_time() - started
    assert leads[0].entry.id == 1234
    assert leads[0].score == pytest.approx(1.0, abs=1e-4)
    assert leads[1].score < 0.2
    assert elapsed < 1.0
