"""Published similarity statistics of two models' weights, written anew from their papers' formulas.

Each takes two `Weights` of the same shape and returns one number. They are given what Whorl's readers make of a file
(canonical roles, GGUF decoded, token rows in the same order), which their own code would not always manage; on the
other hand they are one formula each, not the whole published tool. Nothing here is used by Whorl itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln, logsumexp
from scipy.stats import spearmanr

from whorl.weights.anatomy import Anatomy, Attention, Matrix

Doubles = NDArray[np.float64]
SMALLEST_P = np.finfo(np.float64).tiny  # below it a p-value underflows
HUREF_LAYERS = 2  # the last ones, as in the paper


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerWeights:
    """Matrices in (out, in) orientation; key and value repeated for each query head that uses them."""

    query: Doubles
    key: Doubles
    value: Doubles
    output: Doubles
    gate: Doubles
    up: Doubles
    down: Doubles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """A small model held whole. ``gains`` is every norm's gain, one after the other."""

    embedding: Doubles
    layers: tuple[LayerWeights, ...]
    gains: Doubles


def weights_of(anatomy: Anatomy) -> Weights:
    """Read a small gated model with plain attention whole."""
    layers, gains = [], []
    for layer in anatomy.layers:
        attention, mlp = layer.attention, layer.mlps[0]
        norms = (layer.attention_norm, layer.mlp_norm)
        if attention is None or mlp.gate is None or None in norms:
            raise SystemExit("the peers' statistics are written for gated models with plain attention")
        gains += [norm.gain for norm in norms if norm is not None]
        layers.append(
            LayerWeights(
                query=_whole(attention.query),
                key=_repeated(attention.key, attention),
                value=_repeated(attention.value, attention),
                output=_whole(attention.output),
                gate=_whole(mlp.gate),
                up=_whole(mlp.up),
                down=_whole(mlp.down),
            )
        )
    if anatomy.final_norm is not None:
        gains.append(anatomy.final_norm.gain)
    return Weights(embedding=_whole(anatomy.embedding), layers=tuple(layers), gains=np.concatenate(gains, dtype=float))


def csu_log10_p(ours: Weights, theirs: Weights) -> float:
    """log10 p of CSU: are matching up-projection rows at the same place?

    Per layer the assignment of largest total cosine, Spearman's p of its positions, and Fisher's method over layers.

    References
    ----------
    Zhu et al., Independence Tests for Language Models, arXiv:2502.12292.
    """
    logs = 0.0
    for left, right in zip(ours.layers, theirs.layers, strict=True):
        _, match = linear_sum_assignment(-_unit_rows(left.up) @ _unit_rows(right.up).T)
        logs -= np.log(max(spearmanr(match, np.arange(len(match))).pvalue, SMALLEST_P))
    # Fisher's chi-square tail with twice as many degrees as layers, in closed form: scipy's underflows.
    count = np.arange(len(ours.layers))
    return float((logsumexp(count * np.log(max(logs, SMALLEST_P)) - gammaln(count + 1)) - logs) / np.log(10))


def huref_ics(ours: Weights, theirs: Weights) -> float:
    """Cosine of HuRef's three invariant terms, over all tokens and the last two layers.

    References
    ----------
    Zeng et al., HuRef: HUman-REadable Fingerprint for Large Language Models, NeurIPS 2024, arXiv:2312.04828.
    """
    left, right = (_huref_terms(model) for model in (ours, theirs))
    return float(np.mean([_cosine(a, b) for a, b in zip(left, right, strict=True)]))


def awm(ours: Weights, theirs: Weights) -> float:
    """AWM: unbiased CKA of queries and of keys after the signed permutation that lays one embedding over the other.

    References
    ----------
    Zeng et al., AWM: Accurate Weight-Matrix Fingerprint for Large Language Models, ICLR 2026, arXiv:2510.06738.
    """
    cosine = _unit_rows(ours.embedding.T) @ _unit_rows(theirs.embedding.T).T
    _, match = linear_sum_assignment(-np.abs(cosine))
    sign = np.sign(cosine[np.arange(len(match)), match])
    scores = []
    for left, right in zip(ours.layers, theirs.layers, strict=True):
        for a, b in ((left.query, right.query), (left.key, right.key)):
            aligned = b[:, match] * sign
            scores.append(_unbiased_cka(a.T @ a, aligned.T @ aligned))
    return float(np.mean(scores))


def gain_cosine(ours: Weights, theirs: Weights) -> float:
    """Plain cosine of all norm gains in one vector, as the norm signal of the Model Provenance Kit.

    References
    ----------
    Cisco AI Defense, Model Provenance Kit, 2026 (its signal NLF).
    """
    return _cosine(ours.gains, theirs.gains)


def spread_profile(ours: Weights, theirs: Weights) -> float:
    """Pearson correlation over depth of the standard deviations of Q, K, V and O; the mean of the four.

    References
    ----------
    HonestAGI, Intrinsic Fingerprint of LLMs, arXiv:2507.03014.
    """
    roles = ("query", "key", "value", "output")
    profiles = [
        [np.array([getattr(layer, role).std() for layer in side.layers]) for role in roles] for side in (ours, theirs)
    ]
    return float(np.mean([_cosine(a - a.mean(), b - b.mean()) for a, b in zip(*profiles, strict=True)]))


def _huref_terms(model: Weights) -> list[Doubles]:
    tokens, terms = model.embedding, []
    for layer in model.layers[-HUREF_LAYERS:]:
        terms += [
            (tokens @ layer.query.T) @ (tokens @ layer.key.T).T,
            (tokens @ layer.value.T) @ (layer.output.T @ tokens.T),
            (tokens @ (layer.gate * layer.up).T) @ (layer.down.T @ tokens.T),
        ]
    return [_unit_rows(term - term.mean(axis=1, keepdims=True)) for term in terms]


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


def _repeated(matrix: Matrix, attention: Attention) -> Doubles:
    by_group = _whole(matrix).reshape(attention.kv_heads, attention.head_size, -1)
    repeated = np.repeat(by_group, attention.heads // attention.kv_heads, axis=0)
    return repeated.reshape(attention.heads * attention.head_size, -1)
