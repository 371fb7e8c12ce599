"""A lineage as GraphML, for Gephi, yEd, Cytoscape and NetworkX."""

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree

from whorl.comparison.wording import visible
from whorl.lineage.document import Lineage
from whorl.lineage.wording import EDGE_TITLES

_NAMESPACE: Final = "http://graphml.graphdrawing.org/xmlns"
_NODE_KEYS: Final = {
    "name": "string",
    "kind": "string",
    "digest": "string",
    "description": "string",
    "access": "string",
    "remark": "string",
}
_EDGE_KEYS: Final = {
    "kind": "string",
    "label": "string",
    "share": "double",
    "confidence": "double",
    "directed": "boolean",
    "direction_confidence": "double",
    "distance": "double",
    "detail": "string",
}


def to_graphml(lineage: Lineage) -> bytes:
    """The graph with every attribute of nodes and edges; what is null is left out.

    Every edge leads from parent to child; where ``directed`` is false, that order is not established. (Readers do not
    agree on graphs that mix both kinds of edge.) So that no viewer's arrow passes for descent, each edge has a
    ``label`` that says in words what it stands for.

    References
    ----------
    GraphML 1.0, http://graphml.graphdrawing.org/specification.html
    """
    root = ElementTree.Element("graphml", xmlns=_NAMESPACE)
    for domain, keys in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS)):
        for name, kind in keys.items():
            ElementTree.SubElement(
                root, "key", {"id": f"{domain}_{name}", "for": domain, "attr.name": name, "attr.type": kind}
            )
    graph = ElementTree.SubElement(root, "graph", id="lineage", edgedefault="directed")
    for node in lineage.nodes:
        element = ElementTree.SubElement(graph, "node", id=node.id)
        _data(element, "node", _NODE_KEYS, node.model_dump())
    for number, edge in enumerate(lineage.edges, 1):
        element = ElementTree.SubElement(graph, "edge", id=f"e{number}", source=edge.parent, target=edge.child)
        _data(element, "edge", _EDGE_KEYS, {**edge.model_dump(), "label": EDGE_TITLES[edge.kind]})
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _data(element: ElementTree.Element, domain: str, keys: dict[str, str], values: Mapping[str, object]) -> None:
    for name, kind in keys.items():
        value = values[name]
        if value is not None:
            data = ElementTree.SubElement(element, "data", key=f"{domain}_{name}")
            data.text = str(value).lower() if kind == "boolean" else visible(str(value))
