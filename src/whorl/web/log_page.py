"""What the log explorer shows: the signed tree head with its witnesses, the latest entries, and one entry in full."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from whorl.core.errors import InputError, VerificationError
from whorl.entries.kinds import Kind
from whorl.entries.leaf import NO_HASH, Leaf, entry_id, parse_leaf
from whorl.entries.statement import open_entry
from whorl.log.grammar import base64_of
from whorl.log.policy import Policy, check_tree_head
from whorl.log.tree_heads import open_tree_head
from whorl.registry.database_view import facts_of
from whorl.registry.entry_rows import entries_about, entries_of_log
from whorl.registry.local import LocalRegistry
from whorl.registry.log_rows import stored_log
from whorl.registry.remembering_view import RememberingView
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.view import View
from whorl.web.documents import OrganisationName
from whorl.web.entry_pages import claimant_name
from whorl.web.entry_times import Interval, interval_of
from whorl.web.page_reading import Hidden, hidden, is_shown

ENTRIES: Final = 25
ABOUT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A witness of the policy, and when it cosigned the tree head that is published; None if it did not."""

    name: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCard:
    """The published tree head.

    Parameters
    ----------
    quorum_at : when the quorum of the policy had cosigned it; None if it has not, or nobody has to
    shortfall : what is missing for the quorum
    """

    size: int
    root: str
    witnesses: tuple[Witnessed, ...]
    needs_witnesses: bool
    quorum_at: datetime | None
    shortfall: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """An entry in the list; ``name`` is None where everybody may not read it."""

    id: str
    index: int
    kind: Kind | None
    name: str | None
    claimant: OrganisationName | None
    seen_at: datetime
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """All that the explorer's first page shows."""

    head: HeadCard | None
    entries: tuple[LogLine, ...]
    older: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPage:
    """All that the page of one entry shows; of a faulty entry only where it stands.

    Parameters
    ----------
    statement : None where it is withheld
    """

    line: LogLine
    origin: str
    is_own: bool
    leaf: Leaf | None
    leaf_target: str | None
    standing: Standing | None = None
    standing_by: tuple[str, ...] = ()
    hidden: Hidden | None = "not_here"
    statement: str | None = None
    handling: str | None = None
    about: tuple[LogLine, ...] = ()
    interval: Interval | None = None


def log_page(registry: LocalRegistry, *, before: int | None, at: datetime) -> LogPage:
    """The explorer's first page.

    Parameters
    ----------
    before : list entries below this index; None for the newest
    """
    with registry.database.reading() as connection:
        view = RememberingView(connection)
        log = stored_log(connection, registry.origin)
        size = 0 if log is None else log.size
        stop = size if before is None else min(before, size)
        start = max(0, stop - ENTRIES)
        found = list(entries_of_log(connection, registry.origin, start=start, stop=stop))
        lines = tuple(log_line(stored, view, at=at) for stored in reversed(found))
    return LogPage(head=_head(registry), entries=lines, older=start or None)


def log_line(stored: StoredEntry, view: View, *, at: datetime) -> LogLine:
    """An entry in a list, with what everybody may read of it."""
    name = None
    if stored.fault is None:
        facts = facts_of(stored)
        if facts.statement is not None and is_shown(facts, view, at=at):
            name = facts.statement.name
    return LogLine(
        id=entry_id(stored.hash),
        index=stored.index,
        kind=stored.kind if stored.fault is None else None,
        name=name,
        claimant=claimant_name(stored.organisation, view),
        seen_at=stored.seen_at,
        fault=stored.fault,
    )


def entry_page(
    connection: Connection, stored: StoredEntry, *, origin: str, policy: Policy | None, at: datetime
) -> EntryPage:
    """One entry in full.

    Parameters
    ----------
    origin : this registry's own log
    policy : by which tree heads of the entry's log are checked; None for a log of another bureau
    """
    view = RememberingView(connection)
    leaf = _leaf(stored)
    bare = EntryPage(
        line=log_line(stored, view, at=at),
        origin=stored.origin,
        is_own=stored.origin == origin,
        leaf=leaf,
        leaf_target=None if leaf is None or leaf.target == NO_HASH else entry_id(leaf.target),
    )
    if stored.fault is not None:
        return bare
    facts = facts_of(stored)
    standing = entry_standing(facts, view, at=at)
    reason = hidden(facts, view, at=at)
    return replace(
        bare,
        standing=standing.standing,
        standing_by=tuple(map(entry_id, standing.by)),
        hidden=reason,
        statement=_statement(stored) if reason is None else None,
        handling=None if facts.statement is None else facts.statement.handling.label,
        about=_about(connection, stored, view, at=at),
        interval=interval_of(connection, facts, policy=policy),
    )


def _about(connection: Connection, stored: StoredEntry, view: View, *, at: datetime) -> tuple[LogLine, ...]:
    return tuple(log_line(one, view, at=at) for one in islice(entries_about(connection, stored.hash), ABOUT))


def _statement(stored: StoredEntry) -> str | None:
    """The signed statement, set for reading; what counts are the signed bytes."""
    if stored.envelope is None:
        return None
    return json.dumps(json.loads(open_entry(stored.envelope).envelope.payload), indent=1, ensure_ascii=False)


def _leaf(stored: StoredEntry) -> Leaf | None:
    try:
        return parse_leaf(stored.leaf)
    except InputError:  # a faulty entry of a mirrored log
        return None


def _head(registry: LocalRegistry) -> HeadCard | None:
    """The published tree head, checked like anybody else would."""
    policy = registry.home.policy()
    try:
        note = registry.log.tree_head()
        signed = open_tree_head(
            note,
            origin=registry.origin,
            log_keys=[log.verifier for log in policy.logs],
            cosigners=[witness.verifier for witness in policy.witnesses],
        )
    except (InputError, VerificationError):
        return None
    times = policy.times(signed.cosigned)
    quorum_at = policy.quorum_at(times)
    try:
        check_tree_head(note, policy)
        shortfall: Sequence[str] = ()
    except VerificationError:
        shortfall = policy.shortfall(times)
    return HeadCard(
        size=signed.head.size,
        root=base64_of(signed.head.root),
        witnesses=tuple(Witnessed(name=one.name, at=_time(times.get(one.name))) for one in policy.witnesses),
        needs_witnesses=policy.quorum != "none",
        quorum_at=_time(quorum_at),
        shortfall=tuple(shortfall),
    )


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
