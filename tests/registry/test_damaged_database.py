"""A registry file with flipped bits: the truth, or a clear error; never a lie, never a traceback."""

import random
import sqlite3
from pathlib import Path

import pytest
from sample_entries import ORIGIN, Entrant, add, digest, fingerprint, issuer, model, organisation

from whorl.core.errors import WhorlError
from whorl.registry.database import Database, open_database, sqlite_url
from whorl.registry.database_errors import RegistryError
from whorl.registry.derived_rows import vector_schemes, vectors_of
from whorl.registry.entry_rows import (
    chain_end,
    counting_entries,
    entries_of_log,
    entries_with_digest,
    find_entry,
    latest_entries,
)
from whorl.registry.key_rows import find_key
from whorl.registry.name_rows import entries_named
from whorl.registry.replaying import rebuild_derived
from whorl.registry.stored_entry import StoredEntry

FLIPS = 80


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[StoredEntry]]:
    """The bytes of a sound registry file, and its entries."""
    path = tmp_path_factory.mktemp("whole") / "registry.sqlite"
    database = open_database(sqlite_url(path), create=True)
    north = Entrant(issuer(1, post_quantum=True))
    with database.writing() as connection:
        entries = add(connection, north.entry("organisation", organisation("Northwind Labs", north.key)))
        for number in range(30):
            described = add(connection, north.entry("model", model(f"north-{number}b")))[0]
            entries.append(described)
            entries += add(
                connection, north.entry("fingerprint", fingerprint(f"north-{number}b"), target=described.hash)
            )
    database.scrub()
    database.close()
    return path.read_bytes(), entries


def read_everything(database: Database, entries: list[StoredEntry]) -> None:
    """Ask all there is to ask; whatever comes as an entry must be one."""
    true = {entry.hash: entry for entry in entries}
    with database.reading() as connection:
        given = list(entries_of_log(connection, ORIGIN))
        given += [entry for _, entry in counting_entries(connection)]
        given += [entry for entry in (find_entry(connection, one.hash) for one in entries) if entry is not None]
        given += [entry for _, entry in latest_entries(connection, "model", most=100)]
        given += entries_named(connection, "north")
        given += entries_with_digest(connection, digest("content of north-7b"), role="content")
        for entry in given:
            expected = true[entry.hash]
            assert (entry.leaf, entry.kind) == (expected.leaf, expected.kind)
            assert entry.envelope in {expected.envelope, None}
        key = find_key(connection, issuer(1).id, origin=ORIGIN)
        assert key is None or key.public[0] == issuer(1).public_keys[0]
        chain_end(connection, issuer(1).id, origin=ORIGIN)
        for scheme, dimension, _ in vector_schemes(connection):
            for page in vectors_of(connection, scheme, dimension):
                assert all(len(vector) == dimension for _, vector in page)


def try_out(path: Path, content: bytes, entries: list[StoredEntry]) -> str:
    """What becomes of a registry file with this content: fine, or the error's message."""
    path.write_bytes(content)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    try:
        database = open_database(sqlite_url(path), create=False)
    except WhorlError as error:
        return str(error)
    try:
        read_everything(database, entries)
        with database.writing() as connection:
            rebuild_derived(connection)
        database.problems()
    except WhorlError as error:
        return str(error)
    finally:
        database.close()
    return "fine"


def test_every_flipped_byte_is_noticed_or_harmless(whole: tuple[bytes, list[StoredEntry]], tmp_path: Path) -> None:
    content, entries = whole
    path = tmp_path / "registry.sqlite"
    assert try_out(path, content, entries) == "fine"
    generator = random.Random(11)
    messages = set()
    for place in (*range(16, 100, 2), *(generator.randrange(len(content)) for _ in range(FLIPS))):
        flipped = bytearray(content)
        flipped[place] ^= generator.choice((1, 0x80, 0xFF))
        message = try_out(path, bytes(flipped), entries)
        messages.add(message.replace(str(path), "")[:60])
        if message != "fine":
            assert any(words in message for words in ("restore", "check", "install", "change", "register")), message
    assert len(messages) > 3


@pytest.mark.parametrize("length", [0, 1, 99, 100, 4095, 4096, 5000, 20_000])
def test_a_file_that_was_cut_off_is_refused(
    whole: tuple[bytes, list[StoredEntry]], tmp_path: Path, length: int
) -> None:
    content, entries = whole
    message = try_out(tmp_path / "registry.sqlite", content[:length], entries)
    assert message != "fine"
    assert str(tmp_path) in message


def test_pages_of_noise_are_refused(whole: tuple[bytes, list[StoredEntry]], tmp_path: Path) -> None:
    content, entries = whole
    for page in range(1, len(content) // 4096, 7):
        noisy = bytearray(content)
        noisy[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
        message = try_out(tmp_path / "registry.sqlite", bytes(noisy), entries)
        assert message == "fine" or "damaged" in message or "restore" in message


def test_what_sqlite_finds_wrong_is_listed(whole: tuple[bytes, list[StoredEntry]], tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    path.write_bytes(whole[0])
    connection = sqlite3.connect(path)
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries_by_kind'").fetchone()[0]
    connection.execute("DELETE FROM organisations")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE vectors SET entry = 999 WHERE entry = 3")
    connection.commit()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 + 200 : root * 4096] = bytes(4096 - 200)  # an index whose entries are gone
    path.write_bytes(content)
    database = open_database(sqlite_url(path), create=False)
    try:
        problems = database.problems()
    except RegistryError as error:
        problems = [str(error)]
    database.close()
    assert problems
    assert (
        any("entries_by_kind" in line or "damaged" in line or "malformed" in line for line in problems)
        or len(problems) > 1
    )
