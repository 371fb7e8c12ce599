"""Entering one entry through interruptions: what was signed is kept in a file until its receipt is there.

Whoever is cut off between sending an entry and having its receipt does not know whether the log has it. Signed anew, it
would be a second entry; of a sealed one, whose place in the log its maker cannot compute, even the receipt could not be
had. So the very same bytes are sent again: a registry knows an entry that it has.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError
from whorl.core.evidence import StoredDocument
from whorl.core.strict_json import parse_json_object
from whorl.entries.kinds import Body, HashHex, Origin
from whorl.entries.receipt import parse_receipt
from whorl.entries.statement import Statement, open_entry
from whorl.registry.issuing import Issue, Issuer, RegistryAccess
from whorl.registry.refusals import Refusal
from whorl.registry.sequencer import Entered, Submission

_MOST_BYTES: Final = 1 << 20


class PendingEntry(StoredDocument):
    """The private file: an entry that was signed, and whose receipt is not there yet."""

    schema_: Literal["whorl.pending-entry/1"] = Field(default="whorl.pending-entry/1", alias="schema")
    origin: Origin
    sealed: bool
    envelope: Annotated[str, Field(repr=False, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
    salt: HashHex = Field(repr=False)

    def as_submission(self) -> Submission:
        """What was sent."""
        return Submission(envelope=base64.b64decode(self.envelope), salt=bytes.fromhex(self.salt), sealed=self.sealed)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedOnce:
    """An entry that is in the log: its leaf hash, and what it says, which may be what an earlier call signed."""

    hash: bytes
    body: Body


def issue_once(
    signer: Issuer, registry: RegistryAccess, issue: Issue, *, pending: Path, same: Callable[[Body], bool]
) -> IssuedOnce:
    """Enter an entry, or the one that an interrupted call began to enter.

    Parameters
    ----------
    pending : where what is signed is kept; the caller removes it once the receipt is safe
    same : whether a body is of the entry that is to be entered, for one that was begun

    Raises
    ------
    InputError, VerificationError
        If the registry refuses it, or ``pending`` holds another entry.
    """
    begun = _begun(pending)
    if begun is None:
        return _issue(signer, registry, issue, pending)
    submission = begun.as_submission()
    signed = open_entry(submission.envelope)
    statement = signed.statement
    expected = (registry.origin, signer.key.id, issue.sealed)
    if (begun.origin, statement.issuer, begun.sealed) != expected or not same(statement.body):
        raise InputError(
            f"{pending}: expected the entry that this command enters, found another one that was begun with "
            f"{begun.origin} and not finished. Finish it with the command and key that began it, or move the file away"
        )
    (outcome,) = registry.enter([submission])
    if isinstance(outcome, Entered):
        return IssuedOnce(hash=outcome.hash, body=statement.body)
    if not isinstance(outcome, Refusal):
        raise outcome
    if outcome.code == "replay":  # the very same leaf, as a folder tells it
        return IssuedOnce(hash=signed.leaf(submission.salt).hash, body=statement.body)
    pending.unlink()  # refused, so it is not in the log
    if begun.sealed or not _has_moved_on(registry, statement):
        raise outcome
    return _issue(signer, registry, issue, pending)


def whole_receipt(registry: RegistryAccess, digest: bytes) -> bytes:
    """The receipt of an own entry, with which it can be shown.

    Raises
    ------
    InputError
        If the registry gives one that lacks what the entry says, as it does to anybody else.
    """
    data = registry.receipt(digest)
    if parse_receipt(data, origin="the receipt").entry.envelope is None:
        raise InputError(
            f"{registry.origin}: expected the receipt with what the entry says, found one without, as it is given to "
            "others; ask with the key that signed the entry, or a token of its organisation (WHORL_TOKEN), and give "
            "the same command again"
        )
    return data


def _issue(signer: Issuer, registry: RegistryAccess, issue: Issue, pending: Path) -> IssuedOnce:
    def keep(signed: Sequence[Submission]) -> None:
        (one,) = signed
        document = PendingEntry(
            origin=registry.origin,
            sealed=one.sealed,
            envelope=base64.b64encode(one.envelope).decode(),
            salt=one.salt.hex(),
        )
        write_durably(pending, document.model_dump_json(indent=1).encode() + b"\n", mode=0o600)

    try:
        (entered,) = signer.issue(registry, [issue], before_sending=keep)
    except Refusal:  # it is not in the log: the next try may say something else
        pending.unlink(missing_ok=True)
        raise
    return IssuedOnce(hash=entered.hash, body=issue.body)


def _begun(pending: Path) -> PendingEntry | None:
    if not pending.exists():
        return None
    with pending.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    parse_json_object(data, what=str(pending), max_bytes=_MOST_BYTES)
    try:
        begun = PendingEntry.model_validate_json(data)
        begun.as_submission()
    except (ValidationError, binascii.Error):
        raise InputError(
            f"{pending}: expected an entry that was signed and not finished, found something else; restore it, or move "
            "it away if nothing was begun"
        ) from None
    return begun


def _has_moved_on(registry: RegistryAccess, statement: Statement) -> bool:
    """Whether the issuer's chain has another entry in this one's place, so that this one can never be entered."""
    chain = registry.chain(statement.issuer)
    return chain is not None and chain[0] >= statement.sequence
