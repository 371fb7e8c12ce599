"""Entries as the service shows them: what the rules say of one, and what it says itself if the reader may see it."""

import base64
import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from whorl.entries.kinds import Model, Notice
from whorl.entries.leaf import NO_HASH, entry_id
from whorl.entries.statement import open_entry
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.levels import ClaimantLevel, claimant_level
from whorl.registry.notices import notice_standing
from whorl.registry.reading import Reader, has_sealed, withheld
from whorl.registry.standing import entry_standing
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.view import EntryFacts, OrganisationFacts, View
from whorl.web.documents import (
    ContentDocument,
    EntryDocument,
    EntryLine,
    GroundDocument,
    LevelDocument,
    NoticeDocument,
    OrganisationName,
    StandingDocument,
    instant,
    optional_instant,
)


def entry_document(connection: Connection, stored: StoredEntry, reader: Reader, *, at: datetime) -> EntryDocument:
    """An entry that was found, as this reader sees it at a time."""
    view = DatabaseView(connection)
    if stored.fault is not None:
        return _faulty(stored, view)
    leaf = stored.read_leaf()
    facts = facts_of(stored)
    hidden = None if has_sealed(stored, reader, view) else withheld(facts, reader, view, at=at)
    is_model = facts.statement is not None and isinstance(facts.statement.body, Model)
    standing = entry_standing(facts, view, at=at)
    return EntryDocument(
        id=entry_id(stored.hash),
        origin=stored.origin,
        index=stored.index,
        leaf=base64.b64encode(stored.leaf).decode(),
        kind=stored.kind,
        issuer=leaf.issuer.hex(),
        sequence=leaf.sequence,
        target=None if leaf.target == NO_HASH else entry_id(leaf.target),
        claimant=claimant_name(stored.organisation, view),
        seen_at=instant(stored.seen_at),
        content=_content(stored) if hidden is None else None,
        withheld=hidden,
        standing=StandingDocument(standing=standing.standing, by=tuple(map(entry_id, standing.by))),
        level=level_document(claimant_level(facts, view)) if is_model and hidden is None else None,
        notice=notice_document(facts, reader, view, at=at) if stored.kind == "notice" else None,
        notices=tuple(notice_document(one, reader, view, at=at) for one in view.about(stored.hash, "notice")),
        fault=None,
    )


def visible_lines(
    connection: Connection, found: Iterable[StoredEntry], reader: Reader, *, at: datetime
) -> list[EntryLine]:
    """Lines of those of the entries that this reader may see."""
    view = RememberingView(connection)
    seen = (facts for facts in map(facts_of, found) if withheld(facts, reader, view, at=at) is None)
    return [entry_line(facts, view) for facts in seen]


class RememberingView(DatabaseView):
    """A view that asks for each organisation once: a list holds many entries of few claimants."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._known: dict[bytes, OrganisationFacts | None] = {}

    def organisation(self, digest: bytes) -> OrganisationFacts | None:
        if digest not in self._known:
            self._known[digest] = super().organisation(digest)
        return self._known[digest]


def entry_line(facts: EntryFacts, view: View) -> EntryLine:
    """An entry in a list; whether the reader may see it was asked before."""
    assert facts.statement is not None
    assert facts.kind is not None
    return EntryLine(
        id=entry_id(facts.hash),
        origin=facts.origin,
        index=facts.index,
        kind=facts.kind,
        name=facts.statement.name,
        issuer=facts.issuer.hex(),
        claimant=claimant_name(facts.organisation, view),
        seen_at=instant(facts.seen_at),
    )


def claimant_name(organisation: bytes | None, view: View) -> OrganisationName | None:
    """An organisation by the leaf hash of its entry, as it calls itself."""
    facts = None if organisation is None else view.organisation(organisation)
    if facts is None:
        return None
    return OrganisationName(id=entry_id(facts.hash), name=facts.name, jurisdiction=facts.jurisdiction)


def level_document(level: ClaimantLevel) -> LevelDocument:
    """How well a claim is backed."""
    grounds = tuple(
        GroundDocument(level=ground.level, because=ground.because, by=tuple(map(entry_id, ground.by)))
        for ground in level.grounds
    )
    return LevelDocument(level=level.level, grounds=grounds)


def notice_document(notice: EntryFacts, reader: Reader, view: View, *, at: datetime) -> NoticeDocument:
    """What has become of a notice; its title only where the notice may be shown."""
    standing = notice_standing(notice, view, at=at)
    shown = withheld(notice, reader, view, at=at) is None
    body = notice.statement.body if shown and notice.statement is not None else None
    return NoticeDocument(
        id=entry_id(notice.hash),
        state=standing.state,
        because=standing.because,
        by=tuple(map(entry_id, standing.by)),
        until=optional_instant(standing.until),
        title=body.title if isinstance(body, Notice) else None,
    )


def _faulty(stored: StoredEntry, view: View) -> EntryDocument:
    """An entry of a mirrored log that counts for nothing: where it stands and why, and nothing that it says."""
    return EntryDocument(
        id=entry_id(stored.hash),
        origin=stored.origin,
        index=stored.index,
        leaf=base64.b64encode(stored.leaf).decode(),
        kind=None,
        issuer=None,
        sequence=None,
        target=None,
        claimant=claimant_name(stored.organisation, view),
        seen_at=instant(stored.seen_at),
        content=None,
        withheld="not_here",
        standing=None,
        level=None,
        notice=None,
        notices=(),
        fault=stored.fault,
    )


def _content(stored: StoredEntry) -> ContentDocument:
    assert stored.envelope is not None
    assert stored.salt is not None
    return ContentDocument(
        statement=json.loads(open_entry(stored.envelope).envelope.payload),
        envelope=base64.b64encode(stored.envelope).decode(),
        salt=stored.salt.hex(),
    )
