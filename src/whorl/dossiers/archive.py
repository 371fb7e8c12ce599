"""The one way in which a dossier is written as a ZIP file, and a reader of nothing else.

Files are stored, not compressed: then the bytes do not depend on a compression library's version, no small file can
unfold into a large one, and every byte is either content, under a CRC-32 and a SHA-256, or a header that follows from
name, size and CRC-32. The reader makes each header again and compares, so comments, extra fields, links, encryption,
ZIP64 records, gaps and second directories are not parsed: they differ. Any ZIP tool can unpack the file.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.16 (end of directory).
"""

import hashlib
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whorl.core.errors import InputError

MAX_ENTRIES: Final = 20_000
MAX_ENTRY_BYTES: Final = 1 << 30
MAX_ARCHIVE_BYTES: Final = 2 << 30
MAX_NAME_BYTES: Final = 160
PIECE: Final = 1 << 20

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_VERSION: Final = 10  # 1.0: plain files, stored
_UNIX: Final = 3 << 8
_DATE: Final = 0x0021  # 1980-01-01, the first that the format has
_REGULAR: Final = 0o100644 << 16
_ZIP64_MARK: Final = 0xFFFFFFFF
_SEGMENT: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9_-])?")
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an archive: where its content lies, and what its header says of it."""

    name: str
    offset: int
    size: int
    crc: int

    @property
    def end(self) -> int:
        """The first byte after the content."""
        return self.offset + _LOCAL.size + len(self.name) + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one pass over a file's content gave; ``digest`` is its SHA-256 in hex."""

    size: int
    crc: int
    digest: str


def name_problem(name: str) -> str | None:
    """Why a name has no place in a dossier, or None.

    Names are lower-case ASCII, so that no two of them are one name on any file system.
    """
    if not 0 < len(name) <= MAX_NAME_BYTES:
        return f"is empty or longer than {MAX_NAME_BYTES} letters"
    if name.startswith("/") or name[1:2] == ":":
        return "is absolute"
    if "\\" in name:
        return "has a backslash"
    segments = name.split("/")
    if ".." in segments or "." in segments:
        return "leaves its folder or names it"
    if name.endswith("/"):
        return "is a folder"
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        return "has other characters than a-z, 0-9, '.', '_' and '-', or begins or ends a part with a mark"
    if any(_DEVICES.fullmatch(segment) for segment in segments):
        return "names a device on some systems"
    return None


