"""Eight-bit and four-bit values with separate scales: FP8 and INT8 by tensor, row, group or block, and MXFP4.

References
----------
DeepSeek-AI, DeepSeek-V3 technical report, arXiv:2412.19437 (FP8 in blocks of 128 x 128);
OCP Microscaling Formats specification 1.0 (MXFP4: E2M1 values, one E8M0 scale for 32 of them);
Dettmers et al., LLM.int8(), arXiv:2208.07339 (one scale per row, the row's largest magnitude over 127).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whorl.core.arrays import AnyArray, Floats
from whorl.core.errors import CheckpointError
from whorl.weights.packed_parts import PackedTensor, expect, part, present, take_pairs, whole_floats, whole_raw
from whorl.weights.source import TensorSource
from whorl.weights.stored import RawTensorSource

_E2M1: Final = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)
# The two values of a byte, low half first.
_E2M1_PAIRS: Final = np.stack([np.tile(_E2M1, 16), np.repeat(_E2M1, 16)], axis=1)
_RUN_TIME: Final = ("input_scale", "input_zero_point", "input_global_scale", "activation_scale", "weight_g_idx")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledTensor:
    """Values that only miss a scale. Each scale covers ``block`` = (rows, columns) of one (outputs, inputs) matrix.

    Parameters
    ----------
    shape : (..., outputs, inputs); leading dimensions are stacked matrices with blocks of their own
    factor : what stored scales are multiplied by
    """

    source: RawTensorSource
    storage: str
    parts: tuple[str, ...]
    shape: tuple[int, ...]
    block: tuple[int, int]
    scale: str
    zero_point: str | None = None
    factor: float = 1.0

    def load(self) -> tuple[AnyArray, ...]:
        inputs = self.shape[-1]
        across = -(-inputs // self.block[1])
        scales = (_scale_values(self.source, self.scale) * np.float32(self.factor)).reshape(-1, across)
        if self.zero_point is None:
            return (scales,)
        return scales, whole_floats(self.source, self.zero_point).reshape(-1, across)

    def rows(self, loaded: tuple[AnyArray, ...], start: int, stop: int) -> Floats:
        outputs, inputs = self.shape[-2:]
        matrix, row = np.divmod(np.arange(start, stop), outputs)
        at = matrix * -(-outputs // self.block[0]) + row // self.block[0]
        values = self.source.read_rows(self.parts[0], start, stop)
        scales, *zeros = (np.repeat(array[at], self.block[1], axis=1)[:, :inputs] for array in loaded)
        for zero in zeros:
            values -= zero
        values *= scales
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Mxfp4Tensor:
    """Codes (..., groups, 16) of two values per byte, low half first, and an exponent per group of 32."""

    source: RawTensorSource
    parts: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def storage(self) -> str:
        return "MXFP4"

    def load(self) -> tuple[AnyArray, ...]:
        return (whole_raw(self.source, self.parts[1]),)

    def rows(self, loaded: tuple[AnyArray, ...], start: int, stop: int) -> Floats:
        groups = self.shape[-1] // 32
        codes = self.source.read_raw(self.parts[0], start * groups, stop * groups)
        exponents = loaded[0][start:stop].astype(np.int32) - 127
        values: Floats = take_pairs(_E2M1_PAIRS, codes).reshape(stop - start, groups, 32)
        values *= np.ldexp(np.float32(1), exponents)[:, :, None]
        return values.reshape(stop - start, -1)


def find_fp8(source: RawTensorSource, settings: Mapping[str, Any]) -> Iterator[tuple[str, PackedTensor]]:
    """The FP8 matrices of a checkpoint with their scales."""
    for name in source.names():
        if source.meta(name).storage.startswith("F8_") and len(source.meta(name).shape) > 1:
            scale = f"{name}_scale_inv" if present(source, f"{name}_scale_inv") else f"{name}_scale"
            yield name, scaled_tensor(source, name, scale, settings.get("weight_block_size"))


def find_mxfp4(source: RawTensorSource, _settings: Mapping[str, Any]) -> Iterator[tuple[str, PackedTensor]]:
    """The MXFP4 matrices of a checkpoint, stacked as (experts, outputs, inputs)."""
    for name in source.names():
        meta = source.meta(name)
        if name.endswith("_blocks") and meta.storage == "U8":
            stem = name.removesuffix("_blocks")
            scales = part(source, f"{stem}_scales", name)
            expect(source, name, "values per group", expected=16, found=meta.columns if len(meta.shape) > 2 else None)
            found = (source.meta(scales).storage, source.meta(scales).shape)
            expect(source, scales, "storage and shape", expected=("U8", meta.shape[:-1]), found=found)
            yield stem, Mxfp4Tensor(source=source, parts=(name, scales), shape=(*meta.shape[:-2], meta.shape[-2] * 32))


def scaled_tensor(source: RawTensorSource, name: str, scale: str, block: Any, factor: float = 1.0) -> ScaledTensor:
    """Describe the values ``name`` with their scales; ``block`` is the configured block size, if any."""
    part(source, scale, name)
    meta = source.meta(name)
    if len(meta.shape) not in (2, 3) or 0 in meta.shape:
        problem = f"expected a matrix or a stack of matrices, found shape {meta.shape}"
        raise CheckpointError(problem, file=meta.file, tensor=name)
    zero_point = f"{name}_zero_point" if present(source, f"{name}_zero_point") else None
    if zero_point is not None:
        expect(source, zero_point, "shape", expected=source.meta(scale).shape, found=source.meta(zero_point).shape)
    stem = name.rpartition(".")[0]
    unused = [f"{stem}.{suffix}" for suffix in _RUN_TIME if present(source, f"{stem}.{suffix}")]
    return ScaledTensor(
        source=source,
        storage=f"{meta.storage}-SCALED",
        parts=(name, scale, *([zero_point] if zero_point else []), *unused),
        shape=meta.shape,
        block=_block_size(source, scale, meta.shape, block),
        scale=scale,
        zero_point=zero_point,
        factor=factor,
    )


def _block_size(source: TensorSource, scale: str, shape: tuple[int, ...], block: Any) -> tuple[int, int]:
    """Rows and columns that one scale covers, from the configuration or, without one, from the scales' shape."""
    outputs, inputs = shape[-2:]
    stacked = shape[:-2]
    found = source.meta(scale).shape
    if found in (stacked, (*stacked, 1), (*stacked, 1, 1)):
        return outputs, inputs
    if found in ((*stacked, outputs), (*stacked, outputs, 1)):
        return 1, inputs
    if isinstance(block, list | tuple) and len(block) == 2 and all(type(size) is int and size > 0 for size in block):
        expected = (*stacked, -(-outputs // block[0]), -(-inputs // block[1]))
        if found == expected:
            return min(block[0], outputs), min(block[1], inputs)
    elif found[:-1] == (*stacked, outputs) and found[-1] and inputs % found[-1] == 0:
        return 1, inputs // found[-1]
    raise CheckpointError(
        f"expected scales for a {shape} tensor by tensor, row, equal group or blocks of {block}, found shape {found}",
        file=source.meta(scale).file,
        tensor=scale,
    )


def _scale_values(source: RawTensorSource, name: str) -> Floats:
    if source.meta(name).storage != "U8":
        return whole_floats(source, name)
    exponents = whole_raw(source, name).astype(np.int32) - 127  # E8M0 under an integer's name
    return np.ldexp(np.float32(1), exponents)
