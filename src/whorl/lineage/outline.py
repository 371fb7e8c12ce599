"""A lineage in the order of a table of contents: every node once, below the parent that explains most of it."""

from dataclasses import dataclass
from typing import Final

from whorl.lineage.document import TRAINED, Edge, EdgeKind, Lineage, Node

_FIRST: Final[dict[EdgeKind, int]] = {kind: place for place, kind in enumerate(TRAINED)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One node in its place.

    Parameters
    ----------
    depth : 0 for what hangs on nothing
    edge : to the node that it is shown below; None at depth 0
    below : that node's id
    further : its other edges that are not shown by the indentation
    last : for every level down to this one, whether nothing follows on it
    """

    node: Node
    depth: int
    edge: Edge | None
    below: str | None
    further: tuple[Edge, ...]
    last: tuple[bool, ...]


def outline(lineage: Lineage) -> list[Row]:
    """All nodes, group by group, larger branches first.

    Only edges that say that trained weights are shared hang a node below another: what merely started from the same
    weights, or may have, stands beside.
    """
    above: dict[str, tuple[str, Edge]] = {}
    tree = {node.id: node.id for node in lineage.nodes}
    forming = [edge for edge in lineage.edges if edge.kind in TRAINED]
    for edge in sorted(forming, key=lambda e: (_FIRST[e.kind], -(e.share or 0.0), -e.confidence)):
        for upper, lower in ((edge.parent, edge.child), (edge.child, edge.parent)):
            joins = _top(tree, upper) != _top(tree, lower)
            if lower not in above and joins and (upper == edge.parent or not edge.directed):
                above[lower] = (upper, edge)
                tree[lower] = upper
                break
    shown = {id(edge) for _, edge in above.values()}
    further: dict[str, list[Edge]] = {}
    for edge in lineage.edges:
        if id(edge) not in shown:
            further.setdefault(edge.child, []).append(edge)
    children: dict[str, list[str]] = {}
    for lower, (upper, _) in above.items():
        children.setdefault(upper, []).append(lower)
    nodes = {node.id: node for node in lineage.nodes}
    sizes: dict[str, int] = {}
    order = {node.id: place for place, node in enumerate(lineage.nodes)}
    tops = [node.id for node in lineage.nodes if node.id not in above]
    for top in tops:
        _count(top, children, sizes)
    rows: list[Row] = []
    group = {member: place for place, members in enumerate(lineage.groups) for member in members}
    tops.sort(key=lambda node: (-group.get(node, len(group)), sizes[node], -order[node]))
    pending: list[tuple[str, int, tuple[bool, ...]]] = [(top, 0, (True,)) for top in tops]
    while pending:
        node, depth, last = pending.pop()
        upper_edge = above.get(node)
        rows.append(
            Row(
                node=nodes[node],
                depth=depth,
                edge=upper_edge[1] if upper_edge else None,
                below=upper_edge[0] if upper_edge else None,
                further=tuple(further.get(node, ())),
                last=last,
            )
        )
        below = sorted(children.get(node, ()), key=lambda child: (sizes[child], -order[child]))
        pending += [(child, depth + 1, (*last, place == 0)) for place, child in enumerate(below)]
    return rows


def _top(tree: dict[str, str], node: str) -> str:
    while tree[node] != node:
        node = tree[node]
    return node


def _count(top: str, children: dict[str, list[str]], sizes: dict[str, int]) -> None:
    order = [top]
    for node in order:
        order += children.get(node, ())
    for node in reversed(order):
        sizes[node] = 1 + sum(sizes[child] for child in children.get(node, ()))