class ArchiveWriter:
    """Writes files one after the other, in the order of their names."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._at = 0
        self._entries: list[Entry] = []

    def add(self, name: str, *, size: int, crc: int, pieces: Iterable[bytes]) -> None:
        """Write one file.

        Parameters
        ----------
        name : greater than the name before, as bytes compare
        size, crc : of the content: bytes, and CRC-32

        Raises
        ------
        InputError
            If the content is another than ``size`` and ``crc`` say: the file changed meanwhile; or if the archive
            gets too large.
        """
        entry = Entry(name=name, offset=self._at, size=size, crc=crc)
        if problem := name_problem(name):
            raise ValueError(f"the name {name!r} {problem}")
        if self._entries and name <= self._entries[-1].name:
            raise ValueError(f"{name!r} comes after {self._entries[-1].name!r}; names must ascend")
        _require_within_caps(len(self._entries) + 1, entry)
        self._write(_local_header(entry))
        written, found = 0, 0
        for piece in pieces:
            self._write(piece)
            written, found = written + len(piece), zlib.crc32(piece, found)
        if (written, found) != (size, crc):
            raise InputError(f"{name}: expected the {size} bytes that were measured, found others: it changed")
        self._entries.append(entry)
        self._at = entry.end

    def finish(self) -> None:
        """Write the directory."""
        directory = b"".join(map(_central_header, self._entries))
        self._write(directory + _end_record(len(self._entries), len(directory), self._at))


class Archive:
    """An open archive whose headers have all been checked; contents are read when asked for."""

    def __init__(self, descriptor: int, entries: Mapping[str, Entry]) -> None:
        self._descriptor = descriptor
        self.entries = entries

    def measure(self, name: str) -> Measured:
        """Pass over a file's content once, in bounded memory; whether its CRC-32 is the header's is not asked."""
        return measure(self._pieces(name))

    def read(self, name: str, *, most: int) -> bytes:
        """A whole small file.

        Raises
        ------
        InputError
            If it is larger than ``most`` bytes, or its CRC-32 is another than its header says.
        """
        entry = self.entries[name]
        if entry.size > most:
            raise InputError(f"{name}: expected at most {most} bytes, found {entry.size}")
        data = b"".join(self._pieces(name))
        if zlib.crc32(data) != entry.crc:
            raise InputError(f"{name}: expected content with CRC-32 {entry.crc:08x}, found another; get the file again")
        return data

    def _pieces(self, name: str) -> Iterator[bytes]:
        entry = self.entries[name]
        for at in range(entry.end - entry.size, entry.end, PIECE):
            yield _exactly(self._descriptor, at, min(PIECE, entry.end - at))


def measure(pieces: Iterable[bytes]) -> Measured:
    """Size and digests of a content that comes in pieces."""
    running, crc, size = hashlib.sha256(), 0, 0
    for piece in pieces:
        running.update(piece)
        crc, size = zlib.crc32(piece, crc), size + len(piece)
    return Measured(size=size, crc=crc, digest=running.hexdigest())


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive that `ArchiveWriter` wrote.

    Raises
    ------
    InputError
        If it is anything else, beyond the caps, cut off, or longer than its directory says.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a dossier, which cannot be opened: {error}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: expected a dossier, found a folder, pipe or device")
        yield Archive(descriptor, _entries(descriptor, found.st_size))
    finally:
        os.close(descriptor)


def _entries(descriptor: int, size: int) -> dict[str, Entry]:
    if not _END.size <= size <= MAX_ARCHIVE_BYTES:
        raise _refused(f"{size} bytes; a dossier has {_END.size} to {MAX_ARCHIVE_BYTES}")
    if _exactly(descriptor, 0, 4) != b"PK\x03\x04":
        raise _refused("something else than a ZIP file's first entry at its start")
    count, directory_size, directory_at = _end(_exactly(descriptor, size - _END.size, _END.size), size)
    if directory_size > count * (_CENTRAL.size + MAX_NAME_BYTES):
        raise _refused(f"a directory of {directory_size} bytes for {count} files")
    directory = _exactly(descriptor, directory_at, directory_size)
    entries: dict[str, Entry] = {}
    at, next_offset, last = 0, 0, ""
    for _ in range(count):
        entry, at = _directory_entry(directory, at)
        if entry.name <= last:
            raise _refused(f"{entry.name!r} after {last!r} in the directory: a name twice, or out of order")
        if entry.offset != next_offset:
            raise _refused(f"{entry.name!r} at byte {entry.offset}, not {next_offset}: an overlap, or a gap")
        _require_within_caps(count, entry)
        if entry.end > directory_at:
            raise _refused(f"{entry.name!r} reaching into the directory")
        if _exactly(descriptor, entry.offset, _LOCAL.size + len(entry.name)) != _local_header(entry):
            raise _refused(f"a header of {entry.name!r} that differs from the directory, or is not as Whorl writes it")
        entries[entry.name] = entry
        next_offset, last = entry.end, entry.name
    if at != directory_size or next_offset != directory_at:
        raise _refused("bytes between the last file, the directory and its end that belong to none of them")
    return entries


def _end(record: bytes, size: int) -> tuple[int, int, int]:
    """Number of files, size of the directory, and its place."""
    mark, _, _, _, count, directory_size, directory_at, _ = _END.unpack(record)
    if mark != b"PK\x05\x06":
        raise _refused("no end of a directory in its last 22 bytes: it was cut off, or goes on after its end")
    if not 1 <= count <= MAX_ENTRIES:
        raise _refused(f"{count} files; a dossier has 1 to {MAX_ENTRIES}, and no ZIP64 directory")
    if directory_at + directory_size + _END.size != size:
        raise _refused(
            f"a directory of {directory_size} bytes at byte {directory_at} in a file of {size} bytes: it was cut off, "
            "or has something before, between or after"
        )
    if record != _end_record(count, directory_size, directory_at):
        raise _refused("an end of its directory that is not as Whorl writes it (several disks, or a comment)")
    return count, directory_size, directory_at


def _directory_entry(directory: bytes, at: int) -> tuple[Entry, int]:
    if len(directory) - at < _CENTRAL.size:
        raise _refused("fewer files in the directory than it says")
    fields = _CENTRAL.unpack_from(directory, at)
    mark, _, _, flags, method, _, _, crc, stored, size, name_size, extra, comment, _, _, attributes, offset = fields
    name_at = at + _CENTRAL.size
    raw = directory[name_at : name_at + min(name_size, MAX_NAME_BYTES + 1)]
    name = raw.decode("latin-1")  # one letter for each byte: what is no ASCII is refused below
    if mark != b"PK\x01\x02":
        raise _refused("something else in the directory where a file should begin")
    if problem := name_problem(name):
        raise _refused(f"the name {name!a}, which {problem}")
    if flags & 0x2041:
        raise _refused(f"{name!r} encrypted")
    if method != 0 or stored != size:
        raise _refused(f"{name!r} compressed (method {method}, {stored} bytes for {size}); a dossier stores its files")
    if _ZIP64_MARK in (size, stored, offset) or extra:
        raise _refused(f"{name!r} with extra fields or ZIP64 sizes")
    if attributes != _REGULAR or comment:
        raise _refused(f"{name!r} as something else than a plain file: a link, a folder, or with a comment")
    entry = Entry(name=name, offset=offset, size=size, crc=crc)
    end = name_at + len(raw)
    if directory[at:end] != _central_header(entry):
        raise _refused(f"a directory entry of {name!r} that is not as Whorl writes it")
    return entry, end


def _require_within_caps(count: int, entry: Entry) -> None:
    if count > MAX_ENTRIES or entry.size > MAX_ENTRY_BYTES or entry.end > MAX_ARCHIVE_BYTES:
        raise InputError(
            f"{entry.name}: expected at most {MAX_ENTRIES} files of at most {MAX_ENTRY_BYTES} bytes each and "
            f"{MAX_ARCHIVE_BYTES} together, found more"
        )


def _local_header(entry: Entry) -> bytes:
    name = entry.name.encode("ascii")
    fields = (b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, entry.crc, entry.size, entry.size, len(name), 0)
    return _LOCAL.pack(*fields) + name


def _central_header(entry: Entry) -> bytes:
    name = entry.name.encode("ascii")
    made = (b"PK\x01\x02", _UNIX | _VERSION, _VERSION, 0, 0, 0, _DATE)
    sizes = (entry.crc, entry.size, entry.size, len(name), 0, 0)
    return _CENTRAL.pack(*made, *sizes, 0, 0, _REGULAR, entry.offset) + name


def _end_record(count: int, directory_size: int, directory_at: int) -> bytes:
    return _END.pack(b"PK\x05\x06", 0, 0, count, count, directory_size, directory_at, 0)


def _exactly(descriptor: int, at: int, size: int) -> bytes:
    parts, wanted = [], size
    while wanted and (part := os.pread(descriptor, wanted, at)):
        parts.append(part)
        at, wanted = at + len(part), wanted - len(part)
    if wanted:
        raise _refused(f"its end {wanted} bytes early: it was cut off while it was read")
    return b"".join(parts)


def _refused(found: str) -> InputError:
    return InputError(f"expected a dossier as `whorl dossier build` writes it, found {found}; get the file again")
