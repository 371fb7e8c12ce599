"""What a log sends to a witness and what a busy witness answers (C2SP tlog-witness, ``add-checkpoint``).

A witness that cosigns answers with signature lines, which `with_cosignatures` checks and adds to the tree head.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import (
    MAX_NOTE_BYTES,
    MAX_PATH,
    base64_of,
    check_number,
    check_path,
    decoded_text,
    parse_decimal,
    parse_path,
    shown,
    split_note,
)
from whorl.log.keys import Signature, Verifier
from whorl.log.notes import Note, open_note, parse_note, parse_signature_lines
from whorl.log.tree_heads import parse_tree_head

MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + 64 * (MAX_PATH + 1)
SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRequest:
    """Asks a witness to cosign a tree head; ``parse_add_request(request.to_bytes()) == request``.

    Attributes
    ----------
    old_size : size of the tree head that the witness is thought to have cosigned last; 0 for none
    proof : consistency path from that size to the new one, at most 63 hashes
    note : the new signed tree head, byte for byte; well-formed, but nobody's signature is checked
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def __post_init__(self) -> None:
        check_number(self.old_size, what="witness request, old size")
        check_path(self.proof, what="witness request")
        parse_tree_head(parse_note(self.note).text)

    def to_bytes(self) -> bytes:
        """The body of the request."""
        lines = (f"old {self.old_size}", *(base64_of(one) for one in self.proof), "")
        return "".join(f"{line}\n" for line in lines).encode() + self.note


def parse_add_request(body: bytes) -> AddRequest:
    """Read the body of an ``add-checkpoint`` request; whether anything in it holds is for the witness to say.

    Raises
    ------
    InputError
        If it is not exactly of the format, which a witness answers with status 400.
    """
    text = decoded_text(body, what="witness request", max_bytes=MAX_REQUEST_BYTES)
    (first, *lines), note = split_note(text, what="witness request")
    if not first.startswith("old "):
        raise InputError(f"witness request: expected a line 'old N', found {shown(first)}")
    return AddRequest(
        old_size=parse_decimal(first.removeprefix("old "), what="witness request, old size"),
        proof=parse_path(lines, what="witness request"),
        note=note,
    )


def with_cosignatures(note: Note, body: bytes, cosigners: Iterable[Verifier]) -> Note:
    """Add a witness's answer to a tree head: cosignatures by known keys, in place of older ones by these keys.

    Raises
    ------
    InputError
        If the answer is malformed, or the note would hold too many signatures.
    VerificationError
        If no known key signed, a signature by a known key does not hold, or one states no time.
    """
    answer = Note(text=note.text, signatures=parse_signature_lines(body))
    opened = open_note(answer, cosigners)
    for signed in opened.signed:
        if signed.at is None:
            raise VerificationError(
                f"witness {shown(signed.verifier.name)}: expected a time in its cosignature, found none"
            )
    keys = {(one.verifier.name, one.verifier.key_id) for one in opened.signed}
    kept = (one for one in note.signatures if (one.name, one.key_id) not in keys)
    added: dict[tuple[str, bytes], Signature] = {}  # one for each key: a witness must not fill the note alone
    for one in answer.signatures:
        if (one.name, one.key_id) in keys:
            added.setdefault((one.name, one.key_id), one)
    return Note(text=note.text, signatures=(*kept, *added.values()))


def size_body(size: int) -> bytes:
    """The body of a 409 answer: the size the witness cosigned last."""
    return b"%d\n" % size


def parse_size_body(body: bytes) -> int:
    """Read the body of a 409 answer.

    Raises
    ------
    InputError
        If it is not one decimal and a newline.
    """
    text = decoded_text(body, what="witness answer", max_bytes=32)
    if not text.endswith("\n"):
        raise InputError(f"witness answer: expected a size and a newline, found {shown(text)}")
    return parse_decimal(text[:-1], what="witness answer, size")
