"""The one writer behind concurrent requests.

Requests wait in a queue. When the last batch is done, whatever waits is the next one, up to `BATCH` entries: nobody
waits for a batch to fill, and the more there is to do, the less each entry costs. A request's entries stay together and
in order. Only this thread writes to the registry: entries, tokens, the audit trail, the removal of forgotten blobs.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection

from whorl.registry.blob_sweeping import forgotten_blobs, remove_forgotten
from whorl.registry.leads import LeadSearch
from whorl.registry.local import LocalRegistry
from whorl.registry.sequencer import BATCH, Outcome, Submission
from whorl.web.audit import AuditTrail
from whorl.web.entering import Entering, Handed
from whorl.web.errors import LOG, api_error, busy
from whorl.web.limits import Limits, Rates
from whorl.web.metrics import Metrics

REFRESH: Final = timedelta(minutes=10)
STALE: Final = 2 * REFRESH
_SWEEP_SECONDS: Final = 3600.0
_TURN_SECONDS: Final = 1.0
_RETRY_TURNS: Final = 5
_BLOBS_AT_ONCE: Final = 100

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the writer is.

    Parameters
    ----------
    problem : why nothing is entered at present; None if all is well
    signed_at : when a tree head was signed last
    waiting : entries in the queue
    """

    problem: str | None
    signed_at: datetime | None
    waiting: int

    def is_ready(self, now: datetime) -> bool:
        """Whether the registry takes entries and has signed lately."""
        return self.problem is None and self.signed_at is not None and now - self.signed_at < STALE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """Something else to be written."""

    work: Callable[[Connection], Any]
    answer: "Future[Any]"


