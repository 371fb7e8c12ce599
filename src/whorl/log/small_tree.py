"""A Merkle tree that fits into memory whole: for maps and lists beside the log."""

from collections.abc import Sequence

from whorl.log.merkle import node_hash, tree_root


class SmallTree:
    """All complete subtrees over some leaf hashes; `read` is a `whorl.log.merkle.HashReader`."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self._rows = [list(hashes)]
        while len(below := self._rows[-1]) > 1:
            self._rows.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])

    def read(self, level: int, index: int) -> bytes:
        """Root of the complete subtree."""
        return self._rows[level][index]

    @property
    def root(self) -> bytes:
        """Root of the whole tree."""
        return tree_root(self.read, len(self._rows[0]))
