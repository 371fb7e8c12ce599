"""Several small Llamas of one shape, trained and asked at once: every weight has the model as its first axis.

One model alone is a stack of height 1. Small matrices cost more in calls than in arithmetic; fifty models in one
multiplication cost little more than ten. The arithmetic is that of `transformers.LlamaForCausalLM` (rotary positions
in the half-split order, tied embeddings), so that each layer of the stack can be stored as one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

CONTEXT = 2048
THETA = 10000.0
EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of one model; the feed-forward part is three times as wide."""

    vocabulary: int
    width: int
    layers: int
    heads: int

    @property
    def hidden(self) -> int:
        """Width of the feed-forward part."""
        return 3 * self.width


Weights = dict[str, Tensor]
Cache = list[tuple[Tensor, Tensor]]


def fresh_weights(shape: Shape, seeds: list[int]) -> Weights:
    """Untrained weights, shape (models, in, out) for matrices; each model's follow from its seed alone."""
    width, hidden = shape.width, shape.hidden
    sizes: dict[str, tuple[int, ...]] = {"embed": (shape.vocabulary, width), "norm": (width,)}
    for layer in range(shape.layers):
        sizes |= {
            f"{layer}.attention_norm": (width,),
            f"{layer}.qkv": (width, 3 * width),
            f"{layer}.out": (width, width),
            f"{layer}.feed_norm": (width,),
            f"{layer}.gate_up": (width, 2 * hidden),
            f"{layer}.down": (hidden, width),
        }
    made: dict[str, list[Tensor]] = {name: [] for name in sizes}
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        for name, size in sizes.items():
            if len(size) == 1:
                made[name].append(torch.ones(size))
                continue
            scale = 1 / math.sqrt(width if name == "embed" else size[0])
            if name.endswith((".out", ".down")):
                scale /= math.sqrt(2 * shape.layers)
            made[name].append(torch.randn(size, generator=random) * scale)
    return {name: torch.stack(tensors) for name, tensors in made.items()}


def hidden_states(weights: Weights, shape: Shape, tokens: Tensor, cache: Cache | None = None) -> Tensor:
    """Last hidden states, shape (models, rows, length, width), of tokens of shape (models, rows, length).

    With a cache, the tokens continue what it holds, and it grows by them.
    """
    models, rows, length = tokens.shape
    x = _embedded(weights["embed"], tokens)
    past = cache[0][0].shape[2] if cache else 0
    turns = _rotation(shape.width // shape.heads, past, length)
    for layer in range(shape.layers):
        normed = _normed(x, weights[f"{layer}.attention_norm"])
        qkv = (normed.flatten(1, 2) @ weights[f"{layer}.qkv"]).view(models * rows, length, 3, shape.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = _turned(q, turns), _turned(k, turns)
        if cache is not None:
            if past:
                k, v = torch.cat([cache[layer][0], k], 2), torch.cat([cache[layer][1], v], 2)
                cache[layer] = (k, v)
            else:
                cache.append((k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=not past)
        mixed = mixed.transpose(1, 2).reshape(models, rows * length, shape.width)
        x = x + (mixed @ weights[f"{layer}.out"]).view_as(x)
        gate, up = (_normed(x, weights[f"{layer}.feed_norm"]).flatten(1, 2) @ weights[f"{layer}.gate_up"]).chunk(2, -1)
        x = x + ((functional.silu(gate) * up) @ weights[f"{layer}.down"]).view_as(x)
    return _normed(x, weights["norm"])


def logits_of(weights: Weights, states: Tensor) -> Tensor:
    """Logits, shape (models, places, vocabulary), of states of shape (models, places, width)."""
    return states @ weights["embed"].transpose(1, 2)


def _embedded(table: Tensor, tokens: Tensor) -> Tensor:
    models = len(tokens)
    offsets = torch.arange(models).view(-1, 1, 1) * table.shape[1]
    return functional.embedding(tokens + offsets, table.flatten(0, 1))


def _normed(x: Tensor, gain: Tensor) -> Tensor:
    scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON)
    return x * scale * gain[:, None, None, :]


def _rotation(size: int, start: int, length: int) -> tuple[Tensor, Tensor]:
    angles = torch.arange(start, start + length)[:, None] * THETA ** -(torch.arange(0, size, 2) / size)
    return angles.cos(), angles.sin()


def _turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    (left, right), (cos, sin) = x.chunk(2, -1), turns
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def exported(weights: Weights, shape: Shape, model: int) -> LlamaForCausalLM:
    """One model of the stack, as transformers holds it."""
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        rms_norm_eps=EPSILON,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    state = {"model.embed_tokens.weight": weights["embed"][model], "model.norm.weight": weights["norm"][model]}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    for layer in range(shape.layers):
        part = {
            name.partition(".")[2]: tensor[model] for name, tensor in weights.items() if name.startswith(f"{layer}.")
        }
        prefix = f"model.layers.{layer}."
        for role, block in zip("qkv", part["qkv"].chunk(3, -1), strict=True):
            state[f"{prefix}self_attn.{role}_proj.weight"] = block.T
        state[f"{prefix}self_attn.o_proj.weight"] = part["out"].T
        for role, block in zip(("gate", "up"), part["gate_up"].chunk(2, -1), strict=True):
            state[f"{prefix}mlp.{role}_proj.weight"] = block.T
        state[f"{prefix}mlp.down_proj.weight"] = part["down"].T
        state[f"{prefix}input_layernorm.weight"] = part["attention_norm"]
        state[f"{prefix}post_attention_layernorm.weight"] = part["feed_norm"]
    made = LlamaForCausalLM(config)
    made.load_state_dict({name: tensor.detach().contiguous() for name, tensor in state.items()})
    return made.eval()


def imported(model: LlamaForCausalLM) -> Weights:
    """A stack of height 1 of what `exported` made."""
    state = model.state_dict()
    weights = {"embed": state["model.embed_tokens.weight"], "norm": state["model.norm.weight"]}
    for layer in range(model.config.num_hidden_layers):

        def part(*names: str, prefix: str = f"model.layers.{layer}.") -> Tensor:
            return torch.cat([state[f"{prefix}{name}.weight"].T for name in names], -1)

        weights |= {
            f"{layer}.attention_norm": state[f"model.layers.{layer}.input_layernorm.weight"],
            f"{layer}.qkv": part("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            f"{layer}.out": part("self_attn.o_proj"),
            f"{layer}.feed_norm": state[f"model.layers.{layer}.post_attention_layernorm.weight"],
            f"{layer}.gate_up": part("mlp.gate_proj", "mlp.up_proj"),
            f"{layer}.down": part("mlp.down_proj"),
        }
    return {name: tensor.detach().clone()[None] for name, tensor in weights.items()}