class Service:
    """A registry that many use at once; a context manager, which ends after what was handed in is done.

    Parameters
    ----------
    registry : open for writing, by this process alone
    monotonic : seconds of a clock that never goes back
    random_bytes : gives that many unpredictable bytes, for tokens
    """

    def __init__(
        self,
        registry: LocalRegistry,
        *,
        limits: Limits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.registry = registry
        self.random_bytes = random_bytes
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.rates = Rates(self.limits, monotonic=monotonic)
        self.audit = AuditTrail(registry.now, refusals_per_minute=self.limits.refusals_told_per_minute)
        self.leads = LeadSearch(registry.database, registry.home.vectors, now=registry.now)
        self.began_at = registry.now()
        self._entering = Entering(
            registry, rates=self.rates, audit=self.audit, metrics=self.metrics, monotonic=monotonic
        )
        self._changed = threading.Condition()
        self._handed: deque[Handed] = deque()
        self._work: deque[_Work] = deque()
        self._waiting = 0
        self._ending = False
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._run, name="writer")
        self._sweeper = threading.Thread(target=self._sweep_now_and_then, name="sweeper", daemon=True)
        self.metrics.watch("whorl_waiting_entries", "Entries in the queue", lambda: self._waiting)
        self.metrics.watch("whorl_signed_seconds_ago", "Age of the newest tree head", self._signed_seconds_ago)

    def __enter__(self) -> Self:
        self._writer.start()
        self._sweeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._over.set()
        self._writer.join()
        self.leads.close()

    def enter(self, submissions: Sequence[Submission], *, actor: str) -> "Future[list[Outcome]]":
        """Hand in signed entries; the future has their outcomes once a published tree head has them.

        Parameters
        ----------
        actor : who hands them in, for the audit trail

        Raises
        ------
        ApiError
            If too many wait already, or the service ends. The future raises it too, with what went wrong.
        """
        handed = Handed(submissions=tuple(submissions), actor=actor, answer=Future())
        with self._changed:
            self._require_going_on()
            if self._waiting + len(submissions) > self.limits.waiting_entries:
                raise busy("too many entries wait to be entered; try again in a moment")
            self._waiting += len(submissions)
            self._handed.append(handed)
            self._changed.notify()
        return handed.answer

    def write(self, work: Callable[[Connection], Result]) -> "Future[Result]":
        """Have something else written, in a transaction of its own."""
        answer: Future[Result] = Future()
        with self._changed:
            self._require_going_on()
            self._work.append(_Work(work=work, answer=answer))
            self._changed.notify()
        return answer

    def health(self) -> Health:
        """How the writer is now."""
        problem = self._entering.problem if self._writer.is_alive() else "the writer has ended"
        return Health(problem=problem, signed_at=self._entering.signed_at, waiting=self._waiting)

    def _run(self) -> None:
        """The writer's thread."""
        self._entering.sign_anew()
        idle = 0
        going_on = True
        while going_on:
            work, batch, going_on = self._next()
            idle = 0 if batch else idle + 1
            try:
                self._take_turn(work, batch, idle)
            except Exception as error:  # whatever it was, the others must not wait for ever
                LOG.error("a fault of whorl", exc_info=error)
                answers: list[Future[Any]] = [*(one.answer for one in work), *(one.answer for one in batch)]
                for answer in answers:
                    if not answer.done():
                        answer.set_exception(api_error(error))

    def _take_turn(self, work: Sequence[_Work], batch: Sequence[Handed], idle: int) -> None:
        for one in work:
            self._do(one)
        if batch:
            self._entering.settle(batch)
        if idle and self._is_signature_due(idle):
            self._entering.sign_anew()
        self._entering.write_audit()

    def _next(self) -> tuple[list[_Work], list[Handed], bool]:
        """What there is to do now, after waiting for it, and whether there may be more."""
        batch: list[Handed] = []
        size = 0
        with self._changed:
            self._changed.wait_for(lambda: self._handed or self._work or self._ending, timeout=_TURN_SECONDS)
            work = list(self._work)
            self._work.clear()
            while self._handed and (not batch or size + len(self._handed[0].submissions) <= BATCH):
                one = self._handed.popleft()
                size += len(one.submissions)
                if one.answer.set_running_or_notify_cancel():
                    batch.append(one)
            self._waiting -= size
            return work, batch, not self._ending or bool(self._handed)

    def _do(self, one: _Work) -> None:
        if not one.answer.set_running_or_notify_cancel():
            return
        try:
            with self.registry.database.writing() as connection:
                result = one.work(connection)
        except Exception as error:
            one.answer.set_exception(error)
        else:
            one.answer.set_result(result)

    def _is_signature_due(self, idle: int) -> bool:
        """After ten quiet minutes; after a failure, every few seconds."""
        if self._entering.problem is not None:
            return idle % _RETRY_TURNS == 0
        signed_at = self._entering.signed_at
        return signed_at is None or abs(self.registry.now() - signed_at) >= REFRESH

    def _require_going_on(self) -> None:
        if self._ending:
            raise busy("the registry is about to stop; try again later")

    def _signed_seconds_ago(self) -> float:
        signed_at = self._entering.signed_at
        return float("nan") if signed_at is None else (self.registry.now() - signed_at).total_seconds()

    def _sweep_now_and_then(self) -> None:
        """The sweeper's thread: looks for forgotten blobs, which the writer removes."""
        while not self._over.wait(_SWEEP_SECONDS):
            try:
                self.sweep()
            except Exception as error:
                LOG.error("forgotten blobs could not be removed", exc_info=error)

    def sweep(self) -> int:
        """Remove blobs that were handed in over a day ago and that no entry refers to; how many there were."""
        registry = self.registry
        at = registry.now()
        found = forgotten_blobs(registry.database, registry.blobs, at=at)
        removed = 0
        for first in range(0, len(found), _BLOBS_AT_ONCE):
            digests = found[first : first + _BLOBS_AT_ONCE]
            removed += self.write(partial(_remove, registry=registry, digests=digests, at=at)).result()
        return removed


def _remove(connection: Connection, *, registry: LocalRegistry, digests: list[str], at: datetime) -> int:
    return remove_forgotten(connection, registry.blobs, digests, at=at)
