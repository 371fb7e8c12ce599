"""GGUF files, whole or split: rows of blocks, decoded by the kept `gguf` package, Q and K in the half-split layout.

llama.cpp's converter reorders the rows of Q and K of Llama-like models so that the two coordinates of a rotary pair lie
side by side. Reading undoes it: within each head of size s, row ``p * s / 2 + i`` is stored row ``2 i + p`` (p = 0, 1).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from whorl.core.arrays import Bytes, Floats
from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.files import OpenFile, open_regular, open_unchanged
from whorl.weights.gguf_config import model_config
from whorl.weights.gguf_header import GgufHeader, GgufTensor, read_header
from whorl.weights.numbers import FORMATS, decode
from whorl.weights.source import Observer, TensorMeta, TensorSource

# Architectures whose converter permutes (llama.cpp, conversion/*.py); "llama" includes Mistral and Mixtral. Others with
# side-by-side pairs (Command-R, GLM-4, DeepSeek-V2) have them in their Hugging Face layout too.
PERMUTED_ARCHITECTURES: Final = frozenset(
    {
        "arcee",
        "bailingmoe",
        "deci",
        "deepseek",
        "granite",
        "granitehybrid",
        "granitemoe",
        "internlm2",
        "llada",
        "llama",
        "minicpm",
        "mistral3",
        "olmo",
        "smollm3",
    }
)
MAX_HEAD_SIZE: Final = 1024  # a part of a head is read with the whole head, so its size bounds memory
MAX_PARTS: Final = 1000

_PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_QUERY_OR_KEY = re.compile(r"blk\.(?P<layer>\d{1,6})\.attn_(?P<role>q|k|qkv)\.(weight|bias)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A tensor, the file it lies in, and how its rows are cut.

    A permuted bias is cut into rows of one value; ``head_size`` is 0 where rows lie in their order.
    """

    tensor: GgufTensor
    meta: TensorMeta
    file_size: int
    file_modified_ns: int
    columns: int
    head_size: int

    @property
    def row_bytes(self) -> int:
        return self.columns // self.tensor.block_values * self.tensor.block_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    file: OpenFile  # closed by now: only its path and state are used
    header: GgufHeader


def open_gguf(path: Path) -> TensorSource:
    """Open a GGUF file by its header; any one part opens a split model.

    Tensors keep llama.cpp's names ("blk.0.attn_q.weight"). The observer of `read_rows` gets the stored bytes of the
    rows in the order in which they are returned, so digests do not depend on how a tensor is cut into blocks.

    Raises
    ------
    CheckpointError
        If a header is malformed, a part is missing, or head counts do not fit a permuted Q or K.
    UnsupportedError
        If the file is big-endian, of another version or holds a tensor type that is not read.
    """
    parts = _read_parts(path)
    metadata = parts[0].header.metadata
    architecture = metadata.get("general.architecture")
    placed: dict[str, _Placed] = {}
    for part in parts:
        for tensor in part.header.tensors:
            if tensor.name in placed:
                raise CheckpointError(
                    f"expected each tensor in one part, found it in {placed[tensor.name].meta.file} too",
                    file=part.file.path,
                    tensor=tensor.name,
                )
            head_size = _head_size(tensor, metadata, part.file.path) if architecture in PERMUTED_ARCHITECTURES else 0
            placed[tensor.name] = _place(tensor, part.file, head_size)
    tokens = parts[0].header.tokens
    return GgufSource(
        path=path,
        tensors=placed,
        config=model_config(metadata, tensors=placed, vocabulary_size=None if tokens is None else len(tokens)),
        vocabulary=tokens,
        description=_describe(parts),
    )


class GgufSource:
    """A `TensorSource` over the tensors of one GGUF model; see `open_gguf`."""

    def __init__(
        self,
        *,
        path: Path,
        tensors: Mapping[str, _Placed],
        config: Mapping[str, Any],
        vocabulary: Sequence[str] | None,
        description: str,
    ) -> None:
        self.path = path
        self.config = config
        self.vocabulary = vocabulary
        self.description = description
        self._tensors = dict(sorted(tensors.items()))

    def names(self) -> Sequence[str]:
        return tuple(self._tensors)

    def meta(self, name: str) -> TensorMeta:
        return self._tensors[name].meta

    def read_rows(self, name: str, start: int, stop: int, observe: Observer | None = None) -> Floats:
        placed = self._tensors[name]
        meta = placed.meta
        if not 0 <= start <= stop <= meta.rows:
            raise ValueError(f"rows {start}:{stop} outside 0:{meta.rows} of {name!r}")
        if start == stop:
            return np.empty((0, meta.columns), dtype=np.float32)
        if placed.columns == meta.columns:
            stored = _read_stored(placed, start, stop)
        else:  # a bias: its one row is cut by values
            stored = _read_stored(placed, 0, meta.columns)
        if observe is not None:
            observe(stored.reshape(-1).data.toreadonly())
        return _decode(stored, meta).reshape(stop - start, meta.columns)


