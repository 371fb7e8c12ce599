"""A log kept as a folder, laid out as it is served: bundles, tiles, the published tree head, and the state.

::

    checkpoint               the signed tree head that is published
    tile/entries/000.p/17    entries
    tile/0/000.p/17          hashes
    state                    size and root of what is stored; not signed
    .lock

Files are written whole, each on the disk before the next: bundles, tiles from level 0 up, the state. So whatever a
crash leaves, every tile that the state needs is there and is the state's. What lies beyond was never signed, and
appending the same entries again writes the same files. Signing (`whorl.log.signing`) comes after.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from whorl.core.durable_files import sync_folder, write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.log.edge import EMPTY_EDGE, Edge, grow, read_edge
from whorl.log.files import Write, locked, read_file
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.merkle import tree_root
from whorl.log.notes import parse_note
from whorl.log.served_folder import HEAD_NAME, ServedFolder
from whorl.log.tiles import TILE_HEIGHT, TILE_WIDTH, TileAddress, hash_reader, right_edge, tile_width
from whorl.log.tree_heads import TreeHead, parse_tree_head

_STATE: Final = "state"
_UNFINISHED: Final = ".*.partial"


class LogFolder(ServedFolder):
    """A log that is kept here, for any number of readers and one writer at a time.

    Parameters
    ----------
    path : the folder, made by `create_log`
    origin : the log's name, which its state must carry
    write : how files get onto the disk

    Raises
    ------
    InputError
        If there is no log.
    VerificationError
        If the state is damaged or of another log.
    """

    def __init__(self, path: Path, *, origin: str, write: Write = write_durably) -> None:
        super().__init__(path)
        self.origin = origin
        self._write = write
        self._cached: tuple[TreeHead, Edge] | None = None
        self.state()

    @property
    def size(self) -> int:
        """Number of entries stored, signed or not."""
        return self.state().size

    @property
    def root(self) -> bytes:
        """Root over the entries stored."""
        return self.state().root

    def state(self) -> TreeHead:
        """Size and root of what is stored, as the disk has it.

        Raises
        ------
        InputError, VerificationError
            If there is none; if it is damaged or of another log.
        """
        path = self.path / _STATE
        data = read_file(path, max_bytes=MAX_NOTE_BYTES)
        try:
            state = parse_tree_head(data.decode())
        except (InputError, UnicodeDecodeError) as error:
            raise VerificationError(f"{path}: damaged ({error}); restore the log from its newest backup") from error
        if state.origin != self.origin or state.to_text().encode() != data:
            raise VerificationError(
                f"{path}: expected the state of log {self.origin!r}, found that of {state.origin!r}; another log's "
                "folder was put here, or the file is damaged"
            )
        return state

    def append(self, entries: Sequence[bytes]) -> TreeHead:
        """Add entries at the end and see them on the disk; nothing is signed or published.

        After a crash or an error the caller asks for `size` and appends again from that entry on.

        Returns
        -------
        The new state.

        Raises
        ------
        InputError
            If an entry is longer than 65,535 bytes; then nothing was written.
        VerificationError
            If what is stored at the log's end does not belong to the state; then nothing was written.
        OSError
            If a file could not be written; the state stays as it was.
        """
        with self.locked():
            before, edge = self._edge()
            if not entries:
                return before
            edge, written = grow(edge, entries)
            for address, data in written:
                path = self.path / address.path
                _make_folder(path.parent)
                self._write(path, data)
            state = TreeHead(origin=self.origin, size=edge.size, root=edge.root())
            self._write(self.path / _STATE, state.to_text().encode())
            self._cached = state, edge
            self._remove_outgrown(before.size, edge.size)
            return state

    def root_with(self, entries: Sequence[bytes]) -> bytes:
        """Root that the log would have with these entries at its end; nothing is written.

        Raises
        ------
        InputError, VerificationError
            As `append`.
        """
        with self.locked():
            return grow(self._edge()[1], entries)[0].root()

    def publish(self, note: bytes) -> None:
        """Put a signed tree head where readers find it. That its signatures hold is the signer's business.

        Raises
        ------
        InputError
            If it is no signed tree head.
        VerificationError
            If it is not of this tree, or smaller than the one that is published.
        """
        head = parse_tree_head(parse_note(note).text)
        with self.locked():
            state, published = self.state(), self.published()
            if published is not None and head.size < published.size:
                problem = f"a tree head of size {published.size} is published"
            elif head.origin != self.origin or head.size > state.size:
                problem = f"the log is {self.origin!r} with {state.size} entries"
            elif tree_root(hash_reader(self, state.size), head.size) != head.root:
                problem = "the stored tree has another root at this size"
            else:
                self._write(self.path / HEAD_NAME, note)
                return
        raise VerificationError(
            f"{self.path}: the tree head of {head.origin!r} with {head.size} entries was not published: {problem}"
        )

    def published(self) -> TreeHead | None:
        """The published tree head, its signatures unchecked; None before the first.

        Raises
        ------
        VerificationError
            If it is damaged.
        """
        if not (self.path / HEAD_NAME).exists():
            return None
        try:
            return parse_tree_head(parse_note(self.tree_head()).text)
        except InputError as error:
            raise VerificationError(
                f"{self.path / HEAD_NAME}: damaged ({error}); put back a copy of the tree head that was published last"
            ) from error

    def recover(self) -> TreeHead:
        """After a crash: check the log's end, and remove what was written beyond the state.

        Returns
        -------
        The state, from which the caller appends again.

        Raises
        ------
        VerificationError
            If the end of the log is damaged, or the state is older than what is published; then nothing was removed.
        """
        with self.locked():
            self._cached = None
            state, _ = self._edge()
            published = self.published()
            if published is not None and published.size > state.size:
                problem = f"a tree head of size {published.size} is published"
            elif outgrown := [one.path for one in right_edge(state.size) if not (self.path / one.path).exists()]:
                problem = f"{outgrown[0]} was replaced by a full one"
            else:
                problem = ""
            if problem:
                raise VerificationError(
                    f"{self.path}: the state says {state.size} entries, but {problem}: an older state was put back. "
                    "Restore the newest backup of the whole log"
                )
            for leftover in reversed(list(self._beyond(state.size))):  # so that a second crash leaves no gap
                leftover.unlink(missing_ok=True)
            return state

    def locked(self) -> AbstractContextManager[None]:
        """Keep other writers and signers of this folder waiting, in this process and others.

        Not to be held while appending, publishing, recovering or signing: each of these takes it itself.
        """
        return locked(self.path / ".lock")

    def _edge(self) -> tuple[TreeHead, Edge]:
        """The state and the edge of what is stored, read anew if another writer was here."""
        state = self.state()
        if self._cached is None or self._cached[0] != state:
            self._cached = state, read_edge(self, state)
        return self._cached

    def _remove_outgrown(self, before: int, after: int) -> None:
        """Remove the partial files that full ones replaced."""
        for one in right_edge(before):
            if tile_width(after, one.level or 0, one.index) == TILE_WIDTH:
                # Nothing depends on these files, so what cannot be removed stays.
                shutil.rmtree((self.path / one.path).parent, ignore_errors=True)

    def _beyond(self, size: int) -> Iterator[Path]:
        """Files beyond the state. They were written one after the other, so there is no gap between them."""
        yield from self.path.glob(_UNFINISHED)
        level = -1
        while level < 0 or (self.path / f"tile/{level}").exists():
            yield from self._beyond_at(None if level < 0 else level, size)
            level += 1

    def _beyond_at(self, level: int | None, size: int) -> Iterator[Path]:
        index = (size >> TILE_HEIGHT * (level or 0)) >> TILE_HEIGHT
        width = tile_width(size, level or 0, index)
        there = True
        while there:
            full = self.path / TileAddress(level=level, index=index).path
            partials = full.with_name(f"{full.name}.p")
            yield from full.parent.glob(_UNFINISHED)
            yield from partials.glob(_UNFINISHED)
            yield from (path for path in partials.glob("[1-9]*") if path.name.isdecimal() and int(path.name) > width)
            if there := full.exists():
                yield full
            index, width = index + 1, 0


def create_log(path: Path, *, origin: str, write: Write = write_durably) -> LogFolder:
    """Make a folder for a new, empty log.

    Raises
    ------
    InputError
        If the folder holds anything already, or the origin is no line of text.
    """
    state = TreeHead(origin=origin, size=0, root=EMPTY_EDGE.root())
    if found := [name for name in (_STATE, HEAD_NAME, "tile") if (path / name).exists()]:
        raise InputError(
            f"{path}: expected an empty or new folder, found {found[0]!r}; a log is made once. Choose another folder, "
            "or restore this one from its newest backup"
        )
    _make_folder(path)
    write(path / _STATE, state.to_text().encode())
    return LogFolder(path, origin=origin, write=write)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, and see their names on the disk."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
