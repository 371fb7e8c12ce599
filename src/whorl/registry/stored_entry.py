"""An entry as it is stored, and its way into a row of `entries` and back, checked against its leaf."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from whorl.core.errors import InputError, VerificationError
from whorl.entries.kinds import KIND_NUMBERS, KINDS, Kind
from whorl.entries.leaf import HASH_BYTES, NO_HASH, Leaf, parse_leaf, require_commitment
from whorl.log.merkle import leaf_hash
from whorl.registry.database_errors import damaged

TEXT_LENGTH: Final = 500

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class StoredEntry:
    """An entry of a log that is held, with its content as long as that is there.

    Parameters
    ----------
    origin, index : the log that holds it, and where
    leaf : its bytes in the log
    kind : None in a sealed entry that was not opened, and where the leaf cannot be read
    organisation : leaf hash of the issuer's organisation; None where it is not known. An entry that does not count has
        one if its leaf stands in its log (`stands`)
    envelope, salt : the content; None where it is not held, or was erased
    seen_at : when this bureau first saw it, by its own clock
    stamped_at : earliest RFC 3161 time over the leaf that was checked
    signers : ids of the keys whose signatures were checked; of a public entry none as long as it was not found to keep
        the rules of its own log
    shown : content digests that an opening's blob was found to show
    claim : digest of the claim that a notice makes; kept when the notice is erased
    fault : why it counts for nothing; None if it counts
    """

    origin: str
    index: int
    leaf: bytes
    kind: Kind | None
    organisation: bytes | None
    envelope: bytes | None
    salt: bytes | None
    seen_at: datetime
    stamped_at: datetime | None = None
    signers: frozenset[bytes] = frozenset()
    shown: frozenset[str] = frozenset()
    claim: bytes | None = None
    fault: str | None = None
    erased_at: datetime | None = None

    @cached_property
    def hash(self) -> bytes:
        """RFC 6962 hash of the leaf."""
        return leaf_hash(self.leaf)

    @property
    def stands(self) -> bool:
        """Whether its leaf is one of a chain of its log, as leaves and keys alone show; then it can be spoken of."""
        return self.fault is None or self.organisation is not None

    def read_leaf(self) -> Leaf:
        """The leaf's fields; `InputError` if it has none, which only a faulty entry's lacks."""
        return parse_leaf(self.leaf)


def entry_columns(entry: StoredEntry) -> dict[str, Any]:
    """The values of a row, without its number and place.

    Raises
    ------
    ValueError
        If the entry counts and its leaf cannot be read, or is of another kind.
    VerificationError
        If its leaf commits to other content.
    """
    leaf = _fitting_leaf(entry)
    return {
        "hash": entry.hash,
        "leaf": entry.leaf,
        "issuer": leaf and leaf.issuer,
        "sequence": leaf and leaf.sequence,
        "target": None if leaf is None or leaf.target == NO_HASH else leaf.target,
        "kind": entry.kind and KIND_NUMBERS[entry.kind],
        "organisation": entry.organisation,
        "claim": entry.claim,
        "seen_at": entry.seen_at,
        "stamped_at": entry.stamped_at,
        "signers": b"".join(sorted(entry.signers)),
        "shown": b"".join(map(raw_digest, sorted(entry.shown))),
        "counts": 1 if entry.fault is None else None,
        "fault": None if entry.fault is None else visible(entry.fault),
        "erased_at": entry.erased_at,
        "salt": entry.salt,
        "envelope": entry.envelope,
    }


def read_row(row: Any) -> StoredEntry:
    """Make an entry of a row, after checking that it fits its leaf.

    Raises
    ------
    RegistryError
        If it does not: the database was damaged or altered.
    """
    try:
        entry = _read(row)
        leaf = _fitting_leaf(entry)
        if entry.hash != row.hash:
            raise ValueError("its leaf has another hash")
        if leaf is not None and (leaf.issuer, leaf.sequence, leaf.target) != (
            row.issuer,
            row.sequence,
            NO_HASH if row.target is None else row.target,
        ):
            raise ValueError("its leaf names another issuer, sequence number or target")
    except (InputError, VerificationError, ValueError, TypeError, KeyError) as error:
        raise damaged(f"entry {row.idx} of {row.origin} cannot be read ({str(error)[:200]})") from error
    return entry


def raw_digest(digest: str) -> bytes:
    """The 32 bytes of a ``sha256:`` digest.

    Raises
    ------
    InputError
        If the text is none.
    """
    if _DIGEST.fullmatch(digest) is None:
        raise InputError(f"expected a digest such as sha256:9f86d0..., found {digest[:80]!a}; copy it again")
    return bytes.fromhex(digest[7:])


def digest_text(raw: bytes) -> str:
    """A digest as documents spell it."""
    return f"sha256:{raw.hex()}"


def visible(text: str) -> str:
    """Text from anybody as it may be stored: at most `TEXT_LENGTH` characters, none of them invisible."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:TEXT_LENGTH])


def _fitting_leaf(entry: StoredEntry) -> Leaf | None:
    """The leaf, or None in a faulty entry whose leaf cannot be read."""
    try:
        leaf = parse_leaf(entry.leaf)
    except InputError:
        if entry.fault is not None:
            return None
        raise ValueError("an entry whose leaf cannot be read does not count") from None
    if entry.fault is None and leaf.leaf_class == "public" and KINDS.get(leaf.kind) != entry.kind:
        raise ValueError("the entry is of another kind than its leaf")
    if entry.envelope is not None and entry.salt is not None:
        require_commitment(leaf, entry.envelope, salt=entry.salt)
    return leaf


def _read(row: Any) -> StoredEntry:
    return StoredEntry(
        origin=row.origin,
        index=row.idx,
        leaf=row.leaf,
        kind=None if row.kind is None else KINDS[row.kind],
        organisation=row.organisation,
        envelope=row.envelope,
        salt=row.salt,
        seen_at=row.seen_at,
        stamped_at=row.stamped_at,
        signers=frozenset(_split(row.signers)),
        shown=frozenset(map(digest_text, _split(row.shown))),
        claim=row.claim,
        fault=row.fault,
        erased_at=row.erased_at,
    )


def _split(joined: bytes) -> list[bytes]:
    if len(joined) % HASH_BYTES:
        raise ValueError("its signers or digests are cut off")
    return [joined[i : i + HASH_BYTES] for i in range(0, len(joined), HASH_BYTES)]
