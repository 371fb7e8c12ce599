"""Trying again: bounded in number, waits and total time; ``Retry-After`` in both forms."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import WoundClock

from whorl.endpoints.exchange import EndpointError
from whorl.endpoints.limits import Limits
from whorl.endpoints.retrying import Failure, Patience, Waiting, back_off, persist, seconds_asked_for

NOON = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


def failing(**members: Any) -> Failure:
    return Failure(**({"trouble": "broken", "detail": "down", "status": 500, "again": True} | members))


class Run:
    """`persist` over a list of outcomes, each of which takes a while."""

    def __init__(self, *outcomes: "Failure | str", takes: float = 0.0, **limits: Any) -> None:
        self.clock = WoundClock()
        self.waits: list[Waiting] = []
        self.allowed: list[float] = []
        self._outcomes = list(outcomes)
        self._takes = takes
        self._patience = Patience(
            limits=Limits(**limits), clock=self.clock, rng=random.Random(1), on_wait=self.waits.append
        )

    async def _once(self, seconds: float) -> "Failure | str":
        self.allowed.append(seconds)
        await self.clock.sleep(self._takes)
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]

    async def _pace(self) -> None:
        await self.clock.sleep(1000.0)  # our own rate, which is not the server's fault

    def result(self) -> Any:
        return asyncio.run(persist(self._once, pace=self._pace, patience=self._patience))


def test_the_first_answer_is_the_result() -> None:
    run = Run("good")
    assert run.result() == ("good", ())
    assert run.waits == []


def test_every_failed_try_is_recorded_with_its_wait() -> None:
    run = Run(failing(), failing(trouble="rate_limited", status=429, detail="full"), "good")
    result, attempts = run.result()
    assert result == "good"
    assert [(each.trouble, each.status, each.detail) for each in attempts] == [
        ("broken", 500, "down"),
        ("rate_limited", 429, "full"),
    ]
    assert [each.waited_seconds for each in attempts] == [wait.seconds for wait in run.waits]
    assert [wait.next_try for wait in run.waits] == [2, 3]
    assert str(run.waits[1]).endswith("after 429, try 3 of 6")


def test_tries_are_bounded_and_the_last_is_not_followed_by_a_wait() -> None:
    run = Run(failing(), tries=4)
    with pytest.raises(EndpointError, match=r"down; gave up after 4 tries \(4 times broken\)") as caught:
        run.result()
    assert len(caught.value.attempts) == 4
    assert len(run.waits) == 3
    assert caught.value.attempts[-1].waited_seconds == 0


def test_what_cannot_succeed_is_not_tried_again() -> None:
    run = Run(failing(trouble="not_found", status=404, again=False))
    with pytest.raises(EndpointError, match=r"^down$") as caught:
        run.result()
    assert len(caught.value.attempts) == 1
    assert run.waits == []


def test_total_time_is_bounded_and_the_last_exchange_gets_what_is_left() -> None:
    run = Run(failing(), takes=100.0, tries=100, question_seconds=250.0, exchange_seconds=120.0)
    with pytest.raises(EndpointError, match="the 250 s for one question do not allow another try"):
        run.result()
    assert run.allowed[0] == 120.0
    assert len(run.allowed) == 3
    assert run.allowed[2] < 50.0


@pytest.mark.parametrize("asked", ["500", "999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_that_asks_for_more_patience_than_there_is_ends_it(asked: str) -> None:
    run = Run(failing(trouble="rate_limited", status=429, retry_after=asked))
    with pytest.raises(EndpointError, match="longer than the 120 s allowed"):
        run.result()
    assert run.waits == []


def test_a_short_retry_after_does_not_undo_the_back_off() -> None:
    run = Run(failing(retry_after="0"), tries=6)
    with pytest.raises(EndpointError):
        run.result()
    waits = [wait.seconds for wait in run.waits]
    assert waits[0] >= 0.5
    assert waits[4] >= 8.0


def test_the_other_form_of_a_request_is_tried_without_a_wait() -> None:
    run = Run(failing(trouble="rejected", status=400, at_once=True), "good")
    result, attempts = run.result()
    assert result == "good"
    assert attempts[0].waited_seconds == 0
    assert run.clock.slept == [1000.0, 0.0, 1000.0, 0.0]
    assert [str(wait) for wait in run.waits] == ["waiting 0 s after 400, try 2 of 6"]


@given(st.integers(1, 10**6), st.integers(0, 2**32))
def test_back_off_grows_to_its_bound_with_jitter(failures: int, seed: int) -> None:
    limits = Limits(first_wait=1.0, longest_wait=60.0)
    full = min(60.0, 2.0 ** min(failures - 1, 60))
    assert full / 2 <= back_off(failures, limits, random.Random(seed)) <= full


def test_jitter_spreads_those_who_were_refused_together() -> None:
    rng = random.Random(5)
    waits = [back_off(3, Limits(), rng) for _ in range(1000)]
    assert max(waits) - min(waits) > 1.9
    assert sum(waits) / len(waits) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12.0),
        (" 0 ", 0.0),
        ("Thu, 26 Nov 2026 12:01:00 GMT", 60.0),  # RFC 9110, 5.6.7: the preferred form
        ("Thursday, 26-Nov-26 12:01:00 GMT", 60.0),
        ("Thu Nov 26 12:01:00 2026", 60.0),
        ("Thu, 26 Nov 2026 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("१२", None),
        ("1e9", None),
        ("9" * 400, None),
        ("Thu, 99 Nov 2026 12:01:00 GMT", None),
        ("Thu, 26 Nov 99999 12:01:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_asked_for(header, NOON) == seconds


@given(st.text(max_size=60))
def test_any_retry_after_is_read_or_ignored(header: str) -> None:
    seconds = seconds_asked_for(header, NOON)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("wrong", [{"tries": 0}, {"first_wait": 0.0}, {"requests_per_minute": 0.0}, {"body_bytes": -1}])
def test_limits_that_limit_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Limits(**wrong)
