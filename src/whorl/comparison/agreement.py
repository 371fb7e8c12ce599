"""Agreement of models' answers beyond what the questions and the two models' habits explain.

Raw agreement proves nothing: on easy questions everybody agrees. Each kernel is therefore centred within the item on
both models (what a reference model's answer typically has in common with theirs), and, beside that, turned into the
surprise at how near the two stand, counted in reference models that stand nearer. For each pair the models of its own
two groups are no reference: relatives of one of them stand near to it, and would hide the other. Method page:
``docs/methods/answer_agreement.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.comparison.documented_lineage import Lineage
from whorl.core.arrays import AnyArray, Doubles
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_kernels import KERNELS, MARKS, Crowd, item_kernels
from whorl.fingerprints.answer_table import AnswerTable, prompt_of

LEAST_REFERENCES: Final = 2
"""Answers of reference models of other groups that an item needs to count for a pair."""
STOCK_LENGTH: Final = 36
STOCK_WORDS: Final = 5
STOCK_QUESTIONS: Final = 3
"""A text of so many characters and different words that a model gives to so many questions is no answer to any."""
LEAST_ITEMS: Final = 8
"""Items that both models of a pair answered, below which the pair has no score."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agreement:
    """Means over items of centred kernels and of surprises, for every pair of models.

    Parameters
    ----------
    models : names, in the order of rows and columns
    reference : shape (n,), bool: the models on which the centring rests
    items : shape (n, n), how many items both models answered
    means : ``NAME.centred`` and ``NAME.surprise`` for each of `KERNELS`, ``NAME`` for each of `MARKS`
        -> shape (n, n), NaN on the diagonal and where there are fewer than `LEAST_ITEMS` items
    """

    models: tuple[str, ...]
    reference: NDArray[np.bool_]
    items: NDArray[np.int64]
    means: Mapping[str, Doubles]


def agreement(
    table: AnswerTable, reference: AnyArray, groups: AnyArray | None = None, *, progress: Progress = silent
) -> Agreement:
    """Compare every two models of a table.

    Parameters
    ----------
    reference : shape (models,), bool
        Models that say what everybody says.
    groups : shape (models,), codes of lines (`groups_of`); None: each model for itself
        A pair is measured by reference models of other groups than its own two.
    """
    count = len(table.models)
    lines = np.arange(count) if groups is None else np.asarray(groups)
    table = _spoken_to_the_question(table)
    sums = {name: np.zeros((count, count)) for name in measures()}
    items = np.zeros((count, count), np.int64)
    references = np.asarray(reference, bool)
    answered = table.answered
    for place, here in enumerate(answered):
        present = np.flatnonzero(here)
        crowd = Crowd.of(references[present], lines[present])
        measured = _measured(crowd)
        if measured.any():
            block = np.ix_(present, present)
            items[block] += measured
            for name, values in _item(list(table.answers[place, present]), crowd).items():
                sums[name][block] += np.where(measured, values, 0.0)
        progress(f"comparing answers of {table.dataset}", place + 1, len(answered))
    few = items < LEAST_ITEMS
    np.fill_diagonal(few, True)
    return Agreement(
        models=table.models,
        reference=references,
        items=items,
        means={name: np.where(few, np.nan, total / np.maximum(items, 1)) for name, total in sums.items()},
    )


def measures() -> tuple[str, ...]:
    """Names of what `Agreement.means` holds."""
    return (*(f"{kernel}.{kind}" for kernel in KERNELS for kind in ("centred", "surprise")), *MARKS)


def _spoken_to_the_question(table: AnswerTable) -> AnswerTable:
    """Without answers that answer nothing: empty ones, and longer texts that a model gives to question after question.

    A canned refusal, a notice of a filter or a cut-off greeting is the same for whoever sends it, and two that send
    one agree on every question.
    """
    answers = table.answers.copy()
    prompts = np.array([prompt_of(item) for item in table.items], dtype=np.object_)
    for model in range(len(table.models)):
        column = answers[:, model]
        asked: dict[str, set[str]] = {}
        for place in np.flatnonzero(table.answered[:, model]):
            asked.setdefault(column[place], set()).add(prompts[place])
        stock = {
            text
            for text, questions in asked.items()
            if not text.strip()
            or (
                len(questions) >= STOCK_QUESTIONS
                and len(text) >= STOCK_LENGTH
                and len(set(text.split())) >= STOCK_WORDS
            )
        }
        if stock:
            column[[text in stock for text in column]] = None
    return replace(table, answers=answers)


def groups_of(
    models: Sequence[str], lineage: Lineage, *, known_as: Mapping[str, str] = MappingProxyType({})
) -> NDArray[np.int64]:
    """One code for each line (`Lineage.line`)."""
    lines = [lineage.line(known_as.get(model, model)) for model in models]
    places = {line: place for place, line in enumerate(sorted(set(lines)))}
    return np.array([places[line] for line in lines], np.int64)


