"""Integers of 2 to 8 bits in 32-bit words, with a scale and a zero point per group of inputs.

In GPTQ, AWQ and compressed-tensors alike a weight is ``scale * (code - zero)``. They differ in the axis along which
words are packed, the order of the fields in a word, and what is added to a stored zero.

References
----------
Frantar et al., GPTQ, arXiv:2210.17323 (layout: AutoGPTQ); Lin et al., AWQ, arXiv:2306.00978 (layout: AutoAWQ "gemm");
compressed-tensors, "pack-quantized".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from whorl.core.arrays import AnyArray, Bytes, Floats, Ints
from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.packed_parts import (
    PackedTensor,
    expect,
    matrix_shape,
    part,
    present,
    unpack_words,
    whole_floats,
    whole_raw,
)
from whorl.weights.source import TensorSource
from whorl.weights.stored import RawTensorSource

_FLOAT_STORAGES: Final = ("F16", "BF16", "F32")
_IN_ORDER: Final[Ints] = np.empty(0, dtype=np.int64)
_AWQ_FIELD_OF_COLUMN: Final = (0, 4, 1, 5, 2, 6, 3, 7)  # inverse of AutoAWQ's order (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class GptqTensor:
    """Codes (inputs * bits / 32, outputs): words run along the inputs, so a block of rows is a strip of columns.

    ``group_index`` names the tensor that gives each input's group (activation order), or is None where groups are runs
    of ``group_size``. ``zero_shift`` is 1 in the first version of the format, which stores zeros less one.
    """

    source: RawTensorSource
    parts: tuple[str, ...]
    shape: tuple[int, int]
    bits: int
    zero_shift: int
    group_index: str | None
    group_size: int

    @property
    def storage(self) -> str:
        return f"GPTQ-INT{self.bits}"

    def load(self) -> tuple[AnyArray, ...]:
        codes = whole_raw(self.source, self.parts[0])
        zeros = unpack_words(whole_raw(self.source, self.parts[1]), self.bits)
        zeros = (zeros + np.uint8(self.zero_shift)) & np.uint8((1 << self.bits) - 1)
        scales = whole_floats(self.source, self.parts[2])
        return codes, zeros, scales, _group_of_input(self, len(scales))

    def rows(self, loaded: tuple[AnyArray, ...], start: int, stop: int) -> Floats:
        codes, zeros, scales, groups = loaded
        fields = unpack_words(codes[:, start:stop].T, self.bits)
        return _dequantise(fields, zeros[:, start:stop].T, scales[:, start:stop].T, groups, self.group_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwqTensor:
    """Codes (inputs, outputs / 8) of 4 bits: words run along the outputs, their fields shuffled."""

    source: RawTensorSource
    parts: tuple[str, ...]
    shape: tuple[int, int]
    group_size: int

    @property
    def storage(self) -> str:
        return "AWQ-INT4"

    def load(self) -> tuple[AnyArray, ...]:
        codes = whole_raw(self.source, self.parts[0])
        zeros = _awq_columns(whole_raw(self.source, self.parts[1]))
        scales = whole_floats(self.source, self.parts[2])
        return codes, zeros, scales, _IN_ORDER

    def rows(self, loaded: tuple[AnyArray, ...], start: int, stop: int) -> Floats:
        codes, zeros, scales, groups = loaded
        first = start // 8
        fields = _awq_columns(codes[:, first : -(-stop // 8)])[:, start - 8 * first : stop - 8 * first]
        return _dequantise(fields.T, zeros[:, start:stop].T, scales[:, start:stop].T, groups, self.group_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedIntegers:
    """Codes (outputs, words) with whole fields in each word; two's complement is stored with half the range added.

    ``zero_point`` is packed along the outputs; None where the grid is symmetric.
    """

    source: RawTensorSource
    parts: tuple[str, ...]
    shape: tuple[int, int]
    bits: int
    zero_point: str | None
    group_index: str | None
    group_size: int

    @property
    def storage(self) -> str:
        return f"CT-INT{self.bits}"

    def load(self) -> tuple[AnyArray, ...]:
        scales = whole_floats(self.source, self.parts[1])
        scales = np.broadcast_to(scales.reshape(-1, scales.shape[1]), (self.shape[0], scales.shape[1]))
        if self.zero_point is None:
            zeros = np.broadcast_to(np.uint8(1 << (self.bits - 1)), scales.shape)
        else:
            zeros = unpack_words(whole_raw(self.source, self.zero_point).T, self.bits).T[: self.shape[0]]
        return zeros, scales, _group_of_input(self, scales.shape[1])

    def rows(self, loaded: tuple[AnyArray, ...], start: int, stop: int) -> Floats:
        zeros, scales, groups = loaded
        fields = unpack_words(self.source.read_raw(self.parts[0], start, stop), self.bits)[:, : self.shape[1]]
        return _dequantise(fields, zeros[start:stop], scales[start:stop], groups, self.group_size)


def find_gptq(source: RawTensorSource, settings: Mapping[str, Any]) -> Iterator[tuple[str, PackedTensor]]:
    """The GPTQ matrices of a checkpoint, under their ordinary names."""
    layout = settings.get("checkpoint_format", "gptq")
    if layout not in ("gptq", "gptq_v2"):
        raise UnsupportedError(f"{source.path}: GPTQ layout {layout!r} is not read, only 'gptq' and 'gptq_v2'")
    for name in source.names():
        stem, dot, suffix = name.rpartition(".")
        if suffix == "qweight":
            yield f"{stem}{dot}weight", _gptq_tensor(source, settings, stem, int(layout == "gptq"))


def _gptq_tensor(source: RawTensorSource, settings: Mapping[str, Any], stem: str, zero_shift: int) -> GptqTensor:
    codes = f"{stem}.qweight"
    zeros, scales = part(source, f"{stem}.qzeros", codes), part(source, f"{stem}.scales", codes)
    word_rows, outputs = matrix_shape(source, codes, ("I32",))
    groups, zero_words = matrix_shape(source, zeros, ("I32",))
    expect(source, scales, "shape", expected=(groups, outputs), found=matrix_shape(source, scales, _FLOAT_STORAGES))
    bits, rest = divmod(zero_words * 32, outputs)
    declared = bits if settings.get("dynamic") else settings.get("bits")  # "dynamic" gives some modules their own width
    if rest or bits not in (2, 3, 4, 8) or bits != declared:
        raise UnsupportedError(
            f"{source.meta(codes).file}: tensor {codes!r}: expected GPTQ of 2, 3, 4 or 8 bits as in the configuration "
            f"({declared!r}), found {zero_words * 32 / outputs:g}"
        )
    inputs, rest = divmod(word_rows * 32, bits)
    expect(source, codes, "words left over", expected=0, found=rest)
    index = f"{stem}.g_idx" if present(source, f"{stem}.g_idx") else None
    return GptqTensor(
        source=source,
        parts=(codes, zeros, scales, *([index] if index else [])),
        shape=(outputs, inputs),
        bits=bits,
        zero_shift=zero_shift,
        group_index=index,
        group_size=_group_size(source, codes, settings, inputs, groups),
    )


def find_awq(source: RawTensorSource, settings: Mapping[str, Any]) -> Iterator[tuple[str, PackedTensor]]:
    """The AWQ matrices of a checkpoint, under their ordinary names."""
    layout, bits = str(settings.get("version", "gemm")).lower(), settings.get("bits", settings.get("w_bit"))
    if layout != "gemm" or bits != 4:
        raise UnsupportedError(f"{source.path}: AWQ layout {layout!r} of {bits!r} bits is not read, only 'gemm' of 4")
    for name in source.names():
        stem, dot, suffix = name.rpartition(".")
        if suffix == "qweight":
            zeros, scales = part(source, f"{stem}.qzeros", name), part(source, f"{stem}.scales", name)
            inputs, words = matrix_shape(source, name, ("I32",))
            groups, zero_words = matrix_shape(source, zeros, ("I32",))
            expect(source, zeros, "columns", expected=words, found=zero_words)
            found = matrix_shape(source, scales, _FLOAT_STORAGES)
            expect(source, scales, "shape", expected=(groups, 8 * words), found=found)
            yield (
                f"{stem}{dot}weight",
                AwqTensor(
                    source=source,
                    parts=(name, zeros, scales),
                    shape=(8 * words, inputs),
                    group_size=_group_size(source, name, settings, inputs, groups),
                ),
            )


def compressed_integers(source: RawTensorSource, stem: str, declared_bits: frozenset[int]) -> CompressedIntegers:
    """One matrix of the "pack-quantized" layout of compressed-tensors; ``declared_bits`` are the configured widths."""
    codes = f"{stem}.weight_packed"
    scales = part(source, f"{stem}.weight_scale", codes)
    shape_name = part(source, f"{stem}.weight_shape", codes)
    outputs, words = matrix_shape(source, codes, ("I32",))
    expect(source, shape_name, "values", expected=2, found=prod(source.meta(shape_name).shape))
    rows, inputs = (int(size) for size in whole_raw(source, shape_name).reshape(-1))
    expect(source, codes, "rows", expected=rows, found=outputs)
    widths = [bits for bits in (4, 8) if bits in declared_bits and words == -(-inputs * bits // 32)]
    if len(widths) != 1 or inputs < 1:
        raise CheckpointError(
            f"expected {words} words to hold {inputs} integers of {sorted(declared_bits)} bits (4 and 8 are read)",
            file=source.meta(codes).file,
            tensor=codes,
        )
    scale_rows, groups = source.meta(scales).rows, source.meta(scales).columns
    if scale_rows not in (1, outputs) or groups < 1 or inputs % groups:
        raise CheckpointError(
            f"expected one scale per tensor, row or equal group, found shape {source.meta(scales).shape}",
            file=source.meta(scales).file,
            tensor=scales,
        )
    zero_point = f"{stem}.weight_zero_point" if present(source, f"{stem}.weight_zero_point") else None
    if zero_point is not None:
        expected = (-(-outputs * widths[0] // 32), groups)
        expect(source, zero_point, "shape", expected=expected, found=matrix_shape(source, zero_point, ("I32",)))
    index = f"{stem}.weight_g_idx" if present(source, f"{stem}.weight_g_idx") else None
    return CompressedIntegers(
        source=source,
        parts=tuple(name for name in (codes, scales, shape_name, zero_point, index) if name is not None),
        shape=(outputs, inputs),
        bits=widths[0],
        zero_point=zero_point,
        group_index=index,
        group_size=inputs // groups,
    )


def _group_size(source: TensorSource, name: str, settings: Mapping[str, Any], inputs: int, groups: int) -> int:
    """Inputs per group; the last group may be smaller."""
    size = settings.get("group_size", settings.get("q_group_size"))
    if type(size) is not int or size < 1:  # -1: one group
        size = inputs
    expect(source, name, f"groups of {size} over {inputs} inputs:", expected=-(-inputs // size), found=groups)
    return size


def _group_of_input(tensor: GptqTensor | CompressedIntegers, groups: int) -> Ints:
    """The group of each input, or `_IN_ORDER` where groups are runs of equal length, which is faster to apply."""
    source, inputs = tensor.source, tensor.shape[1]
    if tensor.group_index is None:
        return _IN_ORDER
    index = whole_raw(source, tensor.group_index).reshape(-1).astype(np.int64)
    expect(source, tensor.group_index, "length", expected=inputs, found=len(index))
    if index.min() < 0 or index.max() >= groups:
        raise CheckpointError(
            f"expected group numbers from 0 to {groups - 1}, found {index.min()} to {index.max()}",
            file=source.meta(tensor.group_index).file,
            tensor=tensor.group_index,
        )
    return _IN_ORDER if np.array_equal(index, np.arange(inputs) // tensor.group_size) else index


def _awq_columns(words: AnyArray) -> Bytes:
    columns = np.empty((*words.shape, 8), dtype=np.uint8)
    for column, field in enumerate(_AWQ_FIELD_OF_COLUMN):
        columns[..., column] = (words >> (4 * field)) & 15
    return columns.reshape(len(words), -1)


def _dequantise(codes: Bytes, zeros: Bytes, scales: Floats, groups: Ints, size: int) -> Floats:
    """``scale * (code - zero)``: codes (rows, inputs), zeros and scales (rows, groups), groups as `_group_of_input`."""
    values = codes.astype(np.float32, order="C")
    values -= _over_inputs(zeros, groups, size, values.shape[1])
    values *= _over_inputs(scales, groups, size, values.shape[1])
    return values


def _over_inputs(grid: AnyArray, groups: Ints, size: int, inputs: int) -> Floats:
    if groups.size:
        return np.take(grid.astype(np.float32), groups, axis=1)
    return np.repeat(grid.astype(np.float32), size, axis=1)[:, :inputs]
