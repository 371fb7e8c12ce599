"""Published similarity statistics of two models' weights, written anew from their papers' formulas.

Each takes two `Weights` and returns one number, or `NotComparable` where its formula says nothing about two such
shapes. They are given what Whorl's readers make of a file (canonical roles, GGUF decoded, rows of the tokens that both
models know in the same order), which their own code would not always manage; on the other hand they are one formula
each, not the whole published tool. Nothing here is used by Whorl itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln, logsumexp
from scipy.stats import spearmanr

from whorl.fingerprints.anchors import shared_anchors
from whorl.weights.anatomy import Anatomy, Attention, Layer, Matrix

Doubles = NDArray[np.float64]
SMALLEST_P = np.finfo(np.float64).tiny  # below it a p-value underflows
HUREF_LAYERS = 2  # the last ones, as in the paper
HUREF_TOKENS = 4  # one of so many; as published, the rarest 4096 of 32,000 and more
LOG10_LEVEL: Final = -6.0  # a p-value below it counts as seen


@dataclass(frozen=True, slots=True, kw_only=True)
class NotComparable:
    """Why a statistic has no value for two models."""

    reason: str


Outcome: TypeAlias = float | NotComparable
UNDEFINED: Final = NotComparable(reason="undefined: zeros or constants where the formula divides")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MlpWeights:
    """A dense feed-forward block in (out, in) orientation; ``gate`` is None where it has none."""

    gate: Doubles | None
    up: Doubles
    down: Doubles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerWeights:
    """Matrices in (out, in) orientation; key and value repeated for each query head that uses them.

    ``mlp`` is None for a mixture of experts: none of the statistics says which expert to take.
    """

    query: Doubles
    key: Doubles
    value: Doubles
    output: Doubles
    mlp: MlpWeights | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """A small model held whole. ``gains`` is every norm's gain, one after the other."""

    anatomy: Anatomy
    embedding: Doubles
    layers: tuple[LayerWeights, ...]
    gains: Doubles


def weights_of(anatomy: Anatomy) -> Weights:
    """Read a small model with plain attention whole."""
    layers, gains = [], []
    for layer in anatomy.layers:
        attention, norms = layer.attention, (layer.attention_norm, layer.mlp_norm)
        if attention is None or None in norms:
            raise SystemExit("the peers' statistics are written for pre-norm models with plain attention")
        gains += [norm.gain for norm in norms if norm is not None]
        layers.append(
            LayerWeights(
                query=_whole(attention.query),
                key=_repeated(attention.key, attention),
                value=_repeated(attention.value, attention),
                output=_whole(attention.output),
                mlp=_mlp(layer),
            )
        )
    if anatomy.final_norm is not None:
        gains.append(anatomy.final_norm.gain)
    return Weights(
        anatomy=anatomy,
        embedding=_whole(anatomy.embedding),
        layers=tuple(layers),
        gains=np.concatenate(gains, dtype=float),
    )


def csu_log10_p(ours: Weights, theirs: Weights) -> Outcome:
    """log10 p of CSU: are matching up-projection rows at the same place?

    Per layer the assignment of largest total cosine, Spearman's p of its positions, and Fisher's method over layers.
    Where a block has no gate, its first matrix is taken.

    References
    ----------
    Zhu et al., Independence Tests for Language Models, arXiv:2502.12292.
    """
    if len(ours.layers) != len(theirs.layers):
        return NotComparable(reason="the layers differ in number")
    logs = 0.0
    for left, right in ((a.mlp, b.mlp) for a, b in zip(ours.layers, theirs.layers, strict=True)):
        if left is None or right is None:
            return NotComparable(reason="a mixture of experts")
        if left.up.shape != right.up.shape:
            return NotComparable(reason="the layers differ in width or neurons")
        _, match = linear_sum_assignment(-_unit_rows(left.up) @ _unit_rows(right.up).T)
        logs -= np.log(max(spearmanr(match, np.arange(len(match))).pvalue, SMALLEST_P))
    # Fisher's chi-square tail with twice as many degrees as layers, in closed form: scipy's underflows.
    count = np.arange(len(ours.layers))
    return float((logsumexp(count * np.log(max(logs, SMALLEST_P)) - gammaln(count + 1)) - logs) / np.log(10))