def _measured(crowd: Crowd) -> NDArray[np.bool_]:
    """Pairs outside of which there are reference models enough, and of two groups at least."""
    groups = crowd.groups
    enough = (crowd.others() >= LEAST_REFERENCES) & (_pairs_outside(crowd) > 0)
    return np.asarray(enough[np.ix_(groups, groups)] & ~np.eye(len(groups), dtype=bool))


def _item(texts: Sequence[str], crowd: Crowd) -> dict[str, Doubles]:
    kernels = item_kernels(texts, crowd)
    found = {mark: kernels[mark] for mark in MARKS}
    for kernel in KERNELS:
        found[f"{kernel}.centred"] = centred(kernels[kernel], crowd)
        found[f"{kernel}.surprise"] = surprise(kernels[kernel], crowd)
    return found


def centred(kernel: Doubles, crowd: Crowd) -> Doubles:
    """What a similarity has beyond a constant and one effect of each model, by the reference models of other groups.

    Parameters
    ----------
    kernel : shape (n, n), symmetric
    crowd : only pairs outside of which there are reference models of two groups mean anything

    Returns
    -------
    shape (n, n), symmetric, nowhere above ``kernel``; the diagonal means nothing
    """
    groups, reference = crowd.groups, crowd.reference
    apart = np.where(groups[:, None] != groups[None], kernel, 0.0)
    # Sums over reference models: of each row by group of the column, and of whole blocks.
    rows = _by_group((apart * reference[None]).T, crowd).T
    blocks = _by_group(rows * reference[:, None], crowd)
    whole, edges = blocks.sum(), blocks.sum(axis=1)
    own = np.ix_(groups, groups)
    effect = (rows.sum(axis=1)[:, None] - rows[:, groups]) / np.maximum(crowd.others()[own], 1)
    constant = _outside(whole, edges, blocks) / np.maximum(_pairs_outside(crowd), 1)
    # Two that have nothing in common with anybody have nothing in common with each other either.
    return np.asarray(np.minimum(kernel - effect - effect.T + constant[own], kernel))


def _pairs_outside(crowd: Crowd) -> Doubles:
    """Ordered pairs of reference models of two groups, both outside of two given ones, for each two groups."""
    pairs = crowd.sizes[:, None] * crowd.sizes[None] * (1.0 - np.eye(len(crowd.sizes)))
    return _outside(pairs.sum(), pairs.sum(axis=1), pairs)


def _outside(whole: float, edges: Doubles, blocks: Doubles) -> Doubles:
    """What a symmetric matrix of groups sums to without the rows and columns of two groups, for each two of them."""
    found = whole - 2 * (edges[:, None] + edges[None] - blocks)
    np.fill_diagonal(found, whole - 2 * edges)
    return np.asarray(found)


def _by_group(values: Doubles, crowd: Crowd) -> Doubles:
    """Sums of rows by group."""
    found = np.zeros((len(crowd.sizes), values.shape[1]))
    np.add.at(found, crowd.groups, values)
    return found


def surprise(kernel: Doubles, crowd: Crowd) -> Doubles:
    """Minus the natural logarithm of the share of reference models that stand at least as near, mean of both sides.

    Only reference models of other groups than the pair's count. Ties count half. Under exchangeability of the other
    model with the reference models the share is uniform, so that the mean of one side is about 1.
    """
    size, groups = len(kernel), crowd.groups
    apart = groups[:, None] != groups[None]
    by_row = np.sort(np.where(apart & crowd.reference[None], kernel, -np.inf), axis=1)
    nearer = np.empty((size, size))
    tied = np.empty((size, size))
    for place in range(size):
        upto = np.searchsorted(by_row[place], kernel[place], "right")
        nearer[place] = size - upto
        tied[place] = upto - np.searchsorted(by_row[place], kernel[place], "left")
    # The other model's own group is no reference either; to a model's own group nothing was counted.
    alone = np.bincount(groups)[groups] == 1
    tied -= apart & (alone & crowd.reference)[None]
    for group in np.unique(groups[~alone]):
        members = np.flatnonzero(groups == group)
        counted = members[crowd.reference[members]]
        rows = np.flatnonzero(groups != group)
        near, of = kernel[np.ix_(rows, members)][:, :, None], kernel[np.ix_(rows, counted)][:, None, :]
        nearer[np.ix_(rows, members)] -= (of > near).sum(axis=2)
        tied[np.ix_(rows, members)] -= (of == near).sum(axis=2)
    others = crowd.others()[np.ix_(groups, groups)]
    share = np.minimum((nearer + tied / 2 + 0.5) / (others + 1), 1.0)
    return np.asarray(-(np.log(share) + np.log(share).T) / 2)
