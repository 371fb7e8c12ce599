"""Where on the tree a model hangs: from the origin towards it, as long as it contains the whole of the next step.

How much of each other model's change a model contains is solved for all of them at once. What several share because
they drifted alike is then dealt out among them, and only a real ancestor is contained whole.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles
from whorl.lineage.changes import DRIFT_QUANTILE, Changes, jackknife_deviation
from whorl.statistics.shares import nonnegative_solution

SURE: Final = 0.99
WHOLE: Final = 0.12  # a child contains its parent's whole change up to this
IN_PART: Final = 0.25  # blur of a step that is contained in part: noise on distances shrinks what is contained
UNDONE: Final = 0.75  # of the drift: how much of a parent's change long training may undo
LEAST_MARGIN: Final = 0.4  # most models hang on the origin: in doubt, this one does
ENOUGH: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """The tree so far: each model's parent (and how sure that is), the drift, and who may continue whom by edits."""

    origin: int
    drift: float
    parents: Mapping[int, tuple[int, float]]
    possible: Callable[[int, int], bool]

    def is_below(self, model: int, ancestor: int) -> bool:
        """Whether a model hangs on another one, at any distance."""
        while model in self.parents:
            model = self.parents[model][0]
            if model == ancestor:
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Parts:
    """How much of each candidate's change a model contains: shape (candidates,), and with each block left out."""

    model: int
    candidates: Sequence[int]
    changes: Changes
    placed: Placed
    whole: Doubles
    left_out: Doubles


def descend(model: int, candidates: Sequence[int], changes: Changes, placed: Placed) -> tuple[int, float]:
    """The node that the model hangs on, and how sure that is.

    Parameters
    ----------
    candidates : models that are placed already and may be ancestors
    changes : on the rows that the model has
    """
    parts = _Parts(
        model=model,
        candidates=candidates,
        changes=changes,
        placed=placed,
        whole=_contained(model, candidates, changes, changes.products),
        left_out=np.array([_contained(model, candidates, changes, gram) for gram in changes.without]),
    )
    here, sure = placed.origin, SURE
    while True:
        margins = [
            (_margin(parts, child, here), child)
            for child in candidates
            if placed.parents[child][0] == here and _branch(child, parts)
        ]
        if not margins:
            break
        margin, child = max(margins)
        least = LEAST_MARGIN if here == placed.origin else LEAST_MARGIN / 2
        sure = min(sure, 0.5 * (1 + math.erf(abs(margin - least) / math.sqrt(2))))
        if margin < least:
            break
        here = child
    return (here, sure) if placed.possible(here, model) else (placed.origin, 0.5)


def _branch(child: int, parts: _Parts) -> list[int]:
    """Places of the candidates at and below one that the model can continue, by what was edited."""
    placed = parts.placed
    return [
        n
        for n, c in enumerate(parts.candidates)
        if (c == child or placed.is_below(c, child)) and placed.possible(c, parts.model)
    ]


def _margin(parts: _Parts, child: int, here: int) -> float:
    """How far above its threshold the contained part of the step to ``child`` is, in standard deviations.

    The threshold lies between nothing and the whole; drift that is long against the step blurs both.
    """
    inside, changes, placed = _branch(child, parts), parts.changes, parts.placed
    reached = 1.0 if here == placed.origin else float(parts.whole[_branch(here, parts)].sum())
    step, left = (
        changes.length(m) if here == placed.origin else changes.distances.between(here, m) for m in (child, parts.model)
    )
    noise = _drift_beyond(parts, child, inside) * math.sqrt(left / max(step, 1e-300))
    threshold = max(0.5 + 2 * noise**2, 1 - max(WHOLE, noise, UNDONE * placed.drift))
    spread = jackknife_deviation(parts.left_out[:, inside].sum(axis=1))
    part = float(parts.whole[inside].sum()) / max(reached, 1e-9)
    # Much more than the whole is the same direction taken further, not the same step.
    beyond = min(part - threshold, 2 - threshold - part)
    return beyond / math.hypot(spread, noise, WHOLE / 2 if beyond > 0 else IN_PART)


def _drift_beyond(parts: _Parts, child: int, inside: Sequence[int]) -> float:
    """Drift of what the model would have added to the child: its cosine with the changes of all others.

    Rounding and noise drift nowhere, long training does.
    """
    changes, placed = parts.changes, parts.placed
    if placed.drift == 0:
        return 0.0
    own = {parts.model, child, placed.origin, *(parts.candidates[n] for n in inside)}
    others = [place for place, m in enumerate(changes.members) if m not in own and not placed.is_below(child, m)]
    if len(others) < ENOUGH:
        return placed.drift
    added = changes.products[changes.place(parts.model)] - changes.products[changes.place(child)]
    length = max(changes.distances.between(parts.model, child), 1e-300)
    scale = np.sqrt(length * np.maximum(np.diagonal(changes.products)[others], 1e-300))
    return float(np.clip(np.quantile(added[others] / scale, DRIFT_QUANTILE), 0.0, 1.0))


def _contained(model: int, candidates: Sequence[int], changes: Changes, gram: Doubles) -> Doubles:
    """Solved for all candidates at once, so that drift is shared out among them; shape (candidates,)."""
    weights = np.zeros(len(candidates))
    known = [n for n, c in enumerate(candidates) if gram[changes.place(c), changes.place(c)] > 0]
    if known:
        places = [changes.place(candidates[n]) for n in known]
        weights[known] = nonnegative_solution(gram[np.ix_(places, places)], gram[places, changes.place(model)])
    return weights
