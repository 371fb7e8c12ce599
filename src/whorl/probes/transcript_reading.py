"""Reading a transcript: one line in memory at a time, every line checked before the next is read.

The rules are those of ``docs/specs/transcript.md``. A transcript is untrusted: whoever hands it in may have written it.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, BinaryIO, Final, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from whorl.core.errors import InputError
from whorl.endpoints.exchange import Reply
from whorl.probes.oddities import Oddities
from whorl.probes.transcript import Answered, Asked, GivenUp, Header, Seal, Transcript, questions_of

FRAME: Final = b'{"chain":"sha256:%s","entry":'
START: Final = hashlib.sha256(b"whorl.transcript/1").digest()
MAX_HEADER_BYTES: Final = 64 << 20
MAX_LINE_BYTES: Final = 32 << 20
MAX_QUESTIONS: Final = 1_000_000
LINES_PER_QUESTION: Final = 100  # one answer; the rest is what resumed runs gave up
MAX_COUNT: Final = 2**53  # beyond it an integer has no canonical JSON form

Entry: TypeAlias = Answered | GivenUp | Seal

_FRAME_START: Final = b'{"chain":"sha256:'
_FRAME_BYTES: Final = len(FRAME % (b"0" * 64))
_ENTRY: Final = TypeAdapter[Entry](Annotated[Entry, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One complete line: what it says, its chain value, and the offset in the file at which it starts and ends."""

    entry: Header | Entry
    chain: bytes
    start: int
    end: int


def read_transcript(path: Path) -> Transcript:
    """A whole transcript.

    Raises
    ------
    InputError
        If the file is no transcript, or any line but a torn last one is broken, altered or against the rules; the
        message names the line. A torn last line, which a crash leaves, is dropped.
    """
    with open_checked(path) as file:
        lines = checked_lines(file, path)
        first = next(lines)
        assert isinstance(first.entry, Header)
        answered: dict[Asked, Reply] = {}
        given_up: dict[Asked, GivenUp] = {}
        oddities = Oddities(first.entry.battery, asked_for=first.entry.endpoint.model)
        seal: Seal | None = None
        chain = first.chain
        for line in lines:
            chain = line.chain
            match line.entry:
                case Answered(item=item, draw=draw, reply=reply) as entry:
                    answered[item, draw] = reply
                    given_up.pop((item, draw), None)
                    oddities.add(entry)
                case GivenUp(item=item, draw=draw) as entry:
                    given_up[item, draw] = entry
                case Seal() as entry:
                    seal = entry
    return Transcript(
        header=first.entry,
        answered=MappingProxyType(answered),
        given_up=MappingProxyType(given_up),
        seal=seal,
        digest=f"sha256:{chain.hex()}",
        flags=oddities.flags(),
    )