def huref_ics(ours: Weights, theirs: Weights) -> Outcome:
    """Correlation of HuRef's three invariant terms, over rare tokens and the last two layers.

    Rare are the last of the shared tokens in the second model's vocabulary, as byte-pair encoding puts frequent ones
    first. Without a gate, the third term is that of the feed-forward block's two matrices, as in the published code.

    References
    ----------
    Zeng et al., HuRef: HUman-REadable Fingerprint for Large Language Models, NeurIPS 2024, arXiv:2312.04828.
    """
    tokens = _shared_rows(ours, theirs)
    if isinstance(tokens, NotComparable):
        return tokens
    rare = [rows[-(len(rows) // HUREF_TOKENS) :] for rows in tokens]
    left, right = (_huref_terms(model, rows) for model, rows in zip((ours, theirs), rare, strict=True))
    if left is None or right is None:
        return NotComparable(reason="a mixture of experts")
    return _defined(np.mean([_cosine(a, b) for a, b in zip(left, right, strict=True)]))


def awm(ours: Weights, theirs: Weights) -> Outcome:
    """AWM: unbiased CKA of queries and of keys after the signed permutation that lays one embedding over the other.

    The narrower model's residual dimensions are matched into the wider one's. Layers stand against each other as they
    come; where their numbers differ, in the assignment of largest total similarity.

    References
    ----------
    Zeng et al., AWM: Accurate Weight-Matrix Fingerprint for Large Language Models, ICLR 2026, arXiv:2510.06738.
    """
    ours, theirs = sorted((ours, theirs), key=lambda model: model.embedding.shape[1])
    tokens = _shared_rows(ours, theirs)
    if isinstance(tokens, NotComparable):
        return tokens
    cosine = _unit_rows(tokens[0].T) @ _unit_rows(tokens[1].T).T
    _, match = linear_sum_assignment(-np.abs(cosine))
    sign = np.sign(cosine[np.arange(len(match)), match])
    left = [(layer.query, layer.key) for layer in ours.layers]
    right = [(layer.query[:, match] * sign, layer.key[:, match] * sign) for layer in theirs.layers]
    if len(left) == len(right):
        return _defined(np.mean([_layer_cka(a, b) for a, b in zip(left, right, strict=True)]))
    table = np.array([[_layer_cka(a, b) for b in right] for a in left])
    if not np.isfinite(table).all():
        return UNDEFINED
    return float(table[linear_sum_assignment(-table)].mean())


def gain_cosine(ours: Weights, theirs: Weights) -> Outcome:
    """Plain cosine of all norm gains in one vector, as the norm signal of the Model Provenance Kit.

    References
    ----------
    Cisco AI Defense, Model Provenance Kit, 2026 (its signal NLF).
    """
    if ours.gains.shape != theirs.gains.shape:
        return NotComparable(reason="the norms differ in number or width")
    return _defined(_cosine(ours.gains, theirs.gains))


def spread_profile(ours: Weights, theirs: Weights) -> Outcome:
    """Pearson correlation over depth of the standard deviations of Q, K, V and O; the mean of the four.

    References
    ----------
    HonestAGI, Intrinsic Fingerprint of LLMs, arXiv:2507.03014.
    """
    if len(ours.layers) != len(theirs.layers):
        return NotComparable(reason="the layers differ in number")
    roles = ("query", "key", "value", "output")
    profiles = [
        [np.array([getattr(layer, role).std() for layer in side.layers]) for role in roles] for side in (ours, theirs)
    ]
    return _defined(np.mean([_cosine(a - a.mean(), b - b.mean()) for a, b in zip(*profiles, strict=True)]))


CSU: Final = "CSU, log10 p"
SIMILARITIES: Final[dict[str, Callable[[Weights, Weights], Outcome]]] = {
    "HuRef": huref_ics,
    "AWM": awm,
    "gain cosine": gain_cosine,
    "spread profile": spread_profile,
}


def _defined(value: float | np.floating[Any]) -> Outcome:
    return float(value) if np.isfinite(value) else UNDEFINED


def _shared_rows(ours: Weights, theirs: Weights) -> tuple[Doubles, Doubles] | NotComparable:
    """Token vectors of both models, of every token that both know, in the order of the second model's vocabulary."""
    left, right = shared_anchors(ours.anatomy, theirs.anatomy, max(len(ours.embedding), len(theirs.embedding)))
    if len(left) < ours.embedding.shape[1]:  # fewer leave columns undetermined
        return NotComparable(reason=f"only {len(left)} shared tokens")
    order = np.argsort(right)
    return ours.embedding[left[order]], theirs.embedding[right[order]]


def _huref_terms(model: Weights, tokens: Doubles) -> list[Doubles] | None:
    """Centred terms; None where a layer is a mixture."""
    terms: list[Doubles] = []
    for layer in model.layers[-HUREF_LAYERS:]:
        if layer.mlp is None:
            return None
        reader = layer.mlp.up if layer.mlp.gate is None else layer.mlp.gate * layer.mlp.up
        terms += [
            (tokens @ layer.query.T) @ (tokens @ layer.key.T).T,
            (tokens @ layer.value.T) @ (layer.output.T @ tokens.T),
            (tokens @ reader.T) @ (layer.mlp.down.T @ tokens.T),
        ]
    return [term - term.mean() for term in terms]


def _layer_cka(left: tuple[Doubles, Doubles], right: tuple[Doubles, Doubles]) -> float:
    return float(np.mean([_unbiased_cka(a.T @ a, b.T @ b) for a, b in zip(left, right, strict=True)]))


def _unbiased_cka(left: Doubles, right: Doubles) -> float:
    return float(_hsic(left, right) / np.sqrt(_hsic(left, left) * _hsic(right, right)))


def _hsic(left: Doubles, right: Doubles) -> float:
    """The unbiased estimator of Song et al., Feature Selection via Dependence Maximization, JMLR 13, 2012."""
    a, b = (kernel - np.diag(np.diag(kernel)) for kernel in (left, right))
    count = len(a)
    mixed = np.einsum("ij,ij->", a, b) - 2 / (count - 2) * a.sum(axis=0) @ b.sum(axis=0)
    return float((mixed + a.sum() * b.sum() / ((count - 1) * (count - 2))) / (count * (count - 3)))


def _cosine(left: Doubles, right: Doubles) -> float:
    return float(left.ravel() @ right.ravel() / (np.linalg.norm(left) * np.linalg.norm(right)))


def _unit_rows(rows: Doubles) -> Doubles:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))


def _whole(matrix: Matrix) -> Doubles:
    return matrix.rows(np.arange(matrix.shape[0])).astype(np.float64)


def _mlp(layer: Layer) -> MlpWeights | None:
    if len(layer.mlps) != 1:
        return None
    (mlp,) = layer.mlps
    return MlpWeights(gate=None if mlp.gate is None else _whole(mlp.gate), up=_whole(mlp.up), down=_whole(mlp.down))


def _repeated(matrix: Matrix, attention: Attention) -> Doubles:
    by_group = _whole(matrix).reshape(attention.kv_heads, attention.head_size, -1)
    repeated = np.repeat(by_group, attention.heads // attention.kv_heads, axis=0)
    return repeated.reshape(attention.heads * attention.head_size, -1)
