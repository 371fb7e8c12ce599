"""A log read from a folder that is laid out as it is served: our own, a mirror's copy, or another program's."""

from pathlib import Path
from typing import Final

from whorl.core.errors import InputError
from whorl.log.files import read_file
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.tiles import (
    MAX_BUNDLE_BYTES,
    MAX_TILE_BYTES,
    TILE_WIDTH,
    TileAddress,
    encode_bundle,
    parse_bundle,
    split_tile,
)

HEAD_NAME: Final = "checkpoint"


class ServedFolder:
    """A `TileSource` over files; trusts none of them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tree_head(self) -> bytes:
        """See `TileSource.tree_head`."""
        return read_file(self.path / HEAD_NAME, max_bytes=MAX_NOTE_BYTES)

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes:
        """See `TileSource.tile`. Partial tiles that are gone come out of the full one."""
        data, full = self._read(TileAddress(level=level, index=index, width=width), MAX_TILE_BYTES)
        return b"".join(split_tile(data, width=TILE_WIDTH)[:width]) if full else data

    def bundle(self, index: int, width: int = TILE_WIDTH) -> bytes:
        """See `TileSource.bundle`. Partial bundles that are gone come out of the full one."""
        data, full = self._read(TileAddress(level=None, index=index, width=width), MAX_BUNDLE_BYTES)
        return encode_bundle(parse_bundle(data, width=TILE_WIDTH)[:width]) if full else data

    def _read(self, address: TileAddress, max_bytes: int) -> tuple[bytes, bool]:
        """A file, and whether it is the full one in place of a partial one."""
        path = self.path / address.path
        full = TileAddress(level=address.level, index=address.index)
        try:
            return read_file(path, max_bytes=max_bytes), False
        except InputError:
            # A partial file is removed only once the full one is there, even while it is being looked for here.
            if address == full or path.exists() or not (self.path / full.path).exists():
                raise
        return read_file(self.path / full.path, max_bytes=max_bytes), True
