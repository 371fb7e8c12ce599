"""GGUF metadata under the names of Hugging Face configurations.

Nothing here is trusted: values keep whatever type the file gave them, and absent ones stay absent.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

# Architectures of llama.cpp whose models Hugging Face calls otherwise.
_MODEL_TYPES: Final = {
    "deepseek2": "deepseek_v2",
    "gemma3": "gemma3_text",
    "gpt-oss": "gpt_oss",
    "gptneox": "gpt_neox",
    "mistral3": "mistral",
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
}
_SETTINGS: Final = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "attention.sliding_window": "sliding_window",
    "rope.freq_base": "rope_theta",
    "expert_count": "num_local_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "use_parallel_residual": "use_parallel_residual",
    "vocab_size": "vocab_size",
}
# Where a model type has its own name for a setting, it is given under both.
_OWN_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "deepseek_v2": {"num_local_experts": "n_routed_experts"},
    "deepseek_v3": {"num_local_experts": "n_routed_experts"},
    "falcon": {"num_key_value_heads": "num_kv_heads", "layer_norm_eps": "layer_norm_epsilon"},
    "gpt2": {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
        "layer_norm_eps": "layer_norm_epsilon",
    },
    "gpt_neox": {"partial_rotary_factor": "rotary_pct"},
    "qwen2_moe": {"num_local_experts": "num_experts"},
    "qwen3_moe": {"num_local_experts": "num_experts"},
    "starcoder2": {"layer_norm_eps": "norm_epsilon"},
}


def model_config(
    metadata: Mapping[str, Any], *, tensors: Collection[str], vocabulary_size: int | None
) -> dict[str, Any]:
    """The configuration that GGUF metadata amounts to.

    ``gguf_architecture`` keeps llama.cpp's name of the architecture: its converter folds the 1 of ``1 + g`` into
    Gemma's norms, concatenates fused QKV matrices as all queries, all keys, all values, and stores GPT-2's matrices as
    (out, in).
    """
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str):
        return {}
    config = {
        name: metadata[f"{architecture}.{key}"]
        for key, name in _SETTINGS.items()
        if metadata.get(f"{architecture}.{key}") is not None
    }
    config["gguf_architecture"] = architecture
    config["model_type"] = _model_type(architecture, config, tensors)
    config["tie_word_embeddings"] = "output.weight" not in tensors
    if vocabulary_size is not None:
        config.setdefault("vocab_size", vocabulary_size)
    if "num_attention_heads" in config:
        config.setdefault("num_key_value_heads", config["num_attention_heads"])
    if architecture == "deepseek2":
        _set_latent_sizes(config, metadata)
    else:
        _set_rotary_share(config, metadata.get(f"{architecture}.rope.dimension_count"))
    for name, own in _OWN_NAMES.get(config["model_type"], {}).items():
        if name in config:
            config[own] = config[name]
    return config


def _model_type(architecture: str, config: Mapping[str, Any], tensors: Collection[str]) -> str:
    if architecture == "llama":
        return "mixtral" if config.get("num_local_experts") else "llama"
    if architecture == "deepseek2" and any(name.endswith("exp_probs_b.bias") for name in tensors):
        return "deepseek_v3"  # only V3 routes with a bias per expert
    return _MODEL_TYPES.get(architecture, architecture)


def _set_rotary_share(config: dict[str, Any], rotary_size: Any) -> None:
    width, heads = _size(config.get("hidden_size")), _size(config.get("num_attention_heads"))
    if "head_dim" not in config and heads and width % heads == 0:
        config["head_dim"] = width // heads
    head_size, rotary = _size(config.get("head_dim")), _size(rotary_size)
    if head_size and rotary:
        config["partial_rotary_factor"] = rotary / head_size


def _set_latent_sizes(config: dict[str, Any], metadata: Mapping[str, Any]) -> None:
    """Latent attention: llama.cpp describes its single-key-head form beside the plain sizes ("_mla")."""
    config.pop("head_dim", None)
    if "num_attention_heads" in config:
        config["num_key_value_heads"] = config["num_attention_heads"]
    rotary = _size(metadata.get("deepseek2.rope.dimension_count"))
    key, value = (
        _size(
            metadata.get(f"deepseek2.attention.{part}_length_mla", metadata.get(f"deepseek2.attention.{part}_length"))
        )
        for part in ("key", "value")
    )
    if 0 < rotary < key:
        config["qk_rope_head_dim"] = rotary
        config["qk_nope_head_dim"] = key - rotary
    if value:
        config["v_head_dim"] = value


def _size(value: Any) -> int:
    """A whole number from 1 up, or 0 where the file has something else."""
    return value if type(value) is int and value > 0 else 0
