"""The root: it signs one list of files, with exactly the keys that it states, in one spelling."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.dossiers.root import RootPredicate, key_texts, parse_root, root_payload, sign_root
from whorl.entries.envelope import sign_envelope
from whorl.entries.keys import IssuerKey, PrivateKey

KEY = IssuerKey(
    ed25519=PrivateKey(algorithm="ed25519", seed=b"\x01" * 32),
    mldsa44=PrivateKey(algorithm="mldsa44", seed=b"\x02" * 32),
)
OTHER = IssuerKey(ed25519=PrivateKey(algorithm="ed25519", seed=b"\x03" * 32))
LISTED = "ab" * 32


def predicate(key: IssuerKey = KEY, **changes: object) -> RootPredicate:
    values = {
        "case": "5e" * 32,
        "head": "7a" * 32,
        "events": 4,
        "opinion": None,
        "built_at": "2026-11-27T10:00:00Z",
        "tool": "whorl 0.1.0",
        "keys": key_texts(key.public_keys),
    }
    return RootPredicate.model_validate(values | changes)


ROOT = sign_root(root_payload(LISTED, predicate()), KEY)


def test_a_root_reads_as_it_was_signed() -> None:
    root = parse_root(ROOT)
    root.require_signed()
    assert (root.tag_manifest, root.predicate, root.issuer) == (LISTED, predicate(), KEY.id)


def test_every_key_that_it_states_signs_and_nobody_else() -> None:
    payload = root_payload(LISTED, predicate())
    keys = KEY.private_keys
    for signers in (keys[:1], keys[1:], keys[::-1], (*keys, *OTHER.private_keys), OTHER.private_keys):
        with pytest.raises(
            VerificationError, match=r"root\.dsse\.json: expected signatures of the keys that it states"
        ):
            parse_root(sign_envelope(payload, signers)).require_signed()


def test_a_signature_over_something_else_is_refused() -> None:
    other = json.loads(sign_root(root_payload("cd" * 32, predicate()), KEY))
    document = json.loads(ROOT) | {"signatures": other["signatures"]}
    with pytest.raises(VerificationError, match="not its own"):
        parse_root(json.dumps(document, separators=(",", ":")).encode()).require_signed()


def test_an_envelope_in_another_spelling_is_refused() -> None:
    document = json.loads(ROOT)
    for other in (ROOT + b"\n", json.dumps(document).encode(), json.dumps(dict(reversed(document.items()))).encode()):
        with pytest.raises(VerificationError, match="one spelling"):
            parse_root(other).require_signed()


@pytest.mark.parametrize(
    "change",
    [
        {"case": "5E" * 32},
        {"head": "x"},
        {"events": 0},
        {"events": True},
        {"opinion": ""},
        {"built_at": "2026-13-27T10:00:00Z"},
        {"tool": "whorl"},
        {"keys": []},
        {"keys": ["rsa:AAAA"]},
        {"keys": list(key_texts(KEY.public_keys))[::-1]},
        {"keys": list(key_texts(OTHER.public_keys)) * 2},
        {"verdict": "copied"},
    ],
)
def test_a_statement_of_another_form_is_refused(change: dict[str, object]) -> None:
    document = json.loads(root_payload(LISTED, predicate()))
    document["predicate"] |= change
    with pytest.raises(InputError):
        parse_root(sign_envelope(json.dumps(document).encode(), KEY.private_keys))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("predicateType", "urn:whorl:dossier:2"),
        ("_type", "https://in-toto.io/Statement/v0.1"),
        ("subject", []),
        ("subject", [{"name": "manifest-sha256.txt", "digest": {"sha256": LISTED}}]),
        ("subject", [{"name": "tagmanifest-sha256.txt", "digest": {"md5": "ab" * 16}}]),
        ("subject", [{"name": "tagmanifest-sha256.txt", "digest": {"sha256": LISTED, "md5": "ab" * 16}}]),
    ],
)
def test_a_statement_about_something_else_is_refused(member: str, value: object) -> None:
    document = json.loads(root_payload(LISTED, predicate())) | {member: value}
    with pytest.raises(InputError):
        parse_root(sign_envelope(json.dumps(document).encode(), KEY.private_keys))


def test_an_earlier_root_is_given_back_only_where_it_states_the_same_and_holds() -> None:
    payload = root_payload(LISTED, predicate())
    assert sign_root(payload, KEY, kept=ROOT) == ROOT
    assert sign_root(root_payload(LISTED, predicate(events=5)), KEY, kept=ROOT) != ROOT
    damaged = json.loads(ROOT)
    damaged["signatures"].pop()
    with pytest.raises(VerificationError):
        sign_root(payload, KEY, kept=json.dumps(damaged).encode())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(ROOT) - 1), st.integers(1, 255))
def test_no_changed_byte_is_overlooked(at: int, change: int) -> None:
    data = bytearray(ROOT)
    data[at] ^= change
    with pytest.raises(WhorlError):
        parse_root(bytes(data)).require_signed()
