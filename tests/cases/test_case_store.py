"""The case's folder: what is on the disk when, who writes, and what a crash or a stranger's file leaves."""

import errno
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from small_case import START, Clock, Steps, key_of, opening, propositions

from whorl.cases import casework
from whorl.cases import store as store_room
from whorl.cases.case import Case
from whorl.cases.store import _SCHEMA, DATABASE, FolderStore, create_store
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.custody import Kept, write_chain
from whorl.dossiers.events import Proposed

CaseAfter = Callable[[str], Steps]


def test_a_store_gives_back_what_it_took(tmp_path: Path) -> None:
    store = create_store(tmp_path / "case")
    assert store.kept() == ()
    digest = store.put(b"an exhibit")
    assert store.get(digest) == b"an exhibit"
    assert FolderStore(tmp_path / "case").get(digest) == b"an exhibit"
    assert (tmp_path / "case").stat().st_mode & 0o077 == 0


def test_a_refused_event_changes_nothing(case_after: CaseAfter) -> None:
    steps = case_after("open")
    before = steps.case.store.kept()
    with pytest.raises(VerificationError, match="rule 6"):
        steps.unblind()
    with pytest.raises(ZeroDivisionError):
        steps.case.store.append(lambda _: 1 // 0)  # type: ignore[arg-type,return-value]
    assert steps.case.store.kept() == before


def test_an_event_with_another_number_is_a_mistake(case_after: CaseAfter) -> None:
    store = case_after("propose").case.store
    with pytest.raises(ValueError, match="place in the chain"):
        store.append(lambda kept: kept[0])


def test_an_exhibit_that_was_altered_or_is_gone(case_after: CaseAfter) -> None:
    steps = case_after("acquire")
    blob = steps.case.read().state.acquired[0].blob
    assert blob is not None
    file = steps.path / "exhibits" / blob[7:9] / blob[9:]
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(VerificationError, match="damaged or altered"):
        steps.case.store.get(blob)
    file.unlink()
    with pytest.raises(InputError, match="erased or lost"):
        steps.case.store.get(blob)


@pytest.mark.parametrize("column", ["record", "envelope", "salt"])
def test_a_database_that_was_altered(case_after: CaseAfter, column: str) -> None:
    steps = case_after("propose")
    with sqlite3.connect(steps.path / DATABASE) as connection:
        value = connection.execute(f"SELECT {column} FROM events WHERE sequence = 1").fetchone()[0]
        changed = value.replace(b"proposed", b"opened") if column == "record" else bytes(len(value))
        connection.execute(f"UPDATE events SET {column} = ? WHERE sequence = 1", (changed,))
    connection.close()
    with pytest.raises(VerificationError, match="event"):
        steps.case.read()


def test_a_deleted_row(case_after: CaseAfter) -> None:
    steps = case_after("propose")
    with sqlite3.connect(steps.path / DATABASE) as connection:
        connection.execute("DELETE FROM events WHERE sequence = 1")
    connection.close()
    with pytest.raises(VerificationError, match="left out or moved"):
        steps.case.read()


LOOPING = (
    "CREATE VIEW events AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT x FROM r WHERE x = 0"
)
LOOSE = "CREATE TABLE events (sequence INTEGER PRIMARY KEY, record, envelope, salt)"


def other_schema(file: Path, schema: str) -> None:
    create_store(file.parent / "made").path.joinpath(DATABASE).rename(file)
    connection = sqlite3.connect(file)
    connection.executescript(f"DROP TABLE events; {schema};")
    connection.close()


NOT_A_CASE = {
    "a view without an end": lambda file: other_schema(file, LOOPING),
    "a table of anything": lambda file: other_schema(file, LOOSE),
    "one table more": lambda file: other_schema(file, f"{_SCHEMA}; CREATE TABLE more (x)"),
    "no database": lambda file: file.write_bytes(b"hello, this is not SQLite, and longer than a header" * 20),
    "another database": lambda file: sqlite3.connect(file).execute("CREATE TABLE t (x)").connection.close(),
    "an empty file": lambda file: file.write_bytes(b""),
}


@pytest.mark.parametrize("what", NOT_A_CASE)
def test_a_folder_with_something_else(tmp_path: Path, what: str) -> None:
    NOT_A_CASE[what](tmp_path / DATABASE)
    with pytest.raises(InputError, match=r"cannot be read|expected a case of this release"):
        FolderStore(tmp_path).kept()


def test_a_record_that_is_none(tmp_path: Path) -> None:
    store = create_store(tmp_path / "case")
    with sqlite3.connect(store.path / DATABASE) as connection:
        connection.execute("INSERT INTO events VALUES (0, ?, NULL, NULL)", (b"{}",))
    connection.close()
    with pytest.raises(InputError, match="expected the records of a case"):
        store.kept()


def test_two_who_write_at_once_wait_for_each_other(case_after: CaseAfter) -> None:
    steps = case_after("open")
    failures: list[BaseException] = []

    def file_one(number: int) -> None:
        ours = replace_id(number)
        try:
            Case(steps.path, now=Clock(steps.clock.at), random_bytes=os.urandom).enter(ours, key_of("complainant"))
        except VerificationError as error:
            if "rule 1" not in str(error):  # one of the clocks may be behind by then
                failures.append(error)
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=file_one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    view = steps.case.read()
    assert [event.record.sequence for event in view.events] == list(range(len(view.events)))
    assert len(view.events) > 1


def replace_id(number: int) -> Proposed:
    ours, _ = propositions()
    return Proposed(propositions=(ours.model_copy(update={"id": f"p{number}"}),))


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys, os
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_case_store import *
        steps = Steps(__import__("pathlib").Path(sys.argv[1]))
        steps.open()
        print(1, flush=True)
        for number in range(1000):
            steps.case.enter(replace_id(number), key_of("complainant"))
            print(number + 2, flush=True)
    """)
    command = [sys.executable, "-c", script, str(tmp_path / "case")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged == 12:
                process.send_signal(signal.SIGKILL)
    later = Clock(START + timedelta(days=60))
    view = Case(tmp_path / "case", now=later, random_bytes=os.urandom).read()
    assert len(view.events) >= acknowledged >= 12


def test_a_crash_while_the_case_was_made_leaves_no_case(tmp_path: Path) -> None:
    def broken(_size: int) -> bytes:
        raise OSError("no entropy")

    with pytest.raises(OSError, match="no entropy"):
        casework.new_case(tmp_path / "case", opening(), key_of("manager"), now=Clock(), random_bytes=broken)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_the_case_was_made_leaves_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_room, "sync_folder", full)
    with pytest.raises(InputError, match=r"case: expected room .* \(No space left on device\); nothing was made"):
        casework.new_case(tmp_path / "case", opening(), key_of("manager"), now=Clock(), random_bytes=os.urandom)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_finds_no_room_leaves_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(file: Path) -> sqlite3.Connection:
        connection = real(file)
        connection.execute("PRAGMA max_page_count = 2")
        return connection

    real = store_room._connect
    monkeypatch.setattr(store_room, "_connect", small)
    with pytest.raises(InputError, match=r"case: expected room .*full\); nothing was made"):
        casework.new_case(tmp_path / "case", opening(), key_of("manager"), now=Clock(), random_bytes=os.urandom)
    assert list(tmp_path.iterdir()) == []


def test_a_case_takes_no_more_exhibits_than_a_dossier_holds(
    case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = case_after("open").case.store
    assert isinstance(store, FolderStore)
    monkeypatch.setattr(store_room, "MAX_CASE_BYTES", 100)
    first = store.put(b"a" * 60)
    with pytest.raises(InputError, match="a dossier could not hold them"):
        store.put(b"b" * 41)
    other = b"c" * 41
    digest = f"sha256:{hashlib.sha256(other).hexdigest()}"
    with pytest.raises(InputError, match="expected a blob of at most 40 bytes"):
        store.receive([other], digest=digest, max_bytes=1 << 20)
    store.put(b"d" * 40)
    assert store.put(b"a" * 60) == first  # what is there already takes no room
    with pytest.raises(InputError, match="a dossier could not hold them"):
        store.put(b"e")
    monkeypatch.setattr(store_room, "MAX_CASE_BYTES", 1 << 20)
    monkeypatch.setattr(store_room, "MAX_EXHIBITS", 2)
    with pytest.raises(InputError, match="expected at most 2 exhibits"):
        store.put(b"f")


def test_a_chain_that_no_verifier_reads_is_not_made(case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = case_after("open")
    most = len(write_chain(steps.case.store.kept())) + 2000
    monkeypatch.setattr(store_room, "MAX_CUSTODY_BYTES", most)
    with pytest.raises(InputError, match="expected a chain of at most"):
        steps.case.enter(replace_id(1), key_of("complainant"))
    assert len(steps.case.store.kept()) == 1


def test_erased_events_are_not_in_the_file(case_after: CaseAfter) -> None:
    steps = case_after("propose")
    store = steps.case.store
    kept = store.kept()
    assert kept[1].envelope is not None
    body = kept[1].envelope[-150:-20]
    assert body in (steps.path / DATABASE).read_bytes()
    store.append(lambda before: made(before), erase=[1])
    assert body not in (steps.path / DATABASE).read_bytes()
    assert store.kept()[1] == replace(kept[1], envelope=None, salt=None)


def made(before: tuple[Kept, ...]) -> Kept:
    record = before[-1].record.model_copy(update={"sequence": len(before)})
    return replace(before[-1], record=record)
