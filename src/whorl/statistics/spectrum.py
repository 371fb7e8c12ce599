"""Is a matrix of differences structured, as training leaves it, or featureless, as rounding does?"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from whorl.core.arrays import Doubles, Floats
from whorl.statistics.cosines import unit_rows

_SEED = 0
ABOVE_NOISE = 1.05


def largest_over_noise(matrix: Floats) -> float:
    """Largest singular value over the one that noise of the same size would have; about 1 for noise.

    Null: the entries of each row are independent, of mean zero and of one variance per row. Rows are brought to one
    length first, so that rows of different variance (quantisation steps follow the row) leave the null true; columns of
    very different variance do not. The size of the noise is taken from the median singular value, which a few strong
    directions do not move.

    Parameters
    ----------
    matrix : shape (n, k), both at least 2; zero rows are left out

    Returns
    -------
    The ratio; 0.0 where fewer than 2 rows are not zero.

    References
    ----------
    Marchenko and Pastur, Distribution of eigenvalues for some sets of random matrices, 1967; the spectrum of
    noise is simulated once for each shape.
    """
    rows = _directions(matrix)
    if len(rows) < 2:
        return 0.0
    singular, noise = _singular(rows), _noise(*rows.shape)
    median = float(np.median(singular))
    return float(singular[0] / median / (noise[0] / np.median(noise))) if median > 0 else float("inf")


def structured_share(matrix: Floats) -> float:
    """Share of a matrix's energy that lies above featureless noise: what training has visibly written into it.

    The noise is scaled to the lower half of the singular values, which a few strong directions do not reach. Weights
    as initialised give about 0 (slightly below or above); training of high rank that looks like noise is not seen, so
    the share is a lower estimate. It does not change under rotations of the columns' space, reordering or rescaling
    of rows.

    Parameters
    ----------
    matrix : shape (n, k); zero rows are left out

    Returns
    -------
    The share; 0.0 where fewer than 2 rows are not zero.
    """
    rows = _directions(matrix)
    if len(rows) < 2:
        return 0.0
    singular, noise = _singular(rows), _noise(*rows.shape)
    lower = slice(len(singular) // 2, None)
    scale = singular[lower].sum() / noise[lower].sum()
    return float(1 - scale**2 * np.square(noise).sum() / np.square(singular).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Structure:
    """What stands above featureless noise in a matrix.

    Parameters
    ----------
    part : shape (n, k), the matrix along directions that stand above noise, at least the strongest one; the rest is
        the matrix less it. For a matrix as initialised, one direction that noise happened to make strongest.
    share : of the energy, above noise, as `structured_share` gives it for rows of one length
    """

    part: Floats
    share: float


def split_structure(matrix: Floats) -> Structure:
    """A matrix split in what training wrote, as far as it stands above noise, and the rest.

    The noise is scaled to the lower half of the singular values, as in `structured_share`.

    Parameters
    ----------
    matrix : shape (n, k), both at least 2
    """
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    noise = _noise(*matrix.shape)[: len(singular)]
    lower = slice(len(singular) // 2, None)
    scale = singular[lower].sum() / noise[lower].sum()
    kept = max(1, int(np.count_nonzero(singular > ABOVE_NOISE * scale * noise[0])))
    energy = np.square(singular, dtype=np.float64).sum()
    return Structure(
        part=np.asarray((left[:, :kept] * singular[:kept]) @ right[:kept], np.float32),
        share=float(1 - scale**2 * np.square(noise).sum() / energy) if energy > 0 else 0.0,
    )


def _directions(matrix: Floats) -> Floats:
    """The rows that are not zero, at unit length."""
    units = unit_rows(matrix)
    return units[units.any(axis=1)]


def _singular(rows: Floats) -> Doubles:
    """Singular values, largest first, by the smaller Gram matrix: several times faster than a decomposition."""
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram.astype(np.float64))[::-1], 0))


@cache
def _noise(rows: int, columns: int) -> Doubles:
    generator = np.random.Generator(np.random.Philox(_SEED))
    return _singular(unit_rows(generator.standard_normal((rows, columns), np.float32)))
