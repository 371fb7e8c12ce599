"""Sealed entries that are handed in again, because an answer was lost, are entered once.

An ordinary entry stands in its issuer's chain, so that its second copy does not fit. A sealed one stands in no chain
of its maker's; it is told by what its leaf commits to. The last `KEPT` of the registry's own log are known, after a
restart too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, literal_column, select

from whorl.entries.leaf import commitment, parse_leaf
from whorl.log.folder import LogFolder
from whorl.registry.database import Database
from whorl.registry.sequencer import Entered, Outcome, Sequencer, Submission
from whorl.registry.tables import entries, logs

KEPT: Final = 4096

_LATE: Final = (
    select(entries.c.hash, entries.c.idx, entries.c.leaf)
    .join_from(entries, logs)
    .where(
        entries.c.kind.is_(None),
        entries.c.counts == literal_column("1"),
        entries.c.envelope.is_not(None),
        logs.c.origin == bindparam("origin"),
    )
    .order_by(entries.c.id.desc())
    .limit(KEPT)
)


class SealedOnce:
    """Enters batches, and no sealed entry twice; used by one thread.

    Parameters
    ----------
    log : the registry's own, whose published tree head says what was acknowledged
    """

    def __init__(self, database: Database, log: LogFolder, sequencer: Sequencer) -> None:
        self._database = database
        self._log = log
        self._sequencer = sequencer
        self._late: OrderedDict[bytes, Entered] | None = None

    def enter(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """As `Sequencer.enter`; a sealed entry that is in the log already is answered as the first time."""
        if not any(one.sealed for one in submissions):
            return self._sequencer.enter(submissions)
        late = self._known()
        commits = [commitment(one.envelope, salt=one.salt) if one.sealed else None for one in submissions]
        fresh = {commit: one for one, commit in zip(submissions, commits, strict=True) if commit is not None}
        fresh = {commit: one for commit, one in fresh.items() if commit not in late}
        ordinary = [one for one, commit in zip(submissions, commits, strict=True) if commit is None]
        try:
            outcomes = iter(self._sequencer.enter([*ordinary, *fresh.values()]) if ordinary or fresh else ())
        except BaseException:
            self._late = None  # some of it may be in the log all the same
            raise
        told = [next(outcomes) for _ in ordinary]
        sealed: dict[bytes, Outcome] = dict(zip(fresh, outcomes, strict=True))
        late.update((commit, outcome) for commit, outcome in sealed.items() if isinstance(outcome, Entered))
        rest = iter(told)
        answers = [next(rest) if commit is None else sealed.get(commit) or late[commit] for commit in commits]
        while len(late) > KEPT:
            late.popitem(last=False)
        return answers

    def _known(self) -> OrderedDict[bytes, Entered]:
        """What the leaves of late commit to; all of it is under a published tree head."""
        if self._late is None:
            with self._database.reading() as connection:
                found = _late_ones(connection, self._log.origin)
            published = self._log.published()
            size = 0 if published is None else published.size
            if any(one.index >= size for one in found.values()):
                self._sequencer.catch_up()
            self._late = found
        return self._late


def _late_ones(connection: Connection, origin: str) -> OrderedDict[bytes, Entered]:
    rows = connection.execute(_LATE, {"origin": origin}).all()
    return OrderedDict((parse_leaf(row.leaf).commit, Entered(hash=row.hash, index=row.idx)) for row in reversed(rows))