def _read_stored(placed: _Placed, start: int, stop: int) -> Bytes:
    """Stored bytes of rows ``start:stop`` in Hugging Face order, shape (stop - start, row bytes)."""
    size = placed.head_size
    if not size:
        return _read_contiguous(placed, start, stop)
    first = start // size
    heads = _read_contiguous(placed, first * size, -(-stop // size) * size)
    halves = heads.reshape(-1, size // 2, 2, placed.row_bytes).swapaxes(1, 2).reshape(heads.shape)
    return np.ascontiguousarray(halves[start - first * size : stop - first * size])


def _read_contiguous(placed: _Placed, start: int, stop: int) -> Bytes:
    stored = np.empty((stop - start, placed.row_bytes), dtype=np.uint8)
    meta = placed.meta
    with open_unchanged(meta.file, meta.name, size=placed.file_size, modified_ns=placed.file_modified_ns) as file:
        place = placed.tensor.offset + start * placed.row_bytes
        file.read_into(place, stored.reshape(-1).data, placed.meta.name)
    return stored


def _decode(stored: Bytes, meta: TensorMeta) -> Floats:
    if meta.storage in FORMATS:
        codes = stored.reshape(-1).view(FORMATS[meta.storage].codes)
        values = np.empty(codes.size, dtype=np.float32)
        decode(meta.storage, codes, values)
        return values
    from gguf import GGMLQuantizationType, quants

    try:
        with np.errstate(all="ignore"):  # hostile scales overflow; the caller refuses what is not finite
            decoded: Floats = quants.dequantize(stored, GGMLQuantizationType[meta.storage])
    except (KeyError, NotImplementedError):
        raise UnsupportedError(
            f"{meta.file}: tensor {meta.name!r} has type {meta.storage}, which the installed gguf package does not "
            "decode; install a newer one"
        ) from None
    return np.ascontiguousarray(decoded, dtype=np.float32)


def _read_parts(path: Path) -> list[_Part]:
    """The headers of all parts, the first part first; parts beyond the first add only tensors."""
    opened = _read_part(path)
    count = opened.header.metadata.get("split.count", 1)
    if count in (0, 1):
        return [opened]
    if type(count) is not int or not 0 < count <= MAX_PARTS:
        raise CheckpointError(f"expected split.count from 1 to {MAX_PARTS}, found {count!r}", file=path)
    named = _PART_NAME.fullmatch(path.name)
    if named is None or int(named["count"]) != count:
        raise CheckpointError(
            f"expected a name ending in -00001-of-{count:05}.gguf for one of {count} parts; restore the names",
            file=path,
        )
    parts = []
    for number in range(1, count + 1):
        part_path = path.with_name(f"{named['stem']}-{number:05}-of-{count:05}.gguf")
        if not part_path.exists():
            raise CheckpointError(f"part {number} of {count} is missing; put it beside the others", file=part_path)
        part = opened if part_path == path else _read_part(part_path)
        if part.header.metadata.get("split.no") != number - 1:
            found = part.header.metadata.get("split.no")
            raise CheckpointError(f"expected split.no {number - 1}, found {found}; get the file again", file=part_path)
        parts.append(part)
    total = sum(len(part.header.tensors) for part in parts)
    expected = parts[0].header.metadata.get("split.tensors.count", total)
    if total != expected:
        raise CheckpointError(f"expected {expected} tensors in all parts, found {total}; get them again", file=path)
    return parts


def _read_part(path: Path) -> _Part:
    with open_regular(path) as file:
        return _Part(file=file, header=read_header(file))


def _head_size(tensor: GgufTensor, metadata: Mapping[str, Any], file: Path) -> int:
    """Rows per head of a permuted tensor, 0 for a tensor whose rows were left in place."""
    named = _QUERY_OR_KEY.fullmatch(tensor.name)
    if named is None:
        return 0
    if named["role"] == "qkv" or len(tensor.shape) > 2 or (len(tensor.shape) == 1 and tensor.block_values > 1):
        raise UnsupportedError(
            f"{file}: tensor {tensor.name!r}: permuted Q and K are read only unfused, their biases as floats"
        )
    architecture = metadata["general.architecture"]
    heads = metadata.get(f"{architecture}.attention.head_count")
    if named["role"] == "k":
        heads = metadata.get(f"{architecture}.attention.head_count_kv", heads)
    if isinstance(heads, tuple) and int(named["layer"]) < len(heads):
        heads = heads[int(named["layer"])]
    rows = tensor.shape[0]
    if type(heads) is not int or heads <= 0 or rows % (2 * heads) or rows // heads > MAX_HEAD_SIZE:
        raise CheckpointError(
            f"expected {rows} rows to be heads of an even size up to {MAX_HEAD_SIZE}, found a head count of {heads!r}; "
            "convert the model again",
            file=file,
            tensor=tensor.name,
        )
    return rows // heads


def _place(tensor: GgufTensor, file: OpenFile, head_size: int) -> _Placed:
    meta = TensorMeta(
        name=tensor.name,
        storage=tensor.storage,
        shape=tensor.shape,
        nbytes=tensor.nbytes,
        file=file.path,
        lossy=FORMATS[tensor.storage].lossy if tensor.storage in FORMATS else True,
    )
    return _Placed(
        tensor=tensor,
        meta=meta,
        file_size=file.size,
        file_modified_ns=file.modified_ns,
        columns=1 if head_size and len(tensor.shape) == 1 else meta.columns,
        head_size=head_size,
    )


def _describe(parts: Sequence[_Part]) -> str:
    tensors = [tensor for part in parts for tensor in part.header.tensors]
    stored: Counter[str] = Counter()
    for tensor in tensors:
        stored[tensor.storage] += tensor.nbytes
    words = [f"GGUF v{parts[0].header.version}"]
    if stored:
        words.append(f"mostly {stored.most_common(1)[0][0]}" if len(stored) > 1 else next(iter(stored)))
    words.append(f"{len(tensors)} tensors")
    if len(parts) > 1:
        words.append(f"{len(parts)} parts")
    return ", ".join(words)
