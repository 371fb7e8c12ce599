"""The last segment of a search index, while rows are still added to it: its file, and its rows in memory."""

import zlib
from pathlib import Path

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.registry.exact_scan import Scales, scales_of
from whorl.registry.index_folder import Finished, Segment, SegmentEntry, append_durably
from whorl.registry.row_records import checksum_start, encode_rows, record_type
from whorl.registry.search_vectors import StackedRows


class GrowingSegment:
    """Rows in memory that are also in the file, and space for more.

    A `Segment` made of it shows the rows of that moment: rows that are added later lie behind them in the same arrays,
    so that searches that go on meanwhile see nothing change.
    """

    def __init__(self, folder: Path, number: int, *, scheme: str, dimension: int, capacity: int) -> None:
        self.entry = SegmentEntry(number=number, finished=None)
        self.path = folder / self.entry.rows_file
        self.count = 0
        self.capacity = capacity
        self.checksum = 0
        self._record_bytes = record_type(dimension).itemsize
        self._start = checksum_start(scheme, self.entry.rows_file)
        self._key_range = (2**63 - 1, 0)
        self._arrays: dict[str, AnyArray] = {
            "keys": np.empty(0, np.int64),
            "groups": np.empty(0, np.int64),
            "vectors": np.empty((0, dimension), np.int8),
            "of_row": np.empty(0, np.float32),
            "of_origin": np.empty(0, np.float32),
        }

    @property
    def room(self) -> int:
        """How many rows still go in."""
        return max(0, self.capacity - self.count)

    @property
    def file_bytes(self) -> int:
        """Length of the file if nothing was torn and nobody else wrote."""
        return self.count * self._record_bytes

    def append(self, rows: StackedRows, origin: Doubles) -> None:
        """Write rows to the file, then take them up.

        Raises
        ------
        OSError
            If they cannot be written; none of them is taken up.
        """
        data = encode_rows(rows, start=self._start)
        append_durably(self.path, data, at=self.file_bytes)
        self.take(rows, data, origin)

    def take(self, rows: StackedRows, data: bytes, origin: Doubles) -> None:
        """Take up rows that are in the file already; ``data`` are their records."""
        scales = scales_of(rows.vectors, origin)
        end = self.count + len(rows)
        self._reserve(end)
        added = {"keys": rows.keys, "groups": rows.groups, "vectors": rows.vectors}
        for name, values in {**added, "of_row": scales.of_row, "of_origin": scales.of_origin}.items():
            self._arrays[name][self.count : end] = values
        if len(rows):
            low, high = int(rows.keys.min()), int(rows.keys.max())
            self._key_range = (min(self._key_range[0], low), max(self._key_range[1], high))
        self.checksum = zlib.crc32(data, self.checksum)
        self.count = end

    def rescale(self, origin: Doubles) -> None:
        """Another origin is taken out from now on."""
        scales = scales_of(self._arrays["vectors"][: self.count], origin)
        self._arrays["of_row"], self._arrays["of_origin"] = scales.of_row, scales.of_origin
        self._reserve(len(self._arrays["keys"]))

    def segment(self) -> Segment:
        """The rows up to now."""
        shown = {name: values[: self.count] for name, values in self._arrays.items()}
        return Segment(
            entry=self.entry,
            keys=shown["keys"],
            groups=shown["groups"],
            vectors=shown["vectors"],
            key_range=self._key_range,
            scales=Scales(of_row=shown["of_row"], of_origin=shown["of_origin"]),
        )

    def finished_entry(self) -> SegmentEntry:
        """How the segment is listed once no row is added any more."""
        low, high = map(str, self._key_range)
        finished = Finished(rows=self.count, checksum=self.checksum, keys=(low, high))
        return SegmentEntry(number=self.entry.number, finished=finished)

    def _reserve(self, rows: int) -> None:
        for name, values in self._arrays.items():
            if len(values) < rows:
                grown = np.empty((max(rows, min(self.capacity, 2 * len(values))), *values.shape[1:]), values.dtype)
                grown[: len(values)] = values
                self._arrays[name] = grown
