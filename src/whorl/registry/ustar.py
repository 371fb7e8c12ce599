"""The one way in which a backup is written as a tar file (POSIX.1-2001 ustar), and a reader of nothing else.

Every header is a function of name and size, so the reader makes it again and compares: links, devices, owners, long
names, sparse files and whatever else tar files can hold are not parsed, they differ. Sizes of 8 GiB and more are
written in base 256, as GNU tar and its heirs read them.
"""

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from whorl.core.errors import InputError

PIECE: Final = 1 << 20
_BLOCK: Final = 512
_NAME_BYTES: Final = 100
_OCTAL_LIMIT: Final = 8**11
_LARGEST: Final = 1 << 62
_SIZE: Final = slice(124, 136)


class TarWriter:
    """Writes members one after the other into a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, name: str, size: int, pieces: Iterable[bytes]) -> None:
        """Write one file.

        Raises
        ------
        InputError
            If the pieces have another size together: what was copied changed meanwhile.
        """
        self._file.write(_header(name, size))
        written = 0
        for piece in pieces:
            self._file.write(piece)
            written += len(piece)
        if written != size:
            raise InputError(f"{name}: expected {size} bytes, found {written}; it changed while it was copied")
        self._file.write(bytes(-size % _BLOCK))

    def finish(self) -> None:
        """Write the end."""
        self._file.write(bytes(2 * _BLOCK))


def tar_members(file: BinaryIO, *, what: str) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Names, sizes and contents of a file that `TarWriter` wrote; take each content whole before the next member.

    Raises
    ------
    InputError
        If it is anything else, was cut off, or goes on after its end.
    """
    while (header := _exactly(file, _BLOCK, what)) != bytes(_BLOCK):
        name = header[:_NAME_BYTES].rstrip(b"\0").decode("ascii", errors="replace")
        size = _size(header[_SIZE])
        if size is None or not name.isprintable() or header != _header(name, size):
            raise _no_backup(what, "a header that no backup has")
        yield name, size, _content(file, size, what)
    if any(_exactly(file, _BLOCK, what)) or file.read(1):
        raise _no_backup(what, "something else at its end")


def _content(file: BinaryIO, size: int, what: str) -> Iterator[bytes]:
    for at in range(0, size, PIECE):
        yield _exactly(file, min(PIECE, size - at), what)
    if any(_exactly(file, -size % _BLOCK, what)):
        raise _no_backup(what, "something between its members")


def _exactly(file: BinaryIO, size: int, what: str) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise InputError(f"{what}: expected a whole backup, found its end in the middle; copy it again")
    return data


def _no_backup(what: str, found: str) -> InputError:
    return InputError(f"{what}: expected a backup as `whorl registry backup` writes it, found {found}; check the file")


def _size(digits: bytes) -> int | None:
    if digits[0] == 0x80:
        size = int.from_bytes(digits[1:], "big")
        return size if size < _LARGEST else None
    octal = digits[:-1]
    return int(octal, 8) if octal.isdigit() and not set(octal) & set(b"89") else None


def _header(name: str, size: int) -> bytes:
    encoded = name.encode("ascii", errors="replace")
    if not 0 < len(encoded) <= _NAME_BYTES or not 0 <= size < _LARGEST:
        raise ValueError(f"no member {name!r} of {size} bytes can be written")
    fields = (
        encoded.ljust(_NAME_BYTES, b"\0"),
        b"0000600\0",  # mode
        b"0000000\0" * 2,  # owner and group
        b"%011o\0" % size if size < _OCTAL_LIMIT else b"\x80" + size.to_bytes(11, "big"),
        b"%011o\0" % 0,  # time
        b" " * 8,  # where the checksum will be
        b"0".ljust(101, b"\0"),  # a regular file, which links to nothing
        b"ustar\x0000",
        bytes(64),  # names of owner and group
        b"0000000\0" * 2,  # device
        bytes(167),
    )
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]
