"""Roles are right if a forward pass made of nothing but roles gives transformers' logits."""

import numpy as np
import pytest
import torch
import transformers
from canonical_forward import logits, mlp, whole
from memory_source import MemorySource
from tiny_models import FAMILIES, TOKENS, assert_same_function, original, saved

from whorl.weights.roles import anatomy_of

NO_LOGITS = ("deepseek_v2", "deepseek_v3", "gpt_oss", "llama4")
WITH_LOGITS = [family for family in FAMILIES if family not in NO_LOGITS]


@pytest.mark.parametrize("family", WITH_LOGITS)
def test_canonical_roles_compute_the_same_function(family: str) -> None:
    model = original(family)
    assert_same_function(MemorySource(model.saved, model.config), model)


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_experts_stacked_in_one_tensor(family: str) -> None:
    model = original(family)
    stacked = {name: value.numpy() for name, value in model.model.state_dict().items()}
    assert any(value.ndim == 3 for value in stacked.values())
    assert_same_function(MemorySource(stacked, model.config), model)


@pytest.mark.parametrize("family", ["deepseek_v2", "deepseek_v3"])
def test_latent_attention_is_named_and_the_rest_is_mapped(family: str) -> None:
    model = original(family)
    anatomy = anatomy_of(MemorySource(model.saved, model.config))
    dense, sparse = anatomy.layers
    assert dense.attention is None
    assert "MLA" in (dense.attention_missing or "")
    assert (len(dense.mlps), len(sparse.mlps)) == (1, 5)
    assert sparse.router is not None
    assert sparse.router.shape == (4, 32)
    assert all("self_attn" in name or "correction_bias" in name for name in anatomy.leftover)
    x = np.random.default_rng(0).normal(size=(3, 32))
    modules = model.model.model.layers
    for module, block in ((modules[0].mlp, dense.mlps[0]), (modules[1].mlp.shared_experts, sparse.mlps[-1])):
        with torch.no_grad():
            expected = module(torch.tensor(x, dtype=torch.float32)).numpy()
        np.testing.assert_allclose(mlp(x, block, "silu"), expected, atol=1e-4)
    gate_up = modules[1].mlp.experts.gate_up_proj.detach().numpy()
    np.testing.assert_array_equal(whole(sparse.mlps[2].up), gate_up[2, 16:])


def test_alternating_gate_and_up_of_transposed_experts() -> None:
    model = original("gpt_oss")
    layer = anatomy_of(MemorySource(model.saved, model.config)).layers[1]
    experts = model.model.model.layers[1].mlp.experts
    x = np.random.default_rng(0).normal(size=(3, 32))
    into = experts.gate_up_proj[2].detach().numpy(), experts.gate_up_proj_bias[2].detach().numpy()
    block = layer.mlps[2]
    assert block.gate is not None
    assert block.gate_bias is not None
    assert block.up_bias is not None
    np.testing.assert_allclose(x @ whole(block.gate).T + block.gate_bias, (x @ into[0] + into[1])[:, ::2], atol=1e-6)
    np.testing.assert_allclose(x @ whole(block.up).T + block.up_bias, (x @ into[0] + into[1])[:, 1::2], atol=1e-6)
    np.testing.assert_array_equal(whole(block.down), experts.down_proj[2].detach().numpy().T)
    np.testing.assert_array_equal(block.down_bias, experts.down_proj_bias[2].detach().numpy())


def test_concatenated_gate_and_up_of_transposed_experts() -> None:
    model = original("llama4")
    dense, sparse = anatomy_of(MemorySource(model.saved, model.config)).layers
    assert (len(dense.mlps), len(sparse.mlps)) == (1, 5)
    experts = model.model.model.layers[1].feed_forward.experts
    assert sparse.mlps[3].gate is not None
    np.testing.assert_array_equal(whole(sparse.mlps[3].gate), experts.gate_up_proj[3, :, :48].detach().numpy().T)
    np.testing.assert_array_equal(whole(sparse.mlps[3].up), experts.gate_up_proj[3, :, 48:].detach().numpy().T)
    assert sparse.attention is not None
    stored = model.saved["model.layers.1.self_attn.q_proj.weight"].reshape(4, 4, 2, 32)
    np.testing.assert_array_equal(whole(sparse.attention.query), stored.swapaxes(1, 2).reshape(32, 32))


def test_text_model_inside_a_multimodal_checkpoint() -> None:
    torch.manual_seed(0)
    text = FAMILIES["gemma3"][2]
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision | {"image_size": 28, "patch_size": 14})
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    anatomy = anatomy_of(MemorySource(*saved(model)))
    with torch.no_grad():
        expected = model(torch.tensor(TOKENS)[None]).logits[0].numpy()
    assert anatomy.architecture == "gemma3"
    assert any("vision_tower" in name for name in anatomy.leftover)
    np.testing.assert_allclose(logits(anatomy, TOKENS, FAMILIES["gemma3"][3]), expected, atol=1e-4)
