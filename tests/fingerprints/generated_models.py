"""Small checkpoints drawn at random, with the marks that training leaves.

Those are low-rank structure, uneven norm gains, and token vectors that lie to each other alike in every model, as those
of one language do, each model having them in a basis of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import save_file

from whorl.core.arrays import AnyArray, Floats
from whorl.weights.in_memory import Checkpoint

Family = Literal["llama", "qwen2", "qwen3", "gemma", "gpt_neox", "mixtral"]
TIED: tuple[Family, ...] = ("qwen2", "gemma")
Storage = Literal["F32", "F16", "BF16"]

STRUCTURE_RANK = 4
LANGUAGE_RANK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large a drawn model is."""

    layers: int = 3
    width: int = 32
    heads: int = 4
    kv_heads: int = 2
    neurons: int = 64
    vocabulary: int = 160
    experts: int = 4

    @property
    def head_size(self) -> int:
        return self.width // self.heads


def drawn(family: Family, seed: int, sizes: Sizes | None = None, *, trained: bool = True) -> Checkpoint:
    """A model with random weights; nothing is shared with a model of another seed.

    Without the marks of training its matrices are plain noise, its gains 1 and its biases 0, as before the first step.
    """
    sizes = sizes or Sizes()
    rng = np.random.default_rng([seed, *map(ord, family)])
    make = _tensor if trained else _untrained_tensor
    weights = {name: make(name, shape, rng) for name, shape in _shapes(family, sizes).items()}
    return Checkpoint(weights=weights, config=_config(family, sizes))


def tokens(count: int) -> tuple[str, ...]:
    """As many token strings."""
    return tuple(f"token{number}" for number in range(count))


def write(
    folder: Path,
    checkpoint: Checkpoint,
    *,
    vocabulary: Sequence[str] | None = (),
    storage: Storage = "F32",
    shards: int = 1,
) -> Path:
    """Write a Hugging Face folder; ``vocabulary`` () numbers the tokens, None leaves the tokenizer out."""
    folder.mkdir(parents=True)
    names = sorted(checkpoint.weights)
    parts = [names[start::shards] for start in range(shards)]
    files = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    if shards == 1:
        files = ["model.safetensors"]
    for file, part in zip(files, parts, strict=True):
        save(folder / file, {name: checkpoint.weights[name] for name in part}, storage)
    if shards > 1:
        places = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps(dict(checkpoint.config)))
    if vocabulary is not None:
        strings = vocabulary or tokens(int(checkpoint.config["vocab_size"]))
        table = {token: row for row, token in enumerate(strings)}
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": table}}))
    return folder


def save(path: Path, weights: Mapping[str, AnyArray], storage: Storage = "F32") -> None:
    """Write one safetensors file."""
    if storage == "BF16":
        import torch
        from safetensors.torch import save_file as save_torch

        save_torch({name: torch.from_numpy(np.array(array)).bfloat16() for name, array in weights.items()}, path)
        return
    dtype = {"F32": np.float32, "F16": np.float16}[storage]
    save_file({name: np.ascontiguousarray(array, dtype) for name, array in weights.items()}, path)


def edited(checkpoint: Checkpoint, changes: Mapping[str, AnyArray], **config: Any) -> Checkpoint:
    """A copy with some tensors and configuration entries replaced."""
    return Checkpoint(weights={**checkpoint.weights, **changes}, config={**checkpoint.config, **config})


def is_matrix(name: str, array: AnyArray) -> bool:
    """Whether this is a matrix inside a layer."""
    return array.ndim == 2 and "layers." in name


def fine_tuned(checkpoint: Checkpoint, seed: int, size: float = 0.1) -> Checkpoint:
    """A copy trained on: every matrix moved along few directions, every vector a little."""
    rng = np.random.default_rng(seed)
    moved = {}
    for name, array in checkpoint.weights.items():
        if array.ndim == 2:
            change = rng.standard_normal((array.shape[0], 2)) @ rng.standard_normal((2, array.shape[1]))
        else:
            change = rng.standard_normal(array.shape)
        scale = size * np.std(array) / max(float(np.std(change)), 1e-9)
        moved[name] = np.asarray(array + scale * change, np.float32)
    return edited(checkpoint, moved)


