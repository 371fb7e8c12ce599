"""The key of a release and its public commitment: what is sealed before a model is released.

The key file is private; whoever holds it and the undithered model can take the mark out of a release. The commitment
is public: it names the undithered model and fixes the key without showing it. Formats:
``docs/specs/release-key.md``, ``docs/specs/commitment.md``.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from whorl.core.digest import digest_document
from whorl.core.errors import CheckpointError, InputError, VerificationError
from whorl.core.evidence import Document
from whorl.weights.files import parse_json_object, read_bounded

KEY_SCHEMA: Final = "whorl.release-key/1"
COMMITMENT_SCHEMA: Final = "whorl.commitment/1"
KEY_BYTES: Final = 32
DITHER: Final = 0.01
SMALLEST_DITHER: Final = 1e-5
LARGEST_DITHER: Final = 0.1
_MAX_BYTES: Final = 1 << 16

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Hex256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
Instant = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Dither = Annotated[float, Field(ge=SMALLEST_DITHER, le=LARGEST_DITHER)]


class _Sealed(Document):
    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True, validate_by_name=True)

    method: Literal["keyed_dither/1"] = "keyed_dither/1"
    model: Digest = Field(description="content digest of the undithered model, as in a finding")
    fingerprint: Digest = Field(description="digest of the undithered model's stored fingerprint")
    dither: Dither = Field(description="size of the dither over each matrix's standard deviation")
    created: Instant = Field(description="when the maker's clock said the key was drawn, UTC; proves nothing")


Kind = TypeVar("Kind", bound=_Sealed)


class ReleaseKey(_Sealed):
    """What one release is made with and recognised by. ``key`` and ``salt`` never leave it in a repr or a message."""

    schema_: Literal["whorl.release-key/1"] = Field(default=KEY_SCHEMA, alias="schema")
    key: Hex256
    salt: Hex256

    @property
    def secret(self) -> bytes:
        return bytes.fromhex(self.key)


class Commitment(_Sealed):
    """What is published: the digest that only this key document has, and everything in it that is no secret."""

    schema_: Literal["whorl.commitment/1"] = Field(default=COMMITMENT_SCHEMA, alias="schema")
    commitment: Digest


def new_key(*, key: bytes, salt: bytes, model: str, fingerprint: str, dither: float, created: datetime) -> ReleaseKey:
    """A key document.

    Parameters
    ----------
    key, salt : 32 random bytes each
    created : an aware time
    """
    if not len(key) == len(salt) == KEY_BYTES:
        raise ValueError(f"expected key and salt of {KEY_BYTES} bytes, got {len(key)} and {len(salt)}")
    return ReleaseKey(
        key=key.hex(),
        salt=salt.hex(),
        model=model,
        fingerprint=fingerprint,
        dither=dither,
        created=created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def commitment_to(key: ReleaseKey) -> Commitment:
    """The public commitment that this key opens, and no other does."""
    return Commitment(
        commitment=digest_document(KEY_SCHEMA, key.model_dump(mode="json")),
        model=key.model,
        fingerprint=key.fingerprint,
        dither=key.dither,
        created=key.created,
    )


def verify_opening(key: ReleaseKey, commitment: Commitment) -> None:
    """Check that the key opens the commitment.

    Raises
    ------
    VerificationError
        If it does not, or the commitment's public part says something else than the key.
    """
    expected = commitment_to(key)
    if commitment.commitment != expected.commitment:
        raise VerificationError(
            f"the key does not open the commitment: expected {commitment.commitment}, found a key that opens "
            f"{expected.commitment}; use the key that was made with this commitment"
        )
    if commitment != expected:
        raise VerificationError(
            "the key opens the commitment's digest, but the commitment states another model, fingerprint, dither or "
            "time than the key: the commitment file was altered"
        )


def read_key(path: Path) -> ReleaseKey:
    """A key from a file.

    Raises
    ------
    InputError
        If the file is no key document of this version; the message shows nothing of its content.
    """
    return _read(path, ReleaseKey, "a release key", "the key file that `whorl commit` wrote")


def read_commitment(path: Path) -> Commitment:
    """A commitment from a file; raises `InputError` if it is none of this version."""
    return _read(path, Commitment, "a commitment", "the commitment file that `whorl commit` wrote")


def _read(path: Path, kind: type[Kind], what: str, advice: str) -> Kind:
    try:
        data = read_bounded(path, _MAX_BYTES)
        parse_json_object(data, path, unique_keys=True)
        return kind.model_validate_json(data)
    except CheckpointError as error:
        problem = error.problem
    except ValidationError as error:
        # Places only: a validation message quotes values, and a value may be a secret.
        places = {".".join(map(str, item["loc"])) or "the document" for item in error.errors(include_input=False)}
        problem = f"wrong or missing: {', '.join(sorted(place[:40] for place in places))[:300]}"
    raise InputError(f"{path}: expected {what} (JSON); {problem}; give {advice}")
