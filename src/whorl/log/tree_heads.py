"""Tree heads (C2SP tlog-checkpoint): how large a log is, under which root, and who signed that.

A tree head of ours carries an Ed25519 signature and, beside it, an ML-DSA-44 one (type 0x06), both by the log under
its origin. Who reads one needs a valid Ed25519 signature by a log key known beforehand; an ML-DSA-44 signature by a
known key must hold if it is there, and cannot stand in for the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import (
    base64_of,
    check_extensions,
    check_length,
    check_line,
    check_number,
    parse_tree_head_lines,
    shown,
)
from whorl.log.keys import Signer, Verifier, check_distinct
from whorl.log.merkle import HASH_BYTES
from whorl.log.notes import Note, Signed, open_note, parse_note


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeHead:
    """The state of a log; ``parse_tree_head(head.to_text()) == head``.

    Attributes
    ----------
    origin : the log's identity: a line of at most 255 bytes
    size : number of records
    root : 32-byte root hash of the tree of that size
    extensions : at most 64 further lines that the log's Ed25519 signature covers, and no ML-DSA-44 one
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            check_line(line, what="tree head")
        check_extensions(self.extensions)
        check_length(self.origin, what="tree head, origin")
        check_number(self.size, what="tree head, size")
        if len(self.root) != HASH_BYTES:
            raise InputError(f"tree head, root: expected {HASH_BYTES} bytes, found {len(self.root)}")

    def to_text(self) -> str:
        """The note text that is signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, base64_of(self.root), *self.extensions))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTreeHead:
    """A tree head that a known log key signed.

    Attributes
    ----------
    head : what was signed
    note : the note it came in, with every signature, also those by unknown keys
    signed : the log's keys that signed
    cosigned : the known witnesses that signed
    """

    head: TreeHead
    note: Note
    signed: tuple[Signed, ...]
    cosigned: tuple[Signed, ...]


def parse_tree_head(text: str) -> TreeHead:
    """Read a note's text as a tree head.

    Raises
    ------
    InputError
        If it is none: fewer than three lines, an empty one, a size with leading zeros, a root that is no hash.
    """
    origin, size, root, extensions = parse_tree_head_lines(text)
    return TreeHead(origin=origin, size=size, root=root, extensions=extensions)


def sign_tree_head(head: TreeHead, signers: Sequence[Signer], *, at: int) -> Note:
    """Sign as the log, one of its keys being Ed25519; ML-DSA-44 signatures state the time ``at`` in POSIX seconds.

    Raises
    ------
    ValueError
        If no signer is of algorithm ``ed25519``, or one has another name than the origin.
    """
    if not any(signer.algorithm == "ed25519" for signer in signers):
        raise ValueError("a tree head needs an Ed25519 signature by the log")
    if others := [signer.name for signer in signers if signer.name != head.origin]:
        raise ValueError(f"a log signs under its origin {head.origin!r}, not under {others[0]!r}")
    text = head.to_text()
    return Note(text=text, signatures=tuple(signer.sign(text.encode(), at=at) for signer in signers))


def open_tree_head(
    data: bytes, *, origin: str, log_keys: Sequence[Verifier], cosigners: Sequence[Verifier] = ()
) -> SignedTreeHead:
    """Check a signed tree head against keys known beforehand.

    Raises
    ------
    InputError
        If the note or its tree head is malformed, or one public key stands twice among the keys.
    VerificationError
        If it is of another log, no Ed25519 key of the log signed it, or a signature by a known key does not hold.
    """
    check_distinct((*log_keys, *cosigners))
    note = parse_note(data)
    # (1) every signature by a known key holds
    opened = open_note(note, (*log_keys, *cosigners))
    # (2) it is the log that was asked for
    head = parse_tree_head(opened.text)
    if head.origin != origin:
        raise VerificationError(f"tree head: expected one of log {shown(origin)}, found one of {shown(head.origin)}")
    # (3) the log itself signed, with the algorithm that may not be left out
    signed = tuple(one for one in opened.signed if one.verifier in log_keys)
    if not any(one.verifier.algorithm == "ed25519" for one in signed):
        raise VerificationError(
            f"tree head of {shown(origin)}: expected an Ed25519 signature by a known key of the log, found none; "
            "ask the log for its own tree head, or for its present key"
        )
    cosigned = tuple(one for one in opened.signed if one.verifier not in log_keys)
    return SignedTreeHead(head=head, note=note, signed=signed, cosigned=cosigned)
