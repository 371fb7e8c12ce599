"""Entries that keys in different places sign before they are entered: an organisation with root keys kept offline.

Every key that an entry makes known signs it. Whoever holds one elsewhere sends its public half, gets the draft, looks
at what it says, and adds a signature. A draft is signed by its issuer already and holds nothing secret; whoever changes
a letter of what it says makes it void.
"""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.errors import InputError
from whorl.core.evidence import StoredDocument
from whorl.core.strict_json import parse_json_object
from whorl.entries.claimants import issuer_keys
from whorl.entries.envelope import MAX_ENVELOPE_BYTES, add_signatures, signed_by
from whorl.entries.handling import CLEAR
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Body, HashHex, IssuerPublic, Key, Organisation
from whorl.entries.statement import Statement, open_entry
from whorl.registry.home import read_issuer_key
from whorl.registry.public_keys import issuer_public
from whorl.registry.sequencer import Submission

_MOST_BYTES: Final = MAX_ENVELOPE_BYTES * 4 // 3 + 4096
_MOST_KEY_BYTES: Final = 1 << 14


class PublicKeyFile(StoredDocument):
    """The public half of a key, as ``whorl registry key --json`` prints it."""

    schema_: Literal["whorl.public-key/1"] = Field(default="whorl.public-key/1", alias="schema")
    file: str
    id: HashHex
    ed25519: Annotated[str, Field(max_length=4096)]
    mldsa44: Annotated[str, Field(max_length=4096)] | None


class Draft(StoredDocument):
    """An entry that is not entered yet."""

    schema_: Literal["whorl.draft-entry/1"] = Field(default="whorl.draft-entry/1", alias="schema")
    envelope: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=_MOST_BYTES)]
    salt: HashHex

    def as_submission(self) -> Submission:
        """What is to be entered."""
        return Submission(envelope=base64.b64decode(self.envelope), salt=bytes.fromhex(self.salt))

    @property
    def statement(self) -> Statement:
        """What it says."""
        return open_entry(self.as_submission().envelope).statement

    def to_bytes(self) -> bytes:
        """The file."""
        return self.model_dump_json(indent=1, by_alias=True).encode() + b"\n"

    def cosigned(self, key: IssuerKey) -> "Draft":
        """The same, signed by a key that it makes known.

        Raises
        ------
        InputError
            If it makes no such key known, for nobody signs what they are no part of; or it has signed already.
        """
        if issuer_public(key) not in introduced(self.statement.body):
            raise InputError(
                f"expected a draft that makes the key {key.id.hex()[:16]}... known, found one that does not: there is "
                "nothing in it for this key to sign"
            )
        if not any(missing == issuer_public(key) for missing in self.unsigned()):
            raise InputError(
                f"expected a draft that waits for the key {key.id.hex()[:16]}..., found its signature on it"
            )
        envelope = add_signatures(self.as_submission().envelope, key.private_keys)
        return Draft(envelope=base64.b64encode(envelope).decode(), salt=self.salt)

    def unsigned(self) -> tuple[IssuerPublic, ...]:
        """Keys that it makes known and that did not sign yet.

        Raises
        ------
        VerificationError
            If one of them is named with a signature that is not its own.
        """
        entry = open_entry(self.as_submission().envelope)
        stated = [(public, issuer_keys(public)) for public in introduced(entry.statement.body)]
        signed = signed_by(entry.envelope, [key for _, keys in stated for key in keys])
        return tuple(public for public, keys in stated if not all(key.id in signed for key in keys))

    def require_whole(self) -> None:
        """Check that every key which it makes known has signed.

        Raises
        ------
        InputError
            If one has not: which.
        """
        if missing := self.unsigned():
            ids = ", ".join(f"{issuer_keys(public)[0].id.hex()[:16]}..." for public in missing)
            raise InputError(
                f"expected the signature of every key that the draft makes known, found none of {ids}; whoever holds "
                "it signs with `whorl registry cosign DRAFT --key FILE`"
            )


def introduced(body: Body) -> tuple[IssuerPublic, ...]:
    """Keys that an entry makes known: the roots of an organisation, a key that is added."""
    if isinstance(body, Organisation):
        return body.roots
    return (body.public,) if isinstance(body, Key) and body.action == "add" else ()


def new_draft(submission: Submission) -> Draft:
    """What was signed by its issuer, for others to sign, too."""
    envelope = base64.b64encode(submission.envelope).decode()
    return Draft(envelope=envelope, salt=submission.salt.hex())


def read_draft(path: Path) -> Draft:
    """Read a draft.

    Raises
    ------
    InputError
        If it is none.
    """
    data = _bounded(path, _MOST_BYTES)
    try:
        draft = Draft.model_validate(parse_json_object(data, what=str(path), max_bytes=_MOST_BYTES))
        said = draft.statement
    except (ValidationError, binascii.Error):
        raise _no_draft(path) from None
    if not introduced(said.body) or said.handling != CLEAR:
        raise _no_draft(path)
    return draft


def read_key(path: Path) -> IssuerKey | IssuerPublic:
    """A key from its private file, or its public half as ``whorl registry key --json`` prints it.

    Raises
    ------
    InputError
        If it is neither.
    """
    if not path.is_file() or b'"whorl.public-key/1"' not in (data := _bounded(path, _MOST_KEY_BYTES)):
        return read_issuer_key(path)
    try:
        read = PublicKeyFile.model_validate(parse_json_object(data, what=str(path), max_bytes=_MOST_KEY_BYTES))
        public = IssuerPublic(ed25519=read.ed25519, mldsa44=read.mldsa44)
        fits = issuer_keys(public)[0].id.hex() == read.id
    except ValidationError:
        fits = False
    if not fits:
        raise InputError(
            f"{path}: expected a public key as `whorl registry key --json` prints it, found something else; ask for it "
            "again"
        )
    return public


def _bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)


def _no_draft(path: Path) -> InputError:
    return InputError(
        f"{path}: expected the draft of an entry that makes keys known, found something else; ask for it again"
    )
