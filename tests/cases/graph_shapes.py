"""What CASE and UCO ask of a graph, as far as Whorl's exports use them.

Read by hand from the shapes of the ontologies (CASE: investigation; UCO: core, action, types), because no SHACL engine
is among the tests' tools: required properties, values that may stand once only, classes that a property points to, and
that no node is blank. The ontologies say more than this.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

REQUIRED = {
    "case-investigation:Investigation": {"uco-core:object"},
    "case-investigation:InvestigativeAction": {
        "uco-action:performer",
        "uco-action:result",
        "uco-action:endTime",
        "uco-core:name",
    },
    "case-investigation:ProvenanceRecord": {"uco-core:object"},
    "case-investigation:Examiner": {"uco-core:name"},
    "uco-role:Role": {"uco-core:name"},
    "uco-identity:Identity": set(),
    "uco-core:Relationship": {"uco-core:source", "uco-core:target", "uco-core:isDirectional"},
    "uco-tool:AnalyticTool": {"uco-core:name"},
    "uco-observable:ObservableObject": {"uco-core:hasFacet"},
    "uco-observable:ContentDataFacet": {"uco-observable:hash"},
    "uco-types:Hash": {"uco-types:hashMethod", "uco-types:hashValue"},
}
ALLOWED = {
    "case-investigation:exhibitNumber",
    "case-investigation:focus",
    "case-investigation:investigationForm",
    "case-investigation:wasInformedBy",
    "uco-action:instrument",
    "uco-action:object",
    "uco-core:description",
    "uco-core:kindOfRelationship",
    "uco-core:name",
    "uco-core:objectCreatedTime",
    "uco-tool:version",
}
AT_MOST_ONE = {
    "case-investigation:exhibitNumber": str,
    "uco-action:performer": dict,
    "uco-action:endTime": dict,
    "uco-core:name": str,
    "uco-core:target": dict,
    "uco-core:isDirectional": bool,
    "uco-core:kindOfRelationship": str,
    "uco-core:objectCreatedTime": dict,
    "uco-types:hashMethod": str,
    "uco-types:hashValue": dict,
    "uco-tool:version": str,
}
KINDS_OF = {
    "uco-action:performer": {"uco-identity:Identity"},
    "uco-action:instrument": {"uco-tool:AnalyticTool"},
    "uco-action:result": {"case-investigation:ProvenanceRecord"},
    "uco-core:hasFacet": {"uco-observable:ContentDataFacet"},
    "uco-observable:hash": {"uco-types:Hash"},
    "case-investigation:wasInformedBy": {"case-investigation:InvestigativeAction"},
}


def references(value: Any) -> Iterator[str]:
    match value:
        case {"@id": str(name), **rest} if not rest:
            yield name
        case list():
            for one in value:
                yield from references(one)


def faults(document: Mapping[str, Any]) -> list[str]:
    """What keeps a graph from the shapes above."""
    nodes = {node["@id"]: node for node in document["@graph"]}
    found = [] if len(nodes) == len(document["@graph"]) else ["two nodes of one name"]
    for name, node in nodes.items():
        if not re.fullmatch(r"urn:whorl:[a-z0-9:_-]+", name):
            found.append(f"{name}: no name of ours")
        required = REQUIRED.get(node["@type"])
        if required is None:
            found.append(f"{name}: unknown class {node['@type']}")
            continue
        present = set(node) - {"@id", "@type"}
        found += [f"{name}: lacks {one}" for one in required - present]
        found += [f"{name}: unknown property {one}" for one in present - required - ALLOWED]
        for key in present:
            if key in AT_MOST_ONE and not isinstance(node[key], AT_MOST_ONE[key]):
                found.append(f"{name}: {key} is not one value")
            if key.partition(":")[0] not in document["@context"]:
                found.append(f"{name}: {key} has no namespace")
            for target in references(node[key]):
                if target not in nodes:
                    found.append(f"{name}: {key} points to {target}, which is not there")
                elif nodes[target]["@type"] not in KINDS_OF.get(key, {nodes[target]["@type"]}):
                    found.append(f"{name}: {key} points to a {nodes[target]['@type']}")
        if node["@type"] == "uco-types:Hash":
            value = node["uco-types:hashValue"]
            if value["@type"] != "xsd:hexBinary" or not re.fullmatch(r"([0-9A-F]{2})+", value["@value"]):
                found.append(f"{name}: no canonical hexBinary")
    return found
