"""Keys that sign entries: Ed25519 always, ML-DSA-44 beside it for evidence that must hold for decades.

A key's id binds its algorithm, so that the same bytes under another algorithm are another key. Key files are private:
one JSON document, readable by the owner alone. Format: ``docs/specs/entry.md``.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from pydantic import Field, ValidationError

from whorl.core.errors import InputError
from whorl.core.evidence import StoredDocument
from whorl.core.strict_json import parse_json_object

KeyAlgorithm: TypeAlias = Literal["ed25519", "mldsa44"]

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final[dict[KeyAlgorithm, int]] = {"ed25519": 32, "mldsa44": 1312}
SIGNATURE_BYTES: Final[dict[KeyAlgorithm, int]] = {"ed25519": 64, "mldsa44": 2420}
_ID_TAG: Final = b"whorl/key/v1\0"
_MAX_FILE_BYTES: Final = 1 << 14


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """A key that entries are checked with."""

    algorithm: KeyAlgorithm
    public: bytes

    def __post_init__(self) -> None:
        if len(self.public) != PUBLIC_BYTES[self.algorithm]:
            raise ValueError(f"a public {self.algorithm} key has {PUBLIC_BYTES[self.algorithm]} bytes")

    @cached_property
    def id(self) -> bytes:
        """32 bytes that name this key and its algorithm."""
        return hashlib.sha256(_ID_TAG + self.algorithm.encode() + b"\0" + self.public).digest()

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over the message is this key's."""
        return len(signature) == SIGNATURE_BYTES[self.algorithm] and _holds(self, signature, message)

    @cached_property
    def verifier(self) -> Ed25519PublicKey | MLDSA44PublicKey:
        """The key as the library knows it."""
        if self.algorithm == "ed25519":
            return Ed25519PublicKey.from_public_bytes(self.public)
        return MLDSA44PublicKey.from_public_bytes(self.public)


@lru_cache(maxsize=256)  # an entry's signature is asked for by several rules, one after the other
def _holds(key: PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verifier.verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: the bytes are no point on the curve
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class PrivateKey:
    """A key that signs entries; ``seed`` is the secret."""

    algorithm: KeyAlgorithm
    seed: bytes

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm}, id={self.public.id.hex()})"

    @cached_property
    def public(self) -> PublicKey:
        return PublicKey(algorithm=self.algorithm, public=self._signer.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Sign the message."""
        return self._signer.sign(message)

    @cached_property
    def _signer(self) -> Ed25519PrivateKey | MLDSA44PrivateKey:
        if self.algorithm == "ed25519":
            return Ed25519PrivateKey.from_private_bytes(self.seed)
        return MLDSA44PrivateKey.from_seed_bytes(self.seed)


@dataclass(frozen=True, kw_only=True)
class IssuerKey:
    """What one issuer signs with: an Ed25519 key, which names the issuer, and an ML-DSA-44 key beside it."""

    ed25519: PrivateKey
    mldsa44: PrivateKey | None = None

    @property
    def id(self) -> bytes:
        return self.ed25519.public.id

    @property
    def private_keys(self) -> tuple[PrivateKey, ...]:
        return (self.ed25519,) if self.mldsa44 is None else (self.ed25519, self.mldsa44)

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        return tuple(key.public for key in self.private_keys)


def new_issuer_key(random_bytes: Callable[[int], bytes], *, post_quantum: bool = True) -> IssuerKey:
    """Draw the keys of a new issuer.

    Parameters
    ----------
    random_bytes : gives that many unpredictable bytes, such as `secrets.token_bytes`
    post_quantum : whether an ML-DSA-44 key is drawn beside the Ed25519 key
    """
    ed25519 = PrivateKey(algorithm="ed25519", seed=random_bytes(SEED_BYTES))
    return IssuerKey(
        ed25519=ed25519,
        mldsa44=PrivateKey(algorithm="mldsa44", seed=random_bytes(SEED_BYTES)) if post_quantum else None,
    )


class KeyFile(StoredDocument):
    """A private key file. The seeds never appear in a repr or a message."""

    schema_: Literal["whorl.issuer-key/1"] = Field(default="whorl.issuer-key/1", alias="schema")
    id: str = Field(pattern=r"^[0-9a-f]{64}$", description="id of the Ed25519 key: the issuer's name in leaves")
    ed25519: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False, description="secret seed")
    mldsa44: str | None = Field(pattern=r"^[0-9a-f]{64}$", repr=False, description="secret seed, or null")


def write_key_file(key: IssuerKey) -> bytes:
    """The bytes of a key file; they are secret."""
    document = KeyFile(
        id=key.id.hex(),
        ed25519=key.ed25519.seed.hex(),
        mldsa44=None if key.mldsa44 is None else key.mldsa44.seed.hex(),
    )
    return document.model_dump_json(indent=2).encode() + b"\n"


def parse_key_file(data: bytes, *, origin: str) -> IssuerKey:
    """Read a key file.

    Raises
    ------
    InputError
        If it is none, or its id is not that of its key. No message quotes the file.
    """
    try:
        document = KeyFile.model_validate(parse_json_object(data, what=origin, max_bytes=_MAX_FILE_BYTES))
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"])) or "document" for problem in error.errors()})
        raise InputError(f"{origin}: expected a key file, found fault with {', '.join(fields)[:200]}") from None
    seeds = {"ed25519": document.ed25519, "mldsa44": document.mldsa44}
    ed25519, mldsa44 = (
        None if seed is None else PrivateKey(algorithm=name, seed=bytes.fromhex(seed))  # type: ignore[arg-type]
        for name, seed in seeds.items()
    )
    assert ed25519 is not None
    key = IssuerKey(ed25519=ed25519, mldsa44=mldsa44)
    if key.id.hex() != document.id:
        raise InputError(
            f"{origin}: expected the key {document.id[:16]}..., found {key.id.hex()[:16]}...; file damaged"
        )
    return key


def encode_public(key: PublicKey) -> str:
    """A public key as text: ``ed25519:`` or ``mldsa44:`` and base64."""
    return f"{key.algorithm}:{base64.b64encode(key.public).decode()}"


def parse_public(text: str) -> PublicKey:
    """Read a public key from its text.

    Raises
    ------
    InputError
        If it is none, or not in the one canonical spelling.
    """
    algorithm, _, encoded = text.partition(":")
    try:
        if algorithm not in ("ed25519", "mldsa44"):
            raise ValueError("unknown algorithm")
        key = PublicKey(algorithm=algorithm, public=base64.b64decode(encoded, validate=True))  # type: ignore[arg-type]
        if encode_public(key) != text:
            raise ValueError("not canonical")
    except ValueError as error:
        raise InputError(
            f"expected a public key such as ed25519:BASE64, found {text[:60]!a} ({error}); copy it again"
        ) from error
    return key
