"""How a log is laid out for readers: tiles of hashes and bundles of entries, by path (C2SP tlog-tiles).

A tile holds up to 256 hashes of one level: the leaves' hashes on level 0, and above it the roots of the full tiles
below. A bundle holds the entries of a level-0 tile. A `TileSource` is anything that serves both: a folder, a mirror,
an HTTP client. What it serves proves nothing until it was held against a signed tree head.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import MAX_SIZE, shown
from whorl.log.merkle import HASH_BYTES, HashReader
from whorl.log.small_tree import SmallTree

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
MAX_ENTRY_BYTES: Final = 2**16 - 1
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
MAX_LEVEL: Final = 63

_PATH: Final = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_CACHED_TILES: Final = 64


class TileSource(Protocol):
    """Where a log is read from. Methods raise `InputError` if there is no such resource or it cannot be had."""

    def tree_head(self) -> bytes:
        """The signed tree head that is published now."""

    def tile(self, level: int, index: int, width: int) -> bytes:
        """The first ``width`` hashes of a tile, joined."""

    def bundle(self, index: int, width: int) -> bytes:
        """The first ``width`` entries of a bundle, as served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileAddress:
    """Which tile or bundle; the path and the three numbers say the same.

    Attributes
    ----------
    level : level of a tile, from 0 to 63; None for a bundle of entries
    index : place within the level
    width : hashes or entries it holds, from 1 to 256; below 256 it is a partial one
    """

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (self.level is None or 0 <= self.level <= MAX_LEVEL):
            raise ValueError(f"level {self.level} outside 0 to {MAX_LEVEL}")
        if not (0 <= self.index <= MAX_SIZE and 1 <= self.width <= TILE_WIDTH):
            raise ValueError(f"no tile {self.index} of width {self.width}")

    @property
    def path(self) -> str:
        """Path below the log's prefix, such as ``tile/0/x001/x234/067.p/8``."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{number}{partial}"


def parse_tile_path(path: str) -> TileAddress:
    """Read a path as a request has it; every address has one path only.

    Raises
    ------
    InputError
        If it is no path of a tile or bundle, or not written in the one way.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise InputError(f"expected a path such as tile/0/x001/234 or tile/entries/007.p/8, found {shown(path)}")
    level, number, width = match.groups()
    index = int(number.replace("x", "").replace("/", ""))
    try:
        address = TileAddress(
            level=None if level == "entries" else int(level), index=index, width=int(width or TILE_WIDTH)
        )
    except ValueError as error:
        raise InputError(f"path {shown(path)}: {error}") from None
    if address.path != path:
        raise InputError(f"path {shown(path)}: expected it written as {address.path}")
    return address


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Join entries, each after its length in two bytes.

    Raises
    ------
    InputError
        If an entry is longer than 65,535 bytes.
    """
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise InputError(f"log entry: expected at most {MAX_ENTRY_BYTES} bytes, found {len(entry)}")
    return b"".join(part for entry in entries for part in (struct.pack(">H", len(entry)), entry))


def parse_bundle(data: bytes, *, width: int) -> tuple[bytes, ...]:
    """Divide a bundle into its entries.

    Raises
    ------
    InputError
        If it holds fewer or more than ``width`` entries, or ends within one.
    """
    entries = []
    at = 0
    for number in range(width):
        start = at + 2
        if start > len(data) or (at := start + int.from_bytes(data[start - 2 : start], "big")) > len(data):
            raise InputError(f"entry bundle: expected {width} whole entries, found its end within entry {number}")
        entries.append(data[start:at])
    if at != len(data):
        raise InputError(f"entry bundle: expected {width} entries, found {len(data) - at} bytes after them")
    return tuple(entries)


def split_tile(data: bytes, *, width: int) -> tuple[bytes, ...]:
    """Divide a tile into its hashes.

    Raises
    ------
    InputError
        If it does not hold exactly ``width`` hashes.
    """
    if len(data) != width * HASH_BYTES:
        raise InputError(f"tile: expected {width} hashes of {HASH_BYTES} bytes, found {len(data)} bytes")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def tile_width(size: int, level: int, index: int) -> int:
    """How many hashes this tile has in a tree of ``size`` leaves: 256 if it is full, 0 if there is none."""
    return max(0, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - index * TILE_WIDTH))


def right_edge(size: int) -> Iterator[TileAddress]:
    """The partial bundle of a tree, then its partial tiles from level 0 up; full ones are left out."""
    level = 0
    while row := size >> TILE_HEIGHT * level:
        index, width = divmod(row, TILE_WIDTH)
        if width and level == 0:
            yield TileAddress(level=None, index=index, width=width)
        if width:
            yield TileAddress(level=level, index=index, width=width)
        level += 1


def hash_reader(source: TileSource, size: int) -> HashReader:
    """Read hashes of complete subtrees from the tiles of a tree of ``size`` leaves; keeps the last 64 tiles.

    The reader raises `VerificationError` for a tile of a wrong length, and lets through what the source raises. It
    takes the hashes of a tile as they are: what is made of them is for the caller to hold against a tree head.
    """

    @lru_cache(maxsize=_CACHED_TILES)
    def tile(level: int, index: int) -> SmallTree:
        width = tile_width(size, level, index)
        data = source.tile(level, index, width)
        try:
            return SmallTree(split_tile(data, width=width))
        except InputError as error:
            path = TileAddress(level=level, index=index, width=width).path
            raise VerificationError(f"{path}: {error}") from error

    def read(level: int, index: int) -> bytes:
        if index < 0 or (index + 1) << level > size:
            raise ValueError(f"no complete subtree {index} of level {level} in a tree of size {size}")
        tile_level, row = divmod(level, TILE_HEIGHT)
        number, place = divmod(index, TILE_WIDTH >> row)
        return tile(tile_level, number).read(row, place)

    return read
