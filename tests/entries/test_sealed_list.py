"""Sealed lists: what is opened was committed, and what is not opened stays secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_log import counting_bytes

from whorl.core.errors import InputError, VerificationError
from whorl.entries.sealed_list import (
    MAX_SECRET_BYTES,
    open_members,
    parse_opened,
    parse_sealed,
    seal,
    sealed_root,
    verify_opened,
    write_sealed,
)

SECRETS = st.lists(st.binary(max_size=40), min_size=1, max_size=9)


@given(SECRETS, st.data())
def test_opened_members_are_those_that_were_sealed(secrets: list[bytes], data: st.DataObject) -> None:
    members = seal(secrets, counting_bytes())
    chosen = data.draw(st.lists(st.integers(0, len(secrets) - 1), min_size=1, max_size=4))
    opened = open_members(members, chosen)
    stored = parse_opened(opened.model_dump_json().encode(), origin="opened.json")
    shown = verify_opened(stored, root=sealed_root(members), count=len(secrets))
    assert shown == {index: secrets[index] for index in chosen}
    assert all(len(member.path) <= 4 for member in opened.opened)


@given(SECRETS)
def test_the_private_file_is_read_back(secrets: list[bytes]) -> None:
    members = seal(secrets, counting_bytes())
    assert parse_sealed(write_sealed(members), origin="sealed.json") == members


def test_unopened_members_do_not_show() -> None:
    members = seal([b"one secret", b"another"], counting_bytes())
    text = open_members(members, [0]).model_dump_json()
    assert b"another".hex() not in text
    assert members[1].salt.hex() not in text


def test_equal_secrets_are_sealed_differently() -> None:
    # A short secret must not be found by trying all of them: each call draws a new salt.
    draw = counting_bytes()
    assert sealed_root(seal([b"0"], draw)) != sealed_root(seal([b"0"], draw))
    one, other = seal([b"0", b"0"], draw)
    assert one.hash != other.hash


def test_a_changed_member_is_refused() -> None:
    members = seal([b"a", b"b", b"c"], counting_bytes())
    root = sealed_root(members)
    opened = open_members(members, [1])
    member = opened.opened[0]
    for change in ({"secret": b"x".hex()}, {"salt": "00" * 32}, {"index": 2}, {"path": member.path[:-1]}):
        forged = opened.model_copy(update={"opened": (member.model_copy(update=change),)})
        with pytest.raises(VerificationError):
            verify_opened(forged, root=root, count=3)


def test_an_opening_of_another_commitment_is_refused() -> None:
    members = seal([b"a", b"b", b"c"], counting_bytes())
    opened = open_members(members, [1])
    for root, count in ((b"\x01" * 32, 3), (sealed_root(members), 4)):
        with pytest.raises(VerificationError, match="expected an opening"):
            verify_opened(opened, root=root, count=count)


@pytest.mark.parametrize("secrets", [[], [b"x" * (MAX_SECRET_BYTES + 1)]])
def test_what_cannot_be_sealed_is_refused(secrets: list[bytes]) -> None:
    with pytest.raises(InputError):
        seal(secrets, counting_bytes())


@pytest.mark.parametrize("chosen", [[], [-1], [2]])
def test_members_that_are_none_cannot_be_opened(chosen: list[int]) -> None:
    with pytest.raises(InputError, match="0 to 1"):
        open_members(seal([b"a", b"b"], counting_bytes()), chosen)


def test_broken_files_are_refused_without_quoting_them() -> None:
    data = write_sealed(seal([b"a secret of mine"], counting_bytes()))
    for broken in (b"{}", data.replace(b'"root":"', b'"root":"0', 1), data[:-9], data.replace(b'[["00', b'[["0z', 1)):
        with pytest.raises(InputError) as error:
            parse_sealed(broken, origin="sealed.json")
        assert b"a secret of mine".hex() not in str(error.value)
    with pytest.raises(InputError, match="opened list"):
        parse_opened(data, origin="sealed.json")
