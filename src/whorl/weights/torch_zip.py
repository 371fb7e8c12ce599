"""PyTorch's zip format (``pytorch_model.bin``, ``*.pt``): a pickle that describes tensors, one record per storage.

The archive's records are stored uncompressed, so rows are read from the file by position; nothing is ever inflated.
Checksums are not compared: PyTorch can be told to write none, and rows are read one by one.
"""

import io
import struct
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.files import OpenFile, open_regular
from whorl.weights.numbers import FORMATS
from whorl.weights.stored import StoredTensor, name_problem, shape_problem, stored_tensor
from whorl.weights.torch_pickle import PickledTensor, read_state_dict

MAX_DIRECTORY_BYTES: Final = 16 << 20  # of the archive: about 200,000 records
MAX_PICKLE_BYTES: Final = 32 << 20
_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
_LEGACY_MAGIC: Final = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"  # the number that opened PyTorch files before 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """One record's bytes in the file."""

    offset: int
    size: int


def read_torch_zip(path: Path) -> dict[str, StoredTensor]:
    """Where every tensor of one file lies.

    Raises
    ------
    CheckpointError
        If the archive is malformed, compressed or encrypted, if its pickle does anything else than describe tensors, or
        if a tensor lies outside its storage.
    UnsupportedError
        If the file is of PyTorch's format before 1.6, a TorchScript program, big-endian, or holds a strided view.
    """
    with open_regular(path) as file:
        _refuse_legacy(file)
        records = _records(file)
        root = _root(records, path)
        if f"{root}/constants.pkl" in records:
            raise UnsupportedError(f"{path}: a TorchScript program is not read; save the model's state dict instead")
        byte_order = records.get(f"{root}/byteorder")
        if byte_order is not None and file.read(byte_order.offset, min(byte_order.size, 16)) != b"little":
            raise UnsupportedError(f"{path}: only little-endian files are read; convert it to safetensors")
        description = records[f"{root}/data.pkl"]
        if description.size > MAX_PICKLE_BYTES:
            problem = f"expected a data.pkl of at most {MAX_PICKLE_BYTES} bytes, found {description.size}"
            raise CheckpointError(problem, file=path)
        state = read_state_dict(file.read(description.offset, description.size), path)
        data = f"{root}/data/"
        storages = {name.removeprefix(data): record for name, record in records.items() if name.startswith(data)}
        return {
            name: _tensor(name, value, storages, file)
            for name, value in state.items()
            if isinstance(name, str) and _is_tensor(name, value, path)
        }


def _refuse_legacy(file: OpenFile) -> None:
    head = file.read(0, min(file.size, 512))
    if head.startswith(_LEGACY_MAGIC) or head[257:262] == b"ustar":
        raise UnsupportedError(
            f"{file.path}: PyTorch's file format before version 1.6 is not read; load and save it again with a newer "
            "PyTorch on a machine you can spare, or convert it to safetensors"
        )
    if not head.startswith(b"PK\x03\x04"):
        raise CheckpointError("expected a PyTorch zip file, found another format", file=file.path)


class _BoundedReads(io.RawIOBase):
    """An open file as `zipfile` wants it, which refuses to read a huge directory into memory."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        if start + offset < 0:
            raise zipfile.BadZipFile("a position before the start of the file")
        self._position = start + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = max(self._file.size - self._position, 0)
        size = left if size < 0 else min(size, left)
        if size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"a directory of more than {MAX_DIRECTORY_BYTES} bytes")
        data = self._file.read(self._position, size)
        self._position += size
        return data


def _records(file: OpenFile) -> dict[str, _Record]:
    """The archive's records by name, each stored plainly, none overlapping another."""
    try:
        with zipfile.ZipFile(_BoundedReads(file)) as archive:
            entries = archive.infolist()
            end = archive.start_dir
    # zipfile lets several kinds of error through where a directory lies about itself
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, OverflowError, EOFError) as error:
        raise CheckpointError(f"expected a PyTorch zip file, found: {error}; get it again", file=file.path) from error
    records: dict[str, _Record] = {}
    for entry in sorted(entries, key=lambda entry: entry.header_offset, reverse=True):
        if entry.filename in records:
            raise CheckpointError(f"expected one record {entry.filename[:100]!r}, found two", file=file.path)
        record = _locate(entry, end, file)
        records[entry.filename] = record
        end = entry.header_offset
    return records


def _locate(entry: zipfile.ZipInfo, end: int, file: OpenFile) -> _Record:
    """Find a record's bytes, which must lie before ``end``."""
    name = entry.filename[:100]
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
        problem = f"expected record {name!r} to be stored plainly, as PyTorch does, found it compressed or encrypted"
        raise CheckpointError(problem, file=file.path)
    header_end = entry.header_offset + _LOCAL_HEADER.size
    if header_end > end:
        raise CheckpointError(f"expected a record {name!r} of its own, found it overlapping another", file=file.path)
    header = _LOCAL_HEADER.unpack(file.read(entry.header_offset, _LOCAL_HEADER.size))
    offset = header_end + header[-2] + header[-1]
    if header[0] != b"PK\x03\x04" or offset + entry.file_size > end:
        problem = f"expected record {name!r} of {entry.file_size} bytes, found it broken or overlapping another"
        raise CheckpointError(problem, file=file.path)
    return _Record(offset=offset, size=entry.file_size)


def _root(records: dict[str, _Record], path: Path) -> str:
    roots = [name.removesuffix("/data.pkl") for name in records if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"expected one record data.pkl, found {len(roots)}; not a PyTorch file", file=path)
    return roots[0]


def _is_tensor(name: str, value: Any, path: Path) -> bool:
    if isinstance(value, PickledTensor):
        return True
    if value is None or isinstance(value, bool | int | float | str):
        return False  # training scripts leave step counts and the like beside the tensors
    raise UnsupportedError(
        f"{path}: expected tensors only, found a {type(value).__name__} under {name[:100]!r}; "
        "save the model's state dict alone, or convert it to safetensors"
    )


def _tensor(name: str, tensor: PickledTensor, storages: dict[str, _Record], file: OpenFile) -> StoredTensor:
    problem = name_problem(name) or shape_problem(tensor.shape)
    if problem:
        raise CheckpointError(problem, file=file.path, tensor=name[:100])
    width = FORMATS[tensor.number].bytes_per_value
    record = storages.get(tensor.storage.key)
    if record is None:
        raise CheckpointError(
            f"expected a record data/{tensor.storage.key[:100]}, found none", file=file.path, tensor=name
        )
    claimed = tensor.storage.values * (1 if tensor.storage.storage is None else width)
    if claimed != record.size:
        problem = f"expected its storage's {claimed} bytes, found a record of {record.size}; get the file again"
        raise CheckpointError(problem, file=file.path, tensor=name)
    if (
        type(tensor.offset) is not int
        or tensor.offset < 0
        or (tensor.offset + prod(tensor.shape)) * width > record.size
    ):
        problem = f"expected it within its storage of {record.size} bytes, found it reaching outside"
        raise CheckpointError(problem, file=file.path, tensor=name)
    if not _is_contiguous(tensor.shape, tensor.strides):
        raise UnsupportedError(
            f"{file.path}: tensor {name!r} is a transposed or strided view, which is not read; "
            "make it contiguous and save it again, or convert the file to safetensors"
        )
    return stored_tensor(name, tensor.number, tensor.shape, record.offset + tensor.offset * width, file)


def _is_contiguous(shape: tuple[int, ...], strides: Any) -> bool:
    if type(strides) is not tuple or len(strides) != len(shape):
        return False
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True