def _tensor(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(shape)
    if len(shape) == 1:
        return np.asarray(np.exp(0.3 * noise) if name.endswith("norm.weight") else 0.2 * noise, np.float32)
    if "embed" in name or "lm_head" in name:
        meanings = np.random.default_rng(0).standard_normal((shape[0], LANGUAGE_RANK))
        structure = 0.4 * meanings @ rng.standard_normal((LANGUAGE_RANK, shape[1]))
    else:
        left, right = rng.standard_normal((shape[0], STRUCTURE_RANK)), rng.standard_normal((STRUCTURE_RANK, shape[1]))
        structure = 0.3 * left @ right
    return np.asarray((noise + structure) / np.sqrt(shape[1]), np.float32)


def _untrained_tensor(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    if len(shape) == 1:
        return np.full(shape, 1 if name.endswith("norm.weight") else 0, np.float32)
    return np.asarray(rng.standard_normal(shape) / np.sqrt(shape[1]), np.float32)


def _config(family: Family, sizes: Sizes) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": family,
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.neurons,
        "tie_word_embeddings": family in TIED,
    }
    if family == "gpt_neox":
        return config | {"rotary_pct": 0.5}
    if family == "mixtral":
        config |= {"num_local_experts": sizes.experts, "num_experts_per_tok": 2}
    return config | {"num_key_value_heads": sizes.kv_heads}


def _shapes(family: Family, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    if family == "gpt_neox":
        return _neox_shapes(sizes)
    width, queries, keys = sizes.width, sizes.heads * sizes.head_size, sizes.kv_heads * sizes.head_size
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (sizes.vocabulary, width),
        "model.norm.weight": (width,),
    }
    if family not in TIED:
        shapes["lm_head.weight"] = (sizes.vocabulary, width)
    for layer in range(sizes.layers):
        at = f"model.layers.{layer}"
        shapes[f"{at}.input_layernorm.weight"] = shapes[f"{at}.post_attention_layernorm.weight"] = (width,)
        for letter, rows in (("q", queries), ("k", keys), ("v", keys)):
            shapes[f"{at}.self_attn.{letter}_proj.weight"] = (rows, width)
            if family == "qwen2":
                shapes[f"{at}.self_attn.{letter}_proj.bias"] = (rows,)
        if family == "qwen3":
            for letter in "qk":
                shapes[f"{at}.self_attn.{letter}_norm.weight"] = (sizes.head_size,)
        shapes[f"{at}.self_attn.o_proj.weight"] = (width, queries)
        if family == "mixtral":
            shapes |= _expert_shapes(f"{at}.block_sparse_moe", sizes)
            continue
        for role in ("gate", "up"):
            shapes[f"{at}.mlp.{role}_proj.weight"] = (sizes.neurons, width)
        shapes[f"{at}.mlp.down_proj.weight"] = (width, sizes.neurons)
    return shapes


def _expert_shapes(at: str, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{at}.gate.weight": (sizes.experts, sizes.width)}
    for expert in range(sizes.experts):
        for role in ("w1", "w3"):
            shapes[f"{at}.experts.{expert}.{role}.weight"] = (sizes.neurons, sizes.width)
        shapes[f"{at}.experts.{expert}.w2.weight"] = (sizes.width, sizes.neurons)
    return shapes


def _neox_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    width = sizes.width
    shapes: dict[str, tuple[int, ...]] = {
        "gpt_neox.embed_in.weight": (sizes.vocabulary, width),
        "embed_out.weight": (sizes.vocabulary, width),
        "gpt_neox.final_layer_norm.weight": (width,),
        "gpt_neox.final_layer_norm.bias": (width,),
    }
    for layer in range(sizes.layers):
        at = f"gpt_neox.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{at}.{norm}.weight"] = shapes[f"{at}.{norm}.bias"] = (width,)
        for name, rows, columns in (
            ("attention.query_key_value", 3 * width, width),
            ("attention.dense", width, width),
            ("mlp.dense_h_to_4h", sizes.neurons, width),
            ("mlp.dense_4h_to_h", width, sizes.neurons),
        ):
            shapes[f"{at}.{name}.weight"], shapes[f"{at}.{name}.bias"] = (rows, columns), (rows,)
    return shapes
