"""Signed requests: a signature made elsewhere by RFC 9421's rules, round trips, and every change of a request."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import InputError
from whorl.entries.keys import IssuerKey, PrivateKey
from whorl.registry.request_signatures import SignedRequest, digest_of, parse_signed_request, sign_request

KEY = IssuerKey(ed25519=PrivateKey(algorithm="ed25519", seed=b"\x07" * 32))
OTHER = IssuerKey(ed25519=PrivateKey(algorithm="ed25519", seed=b"\x08" * 32))
CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUEST: dict[str, Any] = {
    "method": "PUT",
    "path": "/api/blobs/sha256:00",
    "query": "",
    "body_digest": digest_of(b"body"),
    "origin": "bureau.example/one",
    "created": CREATED,
    "nonce": bytes(range(16)),
}


def parsed(headers: dict[str, str], **changes: Any) -> SignedRequest:
    asked = {name: REQUEST[name] for name in ("method", "path", "query", "origin")}
    return parse_signed_request(
        digest=headers["Content-Digest"],
        signature_input=headers["Signature-Input"],
        signature=headers["Signature"],
        **{**asked, **changes},
    )


def test_the_signature_is_over_the_base_that_the_rfc_describes() -> None:
    """The base written out by hand, after RFC 9421 section 2.5, and signed without any code of the package."""
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(b"body").digest()).decode() + ":"
    params = (
        '("@method" "@path" "@query" "content-digest");created=1772366400;nonce="000102030405060708090a0b0c0d0e0f"'
        f';keyid="{KEY.id.hex()}";alg="ed25519";tag="whorl:bureau.example/one"'
    )
    base = (
        '"@method": PUT\n"@path": /api/blobs/sha256:00\n"@query": ?\n'
        f'"content-digest": {digest}\n"@signature-params": {params}'
    )
    signature = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).sign(base.encode())
    headers = sign_request(KEY, **REQUEST)
    assert headers["Signature-Input"] == f"whorl={params}"
    assert headers["Signature"] == f"whorl=:{base64.b64encode(signature).decode()}:"
    assert headers["Content-Digest"] == digest
    assert headers["Whorl-Key"].startswith("ed25519:")


PATHS = st.text(alphabet="abc/%2f:.-_", min_size=1, max_size=30).map(lambda text: f"/{text}")


@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE"]),
    path=PATHS,
    query=st.text(alphabet="ab=&%20", max_size=20),
    body=st.binary(max_size=50),
    origin=st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60),
    nonce=st.binary(min_size=16, max_size=16),
)
def test_what_was_signed_is_read_back(
    method: str, path: str, query: str, body: bytes, origin: str, nonce: bytes
) -> None:
    asked = {"method": method, "path": path, "query": query, "origin": origin}
    headers = sign_request(KEY, **asked, body_digest=digest_of(body), created=CREATED, nonce=nonce)
    found = parsed(headers, **asked)
    assert found.is_by(KEY.ed25519.public)
    assert not found.is_by(OTHER.ed25519.public)
    assert (found.key_id, found.created, found.nonce) == (KEY.id, CREATED, nonce.hex())
    assert found.body_digest == digest_of(body)


@pytest.mark.parametrize(
    "changes", [{"method": "POST"}, {"path": "/api/blobs/sha256:01"}, {"query": "a"}, {"query": "?"}], ids=str
)
def test_a_request_that_was_changed_is_not_the_signed_one(changes: dict[str, Any]) -> None:
    assert not parsed(sign_request(KEY, **REQUEST), **changes).is_by(KEY.ed25519.public)


def test_a_request_for_another_registry_is_none_here() -> None:
    with pytest.raises(InputError, match=r"bureau\.example/two"):
        parsed(sign_request(KEY, **REQUEST), origin="bureau.example/two")


@pytest.mark.parametrize("name", ["Content-Digest", "Signature-Input", "Signature"])
def test_each_altered_letter_is_refused_or_breaks_the_signature(name: str) -> None:
    headers = sign_request(KEY, **REQUEST)
    for place in range(len(headers[name])):
        letter = "1" if headers[name][place] != "1" else "2"
        altered = {**headers, name: headers[name][:place] + letter + headers[name][place + 1 :]}
        try:
            found = parsed(altered)
        except InputError:
            continue
        assert not found.is_by(KEY.ed25519.public)


@given(st.text(max_size=400), st.text(max_size=120), st.text(max_size=80))
def test_other_headers_are_refused(stated: str, signature: str, digest: str) -> None:
    with pytest.raises(InputError):
        parsed({"Signature-Input": stated, "Signature": signature, "Content-Digest": digest})
