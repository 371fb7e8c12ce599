"""How well a tree explains squared distances: where it does not, drift has to be allowed for."""

import numpy as np

from whorl.core.arrays import Doubles
from whorl.lineage.links import Link
from whorl.statistics.shares import nonnegative_solution


def misfit(table: Doubles, members: tuple[int, ...], links: tuple[Link, ...]) -> float:
    """Relative difference of squared distances from the tree's paths at the best edge lengths: its upper quartile.

    Merges, which lie on no tree, and what hangs on them are left out. 0 where there are not more pairs than edges.

    Parameters
    ----------
    table : squared distances, shape (members, members)
    """
    merged = {link.far for link in links if link.kind == "merge"}
    edges = [link for link in links if link.kind == "derived"]
    above = {link.far: (number, link.near) for number, link in enumerate(edges)}
    ways = {}
    for place, model in enumerate(members):
        way, node = set(), model
        while node in above and node not in merged:
            number, node = above[node]
            way.add(number)
        if node not in merged:
            ways[place] = (node, way)
    pairs = [(i, j) for i in ways for j in ways if i < j and ways[i][0] == ways[j][0] and table[i, j] > 0]
    if len(pairs) <= len(edges):
        return 0.0
    design = np.zeros((len(pairs), len(edges)))
    for row, (i, j) in enumerate(pairs):
        design[row, list(ways[i][1] ^ ways[j][1])] = 1
    observed = np.array([table[i, j] for i, j in pairs])
    design /= observed[:, None]  # every pair counts by its own size
    used = design.any(axis=0)
    lengths = nonnegative_solution(design[:, used].T @ design[:, used], design[:, used].sum(axis=0))
    return float(np.quantile(np.abs(design[:, used] @ lengths - 1), 0.75))
