"""Logs, witnesses and trees for the tests: keys from fixed seeds, and RFC 6962 written as its recursive definition."""

import hashlib
from collections.abc import Sequence

from whorl.log.keys import Algorithm, Signer, signer_from_bytes
from whorl.log.notes import Note
from whorl.log.tree_heads import TreeHead, sign_tree_head

ORIGIN = "log.example/northwind"
AT = 1_700_000_000


def party(name: str, algorithm: Algorithm, number: int = 0) -> Signer:
    """A key that is the same in every run."""
    return signer_from_bytes(name, algorithm, hashlib.sha256(f"{name} {algorithm} {number}".encode()).digest())


LOG = party(ORIGIN, "ed25519")
LOG_PQ = party(ORIGIN, "cosignature_mldsa44")
WITNESSES = tuple(party(f"witness.example/w{number}", "cosignature_ed25519") for number in range(1, 8))
WITNESS_PQ = party("witness.example/w1", "cosignature_mldsa44")


def root_of(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    half = 1 << (len(entries) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(entries[:half]) + root_of(entries[half:])).digest()


def path_of(index: int, entries: Sequence[bytes]) -> tuple[bytes, ...]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(entries) == 1:
        return ()
    half = 1 << (len(entries) - 1).bit_length() - 1
    if index < half:
        return (*path_of(index, entries[:half]), root_of(entries[half:]))
    return (*path_of(index - half, entries[half:]), root_of(entries[:half]))


def records(size: int) -> list[bytes]:
    """The records of a small log."""
    return [f"record {number}".encode() for number in range(size)]


def head_of(size: int, *extensions: str) -> TreeHead:
    """The tree head over `records`."""
    return TreeHead(origin=ORIGIN, size=size, root=root_of(records(size)), extensions=extensions)


def signed_head(
    size: int, *witnesses: Signer, log: Sequence[Signer] = (LOG,), at: int = AT, extensions: tuple[str, ...] = ()
) -> Note:
    """A tree head signed by the log at ``at`` and by each witness a second later than the one before."""
    note = sign_tree_head(head_of(size, *extensions), log, at=at)
    text = note.text.encode()
    cosigned = (witness.sign(text, at=at + later) for later, witness in enumerate(witnesses, 1))
    return Note(text=note.text, signatures=(*note.signatures, *cosigned))
