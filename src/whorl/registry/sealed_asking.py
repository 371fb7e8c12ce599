"""Asking another bureau what it holds under seal: on this bureau's record before it is asked, and after."""

from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.registry.accounts import record_audit
from whorl.registry.client import RemoteRegistry
from whorl.registry.federation import peers_of
from whorl.registry.registry_reader import RegistryReader
from whorl.registry.sealed_search import SealedQuestion
from whorl.registry.service_answers import RemoteError

_ACTION: Final = "ask under seal"


def ask_sealed(registry: RegistryReader, origin: str, question: SealedQuestion) -> int:
    """How many candidates a peer says it holds under seal.

    What it says cannot be checked: it is a lead, and no answer is evidence that there is none. The question is in the
    audit trail of this bureau before it goes out, and so is the answer before this returns; another process may serve
    the registry meanwhile.

    Parameters
    ----------
    registry : this bureau's, whose key signs the request
    origin : of the peer's log

    Raises
    ------
    InputError
        If it is no peer, refuses, or gives no answer that can be used.
    VerificationError
        If what answers at the peer's address is another log.
    """
    card = next((one for one in peers_of(registry) if one.origin == origin), None)
    if card is None:
        known = ", ".join(one.origin for one in peers_of(registry)) or "none"
        raise InputError(
            f"expected the origin of a bureau that this one knows ({known[:300]}), found {origin[:100]!a}; add its "
            "card with `whorl bureau add`"
        )
    _record(registry, f"{question} at {origin}", "asked")
    outcome = "no answer"
    try:
        with RemoteRegistry(card.url, key=registry.home.bureau_key(), now=registry.now) as peer:
            # Else it could let this bureau sign a question to somebody else, and hand that in.
            if peer.origin != origin:
                raise VerificationError(
                    f"{card.url}: expected the log {origin}, found {peer.origin[:100]!a}; nothing was asked. Check the "
                    "peer's card"
                )
            found = peer.sealed_candidates(question)
        outcome = f"{found} candidates"
    except RemoteError as problem:
        outcome = f"refused: {problem.code}"
        raise
    finally:
        _record(registry, f"{question} at {origin}", outcome)
    return found


def _record(registry: RegistryReader, subject: str, outcome: str) -> None:
    actor = f"key {registry.home.bureau_key().id.hex()}"
    with registry.database.writing() as connection:
        record_audit(connection, at=registry.now(), actor=actor, action=_ACTION, subject=subject, outcome=outcome)
