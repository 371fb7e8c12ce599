"""Is it true that unrelated pairs get large ratios rarely enough? Turing's check, in a form that samples can answer.

Null hypothesis: the ratios are calibrated or cautious, so that E[LR | H2] <= 1 and, by Markov's inequality,
t P(LR >= t | H2) <= 1 for every t. A plain mean of ratios misleads both ways, because a handful of huge ones carry it;
hence means of ratios cut off at c.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray
from whorl.statistics.labelled_pairs import deleted_family_means, jackknife_error
from whorl.statistics.ratio_caps import effective_comparisons, rate_upper_limit
from whorl.statistics.student import student_quantile

LEVELS: Final = (10.0, 100.0, 1000.0)
TOLERANCE: Final = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TuringCheck:
    """Means that may not exceed 1, with one-sided 95 % limits.

    Parameters
    ----------
    level : c, the ratio at which larger ones are cut
    mean : weighted mean of min(LR, c)
    lower, upper : delete-one-family jackknife limits of ``mean``, each one-sided; the upper one of its logarithm
    unseen : what ratios larger than any observed, too rare for so few families to show, could add to the mean
    reaching : pairs with LR >= c
    excess : c times the weighted share of such pairs
    excess_upper : the larger of its jackknife limit and c times its Clopper-Pearson limit
    """

    level: float
    mean: float
    lower: float
    upper: float
    unseen: float
    reaching: int
    excess: float
    excess_upper: float

    @property
    def refuted(self) -> bool:
        """Whether the ratios are shown to be too large: do not report them."""
        return self.lower > 1

    @property
    def supported(self) -> bool:
        """Whether the families suffice to show that the mean is at most 1.2. Neither: not refuted, and too few data."""
        return self.upper + self.unseen <= TOLERANCE


def turing_checks(
    log10_lr: AnyArray, families: AnyArray, weights: AnyArray, *, levels: tuple[float, ...] = LEVELS
) -> tuple[TuringCheck, ...]:
    """Check E[min(LR, c)] <= 1 and c P(LR >= c) <= 1 on pairs for which the alternative holds.

    For opposing ratios give the pairs for which the first proposition holds, with the sign of log10 LR turned.

    Parameters
    ----------
    log10_lr : shape (n,), held-out ratios
    families : shape (n, 2), integers in any order
    weights : shape (n,), positive, as in `LabelledPairs.weights`

    Notes
    -----
    Jackknife limits speak of what was observed. Where no ratio reached a level their spread is 0, which is no proof:
    ``unseen`` and the Clopper-Pearson limit stand for what `effective_comparisons` with unknown correlation may miss.

    Raises
    ------
    ValueError
        If there is no pair, a ratio is NaN, fewer than 3 families, or one family is in every pair.
    """
    ratios, touched, heavy = np.asarray(log10_lr, np.float64), np.asarray(families), np.asarray(weights, np.float64)
    if not ratios.size or ratios.ndim != 1 or touched.shape != (ratios.size, 2) or heavy.shape != ratios.shape:
        raise ValueError("expected at least one ratio, and two families and a weight for each")
    if np.isnan(ratios).any() or not (np.isfinite(heavy).all() and (heavy > 0).all()):
        raise ValueError("ratios must be numbers and weights positive: leave out pairs without a ratio")
    labels, codes = np.unique(touched, return_inverse=True)
    if labels.size < 3:
        raise ValueError(f"expected at least 3 families, got {labels.size}")
    codes = codes.reshape(-1, 2)
    comparisons = effective_comparisons(codes, rho=None)
    quantile = student_quantile(labels.size - 1, 0.95)
    checks = []
    for level in levels:
        if not 1 < level < math.inf:
            raise ValueError(f"a level is a ratio above 1, got {level}")
        cut = 10.0 ** np.minimum(ratios, math.log10(level))
        reaching = ratios >= math.log10(level)
        mean, share = (float(np.average(array, weights=heavy)) for array in (cut, reaching))
        means, shares = (
            deleted_family_means(array.astype(np.float64), codes, heavy, labels.size) for array in (cut, reaching)
        )
        # The upper limit on the logarithm: such means are positive and skewed, and a symmetric limit is too low.
        factor = math.exp(min(700.0, quantile * float(jackknife_error(np.log(np.maximum(means, 1e-300))))))
        share_limit = max(rate_upper_limit(share, comparisons), share + quantile * float(jackknife_error(shares)))
        checks.append(
            TuringCheck(
                level=level,
                mean=mean,
                lower=max(0.0, mean - quantile * float(jackknife_error(means))),
                upper=min(level, mean * factor),
                unseen=(level - float(cut.max())) * rate_upper_limit(0.0, comparisons),
                reaching=int(reaching.sum()),
                excess=level * share,
                excess_upper=level * min(1.0, share_limit),
            )
        )
    return tuple(checks)
