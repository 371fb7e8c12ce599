"""Tiny random models of every family, as transformers makes and saves them.

Every parameter is redrawn, because fresh norms have gain 1 and biases 0, which hides mistakes.
"""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers
from canonical_forward import Facts, logits
from memory_source import MemorySource
from safetensors.numpy import load_file

from whorl.core.arrays import AnyArray, Doubles
from whorl.weights.roles import anatomy_of

TOKENS = np.array([5, 1, 33, 7, 60, 7, 12, 44, 3])
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
FALCON = {key: SIZES[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
FALCON |= {"bos_token_id": 1, "eos_token_id": 2}
GPT2 = {"vocab_size": 64, "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 32}
GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
GEMMA_SCALE = float(np.float32(32**0.5))
LATENT = {
    **SIZES,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}

# family: (class prefix, configuration class, configuration, facts)
FAMILIES: dict[str, tuple[str, str, dict[str, Any], Facts]] = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", SIZES | {"rope_theta": 500.0}, Facts(eps=1e-6, thetas=(500.0,))),
    "llama_biased": (
        "LlamaForCausalLM",
        "LlamaConfig",
        SIZES | {"attention_bias": True, "mlp_bias": True, "head_dim": 12},
        Facts(eps=1e-6),
    ),
    "mistral": ("MistralForCausalLM", "MistralConfig", SIZES | {"head_dim": 16}, Facts(eps=1e-6)),
    "mixtral": (
        "MixtralForCausalLM",
        "MixtralConfig",
        SIZES | {"num_local_experts": 4},
        Facts(eps=1e-5, experts_per_token=2, thetas=(1e6,)),
    ),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", SIZES | {"tie_word_embeddings": True}, Facts(eps=1e-6)),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        SIZES | EXPERTS | {"shared_expert_intermediate_size": 24, "mlp_only_layers": [0], "norm_topk_prob": False},
        Facts(eps=1e-6, experts_per_token=2, normalise_routing=False),
    ),
    "qwen2_moe_sparse": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        SIZES | EXPERTS | {"shared_expert_intermediate_size": 24, "norm_topk_prob": True},
        Facts(eps=1e-6, experts_per_token=2),
    ),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", SIZES | {"head_dim": 16}, Facts(eps=1e-6)),
    "qwen3_moe": (
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        SIZES | EXPERTS | {"norm_topk_prob": True, "head_dim": 8},
        Facts(eps=1e-6, experts_per_token=2),
    ),
    "gemma": (
        "GemmaForCausalLM",
        "GemmaConfig",
        SIZES | {"head_dim": 16},
        Facts(eps=1e-6, activation="gelu_tanh", embedding_scale=GEMMA_SCALE),
    ),
    "gemma2": (
        "Gemma2ForCausalLM",
        "Gemma2Config",
        SIZES | {"head_dim": 16, "query_pre_attn_scalar": 9, "attn_implementation": "eager"},
        Facts(
            eps=1e-6,
            activation="gelu_tanh",
            embedding_scale=GEMMA_SCALE,
            attention_scale=1 / 3,
            attention_cap=50.0,
            logit_cap=30.0,
        ),
    ),
    "gemma3": (
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        SIZES | {"head_dim": 16, "query_pre_attn_scalar": 9, "layer_types": ["sliding_attention", "full_attention"]},
        Facts(
            eps=1e-6,
            activation="gelu_tanh",
            embedding_scale=GEMMA_SCALE,
            attention_scale=1 / 3,
            thetas=(10000.0, 1e6),
        ),
    ),
    "phi3": (
        "Phi3ForCausalLM",
        "Phi3Config",
        SIZES | {"partial_rotary_factor": 0.5},
        Facts(eps=1e-5),
    ),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2, Facts(eps=1e-5, activation="gelu_tanh")),
    "gpt_neox": (
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        {key: value for key, value in SIZES.items() if key != "num_key_value_heads"} | {"rotary_pct": 0.5},
        Facts(eps=1e-5, activation="gelu", parallel=True),
    ),
    "gpt_neox_serial": (
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        {key: value for key, value in SIZES.items() if key != "num_key_value_heads"} | {"use_parallel_residual": False},
        Facts(eps=1e-5, activation="gelu"),
    ),
    "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", SIZES, Facts(eps=1e-5)),
    "falcon_one_key_head": (
        "FalconForCausalLM",
        "FalconConfig",
        FALCON | {"multi_query": True, "bias": False},
        Facts(eps=1e-5, activation="gelu", parallel=True),
    ),
    "falcon_grouped": (
        "FalconForCausalLM",
        "FalconConfig",
        FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True, "bias": False},
        Facts(eps=1e-5, activation="gelu", parallel=True),
    ),
    "falcon_one_norm": (
        "FalconForCausalLM",
        "FalconConfig",
        FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True, "num_ln_in_parallel_attn": 1},
        Facts(eps=1e-5, activation="gelu", parallel=True),
    ),
    "falcon_serial": (
        "FalconForCausalLM",
        "FalconConfig",
        FALCON | {"multi_query": False, "parallel_attn": False, "bias": True},
        Facts(eps=1e-5, activation="gelu"),
    ),
    "starcoder2": (
        "Starcoder2ForCausalLM",
        "Starcoder2Config",
        SIZES | {"tie_word_embeddings": False},
        Facts(eps=1e-5, activation="gelu_tanh"),
    ),
    "deepseek_v2": ("DeepseekV2ForCausalLM", "DeepseekV2Config", LATENT | {"q_lora_rank": None}, Facts(eps=1e-6)),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        LATENT | {"q_lora_rank": 16, "n_group": 2, "topk_group": 1},
        Facts(eps=1e-6),
    ),
    "gpt_oss": (
        "GptOssForCausalLM",
        "GptOssConfig",
        SIZES
        | {
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        },
        Facts(eps=1e-5),
    ),
    "llama4": (
        "Llama4ForCausalLM",
        "Llama4TextConfig",
        SIZES | {"head_dim": 8, "num_local_experts": 4, "intermediate_size_mlp": 40, "interleave_moe_layer_step": 2},
        Facts(eps=1e-5),
    ),
}


