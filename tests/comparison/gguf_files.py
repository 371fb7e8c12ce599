"""Write a Llama-shaped checkpoint as llama.cpp's converter does: one GGUF file, rotary rows interleaved."""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

from whorl.core.arrays import AnyArray
from whorl.weights.in_memory import Checkpoint

OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
INNER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, checkpoint: Checkpoint, vocabulary: Sequence[str]) -> Path:
    """Matrices in float16, norm gains in float32."""
    config = checkpoint.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(128)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(list(vocabulary))
    for name, array in checkpoint.weights.items():
        for letter, key in (("q", "num_attention_heads"), ("k", "num_key_value_heads")):
            if f"{letter}_proj" in name:
                array = interleaved(array, config[key])
        kind = np.float32 if array.ndim == 1 else np.float16
        writer.add_tensor(target(name), np.ascontiguousarray(array, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def target(name: str) -> str:
    """The tensor's name in llama.cpp."""
    if name in OUTER:
        return OUTER[name]
    layer, _, role = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{INNER[role.removesuffix('.weight')]}.weight"


def interleaved(weight: AnyArray, heads: int) -> AnyArray:
    """Rows of each head from the half-split rotary order (i with i + size / 2) to neighbouring pairs."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)
