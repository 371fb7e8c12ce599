"""The root: one signed statement over the list of a dossier's files, by whoever issues it.

DSSE over an in-toto statement whose subject is the tag manifest, which lists the manifest, which lists every file. The
keys it is checked with stand in it; whose they are, the case's first event says, and whether to believe that is for
the reader, who may bring a key of their own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.bag import ROOT, TAG_MANIFEST
from whorl.entries.envelope import MAX_ENVELOPE_BYTES, PAYLOAD_TYPE, Envelope, parse_envelope, sign_envelope, signed_by
from whorl.entries.keys import IssuerKey, PublicKey, encode_public, parse_public
from whorl.entries.kinds import HashHex, Instant, KeyText
from whorl.entries.receipt import encode
from whorl.entries.statement import STATEMENT_TYPE

PREDICATE_TYPE: Final = "urn:whorl:dossier:1"


class RootPredicate(Document):
    """What the issuer says of the dossier."""

    case: HashHex
    head: HashHex = Field(description="hash of the last record of the case's chain")
    events: Annotated[int, Field(ge=1, le=100_000)] = Field(description="number of records of the chain")
    opinion: HashHex | None = Field(description="SHA-256 of the opinion in force; null where there is none")
    built_at: Instant
    tool: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,40} [\x21-\x7e]{1,59}$")]
    keys: Annotated[tuple[KeyText, ...], Field(min_length=1, max_length=2)] = Field(
        description="the issuer's public keys, Ed25519 first; all of them sign"
    )


class _Subject(Document):
    name: Literal["tagmanifest-sha256.txt"]
    digest: Annotated[dict[Literal["sha256"], HashHex], Field(min_length=1, max_length=1)]


class _Statement(StoredDocument):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[_Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal["urn:whorl:dossier:1"] = Field(alias="predicateType")
    predicate: RootPredicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A root that was read; ``keys`` are those that it states, ``signed`` the ids of those that signed."""

    tag_manifest: str
    predicate: RootPredicate
    keys: tuple[PublicKey, ...]
    data: bytes

    @property
    def issuer(self) -> bytes:
        """Id of the issuer's Ed25519 key."""
        return self.keys[0].id

    def require_signed(self) -> None:
        """Check the signatures of all keys that the root states.

        Raises
        ------
        VerificationError
            If one is missing or wrong.
        """
        envelope = parse_envelope(self.data)
        signed_by(envelope, self.keys)  # a signature that is not its key's own is refused there
        stated, signed = [key.id.hex() for key in self.keys], [key_id for key_id, _ in envelope.signatures]
        if stated != signed:
            raise VerificationError(
                f"{ROOT}: expected signatures of the keys that it states, in their order "
                f"({_short(stated)}), found signatures of {_short(signed)}"
            )
        if self.data != _spelled(envelope):
            raise VerificationError(f"{ROOT}: expected the envelope in its one spelling, found another")


def _spelled(envelope: Envelope) -> bytes:
    """The envelope as `sign_envelope` writes it."""
    signatures = [{"keyid": key_id, "sig": encode(signature)} for key_id, signature in envelope.signatures]
    document = {"payload": encode(envelope.payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    return json.dumps(document, separators=(",", ":")).encode()


def _short(key_ids: Sequence[str]) -> str:
    return ", ".join(f"{key_id[:16]}..." for key_id in key_ids)


def root_payload(tag_manifest: str, predicate: RootPredicate) -> bytes:
    """The bytes to be signed.

    Parameters
    ----------
    tag_manifest : hex SHA-256 of ``tagmanifest-sha256.txt``
    """
    return json.dumps(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": TAG_MANIFEST, "digest": {"sha256": tag_manifest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate.model_dump(mode="json"),
        },
        separators=(",", ":"),
    ).encode()


def sign_root(payload: bytes, key: IssuerKey, *, kept: bytes | None = None) -> bytes:
    """The bytes of ``root.dsse.json``.

    Parameters
    ----------
    kept : a root signed earlier, which is given back where it states the very same: an ML-DSA-44 signature is another
        each time, and a dossier built twice is to be the same file
    """
    if kept is not None and parse_envelope(kept).payload == payload:
        parse_root(kept).require_signed()
        return kept
    return sign_envelope(payload, key.private_keys)


def parse_root(data: bytes) -> Root:
    """Read a root; its signatures are not checked yet.

    Raises
    ------
    InputError
        If it is none, or its keys are not one Ed25519 key and at most one ML-DSA-44 key.
    """
    envelope = parse_envelope(data)
    parse_json_object(envelope.payload, what=ROOT, max_bytes=MAX_ENVELOPE_BYTES, max_depth=6)
    try:
        statement = _Statement.model_validate_json(envelope.payload)
    except ValidationError as error:
        raise InputError(
            f"{ROOT}: expected a statement of type {PREDICATE_TYPE}, found fault with {first_fault(error)}"
        ) from None
    keys = tuple(map(parse_public, statement.predicate.keys))
    if [key.algorithm for key in keys] not in (["ed25519"], ["ed25519", "mldsa44"]):
        raise InputError(f"{ROOT}: expected an Ed25519 key and at most one ML-DSA-44 key after it, found others")
    return Root(tag_manifest=statement.subject[0].digest["sha256"], predicate=statement.predicate, keys=keys, data=data)


def key_texts(keys: Sequence[PublicKey]) -> tuple[str, ...]:
    """Public keys as a root states them."""
    return tuple(map(encode_public, keys))
