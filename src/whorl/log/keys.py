"""Keys that sign notes, and the three signatures they make: a name, an algorithm and a public key make one verifier.

``ed25519``
    Type 0x01, a log's signature over the note's text (C2SP signed-note).
``cosignature_ed25519``
    Type 0x04, a witness's signature with its time over a tree head (C2SP tlog-cosignature).
``cosignature_mldsa44``
    Type 0x06, a witness's or a log's signature with its time over origin, size and root (tlog-cosignature; FIPS 204
    with an empty context). It does not cover a tree head's extension lines.

The list is fixed: a vkey of another type is refused. A key ID binds name, type and public key, so a signature of one
type is never tried as another. One key is for one name and one type; `check_distinct` holds a set of keys to that.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import (
    MAX_NOTE_BYTES,
    MAX_SIZE,
    base64_of,
    check_length,
    check_name,
    decoded_text,
    parse_base64,
    parse_tree_head_lines,
    shown,
)

Algorithm: TypeAlias = Literal["ed25519", "cosignature_ed25519", "cosignature_mldsa44"]
PrivateKey: TypeAlias = Ed25519PrivateKey | MLDSA44PrivateKey

KEY_ID_BYTES: Final = 4
SEED_BYTES: Final = 32
_TYPES: Final[dict[Algorithm, int]] = {"ed25519": 0x01, "cosignature_ed25519": 0x04, "cosignature_mldsa44": 0x06}
_ALGORITHMS: Final[dict[int, Algorithm]] = {number: algorithm for algorithm, number in _TYPES.items()}
_PUBLIC_BYTES: Final[dict[Algorithm, int]] = {
    "ed25519": 32,
    "cosignature_ed25519": 32,
    "cosignature_mldsa44": 1312,
}
_SIGNATURE_BYTES: Final[dict[Algorithm, int]] = {
    "ed25519": 64,
    "cosignature_ed25519": 8 + 64,
    "cosignature_mldsa44": 8 + 2420,
}

# Points of order 1, 2, 4 and 8 (RFC 8032 section 5.1): for such a "public key" anybody can make signatures.
_FIELD: Final = 2**255 - 19
_ORDER_8_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y: Final = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line of a note.

    Attributes
    ----------
    name : the key's name
    key_id : 4 bytes; name and ID together say which key and algorithm
    blob : the signature itself, at least one byte; 8 bytes of time come first in a cosignature
    """

    name: str
    key_id: bytes
    blob: bytes

    def __post_init__(self) -> None:
        check_name(self.name, what="signature, key name")
        if len(self.key_id) != KEY_ID_BYTES or not self.blob:
            raise InputError(
                f"signature by {shown(self.name)}: expected a key ID of {KEY_ID_BYTES} bytes and a signature, "
                f"found {len(self.key_id)} and {len(self.blob)} bytes"
            )

    def to_line(self) -> str:
        """The line as it stands in a note, newline included."""
        return f"— {self.name} {base64_of(self.key_id + self.blob)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A key whose signatures can be checked.

    Attributes
    ----------
    name : the key's name: a log's origin, or a witness's name
    algorithm : what it signs and how
    public : 32 bytes (Ed25519, RFC 8032) or 1312 bytes (ML-DSA-44, FIPS 204)

    Raises
    ------
    InputError
        If the name is none, or the key has another length or is one that anybody can sign for.
    """

    name: str
    algorithm: Algorithm
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name, what="key name")
        check_length(self.name, what="key name")
        expected = _PUBLIC_BYTES[self.algorithm]
        if len(self.public) != expected:
            raise InputError(
                f"key {shown(self.name)}: expected a public key of {expected} bytes for {self.algorithm}, "
                f"found {len(self.public)}"
            )
        if expected == 32 and _is_weak(self.public):
            raise InputError(
                f"key {shown(self.name)}: expected an Ed25519 public key, found a point of small order or a "
                "non-canonical one, for which anybody can sign; ask its owner for the right key"
            )

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with the name, say which key and algorithm made a signature."""
        typed = bytes([_TYPES[self.algorithm]]) + self.public
        return hashlib.sha256(self.name.encode() + b"\n" + typed).digest()[:KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The verifier key as text: name, key ID and typed public key, joined by plus signs."""
        typed = bytes([_TYPES[self.algorithm]]) + self.public
        return f"{self.name}+{self.key_id.hex()}+{base64_of(typed)}"

    def verify(self, text: bytes, signature: Signature) -> int | None:
        """Check a signature of this key over a note's text.

        Returns
        -------
        The time a cosignature states, in POSIX seconds; None for a plain signature, and for a cosignature of time 0,
        which states none.

        Raises
        ------
        VerificationError
            If the signature is another key's or does not hold.
        """
        if (signature.name, signature.key_id) != (self.name, self.key_id):
            raise VerificationError(
                f"key {shown(self.name)}, ID {self.key_id.hex()}: expected its own signature, found one of "
                f"{shown(signature.name)}, ID {signature.key_id.hex()}"
            )
        try:
            return self._checked(text, signature.blob)
        except (InvalidSignature, InputError) as error:
            raise VerificationError(
                f"signature of {shown(self.name)} ({self.algorithm}): expected one over this text, found "
                f"{str(error) or 'one that does not hold'}; the text or the signature was altered"
            ) from None

    def _checked(self, text: bytes, blob: bytes) -> int | None:
        if len(blob) != _SIGNATURE_BYTES[self.algorithm]:
            raise InputError(f"{len(blob)} bytes instead of {_SIGNATURE_BYTES[self.algorithm]}")
        if self.algorithm == "ed25519":
            Ed25519PublicKey.from_public_bytes(self.public).verify(blob, text)
            return None
        at = int.from_bytes(blob[:8])
        if at > MAX_SIZE:
            raise InputError(f"time {at}, beyond {MAX_SIZE}")
        message = _dated_message(self.name, self.algorithm, text, at)
        if self.algorithm == "cosignature_ed25519":
            Ed25519PublicKey.from_public_bytes(self.public).verify(blob[8:], message)
        else:
            MLDSA44PublicKey.from_public_bytes(self.public).verify(blob[8:], message)
        return at or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A private key with the name and algorithm it signs under."""

    name: str
    algorithm: Algorithm
    private: PrivateKey

    def __post_init__(self) -> None:
        if isinstance(self.private, MLDSA44PrivateKey) != (self.algorithm == "cosignature_mldsa44"):
            raise ValueError(f"a {type(self.private).__name__} cannot make {self.algorithm} signatures")
        _ = self.verifier  # refuses names that notes cannot hold

    @classmethod
    def generate(cls, name: str, algorithm: Algorithm) -> "Signer":
        """A new key from the system's randomness."""
        kind = MLDSA44PrivateKey if algorithm == "cosignature_mldsa44" else Ed25519PrivateKey
        return cls(name=name, algorithm=algorithm, private=kind.generate())

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes that `signer_from_bytes` makes this key of."""
        return self.private.private_bytes_raw()

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(name=self.name, algorithm=self.algorithm, public=self.private.public_key().public_bytes_raw())

    def sign(self, text: bytes, *, at: int | None = None) -> Signature:
        """Sign a note's text; a cosignature states the time ``at`` in POSIX seconds, a plain signature none.

        Raises
        ------
        InputError
            If a cosignature is asked for over what is no tree head.
        """
        if self.algorithm == "ed25519":
            blob = self.private.sign(text)
        else:
            if at is None or not 0 < at <= MAX_SIZE:
                raise ValueError(f"a cosignature needs its time in POSIX seconds, not {at}")
            message = _dated_message(self.name, self.algorithm, text, at)
            blob = at.to_bytes(8) + self.private.sign(message)
        return Signature(name=self.name, key_id=self.verifier.key_id, blob=blob)


def signer_from_bytes(name: str, algorithm: Algorithm, seed: bytes) -> Signer:
    """The key of a 32-byte secret: an Ed25519 private key (RFC 8032) or an ML-DSA-44 seed (FIPS 204)."""
    if len(seed) != SEED_BYTES:
        raise InputError(f"private key {shown(name)}: expected {SEED_BYTES} bytes, found {len(seed)}")
    private: PrivateKey
    if algorithm == "cosignature_mldsa44":
        private = MLDSA44PrivateKey.from_seed_bytes(seed)
    else:
        private = Ed25519PrivateKey.from_private_bytes(seed)
    return Signer(name=name, algorithm=algorithm, private=private)


def parse_vkey(text: str) -> Verifier:
    """A verifier key from its text form (signed-note, "Verifier keys").

    Raises
    ------
    InputError
        If it is malformed, of a type that is not read here, or its key ID is not that of its name and key.
    """
    name, _, rest = text.partition("+")
    key_id, plus, encoded = rest.partition("+")
    if not plus:
        raise InputError(f"verifier key: expected NAME+ID+KEY, found {shown(text)}")
    typed = parse_base64(encoded, what=f"verifier key of {shown(name)}")
    algorithm = _ALGORITHMS.get(typed[0]) if typed else None
    if algorithm is None:
        raise InputError(
            f"verifier key of {shown(name)}: expected type 0x01 (Ed25519), 0x04 (Ed25519 cosignature) or 0x06 "
            f"(ML-DSA-44 cosignature), found {f'0x{typed[0]:02x}' if typed else 'nothing'}"
        )
    verifier = Verifier(name=name, algorithm=algorithm, public=typed[1:])
    if key_id != verifier.key_id.hex():
        raise InputError(
            f"verifier key of {shown(name)}: expected ID {verifier.key_id.hex()} for this name and key, "
            f"found {shown(key_id)}; copy the whole key again"
        )
    return verifier


def check_distinct(verifiers: Iterable[Verifier]) -> None:
    """Refuse a set of keys in which one public key stands under two names or types: it would count twice.

    An Ed25519 cosignature does not commit to its cosigner's name, so such a signature can be carried over.
    """
    seen: dict[bytes, Verifier] = {}
    for verifier in verifiers:
        if other := seen.get(verifier.public):
            raise InputError(
                f"keys {shown(other.name)} ({other.algorithm}) and {shown(verifier.name)} ({verifier.algorithm}): "
                "expected two public keys, found one; a key is for one name and one type"
            )
        seen[verifier.public] = verifier


def _dated_message(name: str, algorithm: Algorithm, text: bytes, at: int) -> bytes:
    """What a cosignature of a whole tree signs (tlog-cosignature); for ML-DSA-44 the structure ``cosigned_message``."""
    decoded = decoded_text(text, what="tree head", max_bytes=MAX_NOTE_BYTES)
    origin, size, root, _ = parse_tree_head_lines(decoded)
    if algorithm == "cosignature_ed25519":
        return b"cosignature/v1\ntime %d\n%b" % (at, text)
    return (
        b"subtree/v1\n\0" + _short(name) + struct.pack(">Q", at) + _short(origin) + struct.pack(">QQ", 0, size) + root
    )


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


def _is_weak(public: bytes) -> bool:
    y = int.from_bytes(public, "little") & (2**255 - 1)
    return y >= _FIELD or y in _SMALL_ORDER_Y
