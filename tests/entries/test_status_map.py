"""The status map: every entry is either proven present or proven absent, and never both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import VerificationError
from whorl.entries.status_map import FIRST_KEY, LAST_KEY, Absent, Present, StatusMap, StatusProof, verify_status

HASHES = st.binary(min_size=32, max_size=32).filter(lambda digest: digest not in (FIRST_KEY, LAST_KEY))
MAPS = st.dictionaries(HASHES, HASHES, max_size=12)


@given(MAPS, HASHES)
def test_what_is_proven_is_what_the_map_holds(statuses: dict[bytes, bytes], entry: bytes) -> None:
    made = StatusMap(statuses)
    for asked in (*statuses, entry):
        found = verify_status(made.prove(asked), asked, root=made.root, size=made.size)
        expected = Present(value=statuses[asked]) if asked in statuses else Absent()
        assert found == expected


@given(MAPS, HASHES, HASHES)
def test_a_proof_for_one_entry_says_nothing_of_another(
    statuses: dict[bytes, bytes], entry: bytes, other: bytes
) -> None:
    made = StatusMap(statuses | {entry: b"\x07" * 32})
    for asked in {other, *statuses} - {entry}:
        with pytest.raises(VerificationError):
            verify_status(made.prove(entry), asked, root=made.root, size=made.size)


@given(MAPS.filter(bool), st.data())
def test_no_two_leaves_prove_a_present_entry_absent(statuses: dict[bytes, bytes], data: st.DataObject) -> None:
    made = StatusMap(statuses)
    entry = data.draw(st.sampled_from(sorted(statuses)))
    leaves = [made.prove(key).leaves[0] for key in statuses]
    ends = [*made.prove(_below(min(statuses))).leaves, *made.prove(_above(max(statuses))).leaves]
    pair = data.draw(st.tuples(*[st.sampled_from([*leaves, *ends])] * 2))
    with pytest.raises(VerificationError):
        verify_status(StatusProof(leaves=pair), entry, root=made.root, size=made.size)


def test_a_map_of_nothing_proves_everything_absent() -> None:
    empty = StatusMap({})
    assert empty.size == 2
    assert verify_status(empty.prove(b"\x01" * 32), b"\x01" * 32, root=empty.root, size=2) == Absent()


@pytest.mark.parametrize("sentinel", [FIRST_KEY, LAST_KEY])
def test_a_sentinel_is_no_entry(sentinel: bytes) -> None:
    with pytest.raises(ValueError, match="sentinel"):
        StatusMap({sentinel: b"\x01" * 32})
    made = StatusMap({})
    index = 0 if sentinel == FIRST_KEY else 1
    leaf = made.prove(b"\x01" * 32).leaves[index]
    with pytest.raises(VerificationError):
        verify_status(StatusProof(leaves=(leaf,)), sentinel, root=made.root, size=made.size)


def test_a_proof_under_another_root_is_refused() -> None:
    one, other = StatusMap({b"\x01" * 32: b"\x02" * 32}), StatusMap({})
    with pytest.raises(VerificationError):
        verify_status(other.prove(b"\x01" * 32), b"\x01" * 32, root=one.root, size=one.size)


def _below(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") - 1).to_bytes(32, "big") if key > b"\0" * 31 + b"\x01" else key


def _above(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") + 1).to_bytes(32, "big") if key < b"\xff" * 31 + b"\xfe" else key
