"""The RFC 6962 Merkle tree: hashes, roots and proofs, as pure functions.

Verifying needs nothing but hashes. Making roots and proofs needs a `HashReader`, which says the hash of any complete
subtree; see `whorl.log.tiles` for one over stored tiles.

A tree of size 0 is an ancestor of every tree and proves nothing, so no function here accepts one in a proof: callers
that meet size 0 compare with `EMPTY_ROOT` themselves.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from whorl.core.errors import VerificationError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

HashReader: TypeAlias = Callable[[int, int], bytes]
"""``read(level, index)`` is the root of the complete subtree over ``1 << level`` leaves from ``index << level`` on."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry: SHA-256 of a zero byte and the entry (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256 of a one byte and both children (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root that a tree must have if ``path`` proves its leaf; the caller compares it with a root that is trusted.

    Parameters
    ----------
    leaf : hash of the leaf, see `leaf_hash`
    index : place of the leaf, from 0
    size : number of leaves of the tree
    path : siblings from the leaf to the root

    Raises
    ------
    VerificationError
        If no tree of this size has the index, or the path has not exactly the length that both ask for.

    References
    ----------
    RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise VerificationError(f"inclusion proof: expected an index below the tree's size {size}, found {index}")
    _check_hashes("inclusion proof", leaf, *path)
    sides = list(_siblings(index, size - 1))
    _check_length("inclusion proof", path, len(sides))
    node = leaf
    for left, sibling in zip(sides, path, strict=True):
        node = node_hash(sibling, node) if left else node_hash(node, sibling)
    return node


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with this hash stands at ``index`` in the tree of this size and root.

    Raises
    ------
    VerificationError
        If the proof does not lead to the root, or cannot be one for this index and size.
    """
    if root_from_inclusion(leaf, index, size, path) != root:
        raise VerificationError(
            f"inclusion proof: leaf {index} is not under the root of the tree of size {size}; "
            "the entry, the proof or the tree head is not the one that belongs here"
        )


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Check that the old tree is what the new one starts with.

    Raises
    ------
    VerificationError
        If it is not, the proof cannot be one for these sizes, or the old size is 0.

    References
    ----------
    RFC 9162, section 2.1.4.2.
    """
    if not 0 < old_size <= new_size:
        raise VerificationError(
            f"consistency proof: expected an old size from 1 to the new size {new_size}, found {old_size}"
        )
    _check_hashes("consistency proof", old_root, new_root, *path)
    if old_size == new_size:
        _check_length("consistency proof", path, 0)
        if old_root != new_root:
            raise VerificationError(f"two roots for one tree of size {new_size}: the log shows a split view")
        return
    # The proof starts at the last complete subtree of the old tree. If that is all of it, its root is known.
    known = () if old_size & (old_size - 1) else (old_root,)
    if _roots_from_path(old_size, new_size, path, known=known) != (old_root, new_root):
        raise VerificationError(
            f"consistency proof: the tree of size {old_size} is not the beginning of the tree of size {new_size}; "
            "the log was rewritten, or the proof belongs to other tree heads"
        )


def root_of_prefix(prefix_size: int, size: int, path: Sequence[bytes], root: bytes) -> bytes:
    """Root that the first ``prefix_size`` leaves of the tree with this size and root certainly have.

    A consistency proof that fails shows nothing, for anybody can make one. This shows what a tree really starts with,
    so that a signed tree head that says otherwise is contradicted.

    Parameters
    ----------
    path : what `prefix_path` gives

    Raises
    ------
    VerificationError
        If the path does not lead to the root, or cannot be one for these sizes.
    """
    if not 0 < prefix_size < size:
        raise VerificationError(f"path of a prefix: expected a size from 1 to {size - 1}, found {prefix_size}")
    _check_hashes("path of a prefix", *path)
    prefix_root, whole_root = _roots_from_path(prefix_size, size, path)
    if whole_root != root:
        raise VerificationError(f"path of a prefix: it does not lead to the root of the tree of size {size}")
    return prefix_root


