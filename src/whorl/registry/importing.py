"""A catalogue of signed entries brought into a registry from a file, by the rules and in the order of every entry.

Lines are opened ahead by several processes (`whorl.registry.import_lines`) and entered in large batches by the one
writer. What was entered is published before the next batch begins. An import that was interrupted is begun again from
the first line: entries that the log has are recognised by their leaves.
"""

import gc
import hashlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from whorl.core.errors import InputError
from whorl.core.progress import Progress, silent
from whorl.log.files import read_file
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import entered_among, sealed_among
from whorl.registry.import_lines import (
    BadLine,
    Chunk,
    Line,
    LineOpener,
    Packed,
    ReadyLine,
    begin,
    chunks_of,
    open_packed,
    unpacked,
)
from whorl.registry.local import MAX_BLOB_BYTES, LocalRegistry
from whorl.registry.refusals import Refusal
from whorl.registry.sequencer import Entered, Outcome
from whorl.registry.stored_entry import digest_text

BATCH: Final = 10_000
BATCH_BYTES: Final = 1 << 26
_COLLECTED: Final = 8  # batches between two looks for cycles of garbage
_AHEAD: Final = 32  # chunks; together they are no larger than a batch

_Opened: TypeAlias = tuple[int, list[Line]]
"""The place in the file that was reached, and the lines before it."""


@dataclass(slots=True)
class Imported:
    """What became of the lines of a file: newly entered, in the log before, or not entered."""

    entered: int = 0
    known: int = 0
    refused: int = 0


def import_file(
    registry: LocalRegistry,
    path: Path,
    *,
    processes: int,
    refused: Callable[[BadLine], None],
    progress: Progress = silent,
) -> Imported:
    """Enter every line of a file, in their order.

    Parameters
    ----------
    path : JSON Lines; each line is a signed entry with ``envelope``, ``salt`` and, if it is so, ``sealed``
    processes : how many open lines ahead; with 0, this one does it
    refused : told of each line that was not entered, in their order; the others are entered all the same

    Raises
    ------
    RegistryError, VerificationError
        If the log refuses to sign, or the disk, the database or a process fails. The entries that were published
        before stay; the same import can be begun again.
    """
    importing = _Importing(registry, refused)
    size = path.stat().st_size
    with path.open("rb") as file, _opening(registry, processes) as opening, _collecting_seldom():
        for end, lines in opening(chunks_of(file)):
            importing.take(lines)
            progress("entries imported", end, size)
        importing.flush()
    return importing.imported


def import_blobs(registry: LocalRegistry, folder: Path, *, progress: Progress = silent) -> int:
    """Store every file of a folder that the registry does not have yet, before entries refer to them.

    Returns
    -------
    how many were stored

    Raises
    ------
    InputError
        If there is no such folder, or something in it is no regular file, or is larger than a blob may be.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of blobs, found none; check the path")
    stored = 0
    for done, file in enumerate(sorted(folder.iterdir()), 1):
        data = read_file(file, max_bytes=MAX_BLOB_BYTES)
        digest = digest_text(hashlib.sha256(data).digest())
        if not registry.blobs.holds(digest):
            registry.put_blob([data], expected=digest)
            stored += 1
        progress("blobs stored", done, 0)
    return stored


@dataclass(slots=True)
class _Importing:
    """Lines that wait for their batch to be large enough."""

    registry: LocalRegistry
    refused: Callable[[BadLine], None]
    imported: Imported = field(default_factory=Imported)
    waiting: list[Line] = field(default_factory=list)
    size: int = 0
    batches: int = 0

    def take(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.waiting.append(line)
            self.size += len(line.opened.submission.envelope) if isinstance(line, ReadyLine) else 0
            if len(self.waiting) >= BATCH or self.size >= BATCH_BYTES:
                self.flush()
                self.batches += 1
                if self.batches % _COLLECTED == 0:
                    gc.collect()

    def flush(self) -> None:
        ready = [line for line in self.waiting if isinstance(line, ReadyLine)]
        known = self._sealed_before(ready)
        entering = [line for line in ready if line.number not in known]
        outcomes = self.registry.sequencer.enter_opened([line.opened for line in entering]) if entering else []
        became = dict(zip((line.number for line in entering), outcomes, strict=True))
        there = self._entered_before(entering, became)
        for line in self.waiting:
            match became.get(line.number):
                case Entered():
                    self.imported.entered += 1
                case None if isinstance(line, BadLine):
                    self._refuse(line)
                case None:
                    self.imported.known += 1
                case _ if isinstance(line, ReadyLine) and line.digest in there:
                    self.imported.known += 1
                case problem:
                    self._refuse(BadLine(number=line.number, problem=str(problem)))
        self.waiting.clear()
        self.size = 0

    def _refuse(self, line: BadLine) -> None:
        self.imported.refused += 1
        self.refused(line)

    def _sealed_before(self, ready: Sequence[ReadyLine]) -> set[int]:
        """Numbers of the lines whose sealed entry is in the log, or in an earlier one of these lines.

        Sealed entries stand in no chain that would tell; they are known by what their leaves commit to.
        """
        numbers: dict[bytes, list[int]] = {}
        for line in ready:
            if line.opened.submission.sealed:
                numbers.setdefault(line.opened.commit, []).append(line.number)
        if not numbers:
            return set()
        with self.registry.database.reading() as connection:
            held = sealed_among(
                connection, numbers.keys(), issuer=self.registry.home.bureau_key().id, origin=self.registry.origin
            )
        return {number for commit, found in numbers.items() for number in (found if commit in held else found[1:])}

    def _entered_before(self, entering: Sequence[ReadyLine], became: dict[int, Outcome]) -> frozenset[bytes]:
        """Leaf hashes of the refused lines whose very entry is in the log: a line may be there twice."""
        replays = [
            line.digest
            for line in entering
            if line.digest is not None
            and isinstance(problem := became[line.number], Refusal)
            and problem.code == "replay"
        ]
        if not replays:
            return frozenset()
        with self.registry.database.reading() as connection:
            return entered_among(connection, replays, origin=self.registry.origin)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for cycles of garbage between batches only: within one, every look finds the whole batch and no garbage."""
    was = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was:
            gc.enable()


@contextmanager
def _opening(registry: LocalRegistry, processes: int) -> Iterator[Callable[[Iterator[Chunk]], Iterator[_Opened]]]:
    if not processes:
        opener = LineOpener(registry.database, origin=registry.origin)
        yield lambda chunks: ((chunk.end, opener.open(chunk)) for chunk in chunks)
        return
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),  # a copy of this process would share its connections
        initializer=begin,
        initargs=(registry.home.database_url, registry.origin),
    )
    try:
        yield lambda chunks: _opened_ahead(pool, chunks)
    except BrokenProcessPool as error:
        raise RegistryError(
            "expected the processes that read lines to go on, found that one ended: it may have run out of memory. "
            "What was published stays; begin the import again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _opened_ahead(pool: ProcessPoolExecutor, chunks: Iterator[Chunk]) -> Iterator[_Opened]:
    """What the processes opened, in the order of the file; they go on while a batch is entered."""
    awaited: deque[tuple[int, Future[list[Packed]]]] = deque()
    for chunk in chunks:
        awaited.append((chunk.end, pool.submit(open_packed, chunk)))
        if len(awaited) >= _AHEAD:
            end, future = awaited.popleft()
            yield end, list(map(unpacked, future.result()))
    for end, future in awaited:
        yield end, list(map(unpacked, future.result()))
