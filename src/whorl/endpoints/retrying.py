"""Asking again: bounded in tries, in the length of each wait and in total time, and every failed try is recorded."""

import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from whorl.endpoints.clock import Clock
from whorl.endpoints.exchange import Attempt, EndpointError, Trouble
from whorl.endpoints.limits import Limits

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why one try brought no answer.

    Parameters
    ----------
    again : whether another try may succeed
    at_once : whether to try again without waiting, because the next try is another one
    retry_after : the server's ``Retry-After`` header as it came
    """

    trouble: Trouble
    detail: str
    status: int | None = None
    again: bool
    at_once: bool = False
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The client is about to try again, mostly after a wait; ``str`` of it is a line for people."""

    seconds: float
    trouble: Trouble
    status: int | None
    next_try: int
    tries: int

    def __str__(self) -> str:
        after = self.trouble.replace("_", " ") if self.status is None else str(self.status)
        return f"waiting {self.seconds:.0f} s after {after}, try {self.next_try} of {self.tries}"


def unheard(_waiting: Waiting, /) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often to ask, on whose time, and who hears of it.

    Parameters
    ----------
    rng : for the jitter of the back-off
    on_wait : told before every further try, also one without a wait, since each is a request to be counted; what it
        raises ends the question
    """

    limits: Limits
    clock: Clock
    rng: random.Random
    on_wait: Callable[[Waiting], None] = unheard


async def persist(
    once: Callable[[float], Awaitable[Result | Failure]],
    *,
    pace: Callable[[], Awaitable[None]],
    patience: Patience,
) -> tuple[Result, tuple[Attempt, ...]]:
    """Try until it works or the limits are reached; the result, and the tries that failed before it.

    Parameters
    ----------
    once : one try, given the seconds it may take
    pace : waits until our own rate allows a try; that time is not counted

    Raises
    ------
    EndpointError
        With the last failure's trouble and every attempt.
    """
    limits, clock = patience.limits, patience.clock
    attempts: list[Attempt] = []
    left = limits.question_seconds
    while True:
        await pace()
        began = clock.monotonic()
        result = await once(min(limits.exchange_seconds, left))
        left -= clock.monotonic() - began
        if not isinstance(result, Failure):
            return result, tuple(attempts)
        wait = 0.0 if result.at_once else _wait_before_next(result, len(attempts) + 1, patience)
        stop = _reason_to_stop(result, len(attempts) + 1, wait, left, limits)
        attempts.append(_attempt(result, 0.0 if stop is not None else wait))
        if stop is not None:
            raise EndpointError(result.trouble, f"{result.detail}{stop}{_counts(attempts)}", attempts=tuple(attempts))
        patience.on_wait(_waiting(result, wait, len(attempts) + 1, limits.tries))
        if wait > 0:
            await clock.sleep(wait)
            left -= wait


def back_off(failures: int, limits: Limits, rng: random.Random) -> float:
    """Seconds to wait after so many failures: doubled each time, bounded, between half and all of it at random."""
    longest = min(limits.longest_wait, limits.first_wait * 2.0 ** min(failures - 1, 60))
    return longest * rng.uniform(0.5, 1.0)


_DELAY: Final = re.compile(r"[0-9]{1,12}")


def seconds_asked_for(retry_after: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait (RFC 9110, 10.2.3); None where it says nothing readable."""
    if retry_after is None:
        return None
    value = retry_after.strip()
    if _DELAY.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _wait_before_next(failure: Failure, failures: int, patience: Patience) -> float:
    ours = back_off(failures, patience.limits, patience.rng)
    asked = seconds_asked_for(failure.retry_after, patience.clock.now())
    # The jitter keeps those that were refused together from coming back together.
    return ours if asked is None else max(ours, asked + patience.limits.first_wait * patience.rng.random())


def _waiting(failure: Failure, seconds: float, next_try: int, tries: int) -> Waiting:
    return Waiting(seconds=seconds, trouble=failure.trouble, status=failure.status, next_try=next_try, tries=tries)


def _reason_to_stop(failure: Failure, failures: int, wait: float, left: float, limits: Limits) -> str | None:
    if not failure.again:
        return ""
    if failures >= limits.tries:
        return f"; gave up after {failures} tries"
    if wait > limits.longest_wait + limits.first_wait:
        return f"; it asks to wait {wait:.0f} s, longer than the {limits.longest_wait:.0f} s allowed"
    if wait >= left:
        return f"; gave up: the {limits.question_seconds:.0f} s for one question do not allow another try"
    return None


def _attempt(failure: Failure, wait: float) -> Attempt:
    return Attempt(trouble=failure.trouble, status=failure.status, detail=failure.detail, waited_seconds=wait)


def _counts(attempts: list[Attempt]) -> str:
    """The failed tries by kind, where there was more than one: a full server and a broken one are not the same."""
    if len(attempts) < 2:
        return ""
    counts = Counter(attempt.trouble.replace("_", " ") for attempt in attempts)
    return f" ({', '.join(f'{number} times {kind}' for kind, number in counts.items())})"
