"""Leaves: one length, one reading, and a commitment that nothing else fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import InputError, VerificationError
from whorl.entries.leaf import (
    LARGEST_SEQUENCE,
    LEAF_BYTES,
    NO_HASH,
    Leaf,
    commitment,
    entry_id,
    parse_entry_id,
    parse_leaf,
    require_commitment,
    sealed_target,
)

HASHES = st.binary(min_size=32, max_size=32)
NONZERO = HASHES.filter(lambda digest: digest != NO_HASH)


@st.composite
def leaves(draw: st.DrawFn) -> Leaf:
    sealed = draw(st.booleans())
    sequence = draw(st.integers(0, LARGEST_SEQUENCE))
    return Leaf(
        leaf_class="sealed" if sealed else "public",
        kind=0 if sealed else draw(st.integers(1, 255)),
        issuer=draw(HASHES),
        sequence=sequence,
        previous=NO_HASH if sequence == 0 else draw(NONZERO),
        target=draw(HASHES),
        commit=draw(HASHES),
    )


@given(leaves())
def test_a_leaf_is_read_back_as_it_was(leaf: Leaf) -> None:
    assert len(leaf.to_bytes()) == LEAF_BYTES
    assert parse_leaf(leaf.to_bytes()) == leaf
    assert parse_entry_id(entry_id(leaf.hash)) == leaf.hash


@given(leaves(), st.integers(0, LEAF_BYTES * 8 - 1))
def test_no_flipped_bit_gives_the_same_leaf(leaf: Leaf, bit: int) -> None:
    data = bytearray(leaf.to_bytes())
    data[bit // 8] ^= 1 << bit % 8
    try:
        other = parse_leaf(bytes(data))
    except InputError:
        return
    assert other.hash != leaf.hash


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 2), (1, 2), (3, 1), (1, 1), (2, 0)],
    ids=["version", "class", "reserved", "sealed with a kind", "public without a kind"],
)
def test_what_is_no_leaf_is_refused(place: int, value: int) -> None:
    data = bytearray(_leaf().to_bytes())
    data[place] = value
    with pytest.raises(InputError, match="expected a"):
        parse_leaf(bytes(data))


@pytest.mark.parametrize("length", [0, LEAF_BYTES - 1, LEAF_BYTES + 1])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(InputError, match="140 bytes"):
        parse_leaf(bytes(length))


def test_a_first_leaf_that_names_a_previous_one_is_refused() -> None:
    data = bytearray(_leaf().to_bytes())
    data[44:76] = b"\x01" * 32
    with pytest.raises(InputError, match="previous"):
        parse_leaf(bytes(data))


@pytest.mark.parametrize("text", ["", "a" * 51, "a" * 53, "A" * 52, "1" * 52, "b" * 52, "ä" * 52])
def test_what_is_no_entry_id_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="entry's id"):
        parse_entry_id(text)


@given(st.binary(max_size=200), st.binary(max_size=200), HASHES, HASHES)
def test_a_commitment_fits_one_envelope_and_one_salt(one: bytes, other: bytes, salt: bytes, pepper: bytes) -> None:
    leaf = _leaf(commit=commitment(one, salt=salt))
    require_commitment(leaf, one, salt=salt)
    for envelope, key in ((other, salt), (one, pepper)):
        if (envelope, key) != (one, salt):
            with pytest.raises(VerificationError, match="commits to"):
                require_commitment(leaf, envelope, salt=key)


@given(NONZERO, NONZERO, HASHES)
def test_a_sealed_target_hides_which_entry_it_is_and_still_tells_them_apart(
    one: bytes, other: bytes, salt: bytes
) -> None:
    assert sealed_target(one, salt=salt) not in (one, NO_HASH)
    assert (sealed_target(one, salt=salt) == sealed_target(other, salt=salt)) == (one == other)
    assert sealed_target(NO_HASH, salt=salt) == NO_HASH


def test_leaves_of_two_kinds_that_are_sealed_differ_in_nothing_but_hashes() -> None:
    # Attack 21: what a reader of the log could sort sealed entries by.
    model, notice = (_leaf(leaf_class="sealed", kind=0, commit=bytes([number]) * 32).to_bytes() for number in (1, 2))
    assert len(model) == len(notice)
    assert model[:108] == notice[:108]


def _leaf(**changes: object) -> Leaf:
    fields = {
        "leaf_class": "public",
        "kind": 4,
        "issuer": b"\x01" * 32,
        "sequence": 0,
        "previous": NO_HASH,
        "target": NO_HASH,
        "commit": b"\x02" * 32,
    }
    return Leaf(**{**fields, **changes})
