"""Signed envelopes: DSSE, the exact bytes that were signed, never a document made again by the verifier.

Source: the Dead Simple Signing Envelope, protocol v1.0.2: a signature is over PAE(payload type, payload), and a
verifier accepts only key ids that it was given beforehand.
"""

import binascii
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from whorl.core.errors import InputError, VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.entries.keys import PrivateKey, PublicKey

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_ENVELOPE_BYTES: Final = 1 << 18
MAX_SIGNATURES: Final = 34  # two each of 16 root keys, and of a key that they add
_KEY_ID_LETTERS: Final = 64
_KEY_ID: Final = re.compile(rf"[0-9a-f]{{{_KEY_ID_LETTERS}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A parsed envelope; nothing in it is trusted before `signed_by`."""

    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]


def sign_envelope(payload: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """Sign a payload and give the envelope's bytes, which are what leaves commit to.

    Parameters
    ----------
    payload : an in-toto statement
    keys : one signature each, in this order
    """
    return _written(payload, _signatures(payload, keys))


def add_signatures(data: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """The bytes of an envelope with further signatures behind those that it has, none of which is checked.

    Raises
    ------
    InputError
        If it is no such envelope, or has no room for them.
    """
    envelope = parse_envelope(data)
    signatures = [*envelope.signatures, *_signatures(envelope.payload, keys)]
    if len(signatures) > MAX_SIGNATURES:
        raise InputError(
            f"expected an envelope with room for {len(keys)} of its {MAX_SIGNATURES} signatures, found "
            f"{len(envelope.signatures)} in it; start from one that holds no others than are needed"
        )
    return _written(envelope.payload, signatures)


def parse_envelope(data: bytes) -> Envelope:
    """Read an envelope without checking its signatures.

    Raises
    ------
    InputError
        If it is no DSSE envelope of an in-toto statement, or one key signed twice.
    """
    document = parse_json_object(data, what="envelope", max_bytes=MAX_ENVELOPE_BYTES, max_depth=4)
    if set(document) != {"payload", "payloadType", "signatures"} or document["payloadType"] != PAYLOAD_TYPE:
        raise InputError(
            f"expected a DSSE envelope with a payload of type {PAYLOAD_TYPE}, found other fields or another type"
        )
    signatures = document["signatures"]
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise InputError(f"expected an envelope with 1 to {MAX_SIGNATURES} signatures, found another number")
    pairs = tuple(_signature(member) for member in signatures)
    if len({key_id for key_id, _ in pairs}) < len(pairs):
        raise InputError("expected one signature per key in an envelope, found two by one key")
    return Envelope(payload=_decode(document["payload"], "payload"), signatures=pairs)


def signed_by(envelope: Envelope, keys: Iterable[PublicKey]) -> frozenset[bytes]:
    """Ids of those of the keys that signed the envelope; signatures by other keys are ignored.

    Raises
    ------
    VerificationError
        If one of the keys is named with a signature that is not its own.
    """
    known = {key.id.hex(): key for key in keys}
    message = _pae(envelope.payload)
    signed = set()
    for key_id, signature in envelope.signatures:
        key = known.get(key_id)
        if key is None:
            continue
        if not key.holds(signature, message):
            raise VerificationError(
                f"expected a signature of {key.algorithm} key {key_id[:16]}..., found one that is not its own: "
                "the envelope was altered or signed by somebody else"
            )
        signed.add(key.id)
    return frozenset(signed)


def _signatures(payload: bytes, keys: Sequence[PrivateKey]) -> list[tuple[str, bytes]]:
    message = _pae(payload)
    return [(key.public.id.hex(), key.sign(message)) for key in keys]


def _written(payload: bytes, signatures: Sequence[tuple[str, bytes]]) -> bytes:
    document = {
        "payload": _text(payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key_id, "sig": _text(signature)} for key_id, signature in signatures],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _pae(payload: bytes) -> bytes:
    """The DSSE pre-authentication encoding: what is signed."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _signature(member: Any) -> tuple[str, bytes]:
    if not isinstance(member, dict) or set(member) != {"keyid", "sig"}:
        raise InputError("expected signatures of an envelope with keyid and sig, found other fields")
    key_id = member["keyid"]
    if not isinstance(key_id, str) or _KEY_ID.fullmatch(key_id) is None:
        raise InputError(f"expected a key id of {_KEY_ID_LETTERS} hex digits, found {str(key_id)[:80]!a}")
    return key_id, _decode(member["sig"], "signature")


def _decode(text: Any, what: str) -> bytes:
    try:
        data = binascii.a2b_base64(text) if isinstance(text, str) else None
    except ValueError:
        data = None
    if data is None or _text(data) != text:  # what is not of the alphabet was passed over, and is missing here
        raise InputError(f"expected the {what} of an envelope in canonical base64, found something else")
    return data


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()
