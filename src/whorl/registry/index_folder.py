"""The files of a search index: which there are, what is in them, and whether they are whole.

``index.json`` lists the segments. A segment is a file of rows (`whorl.registry.row_records`); all but the last are
finished and are never written again. A finished one may have a file of sketches (`whorl.registry.sketches`).
What ``index.json`` does not list is left over from a crash, and is deleted.
Format: ``docs/methods/registry_search.md``.
"""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whorl.core.arrays import AnyArray, Ints
from whorl.core.digest import canonical_json
from whorl.core.durable_files import sync_folder, write_durably
from whorl.core.errors import InputError
from whorl.core.strict_json import parse_json_object
from whorl.log.files import read_file
from whorl.registry.exact_scan import Scales
from whorl.registry.population_mean import PopulationMean, no_mean
from whorl.registry.row_records import checksum_start, mapped_records, record_type, whole_records
from whorl.registry.search_vectors import LARGEST_DIMENSION, SearchIndexError, StackedRows, Vectors
from whorl.registry.sketches import Sketches, open_sketches

FORMAT: Final = "whorl.search_index/1"
LIST: Final = "index.json"
LOCK: Final = "lock"
SEGMENT_BYTES: Final = 1 << 26
SEGMENT_ROWS: Final = 1 << 18
_MOST_LIST_BYTES: Final = 1 << 24

Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Checksum = Annotated[int, Field(ge=0, lt=1 << 32)]
KeyText = Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Finished(_Strict):
    """A file of rows that is never written again. ``keys``, the lowest and highest, are decimal: JSON ends at 2^53."""

    rows: int = Field(ge=1, le=SEGMENT_ROWS)
    checksum: Checksum
    keys: tuple[KeyText, KeyText]


class SegmentEntry(_Strict):
    """A segment as listed; only the last one may still grow. ``sketches`` is the checksum of its sketches' file."""

    number: Count
    finished: Finished | None
    sketches: Checksum | None = None

    @property
    def rows_file(self) -> str:
        return f"rows-{self.number:06d}.bin"

    @property
    def sketches_file(self) -> str:
        return f"sketches-{self.number:06d}.bin"


class Listing(_Strict):
    """``index.json`` without its checksum. ``origin`` is base64 of little-endian doubles."""

    format: Literal["whorl.search_index/1"]
    scheme: str = Field(max_length=512)
    dimension: int = Field(ge=1, le=LARGEST_DIMENSION)
    origin: str
    voices: Count
    mean_rows: Count
    next_number: Count
    segments: tuple[SegmentEntry, ...] = Field(max_length=100_000)

    def mean(self) -> PopulationMean:
        origin = np.frombuffer(base64.b64decode(self.origin, validate=True), "<f8")
        if origin.shape != (self.dimension,) or not np.isfinite(origin).all() or origin @ origin > 1.001:
            raise SearchIndexError(
                f"{LIST}: expected a mean direction of {self.dimension} numbers, found another array"
            )
        return PopulationMean(origin=origin, voices=self.voices, rows=self.mean_rows)

    def with_mean(self, mean: PopulationMean) -> "Listing":
        origin = base64.b64encode(mean.origin.astype("<f8").tobytes()).decode()
        return self.model_copy(update={"origin": origin, "voices": mean.voices, "mean_rows": mean.rows})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """Rows that are searched together: by their sketches if they have some, else all of them by their scales."""

    entry: SegmentEntry
    keys: Ints
    groups: Ints
    vectors: Vectors
    key_range: tuple[int, int]
    sketches: Sketches | None = None
    scales: Scales | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, chosen: AnyArray) -> StackedRows:
        """Copies of the rows at some positions, or under a mask."""
        groups, vectors = self.groups[chosen].astype(np.int64), np.ascontiguousarray(self.vectors[chosen])
        return StackedRows(keys=self.keys[chosen].astype(np.int64), groups=groups, vectors=vectors)


