"""Write a Llama model as llama.cpp's converter does: GGUF, 8-bit blocks, rotary rows interleaved, tokens included."""

import json
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedModel

LAYER_NAMES = {
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
OUTER_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_q8_0(path: Path, model: PreTrainedModel, tokenizer: Tokenizer, name: str) -> None:
    """Quantise every matrix to Q8_0 and write one GGUF file."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_settings(writer, model, name)
    _add_tokens(writer, tokenizer)
    for stored, tensor in model.state_dict().items():
        values = tensor.float().numpy()
        _, _, role = stored.removesuffix(".weight").partition("layers.")
        index, _, part = role.partition(".")
        target = f"blk.{index}.{LAYER_NAMES[part]}" if role else OUTER_NAMES[stored.removesuffix(".weight")]
        if part == "self_attn.q_proj":
            values = interleaved(values, model.config.num_attention_heads)
        if part == "self_attn.k_proj":
            values = interleaved(values, model.config.num_key_value_heads)
        kind = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(f"{target}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleaved(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from the half-split rotary order (i with i + size / 2) to neighbouring pairs."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def _add_settings(writer: gguf.GGUFWriter, model: PreTrainedModel, name: str) -> None:
    config = model.config
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_tokens(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    control = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    kinds = [gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL for token, _ in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
