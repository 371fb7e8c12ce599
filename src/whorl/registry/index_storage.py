"""How rows come into a search index's folder and leave it, each step so that a crash leaves an index that is whole.

Order of each step: the files of rows, the files of sketches, ``index.json``, then what is no longer listed is deleted.
Nothing here may run twice at once: `whorl.registry.search_index` holds the folder's lock.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Ints
from whorl.core.durable_files import write_durably
from whorl.registry.exact_scan import scales_of
from whorl.registry.growing_segment import GrowingSegment
from whorl.registry.index_folder import (
    LIST,
    Finished,
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
        segments = list(self.state.segments)
        while len(rows):
            if self._growing is None:
                self._growing = self._new_growing(self._free_number(segments))
            else:
                segments.pop()
            growing, room = self._growing, self._growing.room
            growing.append(rows[:room], self.state.mean.origin)
            rows = rows[room:]
            if growing.room:
                segments.append(growing.segment())
            else:
                self._growing = None
                segments.append(self._opened(growing.finished_entry()))
        mean, count = self.state.mean, sum(map(len, segments))
        if mean.due(count):
            estimated = population_mean([(segment.groups, segment.vectors) for segment in segments], self.dimension)
            if estimated.voices or mean.voices or count >= 2 * mean.rows:
                mean = estimated
        self._show(segments, mean)

    def remove(self, keys: Ints) -> int:
        """Take rows out of every file; gives how many there were.

        Raises
        ------
        OSError
            If the disk refuses; nothing was removed.
        """
        marks = [_marked(segment, keys) for segment in self.state.segments]
        removed = int(sum(mark.sum() for mark in marks))
        if not removed:
            return 0
        kept, number = [], self._free_number(self.state.segments)
        for segment, mark in zip(self.state.segments, marks, strict=True):
            rows = segment.rows(~mark) if mark.any() else None
            if rows is None:
                kept.append(segment)
            elif segment.entry.finished is None:
                self._growing = self._grown(number, rows) if len(rows) else None
                kept += [self._growing.segment()] if self._growing is not None else []
            elif len(rows):
                kept.append(self._opened(self._written(number, rows)))
            number += 1
        self._show(kept, population_mean([(part.groups, part.vectors) for part in kept], self.dimension))
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
        number, growing = self._free_number(self.state.segments), None
        segments, groups, keys = [], [], [np.zeros(0, np.int64)]
        for rows in _in_lots(chunks, self._capacity):
            if len(rows) == self._capacity:
                segments.append(self._opened(self._written(number, rows)))
            else:
                growing = self._grown(number, rows)
                segments.append(growing.segment())
            groups.append(rows.groups)
            keys.append(rows.keys)
            number += 1
        _require_distinct(np.concatenate(keys))
        self._growing = growing
        vectors = [segment.vectors for segment in segments]
        self._show(segments, population_mean(list(zip(groups, vectors, strict=True)), self.dimension))
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
        return rows[~known]

    def _loaded(self, listing: Listing, listed: bytes) -> State:
        mean, segments = listing.mean(), []
        for entry in listing.segments:
            if entry.finished is not None:
                segment = open_finished(self.folder, listing, entry)
                segments.append(segment if segment.sketches is not None else _scaled(segment, mean))
            else:
                rows, data = read_growing(self.folder, listing, entry)
                self._growing = self._new_growing(entry.number)
                self._growing.take(rows, data, mean.origin)
                segments.append(self._growing.segment())
        return State(listing=listing, listed=listed, mean=mean, segments=tuple(segments))

    def _show(self, segments: Sequence[Segment], mean: PopulationMean) -> None:
        """Make the segments fit to be searched, list them if that changes the list, and let them be searched."""
        fitted = self._fitted(segments, mean)
        before = self.state.listing
        entries = tuple(segment.entry for segment in fitted)
        changes = {"segments": entries, "next_number": self._free_number(fitted)}
        listing = before.model_copy(update=changes).with_mean(mean)
        changed = listing != before or not self.state.listed
        listed = write_listing(self.folder, listing) if changed else self.state.listed
        self.state = State(listing=listing, listed=listed, mean=mean, segments=tuple(fitted))

    def _fitted(self, segments: Sequence[Segment], mean: PopulationMean) -> list[Segment]:
        """Finished segments with sketches, once the index is too large to compare every row; else with scales.

        Sketches keep the mean that they were made with.
        """
        large = sum(map(len, segments)) * self.dimension > self._exact_bytes
        moved = mean is not self.state.mean
        if moved and self._growing is not None:
            self._growing.rescale(mean.origin)
        found = []
        for segment in segments:
            if segment.sketches is not None:
                found.append(segment)
            elif segment.entry.finished is None and self._growing is not None:
                found.append(self._growing.segment())
            elif large:
                found.append(self._sketched(segment, mean))
            else:
                found.append(_scaled(segment, mean) if moved or segment.scales is None else segment)
        return found

    def _sketched(self, segment: Segment, mean: PopulationMean) -> Segment:
        data = encode_sketches(segment.groups, segment.vectors, mean.origin)
        write_durably(self.folder / segment.entry.sketches_file, data)
        return self._opened(segment.entry.model_copy(update={"sketches": checksum_of(data)}))

    def _free_number(self, segments: Sequence[Segment]) -> int:
        return max([self.state.listing.next_number, *(segment.entry.number + 1 for segment in segments)])

    def _new_growing(self, number: int) -> GrowingSegment:
        return GrowingSegment(
            self.folder, number, scheme=self.scheme, dimension=self.dimension, capacity=self._capacity
        )

    def _grown(self, number: int, rows: StackedRows) -> GrowingSegment:
        growing = self._new_growing(number)
        growing.append(rows, self.state.mean.origin)
        return growing

    def _written(self, number: int, rows: StackedRows) -> SegmentEntry:
        entry = SegmentEntry(number=number, finished=None)
        data = encode_rows(rows, start=checksum_start(self.scheme, entry.rows_file))
        write_durably(self.folder / entry.rows_file, data)
        keys = (str(rows.keys.min()), str(rows.keys.max()))
        return SegmentEntry(number=number, finished=Finished(rows=len(rows), checksum=checksum_of(data), keys=keys))

    def _opened(self, entry: SegmentEntry) -> Segment:
        return open_finished(self.folder, self.state.listing, entry)


def _scaled(segment: Segment, mean: PopulationMean) -> Segment:
    return replace(segment, scales=scales_of(segment.vectors, mean.origin))


def _marked(segment: Segment, keys: Ints) -> NDArray[np.bool_]:
    low, high = segment.key_range
    near = keys[(keys >= low) & (keys <= high)]
    return np.isin(segment.keys, near) if len(near) else np.zeros(len(segment), bool)


def _in_lots(chunks: Iterable[StackedRows], size: int) -> Iterator[StackedRows]:
    """The rows of all chunks in lots of ``size``; the last may be smaller."""
    waiting: list[StackedRows] = []
    for chunk in chunks:
        waiting.append(chunk)
        while sum(map(len, waiting)) >= size:
            rows = StackedRows.joined(waiting)
            yield rows[:size]
            waiting = [rows[size:]]
    if sum(map(len, waiting)):
        yield StackedRows.joined(waiting)


def _require_distinct(keys: Ints) -> None:
    ordered = np.sort(keys)
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise SearchIndexError(f"row {ordered[twice[0]]}: expected each key once, found it twice; nothing was rebuilt")