def rows_per_segment(dimension: int, segment_bytes: int) -> int:
    """How many rows finish a segment of so many bytes of vectors."""
    return max(1, min(SEGMENT_ROWS, segment_bytes // dimension))


def first_free_number(folder: Path) -> int:
    """A number above those of all segments in the folder, listed or not."""
    found = (path.stem.removeprefix("rows-") for path in folder.glob("rows-*.bin"))
    return max([int(number) + 1 for number in found if number.isdecimal()], default=0)


def empty_listing(scheme: str, dimension: int, *, next_number: int = 0) -> Listing:
    """An index without rows."""
    return Listing(
        format=FORMAT,
        scheme=scheme,
        dimension=dimension,
        origin="",
        voices=0,
        mean_rows=0,
        next_number=next_number,
        segments=(),
    ).with_mean(no_mean(dimension))


def write_listing(folder: Path, listing: Listing) -> bytes:
    """Write ``index.json``, from when on its segments are the index; gives its bytes."""
    content = listing.model_dump(mode="json")
    data = canonical_json({"content": content, "sha256": hashlib.sha256(canonical_json(content)).hexdigest()})
    write_durably(folder / LIST, data)
    return data


def read_listing(folder: Path) -> tuple[Listing, bytes] | None:
    """``index.json`` and its bytes, or None if there is none.

    Raises
    ------
    SearchIndexError
        If it is not whole, or of another format.
    """
    path = folder / LIST
    if not path.exists():
        return None
    try:
        data = read_file(path, max_bytes=_MOST_LIST_BYTES)
        document = parse_json_object(data, what=LIST, max_bytes=_MOST_LIST_BYTES)
        content = document.get("content")
        if document.get("sha256") != hashlib.sha256(canonical_json(content)).hexdigest():
            raise SearchIndexError(f"{LIST} does not fit its checksum")
        listing = Listing.model_validate_json(canonical_json(content))
        listing.mean()
    except (InputError, ValidationError, ValueError) as error:
        raise SearchIndexError(f"{LIST}: {str(error).splitlines()[0]}") from error
    if any(entry.finished is None for entry in listing.segments[:-1]):
        raise SearchIndexError(f"{LIST}: expected only the last segment to be unfinished")
    return listing, data


def open_finished(folder: Path, listing: Listing, entry: SegmentEntry) -> Segment:
    """A finished segment, checked and mapped, without scales.

    Raises
    ------
    SearchIndexError
        If a file is missing or not whole.
    """
    finished, dimension = entry.finished, listing.dimension
    if finished is None:
        raise ValueError(f"segment {entry.number} is not finished")
    path = folder / entry.rows_file
    records = mapped_records(path, dimension, count=finished.rows, checksum=finished.checksum)
    sketches = None
    if entry.sketches is not None:
        path = folder / entry.sketches_file
        sketches = open_sketches(path, dimension, count=finished.rows, checksum=entry.sketches)
    return Segment(
        entry=entry,
        keys=records["key"],
        groups=records["group"] if sketches is None else sketches.groups,
        vectors=records["vector"],
        key_range=(int(finished.keys[0]), int(finished.keys[1])),
        sketches=sketches,
    )


def read_growing(folder: Path, listing: Listing, entry: SegmentEntry) -> tuple[StackedRows, bytes]:
    """The rows of the unfinished segment and their records, without a torn end.

    Raises
    ------
    SearchIndexError
        If the file is missing, or damaged before its end.
    """
    path, dimension = folder / entry.rows_file, listing.dimension
    most = SEGMENT_ROWS * record_type(dimension).itemsize
    start = checksum_start(listing.scheme, entry.rows_file)
    try:
        data = read_file(path, max_bytes=most)
        records = whole_records(data, dimension, start=start)
    except InputError as error:
        raise SearchIndexError(f"{entry.rows_file}: {error}") from error
    rows = StackedRows(
        keys=records["key"].astype(np.int64),
        groups=records["group"].astype(np.int64),
        vectors=np.ascontiguousarray(records["vector"]),
    )
    return rows, data[: records.nbytes]


def append_durably(path: Path, data: bytes, *, at: int) -> None:
    """Write ``data`` at the end of the rows that are known to be whole, over whatever a torn write left there.

    Raises
    ------
    OSError
        If it cannot be written; the rows before stay whole.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        new = os.fstat(descriptor).st_size == 0
        file.truncate(at)
        file.seek(at)
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        os.fsync(descriptor)
    if new:
        sync_folder(path.parent)


def delete_unlisted(folder: Path, listing: Listing) -> None:
    """Delete segments that are not listed, and what a crash left half written."""
    listed = {entry.rows_file for entry in listing.segments}
    listed |= {entry.sketches_file for entry in listing.segments if entry.sketches is not None}
    found = [*folder.glob("rows-*.bin"), *folder.glob("sketches-*.bin"), *folder.glob(".*.partial")]
    stale = [path for path in found if path.name not in listed]
    for path in stale:
        path.unlink(missing_ok=True)
    if stale:
        sync_folder(folder)
