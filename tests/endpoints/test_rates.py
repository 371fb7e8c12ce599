"""Our own rates: never exceeded over any stretch of time, first come, first served."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import WoundClock

from whorl.endpoints.limits import Limits
from whorl.endpoints.rates import BURST_SECONDS, Bucket, Pace


def moments(per_minute: float, amounts: list[float]) -> list[float]:
    """When each of several requests at once may be sent."""
    bucket = Bucket(per_minute, WoundClock())
    return [bucket.take(amount) for amount in amounts]


def test_a_burst_is_served_at_once_and_the_rest_at_the_rate() -> None:
    waits = moments(60.0, [1.0] * 10)
    assert waits[: int(BURST_SECONDS)] == [0.0] * 6
    assert waits[6:] == pytest.approx([1.0, 2.0, 3.0, 4.0])


@given(st.floats(0.5, 1e6), st.lists(st.floats(0.0, 1e4), min_size=1, max_size=40))
def test_no_more_than_the_rate_and_one_burst_within_any_time(per_minute: float, amounts: list[float]) -> None:
    waits = moments(per_minute, amounts)
    capacity = max(1.0, per_minute / 60 * BURST_SECONDS)
    for position, wait in enumerate(waits):
        taken = sum(amounts[: position + 1])
        assert taken <= (capacity + wait * per_minute / 60) * (1 + 1e-9) + 1e-6
    assert waits == sorted(waits)


def test_a_request_larger_than_the_burst_is_served_in_the_end() -> None:
    assert moments(60.0, [600.0, 1.0]) == pytest.approx([594.0, 595.0])


def test_an_idle_hour_saves_up_one_burst_only() -> None:
    clock = WoundClock()
    bucket = Bucket(60.0, clock)
    asyncio.run(clock.sleep(3600))
    assert [bucket.take(1.0) for _ in range(8)] == pytest.approx([0, 0, 0, 0, 0, 0, 1.0, 2.0])


def test_the_slower_of_both_rates_counts() -> None:
    async def scenario(limits: Limits) -> list[float]:
        clock = WoundClock()
        pace = Pace(limits, clock)
        for _ in range(12):
            await pace.wait_for(100.0)
        return clock.slept

    assert asyncio.run(scenario(Limits())) == []
    by_requests = asyncio.run(scenario(Limits(requests_per_minute=60.0, tokens_per_minute=1e9)))
    assert sum(by_requests) == pytest.approx(6.0)
    by_tokens = asyncio.run(scenario(Limits(requests_per_minute=1e9, tokens_per_minute=1000.0)))
    assert sum(by_tokens) == pytest.approx((1200 - 100) / (1000 / 60))
