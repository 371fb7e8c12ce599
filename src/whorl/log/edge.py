"""The right edge of a tree: all that is needed to append to it, and what appending writes; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import shown
from whorl.log.merkle import EMPTY_ROOT, leaf_hash, root_of_leaves
from whorl.log.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    TileAddress,
    TileSource,
    encode_bundle,
    parse_bundle,
    right_edge,
    split_tile,
)
from whorl.log.tree_heads import TreeHead

Written: TypeAlias = tuple[TileAddress, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The partial bundle and the partial tiles of a tree.

    Attributes
    ----------
    size : number of entries of the tree
    entries : those of the partial bundle
    rows : hashes of the partial tile of each level, from 0 up; empty where there is none
    """

    size: int = 0
    entries: tuple[bytes, ...] = ()
    rows: tuple[tuple[bytes, ...], ...] = ()

    def root(self) -> bytes:
        """Root of the tree."""
        return root_of_rows(self.rows)


EMPTY_EDGE: Final = Edge()


def root_of_rows(rows: Sequence[Sequence[bytes]]) -> bytes:
    """Root over partial tiles, level 0 first: that of each, with what is left of the level below as its last node."""
    below: tuple[bytes, ...] = ()
    for row in rows:
        if row or below:
            below = (root_of_leaves((*row, *below)),)
    return below[0] if below else EMPTY_ROOT


def grow(edge: Edge, entries: Sequence[bytes]) -> tuple[Edge, list[Written]]:
    """Append entries.

    Returns
    -------
    The new edge, and the files to write, in order: bundles, then tiles from level 0 up. No full tile or bundle is
    made or read twice: the work is two hashes per entry and, for the root, at most 255 per level.

    Raises
    ------
    InputError
        If an entry is longer than 65,535 bytes.
    """
    joined = (*edge.entries, *entries)
    written = [(address, encode_bundle(part)) for address, part in _parts(None, edge.size, joined)] if entries else []
    rows = list(edge.rows)
    hashes = [leaf_hash(entry) for entry in entries]
    level = 0
    while hashes:
        if level == len(rows):
            rows.append(())
        row = (*rows[level], *hashes)
        parts = list(_parts(level, edge.size >> TILE_HEIGHT * level, row))
        written.extend((address, b"".join(part)) for address, part in parts)
        hashes = [root_of_leaves(part) for address, part in parts if address.width == TILE_WIDTH]
        rows[level] = row[len(hashes) * TILE_WIDTH :]
        level += 1
    size = edge.size + len(entries)
    return replace(edge, size=size, entries=joined[len(joined) - size % TILE_WIDTH :], rows=tuple(rows)), written


def read_edge(source: TileSource, state: TreeHead) -> Edge:
    """Read the edge of a tree and hold it against the tree's root.

    Raises
    ------
    VerificationError
        If bundle and tiles do not give the root, or one of them is missing or malformed.
    """
    rows: list[tuple[bytes, ...]] = []
    entries: tuple[bytes, ...] = ()
    try:
        for one in right_edge(state.size):
            if one.level is None:
                entries = parse_bundle(source.bundle(one.index, one.width), width=one.width)
                continue
            rows.extend(() for _ in range(one.level - len(rows)))
            rows.append(split_tile(source.tile(one.level, one.index, one.width), width=one.width))
    except InputError as error:
        raise VerificationError(f"log {shown(state.origin)}: the end of the log is damaged: {error}") from error
    edge = Edge(size=state.size, entries=entries, rows=tuple(rows))
    if edge.root() != state.root or tuple(leaf_hash(entry) for entry in entries) != (*edge.rows, ())[0]:
        raise VerificationError(
            f"log {shown(state.origin)}: the entries and tiles at its end do not give the root of its state, size "
            f"{state.size}"
        )
    return edge


def _parts(level: int | None, first: int, items: Sequence[bytes]) -> Iterator[tuple[TileAddress, Sequence[bytes]]]:
    """Divide hashes or entries, of which one with number ``first`` is in the first part, among tiles or bundles."""
    for number, at in enumerate(range(0, len(items), TILE_WIDTH)):
        part = items[at : at + TILE_WIDTH]
        yield TileAddress(level=level, index=(first >> TILE_HEIGHT) + number, width=len(part)), part
