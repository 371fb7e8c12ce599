"""Unseen ancestors below one node: models whose changes from it share more path than drift explains."""

from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An unseen ancestor: ``node`` numbers it after the children; on it hang ``members``, children or other groups."""

    node: int
    members: tuple[int, ...]
    path: float
    confidence: float


def grouped(gram: Doubles, *, least: float, same_place: float) -> list[Group]:
    """Unseen ancestors of the children of one node, innermost first.

    In an additive tree the inner product of two changes is the length of the path that they share, so the pair that
    shares most are siblings: they are joined under an ancestor at that depth, and so on, as long as the path is at
    least ``least`` of the geometric mean of the two.

    Parameters
    ----------
    gram : shape (children, children), inner products of the children's changes from the node
    same_place : two ancestors nearer to each other than this share of the path to the farther one are one
    """
    paths = {i: {j: float(gram[i, j]) for j in range(len(gram)) if j != i} for i in range(len(gram))}
    length = {i: max(float(gram[i, i]), 1e-300) for i in range(len(gram))}
    found: dict[int, Group] = {}
    while (pair := _deepest(paths, length, least)) is not None:
        one, other, path, sure = pair
        members: list[int] = []
        for node in (one, other):
            if node in found and found[node].path - path <= same_place * found[node].path:
                members += found.pop(node).members
            else:
                members.append(node)
        node = max(length) + 1
        found[node] = Group(node=node, members=tuple(members), path=path, confidence=sure)
        paths[node] = {}
        for third in list(paths):
            if third not in (node, one, other):
                joint = (paths[third].pop(one) + paths[third].pop(other)) / 2
                paths[third][node] = paths[node][third] = joint
        del paths[one], paths[other]
        length[node] = path
    return list(found.values())


def _deepest(
    paths: dict[int, dict[int, float]], length: dict[int, float], least: float
) -> tuple[int, int, float, float] | None:
    best = None
    for one, others in paths.items():
        for other, path in others.items():
            cosine = path / float(np.sqrt(length[one] * length[other]))
            if one < other and cosine >= least and (best is None or path > best[2]):
                best = (one, other, path, 0.5 + 0.5 * min(1.0, (cosine - least) / max(least, 1e-9)))
    return best
