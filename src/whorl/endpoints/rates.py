"""Rates that we do not exceed: requests and tokens per minute."""

from typing import Final

from whorl.endpoints.clock import Clock
from whorl.endpoints.limits import Limits

BURST_SECONDS: Final = 6.0  # what may be used at once after a pause; a tenth of a minute's allowance


class Bucket:
    """A token bucket that lends: what is taken beyond its content must be waited for, first come, first served.

    Parameters
    ----------
    per_minute : how much flows in
    clock : whose seconds count
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._per_second = per_minute / 60
        self._capacity = max(1.0, self._per_second * BURST_SECONDS)
        self._content = self._capacity
        self._clock = clock
        self._at = clock.monotonic()

    def take(self, amount: float) -> float:
        """Take an amount; the seconds to wait before it may be used."""
        now = self._clock.monotonic()
        self._content = min(self._capacity, self._content + (now - self._at) * self._per_second) - amount
        self._at = now
        return max(0.0, -self._content / self._per_second)


class Pace:
    """Both rates of one endpoint."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        per_minute = limits.requests_per_minute, limits.tokens_per_minute
        self._requests, self._tokens = (None if rate is None else Bucket(rate, clock) for rate in per_minute)
        self._clock = clock

    async def wait_for(self, tokens: float) -> None:
        """Wait until one request of about so many tokens, prompt and answer together, is within the rates."""
        waits = [
            bucket.take(amount)
            for bucket, amount in ((self._requests, 1.0), (self._tokens, tokens))
            if bucket is not None
        ]
        if any(waits):
            await self._clock.sleep(max(waits))
