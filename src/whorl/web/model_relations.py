"""What is said of a model's relations to others: its claimant's word, and what examiners found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import FindingEntry, Model
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.registry.database_view import facts_of
from whorl.registry.entry_rows import entries_with_digest
from whorl.registry.findings import is_independent
from whorl.registry.parties import Parties
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.view import EntryFacts, View
from whorl.web import page_wording
from whorl.web.documents import EntryLine, OrganisationName
from whorl.web.entry_pages import claimant_name, entry_line
from whorl.web.lineage_picture import Edge, Node
from whorl.web.page_reading import is_shown

LISTED: Final = 100
DEPTH: Final = 3
NODES: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLine:
    """A finding that names the content of this model."""

    entry: str
    body: FindingEntry
    by: OrganisationName | None
    verified: bool
    standing: Standing
    is_questioned: bool
    other: tuple[EntryLine, ...]


def findings_on(connection: Connection, content: str | None, view: View, *, at: datetime) -> tuple[FoundLine, ...]:
    """Findings that name a content, on either side, the first entered first."""
    if content is None:
        return ()
    lines = []
    for stored in islice(entries_with_digest(connection, content, role="subject"), LISTED):
        facts = facts_of(stored)
        body = None if facts.statement is None else facts.statement.body
        if not isinstance(body, FindingEntry) or not is_shown(facts, view, at=at):
            continue
        is_questioned = body.questioned == content
        other = body.reference if is_questioned else body.questioned
        lines.append(
            FoundLine(
                entry=entry_id(facts.hash),
                body=body,
                by=claimant_name(facts.organisation, view),
                verified=is_independent(facts, _nobody(), view),
                standing=entry_standing(facts, view, at=at).standing,
                is_questioned=is_questioned,
                other=tuple(_claimants(connection, other, view, at=at)),
            )
        )
    return tuple(lines)


def _nobody() -> Parties:
    none: frozenset[bytes] = frozenset()
    return Parties(accuser=None, accused=none, by_entry=none, everyone=none)


def _claimants(connection: Connection, content: str, view: View, *, at: datetime) -> Iterable[EntryLine]:
    """Models that claim a content, the first seen first."""
    for stored in islice(entries_with_digest(connection, content, role="content"), 3):
        facts = facts_of(stored)
        if facts.kind == "model" and is_shown(facts, view, at=at):
            yield entry_line(facts, view)


def relations_of(
    model: EntryFacts, findings: Sequence[FoundLine], view: View, *, at: datetime
) -> tuple[dict[str, Node], list[Edge]]:
    """What the claimant declares, what those claimants declare in turn, and what examiners found of this content."""
    nodes = {entry_id(model.hash): _node(model, 0, view, is_subject=True)}
    edges: list[Edge] = []
    level = [model]
    for depth in range(1, DEPTH + 1):
        level = [parent for child in level for parent in _declared(child, -depth, nodes, edges, view, at=at)]
    for finding in findings:
        if finding.standing == "good" and finding.body.relation not in ("none_found", "inconclusive"):
            _add_finding(finding, entry_id(model.hash), nodes, edges)
    return _above_their_children(nodes, edges), edges


def _above_their_children(nodes: dict[str, Node], edges: Sequence[Edge]) -> dict[str, Node]:
    """The nodes with ranks by which whatever is declared stands above all that declares it."""
    ranks = {key: node.rank for key, node in nodes.items()}
    for _ in nodes:  # entries name earlier ones by their hashes, so that there is no circle; if there were, this ends
        for edge in edges:
            if edge.source == "declared":
                ranks[edge.above] = min(ranks[edge.above], ranks[edge.below] - 1)
    return {key: replace(node, rank=ranks[key]) for key, node in nodes.items()}


def _declared(
    child: EntryFacts, rank: int, nodes: dict[str, Node], edges: list[Edge], view: View, *, at: datetime
) -> list[EntryFacts]:
    """Add what one model's claimant declares; the declared models that are not in the picture yet."""
    below = entry_id(child.hash)
    fresh = []
    for claim in model_body(child).declared:
        parent = None if claim.entry is None else view.entry(parse_entry_id(claim.entry))
        known = parent is not None and parent.kind == "model" and is_shown(parent, view, at=at)
        key = claim.entry if known and claim.entry is not None else f"{claim.of}\0{claim.entry}"
        if key not in nodes:
            if len(nodes) >= NODES:
                continue
            if known and parent is not None:
                nodes[key] = _node(parent, rank, view)
                fresh.append(parent)
            else:
                nodes[key] = Node(key=key, rank=rank, name=claim.of, claimant=None, entry=None)
        words = page_wording.DECLARED[claim.relation]
        claimant = claimant_name(child.organisation, view)
        said_by = "its claimant" if claimant is None else claimant.name
        edges.append(Edge(above=key, below=below, words=words, said_by=said_by, source="declared", by=below))
    return fresh


def _add_finding(finding: FoundLine, subject: str, nodes: dict[str, Node], edges: list[Edge]) -> None:
    """A finding does not say which model came first: one that is not in the picture yet stands in a row below."""
    other = next((line for line in finding.other if line.id in nodes), next(iter(finding.other), None))
    content = finding.body.reference if finding.is_questioned else finding.body.questioned
    key = content if other is None else other.id
    if key == subject or (key not in nodes and len(nodes) >= NODES):
        return
    if key not in nodes:
        claimant = None if other is None or other.claimant is None else other.claimant.name
        name = f"{content[:15]}\N{HORIZONTAL ELLIPSIS}" if other is None else other.name
        nodes[key] = Node(key=key, rank=1, name=name, claimant=claimant, entry=None if other is None else other.id)
    above, below = (key, subject) if nodes[key].rank < 0 else (subject, key)
    said_by = "an examiner" if finding.by is None else finding.by.name
    words = page_wording.FOUND[finding.body.relation]
    edge = Edge(above=above, below=below, words=words, said_by=said_by, source="found", by=finding.entry)
    edges.append(edge)


def _node(model: EntryFacts, rank: int, view: View, *, is_subject: bool = False) -> Node:
    body = model_body(model)
    claimant = claimant_name(model.organisation, view)
    return Node(
        key=entry_id(model.hash),
        rank=rank,
        name=body.name if body.revision is None else f"{body.name} {body.revision}",
        claimant=None if claimant is None else claimant.name,
        entry=entry_id(model.hash),
        is_subject=is_subject,
    )


def model_body(model: EntryFacts) -> Model:
    """What a model's entry says; the caller knows that it is one and can be read."""
    assert model.statement is not None
    assert isinstance(model.statement.body, Model)
    return model.statement.body
