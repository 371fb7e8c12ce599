"""Artificial worlds of pairs seen by several groups of evidence, and what ratios made of them cost: exactly.

Each group's score is normal with variance 1 and the same correlation with every other group's, under H1 with mean
``strengths`` and under H2 with mean 0, so that every group's true log ratio, and that of all together, is linear in
the scores. Family effects are those of `pair_worlds`, alike under both.
"""

import math

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from whorl.core.arrays import AnyArray, Doubles, Ints

FAMILY_SD, NOISE_SD = 0.6, 0.5
_VARIANCE = 2 * FAMILY_SD**2 + NOISE_SD**2
_NODES, _WEIGHTS = hermegauss(120)


def correlation_matrix(groups: int, correlation: float) -> Doubles:
    """Ones, and the same correlation everywhere else."""
    return np.asarray(np.full((groups, groups), correlation) + (1 - correlation) * np.eye(groups))


def group_world(
    seed: int, *, families: int, strengths: Doubles, correlation: float, children: int = 5
) -> tuple[Doubles, AnyArray, Ints]:
    """Scores (n, k), truths and families: each family with its children, and every two families once."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(correlation_matrix(strengths.size, correlation)).T

    def effects(count: int, spread: float) -> Doubles:
        return np.asarray(rng.normal(0, spread, (count, strengths.size)) @ root)

    left, right = np.triu_indices(families, 1)
    effect = effects(families, FAMILY_SD)
    unrelated = effect[left] + effect[right] + effects(left.size, NOISE_SD)
    own = np.repeat(np.arange(families), children)
    derived = effects(families, math.sqrt(2) * FAMILY_SD)[own] + effects(own.size, NOISE_SD)
    return (
        np.concatenate([derived, unrelated]) / math.sqrt(_VARIANCE)
        + np.repeat([1.0, 0.0], [own.size, left.size])[:, None] * strengths,
        np.repeat([True, False], [own.size, left.size]),
        np.concatenate([np.column_stack([own, own]), np.column_stack([left, right])]).astype(np.int64),
    )


def disjoint_world(
    seed: int, *, comparisons: int, strengths: Doubles, correlation: float
) -> tuple[Doubles, AnyArray, Ints]:
    """As many comparisons under each proposition, no two of which share a family."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(correlation_matrix(strengths.size, correlation)).T
    truth = np.repeat([True, False], comparisons)
    scores = rng.normal(size=(2 * comparisons, strengths.size)) @ root + truth[:, None] * strengths
    return scores, truth, np.arange(2 * comparisons)[:, None].repeat(2, axis=1)


def group_log10_lr(scores: Doubles, strengths: Doubles) -> Doubles:
    """Each group's true ratio, alone."""
    return np.asarray((scores * strengths - strengths**2 / 2) / math.log(10))


def joint_log10_lr(scores: Doubles, strengths: Doubles, correlation: float) -> Doubles:
    """The true ratio of all groups together."""
    slopes = np.linalg.solve(correlation_matrix(strengths.size, correlation), strengths)
    return np.asarray((scores @ slopes - strengths @ slopes / 2) / math.log(10))


def cost_of_linear(intercept: float, slopes: Doubles, strengths: Doubles, correlation: float) -> float:
    """Cllr of ln LR = intercept + slopes times the groups' true ln ratios, over endless new pairs."""
    slope = slopes * strengths
    spread = math.sqrt(max(0.0, float(slope @ correlation_matrix(strengths.size, correlation) @ slope)))
    middle = intercept - float(slopes @ strengths**2) / 2
    bits = [
        np.logaddexp(0, sign * (mean + spread * _NODES)) @ _WEIGHTS / _WEIGHTS.sum() / math.log(2)
        for sign, mean in ((-1, middle + float(slope @ strengths)), (1, middle))
    ]
    return float(np.mean(bits))
