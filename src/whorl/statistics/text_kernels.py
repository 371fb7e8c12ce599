"""Similarity of short texts as positive semi-definite kernels, for two-sample tests within a prompt.

Texts of different length are never padded to one length: matching padding would count as agreement, and the test would
compare lengths. Both kernels are cosines of explicit features, 1 for equal texts.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles

MOST_CHARACTERS: Final = 2_000
NGRAM: Final = 3
BUCKETS: Final = 1 << 13
_END: Final = "\x03"  # marks where a text ends, so that a text and its beginning differ
_PRIME: Final = np.uint64(0x100000001B3)  # Fowler, Noll and Vo's multiplier: spreads code points over the buckets


def prefix_gram(texts: Sequence[str]) -> Doubles:
    """How long texts begin alike: cosine of their sets of beginnings, a beginning of j characters weighing 1 / j.

    A text's weight grows with the logarithm of its length only, so that the first words, where sampled answers part,
    decide and not the tails.

    Returns
    -------
    shape (n, n), symmetric, between 0 and 1, diagonal 1
    """
    cut = [text[:MOST_CHARACTERS] + _END for text in texts]
    longest = max(map(len, cut), default=0)
    weight = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, longest + 1))])
    shared = np.array([[weight[_alike(one, other)] for other in cut] for one in cut]).reshape(len(cut), len(cut))
    return _cosine(shared)


def ngram_gram(texts: Sequence[str]) -> Doubles:
    """Cosine of the square roots of character n-gram counts, n = 3; order within a text hardly matters.

    Returns
    -------
    shape (n, n), symmetric, between 0 and 1, diagonal 1
    """
    features = np.array([_ngrams(text[:MOST_CHARACTERS]) for text in texts]).reshape(len(texts), BUCKETS)
    return _cosine(features @ features.T)


def text_gram(texts: Sequence[str]) -> Doubles:
    """Mean of `prefix_gram` and `ngram_gram`: how answers begin, and what they are made of.

    Returns
    -------
    shape (n, n), symmetric, between 0 and 1, diagonal 1
    """
    return (prefix_gram(texts) + ngram_gram(texts)) / 2


def _alike(one: str, other: str) -> int:
    """Number of characters before two texts part."""
    if one == other:
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _ngrams(text: str) -> Doubles:
    """Square roots of how often the text's n-grams fall into each bucket; memory does not grow with the texts."""
    points = np.frombuffer((" " + text + _END + _END).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    mixed = np.zeros(points.size - NGRAM + 1, np.uint64)
    for place in range(NGRAM):
        mixed = (mixed ^ points[place : points.size - NGRAM + 1 + place]) * _PRIME
    return np.sqrt(np.bincount((mixed >> np.uint64(40)).astype(np.int64) % BUCKETS, minlength=BUCKETS))


def _cosine(products: Doubles) -> Doubles:
    length = np.sqrt(np.diagonal(products))
    return np.asarray(products / np.outer(length, length))
