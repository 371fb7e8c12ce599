"""What is said of a model's relations to others: its claimant's word, and what examiners found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import FindingEntry, Model, Notice
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.registry.blob_contents import is_borne_out
from whorl.registry.blobs import BlobFolder
from whorl.registry.claims_on_content import claims_content
from whorl.registry.database_view import facts_of
from whorl.registry.entry_rows import entries_with_digest
from whorl.registry.notices import notice_standing
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.view import EntryFacts, View
from whorl.registry.votes import acts_as, is_vouched_for
from whorl.web import page_wording
from whorl.web.documents import EntryLine, OrganisationName
from whorl.web.entry_pages import claimant_name, entry_line
from whorl.web.lineage_picture import Edge, Node
from whorl.web.page_reading import is_shown

LISTED: Final = 100
SCANNED: Final = 2000
DEPTH: Final = 3
NODES: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLine:
    """A finding that names the content of this model, of an examiner whom a bureau verified.

    Parameters
    ----------
    annulled_notices : ids of notices that cite it and were annulled
    """

    entry: str
    body: FindingEntry
    by: OrganisationName | None
    standing: Standing
    is_questioned: bool
    other: tuple[EntryLine, ...]
    annulled_notices: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return self.standing == "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What examiners found of a content, and how many statements about it are not shown.

    Parameters
    ----------
    not_shown : of examiners whom no bureau verified, or who are a party; or without a document that bears them out
    are_whole : false if there are more entries than were looked at
    """

    shown: tuple[FoundLine, ...] = ()
    not_shown: int = 0
    are_whole: bool = True


def findings_on(
    connection: Connection, content: str | None, view: View, blobs: BlobFolder, *, at: datetime
) -> Findings:
    """Findings that name a content, on either side, the first entered first.

    Anybody can enter a finding. Shown are those of examiners whom a bureau verified and who claim neither of the two
    contents, if their document is here and says the same: of the others, a page says no more than how many there are.
    """
    if content is None:
        return Findings()
    lines: list[FoundLine] = []
    vouched_for: dict[tuple[bytes | None, bytes], bool] = {}
    not_shown = looked_at = 0
    for stored in islice(entries_with_digest(connection, content, role="subject"), SCANNED):
        looked_at += 1
        if stored.kind != "finding":
            continue
        facts = facts_of(stored)
        body = None if facts.statement is None else facts.statement.body
        if not isinstance(body, FindingEntry) or not is_shown(facts, view, at=at):
            continue
        examiner = (facts.organisation, facts.issuer)
        if examiner not in vouched_for:
            vouched_for[examiner] = acts_as("examiner", facts, view) and is_vouched_for(facts, view)
        if len(lines) == LISTED or not vouched_for[examiner] or not _is_reviewable(connection, facts, body, blobs):
            not_shown += 1
            continue
        lines.append(_found_line(connection, facts, body, content, view, at=at))
    return Findings(shown=tuple(lines), not_shown=not_shown, are_whole=looked_at < SCANNED)


def _is_reviewable(connection: Connection, finding: EntryFacts, body: FindingEntry, blobs: BlobFolder) -> bool:
    """Whether the examiner claims neither content, and the document is here and bears the entry out."""
    assert finding.organisation is not None
    is_party = any(claims_content(connection, finding.organisation, one) for one in (body.questioned, body.reference))
    return not is_party and is_borne_out(body, blobs)


def _found_line(
    connection: Connection, finding: EntryFacts, body: FindingEntry, content: str, view: View, *, at: datetime
) -> FoundLine:
    is_questioned = body.questioned == content
    other = body.reference if is_questioned else body.questioned
    return FoundLine(
        entry=entry_id(finding.hash),
        body=body,
        by=claimant_name(finding.organisation, view),
        standing=entry_standing(finding, view, at=at).standing,
        is_questioned=is_questioned,
        other=tuple(_claimants(connection, other, view, at=at)),
        annulled_notices=tuple(_annulled_notices(connection, finding, body, view, at=at)),
    )


def _annulled_notices(
    connection: Connection, finding: EntryFacts, body: FindingEntry, view: View, *, at: datetime
) -> Iterable[str]:
    """Notices about the questioned content that cite a finding and were annulled."""
    cited = entry_id(finding.hash)
    for model in islice(entries_with_digest(connection, body.questioned, role="content"), LISTED):
        for entry in view.about(model.hash, "notice"):
            said = None if entry.statement is None else entry.statement.body
            if (
                isinstance(said, Notice)
                and cited in said.findings
                and notice_standing(entry, view, at=at).state == "annulled"
            ):
                yield entry_id(entry.hash)


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
        if finding.is_good and finding.body.relation not in ("none_found", "inconclusive"):
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
    edge = Edge(
        above=above,
        below=below,
        words=words,
        said_by=said_by,
        source="found",
        by=finding.entry,
        annulled_notices=finding.annulled_notices,
    )
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
