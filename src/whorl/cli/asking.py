"""Asking an endpoint from the command line: the plan first, then the questions, with what there is to say meanwhile."""

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from whorl.core.errors import InputError
from whorl.core.progress import Progress

if TYPE_CHECKING:
    from whorl.endpoints.keys import Key
    from whorl.endpoints.opening import Api
    from whorl.endpoints.retrying import Waiting
    from whorl.probes.battery import Battery
    from whorl.probes.planning import Prices
    from whorl.probes.taking import Receipt

SECONDS_BETWEEN_LINES: Final = 1.0


def plan_and_take(
    endpoint: str,
    battery: "Battery",
    output: Path,
    *,
    model: str | None,
    api: "Api",
    key: "Key | None",
    concurrency: int,
    timeout: float,
    quiet: bool,
    progress: Progress,
    requests_per_minute: float | None = None,
    max_requests: int | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    prices: "Prices | None" = None,
) -> "Receipt":
    """Say on standard error what a battery takes, then ask it, or what an earlier run left of it.

    Parameters
    ----------
    output : the transcript, new or continued
    quiet : say nothing

    Raises
    ------
    InputError, EndpointError
        As `whorl.probes.taking.take`; an endpoint that is lost on the way is no error but the receipt's ``ended``.
    """
    require_finite(timeout, requests_per_minute, max_cost)

    import asyncio

    from whorl.cli.probe_text import plan_lines
    from whorl.endpoints.limits import Limits
    from whorl.probes.budget import Budget
    from whorl.probes.planning import plan
    from whorl.probes.taking import Target, take

    if not quiet:
        planned = plan(battery, prices=prices, requests_per_minute=requests_per_minute)
        print("\n".join(plan_lines(planned)), file=sys.stderr, flush=True)
    limits = Limits(
        exchange_seconds=timeout,
        question_seconds=max(Limits().question_seconds, 2 * timeout),
        connections=concurrency,
        requests_per_minute=requests_per_minute,
    )
    target = Target(address=endpoint, model=model, api=api, key=key, limits=limits, concurrency=concurrency)
    with _hint_on_interrupt(output, quiet=quiet):
        return asyncio.run(
            take(
                target,
                battery,
                output,
                budget=Budget(requests=max_requests, tokens=max_tokens, cost=max_cost, prices=prices),
                seed=battery.seed,
                now=lambda: datetime.now(UTC),
                on_wait=WaitLines(quiet=quiet),
                progress=progress,
            )
        )


def key_of(variable: str | None, keyring: str | None) -> "Key | None":
    """The key in an environment variable or in the keyring; None where neither is named.

    Raises
    ------
    InputError
        If both are named, or there is no key there.
    """
    from whorl.endpoints.keys import key_from_environment, key_from_keyring

    if variable is not None and keyring is not None:
        raise InputError("expected one place to take the key from, found --key-env and --keyring; give one")
    if variable is not None:
        return key_from_environment(variable, os.environ)
    if keyring is None:
        return None
    service, slash, user = keyring.partition("/")
    if not (service and slash and user):
        raise InputError("--keyring: expected SERVICE/USER, as the key was stored in the keyring")
    return key_from_keyring(service, user)


def require_finite(*numbers: float | None) -> None:
    """Raise `InputError` unless every number that is there is a plain one."""
    given = [number for number in numbers if number is not None]
    if not all(map(math.isfinite, given)):
        raise InputError(f"expected prices, costs, seconds and rates as plain numbers, found {given}")


class WaitLines:
    """Says on standard error that a try failed and the next one waits; one line a second, however many wait."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last = -math.inf

    def __call__(self, waiting: "Waiting", /) -> None:
        """Tell of one wait."""
        now = time.monotonic()
        if not self._quiet and now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            print(waiting, file=sys.stderr, flush=True)


@contextmanager
def _hint_on_interrupt(output: Path, *, quiet: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not quiet and output.exists():
            print("The answers so far are kept; the same command goes on from there.", file=sys.stderr)
        raise
