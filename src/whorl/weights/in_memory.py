"""A small decoder held whole in memory, in one form for every architecture, so that it can be rewritten.

Readers never load a checkpoint; this is for making rewritten copies of small ones. Known are models with RMSNorm,
gated MLP and grouped queries (Llama, Mistral, Qwen2; Qwen3, which normalises queries and keys of each head; Gemma,
whose norms multiply by 1 + gain; Mixtral and Qwen3-MoE, whose layers have a router and experts), and GPT-NeoX
(LayerNorm, plain MLP, fused query/key/value). Experts may be stored one by one, as on disk, or stacked, as
transformers 5 holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats, Ints
from whorl.core.errors import InputError, UnsupportedError

MIXTURES = ("mixtral", "qwen3_moe")
HEAD_NORMED = ("qwen3", "qwen3_moe")
LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3", "gemma", *MIXTURES)
DENSE_ROLES = ("gate_proj", "up_proj", "down_proj")
EXPERT_ROLES = {"mixtral": ("w1", "w3", "w2"), "qwen3_moe": DENSE_ROLES}
BUFFERS = ("rotary_emb.inv_freq", "attention.bias", "attention.masked_bias")  # follow from the configuration


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """Tensors and configuration under Hugging Face names."""

    weights: Mapping[str, AnyArray]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes that decide a model's symmetry group.

    ``centred`` means LayerNorm, ``head_norms`` that queries and keys are normalised head by head. ``experts`` is 0
    where layers have no router; ``neurons`` counts those of one expert.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    rotary_size: int
    neurons: int
    gated: bool
    centred: bool
    head_norms: bool = False
    experts: int = 0

    @property
    def mlps(self) -> int:
        """Feed-forward blocks of one layer."""
        return max(self.experts, 1)


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
class Mlp:
    """One feed-forward block; ``gate`` is None in a plain one."""

    gate: Linear | None
    up: Linear
    down: Linear


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """One decoder layer: one dense MLP and no router, or a router with one row for each expert.

    ``query_gain`` and ``key_gain`` (head_size,) are those of the norms inside the heads, where there are such norms.
    """

    attention_norm: Norm
    query: Linear
    key: Linear
    value: Linear
    output: Linear
    mlp_norm: Norm
    mlps: tuple[Mlp, ...]
    router: Linear | None = None
    query_gain: Doubles | None = None
    key_gain: Doubles | None = None


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
    experts = _experts(config) if kind in MIXTURES else 0
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
        neurons=_size(config, "moe_intermediate_size" if kind == "qwen3_moe" else "intermediate_size"),
        gated=not neox,
        centred=neox,
        head_norms=kind in HEAD_NORMED,
        experts=experts,
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
    named = _named_neox(model) if model.shape.centred else _named_llama(model, original)
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
        gain = self.array(f"{name}.weight", shape.width) + _gain_offset(self.config)
        return Norm(gain=gain, bias=bias)

    def has(self, name: str) -> bool:
        return name in self._weights

    def embeddings(self, name: str, width: int) -> tuple[Doubles, Linear, bool]:
        head = _head_name(self._weights)
        vocabulary = _size(self.config, "vocab_size")
        embedding = self.array(name, vocabulary, width)
        tied = f"{head}.weight" not in self._weights
        if tied and not self.config.get("tie_word_embeddings", self.config["model_type"] == "gemma"):
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


def _experts(config: Mapping[str, Any]) -> int:
    """Experts in each layer; models that mix layers with and without a router are not known here."""
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        raise UnsupportedError(
            "expected experts in every layer, found some layers without; their form is not known here"
        )
    return _size(config, "num_experts" if "num_experts" in config else "num_local_experts")


def _gain_offset(config: Mapping[str, Any]) -> float:
    return 1.0 if config["model_type"] == "gemma" else 0.0  # what its norms add to the stored gain


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
        at, attention = f"model.layers.{index}", f"model.layers.{index}.self_attn"
        normed = shape.head_norms
        router, mlps = _take_mlps(take, at, shape)
        return Block(
            attention_norm=take.norm(f"{at}.input_layernorm", shape),
            query=take.linear(f"{attention}.q_proj", queries, shape.width),
            key=take.linear(f"{attention}.k_proj", keys, shape.width),
            value=take.linear(f"{attention}.v_proj", keys, shape.width),
            output=take.linear(f"{attention}.o_proj", shape.width, queries),
            mlp_norm=take.norm(f"{at}.post_attention_layernorm", shape),
            mlps=mlps,
            router=router,
            query_gain=take.array(f"{attention}.q_norm.weight", shape.head_size) if normed else None,
            key_gain=take.array(f"{attention}.k_norm.weight", shape.head_size) if normed else None,
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


def _take_mlps(take: _Taker, at: str, shape: Shape) -> tuple[Linear | None, tuple[Mlp, ...]]:
    """The router and the experts, stacked or one by one; or no router and the dense MLP."""
    neurons, width = shape.neurons, shape.width
    if not shape.experts:
        return None, (_take_mlp(take, f"{at}.mlp", DENSE_ROLES, shape),)
    inside = f"{at}.{_mixture_name(take.config, stacked=take.has(f'{at}.mlp.experts.gate_up_proj'))}"
    router = take.linear(f"{inside}.gate", shape.experts, width)
    if not take.has(f"{inside}.experts.gate_up_proj"):
        roles = EXPERT_ROLES[take.config["model_type"]]
        return router, tuple(_take_mlp(take, f"{inside}.experts.{i}", roles, shape) for i in range(shape.experts))
    into = take.array(f"{inside}.experts.gate_up_proj", shape.experts, 2 * neurons, width)
    down = take.array(f"{inside}.experts.down_proj", shape.experts, width, neurons)
    return router, tuple(
        Mlp(
            gate=Linear(weight=rows[:neurons], bias=None),
            up=Linear(weight=rows[neurons:], bias=None),
            down=Linear(weight=columns, bias=None),
        )
        for rows, columns in zip(into, down, strict=True)
    )


def _take_mlp(take: _Taker, at: str, roles: tuple[str, str, str], shape: Shape) -> Mlp:
    gate, up, down = (f"{at}.{role}" for role in roles)
    return Mlp(
        gate=take.linear(gate, shape.neurons, shape.width),
        up=take.linear(up, shape.neurons, shape.width),
        down=take.linear(down, shape.width, shape.neurons),
    )


def _mixture_name(config: Mapping[str, Any], *, stacked: bool) -> str:
    return "block_sparse_moe" if config["model_type"] == "mixtral" and not stacked else "mlp"


def _named_llama(model: Model, original: Checkpoint) -> dict[str, Doubles]:
    offset = _gain_offset(original.config)
    named = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.final_norm.gain - offset}
    for index, block in enumerate(model.blocks):
        at, attention = f"model.layers.{index}", f"model.layers.{index}.self_attn"
        named[f"{at}.input_layernorm.weight"] = block.attention_norm.gain - offset
        named[f"{at}.post_attention_layernorm.weight"] = block.mlp_norm.gain - offset
        for letter, linear in zip("qkvo", (block.query, block.key, block.value, block.output), strict=True):
            named |= _named_linear(f"{attention}.{letter}_proj", linear)
        for letter, gain in (("q", block.query_gain), ("k", block.key_gain)):
            if gain is not None:
                named[f"{attention}.{letter}_norm.weight"] = gain
        named |= _named_mlps(block, at, original)
    return named


def _named_mlps(block: Block, at: str, original: Checkpoint) -> dict[str, Doubles]:
    if block.router is None:
        return _named_mlp(f"{at}.mlp", DENSE_ROLES, block.mlps[0])
    stacked = f"{at}.mlp.experts.gate_up_proj" in original.weights
    inside = f"{at}.{_mixture_name(original.config, stacked=stacked)}"
    named = _named_linear(f"{inside}.gate", block.router)
    if not stacked:
        roles = EXPERT_ROLES[original.config["model_type"]]
        for expert, mlp in enumerate(block.mlps):
            named |= _named_mlp(f"{inside}.experts.{expert}", roles, mlp)
        return named
    into = [np.concatenate([mlp.gate.weight, mlp.up.weight]) for mlp in block.mlps if mlp.gate is not None]
    named[f"{inside}.experts.gate_up_proj"] = np.stack(into)
    named[f"{inside}.experts.down_proj"] = np.stack([mlp.down.weight for mlp in block.mlps])
    return named


def _named_mlp(at: str, roles: tuple[str, str, str], mlp: Mlp) -> dict[str, Doubles]:
    linears = (mlp.gate, mlp.up, mlp.down)
    parts = [
        _named_linear(f"{at}.{role}", linear) for role, linear in zip(roles, linears, strict=True) if linear is not None
    ]
    return {name: array for part in parts for name, array in part.items()}


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
            mlps=(
                Mlp(
                    gate=None,
                    up=take.linear(f"{at}.mlp.dense_h_to_4h", shape.neurons, shape.width),
                    down=take.linear(f"{at}.mlp.dense_4h_to_h", shape.width, shape.neurons),
                ),
            ),
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
        (mlp,) = block.mlps
        named |= _named_linear(f"{at}.mlp.dense_h_to_4h", mlp.up)
        named |= _named_linear(f"{at}.mlp.dense_4h_to_h", mlp.down)
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
