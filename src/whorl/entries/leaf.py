"""The record in the log: 140 bytes that commit to an entry and show nothing of what it says.

An entry's content can be erased, by deleting envelope and salt, without breaking a proof: the leaf stays, and what is
left of the content is a salted hash. All leaves have one length; a sealed one shows neither kind nor maker, only the
key of the bureau that took it. Format: ``docs/specs/entry.md``.
"""

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from whorl.core.errors import InputError, VerificationError
from whorl.log.merkle import leaf_hash

LeafClass: TypeAlias = Literal["public", "sealed"]

LEAF_BYTES: Final = 140
HASH_BYTES: Final = 32
NO_HASH: Final = bytes(HASH_BYTES)
SALT_BYTES: Final = 32
SEALED_KIND: Final = 0
LARGEST_SEQUENCE: Final = 2**53

_LAYOUT: Final = struct.Struct(">BBBB32sQ32s32s32s")
_VERSION: Final = 1
_CLASSES: Final[dict[LeafClass, int]] = {"public": 0, "sealed": 1}
_CLASS_NAMES: Final = {number: name for name, number in _CLASSES.items()}
_COMMIT_TAG: Final = b"whorl/leaf/v1\0"
_TARGET_TAG: Final = b"whorl/target/v1\0"
_ID_LETTERS: Final = 52


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What the log holds of one entry.

    Parameters
    ----------
    kind : number of the entry's kind (`whorl.entries.kinds`); 0 in a sealed leaf
    issuer : id of the key that issued it; in a sealed leaf the bureau's
    sequence : place in the issuer's own chain, from 0
    previous : hash of the issuer's leaf before it; zeros in the first
    target : hash of the leaf that it speaks of; zeros for none
    commit : salted hash of the envelope, from `commitment`
    """

    leaf_class: LeafClass
    kind: int
    issuer: bytes
    sequence: int
    previous: bytes
    target: bytes
    commit: bytes

    def __post_init__(self) -> None:
        if not len(self.issuer) == len(self.previous) == len(self.target) == len(self.commit) == HASH_BYTES:
            raise ValueError("issuer, previous, target and commit have 32 bytes each")
        if not 0 <= self.sequence <= LARGEST_SEQUENCE:
            raise ValueError(f"sequence {self.sequence} is out of range")
        if (self.leaf_class == "sealed") != (self.kind == SEALED_KIND) or not 0 <= self.kind <= 255:
            raise ValueError(f"a {self.leaf_class} leaf cannot be of kind {self.kind}")
        if (self.sequence == 0) != (self.previous == NO_HASH):
            raise ValueError("the first leaf of a chain, and only that, has no previous one")

    def to_bytes(self) -> bytes:
        """The 140 bytes that are entered into the log."""
        return _LAYOUT.pack(
            _VERSION,
            _CLASSES[self.leaf_class],
            self.kind,
            0,
            self.issuer,
            self.sequence,
            self.previous,
            self.target,
            self.commit,
        )

    @property
    def hash(self) -> bytes:
        """RFC 6962 leaf hash: what proofs are about, and what identifies the entry in every log."""
        return leaf_hash(self.to_bytes())


def parse_leaf(data: bytes) -> Leaf:
    """Read a leaf back from its bytes.

    Raises
    ------
    InputError
        If it is not exactly one leaf of this version.
    """
    if len(data) != LEAF_BYTES:
        raise InputError(f"expected a leaf of {LEAF_BYTES} bytes, found {len(data)}")
    version, number, kind, reserved, issuer, sequence, previous, target, commit = _LAYOUT.unpack(data)
    if version != _VERSION or reserved != 0 or number not in _CLASS_NAMES:
        raise InputError(
            f"expected a leaf of version {_VERSION}, found version {version}, class {number}, reserved {reserved}; "
            "a newer whorl may read it"
        )
    try:
        return Leaf(
            leaf_class=_CLASS_NAMES[number],
            kind=kind,
            issuer=issuer,
            sequence=sequence,
            previous=previous,
            target=target,
            commit=commit,
        )
    except ValueError as error:
        raise InputError(f"expected a well-formed leaf, found one that contradicts itself: {error}") from error


def entry_id(digest: bytes) -> str:
    """The entry's public name, from its leaf hash: 52 letters of base32, the same in every log."""
    return base64.b32encode(digest).decode().rstrip("=").lower()


def parse_entry_id(text: str) -> bytes:
    """The leaf hash that an entry's id stands for.

    Raises
    ------
    InputError
        If the text is no entry id.
    """
    try:
        digest = base64.b32decode(text.upper() + "====") if len(text) == _ID_LETTERS and text.isascii() else b""
    except ValueError:
        digest = b""
    if len(digest) != HASH_BYTES or entry_id(digest) != text:
        raise InputError(f"expected an entry's id of {_ID_LETTERS} small letters and digits, found {text[:80]!a}")
    return digest


def commitment(envelope: bytes, *, salt: bytes) -> bytes:
    """The salted hash by which a leaf commits to an envelope's exact bytes."""
    _require_salt(salt)
    return hashlib.sha256(_COMMIT_TAG + salt + hashlib.sha256(envelope).digest()).digest()


def sealed_target(target: bytes, *, salt: bytes) -> bytes:
    """What a sealed leaf shows in place of its target: nobody without the salt can tell what it is about."""
    _require_salt(salt)
    return NO_HASH if target == NO_HASH else hashlib.sha256(_TARGET_TAG + salt + target).digest()


def require_commitment(leaf: Leaf, envelope: bytes, *, salt: bytes) -> None:
    """Raise `VerificationError` unless the leaf commits to these bytes under this salt."""
    if commitment(envelope, salt=salt) != leaf.commit:
        raise VerificationError(
            f"entry {entry_id(leaf.hash)}: expected the envelope that the leaf commits to, found other bytes or "
            "another salt; fetch the entry again from a bureau that mirrors it"
        )


def _require_salt(salt: bytes) -> None:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, got {len(salt)}")
