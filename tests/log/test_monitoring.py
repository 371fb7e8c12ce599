"""A monitor remembers what it saw; a log that shows two trees leaves a proof that anybody can check."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_logs import flip, new_log
from signing_parties import AT, LOG, LOG_PQ, ORIGIN, WITNESSES, party, records, root_of

from whorl.core.errors import InputError, VerificationError
from whorl.log.folder import LogFolder
from whorl.log.forks import Fork, checked_note, find_fork, keep_fork, parse_fork, verify_fork
from whorl.log.merkle import leaf_hash, prefix_path
from whorl.log.monitoring import Monitor, SplitViewError
from whorl.log.notes import Note
from whorl.log.policy import check_tree_head, parse_policy
from whorl.log.signing import sign_next
from whorl.log.small_tree import SmallTree
from whorl.log.tree_heads import SignedTreeHead, TreeHead, open_tree_head, sign_tree_head

KEYS = [LOG.verifier, LOG_PQ.verifier]


def published(path: Path, entries: list[bytes]) -> LogFolder:
    log = new_log(path, entries)
    publish(log)
    return log


def publish(log: LogFolder) -> None:
    log.publish(sign_next(log, [LOG], last_signed=log.path.with_suffix(".last"), now=AT).to_bytes())


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    (tmp_path / "monitor").mkdir()
    return Monitor(tmp_path / "monitor", origin=ORIGIN, log_keys=KEYS)


def test_a_growing_log_is_followed(monitor: Monitor, tmp_path: Path) -> None:
    log = published(tmp_path / "log", records(3))
    first = monitor.observe(log)
    assert (first.growth, first.seen, first.head.head.size) == ("first", None, 3)
    assert monitor.observe(log).growth == "same"
    for size in (4, 300, 513):
        log.append(records(size)[log.size :])
        publish(log)
        observed = monitor.observe(log)
        assert observed.growth == "grown"
        assert observed.head.head.size == size
    again = Monitor(tmp_path / "monitor", origin=ORIGIN, log_keys=KEYS)
    seen = again.seen()
    assert seen is not None
    assert seen.head == observed.head.head
    assert again.observe(log).growth == "same"


def test_an_empty_log_is_followed(monitor: Monitor, tmp_path: Path) -> None:
    log = published(tmp_path / "log", [])
    assert [monitor.observe(log).growth for _ in range(2)] == ["first", "same"]
    log.append(records(5))
    publish(log)
    assert monitor.observe(log).growth == "grown"


@pytest.mark.parametrize(("ours", "theirs"), [(5, 5), (5, 8), (8, 5), (256, 700), (700, 256), (4, 300), (1, 2)])
def test_a_split_view_is_caught_and_proven(monitor: Monitor, tmp_path: Path, ours: int, theirs: int) -> None:
    """The log shows us one tree and somebody else another; their tree head and tiles reach us later."""
    monitor.observe(published(tmp_path / "ours", records(ours)))
    fork = published(tmp_path / "theirs", [b"another", *records(700)[1:theirs]])
    larger = fork if theirs >= ours else LogFolder(tmp_path / "ours", origin=ORIGIN)
    with pytest.raises(SplitViewError, match="keep it and show it") as caught:
        monitor.consider(fork.tree_head(), larger)
    data = caught.value.proof.read_bytes()
    proven = verify_fork(data, log_keys=[LOG.verifier])
    assert (proven.smaller.head.size, proven.larger.head.size) == (min(ours, theirs), max(ours, theirs))
    # what was seen stays; the next contradiction adds nothing
    seen = monitor.seen()
    assert seen is not None
    assert seen.head.size == ours
    with pytest.raises(SplitViewError):
        monitor.consider(fork.tree_head(), larger)
    assert list((tmp_path / "monitor").glob("fork-*")) == [caught.value.proof]


def test_a_log_that_was_set_back_is_noticed(monitor: Monitor, tmp_path: Path) -> None:
    log = published(tmp_path / "log", records(300))
    shutil.copytree(log.path, tmp_path / "backup")
    log.append(records(310)[300:])
    publish(log)
    monitor.observe(log)
    old = LogFolder(tmp_path / "backup", origin=ORIGIN)
    with pytest.raises(VerificationError, match="does not serve that one any more"):
        monitor.observe(old)
    assert not list((tmp_path / "monitor").glob("fork-*"))
    # an older tree head, with tiles that show that it is the beginning of the newer one, is no contradiction
    assert monitor.consider(old.tree_head(), log).growth == "older"
    (log.path / "checkpoint").write_bytes(old.tree_head())
    with pytest.raises(VerificationError, match="a true tree head, but older"):
        monitor.observe(log)


def test_tiles_that_do_not_belong_to_the_tree_head_accuse_nobody(monitor: Monitor, tmp_path: Path) -> None:
    log = published(tmp_path / "log", records(300))
    head = log.tree_head()
    flip(log.path / "tile/0/001.p/44", 5)
    with pytest.raises(VerificationError, match="do not give the root"):
        monitor.observe(log)
    assert monitor.seen() is None
    flip(log.path / "tile/0/001.p/44", 5)
    monitor.observe(log)
    log.append(records(400)[300:])
    publish(log)
    flip(log.path / "tile/0/001.p/144", 5)
    with pytest.raises(VerificationError, match="does not lead to the root") as refused:
        monitor.observe(log)
    assert not isinstance(refused.value, SplitViewError)
    assert not list((tmp_path / "monitor").glob("fork-*"))
    seen = monitor.seen()
    assert seen is not None
    assert seen.note.to_bytes() == head


def test_a_damaged_memory_accuses_nobody(monitor: Monitor, tmp_path: Path) -> None:
    log = published(tmp_path / "log", records(300))
    monitor.observe(log)
    (path,) = (tmp_path / "monitor").glob("*.seen")
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 11):
        flip(path, bit)
        with pytest.raises(VerificationError, match="damaged"):
            monitor.observe(log)
        path.write_bytes(data)
    assert not list((tmp_path / "monitor").glob("fork-*"))


def test_other_logs_and_strangers_keys_are_refused(monitor: Monitor, tmp_path: Path) -> None:
    log = published(tmp_path / "log", records(3))
    other = party("log.example/other", "ed25519")
    note = sign_tree_head(TreeHead(origin=other.name, size=3, root=root_of(records(3))), [other], at=AT)
    for keys in ([LOG.verifier], [LOG.verifier, other.verifier]):
        watching = Monitor(tmp_path / "monitor", origin=ORIGIN, log_keys=keys)
        with pytest.raises(VerificationError):
            watching.consider(note.to_bytes(), log)
    with pytest.raises(InputError):
        monitor.consider(b"no note", log)
    with pytest.raises(InputError, match="expected the folder of the monitor"):
        Monitor(tmp_path / "none", origin=ORIGIN, log_keys=KEYS)


def test_a_policy_may_ask_for_witnesses(tmp_path: Path) -> None:
    log = published(tmp_path / "log", records(3))
    policy = parse_policy(f"log {LOG.verifier.vkey}\nwitness w {WITNESSES[0].verifier.vkey}\nquorum w\n")
    monitor = Monitor(tmp_path, origin=ORIGIN, log_keys=KEYS, open_head=lambda note: check_tree_head(note, policy))
    with pytest.raises(VerificationError):
        monitor.observe(log)
    text = log.tree_head().rpartition(b"\n\n")[0] + b"\n"
    line = WITNESSES[0].sign(text, at=AT).to_line().encode()
    log.publish(log.tree_head() + line)
    assert monitor.observe(log).growth == "first"
    seen = monitor.seen()
    assert seen is not None
    assert len(seen.note.signatures) == 2


def test_another_log_of_the_same_policy_is_not_this_one(tmp_path: Path) -> None:
    other = party("log.example/other", "ed25519")
    policy = parse_policy(f"log {LOG.verifier.vkey}\nlog {other.verifier.vkey}\nquorum none\n")
    note = sign_tree_head(TreeHead(origin=other.name, size=3, root=root_of(records(3))), [other], at=AT)
    monitor = Monitor(tmp_path, origin=ORIGIN, log_keys=KEYS, open_head=lambda note: check_tree_head(note, policy))
    with pytest.raises(VerificationError, match=r"expected a tree head of log .*northwind.*, found one of .*other"):
        monitor.consider(note.to_bytes(), published(tmp_path / "log", records(3)))
    assert monitor.seen() is None


def test_of_each_key_that_was_checked_the_first_signature_is_kept_and_of_others_none() -> None:
    note = sign_tree_head(TreeHead(origin=ORIGIN, size=1, root=root_of(records(1))), [LOG], at=AT)
    text = note.text.encode()
    lines = [WITNESSES[0].sign(text, at=AT), WITNESSES[1].sign(text, at=AT), WITNESSES[0].sign(text, at=AT + 1)]
    whole = Note(text=note.text, signatures=(*note.signatures, *lines))
    keys = [WITNESSES[0].verifier]
    opened = open_tree_head(whole.to_bytes(), origin=ORIGIN, log_keys=[LOG.verifier], cosigners=keys)
    assert checked_note(opened).signatures == (*note.signatures, lines[0])


def head_over(entries: list[bytes]) -> SignedTreeHead:
    note = sign_tree_head(TreeHead(origin=ORIGIN, size=len(entries), root=root_of(entries)), [LOG], at=AT)
    return open_tree_head(note.to_bytes(), origin=ORIGIN, log_keys=KEYS)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None)
def test_a_fork_is_found_exactly_where_the_trees_differ(one: int, other: int, differs_at: int) -> None:
    entries, others = records(40), records(40)
    if differs_at < 40:
        others[differs_at] = b"another"
    larger = SmallTree([leaf_hash(entry) for entry in (entries[:one] if one > other else others[:other])])
    fork = find_fork(head_over(entries[:one]), head_over(others[:other]), larger.read)
    assert (fork is not None) == (differs_at < min(one, other))
    if fork is not None:
        assert parse_fork(fork.to_bytes()) == fork
        assert verify_fork(fork.to_bytes(), log_keys=KEYS).origin == ORIGIN


def honest(old: int, new: int) -> Fork:
    """A try to accuse a log that only grew, with the true path."""
    read = SmallTree([leaf_hash(entry) for entry in records(new)]).read
    path = prefix_path(read, old, new) if 0 < old < new else ()
    heads = [head_over(records(size)).note.to_bytes() for size in (old, new)]
    return Fork(smaller=heads[0], larger=heads[1], path=path)


@given(st.integers(0, 30), st.integers(0, 30), st.data())
@settings(deadline=None)
def test_an_honest_log_cannot_be_accused(one: int, other: int, data: st.DataObject) -> None:
    old, new = sorted((one, other))
    fork = honest(old, new)
    path = list(fork.path)
    tries = [path, path[:-1], [*path, bytes(32)], path[::-1], []]
    if path:
        place, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
        bent = (int.from_bytes(path[place]) ^ 1 << bit).to_bytes(32)
        tries.append([*path[:place], bent, *path[place + 1 :]])
    for attempt in tries:
        for smaller, larger in ((fork.smaller, fork.larger), (fork.larger, fork.smaller)):
            accusation = Fork(smaller=smaller, larger=larger, path=tuple(attempt)).to_bytes()
            with pytest.raises(VerificationError):
                verify_fork(accusation, log_keys=KEYS)


def test_a_proof_with_a_tree_head_that_the_log_did_not_sign_accuses_nobody() -> None:
    true = head_over(records(5)).note
    stranger = party(ORIGIN, "ed25519", 7)
    forged = sign_tree_head(TreeHead(origin=ORIGIN, size=5, root=bytes(32)), [stranger], at=AT)
    moved = Note(text=forged.text, signatures=true.signatures)
    for note in (forged, moved):
        with pytest.raises(VerificationError):
            verify_fork(Fork(smaller=true.to_bytes(), larger=note.to_bytes()).to_bytes(), log_keys=KEYS)


def test_one_log_cannot_sign_for_another() -> None:
    other = party("log.example/other", "ed25519")
    forged = TreeHead(origin=ORIGIN, size=5, root=bytes(32)).to_text()
    note = Note(text=forged, signatures=(other.sign(forged.encode()),))
    fork = Fork(smaller=head_over(records(5)).note.to_bytes(), larger=note.to_bytes())
    with pytest.raises(VerificationError):
        verify_fork(fork.to_bytes(), log_keys=[LOG.verifier, other.verifier])


def test_two_logs_are_not_one_log_with_two_trees() -> None:
    other = party("log.example/other", "ed25519")
    note = sign_tree_head(TreeHead(origin=other.name, size=5, root=bytes(32)), [other], at=AT)
    fork = Fork(smaller=head_over(records(5)).note.to_bytes(), larger=note.to_bytes())
    with pytest.raises(VerificationError):
        verify_fork(fork.to_bytes(), log_keys=[LOG.verifier, other.verifier])


GOOD = {"schema": "whorl.log-fork/1", "smaller": "a", "larger": "b", "path": []}


@pytest.mark.parametrize(
    "document",
    [
        [],
        GOOD | {"schema": "whorl.log-fork/2"},
        GOOD | {"more": 1},
        {key: value for key, value in GOOD.items() if key != "path"},
        GOOD | {"path": "a"},
        GOOD | {"path": [1]},
        GOOD | {"path": ["AAAA"]},
        GOOD | {"path": ["A" * 43 + "="] * 64},
        GOOD | {"smaller": None},
        GOOD | {"smaller": "\ud800"},
        GOOD,
    ],
)
def test_malformed_fork_files_are_refused(document: object) -> None:
    with pytest.raises(InputError):
        verify_fork(json.dumps(document).encode(), log_keys=KEYS)


def test_one_proof_is_kept_for_each_log(tmp_path: Path) -> None:
    first = keep_fork(tmp_path, honest(3, 4))
    assert keep_fork(tmp_path, honest(3, 5)) == first
    assert parse_fork(first.read_bytes()) == honest(3, 4)
