"""When an entry was made, as far as others than its issuer know."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import parse_tree_head_lines
from whorl.log.notes import parse_note
from whorl.log.policy import Policy, check_tree_head
from whorl.registry.heads import first_head
from whorl.registry.view import EntryFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The time of an entry.

    Parameters
    ----------
    not_after : when a quorum of witnesses had cosigned a tree head that has it; None where that is not known here
    quoted : the other log of which it quotes a tree head, after which it was made
    seen_at : when this bureau saw it, by its own clock
    witnesses : who had cosigned by then
    """

    not_after: datetime | None
    quoted: str | None
    seen_at: datetime
    witnesses: tuple[str, ...] = ()


def interval_of(connection: Connection, facts: EntryFacts, *, policy: Policy | None) -> Interval:
    """When an entry was made: witnesses bound the time above, a tree head that it quotes bounds it below.

    Parameters
    ----------
    policy : by which tree heads of its log are checked; None for a log of another bureau
    """
    quoted = None if facts.statement is None else _quoted_origin(facts.statement.after)
    note = None if policy is None else first_head(connection, facts.origin, facts.index)
    bare = Interval(not_after=None, quoted=quoted, seen_at=facts.seen_at)
    if note is None or policy is None:
        return bare
    try:
        times = policy.times(check_tree_head(note, policy).cosigned)
    except VerificationError:  # from before the witnesses of today, or one of them was away
        return bare
    at = policy.quorum_at(times)
    if at is None:
        return bare
    return Interval(
        not_after=datetime.fromtimestamp(at, UTC),
        quoted=quoted,
        seen_at=facts.seen_at,
        witnesses=tuple(sorted(name for name, time in times.items() if time <= at)),
    )


def _quoted_origin(note: str | None) -> str | None:
    try:
        return None if note is None else parse_tree_head_lines(parse_note(note.encode()).text)[0]
    except InputError:
        return None
