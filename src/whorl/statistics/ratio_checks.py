"""Is it true that unrelated pairs get large ratios rarely enough? Turing's check, in a form that samples can answer.

Null hypothesis: the ratios are calibrated or cautious, so that E[LR | H2] <= 1 and, by Markov's inequality,
t P(LR >= t | H2) <= 1 for every t. A plain mean of ratios (`mean_ratio`) misleads both ways, because a handful of huge
ones carry it; hence means of ratios cut off at c (`turing_checks`).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanRatio:
    """The plain mean of ratios, with a two-sided 95 % delete-one-family jackknife of its logarithm.

    Parameters
    ----------
    mean, lower, upper : weighted mean of LR; its limits speak of ratios as large as those that were observed
    largest : log10 of the largest ratio among them
    """

    mean: float
    lower: float
    upper: float
    largest: float

    @property
    def refuted(self) -> bool:
        """Whether the ratios are shown to be too large on average."""
        return self.lower > 1


def mean_ratio(log10_lr: AnyArray, families: AnyArray, weights: AnyArray) -> MeanRatio:
    """Turing's identity on pairs for which the alternative holds: E[LR | H2] is 1 for calibrated ratios.

    A family is deleted with all its pairs. A bootstrap would have to draw families with replacement, and two copies of
    one family have no pairs between them.

    Parameters
    ----------
    log10_lr, families, weights : as in `turing_checks`, but finite

    Raises
    ------
    ValueError
        As `turing_checks`; or if a ratio is infinite.
    """
    ratios, codes, heavy, count = _checked(log10_lr, families, weights)
    if not np.isfinite(ratios).all():
        raise ValueError("the mean of infinite ratios is infinite")
    values = 10.0**ratios
    mean = float(np.average(values, weights=heavy))
    error = float(jackknife_error(np.log(np.maximum(deleted_family_means(values, codes, heavy, count), 1e-300))))
    reach = math.exp(min(700.0, student_quantile(count - 1, 0.975) * error))
    return MeanRatio(mean=mean, lower=mean / reach, upper=mean * reach, largest=float(ratios.max()))


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
    ratios, codes, heavy, count = _checked(log10_lr, families, weights)
    comparisons = effective_comparisons(codes, rho=None)
    quantile = student_quantile(count - 1, 0.95)
    checks = []
    for level in levels:
        if not 1 < level < math.inf:
            raise ValueError(f"a level is a ratio above 1, got {level}")
        cut = 10.0 ** np.minimum(ratios, math.log10(level))
        reaching = ratios >= math.log10(level)
        mean, share = (float(np.average(array, weights=heavy)) for array in (cut, reaching))
        means, shares = (
            deleted_family_means(array.astype(np.float64), codes, heavy, count) for array in (cut, reaching)
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


def _checked(log10_lr: AnyArray, families: AnyArray, weights: AnyArray) -> tuple[Doubles, Ints, Doubles, int]:
    """Ratios, families as places, weights, and the number of families."""
    ratios, touched, heavy = np.asarray(log10_lr, np.float64), np.asarray(families), np.asarray(weights, np.float64)
    if not ratios.size or ratios.ndim != 1 or touched.shape != (ratios.size, 2) or heavy.shape != ratios.shape:
        raise ValueError("expected at least one ratio, and two families and a weight for each")
    if np.isnan(ratios).any() or not (np.isfinite(heavy).all() and (heavy > 0).all()):
        raise ValueError("ratios must be numbers and weights positive: leave out pairs without a ratio")
    labels, codes = np.unique(touched, return_inverse=True)
    if labels.size < 3:
        raise ValueError(f"expected at least 3 families, got {labels.size}")
    return ratios, codes.reshape(-1, 2).astype(np.int64), heavy, labels.size
