"""Small artificial worlds of model pairs with family effects, and their true likelihood ratios."""

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints

FAMILY_SD, NOISE_SD, DERIVED_SD, DERIVED_MEAN = 0.6, 0.5, 0.8, 3.0
H1_VARIANCE = DERIVED_SD**2 + NOISE_SD**2
H2_VARIANCE = 2 * FAMILY_SD**2 + NOISE_SD**2


def every_two(families: int) -> Ints:
    """All pairs of different families, shape (families * (families - 1) / 2, 2)."""
    return np.column_stack(np.triu_indices(families, 1)).astype(np.int64)


def unrelated_scores(rng: np.random.Generator, families: int) -> Doubles:
    """One score for every two families: both families' effects and noise."""
    left, right = rng.normal(0, FAMILY_SD, families)[every_two(families)].T
    return np.asarray(left + right + rng.normal(0, NOISE_SD, left.size))


def additive_world(seed: int, *, families: int, children: int = 5) -> tuple[Doubles, AnyArray, Ints]:
    """Scores, truths and families: each family with its children, and every two families once."""
    rng = np.random.default_rng(seed)
    unrelated = unrelated_scores(rng, families)
    own = np.repeat(np.arange(families), children)
    derived = DERIVED_MEAN + rng.normal(0, DERIVED_SD, families)[own] + rng.normal(0, NOISE_SD, own.size)
    return (
        np.concatenate([derived, unrelated]),
        np.repeat([True, False], [derived.size, unrelated.size]),
        np.concatenate([np.column_stack([own, own]), every_two(families)]).astype(np.int64),
    )


def true_log10_lr(scores: Doubles) -> Doubles:
    """Ratio of the two normal densities that the scores of `additive_world` have."""
    natural = 0.5 * (scores**2 / H2_VARIANCE - (scores - DERIVED_MEAN) ** 2 / H1_VARIANCE)
    return np.asarray((natural + 0.5 * np.log(H2_VARIANCE / H1_VARIANCE)) / np.log(10))
