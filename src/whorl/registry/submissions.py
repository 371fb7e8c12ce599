"""What is handed in to be entered, and the same with its envelope opened, here or in another process beforehand.

Checking signatures is most of the work of entering, and needs nothing of the registry's state: that a signature over
certain bytes is a certain key's is true for ever. So it may be done ahead, by others, and the rules of admission then
ask as they always do; `CheckedKey` knows the answer for exactly those bytes and works out every other one. The salted
hash of an envelope is as lasting.
"""

import hashlib
from collections.abc import Container
from dataclasses import dataclass, field
from typing import TypeAlias

from whorl.core.errors import InputError
from whorl.entries.keys import PublicKey
from whorl.entries.leaf import commitment
from whorl.entries.statement import SignedEntry, open_entry

Held: TypeAlias = tuple[bytes, bytes, bytes]
"""A signature that was found to hold: id of the key, the signature, SHA-256 of the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A signed envelope to be entered.

    Parameters
    ----------
    salt : 32 unpredictable bytes, drawn by the issuer, who so knows the leaf and can go on with the chain
    sealed : enter it under the bureau's own chain, so that neither kind nor issuer shows
    """

    envelope: bytes
    salt: bytes
    sealed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A submission with its envelope parsed, or what was wrong with that.

    Parameters
    ----------
    commit : salted hash of the envelope, by which a leaf commits to it
    held : signatures on it that were found to hold; the others are checked when somebody asks for them
    """

    submission: Submission
    entry: SignedEntry | InputError
    commit: bytes
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckedKey(PublicKey):
    """A key that does not check again what was found to hold.

    Parameters
    ----------
    held : of this and other keys; whoever gives it answers for it
    """

    held: Container[Held] = field(compare=False, repr=False)

    def holds(self, signature: bytes, message: bytes) -> bool:
        """See `PublicKey.holds`."""
        return (self.id, signature, _digest(message)) in self.held or super().holds(signature, message)


@dataclass(frozen=True, kw_only=True)
class RecordingKey(PublicKey):
    """A key that notes down what it found to hold, for `CheckedKey`."""

    held: list[Held] = field(compare=False, repr=False)

    def holds(self, signature: bytes, message: bytes) -> bool:
        """See `PublicKey.holds`."""
        if not super().holds(signature, message):
            return False
        self.held.append((self.id, signature, _digest(message)))
        return True


def opened(submission: Submission) -> Opened:
    """Parse a submission's envelope; none of its signatures is checked yet."""
    entry: SignedEntry | InputError
    try:
        entry = open_entry(submission.envelope)
    except InputError as problem:
        entry = problem
    return Opened(submission=submission, entry=entry, commit=commitment(submission.envelope, salt=submission.salt))


def _digest(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()
