"""What the search page shows: entries by words or a digest, and leads by a fingerprint."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import Dataset, Model
from whorl.entries.leaf import parse_entry_id
from whorl.registry.leads import Lead
from whorl.registry.levels import claimant_level
from whorl.registry.remembering_view import RememberingView
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.view import EntryFacts
from whorl.web.documents import DigestDocument, EntryLine, OrganisationName
from whorl.web.entry_pages import claimant_name

SHOWN_KINDS: Final = ("model", "dataset", "organisation")

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_ENTRY: Final = re.compile(r"[a-z2-7]{51}[aq]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An entry that was found, with the level of its claim if it is a model.

    Parameters
    ----------
    title : its name, with the publisher that it names
    """

    line: EntryLine
    title: str
    level: int | None
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadLine:
    """A model as a lead, by the best of its fingerprints, with its claimant."""

    lead: Lead
    claimant: OrganisationName | None
    bar: float
    fingerprints: int


def sought_digest(q: str) -> str | None:
    """The digest that somebody looks for; None if it is none."""
    match = _DIGEST.fullmatch(q.strip())
    return None if match is None else f"sha256:{match[1].lower()}"


def sought_entry(q: str) -> str | None:
    """The entry's id that somebody looks for; None if it is none."""
    return q.strip() if _ENTRY.fullmatch(q.strip()) else None


def hits(connection: Connection, lines: Iterable[EntryLine], *, at: datetime) -> list[Hit]:
    """Levels and standings of entries that were found; kinds that have no name of their own are left out."""
    view = RememberingView(connection)
    found = []
    for line in lines:
        facts = view.entry(parse_entry_id(line.id)) if line.kind in SHOWN_KINDS else None
        if facts is not None:
            level = claimant_level(facts, view).level if line.kind == "model" else None
            standing = entry_standing(facts, view, at=at).standing
            found.append(Hit(line=line, title=_title(facts), level=level, standing=standing))
    return found


def _title(entry: EntryFacts) -> str:
    assert entry.statement is not None
    match entry.statement.body:
        case (
            Model(publisher=publisher, name=name, revision=revision)
            | Dataset(publisher=publisher, name=name, revision=revision)
        ):
            return " ".join(part for part in (publisher, name, revision) if part is not None)
        case _:
            return entry.statement.name


def lines_naming(found: DigestDocument) -> list[EntryLine]:
    """Every entry that names a digest, once."""
    return list({line.id: line for lines in found.named_by.values() for line in lines}.values())


def lead_lines(connection: Connection, leads: Sequence[Lead]) -> list[LeadLine]:
    """Leads with whose they are, best first; a model that several fingerprints were entered for stands once."""
    view = RememberingView(connection)
    best: dict[str, Lead] = {}
    for lead in leads:
        best.setdefault(lead.entry, lead)
    numbers = Counter(lead.entry for lead in leads)
    lines = []
    for entry, lead in best.items():
        model = view.entry(parse_entry_id(entry))
        claimant = None if model is None else claimant_name(model.organisation, view)
        bar = max(0.0, min(1.0, lead.score))
        lines.append(LeadLine(lead=lead, claimant=claimant, bar=bar, fingerprints=numbers[entry]))
    return lines
