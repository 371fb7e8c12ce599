"""Scored pairs of models with known truth, and the family as the unit that is independent.

A family is one pre-training run with all its descendants. Pairs that touch the same family are not independent, so
nothing here ever resamples or counts pairs: weights, errors and limits all come from leaving out one family.
"""

from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints

MIN_FAMILIES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledPairs:
    """Scored pairs with known truth; made by `labelled_pairs`, which copies and checks. The arrays are read-only.

    Parameters
    ----------
    scores : shape (n, k), one column per score
    is_h1 : shape (n,), whether the first proposition (derived) holds; elsewhere the named alternative does
    families : shape (n, 2), which families the pair touches, as places in ``labels``, the smaller first
    weights : shape (n,), positive
    labels : shape (F,), the families' own labels, sorted
    """

    scores: Doubles
    is_h1: AnyArray
    families: Ints
    weights: Doubles
    labels: Ints

    @property
    def smaller_side(self) -> int:
        """Families under the first proposition or under the alternative, whichever are fewer."""
        return min(np.unique(self.families[side]).size for side in (self.is_h1, ~self.is_h1))


def labelled_pairs(
    scores: AnyArray, is_h1: AnyArray, families: AnyArray, weights: AnyArray | None = None
) -> LabelledPairs:
    """Check scored pairs and bring them into one form.

    Parameters
    ----------
    scores : shape (n,) or (n, k), finite
    is_h1 : shape (n,), bool
    families : shape (n, 2), integers
        The two families a pair touches, in any order; both the same for a parent and its child.
    weights : shape (n,), positive; left out, `family_pair_weights`

    Raises
    ------
    ValueError
        If shapes do not fit, a score or weight is not finite, either class is empty, or there are fewer than 3
        families.
    """
    columns = np.array(scores, np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    truth, touched = np.array(is_h1), np.array(families)
    if columns.ndim != 2 or truth.shape != (len(columns),) or touched.shape != (len(columns), 2):
        raise ValueError(
            f"expected n scores, n truths and n pairs of families, got shapes {columns.shape}, {truth.shape} and "
            f"{touched.shape}"
        )
    if truth.dtype != np.bool_ or not np.issubdtype(touched.dtype, np.integer):
        raise ValueError(f"expected bool truths and integer families, got {truth.dtype} and {touched.dtype}")
    if not np.isfinite(columns).all():
        raise ValueError("scores must be finite: leave out pairs that could not be compared, and say how many")
    if truth.all() or not truth.any():
        missing = "the alternative" if truth.all() else "the first proposition"
        raise ValueError(f"no pair under {missing}: a ratio needs pairs of both kinds")
    labels, codes = np.unique(touched, return_inverse=True)
    if labels.size < MIN_FAMILIES:
        raise ValueError(f"expected at least {MIN_FAMILIES} families, got {labels.size}: pairs of one family are one")
    codes = np.sort(codes.reshape(-1, 2), axis=1).astype(np.int64)
    heavy = family_pair_weights(truth, codes) if weights is None else np.array(weights, np.float64)
    if heavy.shape != (len(columns),) or not (np.isfinite(heavy).all() and (heavy > 0).all()):
        raise ValueError("expected one positive, finite weight per pair")
    for array in (columns, truth, codes, heavy, labels):
        array.flags.writeable = False
    return LabelledPairs(scores=columns, is_h1=truth, families=codes, weights=heavy, labels=labels.astype(np.int64))


def family_pair_weights(is_h1: AnyArray, families: AnyArray) -> Doubles:
    """Weights that make every two families count once under each proposition, however many descendants they have.

    Parameters
    ----------
    is_h1 : shape (n,), bool
    families : shape (n, 2), integers in any order

    Returns
    -------
    shape (n,); they sum to the number of family pairs seen under the one proposition plus those under the other
    """
    keys = np.column_stack([np.sort(families, axis=1), np.asarray(is_h1, np.int64)])
    _, group, size = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / size[group.ravel()], np.float64)


def can_be_held_out(pairs: LabelledPairs) -> bool:
    """Whether pairs of both kinds are left when both families of any pair are taken out."""
    count = pairs.labels.size
    for side in (pairs.is_h1, ~pairs.is_h1):
        left, right = pairs.families[side].T
        between = np.zeros((count, count))
        np.add.at(between, (left, right), 1)
        both = between + between.T - np.diag(np.diagonal(between))
        touched = both.sum(axis=1)
        one, other = pairs.families.T
        removed = touched[one] + np.where(one == other, 0, touched[other] - both[one, other])
        if (removed >= np.count_nonzero(side)).any():
            return False
    return True


def touching(families: Ints, count: int) -> AnyArray:
    """Which pairs touch which family, bool of shape (count, n)."""
    numbers = np.arange(count)[:, None]
    return np.asarray((families[:, 0] == numbers) | (families[:, 1] == numbers))


def deleted_family_means(values: Doubles, families: Ints, weights: Doubles, count: int) -> Doubles:
    """Weighted means of what is left when all pairs that touch one family are removed.

    Parameters
    ----------
    values, weights : shape (n,)
    families : shape (n, 2), places 0 to ``count`` - 1

    Returns
    -------
    shape (count,)

    Raises
    ------
    ValueError
        If one family is in every pair.
    """
    crossing = families[:, 0] != families[:, 1]
    removed = np.zeros((2, count))
    for row, array in zip(removed, (weights, weights * values), strict=True):
        row += np.bincount(families[:, 0], array, minlength=count)
        row += np.bincount(families[crossing, 1], array[crossing], minlength=count)
    kept = weights.sum() - removed[0]
    if not (kept > weights.sum() * 1e-9).all():
        raise ValueError("one family is in every pair: an error over families needs pairs without it")
    return np.asarray((weights @ values - removed[1]) / kept, np.float64)


def jackknife_error(deleted: Doubles) -> Doubles:
    """Standard error from estimates that each left out one family.

    The square root of (F - 1)/F times the sum of squared deviations from their mean, along the first axis.

    References
    ----------
    Miller, The jackknife: a review, Biometrika 61(1), 1974.
    """
    count = len(deleted)
    return np.asarray(np.sqrt((count - 1) / count * ((deleted - deleted.mean(axis=0)) ** 2).sum(axis=0)))
