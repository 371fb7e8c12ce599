"""Counts for the yearly figures and for limits: entries by log and kind, notices by state, refusals by code."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from whorl.entries.kinds import KINDS
from whorl.registry.accounts import AuditRecord
from whorl.registry.bulk import insert_rows
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import PAGE, latest_entries
from whorl.registry.notices import NoticeState, notice_standing
from whorl.registry.stored_entry import TEXT_LENGTH, visible
from whorl.registry.tables import audit, entries, logs, microseconds

REFUSE: Final = "refuse"  # the action under which the audit trail holds an entry that was not admitted

_BY_KIND: Final = (
    select(logs.c.origin, entries.c.kind, func.count().label("number"))
    .join_from(entries, logs)
    .where(entries.c.counts == 1)
    .group_by(logs.c.origin, entries.c.kind)
)
_BY_ORGANISATION: Final = (
    select(entries.c.organisation, func.count().label("number"))
    .join_from(entries, logs)
    .where(
        logs.c.origin == bindparam("origin"),
        entries.c.idx >= bindparam("start"),
        entries.c.idx < bindparam("stop"),
    )
    .group_by(entries.c.organisation)
)
_REFUSALS: Final = (
    select(audit.c.outcome, func.count().label("number")).where(audit.c.action == REFUSE).group_by(audit.c.outcome)
)
_LAST: Final = select(func.coalesce(func.max(audit.c.id), 0))


def entries_by_kind(connection: Connection) -> dict[tuple[str, str], int]:
    """How many entries count, by the origin of their log and their kind; ``sealed`` for those not opened."""
    rows = connection.execute(_BY_KIND)
    return {(row.origin, "sealed" if row.kind is None else KINDS[row.kind]): row.number for row in rows}


def entries_by_organisation(connection: Connection, origin: str, *, start: int, stop: int) -> dict[bytes, int]:
    """How many of the entries ``start`` to ``stop`` - 1 of a log are of which organisation."""
    rows = connection.execute(_BY_ORGANISATION, {"origin": origin, "start": start, "stop": stop})
    return {row.organisation: row.number for row in rows if row.organisation is not None}


def notices_by_state(connection: Connection, *, at: datetime, most: int) -> dict[tuple[str, NoticeState], int]:
    """How many of the ``most`` newest notices are in which state, by the origin of their log."""
    view = DatabaseView(connection)
    found: Counter[tuple[str, NoticeState]] = Counter()
    before: int | None = None
    looked_at = 0
    while looked_at < most and (
        page := latest_entries(connection, "notice", most=min(PAGE, most - looked_at), before=before)
    ):
        for _, entry in page:
            found[entry.origin, notice_standing(facts_of(entry), view, at=at).state] += 1
        looked_at += len(page)
        before = page[-1][0]
    return dict(found)


def refusals_by_code(connection: Connection) -> dict[str, int]:
    """How many entries the audit trail tells of that were not admitted, by the code of the refusal."""
    return {row.outcome: row.number for row in connection.execute(_REFUSALS)}


def record_audits(connection: Connection, records: Sequence[AuditRecord]) -> None:
    """Add lines to the audit trail, in their order; they get the next numbers, whatever theirs are."""
    number = int(connection.execute(_LAST).scalar_one())
    insert_rows(
        connection,
        audit,
        [
            (
                number + place,
                microseconds(one.at),
                *(_visible(text) for text in (one.actor, one.action, one.subject, one.outcome)),
            )
            for place, one in enumerate(records, start=1)
        ],
    )


def _visible(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH and text.isprintable() else visible(text)
