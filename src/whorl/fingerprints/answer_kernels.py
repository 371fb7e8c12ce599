"""How alike answers to one question are: kernels on texts in which what everybody says counts for nothing.

Each kernel is the cosine of weighted counts of n-grams. An n-gram weighs by how few of the other reference models use
it in their answer to this very question (inverse document frequency within the item), and nothing if more than half do.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray, Doubles

KERNELS: Final = ("characters", "bigrams", "fourgrams")
"""4-grams of characters, and 2- and 4-grams of words: from spelling and wording to whole phrases."""
MARKS: Final = ("opening", "closing")
"""Equality of the first and of the last sentence, by how rare it is."""

_WORD: Final = re.compile(r"\w+|[^\w\s]|\n+")
_SENTENCE_ENDS: Final = re.compile(r"[.\n!?:]")
_LONGEST_MARK: Final = 200
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


def item_kernels(texts: Sequence[str], reference: AnyArray) -> dict[str, Doubles]:
    """Every kernel between the answers to one question.

    Parameters
    ----------
    texts : normalised answers, n of them
    reference : shape (n,), bool, the answers from which it is learned what everybody says

    Returns
    -------
    kernel name -> shape (n, n), symmetric; `KERNELS` lie in [0, 1]
    """
    lowered = [text.lower() for text in texts]
    owners, characters = _concatenated(
        [np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32) for text in lowered]
    )
    words: dict[str, int] = {}
    numbers = [
        np.array([words.setdefault(word, len(words) + 1) for word in _WORD.findall(text)], np.uint32)
        for text in lowered
    ]
    word_owners, word_numbers = _concatenated(numbers)
    count = len(texts)
    rare = np.asarray(reference, bool)
    return {
        "characters": _cosines(*_grams(owners, characters, 4), count, rare, counted=True),
        "bigrams": _cosines(*_grams(word_owners, word_numbers, 2), count, rare, counted=False),
        "fourgrams": _cosines(*_grams(word_owners, word_numbers, 4), count, rare, counted=False),
        "opening": _same_mark(texts, rare, _opening),
        "closing": _same_mark(texts, rare, _closing),
    }


def _concatenated(parts: Sequence[NDArray[np.uint32]]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return owners, np.concatenate([*parts, np.zeros(0, np.uint32)])


def _grams(
    owners: NDArray[np.int64], letters: NDArray[np.uint32], length: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Hashes of all runs of ``length`` letters within one text, and whose they are."""
    windows = len(letters) - length + 1
    if windows <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    hashes = np.zeros(windows, np.uint64)
    for place in range(length):
        hashes = hashes * np.uint64(6364136223846793005) + letters[place : windows + place] + np.uint64(1)
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _MIX
    within = owners[:windows] == owners[length - 1 :]
    return owners[:windows][within], hashes[within]


def _cosines(
    owners: NDArray[np.int64], grams: NDArray[np.uint64], count: int, reference: AnyArray, *, counted: bool
) -> Doubles:
    from scipy.sparse import csr_array

    if not len(grams):
        return np.eye(count)
    order = np.lexsort((owners, grams))
    owners, grams = owners[order], grams[order]
    new_gram = np.concatenate([[True], grams[1:] != grams[:-1]])
    starts = np.flatnonzero(new_gram | np.concatenate([[True], owners[1:] != owners[:-1]]))
    owner, place = owners[starts], np.cumsum(new_gram)[starts] - 1
    value = np.sqrt(np.diff(np.append(starts, len(grams)))) if counted else np.ones(len(starts))
    among = int(reference.sum())
    known = np.bincount(place, weights=reference[owner])
    power = 2 if counted else 1
    own = _rarity(known[place] - reference[owner], among) ** power
    length = np.sqrt(np.bincount(owner, weights=own * value**2, minlength=count))
    kept = np.bincount(place)[place] > 1
    scaled = value[kept] / np.maximum(length[owner[kept]], 1e-12)
    matrix = csr_array((scaled, (owner[kept], place[kept])), shape=(count, len(known)))
    found = np.zeros((count, count))
    sides = [np.flatnonzero(reference), np.flatnonzero(~reference)]
    for rows, row_known in zip(sides, (1, 0), strict=True):
        for columns, column_known in zip(sides, (1, 0), strict=True):
            weight = _rarity(known - row_known - column_known, among) ** power
            product = (matrix[rows] * weight[None]) @ matrix[columns].T
            found[np.ix_(rows, columns)] = product.toarray()
    np.fill_diagonal(found, 1.0)
    return np.minimum(found, 1.0)


def _rarity(others: AnyArray, among: int) -> Doubles:
    """How telling an n-gram is that two texts have in common, by how many *other* reference texts have it.

    The two texts themselves never count. Otherwise a pair of reference texts would find what it shares less rare than a
    questioned pair does, and questioned pairs would stand out for that reason alone.
    """
    counts = np.maximum(others, 0)
    return np.where(counts > among / 2, 0.0, np.log((among + 3) / (counts + 2.5)))


def _same_mark(texts: Sequence[str], reference: AnyArray, mark: Callable[[str], str]) -> Doubles:
    marks, place = np.unique([mark(text) for text in texts], return_inverse=True)
    known = np.bincount(place, weights=reference, minlength=len(marks))[place]
    among = int(reference.sum())
    others = known[:, None] - reference[:, None] - reference[None]
    same = (place[:, None] == place[None]) & (marks[place] != "")[None]  # nothing in common is no agreement
    return np.where(same, _rarity(others, among), 0.0)


def _opening(text: str) -> str:
    return _SENTENCE_ENDS.split(text[:_LONGEST_MARK], maxsplit=1)[0].lower()


def _closing(text: str) -> str:
    return _SENTENCE_ENDS.split(text[-_LONGEST_MARK:].rstrip(".!?\n "))[-1].lower()
