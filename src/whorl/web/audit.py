"""The audit trail of the service: who did what, kept in memory until the one writer writes it.

A refusal costs a stranger nothing, so that of those only so many a minute become a line each; the others are counted
in one line. What was entered, and what a token or a key did, is always told.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from whorl.registry.accounts import AuditRecord
from whorl.registry.tallies import REFUSE

DENY: Final = "deny"  # the action for a token or a signed request that gave no access

_MINUTE: Final = timedelta(minutes=1)
_MOST: Final = 50_000


class AuditTrail:
    """Lines that are not written yet.

    Parameters
    ----------
    now : this bureau's clock
    refusals_per_minute : how many refusals are told one by one
    """

    def __init__(self, now: Callable[[], datetime], *, refusals_per_minute: int) -> None:
        self._now = now
        self._most_refusals = refusals_per_minute
        self._lock = Lock()
        self._lines: deque[AuditRecord] = deque()
        self._minute = now()
        self._refusals = 0
        self._untold = 0

    def note(self, *, actor: str, action: str, subject: str, outcome: str) -> None:
        """Tell of something that was done or refused."""
        with self._lock:
            if action in (REFUSE, DENY) and not self._may_tell():
                self._untold += 1
                return
            self._add(actor, action, subject, outcome)

    def take(self) -> list[AuditRecord]:
        """The lines so far, which the caller writes."""
        with self._lock:
            self._begin_minute()
            taken = list(self._lines)
            self._lines.clear()
            return taken

    def give_back(self, lines: list[AuditRecord]) -> None:
        """Lines that could not be written; they come again with the next `take`."""
        with self._lock:
            self._lines.extendleft(reversed(lines))
            while len(self._lines) > _MOST:
                self._lines.pop()
                self._untold += 1

    def _may_tell(self) -> bool:
        self._begin_minute()
        self._refusals += 1
        return self._refusals <= self._most_refusals

    def _begin_minute(self) -> None:
        now = self._now()
        if abs(now - self._minute) < _MINUTE:
            return
        if self._untold:
            self._add("service", "summary", f"{self._untold} refusals that are not told one by one", "refused")
        self._minute, self._refusals, self._untold = now, 0, 0

    def _add(self, actor: str, action: str, subject: str, outcome: str) -> None:
        if len(self._lines) >= _MOST:
            self._untold += 1
            return
        self._lines.append(
            AuditRecord(number=0, at=self._now(), actor=actor, action=action, subject=subject, outcome=outcome)
        )
