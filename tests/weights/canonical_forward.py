"""Logits out of canonical roles alone, in numpy: what an `Anatomy` claims, carried out.

If a fused split, a transposition, a gain offset or a rotary layout were read wrongly, the logits would differ from the
original implementation's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import erf, expit, softmax

from whorl.core.arrays import Doubles, Floats, Ints
from whorl.weights.anatomy import Anatomy, Attention, Layer, Matrix, Mlp, Norm

ACTIVATIONS: dict[str, Callable[[Doubles], Doubles]] = {
    "silu": lambda x: x * expit(x),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a forward pass needs to know beside the weights. ``thetas`` has one rotary base for each layer, cycled."""

    eps: float
    activation: str = "silu"
    thetas: tuple[float, ...] = (10000.0,)
    parallel: bool = False
    embedding_scale: float = 1.0
    attention_scale: float | None = None
    attention_cap: float | None = None
    logit_cap: float | None = None
    experts_per_token: int = 0
    normalise_routing: bool = True
    shared_gates: tuple[Doubles, ...] = ()


def whole(matrix: Matrix) -> Doubles:
    """A matrix as one array, put together from its blocks."""
    return np.concatenate([rows for _, rows in matrix.blocks()]).astype(np.float64)


def logits(anatomy: Anatomy, tokens: Ints, facts: Facts) -> Doubles:
    """Next-token logits, shape (len(tokens), vocabulary)."""
    embedding = whole(anatomy.embedding)
    x = embedding[tokens] * facts.embedding_scale
    if anatomy.positions is not None:
        x = x + whole(anatomy.positions)[: len(tokens)]
    for index, layer in enumerate(anatomy.layers):
        x = _layer(x, layer, index, facts)
    scores = (
        _norm(x, anatomy.final_norm, facts.eps)
        @ (embedding if anatomy.unembedding is None else whole(anatomy.unembedding)).T
    )
    return scores if facts.logit_cap is None else facts.logit_cap * np.tanh(scores / facts.logit_cap)


def _layer(x: Doubles, layer: Layer, index: int, facts: Facts) -> Doubles:
    assert layer.attention is not None
    attended = _attention(_norm(x, layer.attention_norm, facts.eps), layer.attention, index, facts)
    attended = _norm(attended, layer.attention_post_norm, facts.eps)
    between = x if facts.parallel else x + attended
    fed = _feed_forward(_norm(between, layer.mlp_norm, facts.eps), layer, index, facts)
    return x + attended + _norm(fed, layer.mlp_post_norm, facts.eps)


def _norm(x: Doubles, norm: Norm | None, eps: float) -> Doubles:
    if norm is None:
        return x
    if norm.kind == "layer":
        x = x - x.mean(-1, keepdims=True)
    scaled = _rms(x, norm.gain, eps)
    return scaled if norm.bias is None else scaled + norm.bias


def _rms(x: Doubles, gain: Floats, eps: float) -> Doubles:
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * gain, np.float64)


def _linear(x: Doubles, matrix: Matrix, bias: Floats | None) -> Doubles:
    return x @ whole(matrix).T + (0 if bias is None else bias)


def _attention(x: Doubles, a: Attention, index: int, facts: Facts) -> Doubles:
    theta = facts.thetas[index % len(facts.thetas)]
    query = _rotated(_heads(_linear(x, a.query, a.query_bias), a.query_norm, a, facts.eps), a.rotary_size, theta)
    key = _rotated(_heads(_linear(x, a.key, a.key_bias), a.key_norm, a, facts.eps), a.rotary_size, theta)
    value = _heads(_linear(x, a.value, a.value_bias), None, a, facts.eps)
    shared = np.arange(a.heads) // (a.heads // a.kv_heads)
    scores = query @ key[shared].swapaxes(1, 2) * (facts.attention_scale or a.head_size**-0.5)
    if facts.attention_cap is not None:
        scores = facts.attention_cap * np.tanh(scores / facts.attention_cap)
    future = np.triu(np.ones(scores.shape[1:], bool), 1)
    weights = softmax(np.where(future, -np.inf, scores), axis=-1)
    mixed = (weights @ value[shared]).swapaxes(0, 1).reshape(len(x), -1)
    return _linear(mixed, a.output, a.output_bias)


def _heads(x: Doubles, gain: Floats | None, a: Attention, eps: float) -> Doubles:
    """(tokens, heads * size) to (heads, tokens, size), normalised per head or over all heads at once."""
    if gain is not None and len(gain) == x.shape[1] != a.head_size:
        x, gain = _rms(x, gain, eps), None
    x = x.reshape(len(x), -1, a.head_size).swapaxes(0, 1)
    return x if gain is None else _rms(x, gain, eps)


def _rotated(x: Doubles, size: int, theta: float) -> Doubles:
    half = size // 2
    angles = np.arange(x.shape[1])[:, None] * theta ** (-np.arange(half) / max(half, 1))
    first, second, rest = x[..., :half], x[..., half:size], x[..., size:]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)


def mlp(x: Doubles, block: Mlp, activation: str) -> Doubles:
    """One feed-forward block."""
    act = ACTIVATIONS[activation]
    up = _linear(x, block.up, block.up_bias)
    hidden = act(up) if block.gate is None else act(_linear(x, block.gate, block.gate_bias)) * up
    return _linear(hidden, block.down, block.down_bias)


def _feed_forward(x: Doubles, layer: Layer, index: int, facts: Facts) -> Doubles:
    if layer.router is None:
        return mlp(x, layer.mlps[0], facts.activation)
    chances = softmax(x @ whole(layer.router).T, axis=-1)
    chosen = np.argsort(-chances, axis=-1)[:, : facts.experts_per_token]
    kept = np.zeros_like(chances)
    np.put_along_axis(kept, chosen, np.take_along_axis(chances, chosen, axis=-1), axis=-1)
    if facts.normalise_routing:
        kept /= kept.sum(-1, keepdims=True)
    experts = layer.mlps[: chances.shape[1]]
    routed = sum(kept[:, [e]] * mlp(x, block, facts.activation) for e, block in enumerate(experts))
    for block in layer.mlps[len(experts) :]:
        routed = routed + expit(x @ facts.shared_gates[index].T) * mlp(x, block, facts.activation)
    return np.asarray(routed)
