"""Issuer keys: one id for one algorithm and key, files that say nothing of what they hold."""

import json

import pytest
from small_log import counting_bytes

from whorl.core.errors import InputError
from whorl.entries.keys import (
    PublicKey,
    encode_public,
    new_issuer_key,
    parse_key_file,
    parse_public,
    write_key_file,
)

KEY = new_issuer_key(counting_bytes())


def test_a_key_file_is_read_back_as_the_same_key() -> None:
    assert parse_key_file(write_key_file(KEY), origin="key.json") == KEY
    lone = new_issuer_key(counting_bytes(), post_quantum=False)
    assert parse_key_file(write_key_file(lone), origin="key.json") == lone


def test_public_keys_are_read_back_from_their_text() -> None:
    for public in KEY.public_keys:
        assert parse_public(encode_public(public)) == public


def test_every_key_has_an_id_of_its_own() -> None:
    # The same 32 bytes can be an Ed25519 key of one name only; the algorithm is part of the id.
    ids = {public.id for public in KEY.public_keys}
    assert len(ids) == 2
    other = new_issuer_key(counting_bytes(9))
    assert other.id not in ids


def test_a_signature_holds_for_its_message_and_key_alone() -> None:
    for private in KEY.private_keys:
        signature = private.sign(b"message")
        assert private.public.holds(signature, b"message")
        assert not private.public.holds(signature, b"massage")
        assert not private.public.holds(signature[:-1], b"message")
        assert not private.public.holds(bytes(len(signature)), b"message")


def test_no_secret_shows_in_a_repr_or_a_message() -> None:
    data = write_key_file(KEY)
    secrets = [private.seed.hex() for private in KEY.private_keys]
    shown = [repr(KEY), repr(KEY.ed25519), str(KEY.mldsa44)]
    broken = json.loads(data) | {"id": "0" * 64}
    with pytest.raises(InputError) as mismatch:
        parse_key_file(json.dumps(broken).encode(), origin="key.json")
    malformed = json.loads(data) | {"ed25519": secrets[0] + "z"}
    with pytest.raises(InputError) as fault:
        parse_key_file(json.dumps(malformed).encode(), origin="key.json")
    for text in (*shown, str(mismatch.value), str(fault.value)):
        assert not any(secret in text for secret in secrets)
    assert "ed25519" in str(fault.value)


@pytest.mark.parametrize(
    "text",
    ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 43 + "=", encode_public(KEY.ed25519.public) + " ", "ed25519:é"],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="public key"):
        parse_public(text)


def test_a_second_spelling_of_a_key_is_refused() -> None:
    text = encode_public(PublicKey(algorithm="ed25519", public=bytes(32)))
    with pytest.raises(InputError, match="canonical"):
        parse_public(text[:-2] + "B=")  # the last letter's unused bits set
