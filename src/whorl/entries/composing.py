"""From what somebody wants to say to the statement that they sign: kind, subject and place in their chain."""

import hashlib
from datetime import datetime
from typing import Final

from whorl.core.digest import canonical_json
from whorl.entries.handling import CLEAR, Handling
from whorl.entries.kinds import BODIES, Body, Dataset, Fingerprint, Kind, Model, Notice, Organisation
from whorl.entries.leaf import NO_HASH
from whorl.entries.statement import Statement

_KINDS: Final[dict[type, Kind]] = {body: kind for kind, body in BODIES.items()}


def compose(
    body: Body,
    *,
    issuer: bytes,
    chain: tuple[int, bytes] | None,
    now: datetime,
    target: bytes = NO_HASH,
    handling: Handling = CLEAR,
    after: str | None = None,
) -> Statement:
    """The next statement of an issuer.

    Parameters
    ----------
    issuer : id of the issuer's Ed25519 key
    chain : sequence number and leaf hash of the issuer's last entry; None for the first
    now : the issuer's clock, with a time zone
    target : leaf hash of the entry that it speaks of
    after : signed tree head of another log, to show that it was made later
    """
    name, digest = _subject(body)
    sequence, previous = following(chain)
    return Statement(
        kind=_KINDS[type(body)],
        name=name,
        digest=digest,
        issuer=issuer,
        sequence=sequence,
        previous=previous,
        target=target,
        issued_at=now.replace(microsecond=0),
        handling=handling,
        after=after,
        body=body,
    )


def following(chain: tuple[int, bytes] | None) -> tuple[int, bytes]:
    """Sequence number and previous leaf of the entry after the end of a chain."""
    return (0, NO_HASH) if chain is None else (chain[0] + 1, chain[1])


def _subject(body: Body) -> tuple[str, str]:
    """Name and SHA-256 of what the statement is about: the content where one is named, else the body itself."""
    own = hashlib.sha256(canonical_json(body.model_dump(mode="json"))).hexdigest()
    match body:
        case Organisation(name=name):
            return name, own
        case Model(name=name, content=content):
            return name, own if content is None else _hex(content)
        case Dataset(name=name, content=content):
            return name, _hex(content)
        case Fingerprint(method=method, blob=blob):
            return method, _hex(blob)
        case Notice(title=title):
            return title, own
        case _:
            return _KINDS[type(body)], own


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
