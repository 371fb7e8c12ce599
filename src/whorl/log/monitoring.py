"""Watching a log: each tree head it shows must be of one tree that only grows.

A monitor remembers, for one log, the largest tree head it has seen. Tree heads from elsewhere (a witness, a colleague,
a receipt) may be shown to it too: comparing what different people were shown is how a split view is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.log.files import Write, locked, origin_hash, read_file
from whorl.log.forks import checked_note, find_fork, keep_fork
from whorl.log.grammar import MAX_NOTE_BYTES, shown
from whorl.log.keys import Verifier
from whorl.log.merkle import tree_root
from whorl.log.tiles import TileSource, hash_reader
from whorl.log.tree_heads import SignedTreeHead, TreeHead, open_tree_head

Growth: TypeAlias = Literal["first", "same", "grown", "older"]


class SplitViewError(VerificationError):
    """The log signed two trees that contradict each other; ``proof`` is the file that proves it to anybody."""

    def __init__(self, problem: str, *, proof: Path) -> None:
        self.proof = proof
        super().__init__(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One tree head, and how it stands to the largest one seen before.

    Attributes
    ----------
    seen : the largest tree head that was seen before; None at first sight, when there was nothing to compare with
    growth : ``older`` is a beginning of what was seen already
    """

    head: SignedTreeHead
    seen: TreeHead | None
    growth: Growth


class Monitor:
    """The memory of a log's past.

    Parameters
    ----------
    folder : where the largest tree head is kept, and ``fork-*.proof`` if the log is caught; may serve several monitors
    origin, log_keys : the log, and every key it signs or has signed with
    open_head : how a new tree head is checked; without it, a log key's signature is enough. A policy asks for witnesses
    write : how files get onto the disk
    """

    def __init__(
        self,
        folder: Path,
        *,
        origin: str,
        log_keys: Sequence[Verifier],
        open_head: Callable[[bytes], SignedTreeHead] | None = None,
        write: Write = write_durably,
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: expected the folder of the monitor, found none; make it, or restore it")
        self._folder = folder
        self._origin = origin
        self._log_keys = tuple(log_keys)
        self._open_head = open_head or self._opened
        self._write = write
        self._path = folder / f"{origin_hash(origin)}.seen"

    def seen(self) -> SignedTreeHead | None:
        """The largest tree head seen; None before the first.

        Raises
        ------
        VerificationError
            If what is kept is damaged.
        """
        if not self._path.exists():
            return None
        try:
            return self._opened(read_file(self._path, max_bytes=MAX_NOTE_BYTES))
        except (InputError, VerificationError) as error:
            raise VerificationError(f"{self._path}: damaged ({error}); restore it from a backup") from error

    def observe(self, source: TileSource) -> Observation:
        """Look at what the log publishes now.

        Raises
        ------
        InputError
            If it cannot be had.
        SplitViewError
            If it contradicts what was seen.
        VerificationError
            If it is not properly signed, is smaller than what was seen, or is not that of the tiles served with it.
        """
        observed = self.consider(source.tree_head(), source)
        if observed.growth == "older":
            raise VerificationError(
                f"{_size(observed.head)}: a true tree head, but older than one seen before. It comes from a copy that "
                "is not up to date, or the log was set back. Ask again; if it stays so, ask the operator"
            )
        return observed

    def consider(self, note: bytes, source: TileSource) -> Observation:
        """Look at a tree head from anywhere, with the tiles of ``source``; as `observe`, but an older one is fine."""
        offered = self._open_head(note)
        if offered.head.origin != self._origin:
            raise VerificationError(
                f"expected a tree head of log {shown(self._origin)}, found one of {shown(offered.head.origin)}"
            )
        with locked(self._path.with_suffix(".lock")):
            seen = self.seen()
            if seen is None:
                return self._first(offered, source)
            self._compare(seen, offered, source)
            if offered.head.size <= seen.head.size:
                growth: Growth = "same" if offered.head.size == seen.head.size else "older"
                return Observation(head=offered, seen=seen.head, growth=growth)
            self._keep(offered)
            return Observation(head=offered, seen=seen.head, growth="grown")

    def _compare(self, seen: SignedTreeHead, offered: SignedTreeHead, source: TileSource) -> None:
        larger = max(seen, offered, key=lambda signed: signed.head.size)
        try:
            fork = find_fork(seen, offered, hash_reader(source, larger.head.size))
        except InputError as error:
            if larger is offered:
                raise
            raise VerificationError(
                f"{_size(offered)}: it signed a tree of size {seen.head.size} before and does not serve that one any "
                f"more ({error}): the log was set back. Ask the operator; keep what was seen"
            ) from error
        if fork is not None:
            proof = keep_fork(self._folder, fork, write=self._write)
            raise SplitViewError(
                f"{_size(offered)}: it also signed a tree of size {seen.head.size}, and the larger one does not start "
                f"with the smaller one. The proof is in {proof}: keep it and show it to the others who use the log",
                proof=proof,
            )

    def _first(self, offered: SignedTreeHead, source: TileSource) -> Observation:
        size = offered.head.size
        if tree_root(hash_reader(source, size), size) != offered.head.root:
            raise VerificationError(
                f"log {shown(self._origin)}: the tiles it serves do not give the root of its tree head of size {size}"
            )
        self._keep(offered)
        return Observation(head=offered, seen=None, growth="first")

    def _keep(self, signed: SignedTreeHead) -> None:
        self._write(self._path, checked_note(signed).to_bytes())

    def _opened(self, note: bytes) -> SignedTreeHead:
        return open_tree_head(note, origin=self._origin, log_keys=self._log_keys)


def _size(signed: SignedTreeHead) -> str:
    return f"log {shown(signed.head.origin)}, tree head of size {signed.head.size}"
