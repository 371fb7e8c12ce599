"""Which way the edges point: the root of a tree, and with it every direction, as one posterior.

Every candidate root orients all edges at once. A pairwise direction posterior on one edge therefore speaks for or
against the orientation of many others, and an edge without any still gets one from its neighbours.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from whorl.core.evidence import Direction

DirectionOf: TypeAlias = Callable[[int, int], Direction | None]
"""Posterior over who of two models comes from whom, the first one in the place of the questioned model."""

CLAIMED: Final = 0.8
LEAST: Final = 1e-3  # no pairwise posterior outweighs a thousand to one


@dataclass(frozen=True, slots=True, kw_only=True)
class Oriented:
    """One edge: ``ends`` from the likelier older to the likelier younger, with the probability of that order."""

    ends: tuple[int, int]
    probability: float

    @property
    def claimed(self) -> bool:
        return self.probability >= CLAIMED


def orient(
    nodes: Sequence[int],
    edges: Sequence[tuple[int, int]],
    direction: DirectionOf,
    *,
    models: int,
) -> tuple[list[Oriented], dict[int, float]]:
    """Directions of the edges of one tree, and the posterior over its root.

    The prior is that of models made one after the other, each from one of those before it, every one equally likely to
    be taken up. A tree that so grew to its present shape then has its root at node r with probability proportional to
    n! / (product over nodes of the size of the subtree below, seen from r).

    Parameters
    ----------
    nodes : all nodes of the tree; those from ``models`` on are unseen, and nobody knows a direction of theirs
    edges : pairs of nodes, one fewer than there are nodes
    direction : for two models, the posterior, or None where nothing is known

    Returns
    -------
    the oriented edges in the order of ``edges``, and each node's probability of being the root

    References
    ----------
    Shah and Zaman, Rumors in a network: who's the culprit?, 2011 (the prior).
    """
    neighbours: dict[int, list[int]] = {node: [] for node in nodes}
    for one, other in edges:
        neighbours[one].append(other)
        neighbours[other].append(one)
    older = {edge: _log_older(edge, direction, models) for edge in edges}
    known = {**older, **{(b, a): (other, one) for (a, b), (one, other) in older.items()}}
    start = nodes[0]
    order, parent = _walk(start, neighbours)
    sizes = dict.fromkeys(nodes, 1)
    for node in reversed(order[1:]):
        sizes[parent[node]] += sizes[node]
    logs = {start: 0.0}
    for node in order[1:]:
        # Moving the root over one edge turns that edge and changes the size of two subtrees.
        first, second = known[parent[node], node]
        moved = math.log(sizes[node]) - math.log(len(nodes) - sizes[node])
        logs[node] = logs[parent[node]] + second - first + moved
    highest = max(logs.values())
    weights = {node: math.exp(value - highest) for node, value in logs.items()}
    total = sum(weights.values())
    root = {node: weight / total for node, weight in weights.items()}
    below = dict(root)
    for node in reversed(order[1:]):
        below[parent[node]] += below[node]
    oriented = []
    for one, other in edges:
        near, far = (one, other) if parent.get(other) == one else (other, one)
        turned = min(below[far], 1.0)  # the root lies on the far side
        ends, probability = ((near, far), 1 - turned) if turned <= 0.5 else ((far, near), turned)
        oriented.append(Oriented(ends=ends, probability=probability))
    return oriented, root


def _log_older(edge: tuple[int, int], direction: DirectionOf, models: int) -> tuple[float, float]:
    """Log likelihood that the first end is the older one, and that the second is."""
    one, other = edge
    found = direction(other, one) if max(one, other) < models else None
    if found is None:
        return 0.0, 0.0
    # A common ancestor between the two would leave either end to be the older one.
    undecided = found.common_ancestor / 2
    return (
        math.log(max(found.questioned_from_reference + undecided, LEAST)),
        math.log(max(found.reference_from_questioned + undecided, LEAST)),
    )


def _walk(start: int, neighbours: Mapping[int, Sequence[int]]) -> tuple[list[int], dict[int, int]]:
    order = [start]
    parent: dict[int, int] = {}
    for node in order:
        for other in neighbours[node]:
            if other != parent.get(node):
                parent[other] = node
                order.append(other)
    return order, parent
