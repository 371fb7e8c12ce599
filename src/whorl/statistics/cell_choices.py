"""Low-entropy choices: one-word answers drawn many times per cell, and whether two samples have one distribution.

Null: in every cell the answers of both samples are independent draws from one distribution. Then the p-value is exact,
whatever the cells' distributions are and however unequal the samples. It is about the *endpoint* (weights, system
prompt, sampling settings together), not about weights. Method page: ``docs/methods/low_entropy_choices.md``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.statistics.detection_power import DetectionPower, detection_power
from whorl.statistics.not_testable import NotTestable

_MOST_AT_ONCE: Final = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTest:
    """Two samples of choices compared cell by cell.

    Parameters
    ----------
    cells : cells with answers of both samples
    g2 : likelihood-ratio statistic summed over cells
    expected : its mean over the permutations
    p : (1 + permutations at least as large) / (1 + permutations)
    divergence : mean over cells of the Jensen-Shannon divergence in bits, 0 to 1: the effect size
    divergence_by_chance : its mean over the permutations, far from 0 where draws are few
    """

    cells: int
    g2: float
    expected: float
    p: float
    divergence: float
    divergence_by_chance: float


def choice_counts(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> tuple[Ints, Ints]:
    """Counts of two samples over the answers that occur, shapes (cells, most answers in a cell).

    Parameters
    ----------
    first, second : per cell the answers, normalised alike
    """
    answers = [sorted({*one, *other}) for one, other in zip(first, second, strict=True)]
    width = max(map(len, answers), default=0)
    tables = (np.zeros((len(answers), width), np.int64), np.zeros((len(answers), width), np.int64))
    for table, sample in zip(tables, (first, second), strict=True):
        for cell, given in enumerate(sample):
            place = {answer: number for number, answer in enumerate(answers[cell])}
            np.add.at(table[cell], [place[answer] for answer in given], 1)
    return tables


def g_statistic(first: AnyArray, second: AnyArray) -> Doubles:
    """G^2 = 2 sum O ln(O / E) of the two-row table of each cell.

    Parameters
    ----------
    first, second : counts of shape (..., categories)

    Returns
    -------
    shape (...)
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    total = one.sum(axis=-1) + other.sum(axis=-1)
    inner = _n_log_n(one).sum(axis=-1) + _n_log_n(other).sum(axis=-1) + _n_log_n(total)
    outer = _n_log_n(one.sum(axis=-1)) + _n_log_n(other.sum(axis=-1)) + _n_log_n(one + other).sum(axis=-1)
    return np.asarray(np.maximum(2 * (inner - outer), 0.0))


def jensen_shannon(first: AnyArray, second: AnyArray) -> Doubles:
    """Jensen-Shannon divergence in bits of each cell's two distributions, as counted: biased upwards by few draws.

    Parameters
    ----------
    first, second : counts of shape (..., categories), no cell empty

    Returns
    -------
    shape (...), between 0 and 1

    References
    ----------
    Lin, IEEE Transactions on Information Theory 37(1), 1991.
    """
    shares = [np.asarray(counts, np.float64) for counts in (first, second)]
    one, other = (share / share.sum(axis=-1, keepdims=True) for share in shares)
    middle = (one + other) / 2
    entropy = _n_log_n(middle) - (_n_log_n(one) + _n_log_n(other)) / 2
    return np.asarray(np.clip(-entropy.sum(axis=-1) / math.log(2), 0.0, 1.0))


