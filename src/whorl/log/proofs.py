"""A proof, in one text, that a record is in a log (C2SP tlog-proof): index, path and the signed tree head.

`verify_proof` needs the record, the proof and a policy, and nothing from the network.
"""

from dataclasses import dataclass
from typing import Final

from whorl.core.errors import InputError
from whorl.log.grammar import (
    MAX_NOTE_BYTES,
    base64_of,
    check_number,
    check_path,
    decoded_text,
    encoded_text,
    parse_base64,
    parse_decimal,
    parse_path,
    shown,
    split_note,
)
from whorl.log.merkle import leaf_hash, verify_inclusion
from whorl.log.notes import parse_note
from whorl.log.policy import Policy, check_tree_head
from whorl.log.tree_heads import parse_tree_head

MAX_EXTRA_BYTES: Final = 1 << 16
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES
_FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Where a record is in a log, not checked; ``parse_proof(proof.to_text()) == proof``.

    Attributes
    ----------
    index : place of the record, from 0
    path : sibling hashes from the leaf to the root's child, at most 63
    tree_head_note : the signed tree head, byte for byte; well-formed, but nobody's signature is checked
    extra : 1 to `MAX_EXTRA_BYTES` bytes that nothing vouches for, or None
    """

    index: int
    path: tuple[bytes, ...]
    tree_head_note: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        check_number(self.index, what="proof, index")
        check_path(self.path, what="proof")
        parse_tree_head(parse_note(self.tree_head_note).text)
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            raise InputError(f"proof, extra: expected 1 to {MAX_EXTRA_BYTES} bytes, found {len(self.extra)}")

    def to_text(self) -> str:
        """The content of a ``.tlog-proof`` file."""
        extra = [] if self.extra is None else [f"extra {base64_of(self.extra)}"]
        path = (base64_of(one) for one in self.path)
        lines = (_FIRST_LINE, *extra, f"index {self.index}", *path, "")
        return "".join(f"{line}\n" for line in lines) + self.tree_head_note.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedInclusion:
    """What `verify_proof` established.

    Attributes
    ----------
    index, size, origin : the record's place, in the tree of that size, of that log
    cosigned_at : witnesses by their names in the policy, and the POSIX seconds each states, in the order of the lines
    quorum_at : when a quorum had cosigned a tree that holds the record; None for the quorum ``none``
    """

    index: int
    size: int
    origin: str
    cosigned_at: tuple[tuple[str, int], ...]
    quorum_at: int | None


def parse_proof(data: bytes | str) -> Proof:
    """Read a proof.

    Raises
    ------
    InputError
        If it is not exactly of the format, or longer than `MAX_PROOF_BYTES`.
    """
    octets = data if isinstance(data, bytes) else encoded_text(data, what="proof")
    text = decoded_text(octets, what="proof", max_bytes=MAX_PROOF_BYTES)
    (first, *lines), note = split_note(text, what="proof")
    if first != _FIRST_LINE:
        raise InputError(f"proof: expected the first line {_FIRST_LINE!r}, found {shown(first)}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "), what="proof, extra")
    if not lines or not lines[0].startswith("index "):
        raise InputError(f"proof: expected a line 'index N', found {shown(lines[0]) if lines else 'none'}")
    return Proof(
        index=parse_decimal(lines[0].removeprefix("index "), what="proof, index"),
        path=parse_path(lines[1:], what="proof"),
        tree_head_note=note,
        extra=extra,
    )


def verify_proof(proof: Proof, leaf: bytes, policy: Policy) -> VerifiedInclusion:
    """Check that a record is in a log that the policy accepts.

    Parameters
    ----------
    leaf : the record itself, not its hash

    Raises
    ------
    VerificationError
        If the tree head does not satisfy the policy, or the path does not lead from the record to its root.
    """
    # (1) to (3) of tlog-proof: the log signed, and a quorum of witnesses did
    opened = check_tree_head(proof.tree_head_note, policy)
    # (4) the path leads from this record, at this index, to the signed root
    verify_inclusion(leaf_hash(leaf), proof.index, opened.head.size, proof.path, opened.head.root)
    times = policy.times(opened.cosigned)
    return VerifiedInclusion(
        index=proof.index,
        size=opened.head.size,
        origin=opened.head.origin,
        cosigned_at=tuple(times.items()),
        quorum_at=policy.quorum_at(times),
    )
