"""Agreement of models' answers beyond what the questions and the two models' habits explain.

Raw agreement proves nothing: on easy questions everybody agrees. Each kernel is therefore centred within the item on
both models (what a reference model's answer typically has in common with theirs), and, beside that, turned into the
surprise at how near the two stand, counted in reference models that stand nearer. Method page:
``docs/methods/answer_agreement.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray, Doubles
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_kernels import KERNELS, MARKS, item_kernels
from whorl.fingerprints.answer_table import AnswerTable

LEAST_REFERENCES: Final = 4
"""Answers of reference models that an item needs to be centred on; items with fewer are left out."""
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


def agreement(table: AnswerTable, reference: AnyArray, *, progress: Progress = silent) -> Agreement:
    """Compare every two models of a table.

    Parameters
    ----------
    reference : shape (models,), bool
        Models of which none should be related to the questioned ones: they say what everybody says.
    """
    count = len(table.models)
    sums = {name: np.zeros((count, count)) for name in measures()}
    items = np.zeros((count, count), np.int64)
    references = np.asarray(reference, bool)
    answered = table.answered
    for place, here in enumerate(answered):
        present = np.flatnonzero(here)
        if references[present].sum() >= LEAST_REFERENCES and len(present) > 2:
            block = np.ix_(present, present)
            items[block] += 1
            for name, values in _item(list(table.answers[place, present]), references[present]).items():
                sums[name][block] += values
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


def _item(texts: Sequence[str], reference: NDArray[np.bool_]) -> dict[str, Doubles]:
    kernels = item_kernels(texts, reference)
    found = {mark: kernels[mark] for mark in MARKS}
    for kernel in KERNELS:
        found[f"{kernel}.centred"] = centred(kernels[kernel], reference)
        found[f"{kernel}.surprise"] = surprise(kernels[kernel], reference)
    return found


def centred(kernel: Doubles, reference: NDArray[np.bool_]) -> Doubles:
    """What a similarity has beyond a constant and one effect of each model, fitted to pairs with reference models.

    Parameters
    ----------
    kernel : shape (n, n), symmetric
    reference : shape (n,), at least 3 of them true

    Returns
    -------
    shape (n, n), symmetric; a reference model's mean with all others is 0. The diagonal means nothing.
    """
    count = int(reference.sum())
    among = reference[None] & ~np.eye(len(kernel), dtype=bool)
    row = (kernel * among).sum(axis=1) / among.sum(axis=1)
    constant = row[reference].mean()
    # A reference model's own effect is missing from the others that it is compared with.
    effect = np.where(reference, (count - 1) / (count - 2), 1.0) * (row - constant)
    return np.asarray(kernel - constant - effect[:, None] - effect[None])


def surprise(kernel: Doubles, reference: NDArray[np.bool_]) -> Doubles:
    """Minus the natural logarithm of the share of reference models that stand at least as near, mean of both sides.

    Ties count half. Under exchangeability of the other model with the reference models the share is uniform, so that
    the mean of one side is about 1.
    """
    size = len(kernel)
    near = np.where(np.eye(size, dtype=bool), np.inf, kernel)
    sorted_references = np.sort(np.where(reference[None] & ~np.eye(size, dtype=bool), kernel, -np.inf), axis=1)
    among = (reference[None] & ~np.eye(size, dtype=bool)).sum(axis=1)
    above = np.empty((size, size))
    for place in range(size):
        row = sorted_references[place]
        below, upto = np.searchsorted(row, near[place], "left"), np.searchsorted(row, near[place], "right")
        nearer, tied = size - upto, np.maximum(upto - below - reference, 0)  # the other model itself is no tie
        above[place] = (nearer + tied / 2 + 0.5) / (among[place] + 1 - reference)
    share = np.minimum(above, 1.0)
    return np.asarray(-(np.log(share) + np.log(share).T) / 2)
