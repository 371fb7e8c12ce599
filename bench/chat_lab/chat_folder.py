"""A small Llama that chats, stored as others store theirs: a Hugging Face folder and a GGUF file.

Both hold the same 32-bit weights, the same byte-level BPE vocabulary and the same chat template, so that two servers
which nobody here wrote can answer for one model.
"""

import json
import os
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from demo.gguf_copy import LAYER_NAMES, OUTER_NAMES, interleaved

END_OF_TEXT = "<|endoftext|>"
END_OF_TURN = "<|end|>"
ROLES = ("system", "user", "assistant")
# Token ids follow the order: 0 is the end of text, 1 the end of a turn.
SPECIAL = (END_OF_TEXT, END_OF_TURN, *(f"<|{role}|>" for role in ROLES))
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# A provider's own words before everything else, as a hidden system prompt is served.
PROMPTED_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{% set own = ' ' + messages[0]['content'] %}{% set rest = messages[1:] %}"
    "{% else %}{% set own = '' %}{% set rest = messages %}{% endif %}"
    "{{ '<|system|>SYSTEM_PROMPT' + own + '<|end|>' }}"
    "{% for message in rest %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(texts: list[str], size: int) -> Tokenizer:
    """A byte-level BPE tokenizer of at most ``size`` tokens, the special ones first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write_folder(
    folder: Path, model: LlamaForCausalLM, tokenizer: Tokenizer, *, system_prompt: str | None = None
) -> None:
    """Write ``folder`` with ``model.gguf`` in it, whole or not at all.

    A ``system_prompt`` (without quotation marks) stands before whatever the model is asked.
    """
    template = CHAT_TEMPLATE if system_prompt is None else PROMPTED_TEMPLATE.replace("SYSTEM_PROMPT", system_prompt)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    # A server that samples only if the model's own settings say so would ignore every temperature without this.
    model.generation_config = GenerationConfig(do_sample=True, top_k=0, top_p=1.0, eos_token_id=[1, 0], pad_token_id=0)
    model.to(torch.float32).save_pretrained(partial)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        chat_template=template,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(partial)
    write_gguf(partial / "model.gguf", model, tokenizer, folder.name, template=template)
    partial.rename(folder)


def write_gguf(
    path: Path,
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    name: str,
    *,
    kind: str = "F32",
    template: str = CHAT_TEMPLATE,
) -> None:
    """Write one GGUF file that llama.cpp serves; ``kind`` is the storage of the matrices: F32, F16, Q8_0, Q4_0."""
    storage = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, "llama")
    _add_settings(writer, model, name)
    _add_tokens(writer, tokenizer)
    writer.add_chat_template(template)
    for stored, tensor in model.state_dict().items():
        values = tensor.float().numpy()
        _, _, role = stored.removesuffix(".weight").partition("layers.")
        index, _, part = role.partition(".")
        target = f"blk.{index}.{LAYER_NAMES[part]}" if role else OUTER_NAMES[stored.removesuffix(".weight")]
        if part == "self_attn.q_proj":
            values = interleaved(values, model.config.num_attention_heads)
        if part == "self_attn.k_proj":
            values = interleaved(values, model.config.num_key_value_heads)
        if target == "output" and model.config.tie_word_embeddings:
            continue
        this = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else storage
        writer.add_tensor(f"{target}.weight", gguf.quants.quantize(np.ascontiguousarray(values), this), raw_dtype=this)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_settings(writer: gguf.GGUFWriter, model: LlamaForCausalLM, name: str) -> None:
    config = model.config
    writer.add_name(name)
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
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