def saved(model: Any) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """The tensors and the configuration that ``save_pretrained`` writes."""
    with TemporaryDirectory() as name:
        model.save_pretrained(name)
        return load_file(Path(name) / "model.safetensors"), json.loads((Path(name) / "config.json").read_text())


class Original:
    """A tiny model: its module, its tensors in memory, and what ``save_pretrained`` writes."""

    def __init__(self, family: str) -> None:
        model_class, config_class, settings, self.facts = FAMILIES[family]
        torch.manual_seed(list(FAMILIES).index(family))
        config = getattr(transformers, config_class)(**settings)
        self.model = getattr(transformers, model_class)(config).eval()
        with torch.no_grad():
            for parameter in self.model.parameters():
                drawn = torch.randn(parameter.shape) * 0.25
                parameter.copy_(drawn + 0.8 if parameter.ndim == 1 else drawn)
        self.saved, self.config = saved(self.model)

    def logits(self) -> Doubles:
        with torch.no_grad():
            found = self.model(torch.tensor(TOKENS)[None]).logits[0].double().numpy()
        return np.asarray(found)

    def told(self) -> Facts:
        """Facts, with the shared experts' gates, which have no role."""
        gates = [self.saved.get(f"model.layers.{i}.mlp.shared_expert_gate.weight", np.zeros((1, 32))) for i in (0, 1)]
        kept = {name: getattr(self.facts, name) for name in self.facts.__slots__}
        return Facts(**(kept | {"shared_gates": tuple(np.asarray(gate, np.float64) for gate in gates)}))


@cache
def original(family: str) -> Original:
    """The family's model, made once."""
    return Original(family)


def assert_same_function(source: MemorySource, model: Original) -> None:
    """The roles found in ``source``, carried out, give the model's logits."""
    found = logits(anatomy_of(source), TOKENS, model.told())
    expected = model.logits()
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)
