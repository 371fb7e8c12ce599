"""The custody of a case as a CASE/UCO graph in JSON-LD: who did what when, with what, and what came of it.

Every event is an investigative action, and each action that leaves something has a provenance record of what it left.
Names of nodes follow from hashes of the chain. What people wrote is not repeated: it is in the signed events.
Vocabulary: CASE and UCO 1 (caseontology.org, unifiedcyberontology.org).
"""

from typing import Any, Final

from whorl.cases.case import CaseView
from whorl.cases.exports.graph_nodes import EXAMINER_ROLES, Graph, instant, links
from whorl.dossiers.custody import Event
from whorl.dossiers.events import (
    Acquired,
    Analysed,
    CodedMember,
    Expunged,
    Frozen,
    Opined,
    Replicated,
    Responded,
)
from whorl.dossiers.state import NEEDED_ACCESS

CONTEXT: Final = {
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
    "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
    "uco-identity": "https://ontology.unifiedcyberontology.org/uco/identity/",
    "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
    "uco-role": "https://ontology.unifiedcyberontology.org/uco/role/",
    "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
    "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
RECORD_HASH: Final = "SHA256 over whorl/record/v1 and the record"
COMMITMENT: Final = "SHA256 over whorl/custody/v1, a salt and the signed event"


def case_graph(view: CaseView) -> dict[str, Any]:
    """The graph as a JSON-LD document; a case is shown at any stage, and erased events as their records alone."""
    graph = Graph()
    _people(view, graph)
    actions = [_action(view, event, graph) for event in view.events]
    opened = view.state.opened
    graph.add(
        f"urn:whorl:case:{view.id}",
        "case-investigation:Investigation",
        {"case-investigation:investigationForm": "case", "uco-core:object": links(actions)}
        | (
            {}
            if opened is None
            else {"uco-core:name": opened.title, "case-investigation:focus": [opened.question or opened.title]}
        ),
    )
    return {"@context": CONTEXT, "@graph": graph.nodes()}


def _people(view: CaseView, graph: Graph) -> None:
    """Everybody who acted or is named, each with their one role."""
    actors = {*view.state.parties, *(one.record.actor for one in view.kept)}
    for actor in sorted(actors):
        person, party = _person(view, actor), view.state.parties.get(actor)
        graph.add(person, "uco-identity:Identity", {} if party is None else {"uco-core:name": party.name})
        if party is None:
            continue
        role = f"urn:whorl:case:{view.id}:role:{party.role}"
        kind = "case-investigation:Examiner" if party.role in EXAMINER_ROLES else "uco-role:Role"
        graph.add(role, kind, {"uco-core:name": party.role})
        graph.add(
            f"{person}:role",
            "uco-core:Relationship",
            {
                "uco-core:source": links([person]),
                "uco-core:target": links([role])[0],
                "uco-core:isDirectional": True,
                "uco-core:kindOfRelationship": "Has_Role",
            },
        )


def _person(view: CaseView, actor: str) -> str:
    return f"urn:whorl:case:{view.id}:party:{actor}"


def _action(view: CaseView, event: Event, graph: Graph) -> str:
    record, body = event.record, event.body
    node = f"urn:whorl:record:{record.hash.hex()}"
    kept = f"{node}:kept"
    graph.content(kept, {RECORD_HASH: record.hash.hex(), COMMITMENT: record.commitment})
    left = [kept, *_left(event, graph)]
    number, title = _exhibit(view, event)
    graph.add(
        f"{node}:provenance",
        "case-investigation:ProvenanceRecord",
        {"uco-core:object": links(left), **number, **({} if title is None else {"uco-core:description": [title]})},
    )
    used = _used(view, event, graph)
    tools = _tools(event, graph)
    graph.add(
        node,
        "case-investigation:InvestigativeAction",
        {
            "uco-core:name": record.kind,
            "uco-core:description": [
                f"Event {record.sequence} of the case"
                + ("; its content was erased and its record stays" if body is None else "; signed by its performer")
            ],
            "uco-core:objectCreatedTime": instant(record.at),
            "uco-action:endTime": instant(body.acquired_at if isinstance(body, Acquired) else record.at),
            "uco-action:performer": links([_person(view, record.actor)])[0],
            "uco-action:result": links([f"{node}:provenance"]),
        }
        | ({"uco-action:instrument": links(tools)} if tools else {})
        | ({"uco-action:object": links(used)} if used else {})
        | ({"case-investigation:wasInformedBy": links([_before(record.previous)])} if record.previous else {}),
    )
    return node


def _before(previous: str) -> str:
    return f"urn:whorl:record:{previous}"


def _left(event: Event, graph: Graph) -> list[str]:
    """What the event left behind, beside its record."""
    match event.body:
        case Acquired(code=code, digest=digest, blob=blob, title=title):
            thing = graph.file(digest, name=title) if code.startswith("D-") else graph.model(digest)
            return [thing] if blob is None else list(dict.fromkeys([thing, graph.file(blob)]))
        case Analysed(document=document) | Opined(document=document):
            return [graph.file(document)]
        case Replicated(findings=findings):
            return list(dict.fromkeys(graph.file(one.recomputed) for one in findings))
        case _:
            return []


def _used(view: CaseView, event: Event, graph: Graph) -> list[str]:
    """What the event worked on, as far as it names it."""
    match event.body:
        case Frozen(protocol=protocol, receipt=receipt):
            return [graph.file(one) for one in (*protocol.populations, *([receipt] if receipt else ()))]
        case Analysed(group=group, questioned=questioned, reference=reference):
            access = NEEDED_ACCESS.get(group)
            return _exhibits(view, {(questioned, access), (reference, access)})
        case Responded(exhibits=exhibits):
            return _exhibits(view, {(code, "document") for code in exhibits})
        case Replicated(findings=findings):
            return list(dict.fromkeys(graph.file(one.document) for one in findings))
        case Opined(supersedes=str(earlier)):
            return [graph.file(earlier)]
        case Expunged(events=erased, blobs=blobs):
            records = [f"urn:whorl:record:{view.kept[one].record.hash.hex()}" for one in erased]
            return [*records, *(graph.file(one) for one in blobs)]
        case _:
            return []


def _exhibits(view: CaseView, wanted: "set[tuple[str, str | None]]") -> list[str]:
    """Provenance records of acquired exhibits."""
    return [
        f"urn:whorl:record:{event.record.hash.hex()}:provenance"
        for event in view.events
        if isinstance(event.body, Acquired) and (event.body.code, event.body.access) in wanted
    ]


def _tools(event: Event, graph: Graph) -> list[str]:
    match event.body:
        case Analysed(method=method):
            name, _, version = method.rpartition("/")
            return [graph.tool(name, version)]
        case Replicated(tool=tool):
            name, _, version = tool.rpartition(" ")
            return [graph.tool(name or tool, version if name else None)]
        case _:
            return []


def _exhibit(view: CaseView, event: Event) -> tuple[dict[str, str], str | None]:
    """An exhibit's number, and what it stands for once that was shown."""
    body = event.body
    if not isinstance(body, Acquired):
        return {}, None
    members: tuple[CodedMember, ...] = () if view.state.unblinded is None else view.state.unblinded.members
    member = next((one for one in members if one.code == body.code), None)
    return {"case-investigation:exhibitNumber": body.code}, None if member is None else f"{member.role}: {member.name}"
