"""The status map: proof that an entry is *not* annulled, as of a state of the log.

A log proves that something is in it. That nothing in it speaks against an entry is proven by a second tree: one leaf
for each entry that is not in good standing, sorted by the entry's hash, between two sentinels. Two neighbours that
stand on either side of an entry's hash prove that it has no leaf. The map's root is entered into the log.

What such a proof does not show is that the map is complete and sorted. Whoever mirrors the log rebuilds the map and
cosigns no tree head whose map differs; a proof counts only under a tree head that mirrors cosigned.
Format: ``docs/specs/status-map.md``.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from whorl.core.errors import VerificationError
from whorl.core.evidence import Document
from whorl.entries.kinds import HashHex
from whorl.entries.leaf import HASH_BYTES, NO_HASH
from whorl.log.merkle import inclusion_path, leaf_hash, verify_inclusion
from whorl.log.small_tree import SmallTree

FIRST_KEY: Final = NO_HASH
LAST_KEY: Final = b"\xff" * HASH_BYTES
_TAG: Final = b"whorl/status/v1\0"


class StatusLeaf(Document):
    """One leaf of the map and the way from it to the root."""

    index: Annotated[int, Field(ge=0)]
    key: HashHex
    value: HashHex
    path: Annotated[tuple[HashHex, ...], Field(max_length=40)]


class StatusProof(Document):
    """One leaf where the entry has one, else the two neighbours that leave no room for it."""

    leaves: Annotated[tuple[StatusLeaf, ...], Field(min_length=1, max_length=2)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The entry is not in good standing; ``value`` is the leaf hash of the entry that says why."""

    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Nothing in the map speaks against the entry."""


class StatusMap:
    """The map of all entries not in good standing.

    Parameters
    ----------
    statuses : leaf hash of the entry that lost its standing, to that of the entry by which it did
    """

    def __init__(self, statuses: Mapping[bytes, bytes]) -> None:
        if any(len(part) != HASH_BYTES for pair in statuses.items() for part in pair):
            raise ValueError("keys and values of a status map have 32 bytes")
        if FIRST_KEY in statuses or LAST_KEY in statuses:
            raise ValueError("a sentinel is no entry")
        self._leaves = [(FIRST_KEY, NO_HASH), *sorted(statuses.items()), (LAST_KEY, NO_HASH)]
        self._rows = SmallTree([_hash(key, value) for key, value in self._leaves])

    @property
    def root(self) -> bytes:
        return self._rows.root

    @property
    def size(self) -> int:
        """Number of leaves, the two sentinels among them."""
        return len(self._leaves)

    def prove(self, entry: bytes) -> StatusProof:
        """Proof of an entry's leaf, or of there being none."""
        place = bisect_left(self._leaves, (entry, b""))
        if self._leaves[place][0] == entry:
            return StatusProof(leaves=(self._leaf(place),))
        return StatusProof(leaves=(self._leaf(place - 1), self._leaf(place)))

    def _leaf(self, index: int) -> StatusLeaf:
        key, value = self._leaves[index]
        path = inclusion_path(self._rows.read, index, self.size)
        return StatusLeaf(index=index, key=key.hex(), value=value.hex(), path=tuple(node.hex() for node in path))


def verify_status(proof: StatusProof, entry: bytes, *, root: bytes, size: int) -> Present | Absent:
    """What the map says of an entry.

    Parameters
    ----------
    entry : leaf hash
    root, size : of the map, from an entry that is proven to be in the log

    Raises
    ------
    VerificationError
        If the proof does not lead to the root, or is not about this entry.
    """
    for leaf in proof.leaves:
        path = [bytes.fromhex(node) for node in leaf.path]
        verify_inclusion(_hash(bytes.fromhex(leaf.key), bytes.fromhex(leaf.value)), leaf.index, size, path, root)
    keys = [bytes.fromhex(leaf.key) for leaf in proof.leaves]
    if len(proof.leaves) == 1:
        if keys[0] != entry or entry in (FIRST_KEY, LAST_KEY):
            raise VerificationError("status proof: expected the leaf of this entry, found that of another one")
        return Present(value=bytes.fromhex(proof.leaves[0].value))
    before, after = proof.leaves
    if after.index != before.index + 1 or not keys[0] < entry < keys[1]:
        raise VerificationError(
            "status proof: expected two neighbours on either side of this entry, found two that leave room for it"
        )
    return Absent()


def _hash(key: bytes, value: bytes) -> bytes:
    return leaf_hash(_TAG + key + value)
