"""Envelopes: exact bytes, one signature per key, nothing that two readers could read differently."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_log import counting_bytes

from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.entries.envelope import (
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    add_signatures,
    parse_envelope,
    sign_envelope,
    signed_by,
)
from whorl.entries.keys import new_issuer_key

KEY = new_issuer_key(counting_bytes())
OTHER = new_issuer_key(counting_bytes(50))
ENVELOPE = sign_envelope(b'{"a":1}', KEY.private_keys)


@given(st.binary(max_size=300))
def test_what_was_signed_is_what_is_read(payload: bytes) -> None:
    envelope = parse_envelope(sign_envelope(payload, [KEY.ed25519]))
    assert envelope.payload == payload
    assert signed_by(envelope, KEY.public_keys) == {KEY.id}


def test_the_signature_is_the_one_of_the_dsse_protocol() -> None:
    # PAE of protocol v1.0.2, written out: the type's and the payload's lengths in bytes, in decimal.
    message = b'DSSEv1 28 application/vnd.in-toto+json 7 {"a":1}'
    document = json.loads(ENVELOPE)
    for member, public in zip(document["signatures"], KEY.public_keys, strict=True):
        assert public.holds(base64.b64decode(member["sig"]), message)


def test_signatures_by_strangers_are_ignored_and_known_ones_must_hold() -> None:
    envelope = parse_envelope(ENVELOPE)
    assert signed_by(envelope, OTHER.public_keys) == frozenset()
    assert signed_by(envelope, KEY.public_keys) == {public.id for public in KEY.public_keys}
    document = json.loads(ENVELOPE)
    document["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    with pytest.raises(VerificationError, match="not its own"):
        signed_by(parse_envelope(_dump(document)), KEY.public_keys)


def test_an_envelope_is_not_filled_until_nobody_can_read_it() -> None:
    keys = [
        new_issuer_key(counting_bytes(100 + number), post_quantum=False).ed25519 for number in range(MAX_SIGNATURES)
    ]
    full = sign_envelope(b'{"a":1}', keys)
    assert len(parse_envelope(full).signatures) == MAX_SIGNATURES
    with pytest.raises(InputError, match="room for 1 of its"):
        add_signatures(full, [KEY.ed25519])


def test_signatures_that_are_added_are_over_the_same_bytes() -> None:
    added = parse_envelope(add_signatures(ENVELOPE, OTHER.private_keys))
    assert added.payload == b'{"a":1}'
    keys = (*KEY.public_keys, *OTHER.public_keys)
    assert signed_by(added, keys) == {key.id for key in keys}
    with pytest.raises(InputError, match="two by one key"):
        parse_envelope(add_signatures(ENVELOPE, [KEY.ed25519]))


def test_a_signature_moved_under_another_algorithm_is_refused() -> None:
    document = json.loads(ENVELOPE)
    first, second = document["signatures"]
    first["sig"], second["sig"] = second["sig"], first["sig"]
    with pytest.raises(VerificationError):
        signed_by(parse_envelope(_dump(document)), KEY.public_keys)


@given(st.integers(0, len(ENVELOPE) * 8 - 1))
def test_every_flipped_bit_is_refused_or_loses_the_signature(bit: int) -> None:
    data = bytearray(ENVELOPE)
    data[bit // 8] ^= 1 << bit % 8
    try:
        signed = signed_by(parse_envelope(bytes(data)), KEY.public_keys)
    except WhorlError:
        return
    assert len(signed) < 2


def _changed(**changes: object) -> bytes:
    return _dump(json.loads(ENVELOPE) | changes)


def _dump(document: object) -> bytes:
    return json.dumps(document).encode()


SIGNATURE = json.loads(ENVELOPE)["signatures"][0]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "JSON"),
        (b"[]", "object"),
        (b'{"payload":"","payload":""}', "more than once"),
        (_changed(payloadType="application/json"), "another type"),
        (_changed(extra=1), "other fields"),
        (_changed(payload="e30=="), "base64"),
        (_changed(payload="e31="), "base64"),
        (_changed(payload=7), "base64"),
        (_changed(signatures=[]), "1 to 34"),
        (_changed(signatures=[SIGNATURE] * 35), "1 to 34"),
        (_changed(signatures=[SIGNATURE] * 2), "two by one key"),
        (_changed(signatures=[SIGNATURE | {"keyid": "AB" * 32}]), "hex digits"),
        (_changed(signatures=[SIGNATURE | {"more": 1}]), "other fields"),
        (_changed(signatures=[SIGNATURE | {"sig": "?"}]), "base64"),
        (_changed(payload="A" * MAX_ENVELOPE_BYTES), "at most"),
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_envelope(data)


@given(st.text(st.sampled_from("AQg4/+=-_ \n\0é"), max_size=12))
def test_a_payload_has_one_spelling(text: str) -> None:
    """What the strict decoder of the standard library reads, and writes again as it was; nothing else."""
    try:
        payload = base64.b64decode(text, validate=True)
        is_canonical = base64.b64encode(payload).decode() == text
    except ValueError:
        is_canonical = False
    if is_canonical:
        assert parse_envelope(_changed(payload=text)).payload == payload
    else:
        with pytest.raises(InputError, match="base64"):
            parse_envelope(_changed(payload=text))
