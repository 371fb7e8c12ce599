"""Made-up families: random trees whose increments are independent Gaussian vectors, as training's nearly are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import Doubles
from whorl.lineage.geometry import Geometry
from whorl.lineage.links import Skeleton

ROWS, WIDTH, BLOCKS = 100, 50, 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """Models as points, and the true parent of each (-1 for the root)."""

    points: Doubles
    parents: tuple[int, ...]


def random_family(generator: np.random.Generator, size: int, *, attach: float = 0.6, drift: float = 0.0) -> Family:
    """A tree of ``size`` models with increments of length 0.5 to 2; ``drift`` is their part along one direction."""
    points, parents = np.zeros((size, ROWS * WIDTH)), [-1]
    common = generator.standard_normal(ROWS * WIDTH)
    for model in range(1, size):
        parent = int(generator.integers(model)) if generator.random() < attach else parents[-1]
        parents.append(max(parent, 0))
        added = np.sqrt(1 - drift**2) * generator.standard_normal(ROWS * WIDTH) + drift * common
        points[model] = points[parents[model]] + generator.uniform(0.5, 2) * added
    return Family(points=points, parents=tuple(parents))


def geometry_of(points: Doubles, characters: Sequence[dict[str, str]] | None = None) -> Geometry:
    """Points of shape (models, `ROWS` * `WIDTH`) as rows in `BLOCKS` blocks; NaN rows are missing ones."""
    rows = points.reshape(len(points), ROWS, WIDTH).swapaxes(0, 1)
    # Far from zero, as weights are: only differences may matter.
    rows = rows + np.random.default_rng(1).standard_normal((ROWS, 1, WIDTH)) * 3
    return Geometry(
        products=np.einsum("rik,rjk->rij", rows, rows),
        blocks=np.arange(ROWS) * BLOCKS // ROWS,
        characters=tuple(characters) if characters is not None else tuple({} for _ in points),
    )


def without(family: Family, hidden: Sequence[int]) -> tuple[Doubles, set[frozenset[str]]]:
    """The points of the others, and the tree's edges with models as their place and hidden ones by name."""
    kept = [model for model in range(len(family.parents)) if model not in hidden]
    name = {
        model: str(kept.index(model)) if model in kept else f"hidden {model}" for model in range(len(family.parents))
    }
    edges = {frozenset((name[m], name[p])) for m, p in enumerate(family.parents) if p >= 0}
    return family.points[kept], edges


def splits(edges: set[frozenset[str]], leaves: set[str]) -> set[frozenset[str]]:
    """The tree without its inner names: each edge as the observed models on the side without the first of them."""
    first = min(leaves)
    found = set()
    for edge in edges:
        reached, rest = {next(iter(edge))}, edges - {edge}
        grew = True
        while grew:
            more = {node for other in rest if other & reached for node in other} - reached
            reached |= more
            grew = bool(more)
        side = frozenset(reached & leaves)
        found.add(side if first not in side else frozenset(leaves) - side)
    return found


def edges_of(tree: Skeleton) -> set[frozenset[str]]:
    """Pairs of nodes as strings."""
    return {frozenset((str(link.near), str(link.far))) for link in tree.links}
