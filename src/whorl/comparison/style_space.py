"""Answers as points in a space of style: few axes, learned without knowing whose answer is whose line.

Method page: ``docs/methods/identification.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray, Floats, Ints
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import AnswerTable
from whorl.fingerprints.style_vectors import style_vectors

RANK: Final = 256
LEARNED_FROM: Final = 8000
"""Answers from which the axes are learned."""
_MOST_MODELS_LEARNED_FROM: Final = 500
_MOST_ITEMS_LEARNED_FROM: Final = 1000
_PER_AXIS: Final = 4
"""Answers beyond one per model and one per question that an axis needs."""
_SPARE_AXES: Final = 20
_POWER_STEPS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StyleAxes:
    """From style vectors to coordinates.

    Parameters
    ----------
    axes : shape (`whorl.fingerprints.style_vectors.dimensions`, rank)
    """

    axes: Floats

    def coordinates(self, texts: Sequence[str]) -> Floats:
        """Shape (len(texts), rank), neither centred nor scaled."""
        return np.asarray(style_vectors(texts) @ self.axes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StyleAnswers:
    """Answers in a space of style.

    Parameters
    ----------
    coordinates : shape (n, rank)
    questions : shape (n,), which question was answered
    models : shape (n,), who answered
    rows : shape (items, models of the table), place among the n of each answer, -1 where it was not taken
    """

    coordinates: Floats
    questions: Ints
    models: Ints
    rows: Ints


def style_answers(
    table: AnswerTable,
    questions: Ints,
    taken: NDArray[np.bool_],
    axes: StyleAxes,
    *,
    progress: Progress = silent,
) -> StyleAnswers:
    """Coordinates of the answers that are taken, an item at a time.

    Parameters
    ----------
    questions : shape (items,), one number for all items that are the same question
    taken : shape (items, models)
    """
    items, models = np.nonzero(taken & table.answered)
    rows = np.full(taken.shape, -1, np.int64)
    rows[items, models] = np.arange(items.size)
    coordinates = np.zeros((items.size, axes.axes.shape[1]), np.float32)
    for number, item in enumerate(np.unique(items)):
        here = np.flatnonzero(items == item)
        coordinates[here] = axes.coordinates(list(table.answers[item, models[here]]))
        progress(f"reading the style of {table.dataset}", number + 1, len(table.items))
    return StyleAnswers(coordinates=coordinates, questions=questions[items], models=models, rows=rows)


def learn_axes(
    table: AnswerTable, questions: Ints, taken: NDArray[np.bool_], rng: np.random.Generator
) -> StyleAxes | None:
    """Main axes of variation of answers around the mean of their question, by a sample of whole questions.

    Whose line a model is of is not used, and of which model an answer is only to weigh bins by their noise.

    Returns
    -------
    None where there are too few answers for 8 axes
    """
    usable = taken & table.answered
    models = np.flatnonzero(usable.any(axis=0))
    if models.size > _MOST_MODELS_LEARNED_FROM:
        usable[:, rng.permutation(models)[_MOST_MODELS_LEARNED_FROM:]] = False
    order = rng.permutation(np.flatnonzero(usable.any(axis=1)))
    enough = int(np.searchsorted(np.cumsum(usable[order].sum(axis=1)), LEARNED_FROM)) + 1
    enough = min(enough, _MOST_ITEMS_LEARNED_FROM)
    items, owners = np.nonzero(usable & np.isin(np.arange(len(usable)), order[:enough])[:, None])
    asked = np.unique(questions[items], return_inverse=True)[1]
    answering = np.unique(owners, return_inverse=True)[1]
    free = items.size - int(asked.max(initial=0)) - int(answering.max(initial=0)) - 2
    rank = min(RANK, free // _PER_AXIS)
    if rank < 8:
        return None
    vectors = style_vectors([str(text) for text in table.answers[items, owners]])
    return StyleAxes(axes=_main_axes(vectors, asked, answering, rank, rng))


def _main_axes(vectors: Any, asked: Ints, answering: Ints, rank: int, rng: np.random.Generator) -> Floats:
    """Right singular vectors of the centred and scaled vectors, scaled back, by randomised subspace iteration.

    References
    ----------
    Halko, Martinsson and Tropp, SIAM Review 53(2), 2011.
    """
    by_question, by_model = _indicator(asked), _indicator(answering)
    means = np.asarray(_dense(by_question @ vectors) / np.bincount(asked)[:, None], np.float32)
    scales = _scales(vectors, means, asked, by_question, by_model)
    scaled = vectors.multiply(scales[None]).tocsr()
    means = np.asarray(means * scales, np.float32)

    def times(right: AnyArray) -> Floats:
        return np.asarray(scaled @ right - (means @ right)[asked], np.float32)

    def times_transposed(left: AnyArray) -> Floats:
        return np.asarray(scaled.T @ left - means.T @ (by_question @ left), np.float32)

    width = min(rank + _SPARE_AXES, vectors.shape[0])
    left = np.linalg.qr(times(rng.standard_normal((vectors.shape[1], width)).astype(np.float32)))[0]
    for _ in range(_POWER_STEPS):
        left = np.linalg.qr(times(np.linalg.qr(times_transposed(left))[0]))[0]
    axes = np.linalg.svd(times_transposed(left), full_matrices=False)[0][:, :rank]
    return np.asarray(axes * scales[:, None], np.float32)


def _indicator(codes: Ints) -> Any:
    from scipy.sparse import csr_array

    ones = np.ones(codes.size, np.float32)
    return csr_array((ones, (codes, np.arange(codes.size))), shape=(int(codes.max()) + 1, codes.size))


def _dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray(), np.float32)


def _scales(vectors: Any, means: Floats, asked: Ints, by_question: Any, by_model: Any) -> Floats:
    """The root of the inverse noise of each bin: between equal weight for all and equal noise for all."""
    count = vectors.shape[0]
    answers = np.asarray(by_model.sum(axis=1), np.float32)[:, None]
    asked_of = _dense(by_model @ by_question.T.tocsr())
    of_models = (_dense(by_model @ vectors) - asked_of @ means) / answers
    total = np.asarray(vectors.multiply(vectors).sum(axis=0), np.float32)
    total = total - (means**2 * np.bincount(asked)[:, None]).sum(axis=0)
    between = (of_models**2 * answers).sum(axis=0)
    noise = np.maximum(total - between, 0) / max(1, count - len(means) - len(answers))
    used = noise > 1e-9
    floor = 0.1 * float(np.median(noise[used])) if used.any() else 1.0
    return np.asarray(np.where(used, (noise + floor) ** -0.25, 0), np.float32)
