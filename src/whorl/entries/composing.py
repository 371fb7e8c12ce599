"""From what somebody wants to say to the statement that they sign: kind, subject and place in their chain."""

from datetime import datetime

from whorl.entries.handling import CLEAR, Handling
from whorl.entries.kinds import Body
from whorl.entries.leaf import NO_HASH
from whorl.entries.statement import Statement
from whorl.entries.subject import KIND_OF, subject_of


def compose(
    body: Body,
    *,
    log: str,
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
    log : origin of the log that it is for
    issuer : id of the issuer's Ed25519 key
    chain : sequence number and leaf hash of the issuer's last entry in that log; None for the first
    now : the issuer's clock, with a time zone
    target : leaf hash of the entry that it speaks of
    after : signed tree head of another log, to show that it was made later
    """
    name, digest = subject_of(body, body.model_dump(mode="json"))
    sequence, previous = following(chain)
    return Statement(
        kind=KIND_OF[type(body)],
        name=name,
        digest=digest,
        log=log,
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
