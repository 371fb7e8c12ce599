"""What an issuer signs: an in-toto statement that says who speaks, as their how-manieth entry, about what.

The leaf is made from the statement and nothing else, so sequence number and previous leaf are signed by the issuer:
gaps, replays and two entries with one number can be shown to anybody. Format: ``docs/specs/entry.md``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.entries.envelope import MAX_ENVELOPE_BYTES, Envelope, parse_envelope, sign_envelope, signed_by
from whorl.entries.handling import CLEAR, Handling
from whorl.entries.keys import IssuerKey, PublicKey
from whorl.entries.kinds import BODIES, KIND_NUMBERS, NEEDS_TARGET, Body, HashHex, Instant, Kind, Origin, parse_instant
from whorl.entries.leaf import LARGEST_SEQUENCE, NO_HASH, Leaf, commitment
from whorl.entries.names import Name
from whorl.entries.subject import subject_of

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PREDICATE_PREFIX: Final = "urn:whorl:"
_PREDICATE_VERSION: Final = ":1"


class Subject(Document):
    """What the statement is about, as in-toto names it."""

    name: Name
    digest: Annotated[dict[Literal["sha256"], HashHex], Field(min_length=1, max_length=1)]


class QuotedHead(Document):
    """A signed tree head of another log that the issuer had seen: the entry was made after it."""

    note: Annotated[str, Field(max_length=40_000)]


SomeBody = TypeVar("SomeBody", bound=Document)


class Predicate(Document, Generic[SomeBody]):
    """Who issued the entry, for which log, where it stands in their chain there, and what it says."""

    log: Origin = Field(description="the log that it is for; it fits no other")
    issuer: HashHex = Field(description="id of the Ed25519 key that issued it")
    sequence: Annotated[int, Field(ge=0, le=LARGEST_SEQUENCE)]
    previous: HashHex | None
    target: HashHex | None = Field(description="leaf hash of the entry that it speaks of")
    issued_at: Instant = Field(description="the issuer's own clock; proves nothing")
    handling: Handling = CLEAR
    after: QuotedHead | None = None
    body: SomeBody


class _Statement(StoredDocument, Generic[SomeBody]):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: str = Field(alias="predicateType")
    predicate: Predicate[SomeBody]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One entry as its issuer signed it."""

    kind: Kind
    name: str
    digest: str
    log: str
    issuer: bytes
    sequence: int
    previous: bytes
    target: bytes
    issued_at: datetime
    handling: Handling
    after: str | None
    body: Body

    def to_payload(self) -> bytes:
        """The bytes to be signed. Only these exact bytes count: nobody makes them again to verify."""
        return json.dumps(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": self.name, "digest": {"sha256": self.digest}}],
                "predicateType": f"{_PREDICATE_PREFIX}{self.kind}{_PREDICATE_VERSION}",
                "predicate": {
                    "log": self.log,
                    "issuer": self.issuer.hex(),
                    "sequence": self.sequence,
                    "previous": _hex_or_none(self.previous),
                    "target": _hex_or_none(self.target),
                    "issued_at": self.issued_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "handling": self.handling.model_dump(mode="json"),
                    "after": None if self.after is None else {"note": self.after},
                    "body": self.body.model_dump(mode="json"),
                },
            },
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()

    def sign(self, key: IssuerKey, *, cosigners: Sequence[IssuerKey] = ()) -> bytes:
        """The signed envelope.

        Parameters
        ----------
        key : the issuer's
        cosigners : further root or chamber keys, where a threshold asks for them, and keys that the entry makes known;
            each signs once, however often it is named
        """
        if key.id != self.issuer:
            raise ValueError("the statement names another issuer than the key that signs it")
        signers = {signer.id: signer for signer in (key, *cosigners)}
        return sign_envelope(self.to_payload(), [half for signer in signers.values() for half in signer.private_keys])


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedEntry:
    """An envelope whose statement could be read; what was signed by whom is for the caller to check."""

    envelope_bytes: bytes
    envelope: Envelope
    statement: Statement

    def leaf(self, salt: bytes) -> Leaf:
        """The leaf of this entry as a public one, under a salt of 32 unpredictable bytes."""
        return self.leaf_of(commitment(self.envelope_bytes, salt=salt))

    def leaf_of(self, commit: bytes) -> Leaf:
        """`leaf`, where the salted hash of the envelope is known already."""
        statement = self.statement
        return Leaf(
            leaf_class="public",
            kind=KIND_NUMBERS[statement.kind],
            issuer=statement.issuer,
            sequence=statement.sequence,
            previous=statement.previous,
            target=statement.target,
            commit=commit,
        )

    def require_signed(self, keys: Sequence[PublicKey]) -> frozenset[bytes]:
        """Check that the issuer and every key given beside it signed; give the ids of the keys that did.

        Parameters
        ----------
        keys : the issuer's keys, Ed25519 and, where it has one, ML-DSA-44: leaving one out is a downgrade

        Raises
        ------
        VerificationError
            If one of these keys did not sign.
        """
        signed = signed_by(self.envelope, keys)
        for key in keys:
            if key.id not in signed:
                raise VerificationError(
                    f"expected a signature of {key.algorithm} key {key.id.hex()[:16]}... on the entry, found none; "
                    "sign the entry with all keys of its issuer"
                )
        if self.statement.issuer not in signed:
            raise VerificationError("expected the issuer's own signature on the entry, found none")
        return signed


