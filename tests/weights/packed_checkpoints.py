"""Small quantised checkpoints with the weights they stand for, packed here field by field as the formats describe.

Nothing is shared with the readers under test: bits are placed one code at a time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from whorl.core.arrays import AnyArray, Floats
from whorl.weights.folder import open_folder
from whorl.weights.packed import unpack
from whorl.weights.source import TensorSource

# Dettmers et al., QLoRA, arXiv:2305.14314, appendix E.
NF4 = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
]
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A checkpoint's tensors and settings, and the matrix ``name`` that they stand for."""

    tensors: Mapping[str, AnyArray | torch.Tensor]
    settings: Mapping[str, Any]
    expected: Floats
    storage: str
    name: str = "model.layers.0.mlp.up_proj.weight"

    def write(self, folder: Path, **changes: Any) -> Path:
        """Write the checkpoint with a bias and a plain norm beside the packed matrix."""
        folder.mkdir(exist_ok=True, parents=True)
        plain = {"model.norm.weight": torch.ones(4), "model.layers.0.mlp.up_proj.bias": torch.ones(2)}
        tensors = plain | {name: as_torch(value) for name, value in self.tensors.items()}
        save_file(tensors, folder / "model.safetensors")
        config = {"model_type": "llama", "quantization_config": {**self.settings, **changes}}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def open(self, folder: Path, **changes: Any) -> TensorSource:
        return unpack(open_folder(self.write(folder, **changes)))


def as_torch(value: AnyArray | torch.Tensor) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value, order="C"))


