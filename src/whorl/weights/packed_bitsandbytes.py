"""bitsandbytes: NF4 and FP4 by code book, with scales that may be quantised in turn, and INT8 by row.

References
----------
Dettmers et al., QLoRA, arXiv:2305.14314 (NF4, double quantisation); LLM.int8(), arXiv:2208.07339.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, TypeGuard

import numpy as np

from whorl.core.arrays import AnyArray, Floats
from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.files import parse_json_object
from whorl.weights.packed_parts import (
    PackedTensor,
    expect,
    matrix_shape,
    part,
    present,
    take_pairs,
    whole_floats,
    whole_raw,
)
from whorl.weights.packed_scaled import scaled_tensor
from whorl.weights.stored import RawTensorSource

MAX_STATE_BYTES: Final = 1 << 16
MAX_BLOCK: Final = 1 << 16  # the library's own blocks have 32 to 4096 values
_STATE: Final = ".quant_state.bitsandbytes__"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBookTensor:
    """Codes of 4 bits over the flattened matrix, high half of a byte first; one largest magnitude per block of values.

    ``nested`` is (block size, offset) where the magnitudes are stored as 8-bit codes themselves, else None.
    """

    source: RawTensorSource
    storage: str
    parts: tuple[str, ...]
    shape: tuple[int, int]
    block: int
    nested: tuple[int, float] | None

    def load(self) -> tuple[AnyArray, ...]:
        book = whole_floats(self.source, self.parts[2]).reshape(-1)
        pairs = np.stack([np.repeat(book, 16), np.tile(book, 16)], axis=1)
        if self.nested is None:
            return pairs, whole_floats(self.source, self.parts[1]).reshape(-1)
        block, offset = self.nested
        codes = whole_raw(self.source, self.parts[1]).reshape(-1)
        scales = whole_floats(self.source, self.parts[4]).reshape(-1)
        magnitudes = whole_floats(self.source, self.parts[5]).reshape(-1)[codes]
        magnitudes *= np.repeat(scales, block)[: len(codes)]
        magnitudes += np.float32(offset)
        return pairs, magnitudes

    def rows(self, loaded: tuple[AnyArray, ...], start: int, stop: int) -> Floats:
        pairs, magnitudes = loaded
        first, last = start * self.shape[1], stop * self.shape[1]
        codes = self.source.read_raw(self.parts[0], first // 2, -(-last // 2)).reshape(-1)
        values = take_pairs(pairs, codes)[first % 2 : first % 2 + last - first]
        blocks = magnitudes[first // self.block : -(-last // self.block)]
        values *= np.repeat(blocks, self.block)[first % self.block :][: last - first]
        return values.reshape(stop - start, -1)


def find_bitsandbytes(source: RawTensorSource, settings: Mapping[str, Any]) -> Iterator[tuple[str, PackedTensor]]:
    """The 4-bit and 8-bit matrices of a checkpoint."""
    storage = settings.get("bnb_4bit_quant_storage", "uint8")
    if storage != "uint8":
        raise UnsupportedError(f"{source.path}: bitsandbytes codes stored as {storage!r} are not read, only as 'uint8'")
    for name in source.names():
        weight, state, kind = name.partition(_STATE)
        if state:
            yield weight, _code_book_tensor(source, weight, kind, name)
        elif name.endswith(".SCB"):
            yield _row_scaled(source, name)


def _code_book_tensor(source: RawTensorSource, weight: str, kind: str, state_name: str) -> CodeBookTensor:
    state = _read_state(source, state_name)
    if kind not in ("nf4", "fp4") or state.get("quant_type") != kind:
        found = state.get("quant_type")
        raise UnsupportedError(f"{source.meta(state_name).file}: tensor {weight!r}: 4-bit type {found!r} is not read")
    shape, block = state.get("shape"), state.get("blocksize")
    if not _is_block_size(block) or not isinstance(shape, list) or len(shape) != 2 or not all(map(_is_size, shape)):
        problem = f"expected a shape of two sizes and a block size, found {shape!r} and {block!r}"
        raise CheckpointError(problem, file=source.meta(state_name).file, tensor=state_name)
    part(source, weight, state_name)
    count = prod(shape)
    stored = matrix_shape(source, weight, ("U8",))
    expect(source, weight, f"the bytes of {count} values:", expected=(-(-count // 2), 1), found=stored)
    names = [part(source, f"{weight}.{suffix}", weight) for suffix in ("absmax", "quant_map")]
    blocks = -(-count // block)
    lengths = [blocks, 16]
    nested = None
    if present(source, f"{weight}.nested_absmax") or "nested_blocksize" in state:
        nested = _nested_settings(source, state_name, state)
        expect(source, names[0], "storage", expected="U8", found=source.meta(names[0]).storage)
        names += [part(source, f"{weight}.{suffix}", weight) for suffix in ("nested_absmax", "nested_quant_map")]
        lengths += [-(-blocks // nested[0]), 256]
    for name, length in zip(names, lengths, strict=True):
        expect(source, name, "values", expected=length, found=prod(source.meta(name).shape))
    return CodeBookTensor(
        source=source,
        storage=f"BNB-{kind.upper()}",
        parts=(weight, *names[:2], state_name, *names[2:]),
        shape=(shape[0], shape[1]),
        block=block,
        nested=nested,
    )


def _read_state(source: RawTensorSource, name: str) -> dict[str, Any]:
    meta = source.meta(name)
    if meta.storage != "U8" or meta.nbytes > MAX_STATE_BYTES:
        problem = f"expected at most {MAX_STATE_BYTES} bytes of JSON, found {meta.nbytes} of {meta.storage}"
        raise CheckpointError(problem, file=meta.file, tensor=name)
    return parse_json_object(whole_raw(source, name).tobytes(), meta.file)


def _nested_settings(source: RawTensorSource, name: str, state: Mapping[str, Any]) -> tuple[int, float]:
    block, offset = state.get("nested_blocksize"), state.get("nested_offset")
    if not _is_block_size(block) or not isinstance(offset, float) or not math.isfinite(offset):
        problem = f"expected a nested block size and a finite offset, found {block!r} and {offset!r}"
        raise CheckpointError(problem, file=source.meta(name).file, tensor=name)
    return block, offset


def _row_scaled(source: RawTensorSource, scale: str) -> tuple[str, PackedTensor]:
    stem = scale.removesuffix(".SCB")
    weight, layout = part(source, f"{stem}.weight", scale), f"{stem}.weight_format"
    outputs, _ = matrix_shape(source, weight, ("I8",))
    expect(source, scale, "values", expected=outputs, found=prod(source.meta(scale).shape))
    tensor = scaled_tensor(source, weight, scale, None, factor=1 / 127)
    if present(source, layout):
        if whole_raw(source, layout).any():
            raise UnsupportedError(
                f"{source.meta(layout).file}: tensor {weight!r}: only the row layout of INT8 is read"
            )
        tensor = replace(tensor, parts=(*tensor.parts, layout))
    return weight, replace(tensor, storage="BNB-INT8")


def _is_size(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 1 << 31


def _is_block_size(value: Any) -> TypeGuard[int]:
    return _is_size(value) and value <= MAX_BLOCK
