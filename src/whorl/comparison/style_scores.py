"""How near a few answers come to each enrolled model, and how that compares with what strangers and the model reach.

Method page: ``docs/methods/identification.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.comparison.style_space import StyleAnswers
from whorl.core.arrays import Doubles, Floats, Ints
from whorl.statistics.softmax_regression import fit_softmax
from whorl.statistics.two_covariance import fit_two_covariance, fits, log_ratios

STRANGERS_BELOW: Final = 0.99
"""Share of other lines' samples that come less near to a model than the point from which nearness counts."""
MOST_COHORT: Final = 20
"""Samples of each enrolled model's own answers that stand in for questioned ones."""
_SMALLEST_SPREAD: Final = 1e-6
_TOLERANCE: Final = 1.65
"""Own samples' standard deviations within which a difference is no difference: 95 % of a normal distribution."""
_PENALTY: Final = 60.0
_MOST_STEPS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearness:
    """One kind of score, higher is nearer.

    Parameters
    ----------
    samples : shape (p, k), questioned samples against candidates; NaN where there is no score
    cohort : shape (g, k), samples of enrolled models against candidates
    cohort_of : shape (g,), the model that gave each cohort sample
    own : shape (g,), cohort samples against their own model, enrolled without them; NaN where that is impossible
    """

    samples: Doubles
    cohort: Doubles
    cohort_of: Ints
    own: Doubles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Scores of questioned samples against enrolled models.

    Parameters
    ----------
    candidates : shape (k,), which models are enrolled
    kinds : name -> scores
    order : shape (p, k), by which candidates are ranked
    """

    candidates: Ints
    kinds: Mapping[str, Nearness]
    order: Doubles


def style_scores(
    answers: StyleAnswers,
    enrolled: NDArray[np.bool_],
    samples: Sequence[Ints],
    lines: Ints,
    *,
    size: int,
    left_out: int | None,
    rng: np.random.Generator,
    ranked: bool,
) -> Scores:
    """Compare samples of answers with every enrolled model by style.

    Parameters
    ----------
    enrolled : shape (n,), answers from which models are known
    samples : places of the answers of each questioned sample, about ``size`` of them
    lines : shape (models,), line of each model
    left_out : a line of which nothing is used but the samples: no model is enrolled, nothing is learned from it
    ranked : also tell candidates apart by a classifier among them, which takes most of the time
    """
    points = centred(answers, lines, left_out)
    kept = enrolled & (lines[answers.models] != left_out) if left_out is not None else enrolled
    candidates, of_candidate = np.unique(answers.models[kept], return_inverse=True)
    means, counts = _means(points[kept], of_candidate, candidates.size)
    residuals = points[kept] - means[of_candidate]
    within = (residuals.T @ residuals) / max(1, len(residuals) - candidates.size)
    known_from = float(np.median(counts)) if counts.size else 0.0
    if not np.trace(within) > 0:
        return _silent(len(samples), candidates)
    model = fit_two_covariance(within, means, enrolled=known_from)
    points, means = (points @ model.transform).astype(np.float32), means @ model.transform
    cohort, places = _cohort(points, np.flatnonzero(kept), of_candidate, size, rng)
    own_counts = counts[places][:, None]
    without = (means[places] * own_counts - size * cohort) / np.maximum(own_counts - size, 1)
    questioned = np.array([points[sample].mean(axis=0) for sample in samples], np.float64).reshape(-1, points.shape[1])

    def nearness(kind: str) -> Nearness:
        def score(one: Doubles, other: Doubles, *, paired: bool = False) -> Doubles:
            if kind == "fit":
                return fits(one, other, size=size, enrolled=known_from, paired=paired)
            return log_ratios(model, one, other, size=size, enrolled=known_from, paired=paired)

        own = np.where(own_counts[:, 0] > size, score(cohort, without, paired=True), np.nan)
        return Nearness(
            samples=score(questioned, means), cohort=score(cohort, means), cohort_of=candidates[places], own=own
        )

    kinds = {kind: nearness(kind) for kind in ("log_ratio", "fit")}
    order = kinds["log_ratio"].samples
    if ranked:
        chosen = fit_softmax(
            points[kept], of_candidate, count=candidates.size, penalty=_PENALTY, most_steps=_MOST_STEPS
        )
        order = order + size * (questioned @ chosen.weights + chosen.offsets)
    return Scores(candidates=candidates, kinds=kinds, order=order)


def _silent(samples: int, candidates: Ints) -> Scores:
    """Where no model's answers vary, nothing can be said of any."""
    nothing = np.full((samples, candidates.size), np.nan)
    empty = Nearness(
        samples=nothing,
        cohort=np.full((0, candidates.size), np.nan),
        cohort_of=np.zeros(0, np.int64),
        own=np.zeros(0),
    )
    return Scores(candidates=candidates, kinds={"log_ratio": empty, "fit": empty}, order=np.zeros_like(nothing))


