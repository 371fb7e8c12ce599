"""Tiles derived anew from the entries, and held against the tiles that are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress, silent
from whorl.log.edge import root_of_rows
from whorl.log.merkle import leaf_hash, root_of_leaves
from whorl.log.tiles import TILE_HEIGHT, TILE_WIDTH, TileAddress, TileSource, parse_bundle, split_tile, tile_width

MAX_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What entries and tiles gave.

    Attributes
    ----------
    root : root of the tree; None where something that it is made of is missing
    problems : what is wrong, with its path, in the order in which it was found; at most `MAX_PROBLEMS`, then no more
        was looked at
    """

    root: bytes | None
    problems: tuple[str, ...]


def derive(source: TileSource, size: int, *, start: int = 0, progress: Progress = silent) -> Derived:
    """Hash the entries from ``start`` on again, and compare with every tile they stand under in the tree of ``size``.

    Hashes of subtrees that end before ``start`` are taken as they are stored: compare the root of the first ``start``
    entries yourself. Reads each bundle and tile once and keeps one tile per level.
    """
    derivation = _Derivation(source, size, start)
    last = -(-size // TILE_WIDTH)
    for index in range(start >> TILE_HEIGHT, last):
        derivation.take_bundle(index)
        progress("entries", min(size, (index + 1) * TILE_WIDTH), size)
        if len(derivation.problems) >= MAX_PROBLEMS:
            return Derived(root=None, problems=tuple(derivation.problems[:MAX_PROBLEMS]))
    root = derivation.finish()
    return Derived(root=root, problems=tuple(derivation.problems[:MAX_PROBLEMS]))


class _Derivation:
    """Rows of hashes that the tile under way on each level must have; None where a hash could not be derived."""

    def __init__(self, source: TileSource, size: int, start: int) -> None:
        self.problems: list[str] = []
        self._source = source
        self._size = size
        self._rows: list[list[bytes | None]] = []
        self._index: list[int] = []
        level = 0
        while size >> TILE_HEIGHT * level:
            whole = start >> TILE_HEIGHT * level if level else start // TILE_WIDTH * TILE_WIDTH
            self._rows.append([None] * (whole % TILE_WIDTH))
            self._index.append(whole >> TILE_HEIGHT)
            level += 1

    def take_bundle(self, index: int) -> None:
        """Hash the next bundle's entries; a full tile's root goes up to the next level, and so on."""
        level, hashes = 0, self._entry_hashes(index)
        while hashes:
            row = self._rows[level]
            row.extend(hashes)
            hashes = []
            if len(row) == TILE_WIDTH:
                compared = _known(self._compare(level))
                hashes = [root_of_leaves(compared) if compared is not None else None]
                self._rows[level] = []
                self._index[level] += 1
            level += 1

    def finish(self) -> bytes | None:
        """Compare the partial tiles; returns the root over them."""
        rows = [_known(self._compare(level)) if row else [] for level, row in enumerate(self._rows)]
        known = [row for row in rows if row is not None]
        return root_of_rows(known) if len(known) == len(rows) else None

    def _entry_hashes(self, index: int) -> list[bytes | None]:
        width = tile_width(self._size, 0, index)
        try:
            entries = parse_bundle(self._source.bundle(index, width), width=width)
        except (InputError, VerificationError) as error:
            self._note(TileAddress(level=None, index=index, width=width), str(error))
            return [None] * width
        return [leaf_hash(entry) for entry in entries]

    def _compare(self, level: int) -> Sequence[bytes | None]:
        """Hold a row against the stored tile; returns it with the gaps filled by what is stored.

        Where the two differ nothing goes up: one fault is one problem, at its own place.
        """
        row, index = self._rows[level], self._index[level]
        address = TileAddress(level=level, index=index, width=len(row))
        try:
            stored = split_tile(self._source.tile(level, index, len(row)), width=len(row))
        except (InputError, VerificationError) as error:
            self._note(address, str(error))
            return row
        for place, (derived, found) in enumerate(zip(row, stored, strict=True)):
            if derived is not None and derived != found:
                below = "entry" if level == 0 else f"tile/{level - 1}, number"
                number = index * TILE_WIDTH + place
                self._note(address, f"hash {place} is not that of {below} {number}; one of the two was altered")
                return [None] * len(row)
        return stored

    def _note(self, address: TileAddress, problem: str) -> None:
        self.problems.append(problem if address.path in problem else f"{address.path}: {problem}")


def _known(row: Sequence[bytes | None]) -> list[bytes] | None:
    known = [one for one in row if one is not None]
    return known if len(known) == len(row) else None
