"""Entries go in and are found again; what does not fit its leaf is not believed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sample_entries import ORIGIN, WHEN, Entrant, add, digest, fingerprint, issuer, model, organisation
from sqlalchemy import Connection, event, text

from whorl.core.errors import VerificationError
from whorl.entries.kinds import Commitment, Notice
from whorl.registry.database import Database, open_database, sqlite_url
from whorl.registry.database_errors import RegistryError
from whorl.registry.derived_rows import vectors_of
from whorl.registry.entry_rows import (
    PAGE,
    chain_end,
    commitments_since,
    count_of_faults,
    counting_entries,
    entered_among,
    entries_about,
    entries_of_issuer,
    entries_of_log,
    entries_with_claim,
    entries_with_digest,
    entry_in_chain,
    erased_among,
    faults_of_log,
    faulty_about,
    faulty_entries,
    find_entry,
    insert_entries,
    latest_entries,
    leaves_of_issuer,
    leaves_of_log,
    numbered_entries,
    place_of,
    policy_before,
    sealed_among,
    standing_entry,
    standing_in_chain,
    stands_in_log,
)
from whorl.registry.key_rows import compromised_keys, logs_of_key, organisations_sharing
from whorl.registry.log_rows import add_log, stored_log, stored_logs
from whorl.registry.name_rows import entries_named
from whorl.registry.stored_entry import StoredEntry

MIRRORED = "bureau.example/south"
CLAIM = bytes(range(32))


@pytest.fixture
def north() -> Entrant:
    return Entrant(issuer(1))


def blue_notice(title: str) -> Notice:
    return Notice(colour="blue", title=title, text="What is this?")


def test_entries_come_back_as_they_were_put_in(database: Database, north: Entrant) -> None:
    with database.writing() as connection:
        put = add(
            connection,
            north.entry("organisation", organisation("Northwind Labs", north.key)),
            north.entry("model", model("north-7b"), seconds=1),
            replace(
                north.entry("fingerprint", fingerprint("north-7b"), target=b"t" * 32, seconds=2),
                stamped_at=WHEN + timedelta(microseconds=1),
                signers=frozenset({b"a" * 32, b"b" * 32}),
                shown=frozenset({digest("one"), digest("two")}),
            ),
        )
    with database.reading() as connection:
        assert [find_entry(connection, entry.hash) for entry in put] == put
        assert list(entries_of_log(connection, ORIGIN)) == put
        assert list(entries_of_log(connection, ORIGIN, start=1, stop=2)) == put[1:2]
        assert list(entries_of_log(connection, ORIGIN, start=3)) == []
        assert list(entries_of_log(connection, "elsewhere")) == []
        assert [number for number, _ in counting_entries(connection)] == [1, 2, 3]
        assert numbered_entries(connection, [3, 1, 99]) == {3: put[2], 1: put[0]}
        assert find_entry(connection, bytes(32)) is None


def test_an_entry_is_found_by_chain_target_claim_and_kind(database: Database, north: Entrant) -> None:
    with database.writing() as connection:
        put = add(
            connection,
            north.entry("organisation", organisation("Northwind Labs", north.key)),
            north.entry("model", model("north-7b")),
        )
        target = put[1].hash
        put += add(
            connection, *(north.entry("notice", blue_notice(f"n{i}"), target=target, claim=CLAIM) for i in (1, 2))
        )
    with database.reading() as connection:
        assert chain_end(connection, north.key.id, origin=ORIGIN) == (3, put[3].hash)
        assert chain_end(connection, issuer(2).id, origin=ORIGIN) is None
        assert entry_in_chain(connection, north.key.id, 2, origin=ORIGIN) == put[2]
        assert entry_in_chain(connection, north.key.id, 4, origin=ORIGIN) is None
        assert list(entries_about(connection, target)) == put[2:]
        assert list(entries_with_claim(connection, CLAIM)) == put[2:]
        assert list(entries_with_claim(connection, bytes(32))) == []
        assert latest_entries(connection, "notice", most=9) == [(4, put[3]), (3, put[2])]
        assert latest_entries(connection, "notice", most=1, before=4) == [(3, put[2])]
        assert list(entries_with_digest(connection, digest("content of north-7b"), role="content")) == [put[1]]
        assert list(entries_with_digest(connection, digest("file of north-7b"), role="file")) == [put[1]]
        assert list(entries_with_digest(connection, digest("file of north-7b"), role="content")) == []


def test_long_answers_come_whole(database: Database, north: Entrant) -> None:
    """More than two pages, so that nothing is lost or doubled where they meet."""
    with database.writing() as connection:
        add_log(connection, ORIGIN, own=True)
        north.organisation = b"o" * 32
        many = [
            replace(north.entry("notice", blue_notice("n"), target=b"t" * 32, claim=CLAIM), index=i)
            for i in range(2 * PAGE + 1)
        ]
        insert_entries(connection, many)
    with database.reading() as connection:
        assert list(entries_of_log(connection, ORIGIN)) == many
        assert list(entries_about(connection, b"t" * 32)) == many
        assert [entry for _, entry in counting_entries(connection)] == many
        assert len(list(entries_of_log(connection, ORIGIN, start=PAGE - 1, stop=PAGE + 1))) == 2


def test_commitments_are_counted_from_a_time_on(database: Database, north: Entrant) -> None:
    body = Commitment(root="ab" * 32, count=4, purpose="alibi", expires="2030-01-01T00:00:00Z")
    with database.writing() as connection:
        first = add(connection, north.entry("organisation", organisation("Northwind Labs", north.key)))[0]
        put = add(connection, *(north.entry("commitment", body, seconds=60 * i) for i in range(4)))
        add(connection, north.entry("model", model("m"), seconds=180))
    with database.reading() as connection:
        assert list(commitments_since(connection, first.hash, WHEN + timedelta(seconds=60))) == put[1:]
        assert list(commitments_since(connection, first.hash, WHEN + timedelta(seconds=61))) == put[2:]
        assert list(commitments_since(connection, bytes(32), WHEN)) == []


def test_a_log_has_no_gaps_and_no_strangers(database: Database, north: Entrant) -> None:
    with database.writing() as connection:
        add(connection, north.entry("model", model("m0")))
        late = north.entry("model", model("m1"), index=2)
        with pytest.raises(ValueError, match=r"expected entry 1 of bureau.example/north next, got 2"):
            insert_entries(connection, [late])
        with pytest.raises(ValueError, match="is not held here"):
            insert_entries(connection, [replace(late, origin="bureau.example/nowhere")])
        with pytest.raises(ValueError, match="of another kind than its leaf"):
            insert_entries(connection, [replace(late, index=1, kind="dataset")])
        with pytest.raises(ValueError, match="cannot be read does not count"):
            insert_entries(connection, [replace(late, index=1, leaf=b"short")])
        with pytest.raises(VerificationError, match="expected the envelope that the leaf commits to"):
            insert_entries(connection, [replace(late, index=1, salt=bytes(32))])
        assert [log.size for log in stored_logs(connection)] == [1]
        assert insert_entries(connection, []) == []


def test_logs_are_added_once(database: Database) -> None:
    with database.writing() as connection:
        own = add_log(connection, ORIGIN, own=True)
        assert add_log(connection, ORIGIN, own=True) == own
        assert add_log(connection, MIRRORED, own=False).id == 2
        with pytest.raises(ValueError, match="held as own already"):
            add_log(connection, ORIGIN, own=False)
        assert stored_log(connection, "elsewhere") is None
        assert [log.origin for log in stored_logs(connection)] == [ORIGIN, MIRRORED]


def test_one_leaf_counts_once_and_its_copies_are_kept_with_their_fault(database: Database, north: Entrant) -> None:
    entry = north.entry("model", model("m"))
    copy = replace(entry, origin=MIRRORED, fault="of another home")
    with database.writing() as connection:
        early = add(connection, copy, own=False)[0]  # a copy can come before what it copies
        assert find_entry(connection, entry.hash) == early
        assert chain_end(connection, north.key.id, origin=ORIGIN) is None
        real = add(connection, entry)[0]
        add(connection, copy, copy, own=False)
    with pytest.raises(RegistryError, match="refuses what contradicts"), database.writing() as connection:
        add(connection, replace(entry, origin=MIRRORED), own=False)
    with database.reading() as connection:
        assert find_entry(connection, entry.hash) == real
        assert [found.fault for found in entries_of_log(connection, MIRRORED)] == ["of another home"] * 3
        assert [found for _, found in counting_entries(connection)] == [real]
        assert list(entries_with_digest(connection, digest("content of m"), role="content")) == [real]


def test_two_entries_of_one_number_do_not_both_count(database: Database, north: Entrant) -> None:
    twin = Entrant(north.key, count=7)
    with database.writing() as connection:
        first = add(connection, north.entry("model", model("m")))[0]
    with pytest.raises(RegistryError, match="refuses what contradicts"), database.writing() as connection:
        add(connection, twin.entry("model", model("m")))
    with database.writing() as connection:
        twin.chain.clear()
        add(connection, twin.entry("model", model("m"), fault="equivocation"))
        assert chain_end(connection, north.key.id, origin=ORIGIN) == (0, first.hash)


@pytest.mark.parametrize("leaf", [b"", b"x", b"\xff" * 140, b"x" * 65_535])
def test_a_leaf_that_cannot_be_read_is_kept_with_its_fault(database: Database, leaf: bytes) -> None:
    entry = StoredEntry(
        origin=MIRRORED,
        index=0,
        leaf=leaf,
        kind=None,
        organisation=None,
        envelope=None,
        salt=None,
        seen_at=WHEN,
        fault='no leaf: "\\{NULL},\x00\udc80\n' + "x" * 600,
    )
    with database.writing() as connection:
        add(connection, entry, own=False)
    with database.reading() as connection:
        found = next(entries_of_log(connection, MIRRORED))
        assert found.leaf == leaf
        assert found.fault is not None
        assert found.fault.startswith('no leaf: "\\{NULL},\ufffd\ufffd\ufffdxx')
        assert len(found.fault) == 500


@pytest.mark.parametrize(
    "change",
    [
        "leaf = :leaf",
        "hash = :hash",
        "issuer = :hash",
        "sequence = sequence + 1",
        "target = :hash",
        "kind = 5",
        "kind = 77",
        "kind = NULL",
        "envelope = :thirty",
        "salt = :hash",
        "signers = :thirty",
        "shown = :thirty",
        "seen_at = 9000000000000000000",
    ],
)
def test_a_row_that_does_not_fit_its_leaf_is_not_believed(database: Database, north: Entrant, change: str) -> None:
    with database.writing() as connection:
        entry = add(connection, north.entry("model", model("m")))[0]
        values = {"hash": b"h" * 32, "thirty": b"x" * 30, "leaf": entry.leaf[:-1] + bytes([entry.leaf[-1] ^ 1])}
        used = {name: value for name, value in values.items() if f":{name}" in change}
        connection.execute(text(f"UPDATE entries SET {change}"), used)
    with (
        database.reading() as connection,
        pytest.raises(RegistryError, match=r"the registry's database is damaged: .*restore it from a backup"),
    ):
        list(entries_of_log(connection, ORIGIN))


def test_missing_rows_of_a_log_are_noticed(database: Database, north: Entrant) -> None:
    with database.writing() as connection:
        add(connection, north.entry("notice", blue_notice("a"), target=b"t" * 32), north.entry("model", model("m")))
        connection.execute(text("DELETE FROM entries WHERE idx = 0"))
    with (
        database.reading() as connection,
        pytest.raises(RegistryError, match=r"entries 0 to 1 of .* are not"),
    ):
        list(entries_of_log(connection, ORIGIN))


LOOK_UPS: dict[str, Callable[[Connection], object]] = {
    "entries_by_hash": lambda c: find_entry(c, b"h" * 32),
    "entries_by_index": lambda c: list(entries_of_log(c, ORIGIN)),
    "entries_by_target": lambda c: list(entries_about(c, b"t" * 32)),
    "entries_by_target (target=? AND id>?)": lambda c: list(entries_about(c, b"t" * 32, "status", "key")),
    "entries_by_index (log=? AND idx>? AND idx<?)": lambda c: leaves_of_log(c, ORIGIN, start=0, stop=1),
    "entries_by_hash (hash=? AND counts=?)": lambda c: entered_among(c, [b"h" * 32] * 3, origin=ORIGIN),
    "entries_by_chain (issuer=? AND log=? AND counts=? AND sequence>?)": lambda c: sealed_among(
        c, {b"c" * 32}, issuer=b"i" * 32, origin=ORIGIN
    ),
    "entries_by_claim": lambda c: list(entries_with_claim(c, CLAIM)),
    "entries_by_chain (issuer=? AND log=? AND counts=? AND sequence=?)": lambda c: entry_in_chain(
        c, b"i" * 32, 3, origin=ORIGIN
    ),
    "entries_by_chain (issuer=? AND log=? AND counts=?)": lambda c: chain_end(c, b"i" * 32, origin=ORIGIN),
    "(issuer=? AND log=? AND counts=? AND sequence>?)": lambda c: list(entries_of_issuer(c, b"i" * 32, origin=ORIGIN)),
    "entries_by_hash (hash=?)": lambda c: stands_in_log(c, b"h" * 32, origin=ORIGIN),
    "USING INDEX entries_by_hash (hash=? AND counts=?)": lambda c: standing_entry(c, b"h" * 32),
    "USING INDEX entries_by_hash (hash=?)": lambda c: place_of(c, b"h" * 32),
    "USING INDEX entries_by_chain (issuer=? AND log=? AND counts=? AND sequence=?)": lambda c: standing_in_chain(
        c, b"i" * 32, 3, origin=ORIGIN
    ),
    "USING INDEX entries_by_chain (issuer=? AND log=? AND counts=? AND sequence>?)": lambda c: list(
        leaves_of_issuer(c, b"i" * 32, origin=ORIGIN)
    ),
    "faulty_entries (log=? AND fault>? AND fault<?)": lambda c: faults_of_log(c, 1, "breaks"),
    "SEARCH entries USING INDEX faulty_entries (log=? AND fault>? AND fault<?)": lambda c: count_of_faults(
        c, 1, "waits"
    ),
    "faulty_entries_by_target (target=? AND id>?)": lambda c: list(faulty_about(c, b"t" * 32, "status")),
    "faulty_entries_by_kind (kind=? AND id>?)": lambda c: list(faulty_entries(c, "status")),
    "compromised_keys": lambda c: compromised_keys(c),
    "keys_by_organisation (organisation=?)": lambda c: organisations_sharing(c, b"o" * 32),
    "sqlite_autoindex_keys_1 (id=?)": lambda c: logs_of_key(c, b"i" * 32),
    "entries_by_kind": lambda c: latest_entries(c, "model", most=10),
    "policies_by_log": lambda c: policy_before(c, ORIGIN, 3),
    "commitments_by_organisation (organisation=? AND": lambda c: list(commitments_since(c, b"o" * 32, WHEN)),
    "erased_by_hash": lambda c: erased_among(c, [b"h" * 32] * 3),
    "PRIMARY KEY (digest=? AND role=?": lambda c: list(entries_with_digest(c, digest("d"), role="content")),
    "names_by_entry (entry=? AND word>? AND word<?)": lambda c: list(entries_named(c, "some mod")),
    "vectors_by_scheme": lambda c: list(vectors_of(c, "s", 16)),
    "INTEGER PRIMARY KEY (rowid>?)": lambda c: list(counting_entries(c, after=5)),
}


@pytest.mark.parametrize("index", LOOK_UPS)
def test_every_look_up_is_a_range_of_an_index(tmp_path: Path, north: Entrant, index: str) -> None:
    """At ten million rows a scan takes minutes. SQLite's planner does not look at how many there are; few will do."""
    database = open_database(sqlite_url(tmp_path / "registry.sqlite"), create=True)
    with database.writing() as connection:
        add(connection, north.entry("model", model("some model")))
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
        asked.append((sql, values))

    with database.reading() as connection:
        event.listen(connection, "before_cursor_execute", note)
        LOOK_UPS[index](connection)
        driver = connection.connection.driver_connection
        assert driver is not None
        plans = {sql: [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}", values)] for sql, values in asked}
    assert any(index in step for plan in plans.values() for step in plan), plans
    for sql, plan in plans.items():
        # "SCAN (subquery" is a page that was found already; the table of logs has a row per bureau; the index of
        # compromised keys has no others.
        few = ("anon_1", "logs", "compromised_keys")
        scanned = [step for step in plan if step.startswith("SCAN") and not any(name in step for name in few)]
        assert scanned == [], (sql, plan)
        assert not any("TEMP B-TREE" in step for step in plan), (sql, plan)
    database.close()
