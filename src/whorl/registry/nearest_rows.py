"""One search through all segments of an index: proposals by sketch, then everything that is searched whole."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles, Floats, Ints
from whorl.registry.claimant_caps import Scored, best_rows, full_groups
from whorl.registry.exact_scan import Scales, scales_of, upper_bounds
from whorl.registry.index_folder import Segment
from whorl.registry.search_vectors import Vectors, directions, exact_scores
from whorl.registry.sketches import Sketches, distances, planes_of, set_aside, within

_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What is searched for: a vector, and its direction once the population's mean, ``origin``, is taken out."""

    vector: Vectors
    direction: Doubles
    origin: Doubles

    @classmethod
    def about(cls, vector: Vectors, origin: Doubles) -> "Question":
        return cls(vector=vector, direction=directions(vector[None], origin)[0], origin=origin)

    def score(self, segment: Segment, rows: Ints) -> Scored:
        """The segment's rows at some positions, with their exact scores."""
        scores = exact_scores(segment.vectors[rows], self.direction, self.origin)
        return Scored(keys=segment.keys[rows], groups=segment.groups[rows], scores=scores)


def nearest_rows(
    segments: Sequence[Segment],
    question: Question,
    *,
    top: int,
    per_group: int,
    candidates: int,
    pool: Executor,
    workers: int,
) -> Scored:
    """The ``top`` best rows, capped per claimant, best first.

    Where a flood of many claimants hides what else there is from the sketches, every row is compared after all.
    """
    sketched = [(segment, segment.sketches) for segment in segments if segment.sketches is not None]
    if sketched:
        before = sketched_candidates(
            [sketches for _, sketches in sketched],
            question.vector,
            lambda part, rows: question.score(sketched[part][0], rows),
            wanted=candidates,
            per_group=per_group,
            pool=pool,
        )
        if before is not None:
            whole = [segment for segment in segments if segment.sketches is None]
            return _best_of_whole(whole, question, before, top, per_group, pool, workers)
    return _best_of_whole(segments, question, Scored.joined([]), top, per_group, pool, workers)


def _best_of_whole(
    segments: Sequence[Segment],
    question: Question,
    before: Scored,
    top: int,
    per_group: int,
    pool: Executor,
    workers: int,
) -> Scored:
    bounds = _bounds(segments, question, pool, workers)
    ends = np.cumsum([len(segment) for segment in segments])

    def score(rows: Ints) -> Scored:
        parts = []
        for segment, end in zip(segments, ends, strict=True):
            inside = rows[(rows >= end - len(segment)) & (rows < end)]
            parts.append(question.score(segment, inside - (end - len(segment))))
        return Scored.joined(parts)

    groups = [segment.groups for segment in segments]
    return best_rows(bounds, groups, score, before=before, top=top, per_group=per_group)


def _bounds(segments: Sequence[Segment], question: Question, pool: Executor, workers: int) -> Floats:
    def scales(segment: Segment) -> Scales:
        return segment.scales or scales_of(segment.vectors, question.origin)

    parts = [(segment.vectors, found) for segment, found in zip(segments, pool.map(scales, segments), strict=True)]
    return upper_bounds(parts, question.direction, question.origin, pool=pool, workers=workers)


def sketched_candidates(
    parts: Sequence[Sketches],
    vector: Vectors,
    score: Callable[[int, Ints], Scored],
    *,
    wanted: int,
    per_group: int,
    pool: Executor,
) -> Scored | None:
    """The rows nearest by sketch, scored exactly; None if a flood left too few of other claimants among them.

    Rows of claimants who have their ``per_group`` hits are set aside and the search goes on without them, until at
    least half of the ``wanted`` rows are of use to somebody.

    Parameters
    ----------
    score : exact scores of the rows at some positions of a part
    """
    along = planes_of(vector)
    found = list(pool.map(lambda part: distances(part, along), parts))
    scored = Scored.joined([])
    for _ in range(_ROUNDS):
        places = within(found, wanted)
        if not any(len(rows) for rows in places):
            return scored
        scored = Scored.joined([scored, *pool.map(score, range(len(parts)), places)])
        full = full_groups(scored.groups, per_group)
        if np.count_nonzero(~np.isin(scored.groups, full)) + per_group * len(full) >= wanted / 2:
            return scored
        for part, seen, rows in zip(parts, found, places, strict=True):
            set_aside(seen, rows)
            set_aside(seen, np.isin(part.groups, full))
    return None
