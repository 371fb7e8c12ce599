"""The plain alternative to every score: how alike two models' answers are as strings, with nothing taken off."""

import numpy as np
from scipy.sparse import csr_array

from whorl.comparison.agreement import LEAST_ITEMS
from whorl.core.arrays import Doubles
from whorl.fingerprints.answer_table import AnswerTable

LENGTH = 4


def naive_similarity(table: AnswerTable) -> Doubles:
    """Mean over questions of the cosine of character 4-gram counts, of the same normalised texts.

    Returns
    -------
    shape (models, models); NaN on the diagonal and where two models have too few questions in common for a score
    """
    count = len(table.models)
    total, items = np.zeros((count, count)), np.zeros((count, count), np.int64)
    for answers, here in zip(table.answers, table.answered, strict=True):
        present = np.flatnonzero(here)
        block = np.ix_(present, present)
        total[block] += _cosines([str(answers[place]) for place in present])
        items[block] += 1
    few = items < LEAST_ITEMS
    np.fill_diagonal(few, True)
    return np.where(few, np.nan, total / np.maximum(items, 1))


def _cosines(texts: list[str]) -> Doubles:
    parts = [_grams(text) for text in texts]
    owners = np.repeat(np.arange(len(texts)), [part.size for part in parts])
    grams, place = np.unique(np.concatenate(parts), return_inverse=True)
    counts = csr_array((np.ones(owners.size), (owners, place)), shape=(len(texts), max(1, grams.size)))
    counts.sum_duplicates()
    length = np.sqrt(counts.multiply(counts).sum(axis=1))
    products = (counts @ counts.T).toarray()
    # A text shorter than a gram has no direction; it is like nothing.
    return np.asarray(products / np.maximum(np.outer(length, length), 1e-300))


def _grams(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Hashes of the text's runs of `LENGTH` characters."""
    points = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    windows = points.size - LENGTH + 1
    if windows <= 0:
        return np.zeros(0, np.uint64)
    hashed = np.zeros(windows, np.uint64)
    for offset in range(LENGTH):
        hashed = hashed * np.uint64(0x9E3779B97F4A7C15) + points[offset : windows + offset]
    return hashed
