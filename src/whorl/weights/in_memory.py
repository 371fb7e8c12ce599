"""A small decoder held whole in memory, in one form for every architecture, so that it can be rewritten.

Readers never load a checkpoint; this is for making rewritten copies of small ones. Llama, Mistral and Qwen2 (RMSNorm,
gated MLP, grouped queries) and GPT-NeoX (LayerNorm, plain MLP, fused query/key/value) are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats, Ints
from whorl.core.errors import InputError, UnsupportedError

LLAMA_LIKE = ("llama", "mistral", "qwen2")
BUFFERS = ("rotary_emb.inv_freq", "attention.bias", "attention.masked_bias")  # follow from the configuration


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """Tensors and configuration under Hugging Face names."""

    weights: Mapping[str, AnyArray]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes that decide a model's symmetry group; ``centred`` means LayerNorm."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    rotary_size: int
    neurons: int
    gated: bool
    centred: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """``weight @ x + bias``: weight (out, in), bias (out,) or None."""

    weight: Doubles
    bias: Doubles | None

    def rows(self, index: Ints) -> "Linear":
        """The given output coordinates, in the given order."""
        return Linear(weight=self.weight[index], bias=None if self.bias is None else self.bias[index])

    def times(self, scale: Doubles) -> "Linear":
        """Each output coordinate times its scale."""
        return Linear(weight=self.weight * scale[:, None], bias=None if self.bias is None else self.bias * scale)

    def then(self, matrix: Doubles) -> "Linear":
        """This layer followed by a matrix."""
        return Linear(weight=matrix @ self.weight, bias=None if self.bias is None else matrix @ self.bias)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm:
    """RMSNorm (bias None) or LayerNorm: gain and bias of shape (width,)."""

    gain: Doubles
    bias: Doubles | None = None

    def bias_over_gain(self) -> Doubles:
        """The bias as if it were added before the gain."""
        if self.bias is None or not self.gain.all():
            raise UnsupportedError(
                "expected a norm with a bias and no zero gain: its readers have no biases to take it over"
            )
        return self.bias / self.gain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """One decoder layer; ``gate`` is None in a plain MLP."""

    attention_norm: Norm
    query: Linear
    key: Linear
    value: Linear
    output: Linear
    mlp_norm: Norm
    gate: Linear | None
    up: Linear
    down: Linear


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A whole decoder: embedding (vocabulary, width), blocks, final norm, unembedding.

    ``tied`` says that the unembedding is the embedding and is not stored a second time.
    """

    shape: Shape
    embedding: Doubles
    blocks: tuple[Block, ...]
    final_norm: Norm
    unembedding: Linear
    tied: bool


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that a configuration describes.

    Raises
    ------
    UnsupportedError
        If the architecture is not one whose form is known here.
    InputError
        If a size is missing or they contradict each other.
    """
    kind = config.get("model_type")
    if kind != "gpt_neox" and kind not in LLAMA_LIKE:
        raise UnsupportedError(f"expected model_type {', '.join(LLAMA_LIKE)} or gpt_neox, found {kind!r}")
    heads, width = _size(config, "num_attention_heads"), _size(config, "hidden_size")
    head_size = _size(config, "head_dim") if config.get("head_dim") else width // heads
    neox = kind == "gpt_neox"
    kv_heads = heads if neox or config.get("num_key_value_heads") is None else _size(config, "num_key_value_heads")
    rotary_size = int(head_size * _rotary_share(config, 0.25 if neox else 1.0))
    if heads % kv_heads or rotary_size % 2:
        raise InputError(
            f"expected whole head groups and an even rotary size, found {heads} / {kv_heads} heads, size {rotary_size}"
        )
    return Shape(
        layers=_size(config, "num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        rotary_size=rotary_size,
        neurons=_size(config, "intermediate_size"),
        gated=not neox,
        centred=neox,
    )


def from_checkpoint(checkpoint: Checkpoint) -> Model:
    """Read a checkpoint into canonical form, in float64.

    Raises
    ------
    UnsupportedError
        If the architecture, or a tensor in it, is not known here.
    InputError
        If a tensor is missing or does not have the shape that the configuration gives.
    """
    shape = shape_of(checkpoint.config)
    take = _Taker(checkpoint)
    model = _take_neox(take, shape) if shape.centred else _take_llama(take, shape)
    take.refuse_unknown()
    return model


def to_checkpoint(model: Model, original: Checkpoint) -> Checkpoint:
    """Write canonical form back under the original's names, in float32; buffers are carried over.

    A model that is no longer tied gets its own ``lm_head.weight`` and a configuration that says so.
    """
    weights: dict[str, Floats] = {
        name: np.asarray(array, dtype=np.float32) for name, array in original.weights.items() if name.endswith(BUFFERS)
    }
    named = _named_neox(model) if model.shape.centred else _named_llama(model)
    if not model.tied:
        named |= _named_linear(_head_name(original.weights), model.unembedding)
    for name, array in named.items():
        weights[name] = np.ascontiguousarray(array, dtype=np.float32)
    config = dict(original.config)
    if not model.tied:
        config["tie_word_embeddings"] = False
    return Checkpoint(weights=weights, config=config)


class _Taker:
    """Takes tensors out of a checkpoint by name and remembers which."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._weights = checkpoint.weights
        self.config = checkpoint.config
        self._taken: set[str] = set()

    def array(self, name: str, *shape: int) -> Doubles:
        if name not in self._weights:
            raise InputError(f"tensor {name!r} is missing; expected one of shape {shape}")
        self._taken.add(name)
        array = np.asarray(self._weights[name], dtype=np.float64)
        if array.shape != shape:
            raise InputError(f"tensor {name!r}: expected shape {shape} from the configuration, found {array.shape}")
        return array

    def linear(self, name: str, rows: int, columns: int) -> Linear:
        has_bias = f"{name}.bias" in self._weights
        bias = self.array(f"{name}.bias", rows) if has_bias else None
        return Linear(weight=self.array(f"{name}.weight", rows, columns), bias=bias)

    def norm(self, name: str, shape: Shape) -> Norm:
        bias = self.array(f"{name}.bias", shape.width) if shape.centred else None
        return Norm(gain=self.array(f"{name}.weight", shape.width), bias=bias)

    def embeddings(self, name: str, width: int) -> tuple[Doubles, Linear, bool]:
        head = _head_name(self._weights)
        vocabulary = _size(self.config, "vocab_size")
        embedding = self.array(name, vocabulary, width)
        tied = f"{head}.weight" not in self._weights
        if tied and not self.config.get("tie_word_embeddings", False):
            raise InputError(f"tensor '{head}.weight' is missing, and the configuration does not say it is tied")
        return embedding, Linear(weight=embedding, bias=None) if tied else self.linear(head, vocabulary, width), tied

    def refuse_unknown(self) -> None:
        for name in sorted(set(self._weights) - self._taken):
            if not name.endswith(BUFFERS):
                raise UnsupportedError(f"tensor {name!r} has no known role: its symmetries are not known either")


