"""The store of a log: what is appended is there, in tiles that anybody can check, whatever interrupts it."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_logs import FailingDisk, files_of, flip, new_log
from signing_parties import LOG, ORIGIN, root_of

from whorl.core.errors import InputError, VerificationError
from whorl.log import served_folder
from whorl.log.deriving import derive
from whorl.log.edge import EMPTY_EDGE, grow
from whorl.log.folder import LogFolder, create_log
from whorl.log.merkle import inclusion_path, leaf_hash, root_of_leaves, verify_inclusion
from whorl.log.signing import sign_next
from whorl.log.tiles import encode_bundle, hash_reader, parse_tile_path, split_tile
from whorl.log.tree_heads import parse_tree_head

AT = 1_700_000_000


def entries(count: int, start: int = 0) -> list[bytes]:
    return [b"entry %d" % number for number in range(start, start + count)]


def test_what_is_appended_can_be_read_and_proven(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log")
    written = entries(1000)
    for start, end in [(0, 1), (1, 250), (250, 256), (256, 257), (257, 1000)]:
        state = log.append(written[start:end])
        assert (state.size, state.root) == (end, root_of(written[:end])) == (log.size, log.root)
    read = hash_reader(log, 1000)
    for index in (0, 255, 256, 767, 999):
        verify_inclusion(leaf_hash(written[index]), index, 1000, inclusion_path(read, index, 1000), log.root)
    assert log.bundle(3, 232) == encode_bundle(written[768:])


@given(st.lists(st.integers(0, 700), max_size=5), st.integers(0, 40))
@settings(max_examples=12, deadline=None)
def test_batches_make_no_difference_to_tree_and_tiles(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], more: int
) -> None:
    folder = tmp_path_factory.mktemp("batches")
    log = new_log(folder / "log")
    total = 0
    for batch in [*batches, more]:
        log.append(entries(batch, total))
        total += batch
    assert log.root == root_of_leaves([leaf_hash(one) for one in entries(total)])
    assert derive(log, total).problems == ()
    at_once = new_log(folder / "at once", entries(total))
    assert files_of(at_once.path).items() <= files_of(log.path).items()
    shutil.rmtree(folder)


def test_three_levels_of_tiles() -> None:
    """A tree of 65,536 and 300 entries, without the disk; batches cross full tiles of two levels."""
    everything = entries(65_836)
    edge, tiles = EMPTY_EDGE, {}
    for start, end in [(0, 65_000), (65_000, 65_836)]:
        edge, written = grow(edge, everything[start:end])
        tiles.update({address.path: data for address, data in written})
    assert edge.root() == root_of_leaves([leaf_hash(one) for one in everything])
    assert tiles["tile/2/000.p/1"] == root_of_leaves([leaf_hash(one) for one in everything[:65_536]])
    assert tiles["tile/1/001.p/1"] == root_of_leaves(split_tile(tiles["tile/0/256"], width=256))
    assert tiles["tile/entries/257.p/44"] == encode_bundle(everything[65_792:])


def test_an_empty_log_has_the_empty_root_and_no_tiles(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log")
    assert log.append([]) == log.state() == log.recover()
    assert (log.size, log.root) == (0, root_of([]))
    assert list(files_of(log.path)) == ["state"]


def test_partial_files_go_when_the_full_one_is_there_and_are_still_served(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(100))
    partial_tile, partial_bundle = log.tile(0, 0, 100), log.bundle(0, 100)
    log.append(entries(50, 100))
    assert {"tile/0/000.p/100", "tile/0/000.p/150"} <= files_of(log.path).keys()
    log.append(entries(106, 150))
    assert [name for name in files_of(log.path) if ".p/" in name] == ["tile/1/000.p/1"]
    assert (log.tile(0, 0, 100), log.bundle(0, 100)) == (partial_tile, partial_bundle)


def test_every_file_below_tile_has_a_path_of_the_specification(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(600))
    names = [name for name in files_of(log.path) if name.startswith("tile/")]
    assert len(names) == 7
    for name in names:
        parse_tile_path(name)


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("stored", [0, 256, 500])
def test_a_crash_at_any_write_leaves_the_old_tree_or_the_new_one(tmp_path: Path, stored: int, after: bool) -> None:
    old, new = entries(stored), entries(600, stored)
    turns = count_writes(tmp_path, old, new)
    assert turns >= 7
    for turn in range(turns):
        path = tmp_path / f"{turn}"
        new_log(path, old)
        disk = FailingDisk(turn=turn, after=after)
        failing = LogFolder(path, origin=ORIGIN, write=disk)
        with pytest.raises(OSError, match=r"No space|Input/output"):
            failing.append(new)
        state = failing.state()
        assert state.size == (stored + 600 if after and turn == turns - 1 else stored)
        assert derive(failing, state.size).problems == ()
        # the process goes on, or another one takes over: both append what is missing
        missing = [*old, *new][state.size :]
        again = failing if turn % 2 else LogFolder(path, origin=ORIGIN)
        if turn % 3:
            assert again.recover() == state
        disk.turn = -1
        again.append(missing)
        whole = new_log(tmp_path / f"{turn} whole", old)
        whole.append(new)
        if state.size > stored:  # then the partial files that the new ones replaced may have stayed
            assert files_of(path).items() >= files_of(whole.path).items()
        else:
            assert files_of(path) == files_of(whole.path)
        shutil.rmtree(path)
        shutil.rmtree(whole.path)


def count_writes(folder: Path, old: list[bytes], new: list[bytes]) -> int:
    new_log(folder / "counted", old)
    disk = FailingDisk(turn=10**6)
    LogFolder(folder / "counted", origin=ORIGIN, write=disk).append(new)
    return len(disk.written)


def test_files_are_written_in_the_order_of_their_dependence(tmp_path: Path) -> None:
    disk = FailingDisk(turn=10**6)
    log = create_log(tmp_path / "log", origin=ORIGIN, write=disk)
    disk.written.clear()
    log.append(entries(300))
    assert [path.relative_to(log.path).as_posix() for path in disk.written] == [
        "tile/entries/000",
        "tile/entries/001.p/44",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "state",
    ]


def test_after_a_crash_other_entries_may_come_and_nothing_of_the_lost_ones_stays(tmp_path: Path) -> None:
    """The caller's database lost the batch too, so the next entries are others."""
    new_log(tmp_path / "log", entries(100))
    failing = LogFolder(tmp_path / "log", origin=ORIGIN, write=FailingDisk(turn=9))
    with pytest.raises(OSError, match="No space"):
        failing.append(entries(900, 100))
    assert "tile/0/002" in files_of(failing.path)
    (failing.path / "tile/0/.0123.partial").write_bytes(b"torn")
    log = LogFolder(tmp_path / "log", origin=ORIGIN)
    log.recover()
    assert sorted(files_of(log.path)) == ["state", "tile/0/000.p/100", "tile/entries/000.p/100"]
    others = [b"another %d" % number for number in range(200)]
    log.append(others)
    assert log.root == root_of([*entries(100), *others])
    assert derive(log, 300).problems == ()


