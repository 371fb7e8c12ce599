"""A model's manner as a vector: what stays alike across answers to different questions.

Counts of words, pairs of words, character trigrams, first and last words, hashed into fixed places. Only what a model
does beyond others on the same question counts: the caller takes the item's mean away.
"""

import re
import zlib
from itertools import pairwise
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles

_WORDS, _TRIGRAMS, _EDGES = 8192, 2048, 1024
_WORD: Final = re.compile(r"\w+|[^\w\s]|\n+")
_MOST_WORDS: Final = 1200
_EDGE_WEIGHT: Final = 0.5


def manner(text: str) -> Doubles:
    """Square roots of hashed counts, each kind of feature brought to length 1.

    Returns
    -------
    shape (11264,)
    """
    words = [word.lower() for word in _WORD.findall(text)[:_MOST_WORDS]]
    joined = [*words, *(f"{one} {other}" for one, other in pairwise(words))]
    letters = text.lower()[: 6 * _MOST_WORDS]
    edges = [f"{length}<{' '.join(words[:length])}" for length in (1, 2, 3)]
    edges += [f"{length}>{' '.join(words[-length:])}" for length in (1, 2, 3)]
    return np.concatenate(
        [
            _hashed(joined, _WORDS),
            _hashed([letters[place : place + 3] for place in range(len(letters) - 2)], _TRIGRAMS),
            _EDGE_WEIGHT * _hashed(edges, _EDGES),
        ]
    )


def _hashed(features: list[str], places: int) -> Doubles:
    at = np.fromiter((zlib.crc32(feature.encode("utf-8", "replace")) % places for feature in features), np.int64)
    counts = np.sqrt(np.bincount(at, minlength=places).astype(np.float64))
    length = float(np.linalg.norm(counts))
    return np.asarray(counts / length if length > 0 else counts)