def words(codes: AnyArray, bits: int, per_word: int | None = None) -> AnyArray:
    """Pack the last axis, lowest bits first: ``per_word`` whole codes to a word, or (None) codes across words."""
    flat = codes.reshape(-1, codes.shape[-1])
    packed = []
    for row in flat:
        number, place = 0, 0
        for position, code in enumerate(row):
            if per_word is not None:
                place = 32 * (position // per_word) + bits * (position % per_word)
            number |= int(code) << place
            place += bits
        count = -(-place // 32)
        packed.append([(number >> (32 * word)) & 0xFFFFFFFF for word in range(count)])
    return np.array(packed, dtype=np.uint32).view(np.int32).reshape(*codes.shape[:-1], -1)


def gptq(
    bits: int = 4,
    *,
    act_order: bool = False,
    layout: str = "gptq",
    outputs: int = 32,
    inputs: int = 96,
    group: int = 32,
) -> Packed:
    rng = np.random.default_rng(bits)
    groups = inputs // group
    codes = rng.integers(0, 1 << bits, (outputs, inputs))
    zeros = rng.integers(1, 1 << bits, (outputs, groups))
    scales = rng.uniform(0.01, 0.1, (outputs, groups)).astype(np.float16)
    index = rng.permutation(inputs) // group if act_order else np.arange(inputs) // group
    expected = scales.astype(np.float32)[:, index] * (codes - zeros[:, index]).astype(np.float32)
    stem = "model.layers.0.mlp.up_proj"
    tensors = {
        f"{stem}.qweight": words(codes, bits).T,
        f"{stem}.qzeros": words((zeros - (layout == "gptq")).T, bits),
        f"{stem}.scales": scales.T,
        f"{stem}.g_idx": index.astype(np.int32),
    }
    settings = {"quant_method": "gptq", "bits": bits, "group_size": group, "checkpoint_format": layout}
    return Packed(tensors=tensors, settings=settings, expected=expected, storage=f"GPTQ-INT{bits}")


def awq(outputs: int = 24, inputs: int = 64, group: int = 32) -> Packed:
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 16, (inputs, outputs))
    zeros = rng.integers(0, 16, (inputs // group, outputs))
    scales = rng.uniform(0.01, 0.1, zeros.shape).astype(np.float16)
    index = np.arange(inputs) // group
    expected = ((codes - zeros[index]) * scales.astype(np.float32)[index]).T.astype(np.float32)
    shuffled = [8 * (column // 8) + AWQ_ORDER[column % 8] for column in range(outputs)]
    stem = "model.layers.0.mlp.up_proj"
    tensors = {
        f"{stem}.qweight": words(codes[:, shuffled], 4),
        f"{stem}.qzeros": words(zeros[:, shuffled], 4),
        f"{stem}.scales": scales,
    }
    settings = {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}
    return Packed(tensors=tensors, settings=settings, expected=expected, storage="AWQ-INT4")


def compressed_integers(
    bits: int = 4, *, groups: int = 2, symmetric: bool = True, act_order: bool = False, inputs: int = 60
) -> Packed:
    rng = np.random.default_rng(bits + groups)
    outputs, half = 12, 1 << (bits - 1)
    codes = rng.integers(-half, half, (outputs, inputs))
    zeros = np.zeros((outputs, groups), int) if symmetric else rng.integers(-half, half, (outputs, groups))
    scales = rng.uniform(0.01, 0.1, (outputs, groups)).astype(np.float32)
    index = np.arange(inputs) // (inputs // groups)
    index = rng.permutation(index) if act_order else index
    stem = "model.layers.0.mlp.up_proj"
    tensors = {
        f"{stem}.weight_packed": words(codes + half, bits, 32 // bits),
        f"{stem}.weight_scale": scales,
        f"{stem}.weight_shape": np.array([outputs, inputs], dtype=np.int64),
    }
    if not symmetric:
        tensors[f"{stem}.weight_zero_point"] = words((zeros + half).T, bits, 32 // bits).T
    if act_order:
        tensors[f"{stem}.weight_g_idx"] = index.astype(np.int32)
    scheme = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group"}
    settings = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": {"weights": scheme, "targets": ["Linear"]}},
    }
    expected = (codes - zeros[:, index]).astype(np.float32) * scales[:, index]
    return Packed(tensors=tensors, settings=settings, expected=expected, storage=f"CT-INT{bits}")


def compressed_values(kind: str, scale_shape: tuple[int, ...]) -> Packed:
    """INT8 with a zero point, or FP8, with scales of the given shape over a (6, 40) matrix."""
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.01, 0.1, scale_shape).astype(np.float32)
    stem = "model.layers.0.mlp.up_proj"
    if kind == "int-quantized":
        values = torch.from_numpy(rng.integers(-128, 128, (6, 40)).astype(np.int8))
        zeros = rng.integers(-8, 8, scale_shape).astype(np.int8)
    else:
        values = torch.from_numpy(rng.standard_normal((6, 40))).to(torch.float8_e4m3fn)
        zeros = np.zeros(scale_shape, np.int8)
    columns = scale_shape[1] if len(scale_shape) == 2 else 1

    def over_matrix(grid: AnyArray) -> Floats:
        return np.broadcast_to(np.repeat(grid.reshape(-1, columns), 40 // columns, axis=1), (6, 40)).astype(np.float32)

    tensors = {f"{stem}.weight": values, f"{stem}.weight_scale": scales}
    if kind == "int-quantized":
        tensors[f"{stem}.weight_zero_point"] = zeros
    settings = {"quant_method": "compressed-tensors", "format": kind, "config_groups": {}}
    expected = (values.float().numpy() - over_matrix(zeros)) * over_matrix(scales)
    return Packed(tensors=tensors, settings=settings, expected=expected, storage=STORAGES[kind])


STORAGES = {"int-quantized": "I8-SCALED", "float-quantized": "F8_E4M3-SCALED"}


def fp8_blocks(*stacked: int, exponents: bool = False) -> Packed:
    """FP8 in blocks of 16 x 32 that do not divide the (40, 70) matrix, as DeepSeek-V3's do not always."""
    rng = np.random.default_rng(2)
    values = torch.from_numpy(rng.standard_normal((*stacked, 40, 70))).to(torch.float8_e4m3fn)
    shape = (*stacked, 3, 3)
    stored = rng.integers(120, 130, shape).astype(np.uint8) if exponents else rng.uniform(0.01, 0.1, shape)
    scales = 2.0 ** (stored.astype(np.float64) - 127) if exponents else stored
    name = "model.layers.0.mlp.experts.up_proj" if stacked else "model.layers.0.mlp.up_proj.weight"
    expected = values.float().numpy().copy()
    for position in np.ndindex(expected.shape):
        block = (*position[:-2], position[-2] // 16, position[-1] // 32)
        expected[position] *= np.float32(scales[block])
    return Packed(
        tensors={name: values, f"{name}_scale_inv": stored if exponents else stored.astype(np.float32)},
        settings={"quant_method": "fp8", "weight_block_size": [16, 32]},
        expected=expected,
        storage="F8_E4M3-SCALED",
        name=name,
    )


def mxfp4() -> Packed:
    rng = np.random.default_rng(4)
    blocks = rng.integers(0, 256, (2, 6, 3, 16), dtype=np.uint8)
    exponents = rng.integers(118, 130, (2, 6, 3), dtype=np.uint8)
    expected = np.empty((2, 6, 96), np.float32)
    for expert, row, group, byte in np.ndindex(blocks.shape):
        for half in (0, 1):
            code = int(blocks[expert, row, group, byte]) >> (4 * half) & 15
            exponent, fraction = code >> 1 & 3, code & 1
            value = (1 + fraction / 2) * 2.0 ** (exponent - 1) if exponent else fraction / 2
            value *= (-1) ** (code >> 3) * 2.0 ** (int(exponents[expert, row, group]) - 127)
            expected[expert, row, 32 * group + 2 * byte + half] = value
    stem = "model.layers.0.mlp.experts.gate_up_proj"
    tensors = {f"{stem}_blocks": blocks, f"{stem}_scales": exponents}
    return Packed(tensors=tensors, settings={"quant_method": "mxfp4"}, expected=expected, storage="MXFP4", name=stem)


def four_bits(*, nested: bool = False, columns: int = 48, kind: str = "nf4") -> Packed:
    """bitsandbytes codes; an odd number of columns puts rows across bytes."""
    rng = np.random.default_rng(6)
    rows, block, nested_block = 10, 64, 4
    count = rows * columns
    book = np.array(NF4, np.float32) if kind == "nf4" else rng.permutation(np.linspace(-1, 1, 16)).astype(np.float32)
    codes = rng.integers(0, 16, count + count % 2)
    blocks = -(-count // block)
    name = "model.layers.0.mlp.up_proj.weight"
    state: dict[str, Any] = {"quant_type": kind, "blocksize": block, "dtype": "bfloat16", "shape": [rows, columns]}
    magnitudes: AnyArray
    tensors: dict[str, AnyArray] = {
        name: (codes[::2] << 4 | codes[1::2]).astype(np.uint8)[:, None],
        f"{name}.quant_map": book,
    }
    if nested:
        stored = rng.integers(0, 256, blocks, dtype=np.uint8)
        nested_map = np.sort(rng.uniform(-1, 1, 256)).astype(np.float32)
        nested_absmax = rng.uniform(0.01, 0.1, -(-blocks // nested_block)).astype(np.float32)
        state |= {"nested_blocksize": nested_block, "nested_dtype": "float32", "nested_offset": 0.125}
        magnitudes = nested_map[stored] * np.repeat(nested_absmax, nested_block)[:blocks] + np.float32(0.125)
        tensors |= {f"{name}.nested_absmax": nested_absmax, f"{name}.nested_quant_map": nested_map}
    else:
        stored = magnitudes = rng.uniform(0.1, 1, blocks).astype(np.float32)
    tensors[f"{name}.absmax"] = stored
    tensors[f"{name}.quant_state.bitsandbytes__{kind}"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    expected = book[codes[:count]] * magnitudes[np.arange(count) // block]
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind}
    expected = expected.astype(np.float32).reshape(rows, columns)
    return Packed(tensors=tensors, settings=settings, expected=expected, storage=f"BNB-{kind.upper()}")


def eight_bits() -> Packed:
    rng = np.random.default_rng(8)
    codes = rng.integers(-127, 128, (5, 12)).astype(np.int8)
    largest = rng.uniform(0.1, 1, 5).astype(np.float32)
    stem = "model.layers.0.mlp.up_proj"
    tensors = {f"{stem}.weight": codes, f"{stem}.SCB": largest, f"{stem}.weight_format": np.array(0, np.uint8)}
    settings = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    expected = codes.astype(np.float32) * (largest[:, None] / np.float32(127))
    return Packed(tensors=tensors, settings=settings, expected=expected, storage="BNB-INT8")


CHECKPOINTS: Mapping[str, Packed] = {
    "gptq 2 bits": gptq(2),
    "gptq 3 bits": gptq(3),
    "gptq 4 bits": gptq(4),
    "gptq 8 bits": gptq(8),
    "gptq activation order": gptq(act_order=True),
    "gptq second version": gptq(layout="gptq_v2"),
    "awq": awq(),
    "compressed int4": compressed_integers(4),
    "compressed int8": compressed_integers(8),
    "compressed int4 asymmetric": compressed_integers(4, symmetric=False),
    "compressed int4 activation order": compressed_integers(4, act_order=True),
    "compressed int4 per row": compressed_integers(4, groups=1),
    "int8 per row": compressed_values("int-quantized", (6, 1)),
    "int8 per group": compressed_values("int-quantized", (6, 4)),
    "fp8 per tensor": compressed_values("float-quantized", (1,)),
    "fp8 per row": compressed_values("float-quantized", (6, 1)),
    "fp8 blocks": fp8_blocks(),
    "fp8 blocks, exponents": fp8_blocks(exponents=True),
    "fp8 blocks, stacked": fp8_blocks(3),
    "mxfp4": mxfp4(),
    "nf4": four_bits(),
    "nf4 nested": four_bits(nested=True),
    "nf4 odd rows": four_bits(columns=47, nested=True),
    "fp4": four_bits(kind="fp4"),
    "int8 bitsandbytes": eight_bits(),
}
