"""The Merkle tree against RFC 6962 written as its recursive definition, and against whoever bends a proof."""

import hashlib
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.core.errors import VerificationError
from whorl.log.merkle import (
    EMPTY_ROOT,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    prefix_path,
    root_from_inclusion,
    root_of_leaves,
    root_of_prefix,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from whorl.log.small_tree import SmallTree

MOST = 300
HASHES = [leaf_hash(b"entry %d" % number) for number in range(3 * MOST)]
READ = SmallTree(HASHES).read


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962, section 2.1."""
    if end == start:
        return hashlib.sha256(b"").digest()
    if end == start + 1:
        return HASHES[start]
    k = largest_power_of_two_below(end - start)
    return hashlib.sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end]) of section 2.1.1."""
    if end - start == 1:
        return []
    k = largest_power_of_two_below(end - start)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b) of section 2.1.2."""
    if m == end - start:
        return [] if whole else [mth(start, end)]
    k = largest_power_of_two_below(end - start)
    if m <= k:
        return [*subproof(m, start, start + k, whole), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, False), mth(start, start + k)]


def largest_power_of_two_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def test_hashes_are_those_of_the_definition() -> None:
    assert leaf_hash(b"") == hashlib.sha256(b"\0").digest()
    assert node_hash(b"a" * 32, b"b" * 32) == hashlib.sha256(b"\1" + b"a" * 32 + b"b" * 32).digest()
    assert EMPTY_ROOT == hashlib.sha256(b"").digest() == root_of_leaves([]) == tree_root(READ, 0)


def test_roots_and_inclusion_proofs_of_every_tree_up_to_300() -> None:
    for size in range(1, MOST + 1):
        root = mth(0, size)
        assert tree_root(READ, size) == root == root_of_leaves(HASHES[:size])
        for index in range(size):
            made = inclusion_path(READ, index, size)
            assert list(made) == path(index, 0, size)
            verify_inclusion(HASHES[index], index, size, made, root)


def test_consistency_proofs_between_all_trees_up_to_300() -> None:
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            made = consistency_path(READ, old, new)
            assert list(made) == subproof(old, 0, new, True)
            verify_consistency(old, new, mth(0, old), mth(0, new), made)
            if old < new:
                assert root_of_prefix(old, new, prefix_path(READ, old, new), mth(0, new)) == mth(0, old)


@given(st.integers(1, 2**62), st.data())
def test_paths_of_huge_trees_have_the_length_that_both_sides_expect(size: int, data: st.DataObject) -> None:
    """A tree of equal leaves has one hash per level, so trees of any size are at hand."""
    rows = [leaf_hash(b"same")]
    for _ in range(63):
        rows.append(node_hash(rows[-1], rows[-1]))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))

    def read(level: int, _index: int) -> bytes:
        return rows[level]

    root = tree_root(read, size)
    assert root_from_inclusion(rows[0], index, size, inclusion_path(read, index, size)) == root
    verify_consistency(old, size, tree_root(read, old), root, consistency_path(read, old, size))


SIZES = st.tuples(st.integers(1, 3 * MOST), st.integers(1, 3 * MOST)).map(sorted)


@given(SIZES, st.data())
@settings(max_examples=60)
def test_every_bit_flip_in_an_inclusion_proof_is_refused(sizes: list[int], data: st.DataObject) -> None:
    index, size = sizes[0] - 1, sizes[1]
    root, made = mth(0, size), inclusion_path(READ, index, size)
    for place in range(len(made) + 2):
        bit = data.draw(st.integers(0, 255))
        parts = [HASHES[index], root, *made]
        parts[place] = flipped(parts[place], bit)
        with pytest.raises(VerificationError):
            verify_inclusion(parts[0], index, size, parts[2:], parts[1])


@given(SIZES, st.data())
@settings(max_examples=60)
def test_every_bit_flip_in_a_consistency_proof_is_refused(sizes: list[int], data: st.DataObject) -> None:
    old, new = sizes
    made = consistency_path(READ, old, new)
    for place in range(len(made) + 2):
        bit = data.draw(st.integers(0, 255))
        parts = [mth(0, old), mth(0, new), *made]
        parts[place] = flipped(parts[place], bit)
        with pytest.raises(VerificationError):
            verify_consistency(old, new, parts[0], parts[1], parts[2:])


@pytest.mark.parametrize("bit", range(256))
def test_each_bit_of_a_hash_counts(bit: int) -> None:
    made = inclusion_path(READ, 5, 13)
    with pytest.raises(VerificationError):
        verify_inclusion(HASHES[5], 5, 13, [*made[:2], flipped(made[2], bit), *made[3:]], mth(0, 13))


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(SIZES)
def test_truncated_extended_and_misplaced_inclusion_proofs_are_refused(sizes: list[int]) -> None:
    index, size = sizes[0] - 1, sizes[1]
    root, made = mth(0, size), inclusion_path(READ, index, size)
    others = [
        (index, size, made[:-1]) if made else (index, size, (root,)),
        (index, size, (*made, HASHES[0])),
        (index, size, (HASHES[0], *made)),
        (index, size, (*made[:-1], made[-1][:31]) if made else (b"",)),
        (index + 1, size, made),
        (index - 1, size, made),
        (size, size, made),
        (-1, size, made),
        (index, 0, made),
    ]
    for other_index, other_size, other in others:
        with pytest.raises(VerificationError):
            verify_inclusion(HASHES[index], other_index, other_size, other, root)


@given(SIZES)
def test_truncated_extended_and_swapped_consistency_proofs_are_refused(sizes: list[int]) -> None:
    old, new = sizes
    roots, made = (mth(0, old), mth(0, new)), consistency_path(READ, old, new)
    others = [
        (old, new, *roots, made[:-1]) if made else (old, new, *roots, (roots[0],)),
        (old, new, *roots, (*made, HASHES[0])),
        (old, new, *roots, (HASHES[0], *made)),
        (0, new, *roots, made),
        (0, new, EMPTY_ROOT, roots[1], ()),
        (-1, new, *roots, made),
        (new + 1, new, *roots, made),
        (old, new, roots[0][:31], roots[1], made),
    ]
    if old < new:
        others += [
            (old, new, *reversed(roots), made),
            (new, old, *reversed(roots), made),
            (old, new, roots[1], roots[1], made),
            (old, new, roots[0], roots[0], made),
            (old, new, *roots, ()),
        ]
    for other_old, other_new, old_root, new_root, other in others:
        with pytest.raises(VerificationError):
            verify_consistency(other_old, other_new, old_root, new_root, other)


@given(st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_entries_put_in_before_the_old_ones_do_not_pass_as_appended(old: int, added: int, claims_more: bool) -> None:
    """The forgery that pymerkle 6.1.0 accepted: its verifier let the prover say on which side each hash stands."""
    before, inserted = HASHES[:old], HASHES[MOST : MOST + added]
    forged = SmallTree([*inserted, *before])
    new = old + added
    # The prover's best: the true hashes of the forged tree, in every order that a real proof could have.
    subtrees = prefix_path(forged.read, added, new)
    tries = [consistency_path(forged.read, old, new), consistency_path(forged.read, added, new)]
    tries += [subtrees, subtrees[::-1], (root_of_leaves(before), root_of_leaves(inserted))]
    tries += [(root_of_leaves(inserted),), (root_of_leaves(before),)]
    if claims_more:
        tries += [(*one, root_of_leaves(inserted)) for one in tries]
    for one in tries:
        with pytest.raises(VerificationError):
            verify_consistency(old, new, root_of_leaves(before), forged.root, one)


@given(SIZES.filter(lambda sizes: sizes[0] < sizes[1]), st.data())
def test_a_prefix_has_the_root_that_its_path_shows_and_no_other(sizes: list[int], data: st.DataObject) -> None:
    old, new = sizes
    made = list(prefix_path(READ, old, new))
    place = data.draw(st.integers(0, len(made) - 1))
    made[place] = flipped(made[place], data.draw(st.integers(0, 255)))
    with pytest.raises(VerificationError):
        root_of_prefix(old, new, made, mth(0, new))
    with pytest.raises(VerificationError):
        root_of_prefix(new, new, (mth(0, new),), mth(0, new))
    with pytest.raises(VerificationError):
        root_of_prefix(0, new, (), mth(0, new))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_no_proof_is_made_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_path(READ, index, size)


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (0, 0)])
def test_no_consistency_proof_is_made_from_nothing_or_from_the_future(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="no proper prefix"):
        consistency_path(READ, old, new)
