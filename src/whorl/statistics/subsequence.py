"""Matches that keep their order: the exact test for models of different widths.

Structured pruning drops neurons but keeps the order of those that stay, so the matches of a pruned copy rise. The
proof is in ``docs/methods/increasing_subsequence.md``.
"""

import math
from bisect import bisect_left

from whorl.core.arrays import Ints


def longest_increasing_subsequence(match: Ints) -> int:
    """Length of the longest strictly increasing subsequence of the matches, by patience sorting.

    Parameters
    ----------
    match : shape (n_questioned,)
        Reference index of each questioned row in its stored order; -1, no match, is left out.
    """
    # tails[i] is the smallest value that ends an increasing subsequence of length i + 1.
    tails: list[int] = []
    for value in match[match >= 0].tolist():
        position = bisect_left(tails, value)
        if position == len(tails):
            tails.append(value)
        else:
            tails[position] = value
    return len(tails)


def lis_log10_p(length: int, matched: int, *, comparisons: int = 1) -> float:
    """log10 of a bound on the chance that ``matched`` rows contain an increasing subsequence of this length.

    P(LIS >= q) <= C(k, r) / (r! * C(q, r)) for every r <= q; the best r is used. With r = q this is C(k, q) / q!.

    Parameters
    ----------
    length : the longest increasing subsequence, q
    matched : the number of questioned rows that have a match, k
        Rows without one are left out: under the null, how many match says nothing about their order.
    comparisons : how many layer pairs were tried to find this one (Bonferroni)

    Notes
    -----
    Null: the models are independent, and in one of them every order of the layer's rows was equally likely. Valid for
    any equivariant map, also many-to-one, and for rows chosen by their content or at indices fixed in advance. A
    mixture's experts must be tested one by one: their neurons do not change places with those of other experts.
    """
    if not 0 <= length <= matched:
        raise ValueError(f"an increasing subsequence of {length} among {matched} matches is impossible")
    if comparisons < 1:
        raise ValueError(f"comparisons must be at least 1, got {comparisons}")
    discriminant = length * length - 4 * (matched - length)
    if discriminant < 0:
        return 0.0
    # From r to r + 1 the bound changes by (k - r) / ((r + 1)(q - r)), which passes 1 for good at this root.
    drawn = min(length, math.ceil((length + math.sqrt(discriminant)) / 2))
    natural = _log_choose(matched, drawn) - math.lgamma(drawn + 1) - _log_choose(length, drawn)
    return min(0.0, natural / math.log(10) + math.log10(comparisons))


def _log_choose(total: int, drawn: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(drawn + 1) - math.lgamma(total - drawn + 1)