def test_recovery_that_is_cut_off_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_log(tmp_path / "log", entries(100))
    with pytest.raises(OSError, match="No space"):
        LogFolder(tmp_path / "log", origin=ORIGIN, write=FailingDisk(turn=9)).append(entries(900, 100))
    removed: list[Path] = []
    unlink = Path.unlink

    def cut_off(path: Path, missing_ok: bool = False) -> None:
        if len(removed) == 3:
            raise OSError(5, "Input/output error")
        removed.append(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", cut_off)
    with pytest.raises(OSError, match="Input/output"):
        LogFolder(tmp_path / "log", origin=ORIGIN).recover()
    monkeypatch.undo()
    LogFolder(tmp_path / "log", origin=ORIGIN).recover()
    assert sorted(files_of(tmp_path / "log")) == ["state", "tile/0/000.p/100", "tile/entries/000.p/100"]


def test_two_writers_take_turns(tmp_path: Path) -> None:
    new_log(tmp_path / "log")

    def append() -> None:
        log = LogFolder(tmp_path / "log", origin=ORIGIN)
        for _ in range(20):
            log.append([b"same"] * 7)

    threads = [threading.Thread(target=append) for _ in range(3)]
    for thread in threads:
        thread.start()
    script = (
        "import sys, pathlib; from whorl.log.folder import LogFolder\n"
        "log = LogFolder(pathlib.Path(sys.argv[1]), origin=sys.argv[2])\n"
        "for _ in range(20): log.append([b'same'] * 7)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "log"), ORIGIN], check=True)
    for thread in threads:
        thread.join()
    log = LogFolder(tmp_path / "log", origin=ORIGIN)
    assert (log.size, log.root) == (560, root_of([b"same"] * 560))
    assert derive(log, 560).problems == ()


APPENDING = """
import pathlib, sys
from whorl.log.folder import LogFolder
log = LogFolder(pathlib.Path(sys.argv[1]), origin=sys.argv[2])
size = log.recover().size
while True:
    size = log.append([b"entry %d" % number for number in range(size, size + 37)]).size
    print(size, flush=True)
"""


def test_a_process_that_is_killed_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log")
    acknowledged = 0
    for lines in (1, 3, 8, 13, 21):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDING, str(log.path), ORIGIN], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(lines):
            acknowledged = int(process.stdout.readline())
        process.kill()
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        state = LogFolder(log.path, origin=ORIGIN).recover()
        assert state.size in {acknowledged, acknowledged + 37}
        assert state.root == root_of_leaves([leaf_hash(one) for one in entries(state.size)])
        assert derive(log, state.size).problems == ()


def test_an_entry_that_is_too_long_changes_nothing(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(3))
    before = files_of(log.path)
    with pytest.raises(InputError, match="at most 65535 bytes, found 65536"):
        log.append([b"short", bytes(65_536)])
    assert files_of(log.path) == before


@pytest.mark.parametrize("victim", ["tile/0/000.p/100", "tile/entries/000.p/100"])
@pytest.mark.parametrize("damage", ["first bytes", "last byte", "cut", "removed"])
def test_nothing_is_appended_to_a_damaged_end(tmp_path: Path, victim: str, damage: str) -> None:
    new_log(tmp_path / "log", entries(100))
    path = tmp_path / "log" / victim
    data = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        altered = {
            "first bytes": bytes([data[0], data[1] ^ 1]) + data[2:],
            "last byte": data[:-1] + bytes([data[-1] ^ 1]),
            "cut": data[:-1],
        }
        path.write_bytes(altered[damage])
    log = LogFolder(tmp_path / "log", origin=ORIGIN)
    for act in (log.recover, lambda: log.append([b"one more"])):
        with pytest.raises(VerificationError, match=r"end of the log is damaged|at its end do not give the root"):
            act()
    assert log.size == 100


def test_nothing_is_appended_where_a_higher_tile_does_not_give_the_root_of_the_state(tmp_path: Path) -> None:
    new_log(tmp_path / "log", entries(300))
    flip(tmp_path / "log/tile/1/000.p/1", 7)
    with pytest.raises(VerificationError, match="at its end do not give the root"):
        LogFolder(tmp_path / "log", origin=ORIGIN).append([b"one more"])


def test_a_damaged_foreign_or_missing_state_is_refused(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(3))
    state = (log.path / "state").read_bytes()
    for data in (b"", state[:-1], state + b"\n", state.replace(b"\n3\n", b"\n03\n"), b"\xff" + state[1:]):
        (log.path / "state").write_bytes(data)
        with pytest.raises(VerificationError, match="damaged"):
            LogFolder(log.path, origin=ORIGIN)
    (log.path / "state").write_bytes(state)
    with pytest.raises(VerificationError, match="another log's folder"):
        LogFolder(log.path, origin="log.example/other")
    (log.path / "state").unlink()
    with pytest.raises(InputError, match="expected a file, found none"):
        LogFolder(log.path, origin=ORIGIN)
    with pytest.raises(InputError, match="a log is made once"):
        create_log(log.path, origin=ORIGIN)


def test_a_log_is_made_once_and_again_after_a_crash_in_the_making(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        create_log(tmp_path / "log", origin=ORIGIN, write=FailingDisk(turn=0))
    assert create_log(tmp_path / "log", origin=ORIGIN).size == 0
    with pytest.raises(InputError, match="found 'state'"):
        create_log(tmp_path / "log", origin=ORIGIN)


def test_pipes_folders_and_giants_are_no_files_of_a_log(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(3))
    os.mkfifo(log.path / "checkpoint")
    with pytest.raises(InputError, match="pipe or device"):
        log.tree_head()
    (log.path / "tile/1").mkdir()
    (log.path / "tile/1/000").mkdir()
    with pytest.raises(InputError, match="found"):
        log.tile(1, 0, 256)
    with (log.path / "tile/0/001").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="expected at most 8192 bytes"):
        log.tile(0, 1, 256)
    with pytest.raises(InputError, match="expected a file, found none"):
        log.tile(0, 9, 256)


def test_only_tree_heads_of_the_stored_tree_are_published_and_none_that_is_older(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(10))
    last_signed = tmp_path / "last"
    ten = sign_next(log, [LOG], last_signed=last_signed, now=AT).to_bytes()
    assert log.published() is None
    log.publish(ten)
    assert log.tree_head() == ten
    log.append(entries(10, 10))
    twenty = sign_next(log, [LOG], last_signed=last_signed, now=AT).to_bytes()
    log.publish(twenty)
    with pytest.raises(VerificationError, match="a tree head of size 20 is published"):
        log.publish(ten)
    longer = new_log(tmp_path / "longer", entries(30))
    with pytest.raises(VerificationError, match="with 20 entries"):
        log.publish(sign_next(longer, [LOG], last_signed=tmp_path / "other", now=AT).to_bytes())
    fork = new_log(tmp_path / "fork", [b"another", *entries(19)])
    with pytest.raises(VerificationError, match="another root"):
        log.publish(sign_next(fork, [LOG], last_signed=tmp_path / "third", now=AT).to_bytes())
    with pytest.raises(InputError):
        log.publish(b"no note")
    assert log.tree_head() == twenty


@pytest.mark.parametrize("stored", [10, 300])
def test_an_older_state_is_noticed_and_nothing_is_removed(tmp_path: Path, stored: int) -> None:
    log = new_log(tmp_path / "log", entries(stored))
    old_state = (log.path / "state").read_bytes()
    log.append(entries(700, stored))
    log.publish(sign_next(log, [LOG], last_signed=tmp_path / "last", now=AT).to_bytes())
    (log.path / "state").write_bytes(old_state)
    before = files_of(log.path)
    for published in (True, False):
        if not published:
            (log.path / "checkpoint").unlink()
            before.pop("checkpoint")
        with pytest.raises(VerificationError, match="an older state was put back"):
            LogFolder(log.path, origin=ORIGIN).recover()
        assert files_of(log.path) == before


def test_an_older_state_in_the_same_tile_is_noticed_by_what_is_published(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(10))
    old_state = (log.path / "state").read_bytes()
    log.append(entries(10, 10))
    log.publish(sign_next(log, [LOG], last_signed=tmp_path / "last", now=AT).to_bytes())
    (log.path / "state").write_bytes(old_state)
    before = files_of(log.path)
    with pytest.raises(VerificationError, match="a tree head of size 20 is published"):
        log.recover()
    assert files_of(log.path) == before


def test_the_state_is_a_tree_head_without_signatures(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(5))
    assert parse_tree_head((log.path / "state").read_text()) == log.state()


@pytest.mark.parametrize("kind", ["tile", "bundle"])
def test_a_partial_file_that_goes_while_it_is_read_comes_out_of_the_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    log = new_log(tmp_path / "log", entries(100))

    def read() -> bytes:
        return log.tile(0, 0, 100) if kind == "tile" else log.bundle(0, 100)

    expected = read()
    as_it_is = served_folder.read_file

    def read_late(path: Path, *, max_bytes: int) -> bytes:
        """The log grows, and the partial file goes, after a reader was told its name and before it is opened."""
        if path.parent.name.endswith(".p") and log.size == 100:
            log.append(entries(156, 100))
        return as_it_is(path, max_bytes=max_bytes)

    monkeypatch.setattr(served_folder, "read_file", read_late)
    assert read() == expected
    assert log.size == 256


def test_a_partial_file_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(100))
    log.append(entries(156, 100))
    (log.path / "tile/0/000.p/100").mkdir(parents=True)
    with pytest.raises(InputError, match="found a folder"):
        log.tile(0, 0, 100)
    with pytest.raises(InputError, match="found none"):
        log.tile(0, 1, 100)
