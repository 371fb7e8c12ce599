"""The best rows with at most so many of one claimant, so that a flood of one claimant's entries hides nobody else's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import Doubles, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Rows with their exact scores, in no order."""

    keys: Ints
    groups: Ints
    scores: Doubles

    @classmethod
    def joined(cls, parts: Sequence["Scored"]) -> "Scored":
        return cls(
            keys=np.concatenate([np.zeros(0, np.int64), *(part.keys for part in parts)]),
            groups=np.concatenate([np.zeros(0, np.int64), *(part.groups for part in parts)]),
            scores=np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
        )


def capped(keys: Ints, groups: Ints, scores: Doubles, per_group: int) -> Ints:
    """Positions of the hits that stay, best first, equals by key; the ``per_group`` best of each group stay."""
    order = np.lexsort((keys, -scores))
    ranked = groups[order]
    together = np.argsort(ranked, kind="stable")
    starts = np.flatnonzero(np.diff(ranked[together], prepend=-1))
    lengths = np.diff(starts, append=len(order))
    place_in_group = np.arange(len(order)) - np.repeat(starts, lengths)
    stays = np.zeros(len(order), bool)
    stays[together] = place_in_group < per_group
    return np.asarray(order[stays], np.int64)


def full_groups(groups: Ints, per_group: int) -> Ints:
    """Groups that occur ``per_group`` times or more."""
    numbers, counts = np.unique(groups, return_counts=True)
    return np.asarray(numbers[counts >= per_group], np.int64)


def best_rows(
    bounds: Floats,
    groups: Sequence[Ints],
    score: Callable[[Ints], Scored],
    *,
    before: Scored,
    top: int,
    per_group: int,
) -> Scored:
    """The ``top`` best of all rows and of ``before``, capped per group, best first, equals by key.

    Parameters
    ----------
    bounds : shape (n,), as from `upper_bounds`; used up
    groups : of the n rows, in parts
    score : exact scores of the rows at some positions
    before : rows that were scored elsewhere
    """
    scored, width = before, max(64, 4 * top)
    while True:
        cut = _cut(bounds, width)
        chosen = np.flatnonzero((bounds >= cut) & (bounds > -np.inf))
        scored = Scored.joined([scored, score(chosen)])
        bounds[chosen] = -np.inf
        stay = capped(scored.keys, scored.groups, scored.scores, per_group)[:top]
        if cut == -np.inf or (len(stay) == top and scored.scores[stay[-1]] >= cut):
            return Scored(keys=scored.keys[stay], groups=scored.groups[stay], scores=scored.scores[stay])
        # Rows below the cut cannot displace what these groups already have above it.
        full = full_groups(scored.groups[scored.scores >= cut], per_group)
        bounds[np.concatenate([np.isin(part, full) for part in groups])] = -np.inf
        width *= 4


def _cut(bounds: Floats, width: int) -> float:
    """A bound with about ``width`` rows above it, from some of the rows; -inf if there are hardly more."""
    sample = bounds[:: min(width // 4, 1 + len(bounds) // (1 << 16))]
    rank = -(-width * len(sample) // max(1, len(bounds)))
    return float(np.partition(sample, len(sample) - rank)[len(sample) - rank]) if rank < len(sample) else -np.inf