def cell_test(
    first: AnyArray, second: AnyArray, *, permutations: int, rng: np.random.Generator
) -> CellTest | NotTestable:
    """G-test summed over cells, with answers dealt anew between the samples within each cell.

    Parameters
    ----------
    first, second : counts of shape (cells, categories); cells without answers of one sample are left out
    permutations : 999 or more; p is never below 1 / (1 + permutations)

    References
    ----------
    Sokal and Rohlf, Biometry, 1981 (G-test). Phipson and Smyth, Statistical Applications in Genetics and Molecular
    Biology 9(1), 2010 (the added 1).
    """
    if permutations < 1:
        raise ValueError(f"expected at least 1 permutation, got {permutations}")
    one, other = _checked(first, second)
    if not len(one):
        return NotTestable(reason="too_few_items", detail="expected a cell with answers of both samples, found none")
    pooled, size = one + other, one.sum(axis=1)
    if (pooled > 0).sum(axis=1).max() < 2:
        return NotTestable(
            reason="no_variation",
            detail=f"in each of {len(one)} cells all answers of both samples are the same; draw at temperature 1",
        )
    observed = g_statistic(one, other)
    drawn = np.zeros(permutations)
    divergence = 0.0
    step = max(1, _MOST_AT_ONCE // pooled.shape[1])
    for start in range(0, permutations, step):
        part = slice(start, min(start + step, permutations))
        for cell, counts in enumerate(pooled):
            dealt = rng.multivariate_hypergeometric(counts, int(size[cell]), size=part.stop - part.start)
            drawn[part] += g_statistic(dealt, counts - dealt)
            divergence += float(jensen_shannon(dealt, counts - dealt).sum())
    total = float(observed.sum())
    return CellTest(
        cells=len(one),
        g2=total,
        expected=float(drawn.mean()),
        # A table that was dealt again gives the same sum up to rounding, and is a tie.
        p=(1 + int(np.count_nonzero(drawn >= total * (1 - 1e-12) - 1e-9))) / (1 + permutations),
        divergence=float(jensen_shannon(one, other).mean()),
        divergence_by_chance=divergence / (len(one) * permutations),
    )


def cell_power(
    reference: AnyArray,
    models: Sequence[AnyArray],
    *,
    draws: int,
    level: float,
    permutations: int,
    trials: int,
    rng: np.random.Generator,
) -> DetectionPower:
    """How probably `cell_test` would tell another model from the reference, by trying it on models that were asked.

    In each trial, ``draws`` answers per cell of a model are taken without replacement and tested against the
    reference. Drawn with replacement, the model's sampling noise would count as a difference and the power would be
    too high.

    Parameters
    ----------
    reference : counts of shape (cells, categories)
    models : counts of the same shape, each of another model; at least one
    draws : answers per cell that the questioned endpoint gives; a cell with fewer answers of a model uses them all
    level : a p-value at or below rejects
    trials : per model; 1 where models gave no more answers than ``draws``

    Returns
    -------
    mean over models, with a Clopper-Pearson interval that counts models and not trials
    """
    if min(draws, trials, len(models)) < 1 or not 1 / (1 + permutations) <= level < 1:
        raise ValueError("expected draws, trials and models, and permutations enough to reach the level")
    shares = []
    for counts in models:
        hits = 0
        for _ in range(trials):
            taken = np.array(
                [rng.multivariate_hypergeometric(row, min(draws, int(row.sum()))) for row in np.asarray(counts)]
            )
            found = cell_test(reference, taken, permutations=permutations, rng=rng)
            hits += isinstance(found, CellTest) and found.p <= level
        shares.append(hits / trials)
    return detection_power(shares)


def _checked(first: AnyArray, second: AnyArray) -> tuple[Ints, Ints]:
    one, other = np.asarray(first), np.asarray(second)
    if one.ndim != 2 or one.shape != other.shape or not all(np.issubdtype(c.dtype, np.integer) for c in (one, other)):
        raise ValueError(f"expected integer counts of shape (cells, categories), got {one.shape} and {other.shape}")
    if min(one.min(initial=0), other.min(initial=0)) < 0:
        raise ValueError("counts cannot be negative")
    used = (one.sum(axis=1) > 0) & (other.sum(axis=1) > 0)
    return one[used].astype(np.int64), other[used].astype(np.int64)


def _n_log_n(values: Doubles) -> Doubles:
    return np.asarray(values * np.log(np.where(values > 0, values, 1.0)))
