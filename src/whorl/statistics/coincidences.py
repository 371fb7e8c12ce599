"""Index coincidences: rows that find their counterpart at their own position.

Null hypothesis of everything here: the two models are independent, and for at least one of them every order of its
rows (neurons, or residual dimensions up to sign) was equally likely. The proofs are in
``docs/methods/index_coincidences.md`` and ``docs/methods/residual_coincidences.md``.
"""

import math
from collections.abc import Sequence

import numpy as np

from whorl.core.arrays import Floats, Ints

# Two exact duplicates get dot products that differ in the last bits, depending on where they stand in the matrix
# product. Treating only equal bits as a tie would let position decide between them, and the null forbids that.
TIE_MARGIN = 1e-5
_BLOCK_ROWS = 256


def mutual_best(similarity: Floats) -> Ints:
    """The reference row that is a questioned row's best match and whose best match that row is.

    The map is equivariant: reordering the rows of either model reorders the answer and changes nothing else. Hence no
    tie is broken by index. A best value that is not ahead of the runner-up by `TIE_MARGIN` of its size is no match,
    which also removes all-zero and all-equal rows; with a single candidate there is nothing to be best of.

    Parameters
    ----------
    similarity : shape (n_questioned, n_reference)
        Larger means more alike. Read once in place and once in blocks, never copied whole.

    Returns
    -------
    shape (n_questioned,); the index of the reference row, or -1. No reference row occurs twice.

    Raises
    ------
    ValueError
        If a row or column has a NaN or no finite best value.
    """
    rows, columns = similarity.shape
    if min(rows, columns) < 2:
        return np.full(rows, -1, dtype=np.int64)
    candidate = similarity.argmax(axis=1)
    row_best = similarity[np.arange(rows), candidate]
    column_best = similarity.max(axis=0)
    if not (np.isfinite(row_best).all() and np.isfinite(column_best).all()):
        raise ValueError("similarities must be finite")
    row_floor = row_best - TIE_MARGIN * np.abs(row_best)
    column_floor = column_best - TIE_MARGIN * np.abs(column_best)
    row_contenders = np.empty(rows, dtype=np.int64)
    column_contenders = np.zeros(columns, dtype=np.int64)
    for start in range(0, rows, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        row_contenders[block] = np.count_nonzero(similarity[block] >= row_floor[block, None], axis=1)
        column_contenders += np.count_nonzero(similarity[block] >= column_floor, axis=0)
    unique = (row_contenders == 1) & (column_contenders[candidate] == 1)
    return np.where(unique & (row_best == column_best[candidate]), candidate, -1).astype(np.int64)


def count_coincidences(
    match: Ints, *, questioned_index: Ints | None = None, reference_index: Ints | None = None
) -> int:
    """How many questioned rows are matched with the reference row of the same index.

    Parameters
    ----------
    match : shape (n_questioned,), row of the compared reference rows, or -1
    questioned_index, reference_index : shapes (n_questioned,) and (n_reference,)
        Where the compared rows stand in their layer; left out, row i stands at i.
    """
    if (questioned_index is None) != (reference_index is None):
        raise ValueError("give the indices of both sides or of neither")
    if questioned_index is None or reference_index is None:
        return int(np.count_nonzero(match == np.arange(match.size)))
    matched = match >= 0
    return int(np.count_nonzero(questioned_index[matched] == reference_index[match[matched]]))


def expected_coincidences(
    match: Ints, *, blocks: Sequence[int], questioned_index: Ints | None = None, reference_index: Ints | None = None
) -> float:
    """Bound on the mean number of coincidences of one layer under the null, given which rows found a counterpart.

    The sum of 1 / width over matches within one block. Layers add up. Far below 1 where few rows of a wide layer were
    compared, so that each hit counts for more.

    Parameters
    ----------
    match : one-to-one, as from `mutual_best`
    blocks : widths of the successive runs of rows that may change places among themselves
        A dense layer is one block. Neurons of a mixture keep to their expert, and its experts may change places whole:
        one block per expert. Where only rows at indices fixed in advance are compared, their number.
    questioned_index, reference_index : as in `count_coincidences`
    """
    here = np.arange(match.size) if questioned_index is None else questioned_index
    there = np.arange(match.max(initial=-1) + 1) if reference_index is None else reference_index
    matched = match >= 0
    ends = np.cumsum(blocks)
    ours, theirs = (np.searchsorted(ends, index, side="right") for index in (here[matched], there[match[matched]]))
    if max(ours.max(initial=-1), theirs.max(initial=-1)) >= len(ends):
        raise ValueError(f"a matched row stands beyond the {sum(blocks)} rows of the layer")
    return float((1 / np.asarray(blocks, dtype=np.float64)[ours[ours == theirs]]).sum())


def count_signed_coincidences(similarity: Floats) -> int:
    """How many residual dimensions are matched with the same dimension, and with a positive sign.

    Parameters
    ----------
    similarity : shape (d, d)
        Signed cosine of questioned dimension i and reference dimension j. Matching ignores the sign, so that under
        the null the sign of a match is a fair coin.
    """
    match = mutual_best(np.abs(similarity))
    positive = np.diagonal(similarity) > 0
    return int(np.count_nonzero((match == np.arange(match.size)) & positive))


def coincidence_log10_p(counts: Sequence[int], *, expected: float | None = None) -> float:
    """log10 of a bound on the chance of so many coincidences, summed over compared layers.

    With m coincidences in all and at most x expected, P(M >= m) <= x**(m - k) * k! / m! for m > k = floor(x), and 1
    otherwise. For one layer and x = 1 this is 1/m!. Never above the Chernoff bound exp(m - x) * (x/m)**m.

    Parameters
    ----------
    counts : one count per compared layer
        Layers that were compared must be listed even when their count is 0. No questioned and no reference layer may
        occur twice, and the pairs must have been chosen without looking at the order of rows.
    expected : sum over layers of `expected_coincidences`; left out, one per layer, which holds for dense layers

    Notes
    -----
    Null: the models are independent, and in one of them each layer's row order was uniform and independent of the
    other layers' orders. Valid for any equivariant map, hence for `mutual_best`, and for rows chosen by their content
    or at indices fixed in advance. Several views of one layer (gate, up, down) share its row order: they are not
    further layers. In a mixture of experts every expert counts as a layer.
    """
    return _moment_bound(_total(counts), expected=len(counts) if expected is None else expected)


def coincidence_log10_e(counts: Sequence[int], *, tilt: float, expected: float | None = None) -> float:
    """log10 of the e-value (1 + tilt)**m * exp(-tilt * x) for m coincidences where at most x are expected.

    Its expectation is at most 1 under the null of `coincidence_log10_p`. e-values of independent layers or later
    comparisons multiply; e-values of several views of one layer may only be averaged.

    Parameters
    ----------
    tilt : positive, fixed before looking at the counts
        Any fixed value is valid; best is (coincidences expected from a copy) / x - 1.
    """
    return _tilted(_total(counts), expected=len(counts) if expected is None else expected, tilt=tilt)


def signed_coincidence_log10_p(hits: int) -> float:
    """log10 of 1 / (2**m * m!), a bound on the chance of m signed residual coincidences.

    Null: the models are independent, and in one of them every order and sign of the residual dimensions was equally
    likely. Invalid with fixed (sinusoidal) position encodings added to the residual stream: they mark dimensions.
    """
    return _moment_bound(_total((hits,)), expected=0.5)


def _moment_bound(hits: int, *, expected: float) -> float:
    """Markov's inequality on C(M, r), whose mean is at most expected**r / r!; r = hits - floor(expected) is best."""
    _refuse_bad_expectation(expected)
    kept = math.floor(expected)
    if hits <= kept:
        return 0.0
    if expected == 0:
        raise ValueError(f"{hits} coincidences where no row is matched is impossible")
    natural = (hits - kept) * math.log(expected) + math.lgamma(kept + 1) - math.lgamma(hits + 1)
    return min(0.0, natural / math.log(10))


def _tilted(hits: int, *, expected: float, tilt: float) -> float:
    _refuse_bad_expectation(expected)
    if not 0 < tilt < math.inf:
        raise ValueError(f"tilt must be positive and finite, got {tilt}")
    return (hits * math.log1p(tilt) - tilt * expected) / math.log(10)


def _total(counts: Sequence[int]) -> int:
    if any(count < 0 for count in counts):
        raise ValueError(f"coincidences cannot be negative: {min(counts)}")
    return sum(counts)


def _refuse_bad_expectation(expected: float) -> None:
    if not 0 <= expected < math.inf:
        raise ValueError(f"the expected number of coincidences must be finite and at least 0, got {expected}")
