"""A LoRA adapter on its base reads as the merged checkpoint, or is refused."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packed_checkpoints import four_bits
from safetensors.torch import save_file

from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.weights.opening import open_checkpoint
from whorl.weights.source import TensorSource

RANK = 4
PREFIX = "base_model.model."
QUERY = "model.layers.0.self_attn.q_proj"
EMBEDDING = "model.embed_tokens"
SETTINGS: dict[str, Any] = {"peft_type": "LORA", "r": RANK, "lora_alpha": 10, "base_model_name_or_path": "../base"}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


BASE = {
    f"{QUERY}.weight": random(24, 16),
    f"{QUERY}.bias": random(24),
    "model.layers.1.self_attn.q_proj.weight": random(24, 16, seed=1),
    f"{EMBEDDING}.weight": random(30, 16),
    "lm_head.weight": random(30, 16, seed=2),
}


def factors(module: str, outputs: int = 24, inputs: int = 16, rank: int = RANK) -> dict[str, torch.Tensor]:
    return {
        f"{PREFIX}{module}.lora_A.weight": random(rank, inputs, seed=3),
        f"{PREFIX}{module}.lora_B.weight": random(outputs, rank, seed=4),
    }


def write_adapter(folder: Path, tensors: dict[str, torch.Tensor], **settings: Any) -> Path:
    """Write the base beside the adapter, as its configuration says."""
    (folder / "base").mkdir(exist_ok=True)
    save_file(BASE, folder / "base" / "model.safetensors")
    (folder / "base" / "config.json").write_text('{"model_type": "llama"}')
    adapter = folder / "adapter"
    adapter.mkdir(exist_ok=True)
    save_file(tensors, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps(SETTINGS | settings))
    return adapter


def whole(source: TensorSource, name: str) -> torch.Tensor:
    meta = source.meta(name)
    return torch.from_numpy(source.read_rows(name, 0, meta.rows).reshape(meta.shape))


def merged(weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float) -> torch.Tensor:
    return weight + scale * (up @ down)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 10 / RANK),
        ({"use_rslora": True}, 10 / RANK**0.5),
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 3}}, 3 / RANK),
        ({"alpha_pattern": {"v_proj": 3}, "init_lora_weights": "gaussian"}, 10 / RANK),
        ({"r": 8, "rank_pattern": {"q_proj": RANK}}, 10 / RANK),
    ],
)
def test_rows_are_merged_with_the_configured_scale(tmp_path: Path, settings: dict[str, Any], scale: float) -> None:
    tensors = factors(QUERY)
    source = open_checkpoint(write_adapter(tmp_path, tensors, **settings))
    expected = merged(BASE[f"{QUERY}.weight"], *tensors.values(), scale)
    torch.testing.assert_close(whole(source, f"{QUERY}.weight"), expected, rtol=1e-6, atol=1e-5)
    for name in BASE.keys() - {f"{QUERY}.weight"}:
        assert torch.equal(whole(source, name), BASE[name])
    assert source.names() == tuple(sorted(BASE))
    assert source.config == {"model_type": "llama"}
    assert source.description == "LoRA rank 4 on safetensors"
    assert source.meta(f"{QUERY}.weight").shape == (24, 16)


def test_the_merged_model_computes_what_the_adapted_one_does(tmp_path: Path) -> None:
    tensors = factors(QUERY)
    weight = whole(open_checkpoint(write_adapter(tmp_path, tensors)), f"{QUERY}.weight")
    inputs, (down, up) = random(5, 16, seed=9), tensors.values()
    adapted = inputs @ BASE[f"{QUERY}.weight"].T + 10 / RANK * (inputs @ down.T) @ up.T
    torch.testing.assert_close(inputs @ weight.T, adapted, rtol=1e-5, atol=1e-4)


def test_values_and_digests_do_not_depend_on_how_rows_are_cut(tmp_path: Path) -> None:
    source = open_checkpoint(write_adapter(tmp_path, factors(QUERY)))
    expected = source.read_rows(f"{QUERY}.weight", 0, 24)
    for cuts in (range(25), [0, 7, 8, 24]):
        digest = hashlib.sha256()
        blocks = [source.read_rows(f"{QUERY}.weight", start, stop, digest.update) for start, stop in pairwise(cuts)]
        assert np.array_equal(np.concatenate(blocks), expected)
        assert digest.digest() == hashlib.sha256(expected.tobytes()).digest()


def test_transposed_storage_and_embeddings_are_merged(tmp_path: Path) -> None:
    swapped = factors(QUERY, outputs=16, inputs=24)
    source = open_checkpoint(write_adapter(tmp_path, swapped, fan_in_fan_out=True))
    down, up = swapped.values()
    expected = BASE[f"{QUERY}.weight"] + 10 / RANK * (up @ down).T
    torch.testing.assert_close(whole(source, f"{QUERY}.weight"), expected, rtol=1e-6, atol=1e-5)

    down, up = random(RANK, 30, seed=5), random(16, RANK, seed=6)
    names = (f"{PREFIX}{EMBEDDING}.lora_embedding_A", f"{PREFIX}{EMBEDDING}.lora_embedding_B")
    source = open_checkpoint(write_adapter(tmp_path, dict(zip(names, (down, up), strict=True))))
    expected = BASE[f"{EMBEDDING}.weight"] + 10 / RANK * (up @ down).T
    torch.testing.assert_close(whole(source, f"{EMBEDDING}.weight"), expected, rtol=1e-6, atol=1e-5)


def test_saved_modules_and_biases_replace_those_of_the_base(tmp_path: Path) -> None:
    head, bias, embedding = random(32, 16, seed=7), random(24, seed=8), random(32, 16, seed=9)
    tensors = {
        f"{PREFIX}lm_head.weight": head,
        f"{PREFIX}{QUERY}.bias": bias,
        f"{PREFIX}{EMBEDDING}.base_layer.weight": embedding,
    }
    source = open_checkpoint(write_adapter(tmp_path, tensors, modules_to_save=["lm_head"], bias="all"))
    assert torch.equal(whole(source, "lm_head.weight"), head)
    assert torch.equal(whole(source, f"{QUERY}.bias"), bias)
    assert torch.equal(whole(source, f"{EMBEDDING}.weight"), embedding)
    assert source.meta("lm_head.weight").name == "lm_head.weight"
    assert source.meta("lm_head.weight").file.name == "adapter_model.safetensors"
    assert source.description == "LoRA without low-rank updates on safetensors"


def test_a_base_saved_without_its_head_is_matched(tmp_path: Path) -> None:
    tensors = factors(f"transformer.{QUERY}")
    source = open_checkpoint(write_adapter(tmp_path, tensors))
    assert not torch.equal(whole(source, f"{QUERY}.weight"), BASE[f"{QUERY}.weight"])


def test_a_torch_adapter_and_an_absolute_base_are_read(tmp_path: Path) -> None:
    tensors = factors(QUERY)
    adapter = write_adapter(tmp_path, tensors, base_model_name_or_path=str(tmp_path / "base" / "model.safetensors"))
    (adapter / "adapter_model.safetensors").unlink()
    torch.save(tensors, adapter / "adapter_model.bin")
    expected = merged(BASE[f"{QUERY}.weight"], *tensors.values(), 10 / RANK)
    found = whole(open_checkpoint(adapter), f"{QUERY}.weight")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)


def test_a_quantised_base_is_unpacked_first(tmp_path: Path) -> None:
    packed = four_bits()
    tensors = factors("model.layers.0.mlp.up_proj", outputs=10, inputs=48)
    adapter = write_adapter(tmp_path, tensors, base_model_name_or_path="../packed")
    packed.write(tmp_path / "packed")
    expected = merged(torch.from_numpy(packed.expected), *tensors.values(), 10 / RANK)
    torch.testing.assert_close(whole(open_checkpoint(adapter), packed.name), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("named", ["northwind-labs/base-7b", "/nowhere/base", "a" * 5000, "a\0b"])
def test_a_base_that_is_not_there_is_asked_for_and_not_downloaded(tmp_path: Path, named: str) -> None:
    adapter = write_adapter(tmp_path, factors(QUERY), base_model_name_or_path=named)
    with pytest.raises(InputError, match="nothing is downloaded: put the base there"):
        open_checkpoint(adapter)


UNREAD = {
    "other method": ({"peft_type": "IA3"}, "adapter type 'IA3' is not read"),
    "no method": ({"peft_type": None}, "adapter type None"),
    "dora": ({"use_dora": True}, "LoRA with use_dora is not read"),
    "parameters": ({"target_parameters": ["experts.gate_up_proj"]}, "LoRA with target_parameters"),
    "pissa": ({"init_lora_weights": "pissa_niter_4"}, "initialised by 'pissa_niter_4' changes its base"),
    "expression": ({"alpha_pattern": {"(a+)+$": 2}}, "only ends of module names"),
}
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no base": ({"base_model_name_or_path": None}, "to name the base, found None"),
    "other rank": ({"r": 8}, "expected rank 8 as configured"),
    "rank 0": ({"r": 0}, "a rank and an alpha above 0"),
    "rank as text": ({"r": "4"}, "a rank and an alpha above 0"),
    "no alpha": ({"lora_alpha": None}, "a rank and an alpha above 0"),
    "huge alpha": ({"lora_alpha": 10**400}, "a rank and an alpha above 0"),
    "patterns": ({"rank_pattern": [1]}, "an object of patterns, found list"),
    "wrong way round": ({"fan_in_fan_out": True}, "factors for the base's shape"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_other_adapters_are_refused_by_name(tmp_path: Path, case: str) -> None:
    settings, reason = UNREAD[case]
    with pytest.raises(UnsupportedError, match=reason):
        open_checkpoint(write_adapter(tmp_path, factors(QUERY), **settings))


@pytest.mark.parametrize("case", BROKEN)
def test_broken_settings_are_refused(tmp_path: Path, case: str) -> None:
    settings, reason = BROKEN[case]
    with pytest.raises(CheckpointError, match=reason):
        open_checkpoint(write_adapter(tmp_path, factors(QUERY), **settings))


DOWN, UP = f"{PREFIX}{QUERY}.lora_A.weight", f"{PREFIX}{QUERY}.lora_B.weight"
LYING = {
    "no such module": (
        factors("model.layers.9.self_attn.q_proj"),
        "expected a tensor 'model.layers.9.self_attn.q_proj",
    ),
    "no prefix": ({f"{QUERY}.weight": random(24, 16)}, "is this the adapter's base"),
    "one factor": ({DOWN: random(RANK, 16)}, "factors A and B, found only A"),
    "factor twice": (factors(QUERY) | {f"{PREFIX}{QUERY}.lora_A.default.weight": random(RANK, 16)}, "found two"),
    "ranks differ": ({DOWN: random(RANK, 16), UP: random(24, 5)}, "expected factors \\(rank, in\\)"),
    "a convolution": ({DOWN: random(RANK, 16, 1, 1), UP: random(24, RANK)}, "expected factors \\(rank, in\\)"),
    "other width": (
        factors(QUERY, inputs=12),
        "factors for the base's shape \\(24, 16\\), found them for \\(24, 12\\)",
    ),
    "replaced by another width": ({f"{PREFIX}lm_head.weight": random(30, 8)}, "up to rows, found \\(30, 8\\)"),
    "magnitudes": (factors(QUERY) | {f"{PREFIX}{QUERY}.lora_magnitude_vector": random(24)}, "expected a tensor"),
}


@pytest.mark.parametrize("case", LYING)
def test_tensors_that_do_not_fit_the_base_are_refused(tmp_path: Path, case: str) -> None:
    tensors, reason = LYING[case]
    with pytest.raises(CheckpointError, match=reason) as refusal:
        open_checkpoint(write_adapter(tmp_path, tensors))
    assert refusal.value.tensor in tensors


def test_an_adapter_on_itself_or_in_a_ring_is_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path, factors(QUERY), base_model_name_or_path=".")
    with pytest.raises(UnsupportedError, match="is an adapter itself"):
        open_checkpoint(adapter)
    second = tmp_path / "second"
    second.mkdir()
    (second / "adapter_config.json").write_text(json.dumps(SETTINGS | {"base_model_name_or_path": "../adapter"}))
    (second / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    with pytest.raises(UnsupportedError, match="is an adapter itself"):
        open_checkpoint(second)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    adapter = write_adapter(tmp_path, factors(QUERY), base_model_name_or_path="../loop")
    with pytest.raises(InputError, match="nothing is downloaded"):
        open_checkpoint(adapter)


def test_an_adapter_without_tensors_is_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path, factors(QUERY))
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors or adapter_model\.bin"):
        open_checkpoint(adapter)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"peft_type": ' * 3000, b"\xff"])
def test_a_broken_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    adapter = write_adapter(tmp_path, factors(QUERY))
    (adapter / "adapter_config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"adapter_config\.json: expected"):
        open_checkpoint(adapter)
