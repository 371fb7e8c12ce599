"""Changes of models from an origin: inner products as lengths of shared path, drift, and where the origin must be."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Doubles
from whorl.lineage.geometry import Distances

DRIFT_QUANTILE: Final = 0.75
AT_AN_END: Final = 0.15
MANY: Final = 4
UNSEEN_CENTRE: Final = 0.4  # cosine of the changes of few models that speaks for an unseen centre
UNSEEN_CENTRE_OF_MANY: Final = 0.1
EVEN: Final = 0.25  # spread of the shared paths that one unseen centre leaves, relative to their length


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """Changes of some models from an origin.

    Parameters
    ----------
    distances : squared distances, on the rows that one of the models has
    origin : the model that stands for the origin
    shared : squared length of the way from that model to the origin itself; 0 where it is the origin
    products : shape (members, members), inner products of the changes
    without : shape (blocks, members, members), the same with one block left out
    """

    distances: Distances
    origin: int
    shared: float
    products: Doubles
    without: Doubles

    @property
    def members(self) -> tuple[int, ...]:
        return self.distances.members

    def place(self, model: int) -> int:
        """Row of a member in the tables."""
        return self.members.index(model)

    def length(self, model: int) -> float:
        """Squared length of a member's change."""
        return float(self.products[self.place(model), self.place(model)])


def changes_from(origin: int, distances: Distances, *, shared: float = 0.0) -> Changes:
    """Changes from a model, or from an unseen point ``shared`` away from it on the way to all others."""
    at = distances.members.index(origin)
    whole = distances.total
    tables = np.concatenate([whole[None], whole[None] - distances.by_block])
    # What is left of the shared way without a block goes by what is left of all distances.
    part = shared * tables.sum(axis=(1, 2)) / max(float(whole.sum()), 1e-300)
    products = (tables[:, at, :, None] + tables[:, at, None, :] - tables) / 2 - part[:, None, None]
    products[:, at, :] = products[:, :, at] = 0.0
    products[:, at, at] = part
    return Changes(distances=distances, origin=origin, shared=shared, products=products[0], without=products[1:])


def cosines(gram: Doubles) -> Doubles:
    """Cosines out of inner products."""
    length = np.sqrt(np.maximum(np.diagonal(gram), 1e-300))
    return np.asarray(gram / length[:, None] / length[None, :])


def above_diagonal(table: Doubles) -> Doubles:
    """Each pair once."""
    return np.asarray(table[np.triu_indices(len(table), 1)])


def least_majority(table: Doubles, place: int) -> float:
    """By how many votes a model wins its closest duel for being where the others branch off; larger is better.

    In the duel of two models every other one votes by where it leaves the way between them: at one end or at the other.
    Drift carries models along the way towards whichever was trained, and even beyond it: who seems to leave the way
    beyond its far end votes for the near one. In a tree without drift the winner of all duels is its centroid.

    Parameters
    ----------
    table : squared distances, shape (n, n), all positive off the diagonal
    """
    margins = []
    for rival in range(len(table)):
        if rival == place:
            continue
        way = max(float(table[place, rival]), 1e-300)
        at = (way + table[place] - table[rival]) / (2 * way)
        others = (np.arange(len(table)) != place) & (np.arange(len(table)) != rival)
        here = np.abs(at) <= AT_AN_END
        there = np.abs(at - 1) <= AT_AN_END
        beyond, before = at > 1 + AT_AN_END, at < -AT_AN_END
        margins.append(int(np.count_nonzero(others & (here | beyond))) - np.count_nonzero(others & (there | before)))
    return float(min(margins, default=0))


def path_to_unseen_centre(changes: Changes) -> float:
    """Squared length of the way that all changes from the origin share; 0 where they do not: it is the centre itself.

    Drift makes changes share more or less; a path that leads to an unseen centre is shared by all evenly.
    """
    others = [place for place, model in enumerate(changes.members) if model != changes.origin]
    if len(others) < 2:
        return 0.0
    gram = changes.products[np.ix_(others, others)]
    low, middle = np.quantile(above_diagonal(gram), (0.02, 0.25))
    cosine = float(np.median(above_diagonal(cosines(gram))))
    least = UNSEEN_CENTRE_OF_MANY if len(others) > MANY else UNSEEN_CENTRE
    even = middle > 0 and middle - low <= EVEN * middle
    return float(middle) if even and cosine >= least else 0.0


def drift_of(changes: Changes) -> float:
    """Cosine that changes from the origin have without a common ancestor: the upper quartile over pairs, at least 0."""
    others = [place for place, model in enumerate(changes.members) if model != changes.origin]
    if len(others) < 3:
        return 0.0
    found = above_diagonal(cosines(changes.products[np.ix_(others, others)]))
    return float(max(0.0, np.quantile(found, DRIFT_QUANTILE)))


def jackknife_deviation(values: Doubles) -> float:
    """Standard error of a figure from its delete-one values, shape (blocks,); 0 where there is one block.

    References
    ----------
    Efron and Stein, The jackknife estimate of variance, 1981.
    """
    count = len(values)
    return math.sqrt((count - 1) / count * float(np.sum((values - values.mean()) ** 2))) if count > 1 else 0.0