def centred(answers: StyleAnswers, lines: Ints, left_out: int | None) -> Floats:
    """Coordinates relative to the mean of the other answers to the same question.

    An answer is never part of its own mean, and a line that is left out is in none. Leaving each model's own line out
    of its mean instead would tell its line: all of a line would be centred on the same others.
    """
    counted = np.ones(answers.models.size, bool) if left_out is None else lines[answers.models] != left_out
    questions = int(answers.questions.max(initial=-1)) + 1
    number = np.bincount(answers.questions[counted], minlength=questions)
    sums = _sums(answers.coordinates[counted], answers.questions[counted], questions)
    others = number[answers.questions] - counted
    found = answers.coordinates * (others + counted)[:, None] - sums[answers.questions]
    return np.asarray(found / np.maximum(others, 1)[:, None] * (others > 0)[:, None], np.float32)


def _means(points: Floats, classes: Ints, count: int) -> tuple[Doubles, Ints]:
    number = np.bincount(classes, minlength=count)
    return _sums(points, classes, count) / np.maximum(number, 1)[:, None], number


def _sums(points: Floats, classes: Ints, count: int) -> Doubles:
    from scipy.sparse import csr_array

    ones = np.ones(classes.size)
    return np.asarray(csr_array((ones, (classes, np.arange(classes.size))), shape=(count, classes.size)) @ points)


def _cohort(points: Floats, rows: Ints, classes: Ints, size: int, rng: np.random.Generator) -> tuple[Doubles, Ints]:
    """Means of disjoint groups of ``size`` answers of each class, and their classes."""
    groups: list[Ints] = []
    places: list[int] = []
    for place in range(int(classes.max(initial=-1)) + 1):
        own = rng.permutation(rows[classes == place])
        for number in range(min(MOST_COHORT, own.size // size)):
            groups.append(own[number * size : (number + 1) * size])
            places.append(place)
    found = np.array([points[group].mean(axis=0) for group in groups], np.float64)
    return found.reshape(len(groups), points.shape[1]), np.array(places, np.int64)


def stands_out(scores: Scores, lines: Ints) -> Doubles:
    """How far samples pass what other lines' samples reach with a candidate, on the way to what its own reach.

    0 is where `STRANGERS_BELOW` of other lines' samples stay below, 1 is the usual place of the candidate's own. The
    least of all kinds of scores counts: the sample must be nearer than models in general *and* as near as the
    candidate's own answers are.

    Returns
    -------
    shape (p, k); minus infinity where a candidate has no score
    """
    least = np.full((len(scores.order), scores.candidates.size), np.inf)
    for kind in scores.kinds.values():
        own_places = [np.flatnonzero(kind.cohort_of == candidate) for candidate in scores.candidates]
        spreads = np.array([_spread(kind.own[rows]) for rows in own_places])
        known = spreads[~np.isnan(spreads)]
        if not known.size:
            return np.full_like(least, -np.inf)
        unit = max(_SMALLEST_SPREAD, _TOLERANCE * float(np.median(known)))
        for place, rows in enumerate(own_places):
            strange = kind.cohort[lines[kind.cohort_of] != lines[scores.candidates[place]], place]
            strange, own = strange[~np.isnan(strange)], kind.own[rows][~np.isnan(kind.own[rows])]
            if not strange.size or not own.size:
                least[:, place] = -np.inf
                continue
            start = float(np.quantile(strange, STRANGERS_BELOW))
            way = max(0.0, float(np.median(own)) - start) + unit
            here = (kind.samples[:, place] - start) / way
            least[:, place] = np.minimum(least[:, place], np.where(np.isnan(here), -np.inf, here))
    return least


def _spread(own: Doubles) -> float:
    own = own[~np.isnan(own)]
    return float(own.std()) if own.size > 1 else float("nan")
