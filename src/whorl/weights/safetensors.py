"""The safetensors format: a JSON header of names, number formats and byte ranges, then the bytes.

An own parser, because rows are read by position (memory-mapped pages would count as our memory) and because the header
is hostile until every claim in it has been checked: the ranges must cover the bytes exactly, without hole or overlap.
Format: https://github.com/huggingface/safetensors#format.
"""

from math import prod
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.files import OpenFile, open_regular, parse_json_object, shown
from whorl.weights.numbers import FORMATS
from whorl.weights.stored import StoredTensor, name_problem, shape_problem, stored_tensor

MAX_HEADER_BYTES: Final = 100_000_000  # the format's own limit
UNREAD_FORMATS: Final = frozenset({"C64", "F4", "F6_E2M3", "F6_E3M2"})  # the format's remaining number formats


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Where every tensor of one file lies, from its header alone.

    Raises
    ------
    CheckpointError
        If the header is malformed or does not describe the file exactly.
    UnsupportedError
        If a tensor is complex or has fewer than 8 bits per value.
    """
    with open_regular(path) as file:
        length = _header_length(file)
        header = parse_json_object(file.read(8, length), path, unique_keys=True)
        _check_metadata(header.pop("__metadata__", {}), path)
        data_start = 8 + length
        tensors = [_tensor(name, entry, data_start, file) for name, entry in header.items()]
        _check_layout(tensors, data_start, file)
    return {tensor.meta.name: tensor for tensor in tensors}


def _header_length(file: OpenFile) -> int:
    if file.size < 8:
        raise CheckpointError(f"expected a safetensors header, found a file of {file.size} bytes", file=file.path)
    length = int.from_bytes(file.read(0, 8), "little")
    if length > MAX_HEADER_BYTES:
        problem = f"expected a safetensors header of at most {MAX_HEADER_BYTES} bytes, found a claim of {length}"
        raise CheckpointError(f"{problem}: this is another format or a damaged file", file=file.path)
    if 8 + length > file.size:
        problem = f"expected {length} bytes of header, found {file.size - 8}: the file is cut short, get it again"
        raise CheckpointError(problem, file=file.path)
    if file.read(8, min(length, 1)) != b"{":
        raise CheckpointError("expected a header that starts with {, found another format", file=file.path)
    return length


def _check_metadata(metadata: object, path: Path) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError("expected __metadata__ to map text to text, found something else", file=path)


def _tensor(name: str, entry: Any, data_start: int, file: OpenFile) -> StoredTensor:
    problem = name_problem(name)
    if problem:
        raise CheckpointError(problem, file=file.path, tensor=name[:100])
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise CheckpointError("expected dtype, shape and data_offsets, found less", file=file.path, tensor=name)
    storage, shape = entry["dtype"], entry["shape"]
    if isinstance(storage, str) and storage in UNREAD_FORMATS:
        raise UnsupportedError(f"{file.path}: tensor {name!r}: {storage} numbers are not read; convert them first")
    problem = shape_problem(shape) or _range_problem(storage, shape, entry["data_offsets"])
    if problem:
        raise CheckpointError(problem, file=file.path, tensor=name)
    return stored_tensor(name, storage, tuple(shape), data_start + entry["data_offsets"][0], file)


def _range_problem(storage: object, shape: list[int], offsets: object) -> str | None:
    number = FORMATS.get(storage) if isinstance(storage, str) else None
    if number is None:
        return f"expected one of the number formats {', '.join(FORMATS)}, found {shown(storage)}"
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(offset) is int for offset in offsets)):
        return "expected data_offsets of two whole numbers, found something else"
    if not 0 <= offsets[0] <= offsets[1] <= 1 << 62:
        return "expected data_offsets in rising order within the file, found others"
    expected = prod(shape) * number.bytes_per_value
    if expected != offsets[1] - offsets[0]:
        return f"expected the shape's {expected} bytes, found a range of {offsets[1] - offsets[0]}"
    return None


def _check_layout(tensors: list[StoredTensor], data_start: int, file: OpenFile) -> None:
    end = data_start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.meta.nbytes)):
        if tensor.offset != end:
            what = "a hole before it" if tensor.offset > end else "it overlapping another tensor"
            problem = f"expected it to start at byte {end - data_start}, found {what}: {tensor.offset - data_start}"
            raise CheckpointError(problem, file=file.path, tensor=tensor.meta.name)
        end += tensor.meta.nbytes
    if end != file.size:
        what = "is cut short, get it again" if end > file.size else "has bytes that no tensor owns"
        problem = f"expected {end} bytes as the header says, found {file.size}: the file {what}"
        raise CheckpointError(problem, file=file.path)
