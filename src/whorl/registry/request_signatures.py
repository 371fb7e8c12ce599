"""Signed requests: a key shows who asks, for one request and a few minutes (RFC 9421, with RFC 9530's digest).

Of HTTP Message Signatures one profile is spoken, so that there is nothing to choose and nothing to forget:

- Covered are ``"@method" "@path" "@query" "content-digest"``, in this order; a request without a body has the digest of
  nothing.
- The parameters are ``created``, ``nonce``, ``keyid``, ``alg`` and ``tag``, in this order. ``keyid`` is the issuer's id
  of 64 hex digits, ``alg`` is ``ed25519``, ``nonce`` 32 hex digits.
- ``tag`` is ``whorl:`` and the origin of the registry's log: a request to one registry is none to another, whatever
  proxies and host names lie between.

``Whorl-Key`` gives the public key, for a registry that knows only its id: that of a peer whose log it does not mirror
yet. A signature that is over in minutes needs no ML-DSA-44 beside it; entries do. Format: ``docs/specs/service.md``.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from whorl.core.errors import InputError
from whorl.entries.keys import IssuerKey, PublicKey, encode_public

NONCE_BYTES: Final = 16
CLOCKS_DIFFER: Final = timedelta(minutes=5)
DIGEST_HEADER: Final = "Content-Digest"
INPUT_HEADER: Final = "Signature-Input"
SIGNATURE_HEADER: Final = "Signature"
KEY_HEADER: Final = "Whorl-Key"

_COVERED: Final = '("@method" "@path" "@query" "content-digest")'
_INPUT: Final = re.compile(
    r"whorl=(?P<params>"
    + re.escape(_COVERED)
    + r';created=(?P<created>[1-9][0-9]{0,11});nonce="(?P<nonce>[0-9a-f]{32})";keyid="(?P<key>[0-9a-f]{64})"'
    r';alg="ed25519";tag="(?P<tag>(?:[ !#-\[\]-~]|\\["\\]){1,400})")'
)
_SIGNATURE: Final = re.compile(r"whorl=:([A-Za-z0-9+/]{86}==):")
_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request that names a key as its sender; nothing is shown before `is_by`.

    Parameters
    ----------
    key_id : the Ed25519 key that is said to have signed
    body_digest : SHA-256 that the body must have
    message : what must have been signed
    """

    key_id: bytes
    created: datetime
    nonce: str
    body_digest: bytes
    message: bytes
    signature: bytes

    def is_by(self, key: PublicKey) -> bool:
        """Whether the signature is this key's."""
        return key.id == self.key_id and key.holds(self.signature, self.message)


def sign_request(
    key: IssuerKey,
    *,
    method: str,
    path: str,
    query: str = "",
    body_digest: bytes,
    origin: str,
    created: datetime,
    nonce: bytes,
) -> dict[str, str]:
    """The headers that sign a request.

    Parameters
    ----------
    path, query : as they stand in the request, percent-encoding and all; the query without its question mark
    body_digest : SHA-256 of the body
    origin : of the registry's log
    nonce : `NONCE_BYTES` that are never used again
    """
    params = (
        f'{_COVERED};created={int(created.timestamp())};nonce="{nonce.hex()}";keyid="{key.id.hex()}"'
        f';alg="ed25519";tag="{_tag(origin)}"'
    )
    digest = f"sha-256=:{base64.b64encode(body_digest).decode()}:"
    signature = key.ed25519.sign(_message(method, path, query, digest, params))
    return {
        DIGEST_HEADER: digest,
        INPUT_HEADER: f"whorl={params}",
        SIGNATURE_HEADER: f"whorl=:{base64.b64encode(signature).decode()}:",
        KEY_HEADER: encode_public(key.ed25519.public),
    }


def parse_signed_request(
    *, digest: str, signature_input: str, signature: str, method: str, path: str, query: str, origin: str
) -> SignedRequest:
    """Read the three headers of a signed request.

    Raises
    ------
    InputError
        If they are not exactly of the profile, or are for another registry.
    """
    found, signed, stated = (
        _INPUT.fullmatch(signature_input),
        _SIGNATURE.fullmatch(signature),
        _DIGEST.fullmatch(digest),
    )
    if found is None or signed is None or stated is None:
        raise InputError(
            "expected Signature-Input, Signature and Content-Digest of a request as docs/specs/service.md describes "
            "them, found something else; sign the request anew"
        )
    if found["tag"] != _tag(origin):
        raise InputError(f"expected a request signed for the registry {origin}, found one for another; sign it anew")
    return SignedRequest(
        key_id=bytes.fromhex(found["key"]),
        created=datetime.fromtimestamp(int(found["created"]), UTC),
        nonce=found["nonce"],
        body_digest=base64.b64decode(stated[1]),
        message=_message(method, path, query, digest, found["params"]),
        signature=base64.b64decode(signed[1]),
    )


def digest_of(body: bytes) -> bytes:
    """SHA-256 of a body, as `sign_request` takes it."""
    return hashlib.sha256(body).digest()


def _message(method: str, path: str, query: str, digest: str, params: str) -> bytes:
    """The signature base (RFC 9421, section 2.5)."""
    lines = (
        f'"@method": {method}',
        f'"@path": {path}',
        f'"@query": ?{query}',
        f'"content-digest": {digest}',
        f'"@signature-params": {params}',
    )
    return "\n".join(lines).encode()


def _tag(origin: str) -> str:
    return "whorl:" + origin.replace("\\", "\\\\").replace('"', '\\"')
