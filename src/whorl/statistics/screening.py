"""One model held against many: which of many e-values may be followed up, with few false leads among them.

A hit is a lead, never a finding: nothing here is evidence in a case. Confirm it on another group of evidence; fresh
questions to the same models repeat the same coincidence.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Ints

ALPHA: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leads:
    """What e-BH let through.

    Parameters
    ----------
    places : which of the e-values, the largest first
    searched : how many were held against it, hits or not
    alpha : bound of the expected share of false leads
    needed_alone : log10 of what a single hit would have needed, searched / alpha
    """

    places: Ints
    searched: int
    alpha: float
    needed_alone: float


def follow_up(log10_e: AnyArray, *, alpha: float = ALPHA) -> Leads:
    """e-BH: the k largest e-values, k being the most for which the smallest of them reaches N / (alpha k).

    Null hypothesis, one per e-value: its mean is at most 1. The expected share of false leads is then at most alpha,
    however the e-values depend on each other.

    Parameters
    ----------
    log10_e : shape (N,), of everything that was searched; minus infinity where an e-value is 0
        Of a sequential test, at the time it was stopped: a running maximum is no e-value. Of a calibrated ratio, the
        lower end of its interval, cut at its caps.
    alpha : strictly between 0 and 1

    Notes
    -----
    A lone hit needs N / alpha: in a registry of 10,000 more than any population of families can show. Equal e-values
    are led up in the order given; as many as reach the limit pass together.

    References
    ----------
    Wang and Ramdas, False discovery rate control with e-values, JRSS B 84(3), 2022.
    """
    values = np.asarray(log10_e, np.float64)
    if values.ndim != 1 or not values.size or np.isnan(values).any():
        raise ValueError(f"expected one e-value per candidate, got shape {values.shape}, or not all are numbers")
    if not 0 < alpha < 1:
        raise ValueError(f"a share of false leads lies strictly between 0 and 1, got {alpha}")
    count = values.size
    order = np.argsort(-values, kind="stable")
    # Compared as logarithms, with a hair for their rounding.
    needed = math.log10(count / alpha) - np.log10(np.arange(1, count + 1))
    passed = np.flatnonzero(values[order] >= needed - 1e-12)
    most = int(passed[-1]) + 1 if passed.size else 0
    return Leads(
        places=order[:most].astype(np.int64), searched=count, alpha=alpha, needed_alone=math.log10(count / alpha)
    )
