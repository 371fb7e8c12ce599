"""How rows come into a search index's folder and leave it, each step so that a crash leaves an index that is whole.

Order of each step: the files of rows, the files of sketches, ``index.json``, then what is no longer listed is deleted.
Nothing here may run twice at once: `whorl.registry.search_index` holds the folder's lock.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from whorl.core.arrays import Ints
from whorl.core.durable_files import write_durably
from whorl.registry.exact_scan import scales_of
from whorl.registry.growing_segment import GrowingSegment
from whorl.registry.index_folder import (
    LIST,
    Listing,
    Segment,
    SegmentEntry,
    delete_unlisted,
    empty_listing,
    first_free_number,
    open_finished,
    read_growing,
    read_listing,
    rows_per_segment,
    write_listing,
)
from whorl.registry.population_mean import PopulationMean, population_mean
from whorl.registry.row_records import checksum_start, encode_rows
from whorl.registry.search_vectors import SearchIndexError, StackedRows
from whorl.registry.sketches import checksum_of, encode_sketches

EXACT_BYTES: Final = 1 << 28


class OtherSchemeError(SearchIndexError):
    """The folder holds vectors of another scheme, which are never compared with this one's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What a search sees from its start to its end, whatever is added meanwhile."""

    listing: Listing
    listed: bytes
    mean: PopulationMean
    segments: tuple[Segment, ...]

    @property
    def rows(self) -> int:
        return sum(len(segment) for segment in self.segments)


