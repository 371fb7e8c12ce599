"""Several pieces of evidence about one null hypothesis into one.

e-values of independent comparisons multiply, so their log10 values are simply added. What is not independent (gate,
up and down of one layer; several statistics of one pair) goes through one of these.
"""

import math
from collections.abc import Sequence


def bonferroni_log10_p(log10_p: Sequence[float]) -> float:
    """log10 of the smallest p-value times their number; valid whatever their dependence.

    Parameters
    ----------
    log10_p : every p-value that was computed, not only those that look good
    """
    return min(0.0, min(log10_p) + math.log10(len(log10_p)))
