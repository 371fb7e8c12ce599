"""The public half of an issuer's keys, as entries state it."""

from whorl.entries.keys import IssuerKey, encode_public
from whorl.entries.kinds import IssuerPublic


def issuer_public(key: IssuerKey) -> IssuerPublic:
    """The public half of an issuer's keys."""
    texts = [encode_public(public) for public in key.public_keys]
    return IssuerPublic(ed25519=texts[0], mldsa44=texts[1] if len(texts) > 1 else None)
