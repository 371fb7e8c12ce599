"""Before each signature the files are asked again: damage, set-back and forks are refused, and nothing is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kept_logs import FailingDisk, audited, files_of, flip, new_log, opened
from signing_parties import AT, LOG, LOG_PQ, ORIGIN, party

from whorl.core.errors import VerificationError
from whorl.log.auditing import verify_log
from whorl.log.folder import LogFolder
from whorl.log.notes import Note
from whorl.log.signing import sign_next
from whorl.log.tree_heads import open_tree_head


def entries(count: int, start: int = 0) -> list[bytes]:
    return [b"entry %d" % number for number in range(start, start + count)]


@pytest.fixture
def log(tmp_path: Path) -> LogFolder:
    """A log of 700 entries of which 600 were signed and published."""
    log = new_log(tmp_path / "log", entries(600))
    log.publish(signed(log).to_bytes())
    log.append(entries(100, 600))
    return log


def signed(log: LogFolder, *, now: int = AT) -> Note:
    return sign_next(log, [LOG, LOG_PQ], last_signed=log.path.parent / "last-signed", now=now)


def refused(log: LogFolder, match: str) -> None:
    """Signing is refused, and changes nothing."""
    before = files_of(log.path.parent)
    with pytest.raises(VerificationError, match=match) as refusal:
        signed(log)
    assert "Nothing was signed." in str(refusal.value) or "restore the log" in str(refusal.value)
    assert files_of(log.path.parent) == before


def test_what_is_signed_is_the_stored_tree(log: LogFolder) -> None:
    note = signed(log)
    head = open_tree_head(note.to_bytes(), origin=ORIGIN, log_keys=[LOG.verifier, LOG_PQ.verifier])
    assert (head.head.size, head.head.root) == (700, log.root)
    assert (log.path.parent / "last-signed").read_bytes() == note.to_bytes()
    log.publish(note.to_bytes())
    assert audited(log).problems == ()


def test_an_idle_log_and_an_empty_log_are_signed_too(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log")
    assert opened(signed(log).to_bytes()).head.size == 0
    log.append(entries(1))
    assert [opened(signed(log, now=AT + more).to_bytes()).head.size for more in (1, 2)] == [1, 1]


def test_time_does_not_go_back_when_the_clock_does(log: LogFolder) -> None:
    keys = [LOG.verifier, LOG_PQ.verifier]
    for now, stated in [(AT + 5, AT + 5), (AT - 10_000, AT + 5), (AT + 6, AT + 6)]:
        head = open_tree_head(signed(log, now=now).to_bytes(), origin=ORIGIN, log_keys=keys)
        assert [one.at for one in head.signed] == [None, stated]


EDGE_FILES = ["tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/002.p/188"]


@pytest.mark.parametrize("victim", EDGE_FILES)
@pytest.mark.parametrize("bit", [0, 77, 8 * 30])
def test_a_flipped_bit_in_what_is_new_is_refused(log: LogFolder, victim: str, bit: int) -> None:
    flip(log.path / victim, bit)
    refused(log, r"\.p/188: |do not give the root of the state")


@pytest.mark.parametrize("victim", EDGE_FILES)
@pytest.mark.parametrize("damage", ["removed", "cut", "emptied", "extended"])
def test_missing_and_torn_files_are_refused(log: LogFolder, victim: str, damage: str) -> None:
    path = log.path / victim
    data = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:-1], "emptied": b"", "extended": data + b"\0"}[damage])
    refused(log, victim)


OLD_FILES = {f"tile/{level}/{name}" for level in ("0", "entries") for name in ("000", "001", "002.p/88")} | {
    "checkpoint"
}


def test_every_bit_of_every_file_is_covered_by_signing_or_by_the_audit(log: LogFolder) -> None:
    """Old full tiles and bundles are not read before each signature: the audit reads those."""
    whole = files_of(log.path)
    for name, data in whole.items():
        for bit in {0, 8 * len(data) // 2, 8 * len(data) - 1}:
            flip(log.path / name, bit)
            try:
                signed(log)
            except VerificationError:
                pass
            else:
                assert name in OLD_FILES
                assert audited(log).problems
            (log.path / name).write_bytes(data)


def test_the_audit_alone_finds_a_flip_in_every_file(log: LogFolder) -> None:
    log.publish(signed(log).to_bytes())
    assert audited(log).problems == ()
    for name, data in files_of(log.path).items():
        for bit in {0, 8 * len(data) // 2, 8 * len(data) - 1}:
            flip(log.path / name, bit)
            report = audited(log)
            assert report.problems, (name, bit)
            assert any(name.split("/")[-1] in one or "tile" in one for one in report.problems)
            (log.path / name).write_bytes(data)


def test_a_flip_in_what_was_signed_last_is_refused(log: LogFolder) -> None:
    path = log.path.parent / "last-signed"
    sign_next(log, [LOG], last_signed=path, now=AT)
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 5):
        flip(path, bit)
        with pytest.raises(VerificationError, match="Nothing was signed"):
            sign_next(log, [LOG], last_signed=path, now=AT)
        path.write_bytes(data)


def test_an_older_copy_of_the_log_is_refused(log: LogFolder, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(log.path, backup)
    log.append(entries(50, 700))
    signed(log)
    shutil.rmtree(log.path)
    shutil.copytree(backup, log.path)
    shutil.rmtree(backup)
    refused(log, r"expected at least 750 entries, .* found 700: an older copy of the log was put back")
    # the way out that the message names
    log.append(entries(50, 700))
    assert opened(signed(log).to_bytes()).head.size == 750


def test_a_log_that_went_another_way_is_refused(log: LogFolder, tmp_path: Path) -> None:
    """An older copy is put back and other entries are appended, past the size that was signed."""
    shutil.rmtree(log.path)
    other = new_log(log.path, [*entries(599), b"another", *entries(400, 600)])
    refused(other, "is not what the stored tree of size 1000 starts with")
    shutil.rmtree(log.path)
    same_size = new_log(log.path, [*entries(599), b"another"])
    refused(same_size, "is not what the stored tree of size 600 starts with")


def test_a_lost_memory_is_not_taken_for_a_new_log(log: LogFolder) -> None:
    last_signed = log.path.parent / "last-signed"
    note = last_signed.read_bytes()
    last_signed.unlink()
    refused(log, "found none, though the log has published one")
    last_signed.write_bytes(note)
    assert opened(signed(log).to_bytes()).head.size == 700


def test_a_memory_from_an_old_backup_is_refused_when_more_was_published(log: LogFolder) -> None:
    last_signed = log.path.parent / "last-signed"
    old = last_signed.read_bytes()
    log.publish(signed(log).to_bytes())
    last_signed.write_bytes(old)
    refused(log, "found one of size 600, though one of 700 is published")
    last_signed.write_bytes(log.tree_head())
    assert opened(signed(log).to_bytes()).head.size == 700


def test_a_memory_of_another_log_or_by_an_unknown_key_is_refused(log: LogFolder, tmp_path: Path) -> None:
    other = new_log(tmp_path / "other" / "log", entries(3), origin="log.example/other")
    stranger = party("log.example/other", "ed25519")
    last_signed = log.path.parent / "last-signed"
    note = sign_next(other, [stranger], last_signed=tmp_path / "third", now=AT)
    last_signed.write_bytes(note.to_bytes())
    refused(log, "expected a signature by one of 2 known keys")


def test_a_new_key_goes_on_where_the_former_one_is_named(log: LogFolder) -> None:
    last_signed = log.path.parent / "last-signed"
    new = party(ORIGIN, "ed25519", 2)
    sign_next(log, [LOG], last_signed=last_signed, now=AT)
    with pytest.raises(VerificationError, match="If the log's key is new, name the former one"):
        sign_next(log, [new], last_signed=last_signed, now=AT)
    note = sign_next(log, [new], last_signed=last_signed, now=AT, former_keys=[LOG.verifier])
    assert open_tree_head(note.to_bytes(), origin=ORIGIN, log_keys=[new.verifier]).head.size == 700


@pytest.mark.parametrize("after", [False, True])
def test_a_signature_that_could_not_be_remembered_is_not_given_out(log: LogFolder, after: bool) -> None:
    last_signed = log.path.parent / "last-signed"
    disk = FailingDisk(turn=0, after=after)
    with pytest.raises(OSError, match=r"No space|Input/output"):
        sign_next(log, [LOG], last_signed=last_signed, now=AT, write=disk)
    assert opened(last_signed.read_bytes()).head.size == (700 if after else 600)
    assert opened(signed(log).to_bytes()).head.size == 700


def test_signing_reads_what_is_new_and_not_the_whole_log(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log", entries(3000))
    signed(log)
    log.append(entries(300, 3000))
    read: list[str] = []
    counted(log, read)
    signed(log)
    assert {name for name in read if name.startswith("tile/entries")} == {
        "tile/entries/011",
        "tile/entries/012.p/228",
    }
    assert len(read) < 12


def counted(log: LogFolder, read: list[str]) -> None:
    """Note the paths of the tiles and bundles that are read from here on."""
    inner: Callable[..., tuple[bytes, bool]] = log._read

    def noted(address: object, max_bytes: int) -> tuple[bytes, bool]:
        read.append(address.path)  # type: ignore[attr-defined]
        return inner(address, max_bytes)

    log._read = noted  # type: ignore[method-assign]


def test_readers_see_the_tree_head_that_was_published(log: LogFolder) -> None:
    report = verify_log(log, open_head=opened)
    assert (report.size, report.problems) == (600, ())
