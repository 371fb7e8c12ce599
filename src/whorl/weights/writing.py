"""Writing safetensors files and model folders: streamed in blocks, and whole or not at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from whorl.core.arrays import AnyArray
from whorl.core.digest import canonical_json
from whorl.core.errors import CheckpointError, InputError
from whorl.weights.files import open_regular, parse_json_object, read_bounded
from whorl.weights.numbers import FORMATS
from whorl.weights.source import TensorMeta

_ALIGNMENT: Final = 8
_READ_BYTES: Final = 1 << 22

# What belongs to a model besides its weights. A list of what may pass, not of what may not: a second file of weights
# in another format must never slip into a released folder.
_COMPANION_SUFFIXES: Final = frozenset({".json", ".jinja", ".md", ".model", ".py", ".tiktoken", ".txt"})
_COMPANION_NAMES: Final = frozenset({"LICENSE", "LICENCE", "NOTICE", "USE_POLICY"})
_MAX_COMPANION_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorToWrite:
    """One tensor of a new file: what it is called and holds, and its stored codes row block by row block."""

    name: str
    storage: str
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[AnyArray]]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * FORMATS[self.storage].bytes_per_value


def write_safetensors(path: Path, tensors: Sequence[TensorToWrite], metadata: Mapping[str, str]) -> str:
    """Write a new safetensors file, its tensors in the given order, and read it back.

    Returns
    -------
    digest of the file

    Raises
    ------
    CheckpointError
        If the disk gives back other bytes than were written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.nbytes
        header[tensor.name] = {"dtype": tensor.storage, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = canonical_json(header)
    text += b" " * (-len(text) % _ALIGNMENT)
    written = hashlib.sha256()
    with path.open("xb") as file:
        for part in (len(text).to_bytes(8, "little"), text):
            written.update(part)
            file.write(part)
        for tensor in tensors:
            count = 0
            for block in tensor.blocks():
                codes = np.ascontiguousarray(block, FORMATS[tensor.storage].codes).reshape(-1).view(np.uint8).data
                count += codes.nbytes
                written.update(codes)
                file.write(codes)
            if count != tensor.nbytes:
                raise ValueError(f"tensor {tensor.name!r}: {count} bytes given, {tensor.nbytes} announced")
        file.flush()
        os.fsync(file.fileno())
    if _digest_of_file(path) != written.digest():
        raise CheckpointError("expected the bytes that were written, found others; check the disk", file=path)
    return f"sha256:{written.hexdigest()}"


def _digest_of_file(path: Path) -> bytes:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            state.update(data)
    return state.digest()


def header_of(path: Path) -> tuple[dict[str, str], list[str]]:
    """Metadata of a safetensors file that `read_safetensors` has accepted, and its tensors' names in file order."""
    with open_regular(path) as file:
        header = parse_json_object(file.read(8, int.from_bytes(file.read(0, 8), "little")), path, unique_keys=True)
    metadata = header.pop("__metadata__", {})
    return metadata, sorted(header, key=lambda name: (header[name]["data_offsets"], name))


def unchanged(meta: TensorMeta, read_raw: Callable[[int, int], AnyArray]) -> Iterator[AnyArray]:
    """All of a tensor's stored codes, block by block."""
    step = rows_per_block(meta)
    for start in range(0, meta.rows, step):
        yield read_raw(start, min(start + step, meta.rows))


def rows_per_block(meta: TensorMeta) -> int:
    """How many stored rows of a tensor are handled at once: about 4 MB of them."""
    return max(1, _READ_BYTES // max(1, meta.columns * FORMATS[meta.storage].bytes_per_value))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that appears at ``path`` when all is done, or not at all.

    Raises
    ------
    InputError
        If something is at ``path`` already, or its parent is no folder that can be written to.
    """
    parent = path.parent
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: exists already and was left alone; choose another place or remove it first")
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise InputError(f"{path}: expected its parent to be a folder that can be written to; choose another place")
    partial = parent / f".whorl-{secrets.token_hex(8)}.partial"
    partial.mkdir()
    try:
        yield partial
        if path.exists() or path.is_symlink():  # made meanwhile; a rename would replace an empty folder in silence
            raise InputError(f"{path}: appeared while its content was made and was left alone; choose another place")
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_companions(source: Path, target: Path, *, forbidden: bytes) -> tuple[str, ...]:
    """Copy configuration, tokenizer, code, licence and text files of a model folder; no weights, no folders.

    Parameters
    ----------
    forbidden : bytes that no copied file may hold

    Returns
    -------
    names of the files that were not copied, weights in safetensors left out

    Raises
    ------
    InputError
        If a file holds ``forbidden``.
    CheckpointError
        If a file cannot be read or is implausibly large.
    """
    left = []
    for entry in sorted(source.iterdir()):
        if entry.suffix == ".safetensors":
            continue
        if not entry.is_file() or not (entry.suffix in _COMPANION_SUFFIXES or entry.stem in _COMPANION_NAMES):
            left.append(entry.name)
            continue
        data = read_bounded(entry, _MAX_COMPANION_BYTES)
        if forbidden in data:
            raise InputError(
                f"{entry}: expected files that may be published, found a private release key among them; move it away"
            )
        (target / entry.name).write_bytes(data)
    return tuple(left)