def _head_name(weights: Mapping[str, AnyArray]) -> str:
    return "embed_out" if "embed_out.weight" in weights else "lm_head"  # GPT-NeoX before transformers 5


def _size(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise InputError(f"configuration {key!r}: expected a positive whole number, found {value!r}")
    return value


def _rotary_share(config: Mapping[str, Any], default: float) -> float:
    rope = config.get("rope_parameters")
    places = (rope if isinstance(rope, Mapping) else {}, config)  # transformers 5, then before it
    named = [place[key] for place in places for key in ("partial_rotary_factor", "rotary_pct") if key in place]
    share = named[0] if named else default
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise InputError(f"configuration of rotary positions: expected a share from 0 to 1, found {share!r}")
    return share


def _take_llama(take: _Taker, shape: Shape) -> Model:
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size

    def block(index: int) -> Block:
        at, attention, mlp = (f"model.layers.{index}{part}" for part in ("", ".self_attn", ".mlp"))
        return Block(
            attention_norm=take.norm(f"{at}.input_layernorm", shape),
            query=take.linear(f"{attention}.q_proj", queries, shape.width),
            key=take.linear(f"{attention}.k_proj", keys, shape.width),
            value=take.linear(f"{attention}.v_proj", keys, shape.width),
            output=take.linear(f"{attention}.o_proj", shape.width, queries),
            mlp_norm=take.norm(f"{at}.post_attention_layernorm", shape),
            gate=take.linear(f"{mlp}.gate_proj", shape.neurons, shape.width),
            up=take.linear(f"{mlp}.up_proj", shape.neurons, shape.width),
            down=take.linear(f"{mlp}.down_proj", shape.width, shape.neurons),
        )

    embedding, unembedding, tied = take.embeddings("model.embed_tokens.weight", shape.width)
    return Model(
        shape=shape,
        embedding=embedding,
        blocks=tuple(block(index) for index in range(shape.layers)),
        final_norm=take.norm("model.norm", shape),
        unembedding=unembedding,
        tied=tied,
    )


def _named_llama(model: Model) -> dict[str, Doubles]:
    named = {"model.embed_tokens.weight": model.embedding, **_named_norm("model.norm", model.final_norm)}
    for index, block in enumerate(model.blocks):
        at, attention, mlp = (f"model.layers.{index}{part}" for part in ("", ".self_attn", ".mlp"))
        named |= _named_norm(f"{at}.input_layernorm", block.attention_norm)
        named |= _named_norm(f"{at}.post_attention_layernorm", block.mlp_norm)
        for letter, linear in zip("qkvo", (block.query, block.key, block.value, block.output), strict=True):
            named |= _named_linear(f"{attention}.{letter}_proj", linear)
        for role, optional in (("gate", block.gate), ("up", block.up), ("down", block.down)):
            if optional is not None:
                named |= _named_linear(f"{mlp}.{role}_proj", optional)
    return named


def _take_neox(take: _Taker, shape: Shape) -> Model:
    """GPT-NeoX stacks query, key and value of each head in one matrix, head by head."""
    inner = shape.heads * shape.head_size
    stacked = np.arange(3 * inner).reshape(shape.heads, 3, shape.head_size)

    def block(index: int) -> Block:
        at = f"gpt_neox.layers.{index}"
        fused = take.linear(f"{at}.attention.query_key_value", 3 * inner, shape.width)
        query, key, value = (fused.rows(stacked[:, part].ravel()) for part in range(3))
        return Block(
            attention_norm=take.norm(f"{at}.input_layernorm", shape),
            query=query,
            key=key,
            value=value,
            output=take.linear(f"{at}.attention.dense", shape.width, inner),
            mlp_norm=take.norm(f"{at}.post_attention_layernorm", shape),
            gate=None,
            up=take.linear(f"{at}.mlp.dense_h_to_4h", shape.neurons, shape.width),
            down=take.linear(f"{at}.mlp.dense_4h_to_h", shape.width, shape.neurons),
        )

    embedding, unembedding, tied = take.embeddings("gpt_neox.embed_in.weight", shape.width)
    return Model(
        shape=shape,
        embedding=embedding,
        blocks=tuple(block(index) for index in range(shape.layers)),
        final_norm=take.norm("gpt_neox.final_layer_norm", shape),
        unembedding=unembedding,
        tied=tied,
    )


def _named_neox(model: Model) -> dict[str, Doubles]:
    named = {"gpt_neox.embed_in.weight": model.embedding, **_named_norm("gpt_neox.final_layer_norm", model.final_norm)}
    for index, block in enumerate(model.blocks):
        at = f"gpt_neox.layers.{index}"
        named |= _named_norm(f"{at}.input_layernorm", block.attention_norm)
        named |= _named_norm(f"{at}.post_attention_layernorm", block.mlp_norm)
        named |= _named_linear(f"{at}.attention.query_key_value", _fused(block, model.shape))
        named |= _named_linear(f"{at}.attention.dense", block.output)
        named |= _named_linear(f"{at}.mlp.dense_h_to_4h", block.up)
        named |= _named_linear(f"{at}.mlp.dense_4h_to_h", block.down)
    return named


def _fused(block: Block, shape: Shape) -> Linear:
    parts = (block.query, block.key, block.value)

    def stack(arrays: list[Doubles]) -> Doubles:
        by_head = [array.reshape(shape.heads, shape.head_size, -1) for array in arrays]
        return np.stack(by_head, axis=1).reshape(3 * shape.heads * shape.head_size, -1)

    biases = [part.bias for part in parts if part.bias is not None]
    return Linear(weight=stack([part.weight for part in parts]), bias=stack(biases).ravel() if biases else None)


def _named_norm(name: str, norm: Norm) -> dict[str, Doubles]:
    named = {f"{name}.weight": norm.gain}
    return named if norm.bias is None else named | {f"{name}.bias": norm.bias}


def _named_linear(name: str, linear: Linear) -> dict[str, Doubles]:
    named = {f"{name}.weight": linear.weight}
    return named if linear.bias is None else named | {f"{name}.bias": linear.bias}
