"""Write a checkpoint with the shape of a Llama of 7 billion parameters, and random numbers for weights.

``python bench/shaped_checkpoint.py FOLDER [--layers 32] [--seed 0] [--drift]``. Every value is drawn on its own, so no
two layers are alike. ``--drift`` writes a copy of what the same seed gives without it, every value moved a little: to
Whorl, a fine-tuned copy.
"""

import argparse
import json
import struct
from collections.abc import Iterator
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, NEURONS, HEADS, VOCABULARY = 4096, 11008, 32, 32000
SHARD_BYTES = 2 << 30
CHUNK_VALUES = 1 << 20
VALUE_BYTES = 2  # bfloat16
SCALE = 0.02  # standard deviation of a weight at initialisation, as is usual
DRIFT_RANKS = 4096  # of 65536: on average a value moves by a tenth of a standard deviation

Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(layers: int) -> Shapes:
    """Names and shapes in the order of the file, as Hugging Face's Llama has them."""
    shapes: Shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for layer in range(layers):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{letter}_proj.weight": (WIDTH, WIDTH) for letter in "qkvo"}
        shapes |= {f"{at}.mlp.{role}_proj.weight": (NEURONS, WIDTH) for role in ("gate", "up")}
        shapes |= {f"{at}.mlp.down_proj.weight": (WIDTH, NEURONS)}
        shapes |= {f"{at}.{role}_layernorm.weight": (WIDTH,) for role in ("input", "post_attention")}
    return shapes | {"model.norm.weight": (WIDTH,), "lm_head.weight": (VOCABULARY, WIDTH)}


def checkpoint_bytes(layers: int) -> int:
    """Bytes of all tensors together."""
    return sum(VALUE_BYTES * prod(shape) for shape in tensor_shapes(layers).values())


def write_checkpoint(folder: Path, *, layers: int, seed: int, drift: bool) -> None:
    """Write shards, index, config.json and tokenizer.json into an existing folder."""
    shards = list(_shards(tensor_shapes(layers)))
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        weight_map |= dict.fromkeys(shard, name)
        _write_shard(folder / name, shard, np.random.SeedSequence([seed, number]), drift=drift)
    index = {"metadata": {"total_size": checkpoint_bytes(layers)}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(_config(layers)))
    tokenizer = {"model": {"type": "BPE", "vocab": {f"token{row}": row for row in range(VOCABULARY)}, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def _config(layers: int) -> dict[str, object]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": WIDTH,
        "intermediate_size": NEURONS,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }


def _shards(shapes: Shapes) -> Iterator[Shapes]:
    shard: Shapes = {}
    for name, shape in shapes.items():
        if shard and VALUE_BYTES * sum(map(prod, (*shard.values(), shape))) > SHARD_BYTES:
            yield shard
            shard = {}
        shard[name] = shape
    yield shard


def _write_shard(path: Path, shapes: Shapes, seed: np.random.SeedSequence, *, drift: bool) -> None:
    ends = list(accumulate(VALUE_BYTES * prod(shape) for shape in shapes.values()))
    header = {
        name: {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
        for (name, shape), start, end in zip(shapes.items(), [0, *ends], ends, strict=False)
    }
    text = json.dumps(header).encode()
    values, moves = (np.random.Generator(np.random.SFC64(part)) for part in seed.spawn(2))
    normal = np.sort(np.random.Generator(np.random.SFC64(0)).standard_normal(1 << 16)).astype(np.float32)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            quantiles = _bfloat16(1 + normal / 10 if name.endswith("norm.weight") else normal * SCALE)
            for start in range(0, prod(shape), CHUNK_VALUES):
                ranks = _ranks(min(CHUNK_VALUES, prod(shape) - start), values, moves if drift else None)
                file.write(quantiles[ranks].data)


def _ranks(count: int, values: np.random.Generator, moves: np.random.Generator | None) -> NDArray[np.uint16]:
    """A random place in the sorted normal values for each weight, moved a little if there are ``moves``."""
    ranks = values.integers(0, 1 << 16, count, np.uint16)
    if moves is None:
        return ranks
    moved = ranks.astype(np.int32) + moves.integers(0, DRIFT_RANKS, count, np.uint16) - DRIFT_RANKS // 2
    return np.asarray(moved.clip(0, (1 << 16) - 1), np.uint16)


def _bfloat16(values: NDArray[Any]) -> NDArray[np.uint16]:
    return np.ascontiguousarray(values, np.dtype("<f4")).view(np.uint16)[1::2].copy()  # the upper half of each value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drift", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(given.folder, layers=given.layers, seed=given.seed, drift=given.drift)


if __name__ == "__main__":
    main()
