"""What the page of an organisation shows: its keys, who verified it, and what it entered last."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import Organisation
from whorl.entries.leaf import entry_id
from whorl.registry.database_view import facts_of
from whorl.registry.entry_rows import chain_end, commitments_since, entry_in_chain, find_entry
from whorl.registry.findings import EVER
from whorl.registry.key_rows import keys_of
from whorl.registry.reading import reader_for
from whorl.registry.remembering_view import RememberingView
from whorl.registry.view import KeyFacts, OrganisationFacts, View
from whorl.registry.votes import verified_by
from whorl.web.documents import EntryLine, OrganisationName
from whorl.web.entry_pages import claimant_name, entry_line
from whorl.web.page_reading import is_shown

ENTRIES: Final = 20
KEYS: Final = 20
COMMITMENTS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A vote by which a bureau verified the organisation."""

    entry: str
    by: OrganisationName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationPage:
    """All that the page shows."""

    id: str
    facts: OrganisationFacts
    body: Organisation | None
    is_bureau: bool
    verifications: tuple[Verification, ...]
    keys: tuple[KeyFacts, ...]
    commitments: int
    commitments_are_whole: bool
    entries: tuple[EntryLine, ...]
    seen_at: datetime


def organisation_page(
    connection: Connection, facts: OrganisationFacts, *, origin: str, at: datetime
) -> OrganisationPage:
    """Gather what is shown of an organisation.

    Parameters
    ----------
    origin : this registry's log, whose policy says who is a bureau
    """
    view = RememberingView(connection)
    stored = find_entry(connection, facts.hash)
    assert stored is not None
    entry = facts_of(stored)
    shown = entry.statement is not None and is_shown(entry, view, at=at)
    body = entry.statement.body if shown and entry.statement is not None else None
    keys = keys_of(connection, facts.hash)
    sealed = sum(1 for _ in islice(commitments_since(connection, facts.hash, EVER), COMMITMENTS + 1))
    return OrganisationPage(
        id=entry_id(facts.hash),
        facts=facts,
        body=body if isinstance(body, Organisation) else None,
        is_bureau=reader_for(facts.hash, view, origin=origin).is_bureau,
        verifications=tuple(
            Verification(entry=entry_id(digest), by=_by(digest, view)) for digest in verified_by(facts.hash, view)
        ),
        keys=tuple(keys),
        commitments=min(sealed, COMMITMENTS),
        commitments_are_whole=sealed <= COMMITMENTS,
        entries=tuple(_last_entries(connection, keys[:KEYS], view, origin=facts.origin, at=at)),
        seen_at=stored.seen_at,
    )


def _by(vote: bytes, view: View) -> OrganisationName | None:
    entry = view.entry(vote)
    return None if entry is None else claimant_name(entry.organisation, view)


def _last_entries(
    connection: Connection, keys: list[KeyFacts], view: View, *, origin: str, at: datetime
) -> list[EntryLine]:
    """The last entries of its keys that everybody may read, the newest first; status maps are left out."""
    found = []
    for key in keys:
        issuer = key.public[0].id
        end = chain_end(connection, issuer, origin=origin)
        numbers = () if end is None else range(end[0], max(-1, end[0] - 3 * ENTRIES), -1)
        of_key = (entry_in_chain(connection, issuer, number, origin=origin) for number in numbers)
        shown = (
            facts
            for facts in (facts_of(stored) for stored in of_key if stored is not None and stored.kind != "statusmap")
            if is_shown(facts, view, at=at)
        )
        found += list(islice(shown, ENTRIES))
    newest = sorted(found, key=lambda facts: (facts.seen_at, facts.index), reverse=True)[:ENTRIES]
    return [entry_line(facts, view) for facts in newest]