def tree_root(read: HashReader, size: int) -> bytes:
    """Root of the first ``size`` leaves."""
    return _range_root(read, 0, size) if size else EMPTY_ROOT


def root_of_leaves(hashes: Sequence[bytes]) -> bytes:
    """Root of a tree whose leaf hashes are all at hand."""
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:  # a node without a sibling moves up as it is
        row = [node_hash(*row[at : at + 2]) if at + 1 < len(row) else row[at] for at in range(0, len(row), 2)]
    return row[0]


def inclusion_path(read: HashReader, index: int, size: int) -> tuple[bytes, ...]:
    """Proof that leaf ``index`` is in the tree of this size (RFC 6962, section 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of size {size}")
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            path.append(_range_root(read, middle, end))
            end = middle
        else:
            path.append(_range_root(read, start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_path(read: HashReader, old_size: int, new_size: int) -> tuple[bytes, ...]:
    """Proof that the tree of ``old_size`` is the beginning of that of ``new_size`` (RFC 6962, section 2.1.2)."""
    if old_size == new_size > 0:
        return ()
    path = prefix_path(read, old_size, new_size)
    return path if old_size & (old_size - 1) else path[1:]  # the root of a complete old tree is known


def prefix_path(read: HashReader, prefix_size: int, size: int) -> tuple[bytes, ...]:
    """For `root_of_prefix`: a consistency path that never leaves out the subtree it starts with."""
    if not 0 < prefix_size < size:
        raise ValueError(f"a tree of size {size} has no proper prefix of size {prefix_size}")
    start, end = 0, size
    path = []
    while end != prefix_size:
        middle = _middle(start, end)
        if prefix_size <= middle:
            path.append(_range_root(read, middle, end))
            end = middle
        else:
            path.append(_range_root(read, start, middle))
            start = middle
    path.append(_range_root(read, start, end))
    return tuple(reversed(path))


def _roots_from_path(
    old_size: int, new_size: int, path: Sequence[bytes], *, known: tuple[bytes, ...] = ()
) -> tuple[bytes, bytes]:
    """Roots of the old and the new tree, from the old one's last complete subtree and its siblings on the way up.

    ``known`` is that subtree's root where the path does not have it.
    """
    level = (old_size & -old_size).bit_length() - 1
    sides = list(_siblings((old_size >> level) - 1, (new_size - 1) >> level))
    _check_length("consistency proof", path, 1 + len(sides) - len(known))
    start, *siblings = (*known, *path)
    old_node = new_node = start
    for left, sibling in zip(sides, siblings, strict=True):
        if left:
            old_node = node_hash(sibling, old_node)
            new_node = node_hash(sibling, new_node)
        else:  # on the right stands only what came later
            new_node = node_hash(new_node, sibling)
    return old_node, new_node


def _siblings(index: int, last: int) -> Iterator[bool]:
    """From a node up to the root: whether its sibling is on the left. ``last`` is the index of the row's last node."""
    while last:
        if index & 1:
            yield True
        elif index < last:
            yield False
        index >>= 1
        last >>= 1


def _middle(start: int, end: int) -> int:
    """Where RFC 6962 divides a range: after the largest power of two smaller than its length."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _range_root(read: HashReader, start: int, end: int) -> bytes:
    """Root over the leaves from ``start`` to ``end``, a range that dividing a tree at its middles leads to."""
    length = end - start
    if length & (length - 1) == 0:
        level = length.bit_length() - 1
        return read(level, start >> level)
    middle = _middle(start, end)
    return node_hash(_range_root(read, start, middle), _range_root(read, middle, end))


def _check_hashes(what: str, *hashes: bytes) -> None:
    if wrong := [len(value) for value in hashes if len(value) != HASH_BYTES]:
        raise VerificationError(f"{what}: expected hashes of {HASH_BYTES} bytes, found one of {wrong[0]}")


def _check_length(what: str, path: Sequence[bytes], expected: int) -> None:
    if len(path) != expected:
        raise VerificationError(f"{what}: expected {expected} hashes for these sizes, found {len(path)}")
