"""Paths, tiles and bundles of C2SP tlog-tiles: one spelling each, and nothing else is read."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whorl.core.errors import InputError, VerificationError
from whorl.log.merkle import leaf_hash
from whorl.log.tiles import (
    MAX_ENTRY_BYTES,
    TileAddress,
    encode_bundle,
    hash_reader,
    parse_bundle,
    parse_tile_path,
    right_edge,
    split_tile,
    tile_width,
)

ADDRESSES = st.builds(
    TileAddress,
    level=st.none() | st.integers(0, 63),
    index=st.integers(0, 2**63 - 1) | st.integers(0, 2000),
    width=st.integers(1, 256),
)


@given(ADDRESSES)
@example(TileAddress(level=None, index=999))
@example(TileAddress(level=0, index=1000))
def test_address_and_path_say_the_same(address: TileAddress) -> None:
    assert parse_tile_path(address.path) == address


@pytest.mark.parametrize(
    ("address", "path"),
    [  # the examples of the specification
        (TileAddress(level=0, index=1234067), "tile/0/x001/x234/067"),
        (TileAddress(level=None, index=1234067, width=8), "tile/entries/x001/x234/067.p/8"),
        (TileAddress(level=0, index=273, width=112), "tile/0/273.p/112"),
        (TileAddress(level=63, index=0), "tile/63/000"),
    ],
)
def test_paths_are_those_of_the_specification(address: TileAddress, path: str) -> None:
    assert address.path == path
    assert parse_tile_path(path) == address


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/67",
        "tile/0/0067",
        "tile/0/x000/067",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/08",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/x001",
        "tile/0/",
        "tile/0",
        "tile//000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/0/../../state",
        "tile/data/000",
        "tile/0/" + "x999/" * 6 + "999",
        "tile/0/" + "x999/" * 60 + "999",
        "checkpoint",
        "",
    ],
)
def test_other_spellings_are_refused(path: str) -> None:
    with pytest.raises(InputError):
        parse_tile_path(path)


@given(st.text(alphabet="tile/entries0123456789x.p", max_size=40))
def test_a_path_that_is_read_is_the_one_its_address_has(path: str) -> None:
    try:
        address = parse_tile_path(path)
    except InputError:
        return
    assert address.path == path


ENTRIES = st.lists(st.binary(max_size=40), min_size=1, max_size=8)


@given(ENTRIES)
def test_a_bundle_is_read_as_it_was_written(entries: list[bytes]) -> None:
    assert parse_bundle(encode_bundle(entries), width=len(entries)) == tuple(entries)


def test_the_longest_entry_fits_and_one_byte_more_is_refused() -> None:
    longest = bytes(MAX_ENTRY_BYTES)
    assert parse_bundle(encode_bundle([longest, b""]), width=2) == (longest, b"")
    with pytest.raises(InputError, match="at most 65535"):
        encode_bundle([bytes(MAX_ENTRY_BYTES + 1)])


@given(ENTRIES, st.integers(-3, 3))
def test_a_bundle_of_another_width_or_length_is_refused(entries: list[bytes], more: int) -> None:
    data = encode_bundle(entries)
    if more:
        with pytest.raises(InputError):
            parse_bundle(data, width=max(0, len(entries) + more))
    for broken in (data[:-1], data + b"\0"):
        with pytest.raises(InputError):
            parse_bundle(broken, width=len(entries))


@given(st.binary(max_size=60), st.integers(1, 4))
def test_bytes_that_are_read_as_a_bundle_are_that_bundle(data: bytes, width: int) -> None:
    try:
        entries = parse_bundle(data, width=width)
    except InputError:
        return
    assert encode_bundle(entries) == data


def test_a_bundle_that_promises_more_than_it_holds_is_refused() -> None:
    with pytest.raises(InputError, match="within entry 1"):
        parse_bundle(struct.pack(">H", 1) + b"a" + struct.pack(">H", 65535) + b"b", width=2)


def test_widths_are_those_of_the_example_of_the_specification() -> None:
    size = 70_000
    assert [tile_width(size, 0, index) for index in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [tile_width(size, 1, index) for index in (0, 1, 2)] == [256, 17, 0]
    assert [tile_width(size, 2, index) for index in (0, 1)] == [1, 0]
    assert [one.path for one in right_edge(size)] == [
        "tile/entries/273.p/112",
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert [one.path for one in right_edge(256)] == ["tile/1/000.p/1"]
    assert list(right_edge(0)) == []


@given(st.integers(0, 2**63 - 1))
def test_the_right_edge_has_one_partial_tile_for_each_digit_of_the_size(size: int) -> None:
    digits = [size >> 8 * level & 255 for level in range(8)]
    tiles = [one for one in right_edge(size) if one.level is not None]
    assert [(one.level, one.width) for one in tiles] == [(level, one) for level, one in enumerate(digits) if one]


class OneTile:
    """A source of the same bytes, whatever is asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked = 0

    def tree_head(self) -> bytes:
        return b""

    def tile(self, _level: int, _index: int, _width: int) -> bytes:
        self.asked += 1
        return self.data

    def bundle(self, _index: int, _width: int) -> bytes:
        return b""


def test_a_reader_keeps_tiles_but_not_all_of_them() -> None:
    source = OneTile(bytes(32 * 256))
    read = hash_reader(source, 256 * 1000)
    for _ in range(3):
        read(0, 5)
    assert source.asked == 1
    for index in range(1000):
        read(0, index * 256)
    asked = source.asked
    read(0, 0)
    assert source.asked == asked + 1


@pytest.mark.parametrize("data", [b"", bytes(32 * 3 - 1), bytes(32 * 4), bytes(32 * 256)])
def test_a_reader_refuses_tiles_of_another_length(data: bytes) -> None:
    with pytest.raises(VerificationError, match=r"tile/0/000.p/3: .*expected 3 hashes"):
        hash_reader(OneTile(data), 3)(0, 0)


@pytest.mark.parametrize(("level", "index"), [(0, 3), (1, 1), (2, 0), (0, -1), (60, 0)])
def test_a_reader_is_not_asked_for_what_the_tree_does_not_have(level: int, index: int) -> None:
    with pytest.raises(ValueError, match="no complete subtree"):
        hash_reader(OneTile(bytes(32 * 3)), 3)(level, index)


def test_hashes_of_a_tile_come_apart_as_they_were_joined() -> None:
    hashes = tuple(leaf_hash(bytes([number])) for number in range(5))
    assert split_tile(b"".join(hashes), width=5) == hashes


@pytest.mark.parametrize("wrong", [{"level": 64}, {"level": -1}, {"index": -1}, {"width": 0}, {"width": 257}])
def test_addresses_that_no_log_has_cannot_be_built(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"no tile|outside"):
        TileAddress(**{"level": 0, "index": 0, "width": 1} | wrong)
