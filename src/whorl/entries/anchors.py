"""Time stamps by authorities outside the registry (RFC 3161), over the hash of an entry's leaf.

One authority can lie or lose its key, so the bound is what two of different names agree on: the later of the two
earliest. Tokens of authorities that the reader does not know are left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from whorl.core.errors import InputError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

AUTHORITIES_NEEDED: Final = 2
MAX_TOKEN_BYTES: Final = 1 << 16
MAX_CERTIFICATE_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampAuthority:
    """An authority that the reader trusts: a name for people and its root certificates."""

    name: str
    roots: tuple["Certificate", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """One token that holds: whose it is and the time that it states."""

    authority: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """What a receipt's tokens establish.

    Parameters
    ----------
    held : the tokens of known authorities, each verified
    unknown : how many tokens none of the known authorities made
    """

    held: tuple[Stamp, ...]
    unknown: int

    @property
    def not_after(self) -> datetime | None:
        """When the entry existed at the latest, by two authorities of different names; None with fewer."""
        first: dict[str, datetime] = {}
        for stamp in self.held:
            first[stamp.authority] = min(stamp.at, first.get(stamp.authority, stamp.at))
        times = sorted(first.values())
        return times[AUTHORITIES_NEEDED - 1] if len(times) >= AUTHORITIES_NEEDED else None


def read_authority(name: str, pem: bytes, *, origin: str) -> TimestampAuthority:
    """An authority from its root certificates.

    Raises
    ------
    InputError
        If the bytes are no certificates in PEM.
    """
    from cryptography.x509 import load_pem_x509_certificates

    if len(pem) > MAX_CERTIFICATE_BYTES:
        raise InputError(f"{origin}: expected at most {MAX_CERTIFICATE_BYTES} bytes of certificates, found {len(pem)}")
    try:
        roots = tuple(load_pem_x509_certificates(pem))
    except ValueError:
        raise InputError(f"{origin}: expected the authority's root certificates in PEM, found something else") from None
    return TimestampAuthority(name=name, roots=roots)


def check_stamps(tokens: Sequence[bytes], leaf_hash: bytes, authorities: Sequence[TimestampAuthority]) -> Stamps:
    """Which tokens hold, and when they say that the leaf existed.

    Parameters
    ----------
    tokens : RFC 3161 responses over the leaf hash as the message, in DER
    leaf_hash : the 32 bytes that were stamped

    Raises
    ------
    InputError
        If a token is no time-stamp response.
    """
    held = []
    for token in tokens:
        held.extend(_held(token, leaf_hash, authorities))
    return Stamps(held=tuple(held), unknown=len(tokens) - len(held))


def _held(token: bytes, leaf_hash: bytes, authorities: Sequence[TimestampAuthority]) -> list[Stamp]:
    """The stamp, by the first authority whose certificates it leads to; none if it leads to none."""
    from rfc3161_client import VerificationError as StampError
    from rfc3161_client import VerifierBuilder, decode_timestamp_response

    if len(token) > MAX_TOKEN_BYTES:
        raise InputError(f"expected a time stamp of at most {MAX_TOKEN_BYTES} bytes, found {len(token)}")
    try:
        response = decode_timestamp_response(token)
        at = response.tst_info.gen_time
    except ValueError:
        raise InputError(
            "expected an RFC 3161 time-stamp response, found other bytes; ask for the stamp again"
        ) from None
    for authority in authorities:
        try:
            VerifierBuilder(roots=list(authority.roots)).build().verify_message(response, leaf_hash)
        except (StampError, ValueError):
            continue
        return [Stamp(authority=authority.name, at=at.astimezone(UTC))]
    return []
