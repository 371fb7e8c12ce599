"""What follows from entries, and that it follows again when everything is derived anew."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sample_entries import ORIGIN, WHEN, Entrant, add, digest, fingerprint, issuer, model, organisation, public
from sqlalchemy import Connection, select, text

from whorl.entries.kinds import Dataset, FindingEntry, Key, Opening, Response
from whorl.entries.leaf import Leaf, commitment
from whorl.entries.statement import open_entry
from whorl.registry.database import Database
from whorl.registry.database_errors import RegistryError
from whorl.registry.derived_rows import unreferenced, vector_schemes, vectors_of
from whorl.registry.entry_changes import record_shown, record_stamp
from whorl.registry.entry_rows import entries_with_digest, find_entry
from whorl.registry.key_rows import find_key, find_organisation, keys_of
from whorl.registry.replaying import complete_entry, rebuild_derived
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.tables import DERIVED

ROOT, SPARE, SIGNER = issuer(1), issuer(2, post_quantum=True), issuer(3)
BLOB = digest("blob")


def tables(connection: Connection) -> dict[str, set[tuple[object, ...]]]:
    return {table.name: set(map(tuple, connection.execute(select(table)))) for table in DERIVED}


def fill(connection: Connection) -> list[StoredEntry]:
    """One entry of every kind that leaves a trace, a sealed one, a faulty one."""
    north = Entrant(ROOT)
    first = add(connection, north.entry("organisation", organisation("Northwind Labs", ROOT, SPARE)))[0]
    described = add(connection, north.entry("model", model("north-7b"), seconds=1))[0]
    add_key = Key(
        action="add", public=public(SIGNER), roles=("submitter", "examiner"), not_after="2027-01-01T00:00:00Z"
    )
    revoke = Key(action="revoke", public=public(SIGNER), compromised_since=2, reason="lost")
    no_vector = fingerprint("no vector").model_copy(update={"vector": None})
    finding = FindingEntry(
        questioned=digest("q"), reference=digest("r"), relation="derived", blob=BLOB, tool="whorl 0.1.0"
    )
    return [
        first,
        described,
        *add(connection, north.entry("key", add_key, target=first.hash, seconds=2)),
        *add(
            connection,
            north.entry("fingerprint", fingerprint("north-7b"), target=described.hash, seconds=3),
            north.entry("key", revoke, target=first.hash, seconds=4),
            north.entry("fingerprint", no_vector, target=described.hash),
            north.entry("fingerprint", fingerprint("other", b"\x80\x7f\x00", scheme="other/1"), target=described.hash),
            north.entry("dataset", Dataset(publisher="North", name="Set", content=digest("set"), manifest=BLOB)),
            north.entry("finding", finding, target=described.hash),
            north.entry("opening", Opening(blob=digest("opened")), target=first.hash),
            north.entry("response", Response(text="No.", blobs=(BLOB, digest("reply"))), target=first.hash),
            north.entry("model", model("secret-7b"), sealed=True),
            north.entry("model", model("faulty"), fault="gap"),
        ),
    ]


def test_organisations_and_keys_follow_from_entries(database: Database) -> None:
    with database.writing() as connection:
        first, *_ = fill(connection)
    with database.reading() as connection:
        found = find_organisation(connection, first.hash)
        assert found is not None
        assert (found.hash, found.origin) == (first.hash, ORIGIN)
        assert (found.name, found.jurisdiction) == ("Northwind Labs", "NO")
        assert (found.roots, found.threshold) == ((ROOT.id, SPARE.id), 1)
        assert find_organisation(connection, bytes(32)) is None
        root, spare, signer = (find_key(connection, key.id, origin=ORIGIN) for key in (ROOT, SPARE, SIGNER))
        assert root is not None
        assert spare is not None
        assert signer is not None
        assert (root.is_root, root.public, root.roles, root.revoked_at) == (True, ROOT.public_keys, frozenset(), None)
        assert spare.public == SPARE.public_keys
        assert (signer.is_root, signer.roles) == (False, {"submitter", "examiner"})
        assert signer.not_after is not None
        assert signer.not_after.year == 2027
        assert (signer.revoked_at, signer.compromised_since) == (4, 2)
        assert signer.trusted_until == WHEN + timedelta(seconds=1)  # entry 1 was seen then
        assert find_key(connection, bytes(32), origin=ORIGIN) is None
        of_organisation = {key.public for key in keys_of(connection, first.hash)}
        assert of_organisation == {key.public_keys for key in (ROOT, SPARE, SIGNER)}


def test_digests_and_vectors_follow_from_entries(database: Database) -> None:
    with database.writing() as connection:
        put = fill(connection)
    with database.reading() as connection:
        content = digest("content of north-7b")
        assert list(entries_with_digest(connection, content, role="content")) == [put[1]]
        assert list(entries_with_digest(connection, content, role="subject")) == [put[3]]
        needing = [entry.kind for entry in entries_with_digest(connection, BLOB, role="blob")]
        assert needing == ["dataset", "finding", "response"]
        assert vector_schemes(connection) == [("other/1", 3, 1), ("tokens/1", 16, 1)]
        assert list(vectors_of(connection, "tokens/1", 16)) == [[(4, bytes(range(16)))]]
        assert list(vectors_of(connection, "tokens/1", 16, after=4)) == []
        assert list(vectors_of(connection, "tokens/1", 3)) == []


def test_what_does_not_count_or_is_sealed_is_not_found(database: Database) -> None:
    with database.writing() as connection:
        fill(connection)
    with database.reading() as connection:
        for name in ("faulty", "secret-7b"):
            assert list(entries_with_digest(connection, digest(f"content of {name}"), role="content")) == []


def test_everything_derived_can_be_derived_again(database: Database) -> None:
    with database.writing() as connection:
        fill(connection)
        before = tables(connection)
        assert all(before.values())
        assert rebuild_derived(connection) == []
        assert tables(connection) == before


@pytest.mark.parametrize("table", [table.name for table in DERIVED])
def test_a_derived_table_that_was_altered_is_named_and_mended(database: Database, table: str) -> None:
    with database.writing() as connection:
        fill(connection)
        before = tables(connection)
        connection.execute(text(f"DELETE FROM {table}"))
    with database.writing() as connection:
        assert rebuild_derived(connection) == [table]
        connection.rollback()  # to look, and change nothing
    with database.writing() as connection:
        assert tables(connection)[table] == set()
        assert rebuild_derived(connection) == [table]
        assert tables(connection) == before
        assert rebuild_derived(connection) == []


def test_a_sealed_entry_that_is_opened_counts_as_what_it_is(database: Database) -> None:
    north = Entrant(ROOT)
    with database.writing() as connection:
        sealed = add(connection, north.entry("fingerprint", fingerprint("m"), target=b"t" * 32, sealed=True))[0]
        assert list(entries_with_digest(connection, digest("content of m"), role="subject")) == []
        assert unreferenced(connection, [digest("fingerprint of m")]) == []  # but nobody may delete its blob
        assert sealed.envelope is not None
        statement = open_entry(sealed.envelope).statement
        opened = replace(sealed, kind="fingerprint")
        complete_entry(connection, opened, statement)
        assert find_entry(connection, sealed.hash) == opened
        assert list(entries_with_digest(connection, digest("content of m"), role="subject")) == [opened]
        assert rebuild_derived(connection) == []
        with pytest.raises(ValueError, match="has its content already"):
            complete_entry(connection, opened, statement)


def test_content_may_come_after_its_leaf_and_a_fault_may_be_cured(database: Database) -> None:
    north = Entrant(ROOT)
    entry, late = north.entry("model", model("m")), north.entry("model", model("late"))
    assert entry.envelope is not None
    assert late.envelope is not None
    statement = open_entry(entry.envelope).statement
    with database.writing() as connection:
        faulty = add(connection, replace(entry, fault="unknown target"))[0]
        complete_entry(connection, replace(faulty, fault=None), statement)
        bare = add(connection, replace(late, envelope=None, salt=None))[0]
        whole = replace(bare, envelope=late.envelope, salt=late.salt)
        complete_entry(connection, whole, open_entry(late.envelope).statement)
        for name in ("m", "late"):
            assert len(list(entries_with_digest(connection, digest(f"content of {name}"), role="content"))) == 1
        assert rebuild_derived(connection) == []
        for index in (1, 7):
            with pytest.raises(ValueError, match="is not this one"):
                complete_entry(connection, replace(faulty, index=index), statement)


def test_what_others_are_checked_with_does_not_come_late(database: Database) -> None:
    entry = Entrant(ROOT).entry("organisation", organisation("Northwind Labs", ROOT))
    assert entry.envelope is not None
    with database.writing() as connection:
        bare = add(connection, replace(entry, fault="too early"))[0]
        with pytest.raises(RegistryError, match="of kind organisation to be whole at once"):
            complete_entry(connection, replace(bare, fault=None), open_entry(entry.envelope).statement)


def test_stamps_and_what_an_opening_shows_are_recorded(database: Database) -> None:
    with database.writing() as connection:
        entry = add(connection, Entrant(ROOT).entry("opening", Opening(blob=BLOB), target=b"t" * 32))[0]
        for hours in (5, 3, 4):
            record_stamp(connection, entry.hash, WHEN + timedelta(hours=hours))
        record_shown(connection, entry.hash, frozenset({digest("a"), digest("b")}))
    with database.reading() as connection:
        found = find_entry(connection, entry.hash)
        assert found is not None
        assert found.stamped_at == WHEN + timedelta(hours=3)
        assert found.shown == {digest("a"), digest("b")}


def test_a_root_key_has_one_organisation(database: Database) -> None:
    """The rules refuse it before; the table would too."""
    with database.writing() as connection:
        add(connection, Entrant(ROOT).entry("organisation", organisation("Northwind Labs", ROOT)))
    other = Entrant(SPARE).entry("organisation", organisation("Meridian AI", SPARE, ROOT))
    with pytest.raises(RegistryError, match="refuses what contradicts"), database.writing() as connection:
        add(connection, other)


def test_an_entry_that_counts_and_says_nothing_is_damage(database: Database) -> None:
    nothing = b"no envelope"
    leaf = Leaf(
        leaf_class="public",
        kind=4,
        issuer=ROOT.id,
        sequence=0,
        previous=bytes(32),
        target=bytes(32),
        commit=commitment(nothing, salt=bytes(32)),
    )
    entry = Entrant(ROOT).entry("model", model("m"))
    with database.writing() as connection:
        add(connection, replace(entry, leaf=leaf.to_bytes(), envelope=nothing, salt=bytes(32), fault="will be"))
        connection.execute(text("UPDATE entries SET fault = NULL, counts = 1"))
    with database.writing() as connection, pytest.raises(RegistryError, match="says nothing that can be read"):
        rebuild_derived(connection)
