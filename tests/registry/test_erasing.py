"""What is erased is gone: from the tables, from the look-ups, from the bytes on the disk. The proof's leaf stays."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sample_entries import ORIGIN, WHEN, Entrant, add, digest, fingerprint, issuer, model, organisation
from sqlalchemy import func, select

from whorl.entries.kinds import Notice, Response
from whorl.entries.statement import open_entry
from whorl.registry.blobs import BlobFolder
from whorl.registry.database import Database, open_database, sqlite_url
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import entries_of_log, entries_with_claim, entries_with_digest, find_entry
from whorl.registry.name_rows import entries_named
from whorl.registry.replaying import complete_entry, erase_entry, rebuild_derived
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.tables import DERIVED

MIRRORED = "bureau.example/south"
LATER = WHEN + timedelta(days=1)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs")


def put(database: Database, *entries: StoredEntry) -> list[StoredEntry]:
    with database.writing() as connection:
        return add(connection, *entries)


def test_content_goes_and_the_leaf_stays(database: Database, blobs: BlobFolder) -> None:
    north = Entrant(issuer(1))
    first, second = put(database, north.entry("model", model("secret-7b")), north.entry("model", model("kept-7b")))
    assert erase_entry(database, blobs, first.hash, at=LATER) == []
    with database.reading() as connection:
        erased = replace(first, envelope=None, salt=None, erased_at=LATER)
        assert list(entries_of_log(connection, ORIGIN)) == [erased, second]
        assert list(entries_named(connection, "secret")) == []
        assert list(entries_named(connection, "northwind")) == [second]
        assert list(entries_with_digest(connection, digest("content of secret-7b"), role="content")) == []
    with database.writing() as connection:
        assert rebuild_derived(connection) == []
    assert erase_entry(database, blobs, first.hash, at=LATER + timedelta(days=1)) == []  # again changes nothing
    with database.reading() as connection:
        assert find_entry(connection, first.hash) == erased


def test_nothing_derived_is_left(database: Database, blobs: BlobFolder) -> None:
    north = Entrant(issuer(1))
    entries = put(
        database,
        north.entry("model", model("m")),
        north.entry("fingerprint", fingerprint("m"), target=b"t" * 32),
        north.entry("response", Response(text="No.", blobs=(digest("reply"),)), target=b"t" * 32),
    )
    for entry in entries:
        erase_entry(database, blobs, entry.hash, at=LATER)
    with database.reading() as connection:
        for table in DERIVED:
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


def test_blobs_go_with_the_last_entry_that_refers_to_them(database: Database, blobs: BlobFolder) -> None:
    north = Entrant(issuer(1))
    shared, own = (blobs.put([text], max_bytes=99).digest for text in (b"shared", b"own"))
    first, second, sealed = put(
        database,
        north.entry("response", Response(text="A", blobs=(shared, own)), target=b"t" * 32),
        north.entry("response", Response(text="B", blobs=(shared,)), target=b"t" * 32),
        north.entry("response", Response(text="C", blobs=(shared,)), target=b"t" * 32, sealed=True),
    )
    assert erase_entry(database, blobs, first.hash, at=LATER) == [own]
    assert erase_entry(database, blobs, second.hash, at=LATER) == []  # a sealed entry still needs it
    assert blobs.holds(shared)
    assert erase_entry(database, blobs, sealed.hash, at=LATER) == [shared]
    assert list(blobs.digests()) == []


def test_the_claim_of_an_erased_notice_is_kept(database: Database, blobs: BlobFolder) -> None:
    """Otherwise an annulled accusation could be made again as if nothing had been."""
    body = Notice(colour="blue", title="What is this?", text="Somebody's name")
    (notice,) = put(database, Entrant(issuer(1)).entry("notice", body, target=b"t" * 32, claim=b"c" * 32))
    erase_entry(database, blobs, notice.hash, at=LATER)
    with database.reading() as connection:
        assert [entry.hash for entry in entries_with_claim(connection, b"c" * 32)] == [notice.hash]


def test_what_other_entries_are_checked_with_is_not_erased(database: Database, blobs: BlobFolder) -> None:
    north = Entrant(issuer(1))
    (entry,) = put(database, north.entry("organisation", organisation("Northwind Labs", north.key)))
    with pytest.raises(RegistryError, match="of kind organisation, which other entries are checked with"):
        erase_entry(database, blobs, entry.hash, at=LATER)
    with pytest.raises(RegistryError, match="expected an entry of this registry, found"):
        erase_entry(database, blobs, bytes(32), at=LATER)
    with database.reading() as connection:
        assert find_entry(connection, entry.hash) == entry


def test_erased_content_is_not_taken_again(database: Database, blobs: BlobFolder) -> None:
    """Neither by a copy in another log, before or after, nor by the entry's own bureau coming late with it."""
    entry = Entrant(issuer(1)).entry("model", model("secret-7b"))
    assert entry.envelope is not None
    statement = open_entry(entry.envelope).statement
    with database.writing() as connection:
        copy = add(connection, replace(entry, origin=MIRRORED, fault="quotes 'secret-7b'"), own=False)[0]
    erase_entry(database, blobs, entry.hash, at=LATER)
    with database.writing() as connection:
        with pytest.raises(RegistryError, match="was erased; its content is not taken again"):
            complete_entry(connection, replace(copy, fault=None), statement)
        add(connection, entry)
        add(connection, replace(entry, origin=MIRRORED, fault="again"), own=False)
    with database.reading() as connection:
        for origin in (ORIGIN, MIRRORED):
            for found in entries_of_log(connection, origin):
                assert (found.envelope, found.salt, found.erased_at) == (None, None, LATER)
                assert found.fault in {None, "erased", "again"}
        assert list(entries_named(connection, "secret")) == []
    with database.writing() as connection:
        assert rebuild_derived(connection) == []