def open_entry(envelope_bytes: bytes) -> SignedEntry:
    """Parse an envelope and its statement.

    Raises
    ------
    InputError
        If either is malformed.
    """
    envelope = parse_envelope(envelope_bytes)
    return SignedEntry(envelope_bytes=envelope_bytes, envelope=envelope, statement=parse_statement(envelope.payload))


def parse_statement(payload: bytes) -> Statement:
    """Read a statement from the bytes that were signed.

    Raises
    ------
    InputError
        If it is not exactly one statement of a known kind.
    """
    document = parse_json_object(payload, what="statement", max_bytes=MAX_ENVELOPE_BYTES)
    kind = _kind(document.get("predicateType"))
    parsed = _validated(kind, payload)
    predicate = parsed.predicate
    _require_own_subject(parsed, document)
    target = _bytes_or_zeros(predicate.target)
    if (target == NO_HASH) == (kind in NEEDS_TARGET):
        expected = "a target" if kind in NEEDS_TARGET else "no target"
        raise InputError(f"expected {expected} in an entry of kind {kind}, found otherwise")
    if (predicate.sequence == 0) != (predicate.previous is None):
        raise InputError("expected a previous leaf in every entry of an issuer but the first, found otherwise")
    return Statement(
        kind=kind,
        name=parsed.subject[0].name,
        digest=parsed.subject[0].digest["sha256"],
        log=predicate.log,
        issuer=bytes.fromhex(predicate.issuer),
        sequence=predicate.sequence,
        previous=_bytes_or_zeros(predicate.previous),
        target=target,
        issued_at=parse_instant(predicate.issued_at),
        handling=predicate.handling,
        after=None if predicate.after is None else predicate.after.note,
        body=predicate.body,
    )


def _require_own_subject(parsed: "_Statement[Any]", document: Mapping[str, Any]) -> None:
    """The subject follows from the body, whose bytes as they were signed are digested."""
    subject = parsed.subject[0]
    name, digest = subject_of(parsed.predicate.body, document["predicate"]["body"])
    if (subject.name, subject.digest["sha256"]) != (name, digest):
        raise InputError(
            f"expected the subject that follows from the body, {name[:80]!a} with the digest {digest[:16]}..., found "
            f"{subject.name[:80]!a} with {subject.digest['sha256'][:16]}...; make the statement with `compose`"
        )


# The body's type is chosen at run time, which a type checker cannot follow.
_STATEMENTS: Final[dict[Kind, TypeAdapter[_Statement[Any]]]] = {
    kind: TypeAdapter(cast(Any, _Statement)[body]) for kind, body in BODIES.items()
}


def _validated(kind: Kind, payload: bytes) -> _Statement[Any]:
    try:
        return _STATEMENTS[kind].validate_json(payload)
    except ValidationError as error:
        raise InputError(
            f"expected a well-formed statement of kind {kind}, found fault with {first_fault(error, whole='statement')}"
        ) from None


_KINDS_BY_TYPE: Final = {f"{_PREDICATE_PREFIX}{kind}{_PREDICATE_VERSION}": kind for kind in BODIES}


def _kind(predicate_type: object) -> Kind:
    kind = _KINDS_BY_TYPE.get(predicate_type) if isinstance(predicate_type, str) else None
    if kind is None:
        found = str(predicate_type)[:80]
        raise InputError(f"expected a predicate such as urn:whorl:model:1, found {found!a}; a newer whorl may read it")
    return kind


def _hex_or_none(digest: bytes) -> str | None:
    return None if digest == NO_HASH else digest.hex()


def _bytes_or_zeros(text: str | None) -> bytes:
    return NO_HASH if text is None else bytes.fromhex(text)
