"""Rows of unit length and the cosines between them."""

import numpy as np

from whorl.core.arrays import AnyArray, Floats


def unit_rows(rows: AnyArray, *, shortest: float = 0.0) -> Floats:
    """Rows divided by their length; rows no longer than ``shortest`` have no direction and become zero.

    Parameters
    ----------
    rows : shape (n, k)
    """
    floats = np.asarray(rows, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", floats, floats))
    lengths[lengths <= shortest] = np.inf
    return np.asarray(floats / lengths[:, None], np.float32)


def cosines(left: AnyArray, right: AnyArray) -> Floats:
    """Cosine of every left row with every right row; 0 where either is zero."""
    return unit_rows(left) @ unit_rows(right).T
