"""Lists sealed now and opened later, member by member: alibi deposits, probe sets, protocols.

Each member is hidden behind a salt of its own, so that a short or guessable secret cannot be found by trying, and an
opened member shows nothing of the others. The root is what a `commitment` entry holds; how many members there are is
public, as choosing one of many to show is itself something that readers must know (selective opening).
Format: ``docs/specs/sealed-list.md``.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.entries.kinds import HashHex
from whorl.entries.leaf import SALT_BYTES
from whorl.log.merkle import inclusion_path, leaf_hash, root_from_inclusion
from whorl.log.small_tree import SmallTree

MAX_SECRET_BYTES: Final = 1 << 16
MAX_MEMBERS: Final = 1 << 16
_TAG: Final = b"whorl/sealed/v1\0"
_MAX_FILE_BYTES: Final = 1 << 27


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedMember:
    """One secret and its salt; both are shown when it is opened, and neither before."""

    salt: bytes
    secret: bytes

    @property
    def hash(self) -> bytes:
        """Hash of the member's leaf, which shows nothing of the secret."""
        return leaf_hash(_TAG + self.salt + hashlib.sha256(self.secret).digest())


class OpenedMember(Document):
    """One member shown: its place, salt, secret and the way to the root."""

    index: Annotated[int, Field(ge=0)]
    salt: HashHex
    secret: Annotated[str, Field(max_length=2 * MAX_SECRET_BYTES, pattern=r"^([0-9a-f]{2})*$", description="hex")]
    path: Annotated[tuple[HashHex, ...], Field(max_length=40)]


class SealedListFile(StoredDocument):
    """The private file behind a commitment; without it nothing can be opened."""

    schema_: Literal["whorl.sealed-list/1"] = Field(default="whorl.sealed-list/1", alias="schema")
    root: HashHex
    members: Annotated[tuple[tuple[HashHex, str], ...], Field(min_length=1)] = Field(
        repr=False, description="salt and secret of each member, in hex"
    )


class OpenedListFile(StoredDocument):
    """The public file of an opening: the members that are shown, out of so many under one root."""

    schema_: Literal["whorl.opened-list/1"] = Field(default="whorl.opened-list/1", alias="schema")
    root: HashHex
    count: Annotated[int, Field(ge=1)]
    opened: Annotated[tuple[OpenedMember, ...], Field(min_length=1, max_length=1000)]


def seal(secrets: Sequence[bytes], random_bytes: Callable[[int], bytes]) -> tuple[SealedMember, ...]:
    """Draw a fresh salt for each secret.

    Parameters
    ----------
    random_bytes : gives that many unpredictable bytes, such as `secrets.token_bytes`

    Raises
    ------
    InputError
        If there is nothing to seal, too much, or a secret longer than 64 KiB.
    """
    if not 1 <= len(secrets) <= MAX_MEMBERS:
        raise InputError(f"expected 1 to {MAX_MEMBERS} members to seal, found {len(secrets)}")
    if any(len(secret) > MAX_SECRET_BYTES for secret in secrets):
        raise InputError(f"expected members of at most {MAX_SECRET_BYTES} bytes; seal the digest of what is longer")
    return tuple(SealedMember(salt=random_bytes(SALT_BYTES), secret=secret) for secret in secrets)


def sealed_root(members: Sequence[SealedMember]) -> bytes:
    """The root to commit to."""
    return SmallTree([member.hash for member in members]).root


def open_members(members: Sequence[SealedMember], indices: Sequence[int]) -> OpenedListFile:
    """Show some members of a list.

    Raises
    ------
    InputError
        If an index is not one of the list's.
    """
    if not indices or any(not 0 <= index < len(members) for index in indices):
        raise InputError(f"expected numbers of members from 0 to {len(members) - 1}, found {list(indices)[:20]}")
    rows = SmallTree([member.hash for member in members])
    return OpenedListFile(
        root=rows.root.hex(),
        count=len(members),
        opened=tuple(
            OpenedMember(
                index=index,
                salt=members[index].salt.hex(),
                secret=members[index].secret.hex(),
                path=tuple(node.hex() for node in inclusion_path(rows.read, index, len(members))),
            )
            for index in sorted(set(indices))
        ),
    )


def verify_opened(opened: OpenedListFile, *, root: bytes, count: int) -> dict[int, bytes]:
    """The secrets that an opening shows, by place, once each is proven to be under the committed root.

    Parameters
    ----------
    root, count : what the commitment entry states

    Raises
    ------
    VerificationError
        If the opening is of another commitment or a member does not lead to the root.
    """
    if bytes.fromhex(opened.root) != root or opened.count != count:
        raise VerificationError(
            f"expected an opening of the commitment {root.hex()[:16]}... of {count} members, found one of "
            f"{opened.root[:16]}... of {opened.count}"
        )
    shown = {}
    for member in opened.opened:
        leaf = SealedMember(salt=bytes.fromhex(member.salt), secret=bytes.fromhex(member.secret)).hash
        path = [bytes.fromhex(node) for node in member.path]
        if root_from_inclusion(leaf, member.index, count, path) != root:
            raise VerificationError(
                f"opened member {member.index} is not under the committed root: the secret, its salt or its place "
                "was changed after the commitment"
            )
        shown[member.index] = bytes.fromhex(member.secret)
    return shown


def write_sealed(members: Sequence[SealedMember]) -> bytes:
    """The bytes of the private file."""
    document = SealedListFile(
        root=sealed_root(members).hex(), members=tuple((member.salt.hex(), member.secret.hex()) for member in members)
    )
    return document.model_dump_json().encode() + b"\n"


def parse_sealed(data: bytes, *, origin: str) -> tuple[SealedMember, ...]:
    """Read the private file back.

    Raises
    ------
    InputError
        If it is none, or its members do not give its root. No message quotes the file.
    """
    parse_json_object(data, what=origin, max_bytes=_MAX_FILE_BYTES)
    try:
        document = SealedListFile.model_validate_json(data)
        members = tuple(
            SealedMember(salt=bytes.fromhex(salt), secret=bytes.fromhex(secret)) for salt, secret in document.members
        )
    except (ValidationError, ValueError):
        raise InputError(f"{origin}: expected a sealed list, found something else; restore it from a backup") from None
    if sealed_root(members).hex() != document.root:
        raise InputError(f"{origin}: expected members that give its root, found others; restore it from a backup")
    return members


def parse_opened(data: bytes, *, origin: str) -> OpenedListFile:
    """Read the public file of an opening; `verify_opened` checks it.

    Raises
    ------
    InputError
        If it is none.
    """
    parse_json_object(data, what=origin, max_bytes=_MAX_FILE_BYTES)
    try:
        return OpenedListFile.model_validate_json(data)
    except ValidationError as error:
        raise InputError(f"{origin}: expected an opened list, found fault with {first_fault(error)}") from None
