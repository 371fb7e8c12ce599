"""Logs on the disk for the tests, and a disk that fails."""

from pathlib import Path

from signing_parties import LOG, LOG_PQ, ORIGIN

from whorl.log.auditing import LogReport, verify_folder
from whorl.log.folder import LogFolder, create_log
from whorl.log.tree_heads import SignedTreeHead, open_tree_head


def write_quickly(path: Path, data: bytes) -> None:
    """As `write_durably`, without waiting for the disk: most tests need no power cut."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


class FailingDisk:
    """Writes until the turn of one write, and fails there: before it, or after it as a crash on the way back would."""

    def __init__(self, *, turn: int, after: bool = False) -> None:
        self.turn = turn
        self.after = after
        self.written: list[Path] = []

    def __call__(self, path: Path, data: bytes) -> None:
        failing = len(self.written) == self.turn
        if failing and not self.after:
            raise OSError(28, "No space left on device")
        write_quickly(path, data)
        self.written.append(path)
        if failing:
            raise OSError(5, "Input/output error")


def new_log(path: Path, entries: list[bytes] | None = None, *, origin: str = ORIGIN) -> LogFolder:
    """A log of these entries, nothing signed."""
    log = create_log(path, origin=origin, write=write_quickly)
    log.append(entries or [])
    return log


def opened(note: bytes) -> SignedTreeHead:
    """A tree head of the log of the tests."""
    return open_tree_head(note, origin=ORIGIN, log_keys=[LOG.verifier, LOG_PQ.verifier])


def audited(log: LogFolder) -> LogReport:
    """What an audit by the operator finds."""
    return verify_folder(log, open_head=opened)


def files_of(path: Path) -> dict[str, bytes]:
    """Every file of a log but its lock."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def flip(path: Path, bit: int) -> None:
    """Turn over one bit, counted from the file's first."""
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
