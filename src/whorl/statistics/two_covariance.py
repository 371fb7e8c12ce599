"""Does a sample come from this class, from another one, or from none that is known? The two-covariance model.

A vector is its class's mean plus noise; class means and noise are normal, with one covariance between and one within
classes. The noise covariance is estimated in full and shrunk. Two questions are kept apart: does the sample speak for
the class *against* other classes like those known (`log_ratios`), and is it what the class itself would give (`fits`)?
A sample of an unknown class may lie nearer to a known one than others do, in a direction that no known class takes:
only the second question notices.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles

SHRINKAGE: Final = 0.1
INFLATION: Final = 2.0
"""Vectors of a class count as this many times fewer: given their class they are not quite independent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoCovariance:
    """A fitted model.

    Parameters
    ----------
    transform : shape (d, d)
        Multiplied from the right it brings vectors into coordinates in which the covariance within classes is the
        identity and that between classes is diagonal. All functions here take transformed vectors.
    between : shape (d,), variances of class means in those coordinates, not negative
    """

    transform: Doubles
    between: Doubles


def fit_two_covariance(
    within: AnyArray, means: AnyArray, *, enrolled: float, shrinkage: float = SHRINKAGE
) -> TwoCovariance:
    """Fit to a pooled covariance and to class means.

    Parameters
    ----------
    within : shape (d, d), pooled covariance of vectors around the mean of their class
    means : shape (k, d), k at least 2; the origin counts as the centre of all classes
    enrolled : vectors behind a mean
    shrinkage : weight of the identity, scaled to the mean variance, in the covariance within

    Raises
    ------
    ValueError
        If ``within`` is zero: the vectors of a class do not vary at all.

    References
    ----------
    Brummer and de Villiers, The speaker partitioning problem, Odyssey 2010. Ledoit and Wolf, Journal of Multivariate
    Analysis 88, 2004 (shrinkage towards the scaled identity).
    """
    dimension = len(within)
    scale = float(np.trace(within)) / dimension
    if not scale > 0:
        raise ValueError("vectors do not vary within their classes")
    shrunk = (1 - shrinkage) * np.asarray(within, np.float64) + shrinkage * scale * np.eye(dimension)
    whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    white = np.asarray(means, np.float64) @ whitening
    spread, axes = np.linalg.eigh(white.T @ white / len(white) - np.eye(dimension) / enrolled)
    return TwoCovariance(transform=whitening @ axes, between=np.maximum(spread, 0.0))


def log_ratios(
    model: TwoCovariance, samples: AnyArray, means: AnyArray, *, size: int, enrolled: float, paired: bool = False
) -> Doubles:
    """Natural logarithm of the ratio "from this class" against "from some class", for means of samples.

    Parameters
    ----------
    samples : shape (n, d), each the mean of ``size`` vectors, transformed
    means : shape (k, d), transformed means of ``enrolled`` vectors; (n, d) if ``paired``
    paired : each sample against the mean in the same row

    Returns
    -------
    shape (n, k), or (n,) if ``paired``

    Notes
    -----
    Scores, not calibrated: real vectors are not normal.
    """
    noise = INFLATION / enrolled
    known = model.between / (model.between + noise)
    from_class = model.between * (1 - known) + INFLATION / size
    from_any = model.between + INFLATION / size
    constant = 0.5 * float((np.log(from_any) - np.log(from_class)).sum())
    background = 0.5 * (samples**2) @ (1 / from_any)
    distance = _distances(samples, means * known, from_class, paired=paired)
    return np.asarray((background if paired else background[:, None]) - 0.5 * distance + constant)


def fits(samples: AnyArray, means: AnyArray, *, size: int, enrolled: float, paired: bool = False) -> Doubles:
    """Minus half the squared distance between sample and class mean, in units of its noise.

    Parameters and shapes as in `log_ratios`.
    """
    noise = np.full(samples.shape[1], INFLATION / size + INFLATION / enrolled)
    return -0.5 * _distances(samples, means, noise, paired=paired)


def _distances(samples: AnyArray, means: AnyArray, variances: Doubles, *, paired: bool) -> Doubles:
    if paired:
        return np.asarray(((samples - means) ** 2) @ (1 / variances))
    weighed = means / variances
    return np.asarray(
        ((samples**2) @ (1 / variances))[:, None] - 2 * samples @ weighed.T + (means * weighed).sum(axis=1)[None]
    )
