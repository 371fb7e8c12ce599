"""Edges of a lineage in words: one vocabulary for the terminal, the page and the graph."""

from collections.abc import Sequence
from typing import Final

from whorl.lineage.document import DESCENT, TRAINED, Edge, EdgeKind

EDGE_WORDS: Final[dict[EdgeKind, str]] = {
    "derived": "derived from, or shares trained weights with",
    "merge": "merged from",
    "shares_ancestor": "shares trained weights through a common ancestor with",
    "undecided": "shares weights, trained ones or those of a common start alone, with",
    "same_start": "started from the same weights and was trained apart: no descent, beside",
}
"""What stands between the child's name and the parent's."""

EDGE_TITLES: Final[dict[EdgeKind, str]] = {
    "derived": "Derived, or trained weights shared",
    "merge": "Merge",
    "shares_ancestor": "Trained weights of a common ancestor",
    "undecided": "Undecided: trained weights or a common start",
    "same_start": "Same start, trained apart: no descent",
}


def counted(edges: Sequence[Edge]) -> str:
    """How many relations there are of each sort, those by trained weights apart from those that say no such thing."""
    trained = sum(edge.kind in TRAINED for edge in edges)
    undecided = sum(edge.kind == "undecided" for edge in edges)
    started = sum(edge.kind == "same_start" for edge in edges)
    parts = [f"{trained} relation{'' if trained == 1 else 's'} by trained weights"]
    if undecided:
        parts.append(f"{undecided} undecided between that and a common start")
    if started:
        parts.append(f"{started} by a common start alone")
    return ", ".join(parts)


def is_descent(edge: Edge) -> bool:
    """Whether the edge is of a kind along which one model may come from another."""
    return edge.kind in DESCENT
