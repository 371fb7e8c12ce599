"""The same models under llama.cpp's names and layouts give the same roles.

Names come from the `gguf` package's own table; the conversions are those of llama.cpp's convert_hf_to_gguf.py, except
the Q/K permutation, which the reader undoes.
"""

import re
from collections.abc import Mapping

import gguf
import numpy as np
import pytest
from canonical_forward import whole
from memory_source import MemorySource
from tiny_models import Original, assert_same_function, original

from whorl.core.arrays import AnyArray
from whorl.weights.roles import anatomy_of


def _stacked_experts(saved: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Stack per-expert tensors under the name the converter uses: ...experts.w1.weight of shape (experts, out, in)."""
    grouped: dict[str, list[AnyArray]] = {}
    for name in sorted(saved):
        grouped.setdefault(re.sub(r"experts\.\d+\.", "experts.", name), []).append(saved[name])
    return {name: np.stack(found) if ".experts." in name else found[0] for name, found in grouped.items()}


def _ungroup(value: AnyArray, kv_heads: int, head_size: int) -> AnyArray:
    grid = value.reshape(kv_heads, -1, head_size, *value.shape[1:])
    parts = (grid[:, :-2], grid[:, -2], grid[:, -1])
    return np.concatenate([part.reshape(-1, *value.shape[1:]) for part in parts])


def _gguf_tensors(model: Original, architecture: str) -> dict[str, AnyArray]:
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(arch, 2)
    renamed: dict[str, AnyArray] = {}
    kv_heads = model.config.get("num_kv_heads", 4) if model.config.get("new_decoder_architecture") else 4
    kv_heads = 1 if model.config.get("multi_query") and not model.config.get("new_decoder_architecture") else kv_heads
    for name, value in _stacked_experts(model.saved).items():
        if "query_key_value" in name:
            value = _ungroup(value, kv_heads, 8)
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            value = value + 1
        if architecture == "gpt2" and re.search(r"c_(attn|fc|proj)\.weight", name):
            value = value.T
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert new is not None, name
        renamed[new] = value
    return renamed


GGUF_ARCHITECTURES = {
    "llama": "llama",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen2_moe_sparse": "qwen2moe",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "phi3": "phi3",
    "gpt2": "gpt2",
    "gpt_neox": "gptneox",
    "olmo2": "olmo2",
    "falcon_one_key_head": "falcon",
    "falcon_grouped": "falcon",
    "starcoder2": "starcoder2",
}


@pytest.mark.parametrize("family", list(GGUF_ARCHITECTURES))
def test_gguf_names_compute_the_same_function(family: str) -> None:
    model = original(family)
    architecture = GGUF_ARCHITECTURES[family]
    source = MemorySource(_gguf_tensors(model, architecture), model.config | {"gguf_architecture": architecture})
    assert_same_function(source, model)
    assert anatomy_of(source).architecture == anatomy_of(MemorySource(model.saved, model.config)).architecture


def test_gguf_latent_attention() -> None:
    model = original("deepseek_v3")
    tensors = _gguf_tensors(model, "deepseek2")
    read = anatomy_of(MemorySource(tensors, model.config | {"gguf_architecture": "deepseek2"}))
    plain = anatomy_of(MemorySource(model.saved, model.config))
    assert read.layers[1].attention is None
    for one, other in zip(read.layers[1].mlps, plain.layers[1].mlps, strict=True):
        np.testing.assert_array_equal(whole(one.down), whole(other.down))


def test_gguf_experts_with_biases() -> None:
    """The converter splits gpt-oss's fused experts: even columns are the gate, odd ones the way up."""
    model = original("gpt_oss")
    plain = anatomy_of(MemorySource(model.saved, model.config))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT_OSS, 2)
    tensors: dict[str, AnyArray] = {}
    for name, value in model.saved.items():
        name = re.sub("(experts.*_proj)$", r"\1.weight", name).replace("proj_bias", "proj.bias")
        turned = value.swapaxes(1, 2) if value.ndim == 3 else value
        parts = {"gate_up": value}
        if "gate_up_proj" in name:
            parts = {"gate": turned[:, ::2], "up": turned[:, 1::2]}
        elif value.ndim == 3:
            parts = {"gate_up": turned}
        for part, found in parts.items():
            new = names.get_name(name.replace("gate_up_proj", f"{part}_proj"), try_suffixes=(".weight", ".bias"))
            tensors[new or name] = found
    read = anatomy_of(MemorySource(tensors, model.config | {"gguf_architecture": "gpt-oss"}))
    assert read.architecture == "gpt_oss"
    for one, other in zip(read.layers[1].mlps, plain.layers[1].mlps, strict=True):
        assert one.gate is not None
        assert other.gate is not None
        for mine, theirs in ((one.gate, other.gate), (one.up, other.up), (one.down, other.down)):
            np.testing.assert_array_equal(whole(mine), whole(theirs))
        for bias in ("gate_bias", "up_bias", "down_bias"):
            np.testing.assert_array_equal(getattr(one, bias), getattr(other, bias))