def is_transcript(path: Path) -> bool:
    """Whether the file starts like a transcript. Says nothing of the rest, and reads a few bytes."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_FRAME_BYTES + 1)
    except OSError:
        return False
    return len(start) > _FRAME_BYTES and _frame_of(start) is not None


@contextmanager
def open_checked(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading, never waiting for a pipe.

    Raises
    ------
    InputError
        If there is none, or it is something else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{path}: expected a transcript, which cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path}: expected a transcript, found a folder, pipe or device")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def checked_lines(file: BinaryIO, path: Path) -> Iterator[Line]:
    """Every complete line of a transcript, the header first.

    Parameters
    ----------
    file : from its beginning
    path : what messages call it

    Raises
    ------
    InputError
        If there is no header, or a line breaks a rule. Lines already given were right as far as they went.
    """
    state = _State(path)
    limit = MAX_HEADER_BYTES
    while data := file.readline(limit + 1):
        state.number += 1
        if not data.endswith(b"\n"):
            if len(data) > limit:
                raise state.refusal(f"expected a line of at most {limit} bytes, found a longer one")
            if state.header is None or state.seal is not None:
                what = "a whole header" if state.header is None else "nothing after the seal"
                raise state.refusal(f"expected {what}, found a line that is cut off")
            return
        yield state.checked(data)
        limit = MAX_LINE_BYTES
    if state.header is None:
        raise InputError(f"{path}: expected a transcript, found an empty file")


@dataclass(slots=True)
class _State:
    """What the lines read so far allow of the next one."""

    path: Path
    number: int = 0
    offset: int = 0
    chain: bytes = START
    header: Header | None = None
    draws: dict[str, int] = field(default_factory=dict)
    most_lines: int = 0
    answered: set[Asked] = field(default_factory=set)
    given_up: set[Asked] = field(default_factory=set)
    seal: Seal | None = None

    def refusal(self, problem: str) -> InputError:
        return InputError(
            f"{self.path}: line {self.number}: {problem}; nothing of the file was used. Get the file again from where "
            "it was made"
        )

    def checked(self, data: bytes) -> Line:
        if self.seal is not None:
            raise self.refusal("expected nothing after the seal, found another line")
        told = _frame_of(data)
        if told is None or not data.endswith(b"}\n"):
            raise self.refusal('expected {"chain":"sha256:...","entry":{...}}, found something else')
        entry_bytes = data[_FRAME_BYTES:-2]
        self.chain = next_chain(self.chain, entry_bytes)
        if self.chain != told:
            raise self.refusal(
                "its chain value does not follow from the lines up to it: a line was altered, or is missing"
            )
        start, self.offset = self.offset, self.offset + len(data)
        entry = self._parsed(entry_bytes)
        if isinstance(entry, Header):
            self._accept_header(entry)
        else:
            self._accept(entry)
        return Line(entry=entry, chain=self.chain, start=start, end=self.offset)

    def _parsed(self, data: bytes) -> Header | Entry:
        try:
            entry = Header.model_validate_json(data) if self.header is None else _ENTRY.validate_json(data)
            json.loads(data, object_pairs_hook=_unique, parse_int=_counted)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part)[:40] for part in first["loc"][:6])
            raise self.refusal(
                f"expected an entry of whorl.transcript/1; {place or 'the entry'}: {first['msg'][:200]}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise self.refusal(f"expected plain JSON, found {str(error)[:200]}") from None
        return entry

    def _accept_header(self, header: Header) -> None:
        if (questions := questions_of(header.battery)) > MAX_QUESTIONS:
            raise self.refusal(f"expected a battery of at most {MAX_QUESTIONS} questions, found {questions}")
        self.header = header
        self.draws = {item.id: item.draws for item in header.battery.items}
        self.most_lines = most_lines(header)

    def _accept(self, entry: Entry) -> None:
        if self.number > self.most_lines:
            raise self.refusal(f"expected at most {self.most_lines} lines for this battery, found more")
        if isinstance(entry, Seal):
            self._accept_seal(entry)
            return
        asked = entry.item, entry.draw
        if entry.draw >= self.draws.get(entry.item, 0):
            raise self.refusal(
                f"expected a question of the battery, found item {entry.item[:100]!r}, draw {entry.draw}"
            )
        if asked in self.answered:
            raise self.refusal(
                f"expected each question to be answered once, found item {entry.item!r}, draw {entry.draw} again"
            )
        if isinstance(entry, Answered):
            self.answered.add(asked)
            self.given_up.discard(asked)
        else:
            self.given_up.add(asked)

    def _accept_seal(self, seal: Seal) -> None:
        found = len(self.answered), len(self.given_up)
        if (seal.answered, seal.given_up) != found:
            raise self.refusal(
                f"the seal counts {seal.answered} answered and {seal.given_up} given up, found "
                f"{found[0]} and {found[1]}"
            )
        self.seal = seal


def most_lines(header: Header) -> int:
    """How many lines a transcript may have, so that reading one ends."""
    return 2 + LINES_PER_QUESTION * questions_of(header.battery)


def next_chain(before: bytes, entry: bytes) -> bytes:
    """Chain value of a line: SHA-256 of the chain value before it and the entry's bytes as they stand in the file."""
    return hashlib.sha256(before + entry).digest()


def _frame_of(data: bytes) -> bytes | None:
    """The chain value that a line tells, or None if it does not start as every line must."""
    digits = data[len(_FRAME_START) : len(_FRAME_START) + 64]
    if any(digit not in b"0123456789abcdef" for digit in digits) or not data.startswith(FRAME % digits):
        return None
    return bytes.fromhex(digits.decode()) if len(digits) == 64 else None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key that stands twice in one object")


def _counted(digits: str) -> None:
    if len(digits) > len(str(MAX_COUNT)) or abs(int(digits)) > MAX_COUNT:
        raise ValueError("a whole number beyond 2^53")
