"""Signed notes (C2SP signed-note): a text, and the lines of those who signed it.

Nothing in a note is trusted until `open_note` has checked it against keys that were known beforehand.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import (
    MAX_NOTE_BYTES,
    check_text,
    decoded_text,
    parse_base64,
    shown,
)
from whorl.log.keys import KEY_ID_BYTES, Signature, Verifier

MAX_SIGNATURES: Final = 64
_DASH: Final = "— "


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text that ends with a newline, and 1 to `MAX_SIGNATURES` signatures, none of them checked.

    ``parse_note(note.to_bytes()) == note`` for every note that can be built.
    """

    text: str
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        check_text(self.text, what="note")
        if not self.text.endswith("\n"):
            raise InputError(f"note: expected a text that ends with a newline, found {shown(self.text)}")
        if not 0 < len(self.signatures) <= MAX_SIGNATURES:
            raise InputError(f"note: expected 1 to {MAX_SIGNATURES} signatures, found {len(self.signatures)}")
        size = len(self.to_bytes())
        if size > MAX_NOTE_BYTES:
            raise InputError(f"note: expected at most {MAX_NOTE_BYTES} bytes, found {size}")

    def to_bytes(self) -> bytes:
        """The note as it is stored and sent."""
        return f"{self.text}\n".encode() + signature_lines(self.signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A key that signed, and the time its cosignature states in POSIX seconds; None where it states none."""

    verifier: Verifier
    at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedNote:
    """A text that known keys signed; each key once, in the order of their first lines."""

    text: str
    signed: tuple[Signed, ...]


def parse_note(data: bytes) -> Note:
    """Read a note; whether its signatures hold is for `open_note` to say.

    Raises
    ------
    InputError
        If it is not exactly of the format, larger than `MAX_NOTE_BYTES`, or has more signatures than `MAX_SIGNATURES`.
    """
    whole = decoded_text(data, what="note", max_bytes=MAX_NOTE_BYTES)
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines:
        raise InputError("note: expected a text, an empty line and signature lines, found no signature lines")
    return Note(text=f"{text}\n", signatures=_parse_lines(lines))


def parse_signature_lines(data: bytes) -> tuple[Signature, ...]:
    """Read signature lines alone, as a witness answers with them (tlog-witness).

    Raises
    ------
    InputError
        If there is none, there are more than `MAX_SIGNATURES`, or one is malformed.
    """
    return _parse_lines(decoded_text(data, what="signature lines", max_bytes=MAX_NOTE_BYTES))


def signature_lines(signatures: Iterable[Signature]) -> bytes:
    """Signature lines alone; `parse_signature_lines` reads them."""
    return "".join(signature.to_line() for signature in signatures).encode()


def open_note(note: Note, verifiers: Iterable[Verifier]) -> OpenedNote:
    """Check every signature by a known key.

    Signatures by other keys are ignored, also where they share a name or an ID with a known one. A key that signed more
    than once counts once, with the earliest time it states.

    Raises
    ------
    InputError
        If two of the keys share name and ID, so that a signature could be of either.
    VerificationError
        If a signature by a known key does not hold, or no known key signed.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise InputError(f"keys: expected one for {shown(verifier.name)}, ID {verifier.key_id.hex()}, found two")
    text = note.text.encode()
    times: dict[Verifier, int | None] = {}
    for signature in note.signatures:
        signer = known.get((signature.name, signature.key_id))
        if signer is not None:
            stated = [at for at in (signer.verify(text, signature), times.get(signer)) if at is not None]
            times[signer] = min(stated, default=None)
    if not times:
        names = ", ".join(sorted({shown(signature.name) for signature in note.signatures}))
        raise VerificationError(
            f"note: expected a signature by one of {len(known)} known keys, found signatures of {names}; "
            "check which keys are meant to be known"
        )
    return OpenedNote(text=note.text, signed=tuple(Signed(verifier=key, at=at) for key, at in times.items()))


def _parse_lines(text: str) -> tuple[Signature, ...]:
    count = text.count("\n")
    if count > MAX_SIGNATURES:
        raise InputError(f"note: expected at most {MAX_SIGNATURES} signatures, found {count} lines")
    *lines, rest = text.split("\n")
    if rest or not lines:
        raise InputError(f"note: expected signature lines that end with a newline, found {shown(rest)}")
    return tuple(_parse_line(line) for line in lines)


def _parse_line(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise InputError(f"note: expected a signature line '— NAME BASE64', found {shown(line)}")
    data = parse_base64(encoded, what=f"signature by {shown(name)}")
    return Signature(name=name, key_id=data[:KEY_ID_BYTES], blob=data[KEY_ID_BYTES:])
