"""What the page of a model shows: claims side by side, its declared and found relations, what speaks of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import Fingerprint, Model, Notice
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.log.policy import Policy
from whorl.registry.blobs import BlobFolder
from whorl.registry.database_errors import RegistryError
from whorl.registry.database_view import facts_of
from whorl.registry.entry_rows import entries_about, entries_with_digest
from whorl.registry.levels import ClaimantLevel, claimant_level, competing_claims
from whorl.registry.name_rows import entries_named, words_of
from whorl.registry.reading import ANYBODY
from whorl.registry.remembering_view import RememberingView
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.view import EntryFacts, View
from whorl.web import lineage_picture
from whorl.web.documents import EntryLine, LevelDocument, NoticeDocument, OrganisationName
from whorl.web.entry_pages import claimant_name, entry_line, level_document, notice_document
from whorl.web.entry_times import Interval, interval_of
from whorl.web.lineage_picture import Edge, Node, Picture
from whorl.web.model_relations import Findings, findings_on, model_body, relations_of
from whorl.web.page_reading import is_shown

CLAIMS: Final = 30
LISTED: Final = 100
SCANNED: Final = 500
PER_CLAIMANT: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCard:
    """One claim, beside the others."""

    line: EntryLine
    body: Model
    level: LevelDocument
    earliest: datetime
    standing: Standing
    is_this: bool
    same_content: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FingerprintLine:
    """A fingerprint that was entered on this model."""

    entry: str
    body: Fingerprint
    by: OrganisationName | None
    by_claimant: bool
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLine:
    """A notice about one of the claims on this content."""

    notice: NoticeDocument
    about: EntryLine
    by: OrganisationName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """All that the page shows."""

    line: EntryLine
    body: Model
    level: LevelDocument
    standing: Standing
    standing_by: tuple[str, ...]
    interval: Interval
    claims: tuple[ClaimCard, ...]
    claims_are_whole: bool
    notices: tuple[NoticeLine, ...]
    advisories: tuple[NoticeLine, ...]
    findings: Findings
    fingerprints: tuple[FingerprintLine, ...]
    edges: tuple[Edge, ...]
    nodes: dict[str, Node]
    picture: Picture | None


def model_page(
    connection: Connection, model: EntryFacts, blobs: BlobFolder, *, policy: Policy | None, at: datetime
) -> ModelPage:
    """Gather what is shown of a model that everybody may see.

    Parameters
    ----------
    blobs : where findings have their documents
    policy : by which tree heads of its log are checked; None for a log of another bureau
    """
    view = RememberingView(connection)
    body = model_body(model)
    claims, whole = _claims(connection, model, view, at=at)
    findings = findings_on(connection, body.content, view, blobs, at=at)
    standing = entry_standing(model, view, at=at)
    nodes, edges = relations_of(model, findings.shown, view, at=at)
    return ModelPage(
        line=entry_line(model, view),
        body=body,
        level=level_document(claimant_level(model, view)),
        standing=standing.standing,
        standing_by=tuple(map(entry_id, standing.by)),
        interval=interval_of(connection, model, policy=policy),
        claims=claims,
        claims_are_whole=whole,
        notices=_notices(claims, view, at=at),
        advisories=_advisories(nodes, view, at=at),
        findings=findings,
        fingerprints=_fingerprints(connection, model, view, at=at),
        edges=tuple(edges),
        nodes=nodes,
        picture=lineage_picture.draw(list(nodes.values()), edges) if edges else None,
    )


def _claims(
    connection: Connection, model: EntryFacts, view: View, *, at: datetime
) -> tuple[tuple[ClaimCard, ...], bool]:
    """Claims on the same content or the same name, and whether these are all.

    Of one claimant there are at most `PER_CLAIMANT` beside the page's own, so that a flood of claims hides nobody's.
    """
    body = model_body(model)
    by_content = () if body.content is None else entries_with_digest(connection, body.content, role="content")
    found, whole = _some(by_content, model)
    try:
        named, all_named = _some(
            (one for one in entries_named(connection, body.name) if one.hash not in found), model, name=body.name
        )
    except RegistryError:  # a name of no words, or of words that are in too many names
        named, all_named = {}, False
    shown = [one for one in {**found, **named, model.hash: model}.values() if is_shown(one, view, at=at)]
    levels = competing_claims(shown, view)
    facts = {one.hash: one for one in shown}
    cards = tuple(_card(facts[level.model], level, model, view, at=at) for level in levels)
    return cards, whole and all_named


def _some(
    stored: Iterable[StoredEntry], model: EntryFacts, *, name: str | None = None
) -> tuple[dict[bytes, EntryFacts], bool]:
    """Models among the first entries found, a few of each claimant, and whether none was left out."""
    found: dict[bytes, EntryFacts] = {}
    numbers: Counter[bytes | None] = Counter()
    whole = True
    for place, one in enumerate(stored):
        if place == SCANNED or len(found) == CLAIMS:
            return found, False
        if one.kind != "model" or one.hash == model.hash:
            continue
        if numbers[one.organisation] == PER_CLAIMANT:
            whole = False
            continue
        facts = facts_of(one)
        if name is None or _has_name(facts, name):
            numbers[one.organisation] += 1
            found[one.hash] = facts
    return found, whole


def _has_name(entry: EntryFacts, name: str) -> bool:
    body = None if entry.statement is None else entry.statement.body
    return isinstance(body, Model) and words_of(body.name) == words_of(name)


def _card(entry: EntryFacts, level: ClaimantLevel, model: EntryFacts, view: View, *, at: datetime) -> ClaimCard:
    body = model_body(entry)
    return ClaimCard(
        line=entry_line(entry, view),
        body=body,
        level=level_document(level),
        earliest=level.earliest,
        standing=entry_standing(entry, view, at=at).standing,
        is_this=entry.hash == model.hash,
        same_content=body.content is not None and body.content == model_body(model).content,
    )


def _notices(claims: Sequence[ClaimCard], view: View, *, at: datetime) -> tuple[NoticeLine, ...]:
    """Notices about this entry and about every other claim on the same content, the newest first."""
    lines = []
    for card in claims:
        if not card.is_this and not card.same_content:
            continue
        for entry in view.about(parse_entry_id(card.line.id), "notice"):
            line = NoticeLine(
                notice=notice_document(entry, ANYBODY, view, at=at),
                about=card.line,
                by=claimant_name(entry.organisation, view),
            )
            lines.append((entry.seen_at, line))
    return tuple(line for _, line in sorted(lines, key=lambda pair: pair[0], reverse=True))


def _advisories(nodes: Mapping[str, Node], view: View, *, at: datetime) -> tuple[NoticeLine, ...]:
    """Orange notices that are shown, about other models in the picture."""
    lines = []
    for node in nodes.values():
        model = None if node.entry is None or node.is_subject else view.entry(parse_entry_id(node.entry))
        for entry in () if model is None else view.about(model.hash, "notice"):
            body = None if entry.statement is None else entry.statement.body
            if (
                model is not None
                and isinstance(body, Notice)
                and body.colour == "orange"
                and is_shown(entry, view, at=at)
            ):
                notice = notice_document(entry, ANYBODY, view, at=at)
                by = claimant_name(entry.organisation, view)
                lines.append(NoticeLine(notice=notice, about=entry_line(model, view), by=by))
    return tuple(lines)


def _fingerprints(
    connection: Connection, model: EntryFacts, view: View, *, at: datetime
) -> tuple[FingerprintLine, ...]:
    lines = []
    for stored in islice(entries_about(connection, model.hash), LISTED):
        facts = facts_of(stored)
        body = None if facts.statement is None else facts.statement.body
        if isinstance(body, Fingerprint) and is_shown(facts, view, at=at):
            lines.append(
                FingerprintLine(
                    entry=entry_id(facts.hash),
                    body=body,
                    by=claimant_name(facts.organisation, view),
                    by_claimant=facts.organisation == model.organisation,
                    standing=entry_standing(facts, view, at=at).standing,
                )
            )
    return tuple(lines)
