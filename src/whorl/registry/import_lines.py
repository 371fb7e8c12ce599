"""Lines of an import, each a signed entry: read in pieces, parsed, and their signatures checked ahead of admission.

What takes the most time needs no turn: several processes do it, each with its own look into the database. They say of
a line what it holds, that the log has it already, or what is wrong with it; the rules are asked by the one writer.
"""

import base64
import binascii
import gc
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final, TypeAlias

from pydantic import Field, ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document
from whorl.entries.claimants import issuer_keys
from whorl.entries.envelope import MAX_ENVELOPE_BYTES, Envelope, signed_by
from whorl.entries.handling import CLEAR
from whorl.entries.keys import PublicKey
from whorl.entries.kinds import HashHex, IssuerPublic, Key, Organisation
from whorl.entries.statement import SignedEntry, Statement
from whorl.registry.database import Database, open_database
from whorl.registry.entry_rows import entered_among
from whorl.registry.key_rows import find_keys
from whorl.registry.submissions import Held, Opened, RecordingKey, Submission, opened

MAX_LINE_BYTES: Final = MAX_ENVELOPE_BYTES * 4 // 3 + 1024
LINES_OF_CHUNK: Final = 500
BYTES_OF_CHUNK: Final = 1 << 20
_CYCLES: Final = 200_000  # objects more than before, at which garbage is looked for; a chunk leaves hardly any
_KNOWN_KEYS: Final = 20_000


class EntryLine(Document):
    """One line: a signed entry, as ``POST /api/entries`` takes it."""

    envelope: Annotated[str, Field(min_length=1, description="base64 of the DSSE envelope, as the issuer signed it")]
    salt: HashHex
    sealed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Lines that follow each other, and the place in the file behind the last of them.

    Parameters
    ----------
    lines : number, from 1, and text; None where it is longer than any entry
    """

    lines: tuple[tuple[int, bytes | None], ...]
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that cannot be read, and why."""

    number: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLine:
    """A line whose entry the log has already."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyLine:
    """A line whose entry is to be entered; ``digest`` is the hash of its leaf, None where it is sealed."""

    number: int
    opened: Opened
    digest: bytes | None


Line: TypeAlias = BadLine | KnownLine | ReadyLine
Packed: TypeAlias = tuple[Any, ...]
"""A line in few objects: between processes, objects cost more than bytes."""


def chunks_of(file: BinaryIO) -> Iterator[Chunk]:
    """Divide a file; blank lines are counted and left out, and no line is held whose end is not near."""
    lines: list[tuple[int, bytes | None]] = []
    number = size = end = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        end += len(line)
        too_long = len(line) > MAX_LINE_BYTES
        while too_long and not line.endswith(b"\n") and (line := file.readline(MAX_LINE_BYTES)):
            end += len(line)
        if too_long or not line.isspace():
            lines.append((number, None if too_long else line))
            size += 0 if too_long else len(line)
        if len(lines) == LINES_OF_CHUNK or size >= BYTES_OF_CHUNK:
            yield Chunk(lines=tuple(lines), end=end)
            lines, size = [], 0
    yield Chunk(lines=tuple(lines), end=end)


class LineOpener:
    """Opens lines for one registry, whose keys it looks up.

    Parameters
    ----------
    origin : the registry's own log
    """

    def __init__(self, database: Database, *, origin: str) -> None:
        self._database = database
        self._origin = origin
        self._held: list[Held] = []
        self._keys: dict[str, RecordingKey] = {}

    def open(self, chunk: Chunk) -> list[Line]:
        """Parse the lines and check the signatures by keys that are known so far."""
        lines = [_parsed(number, line) for number, line in chunk.lines]
        ready = [line for line in lines if isinstance(line, ReadyLine)]
        there = self._look_up(ready)
        return [self._checked(line, there) if isinstance(line, ReadyLine) else line for line in lines]

    def _look_up(self, ready: Sequence[ReadyLine]) -> frozenset[bytes]:
        """Learn the keys that these lines name, and which of them are in the log."""
        if len(self._keys) > _KNOWN_KEYS:
            self._keys.clear()
        wanted: set[bytes] = set()
        for entry in (line.opened.entry for line in ready):
            assert isinstance(entry, SignedEntry)
            if entry.statement.issuer.hex() not in self._keys:
                wanted.update(bytes.fromhex(key_id) for key_id, _ in entry.envelope.signatures)
            if isinstance(entry.statement.body, Organisation):
                self._learn(entry.statement.body.roots)
            elif isinstance(entry.statement.body, Key):
                self._learn([entry.statement.body.public])
        with self._database.reading() as connection:
            for known in find_keys(connection, sorted(wanted), origin=self._origin).values():
                self._know(known.public)
            digests = [line.digest for line in ready if line.digest is not None]
            return entered_among(connection, digests, origin=self._origin)

    def _learn(self, stated: Sequence[IssuerPublic]) -> None:
        """Know keys that a line states: a key's id is that of no other, whoever states it."""
        for public in stated:
            try:
                self._know(issuer_keys(public))
            except InputError:  # whoever enters it will say so
                continue

    def _know(self, keys: Sequence[PublicKey]) -> None:
        for key in keys:
            recording = RecordingKey(algorithm=key.algorithm, public=key.public, held=self._held)
            self._keys[key.id.hex()] = recording

    def _checked(self, line: ReadyLine, there: frozenset[bytes]) -> Line:
        if line.digest in there:
            return KnownLine(number=line.number)
        entry = line.opened.entry
        assert isinstance(entry, SignedEntry)
        self._held.clear()
        keys = [self._keys[key_id] for key_id, _ in entry.envelope.signatures if key_id in self._keys]
        try:
            signed_by(entry.envelope, keys)
        except VerificationError:  # whoever enters it finds the same, and says so
            return line
        checked = Opened(
            submission=line.opened.submission, entry=entry, commit=line.opened.commit, held=tuple(self._held)
        )
        return ReadyLine(number=line.number, opened=checked, digest=line.digest)


