"""What the search page shows: entries by words or a digest, and leads by a fingerprint."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from whorl.entries.leaf import parse_entry_id
from whorl.registry.database_view import DatabaseView
from whorl.registry.leads import Lead
from whorl.registry.levels import claimant_level
from whorl.registry.standing import Standing, entry_standing
from whorl.web.documents import DigestDocument, EntryLine, OrganisationName
from whorl.web.entry_pages import claimant_name

SHOWN_KINDS: Final = ("model", "dataset", "organisation")

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_ENTRY: Final = re.compile(r"[a-z2-7]{51}[aq]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An entry that was found, with the level of its claim if it is a model."""

    line: EntryLine
    level: int | None
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadLine:
    """A lead with its claimant by the id of the organisation's entry."""

    lead: Lead
    claimant: OrganisationName | None
    bar: float


def sought_digest(q: str) -> str | None:
    """The digest that somebody looks for; None if it is none."""
    match = _DIGEST.fullmatch(q.strip())
    return None if match is None else f"sha256:{match[1].lower()}"


def sought_entry(q: str) -> str | None:
    """The entry's id that somebody looks for; None if it is none."""
    return q.strip() if _ENTRY.fullmatch(q.strip()) else None


def hits(connection: Connection, lines: Iterable[EntryLine], *, at: datetime) -> list[Hit]:
    """Levels and standings of entries that were found; kinds that have no name of their own are left out."""
    view = DatabaseView(connection)
    found = []
    for line in lines:
        facts = view.entry(parse_entry_id(line.id)) if line.kind in SHOWN_KINDS else None
        if facts is not None:
            level = claimant_level(facts, view).level if line.kind == "model" else None
            found.append(Hit(line=line, level=level, standing=entry_standing(facts, view, at=at).standing))
    return found


def lines_naming(found: DigestDocument) -> list[EntryLine]:
    """Every entry that names a digest, once."""
    return list({line.id: line for lines in found.named_by.values() for line in lines}.values())


def lead_lines(connection: Connection, leads: Sequence[Lead]) -> list[LeadLine]:
    """Leads with whose they are, best first."""
    view = DatabaseView(connection)
    lines = []
    for lead in leads:
        model = view.entry(parse_entry_id(lead.entry))
        claimant = None if model is None else claimant_name(model.organisation, view)
        lines.append(LeadLine(lead=lead, claimant=claimant, bar=max(0.0, min(1.0, lead.score))))
    return lines
