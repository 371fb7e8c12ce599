"""Is a matrix of differences structured, as training leaves it, or featureless, as rounding does?"""

from functools import cache

import numpy as np

from whorl.core.arrays import Floats

_SEED = 0


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
    Marchenko and Pastur, Distribution of eigenvalues for some sets of random matrices, 1967; the edge is simulated once
    for each shape, since shapes are small.
    """
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    rows = matrix[length[:, 0] > 0] / length[length[:, 0] > 0]
    if len(rows) < 2:
        return 0.0
    singular = np.linalg.svd(rows, compute_uv=False)
    median = float(np.median(singular))
    return float(singular[0]) / (median * _edge_over_median(*rows.shape)) if median > 0 else float("inf")


@cache
def _edge_over_median(rows: int, columns: int) -> float:
    noise = np.random.Generator(np.random.Philox(_SEED)).standard_normal((rows, columns), np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    singular = np.linalg.svd(noise, compute_uv=False)
    return float(singular[0] / np.median(singular))
