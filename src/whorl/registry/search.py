"""Ranking of stored search vectors by exact cosine, streamed in batches.

Search vectors describe how a model's token embeddings lie relative to each other. Models trained on the same languages
agree in part of that whoever trained them ("Monday" lies near "Tuesday" everywhere), so unrelated entries have a high
plain cosine. That common part is estimated by the registry's mean and taken out, once there are enough different
vectors for the mean not to be the very thing that is searched for.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Floats
from whorl.statistics.cosines import unit_rows

Vectors: TypeAlias = NDArray[np.int8]

MEAN_NEEDS: Final = 20
NO_DIRECTION: Final = 1e-5  # what is left of a unit vector below this, after the mean, is rounding


def population_mean(batches: Iterable[Vectors]) -> Floats | None:
    """Mean direction of distinct vectors, or None if there are fewer than `MEAN_NEEDS`.

    Parameters
    ----------
    batches : shapes (any, dimension); a vector that was seen before is not counted again
        A hundred tunes of one model that left its embeddings alone are one voice, not a hundred.
    """
    seen: set[bytes] = set()
    total: NDArray[np.float64] | float = 0.0
    for batch in batches:
        fresh = []
        for position, vector in enumerate(batch):
            content = hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
            if content not in seen:
                seen.add(content)
                fresh.append(position)
        total = total + unit_rows(batch[fresh], shortest=NO_DIRECTION).sum(axis=0, dtype=np.float64)
    if len(seen) < MEAN_NEEDS:
        return None
    return np.asarray(total / len(seen), dtype=np.float32)


def cosines(batches: Iterable[Vectors], query: Vectors, *, mean: Floats | None) -> Iterator[Floats]:
    """Cosine of each stored vector with the query, both taken from the mean; 0 where a side has no direction."""
    origin = np.zeros(query.size, dtype=np.float32) if mean is None else mean
    sought = unit_rows(unit_rows(query[None], shortest=NO_DIRECTION) - origin, shortest=NO_DIRECTION)[0]
    for batch in batches:
        yield unit_rows(unit_rows(batch, shortest=NO_DIRECTION) - origin, shortest=NO_DIRECTION) @ sought