def test_nothing_of_it_is_left_in_the_file(tmp_path: Path, blobs: BlobFolder) -> None:
    path = tmp_path / "registry.sqlite"
    database = open_database(sqlite_url(path), create=True)
    north = Entrant(issuer(1))
    vector = bytes(range(100, 164))
    entries = put(
        database,
        *(north.entry("model", model(f"plain {number}")) for number in range(40)),
        north.entry("model", model("xxsuspect-model")),
        north.entry("fingerprint", fingerprint("m", vector), target=b"t" * 32),
        *(north.entry("model", model(f"plain {number}")) for number in range(40, 80)),
    )

    parts = [part for entry in entries[40:42] for part in (entry.envelope, entry.salt) if part is not None]
    marks = [b"xxsuspect", vector, *(part[-32:] for part in parts)]

    def left() -> list[bytes]:
        on_disk = b"".join(file.read_bytes() for file in tmp_path.glob("registry.sqlite*"))
        return [mark for mark in marks if mark in on_disk]

    assert left() == marks
    for entry in entries[40:42]:
        erase_entry(database, blobs, entry.hash, at=LATER)
    assert left() == []
    assert database.problems() == []
    database.close()


def test_a_reader_of_the_old_state_delays_only_the_last_step(
    tmp_path: Path, blobs: BlobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whorl.registry.engines.BUSY_SECONDS", 0.1)
    database = open_database(sqlite_url(tmp_path / "registry.sqlite"), create=True)
    (entry,) = put(database, Entrant(issuer(1)).entry("model", model("m")))
    with database.reading() as connection:
        assert find_entry(connection, entry.hash) == entry
        with pytest.raises(RegistryError, match="still reads what was erased; scrub it again"):
            erase_entry(database, blobs, entry.hash, at=LATER)
        assert find_entry(connection, entry.hash) == entry  # one state from beginning to end
    database.scrub()
    with database.reading() as connection:
        found = find_entry(connection, entry.hash)
        assert found is not None
        assert found.envelope is None
    database.close()