def _parsed(number: int, line: bytes | None) -> BadLine | ReadyLine:
    try:
        parsed = opened(_submission(line))
    except InputError as problem:
        return BadLine(number=number, problem=str(problem))
    if not isinstance(parsed.entry, SignedEntry):
        return BadLine(number=number, problem=str(parsed.entry))
    digest = None if parsed.submission.sealed else parsed.entry.leaf_of(parsed.commit).hash
    return ReadyLine(number=number, opened=parsed, digest=digest)


def _submission(line: bytes | None) -> Submission:
    if line is None:
        raise InputError(f"expected an entry in at most {MAX_LINE_BYTES} bytes, found a longer line")
    try:
        read = EntryLine.model_validate_json(line)
        envelope = base64.b64decode(read.envelope, validate=True)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))[:100] or "the line"
        raise InputError(
            f"expected a JSON object with envelope and salt, found fault with {where}: {problem['msg'][:200]}"
        ) from None
    except binascii.Error as error:
        raise InputError(f"expected the envelope in base64, found fault with it: {error}") from None
    return Submission(envelope=envelope, salt=bytes.fromhex(read.salt), sealed=read.sealed)


# What runs in a process of its own. There it is used by one thread, and lasts as long as the process.
_opener: LineOpener | None = None


def begin(url: str, origin: str) -> None:
    """Make this process one that opens lines for the registry at a database's URL."""
    global _opener
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who began it hears of it, and ends this
    _opener = LineOpener(open_database(url, create=False), origin=origin)
    gc.freeze()  # what is here from the start stays
    gc.set_threshold(_CYCLES)


def open_packed(chunk: Chunk) -> list[Packed]:
    """`LineOpener.open` in such a process."""
    assert _opener is not None
    return [_packed(line) for line in _opener.open(chunk)]


def _packed(line: Line) -> Packed:
    if isinstance(line, BadLine):
        return line.number, line.problem
    if isinstance(line, KnownLine):
        return (line.number,)
    submission, entry = line.opened.submission, line.opened.entry
    assert isinstance(entry, SignedEntry)
    said = entry.statement
    return (
        line.number,
        submission.envelope,
        submission.salt,
        submission.sealed,
        line.digest,
        line.opened.commit,
        line.opened.held,
        entry.envelope.payload,
        entry.envelope.signatures,
        (
            said.kind,
            said.name,
            said.digest,
            said.log,
            said.issuer,
            said.sequence,
            said.previous,
            said.target,
            said.issued_at,
        ),
        None if said.handling == CLEAR else said.handling,
        said.after,
        said.body,
    )


def unpacked(packed: Packed) -> Line:
    """The line that another process opened."""
    if len(packed) == 1:
        return KnownLine(number=packed[0])
    if len(packed) == 2:
        return BadLine(number=packed[0], problem=packed[1])
    number, envelope, salt, sealed, digest, commit, held, payload, signatures, said, handling, after, body = packed
    kind, name, subject, log, issuer, sequence, previous, target, issued_at = said
    statement = Statement(
        kind=kind,
        name=name,
        digest=subject,
        log=log,
        issuer=issuer,
        sequence=sequence,
        previous=previous,
        target=target,
        issued_at=issued_at,
        handling=CLEAR if handling is None else handling,
        after=after,
        body=body,
    )
    entry = SignedEntry(
        envelope_bytes=envelope,
        envelope=Envelope(payload=payload, signatures=signatures),
        statement=statement,
    )
    submission = Submission(envelope=envelope, salt=salt, sealed=sealed)
    return ReadyLine(
        number=number, opened=Opened(submission=submission, entry=entry, commit=commit, held=held), digest=digest
    )
