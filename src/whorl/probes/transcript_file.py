"""Writing a transcript: every answer is in the file before the next question is asked.

A line is handed to the operating system at once, so it survives the death of this process; `TranscriptFile.sync` makes
it survive a power cut, and is called about once a second. One writer at a time, by an advisory lock on the file.
"""

import fcntl
import os
import stat
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from pydantic_core import PydanticSerializationError

from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.probes.oddities import Oddities
from whorl.probes.transcript import Answered, Asked, Ending, GivenUp, Header, Seal, questions_of
from whorl.probes.transcript_reading import (
    FRAME,
    MAX_HEADER_BYTES,
    MAX_LINE_BYTES,
    MAX_QUESTIONS,
    START,
    Line,
    checked_lines,
    most_lines,
    next_chain,
)

_FIRST_BYTES: Final = FRAME[: FRAME.index(b"%s")]
_FRAME_BYTES: Final = len(FRAME) + 64


class TranscriptFile:
    """A transcript that is being written; made by `start_transcript` or `continue_transcript`, a context manager.

    Attributes
    ----------
    answered : questions that have an answer
    given_up : questions that have none and were given up at least once
    seal : how the last run ended; None from the first line that is added
    """

    def __init__(self, path: Path, file: BinaryIO, header: Header) -> None:
        self.path = path
        self.header = header
        self.answered: set[Asked] = set()
        self.given_up: set[Asked] = set()
        self.seal: Seal | None = None
        self._file = file
        self._chain = START
        self._end = 0
        self._before_seal = self._chain, self._end
        self._lines = 0
        self._most_lines = most_lines(header)
        self._unsynced = False
        self._syncing = threading.Lock()
        self._oddities = Oddities(header.battery, asked_for=header.endpoint.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def digest(self) -> str:
        """Chain value of the last line; the content address once the file is sealed."""
        return f"sha256:{self._chain.hex()}"

    @property
    def flags(self) -> tuple[str, ...]:
        """What is odd about the endpoint so far."""
        return self._oddities.flags()

    def add(self, entry: Answered | GivenUp) -> Answered | GivenUp:
        """Append what became of one question; the seal of an earlier run goes.

        Returns
        -------
        The entry as it was written: a reply that is too large for one line is given up as malformed.

        Raises
        ------
        InputError
            If the file holds as many lines as may be read again.
        OSError
            If it could not be written; what is there of the line is a torn one.
        """
        if (entry.item, entry.draw) in self.answered:
            raise ValueError(f"item {entry.item}, draw {entry.draw} has an answer already")
        after = self._lines - (self.seal is not None) + 2  # with this line and a seal
        if after > self._most_lines:
            raise InputError(
                f"{self.path}: holds {self._most_lines} lines, the most for its battery, because the same questions "
                "were given up over and over; find out why and start another file"
            )
        data = _entry_bytes(entry)
        if len(data) + _FRAME_BYTES > MAX_LINE_BYTES:
            detail = f"the reply takes {len(data)} bytes, more than the {MAX_LINE_BYTES} that a transcript keeps"
            entry = GivenUp(item=entry.item, draw=entry.draw, trouble="malformed", detail=detail)
            data = _entry_bytes(entry)
        self._unseal()
        self._append(data)
        self._remember(entry)
        return entry

    def end(self, reason: Ending) -> Seal:
        """Append the seal and see it on the disk. A file that is sealed already and the same stays as it is."""
        seal = Seal(reason=reason, answered=len(self.answered), given_up=len(self.given_up), flags=self.flags)
        if self.seal is not None and self.seal.reason == reason:
            return self.seal
        self._unseal()
        self._before_seal = self._chain, self._end
        self._append(_entry_bytes(seal))
        self.seal = seal
        self.sync()
        return seal

    def sync(self) -> None:
        """Return when everything added so far is on the disk. May be called from another thread than `add`."""
        with self._syncing:
            if self._unsynced:
                self._unsynced = False
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file and its lock."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def _unseal(self) -> None:
        if self.seal is not None:
            self._chain, self._end = self._before_seal
            self._lines -= 1
            self.seal = None

    def _append(self, entry: bytes) -> None:
        """Write one line at the end of the whole lines, in place of what a crash, a full disk or an old seal left."""
        chain = next_chain(self._chain, entry)
        line = FRAME % chain.hex().encode() + entry + b"}\n"
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size != self._end:
            os.ftruncate(descriptor, self._end)
        written = 0
        while written < len(line):
            written += os.pwrite(descriptor, line[written:], self._end + written)
        self._chain = chain
        self._end += len(line)
        self._lines += 1
        self._unsynced = True

    def _remember(self, entry: Answered | GivenUp) -> None:
        asked = entry.item, entry.draw
        if isinstance(entry, Answered):
            self.answered.add(asked)
            self.given_up.discard(asked)
            self._oddities.add(entry)
        else:
            self.given_up.add(asked)

    def _take_over(self, line: Line) -> None:
        """Count a line that an earlier run left."""
        if isinstance(line.entry, Seal):
            self.seal, self._before_seal = line.entry, (self._chain, self._end)
        elif not isinstance(line.entry, Header):
            self._remember(line.entry)
        self._chain, self._end = line.chain, line.end
        self._lines += 1


def start_transcript(path: Path, header: Header) -> TranscriptFile:
    """Make a transcript that holds its header.

    Raises
    ------
    InputError
        If something is at ``path`` already, another run is writing there, or the battery is larger than a transcript
        may hold.
    """
    data = _entry_bytes(header)
    questions = questions_of(header.battery)
    if len(data) + _FRAME_BYTES > MAX_HEADER_BYTES or questions > MAX_QUESTIONS:
        raise InputError(
            f"battery {header.battery.name}: expected at most {MAX_QUESTIONS} questions in {MAX_HEADER_BYTES} bytes, "
            f"found {questions} in {len(data)}; ask for a smaller one"
        )
    file = _locked(path, os.O_CREAT)
    try:
        if not _holds_nothing(file):
            raise InputError(f"{path}: exists already and was left alone; choose another place or remove it first")
        transcript = TranscriptFile(path, file, header)
        transcript._append(data)
        transcript.sync()
        _sync_folder(path.parent)
    except BaseException:
        file.close()
        raise
    return transcript


def continue_transcript(path: Path) -> TranscriptFile:
    """Open what an earlier run left, to add to it. The file stays as it is until something is added.

    Raises
    ------
    InputError
        If it is no transcript, is damaged anywhere but in a torn last line, or another run is writing to it.
    """
    file = _locked(path)
    try:
        lines = checked_lines(file, path)
        first = next(lines)
        assert isinstance(first.entry, Header)
        transcript = TranscriptFile(path, file, first.entry)
        transcript._take_over(first)
        for line in lines:
            transcript._take_over(line)
    except BaseException:
        file.close()
        raise
    return transcript


def is_unwritten(path: Path) -> bool:
    """Whether a transcript may be started here: there is no file, an empty one, or a header that a crash cut off."""
    if not path.exists():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _holds_nothing(file)


def _holds_nothing(file: BinaryIO) -> bool:
    start = file.read(_FRAME_BYTES)
    cut_off = start.startswith(_FIRST_BYTES) or _FIRST_BYTES.startswith(start)
    while cut_off and start:
        cut_off = b"\n" not in start
        start = file.read(1 << 20)
    return cut_off


def _locked(path: Path, more_flags: int = 0) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | more_flags, 0o666)
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be written, found: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError(f"{path}: expected a regular file, found a pipe or device; choose another place")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(
            f"{path}: another run is writing to this transcript; wait until it has ended or choose another place"
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "r+b")


def _sync_folder(folder: Path) -> None:
    """Make the file's name survive a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entry_bytes(entry: Document) -> bytes:
    try:
        return entry.model_dump_json().encode()
    except PydanticSerializationError:  # half of a surrogate pair, which JSON can hold and UTF-8 cannot
        return type(entry).model_validate(_without_surrogates(entry.model_dump())).model_dump_json().encode()


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {_without_surrogates(name): _without_surrogates(member) for name, member in value.items()}
        case list() | tuple():
            return tuple(_without_surrogates(member) for member in value)
        case _:
            return value
