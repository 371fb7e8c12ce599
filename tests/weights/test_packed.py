"""Packed quantisations give the weights they stand for, whatever rows are asked for, or are refused by name."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packed_checkpoints import CHECKPOINTS, Packed, as_torch, awq, compressed_integers, four_bits, gptq, words
from safetensors.torch import save_file
from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.weights.folder import open_folder
from whorl.weights.packed import unpack
from whorl.weights.packed_parts import unpack_words
from whorl.weights.source import TensorSource


def whole(source: TensorSource, name: str) -> Any:
    meta = source.meta(name)
    return source.read_rows(name, 0, meta.rows).reshape(meta.shape)


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_unpacked_weights_are_the_ones_that_were_packed(tmp_path: Path, case: str) -> None:
    packed = CHECKPOINTS[case]
    source = packed.open(tmp_path)
    meta = source.meta(packed.name)
    assert (meta.storage, meta.shape, meta.lossy) == (packed.storage, packed.expected.shape, True)
    assert source.names() == tuple(sorted([packed.name, "model.norm.weight", "model.layers.0.mlp.up_proj.bias"]))
    np.testing.assert_allclose(whole(source, packed.name), packed.expected, rtol=2e-7, atol=1e-9)
    assert np.array_equal(whole(source, "model.norm.weight"), np.ones(4))
    assert source.description == f"safetensors, {packed.storage} unpacked"


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_values_and_digests_do_not_depend_on_how_rows_are_cut(tmp_path: Path, case: str) -> None:
    packed = CHECKPOINTS[case]
    source = packed.open(tmp_path)
    rows = source.meta(packed.name).rows
    expected = whole(source, packed.name).reshape(rows, -1)
    wanted = hashlib.sha256(expected.tobytes()).hexdigest()
    for cuts in (range(rows + 1), sorted({0, 1, rows // 2 + 1, rows})):
        digest = hashlib.sha256()
        blocks = [source.read_rows(packed.name, start, stop, digest.update) for start, stop in pairwise(cuts)]
        assert all(block.flags.c_contiguous and block.dtype == np.float32 for block in blocks)
        assert np.array_equal(np.concatenate(blocks), expected)
        assert digest.hexdigest() == wanted


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_fields_come_out_of_words_in_order(bits: int) -> None:
    codes = np.random.default_rng(0).integers(0, 1 << bits, (3, 64))
    assert np.array_equal(unpack_words(words(codes, bits), bits), codes)


def test_three_bit_words_are_the_published_ones() -> None:
    # AutoGPTQ's packing of 32 codes in three words: 10 codes, then a code over the border, as its loops spell out.
    codes = [int(code) for code in np.random.default_rng(1).integers(0, 8, 32)]
    first = sum(codes[i] << 3 * i for i in range(10)) | codes[10] << 30
    second = codes[10] >> 2 & 1 | sum(codes[11 + i] << 3 * i + 1 for i in range(10)) | codes[21] << 31
    third = codes[21] >> 1 & 3 | sum(codes[22 + i] << 3 * i + 2 for i in range(10))
    packed = np.array([first, second, third], dtype=np.uint64).astype(np.uint32)
    assert unpack_words(packed, 3).tolist() == codes


def test_mxfp4_agrees_with_transformers(tmp_path: Path) -> None:
    packed = CHECKPOINTS["mxfp4"]
    blocks, scales = (as_torch(value) for value in packed.tensors.values())
    theirs = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).transpose(1, 2).numpy()
    assert np.array_equal(whole(packed.open(tmp_path), packed.name), theirs)


@pytest.mark.parametrize("case", ["fp8 blocks", "fp8 blocks, stacked"])
def test_fp8_blocks_agree_with_transformers(tmp_path: Path, case: str) -> None:
    packed = CHECKPOINTS[case]
    values, scales = (as_torch(value) for value in packed.tensors.values())
    theirs = _dequantize_fp8_weight(values, scales, [16, 32], torch.float32).numpy()
    assert np.array_equal(whole(packed.open(tmp_path), packed.name), theirs)


def test_a_stored_zero_of_all_ones_is_the_zero_point_0_of_the_first_version(tmp_path: Path) -> None:
    packed = gptq()
    stem = "model.layers.0.mlp.up_proj"
    tensors = {**packed.tensors, f"{stem}.qzeros": np.full((3, 4), -1, dtype=np.int32)}
    source = Packed(tensors=tensors, settings=packed.settings, expected=packed.expected, storage="").open(tmp_path)
    codes = unpack_words(tensors[f"{stem}.qweight"].T, 4)
    scales = np.repeat(tensors[f"{stem}.scales"].T.astype(np.float32), 32, axis=1)
    assert np.array_equal(whole(source, packed.name), codes * scales)


def test_a_checkpoint_without_packed_tensors_is_left_alone(tmp_path: Path) -> None:
    save_file({"model.embed_tokens.weight": torch.ones(2, 3)}, tmp_path / "model.safetensors")
    source = open_folder(tmp_path)
    assert unpack(source) is source


@pytest.mark.parametrize("method", ["hqq", "aqlm", "eetq", "quanto", "torchao", "bitnet", "quark", None, 4, ["gptq"]])
def test_other_quantisations_are_refused_by_name(tmp_path: Path, method: object) -> None:
    with pytest.raises(UnsupportedError, match="is not read, only awq, bitsandbytes, compressed-tensors"):
        gptq().open(tmp_path, quant_method=method)


UNREAD = {
    "marlin": (gptq(), {"checkpoint_format": "marlin"}, "GPTQ layout 'marlin'"),
    "awq gemv": (awq(), {"version": "gemv"}, "AWQ layout 'gemv'"),
    "awq 8 bits": (awq(), {"bits": 8}, "of 8 bits"),
    "sparse": (compressed_integers(), {"format": "marlin-24"}, "layout 'marlin-24'"),
    "nvfp4": (compressed_integers(), {"format": "nvfp4-pack-quantized"}, "layout 'nvfp4-pack-quantized'"),
    "sparsity": (compressed_integers(), {"sparsity_config": {"format": "sparse-24-bitmask"}}, "'sparse-24-bitmask'"),
    "storage": (four_bits(), {"bnb_4bit_quant_storage": "bfloat16"}, "stored as 'bfloat16'"),
    "bits": (gptq(), {"bits": 8}, "2, 3, 4 or 8 bits as in the configuration \\(8\\), found 4"),
    "not described": (gptq(), {"quant_method": "mxfp4"}, "belongs to a packed quantisation"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_unread_variants_are_refused_by_name(tmp_path: Path, case: str) -> None:
    packed, changes, reason = UNREAD[case]
    with pytest.raises(UnsupportedError, match=reason):
        packed.open(tmp_path, **changes)


def test_settings_that_are_no_object_are_refused(tmp_path: Path) -> None:
    folder = gptq().write(tmp_path)
    (folder / "config.json").write_text(json.dumps({"quantization_config": "gptq"}))
    with pytest.raises(CheckpointError, match="to be an object, found str"):
        unpack(open_folder(folder))


@pytest.mark.parametrize(
    "name",
    ["a.qweight", "a.weight_packed", "a.weight.absmax", "a.SCB", "a.W_q", "a.weight", "a_blocks", "a.weight._data"],
)
def test_integers_without_a_configuration_are_never_taken_for_weights(tmp_path: Path, name: str) -> None:
    save_file({name: torch.ones(4, 4, dtype=torch.uint8)}, tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedError, match="with its quantization_config beside it"):
        unpack(open_folder(tmp_path))


def test_buffers_of_integers_are_no_weights(tmp_path: Path) -> None:
    buffers = {"position_ids": torch.arange(8)[None], "h.0.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.bool)}
    save_file({"wte.weight": torch.ones(2, 2), **buffers}, tmp_path / "model.safetensors")
    assert "wte.weight" in unpack(open_folder(tmp_path)).names()


def test_a_weight_both_packed_and_plain_is_refused(tmp_path: Path) -> None:
    packed = gptq()
    tensors = {**packed.tensors, packed.name: np.ones((2, 2), np.float32)}
    twice = Packed(tensors=tensors, settings=packed.settings, expected=packed.expected, storage="")
    with pytest.raises(CheckpointError, match="found it twice"):
        twice.open(tmp_path)


def test_group_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    packed = gptq()
    index = np.full(96, 3, dtype=np.int32)
    tensors = {**packed.tensors, "model.layers.0.mlp.up_proj.g_idx": index}
    source = Packed(tensors=tensors, settings=packed.settings, expected=packed.expected, storage="").open(tmp_path)
    with pytest.raises(CheckpointError, match="group numbers from 0 to 2, found 3"):
        source.read_rows(packed.name, 0, 1)


def test_a_huge_block_size_costs_no_memory(tmp_path: Path) -> None:
    packed = four_bits()
    state_name = f"{packed.name}.quant_state.bitsandbytes__nf4"
    state = json.loads(bytes(packed.tensors[state_name])) | {"blocksize": 1 << 30}
    tensors = {**packed.tensors, state_name: np.frombuffer(json.dumps(state).encode(), np.uint8)}
    with pytest.raises(CheckpointError, match="a block size, found"):
        Packed(tensors=tensors, settings=packed.settings, expected=packed.expected, storage="").open(tmp_path)


def _damaged(value: Any, rng: np.random.Generator) -> torch.Tensor | None:
    """The tensor left out, cut, transposed, flattened, of another type or with other bytes."""
    tensor = as_torch(value)
    match rng.integers(7):
        case 0:
            return None
        case 1:
            return tensor.reshape(-1)[: int(rng.integers(1, tensor.numel() + 1))].contiguous()
        case 2:
            return tensor.transpose(0, -1).contiguous() if tensor.ndim else tensor.reshape(1)
        case 3:
            return tensor[: max(len(tensor) // 2, 1)].contiguous() if tensor.ndim else tensor
        case 4:
            kinds = [torch.float32, torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool]
            return tensor.float().to(kinds[int(rng.integers(len(kinds)))])
        case 5:
            return tensor.new_zeros(0, 4)
        case _:
            noise = torch.from_numpy(rng.integers(0, 256, tensor.nbytes, dtype=np.uint8))
            return noise.view(tensor.dtype).reshape(tensor.shape)


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_damaged_parts_are_read_or_refused_by_our_own_errors(tmp_path: Path, case: str) -> None:
    packed = CHECKPOINTS[case]
    rng = np.random.default_rng(11)
    refused = 0
    for part in packed.tensors:
        for _ in range(14):
            changed = _damaged(packed.tensors[part], rng)
            tensors = {name: value for name, value in packed.tensors.items() if name != part}
            if changed is not None:
                tensors[part] = changed
            spoiled = Packed(tensors=tensors, settings=packed.settings, expected=packed.expected, storage="")
            try:
                source = spoiled.open(tmp_path)
                for name in source.names():
                    whole(source, name)
            except InputError as error:
                refused += str(tmp_path) in str(error)
    assert refused > len(packed.tensors)
