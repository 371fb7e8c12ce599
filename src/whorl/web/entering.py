"""Entering a batch of requests: who may, what became of each entry, and what is told of it.

What goes wrong with a whole batch is not told to all who were in it: after `Sequencer.catch_up` its requests are tried
one by one, so that nobody's entries fail because of somebody else's. An entry that is in the log already, byte for
byte, was handed in again because an answer was lost: it is answered as it was the first time.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from whorl.core.errors import InputError
from whorl.entries.envelope import parse_envelope
from whorl.entries.leaf import entry_id
from whorl.entries.statement import open_entry
from whorl.registry.entry_rows import find_entry
from whorl.registry.key_rows import keys_of
from whorl.registry.local import LocalRegistry
from whorl.registry.refusals import Refusal
from whorl.registry.sequencer import Entered, Outcome, Submission
from whorl.registry.tallies import REFUSE, entries_by_organisation, record_audits
from whorl.web.audit import AuditTrail
from whorl.web.errors import LOG, api_error, code_of
from whorl.web.limits import Rates, too_many
from whorl.web.metrics import Metrics

_FAILURES: Final = 3  # of requests tried one by one, in a row: then it is no single request's doing


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """The entries of one request, who handed them in, and where their outcomes are awaited."""

    submissions: tuple[Submission, ...]
    actor: str
    answer: "Future[list[Outcome]]"


class Entering:
    """Enters batches; used by one thread.

    Attributes
    ----------
    problem : why nothing can be entered at present; None if all is well
    signed_at : when a tree head was signed last
    """

    def __init__(
        self,
        registry: LocalRegistry,
        *,
        rates: Rates,
        audit: AuditTrail,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem: str | None = "no tree head was signed yet"
        self.signed_at: datetime | None = None
        self._registry = registry
        self._rates = rates
        self._audit = audit
        self._metrics = metrics
        self._monotonic = monotonic
        self._blocked: dict[str, float] = {}
        self._bureau = registry.organisation_of(registry.home.bureau_key().id)

    def sign_anew(self) -> None:
        """Finish what failed, and sign the present tree head with the present time."""
        try:
            self._registry.sequencer.catch_up()
            self._registry.sequencer.refresh()
        except Exception as error:
            self._failed(error)
        else:
            self.problem, self.signed_at = None, self._registry.now()

    def settle(self, batch: Sequence[Handed]) -> None:
        """Enter the entries of several requests, and answer each."""
        batch = [one for one in batch if self._is_within_rate(one)]
        error = self._tried(batch) if batch else None
        if error is None:
            return
        failures = 0
        for one in batch:
            if len(batch) > 1 and failures < _FAILURES:
                error = self._tried([one])
                failures = 0 if error is None else failures + 1
            if error is not None:
                one.answer.set_exception(api_error(error))

    def write_audit(self) -> None:
        """Write the lines of the audit trail that were told so far."""
        lines = self._audit.take()
        if not lines:
            return
        try:
            with self._registry.database.writing() as connection:
                record_audits(connection, lines)
        except Exception as error:
            self._failed(error)
            self._audit.give_back(lines)

    def _tried(self, batch: Sequence[Handed]) -> Exception | None:
        """Enter and answer, or give what kept us from it."""
        began = self._monotonic()
        try:
            if self.problem is not None:
                self._registry.sequencer.catch_up()
            submissions = [submission for one in batch for submission in one.submissions]
            outcomes = self._registry.enter(submissions)
            self.problem = None
            indexes = [outcome.index for outcome in outcomes if isinstance(outcome, Entered)]
            if indexes:
                self.signed_at = self._registry.now()
                self._count_organisations(min(indexes), max(indexes) + 1)
            outcomes = [self._recognised(*pair) for pair in zip(submissions, outcomes, strict=True)]
        except Exception as error:
            self._failed(error)
            return error
        self._metrics.batch_seconds.observe(self._monotonic() - began)
        self._metrics.batch_entries.observe(len(submissions))
        rest = iter(outcomes)
        answers = [(one, [next(rest) for _ in one.submissions]) for one in batch]
        for one, own in answers:
            self._tell(one.actor, own)
        self.write_audit()
        for one, own in answers:
            one.answer.set_result(own)
        return None

    def _recognised(self, submission: Submission, outcome: Outcome) -> Outcome:
        """The entry that is in the log already, where the very same one was handed in again."""
        if not isinstance(outcome, Refusal) or outcome.code != "replay":
            return outcome
        digest = open_entry(submission.envelope).leaf(submission.salt).hash
        with self._registry.database.reading() as connection:
            found = find_entry(connection, digest)
        if found is None or found.fault is not None or found.origin != self._registry.origin:
            return outcome
        published = self._registry.log.published()
        if published is None or found.index >= published.size:
            return outcome
        return Entered(hash=digest, index=found.index)

    def _tell(self, actor: str, outcomes: Sequence[Outcome]) -> None:
        entered = [outcome for outcome in outcomes if isinstance(outcome, Entered)]
        if entered:
            self._metrics.entered.inc(len(entered))
            first = entered[0]
            subject = f"{len(entered)} entries, the first {entry_id(first.hash)} at index {first.index}"
            self._audit.note(actor=actor, action="enter", subject=subject, outcome="entered")
        for place, outcome in enumerate(outcomes):
            if not isinstance(outcome, Entered):
                code = code_of(outcome)
                self._metrics.refused.labels(code).inc()
                self._audit.note(actor=actor, action=REFUSE, subject=f"entry {place} of a request", outcome=code)

    def _is_within_rate(self, one: Handed) -> bool:
        """Whether no organisation that signed has had its share; who has is told when it may go on."""
        if not self._blocked:
            return True
        now = self._monotonic()
        self._blocked = {key: until for key, until in self._blocked.items() if until > now}
        until = max((self._blocked.get(key, now) for key in _named_keys(one.submissions)), default=now)
        if until > now:
            self._audit.note(actor=one.actor, action=REFUSE, subject="a request", outcome="too_many")
            one.answer.set_exception(too_many("expected fewer entries of one organisation in an hour", until - now))
        return until <= now

    def _count_organisations(self, start: int, stop: int) -> None:
        """Count what was entered, by whom it was signed; what was only handed in proves nobody's doing."""
        if not self._rates.limits("entries"):
            return
        with self._registry.database.reading() as connection:
            numbers = entries_by_organisation(connection, self._registry.origin, start=start, stop=stop)
            for organisation, number in numbers.items():
                if organisation == self._bureau:
                    continue
                seconds = self._rates.count("entries", f"organisation {organisation.hex()}", number)
                if seconds:
                    until = self._monotonic() + seconds
                    keys = keys_of(connection, organisation)
                    self._blocked.update({key.public[0].id.hex(): until for key in keys})

    def _failed(self, error: Exception) -> None:
        LOG.error("nothing could be entered", exc_info=error)
        self._metrics.failed_batches.inc()
        self.problem = f"{type(error).__name__}: {error}"


def _named_keys(submissions: Sequence[Submission]) -> set[str]:
    """Ids of all keys that are named as signers: whoever really signed is among them."""
    named: set[str] = set()
    for submission in submissions:
        try:
            named.update(key_id for key_id, _ in parse_envelope(submission.envelope).signatures)
        except InputError:  # it is refused for that when it is its turn
            continue
    return named
