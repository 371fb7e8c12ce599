"""The signed chain of a case: events that can be erased, and records of them that cannot.

Each event is a DSSE envelope. What stays of it for ever is its record: when, by whom, of which kind, and a salted
commitment to the envelope. A record holds the hash of the one before, so none can be left out, added or moved without
all later ones changing. Erasing envelope and salt leaves nothing of what was said, and breaks no hash.
Format: ``docs/specs/case.md``.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.digest import canonical_json
from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.events import Body, EventKind, Expunged, keys_named, parse_body
from whorl.entries.envelope import MAX_ENVELOPE_BYTES, parse_envelope, sign_envelope, signed_by
from whorl.entries.keys import IssuerKey, PublicKey, parse_public
from whorl.entries.kinds import HashHex, Instant
from whorl.entries.leaf import SALT_BYTES
from whorl.entries.statement import STATEMENT_TYPE

PREDICATE_TYPE: Final = "urn:whorl:case-event:1"
MAX_EVENTS: Final = 10_000
MAX_LINE_BYTES: Final = 1 << 19
MAX_DEPTH: Final = 12
_RECORD_TAG: Final = b"whorl/record/v1\0"
_COMMIT_TAG: Final = b"whorl/custody/v1\0"


class Record(Document):
    """What remains of an event for ever."""

    sequence: Annotated[int, Field(ge=0, lt=MAX_EVENTS)]
    previous: HashHex | None
    kind: EventKind
    actor: HashHex = Field(description="id of the Ed25519 key of whoever acted")
    at: Instant = Field(description="their own clock")
    commitment: HashHex

    @property
    def hash(self) -> bytes:
        """What the next record names as the one before it."""
        return hashlib.sha256(_RECORD_TAG + canonical_json(self.model_dump(mode="json"))).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record, with the event's envelope and salt; both are None once they were erased."""

    record: Record
    envelope: bytes | None
    salt: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event whose signatures, place and commitment hold; ``body`` is None once it was erased."""

    record: Record
    body: "Body | None"


class _Subject(Document):
    name: EventKind
    digest: Annotated[dict[Literal["sha256"], HashHex], Field(min_length=1, max_length=1)]


class _Predicate(Document):
    case: HashHex | None
    sequence: Annotated[int, Field(ge=0, lt=MAX_EVENTS)]
    previous: HashHex | None
    actor: HashHex
    at: Instant
    body: dict[str, Any]


class _Statement(StoredDocument):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[_Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal["urn:whorl:case-event:1"] = Field(alias="predicateType")
    predicate: _Predicate


def sign_event(
    body: "Body",
    *,
    case: bytes | None,
    sequence: int,
    previous: bytes | None,
    key: IssuerKey,
    at: datetime,
    salt: bytes,
) -> Kept:
    """Sign an event and make its record.

    Parameters
    ----------
    case : hash of the first record, which is the case's id; None in the first event
    previous : hash of the record before; None in the first event
    at : the signer's clock; kept to the second
    salt : 32 unpredictable bytes
    """
    if not (sequence == 0) == (case is None) == (previous is None):
        raise ValueError("the first event, and only that, has no case and no previous record")
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    content = body.model_dump(mode="json")
    time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": body.kind, "digest": {"sha256": _sha256(canonical_json(content))}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "case": _hex(case),
            "sequence": sequence,
            "previous": _hex(previous),
            "actor": key.id.hex(),
            "at": time,
            "body": content,
        },
    }
    payload = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    envelope = sign_envelope(payload, key.private_keys)
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise InputError(
            f"expected an event of at most {MAX_ENVELOPE_BYTES} bytes, found {len(envelope)}; file what is long as an "
            "exhibit"
        )
    record = Record(
        sequence=sequence,
        previous=_hex(previous),
        kind=body.kind,
        actor=key.id.hex(),
        at=time,
        commitment=_commitment(envelope, salt),
    )
    return Kept(record=record, envelope=envelope, salt=salt)


def open_chain(kept: Sequence[Kept], keys: Mapping[bytes, tuple[PublicKey, ...]] | None = None) -> tuple[Event, ...]:
    """Check a whole chain: places, commitments, statements and signatures.

    Parameters
    ----------
    keys : keys known from elsewhere, by the id of the Ed25519 key; an event that names other ones for it is refused

    Raises
    ------
    VerificationError
        If anything does not hold; the message names the event. Whether the events were allowed is not asked here.
    """
    if not kept or len(kept) > MAX_EVENTS:
        raise VerificationError(f"expected a case with 1 to {MAX_EVENTS} events, found {len(kept)}")
    known = dict(keys or {})
    case = kept[0].record.hash
    previous: bytes | None = None
    events = []
    for place, one in enumerate(kept):
        try:
            _require_place(one.record, place, previous)
            body = _opened(one, case, known)
        except (InputError, VerificationError) as error:
            raise VerificationError(f"event {place} ({one.record.kind}): {error}") from None
        if body is not None:
            _learn(known, body, place)
        events.append(Event(record=one.record, body=body))
        previous = one.record.hash
    return tuple(events)


def _require_place(record: Record, place: int, previous: bytes | None) -> None:
    if record.sequence != place:
        raise VerificationError(f"expected number {place}, found {record.sequence}: an event was left out or moved")
    if record.previous != _hex(previous):
        raise VerificationError("expected the hash of the record before it, found another: the chain was changed")


def _opened(one: Kept, case: bytes, known: Mapping[bytes, tuple[PublicKey, ...]]) -> "Body | None":
    """The body of one event, once commitment, statement and signatures hold; None where it was erased."""
    record, envelope_bytes, salt = one.record, one.envelope, one.salt
    if envelope_bytes is None or salt is None:
        if envelope_bytes is not None or salt is not None:
            raise VerificationError("expected envelope and salt, or neither, found one of them")
        return None
    if _commitment(envelope_bytes, salt) != record.commitment:
        raise VerificationError("expected the envelope that its record commits to, found another: it was exchanged")
    envelope = parse_envelope(envelope_bytes)
    predicate, body = _parse_statement(envelope.payload)
    claimed = (predicate.sequence, predicate.previous, predicate.actor, predicate.at, body.kind)
    if claimed != (record.sequence, record.previous, record.actor, record.at, record.kind):
        raise VerificationError("expected a statement that says what its record says, found another")
    if predicate.case != (None if record.sequence == 0 else case.hex()):
        raise VerificationError(f"expected an event of the case {case.hex()[:16]}..., found one of another case")
    keys = _keys_of(record, body, known)
    signed = signed_by(envelope, keys)
    for key in keys:
        if key.id not in signed:
            raise VerificationError(
                f"expected a signature of {key.algorithm} key {key.id.hex()[:16]}..., found none: all keys of a person "
                "sign"
            )
    return body


def _keys_of(record: Record, body: "Body", known: Mapping[bytes, tuple[PublicKey, ...]]) -> tuple[PublicKey, ...]:
    actor = bytes.fromhex(record.actor)
    named = known.get(actor) or (keys_named(body).get(actor) if record.sequence == 0 else None)
    if named is None and isinstance(body, Expunged):
        named = tuple(map(parse_public, body.keys))
    if named is None or named[0].id != actor:
        raise VerificationError(f"expected a person of this case, found the unknown key {record.actor[:16]}...")
    return named


def _learn(known: dict[bytes, tuple[PublicKey, ...]], body: "Body", place: int) -> None:
    for actor, keys in keys_named(body).items():
        if known.setdefault(actor, keys) != keys:
            raise VerificationError(
                f"event {place} ({body.kind}): expected the keys already known for {actor.hex()[:16]}..., found others"
            )


def _parse_statement(payload: bytes) -> "tuple[_Predicate, Body]":
    document = parse_json_object(payload, what="statement", max_bytes=MAX_ENVELOPE_BYTES, max_depth=MAX_DEPTH)
    try:
        statement = _Statement.model_validate_json(payload)
    except ValidationError as error:
        raise InputError(
            f"expected a statement of an event, found fault with {first_fault(error, whole='statement')}"
        ) from None
    content = document["predicate"]["body"]
    try:
        canonical = canonical_json(content)
    except ValueError as error:
        raise InputError(f"expected a body that has a canonical JSON form, found none: {error}") from None
    body = parse_body(canonical)
    subject = statement.subject[0]
    if (subject.name, subject.digest["sha256"]) != (body.kind, _sha256(canonical)):
        raise InputError("expected the subject that follows from the body, found another")
    return statement.predicate, body


def write_chain(kept: Sequence[Kept]) -> bytes:
    """The chain as ``custody.jsonl``: one line of canonical JSON for each event."""
    lines = (
        canonical_json(
            {
                "record": one.record.model_dump(mode="json"),
                "envelope": None if one.envelope is None else base64.b64encode(one.envelope).decode(),
                "salt": _hex(one.salt),
            }
        )
        for one in kept
    )
    return b"".join(line + b"\n" for line in lines)


def parse_chain(data: bytes) -> tuple[Kept, ...]:
    """Read ``custody.jsonl``; `open_chain` checks what it says.

    Raises
    ------
    InputError
        If it is none, or not in its one spelling.
    """
    lines = data.split(b"\n", MAX_EVENTS + 1)
    if lines[-1] != b"" or not 2 <= len(lines) <= MAX_EVENTS + 1:
        raise InputError(f"expected 1 to {MAX_EVENTS} lines of events, each with its line end, found otherwise")
    kept = tuple(_parse_line(line, number) for number, line in enumerate(lines[:-1], start=1))
    if write_chain(kept) != data:
        raise InputError("expected the chain in its one spelling (canonical JSON), found another")
    return kept


def _parse_line(line: bytes, number: int) -> Kept:
    what = f"line {number} of the chain"
    document = parse_json_object(line, what=what, max_bytes=MAX_LINE_BYTES, max_depth=3)
    if set(document) != {"record", "envelope", "salt"}:
        raise InputError(f"{what}: expected record, envelope and salt, found other members")
    envelope, salt = document["envelope"], document["salt"]
    try:
        return Kept(
            record=Record.model_validate(document["record"]),
            envelope=None if envelope is None else base64.b64decode(envelope, validate=True),
            salt=None if salt is None else bytes.fromhex(salt),
        )
    except (ValidationError, ValueError, TypeError, binascii.Error):
        raise InputError(
            f"{what}: expected a record, an envelope in base64 and a salt in hex, found otherwise"
        ) from None


def _commitment(envelope: bytes, salt: bytes) -> str:
    return _sha256(_COMMIT_TAG + salt + hashlib.sha256(envelope).digest())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()