class IndexStorage:
    """The folder's files, and the state that is searched.

    Parameters
    ----------
    exact_bytes : from so many bytes of vectors on, finished segments are searched by sketches
    segment_bytes : so many bytes of vectors finish a segment
    discard : start from nothing, whatever is there; for `replace_all`, which writes the first list

    Raises
    ------
    OtherSchemeError
        If the folder holds vectors of another scheme or dimension.
    SearchIndexError
        If its files are not whole.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scheme: str,
        dimension: int,
        exact_bytes: int,
        segment_bytes: int,
        discard: bool = False,
    ) -> None:
        self.folder, self.scheme, self.dimension = folder, scheme, dimension
        self._exact_bytes, self._capacity = exact_bytes, rows_per_segment(dimension, segment_bytes)
        self._growing: GrowingSegment | None = None
        if discard:
            listing = empty_listing(scheme, dimension, next_number=first_free_number(folder))
            self.state = State(listing=listing, listed=b"", mean=listing.mean(), segments=())
            return
        found = read_listing(folder)
        if found is None:
            if any(folder.glob("rows-*.bin")):
                raise SearchIndexError(f"{LIST} is missing, though there are rows")
            listing = empty_listing(scheme, dimension)
            found = listing, write_listing(folder, listing)
        listing, listed = found
        if (listing.scheme, listing.dimension) != (scheme, dimension):
            raise OtherSchemeError(
                f"{folder}: expected vectors of {scheme!r} with {dimension} numbers, found an index of "
                f"{listing.scheme!r} with {listing.dimension}; open it by its own scheme, or use another folder"
            )
        delete_unlisted(folder, listing)
        self.state = self._loaded(listing, listed)

    @property
    def is_current(self) -> bool:
        """Whether the files are as this object left them: no other process wrote, and no write of ours was torn."""
        try:
            if (self.folder / LIST).read_bytes() != self.state.listed:
                return False
            growing = self._growing
            return growing is None or growing.path.stat().st_size == growing.file_bytes
        except OSError:
            return False

    def append(self, rows: StackedRows) -> None:
        """Add rows whose keys are not there yet; durable when it returns.

        Raises
        ------
        OSError
            If the disk refuses; some of the rows may have been added.
        """
        while len(rows):
            if self._growing is None:
                self._growing = self._new_growing(self.state.listing.next_number)
            growing, room = self._growing, self._growing.room
            growing.append(_cut(rows, slice(0, room)), self.state.mean.origin)
            rows = _cut(rows, slice(room, None))
            earlier = [segment for segment in self.state.segments if segment.entry.number != growing.entry.number]
            if growing.room:
                self._show([*earlier, growing.segment()])
            else:
                self._growing = None
                entry = growing.finished_entry()
                self._show([*earlier, self._scaled(self._opened(entry))])
        if self.state.mean.due(self.state.rows):
            self._estimate_mean()
        self._sketch_finished()

    def remove(self, keys: Ints) -> int:
        """Take rows out of every file; gives how many there were.

        Raises
        ------
        OSError
            If the disk refuses; nothing was removed.
        """
        marks = [np.isin(segment.keys, keys) for segment in self.state.segments]
        removed = int(sum(mark.sum() for mark in marks))
        if not removed:
            return 0
        number, growing, kept = self.state.listing.next_number, self._growing, []
        for segment, mark in zip(self.state.segments, marks, strict=True):
            if not mark.any():
                kept.append(segment)
                continue
            rows = segment.rows(~mark)
            if not len(rows):
                growing = growing if segment.entry.rows is not None else None
            elif segment.entry.rows is None:
                growing = self._grown(number, rows)
                kept.append(growing.segment())
            else:
                kept.append(self._scaled(self._opened(self._written(number, rows))))
            number += 1
        mean = population_mean([(segment.groups, segment.vectors) for segment in kept], self.dimension)
        self._growing = growing
        self._show(self._rescaled(kept, mean), mean=mean, next_number=number)
        self._sketch_finished()
        delete_unlisted(self.folder, self.state.listing)
        return removed

    def replace_all(self, chunks: Iterable[StackedRows]) -> None:
        """Make the index anew from rows in any order; the old one is searched until the new one is whole.

        Raises
        ------
        SearchIndexError
            If a key comes twice.
        OSError
            If the disk refuses. In both cases, and if ``chunks`` raises, the old index stays.
        """
        number, segments, growing = self.state.listing.next_number, [], None
        for rows in _in_lots(chunks, self._capacity):
            if len(rows) == self._capacity:
                segments.append(self._opened(self._written(number, rows)))
            else:
                growing = self._grown(number, rows)
                segments.append(growing.segment())
            number += 1
        _require_distinct(segments)
        mean = population_mean([(segment.groups, segment.vectors) for segment in segments], self.dimension)
        self._growing = growing
        self._show(self._rescaled(segments, mean), mean=mean, next_number=number)
        self._sketch_finished()
        delete_unlisted(self.folder, self.state.listing)

    def unknown(self, rows: StackedRows) -> StackedRows:
        """Those rows whose keys are not in the index.

        Raises
        ------
        SearchIndexError
            If a key is there with another vector or claimant.
        """
        known = np.zeros(len(rows), bool)
        for segment in self.state.segments:
            low, high = segment.key_range
            near = (rows.keys >= low) & (rows.keys <= high) & ~known
            if not near.any():
                continue
            stored = segment.rows(np.isin(segment.keys, rows.keys[near]))
            places = {int(key): place for place, key in enumerate(stored.keys)}
            for position in np.flatnonzero(near):
                place = places.get(int(rows.keys[position]))
                if place is None:
                    continue
                known[position] = True
                same_vector = (stored.vectors[place] == rows.vectors[position]).all()
                if not same_vector or stored.groups[place] != rows.groups[position]:
                    raise SearchIndexError(
                        f"row {rows.keys[position]}: expected what the index holds under this key, found another "
                        "vector or claimant; rebuild the index from the registry's rows"
                    )
        return _cut(rows, ~known)

    def _loaded(self, listing: Listing, listed: bytes) -> State:
        mean, segments = listing.mean(), []
        for entry in listing.segments:
            if entry.rows is None:
                rows, data = read_growing(self.folder, listing, entry)
                growing = self._new_growing(entry.number)
                growing.take(rows, data, mean.origin)
                self._growing = growing
                segments.append(growing.segment())
            else:
                segment = open_finished(self.folder, listing, entry)
                segments.append(segment if segment.sketches is not None else _scale(segment, mean))
        return State(listing=listing, listed=listed, mean=mean, segments=tuple(segments))

    def _show(
        self, segments: Sequence[Segment], *, mean: PopulationMean | None = None, next_number: int | None = None
    ) -> None:
        """List the segments, if that changes the list, and let them be searched."""
        before = self.state.listing
        entries = [segment.entry for segment in segments]
        largest = max([before.next_number, *(entry.number + 1 for entry in entries)])
        listing = before.model_copy(update={"segments": entries, "next_number": max(largest, next_number or 0)})
        if mean is not None:
            listing = listing.with_mean(mean)
        listed = write_listing(self.folder, listing) if listing != before else self.state.listed
        self.state = State(listing=listing, listed=listed, mean=mean or self.state.mean, segments=tuple(segments))

    def _estimate_mean(self) -> None:
        segments = self.state.segments
        mean = population_mean([(segment.groups, segment.vectors) for segment in segments], self.dimension)
        if mean.voices or self.state.mean.voices or self.state.rows >= 2 * self.state.mean.rows:
            self._show(self._rescaled(segments, mean), mean=mean)

    def _rescaled(self, segments: Sequence[Segment], mean: PopulationMean) -> list[Segment]:
        """The segments with the scales of another mean; sketches keep the mean they were made with."""
        found = []
        for segment in segments:
            if self._growing is not None and segment.entry.number == self._growing.entry.number:
                self._growing.rescale(mean.origin)
                found.append(self._growing.segment())
            else:
                found.append(segment if segment.sketches is not None else _scale(segment, mean))
        return found

    def _sketch_finished(self) -> None:
        """Give every finished segment sketches, once the index is too large to compare every row."""
        if self.state.rows * self.dimension <= self._exact_bytes:
            return
        for segment in self.state.segments:
            if segment.entry.rows is None or segment.sketches is not None:
                continue
            data = encode_sketches(segment.groups, segment.vectors, self.state.mean.origin)
            write_durably(self.folder / segment.entry.sketches_file, data)
            sketched = self._opened(segment.entry.model_copy(update={"sketches": checksum_of(data)}))
            self._show([sketched if other is segment else other for other in self.state.segments])

    def _new_growing(self, number: int) -> GrowingSegment:
        return GrowingSegment(
            self.folder, number, scheme=self.scheme, dimension=self.dimension, capacity=self._capacity
        )

    def _grown(self, number: int, rows: StackedRows) -> GrowingSegment:
        growing = self._new_growing(number)
        growing.append(rows, self.state.mean.origin)
        return growing

    def _written(self, number: int, rows: StackedRows) -> SegmentEntry:
        entry = SegmentEntry(number=number, rows=len(rows), checksum=None, sketches=None)
        data = encode_rows(rows, start=checksum_start(self.scheme, entry.rows_file))
        write_durably(self.folder / entry.rows_file, data)
        return entry.model_copy(update={"checksum": checksum_of(data)})

    def _opened(self, entry: SegmentEntry) -> Segment:
        return open_finished(self.folder, self.state.listing, entry)

    def _scaled(self, segment: Segment) -> Segment:
        return _scale(segment, self.state.mean)


def _scale(segment: Segment, mean: PopulationMean) -> Segment:
    return replace(segment, scales=scales_of(segment.vectors, mean.origin))


def _cut(rows: StackedRows, chosen: slice | np.ndarray) -> StackedRows:
    return StackedRows(keys=rows.keys[chosen], groups=rows.groups[chosen], vectors=rows.vectors[chosen])


def _joined(parts: Sequence[StackedRows]) -> StackedRows:
    return StackedRows(
        keys=np.concatenate([part.keys for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        vectors=np.concatenate([part.vectors for part in parts]),
    )


def _in_lots(chunks: Iterable[StackedRows], size: int) -> Iterator[StackedRows]:
    """The rows of all chunks in lots of ``size``; the last may be smaller."""
    waiting: list[StackedRows] = []
    for chunk in chunks:
        waiting.append(chunk)
        while sum(map(len, waiting)) >= size:
            rows = _joined(waiting)
            yield _cut(rows, slice(0, size))
            waiting = [_cut(rows, slice(size, None))]
    if sum(map(len, waiting)):
        yield _joined(waiting)


def _require_distinct(segments: Sequence[Segment]) -> None:
    keys = np.sort(np.concatenate([np.zeros(0, np.int64), *(segment.keys for segment in segments)]))
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    if len(twice):
        raise SearchIndexError(f"row {keys[twice[0]]}: expected each key once, found it twice; nothing was rebuilt")
