"""The search index of one scheme: which stored vectors lie nearest to one that is searched for.

Derived data: everything in the folder can be made again from the registry's rows. Up to `EXACT_BYTES` of vectors every
row is compared (`whorl.registry.exact_scan`); beyond, rows are proposed by their sketches (`whorl.registry.sketches`)
and scored exactly. Either way at most ``per_group`` hits of one claimant are given. What it is for, what a score means
and what was measured: ``docs/methods/registry_search.md``.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from whorl.core.arrays import Doubles, Ints
from whorl.log.files import locked
from whorl.registry.index_folder import LOCK, SEGMENT_BYTES
from whorl.registry.index_storage import EXACT_BYTES, IndexStorage, OtherSchemeError, State
from whorl.registry.nearest_rows import Question, nearest_rows
from whorl.registry.search_vectors import (
    LARGEST_DIMENSION,
    LARGEST_NUMBER,
    Hit,
    SearchIndexError,
    VectorRow,
    Vectors,
    check_vector,
    stack_rows,
)

CANDIDATES: Final = 4096
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A row and how often it was among the nearest of the sampled ones."""

    key: int
    group: int
    count: int


class SearchIndex:
    """An open search index; a context manager. Searches may run in any number of threads, also while rows are added.

    Other processes may open the folder too; each sees what was there when it opened it, or when it last wrote.

    Raises
    ------
    SearchIndexError
        Here and in every method, if the files cannot be read or written, or ``needs_rebuild`` says why they are not
        whole: the index then answers nothing until `rebuild`.
    """

    def __init__(self, folder: Path, *, scheme: str, dimension: int, exact_bytes: int, segment_bytes: int) -> None:
        self.folder, self.scheme, self.dimension = folder, scheme, dimension
        self.needs_rebuild: str | None = None
        self._make_storage = partial(
            IndexStorage,
            folder,
            scheme=scheme,
            dimension=dimension,
            exact_bytes=exact_bytes,
            segment_bytes=segment_bytes,
        )
        self._storage: IndexStorage | None = None
        self._state: State | None = None
        self._workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="search")

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        scheme: str,
        dimension: int,
        exact_bytes: int = EXACT_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> Self:
        """Open the index in a folder, or make an empty one.

        Parameters
        ----------
        scheme : from `whorl.registry.search_vectors.scheme_id`; vectors of different schemes are never compared
        exact_bytes : up to so many bytes of vectors every row is compared
        segment_bytes : bytes of vectors in one file of rows

        Raises
        ------
        SearchIndexError
            If the folder holds an index of another scheme, or cannot be used. Files that are not whole are no error
            here: see ``needs_rebuild``.
        """
        if not 1 <= dimension <= LARGEST_DIMENSION:
            raise ValueError(f"expected 1 to {LARGEST_DIMENSION} dimensions, got {dimension}")
        index = cls(folder, scheme=scheme, dimension=dimension, exact_bytes=exact_bytes, segment_bytes=segment_bytes)
        try:
            with _translated(folder):
                folder.mkdir(parents=True, exist_ok=True)
                with locked(folder / LOCK):
                    index._load()
        except BaseException:
            index.close()
            raise
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End its threads; what was added is already safe."""
        self._pool.shutdown()

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._shown().rows

    @property
    def origin(self) -> Doubles:
        """The population's mean direction, shape (dimension,); zeros while there are too few vectors for a mean."""
        return self._shown().mean.origin

    def keys(self) -> Ints:
        """The keys of all rows, ascending: what a caller compares with the registry's rows."""
        return np.sort(np.concatenate([np.zeros(0, np.int64), *(part.keys for part in self._shown().segments)]))

    def add(self, rows: Iterable[VectorRow]) -> int:
        """Add a batch of rows, durably; gives how many were new. A row that is there already stays as it is.

        Raises
        ------
        SearchIndexError
            If a row is malformed, or its key is there with another vector or claimant; nothing is added then. If the
            disk refuses, a part may have been added; adding the batch again adds the rest.
        """
        stacked = stack_rows(list(rows), self.dimension)
        with self._writing() as storage:
            new = storage.unknown(stacked)
            storage.append(new)
        return len(new)

    def remove(self, keys: Iterable[int]) -> int:
        """Take rows out of every file of the index; gives how many there were. Nothing of them is left in the folder.

        What the disk keeps of deleted files, and backups, are the operator's. The population's mean is estimated anew.
        """
        wanted = np.fromiter((key for key in keys if 0 <= key <= LARGEST_NUMBER), np.int64)
        with self._writing() as storage:
            return storage.remove(wanted)

    def rebuild(self, rows: Iterable[VectorRow]) -> None:
        """Make the index anew from all of the registry's rows, in any order; they are read once, in small batches.

        Searches go on in the old index until the new one is whole. Mends an index that ``needs_rebuild``.

        Raises
        ------
        SearchIndexError
            If a row is malformed or a key comes twice; the old index stays.
        """
        stream = iter(rows)
        chunks = (stack_rows([first, *islice(stream, _CHUNK - 1)], self.dimension) for first in stream)
        with self._writing(mending=True) as storage:
            storage.replace_all(chunks)
            self.needs_rebuild = None

    def search(self, vector: Vectors, *, top: int, per_group: int, candidates: int = CANDIDATES) -> list[Hit]:
        """The rows nearest to ``vector``, best first, equals by key; leads for a pairwise test, never findings.

        Parameters
        ----------
        vector : shape (dimension,)
        top, per_group : at most so many hits, and so many of one claimant
        candidates : how many rows to score of those that sketches propose; without sketches, every row counts

        Raises
        ------
        SearchIndexError
            If the vector is malformed.
        """
        if min(top, per_group, candidates) < 1:
            raise ValueError(f"expected numbers of at least 1, got top {top}, per claimant {per_group}, {candidates}")
        state = self._shown()
        question = Question.about(check_vector(vector, self.dimension), state.mean.origin)
        if not question.direction.any():
            return []  # it is the population's mean itself: as near to one as to another
        best = nearest_rows(
            state.segments,
            question,
            top=top,
            per_group=per_group,
            candidates=max(candidates, 2 * top),
            pool=self._pool,
            workers=self._workers,
        )
        return [
            Hit(key=int(key), group=int(group), score=float(score))
            for key, group, score in zip(best.keys, best.groups, best.scores, strict=True)
        ]

    def hubness(self, nearest: int, *, sample: int, generator: np.random.Generator) -> list[Hub]:
        """Rows that are among the ``nearest`` of rows drawn at random, the most frequent first.

        A row near everything would be a lead for everybody: look at what claims to be. In the mean a row occurs
        ``sample * nearest / count`` times.

        Parameters
        ----------
        sample : how many rows to draw, without putting back; each costs a search
        """
        state = self._shown()
        if not state.rows:
            return []
        drawn = np.sort(generator.choice(state.rows, min(sample, state.rows), replace=False))
        seen: Counter[tuple[int, int]] = Counter()
        first = 0
        for segment in state.segments:
            for row in drawn[(drawn >= first) & (drawn < first + len(segment))] - first:
                hits = self.search(np.array(segment.vectors[row]), top=nearest + 1, per_group=nearest + 1)
                others = [hit for hit in hits if hit.key != segment.keys[row]]
                seen.update((hit.key, hit.group) for hit in others[:nearest])
            first += len(segment)
        ranked = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
        return [Hub(key=key, group=group, count=count) for (key, group), count in ranked]

    def _shown(self) -> State:
        if self.needs_rebuild is not None or self._state is None:
            raise SearchIndexError(
                f"{self.folder}: expected a whole search index, found that {self.needs_rebuild}; rebuild it from the "
                "registry's rows"
            )
        return self._state

    def _load(self) -> None:
        try:
            self._storage = self._make_storage()
            self._state, self.needs_rebuild = self._storage.state, None
        except OtherSchemeError:
            raise
        except SearchIndexError as error:
            self._storage, self._state, self.needs_rebuild = None, None, str(error)

    @contextmanager
    def _writing(self, *, mending: bool = False) -> Iterator[IndexStorage]:
        """The folder's lock, and its files as they are now, after other processes and failed writes."""
        with _translated(self.folder), locked(self.folder / LOCK):
            storage = self._storage
            if storage is None or not storage.is_current:
                self._load()
                if not mending:
                    self._shown()
                storage = self._storage or self._make_storage(discard=True)
            self._storage = None  # to be read again unless this comes to its end
            try:
                yield storage
            finally:
                self._state = storage.state
            self._storage = storage


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SearchIndexError(
            f"{folder}: expected a folder for the search index that can be read and written, found: {error.strerror}; "
            "free some space or change its permissions, and try again"
        ) from error
