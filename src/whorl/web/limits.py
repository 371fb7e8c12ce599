"""How much of everything: sizes, times, rates. Each is a parameter of whoever runs the service.

Rates are counted for an organisation or, of somebody unknown, for an address (of IPv6 the network of 64 bits). At most
`_COUNTERS` are kept, whoever knocks.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock
from typing import Final, Literal, TypeAlias

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from whorl.registry.local import MAX_BLOB_BYTES
from whorl.web.errors import ApiError

Rate: TypeAlias = Literal["reads", "searches", "sealed_searches", "entries", "blob_kib", "witness", "cases"]

LEAST_ENTRIES: Final = 10
"""Per hour: no limit may keep an organisation from disputing what is said of it."""

_COUNTERS: Final = 1 << 16
_KIB: Final = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all together, may use. A rate of 0 is none.

    Parameters
    ----------
    entries_per_request : most entries in one request
    entries_bytes, search_bytes, small_bytes, blob_bytes : most bytes of a body
    buffered_bytes : most bytes of bodies in memory at once
    waiting_entries : most entries that wait for the writer
    uploads : most blobs received or sent at once
    head_seconds, body_seconds, send_seconds : how long a client may take for the head of a request, for the first
        bytes of a body, and to take some of the answer
    body_bytes_per_second : slowest body, beyond the first `body_seconds`
    connections : most connections at once
    reads_per_second, searches_per_second, entries_per_hour, blob_bytes_per_day, witness_per_second : of one
        organisation or address
    sealed_searches_per_day : of one peer; each answer tells a little of what is sealed, so that a peer must not have
        many of them
    cases_per_day : opened by one organisation
    case_event_bytes : most bytes of an event of a case
    refusals_told_per_minute : lines of the audit trail about refusals; more are summed up
    free_bytes : blobs are refused when the disk has less than so much left
    """

    entries_per_request: int = 256
    entries_bytes: int = 8 << 20
    search_bytes: int = 4 << 20
    small_bytes: int = 1 << 16
    blob_bytes: int = MAX_BLOB_BYTES
    buffered_bytes: int = 128 << 20
    waiting_entries: int = 4096
    uploads: int = 8
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    send_seconds: float = 30.0
    body_bytes_per_second: int = 1 << 14
    connections: int = 1000
    reads_per_second: int = 200
    searches_per_second: int = 5
    entries_per_hour: int = 3600
    blob_bytes_per_day: int = 4 << 30
    witness_per_second: int = 20
    sealed_searches_per_day: int = 20
    cases_per_day: int = 20
    case_event_bytes: int = 1 << 19
    refusals_told_per_minute: int = 600
    free_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if 0 < self.entries_per_hour < LEAST_ENTRIES:
            raise ValueError(f"at least {LEAST_ENTRIES} entries an hour, so that everybody can dispute; 0 for no limit")


class Rates:
    """Counts who did how much of what.

    Parameters
    ----------
    monotonic : seconds of a clock that never goes back
    """

    def __init__(self, limits: Limits, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._counters = _Counters(monotonic)
        self._limiter = FixedWindowRateLimiter(self._counters)
        amounts: dict[Rate, tuple[type[RateLimitItem], int]] = {
            "reads": (RateLimitItemPerSecond, limits.reads_per_second),
            "searches": (RateLimitItemPerSecond, limits.searches_per_second),
            "sealed_searches": (RateLimitItemPerDay, limits.sealed_searches_per_day),
            "entries": (RateLimitItemPerHour, limits.entries_per_hour),
            "blob_kib": (RateLimitItemPerDay, limits.blob_bytes_per_day // _KIB),
            "witness": (RateLimitItemPerSecond, limits.witness_per_second),
            "cases": (RateLimitItemPerDay, limits.cases_per_day),
        }
        self._items = {rate: item(amount, namespace=rate) for rate, (item, amount) in amounts.items() if amount}

    def take(self, rate: Rate, who: str, cost: int = 1) -> None:
        """Count something, or refuse it.

        Raises
        ------
        ApiError
            With status 429, if it is too much.
        """
        item = self._items.get(rate)
        if item is not None and not self._limiter.hit(item, who, cost=cost):
            raise self._too_much(item, who)

    def limits(self, rate: Rate) -> bool:
        """Whether there is a limit to it at all."""
        return rate in self._items

    def count(self, rate: Rate, who: str, cost: int) -> float:
        """Count something that is done already; for how many seconds it is too much now, 0 if it is not."""
        item = self._items.get(rate)
        if item is None or self._limiter.hit(item, who, cost=cost):
            return 0.0
        return self._counters.seconds_left(item.key_for(who))

    def _too_much(self, item: RateLimitItem, who: str) -> ApiError:
        seconds = self._counters.seconds_left(item.key_for(who))
        return too_many(f"expected at most {item.amount} {item.namespace} in {item.get_expiry()} seconds", seconds)


def too_many(expected: str, seconds: float) -> ApiError:
    """429: more than is allowed to one client; ``seconds`` says when it begins anew."""
    wait = max(1, round(seconds))
    return ApiError(429, "too_many", f"{expected}, found more; wait {wait} s", headers={"Retry-After": str(wait)})


@lru_cache(maxsize=4096)
def who_at(address: str | None) -> str:
    """Who somebody unknown is counted as."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "address unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return f"address {found.ipv4_mapped}"
        return f"address {ip_network((found, 64), strict=False)}"
    return f"address {found}"


class _Counters(Storage):
    """Storage for `limits`: bounded, without threads of its own, on the clock it is given.

    The library's own memory storage keeps a counter for everybody who ever asked until a thread finds it again.
    """

    STORAGE_SCHEME = None

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = Lock()
        self._held: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return KeyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = self._monotonic()
        with self._lock:
            count, ends = self._held.get(key, (0, now))
            if ends <= now:
                self._held.pop(key, None)
                count, ends = 0, now + expiry
            self._held[key] = count + amount, ends
            while len(self._held) > _COUNTERS:
                self._held.popitem(last=False)
            return count + amount

    def get(self, key: str) -> int:
        count, ends = self._held.get(key, (0, 0.0))
        return count if ends > self._monotonic() else 0

    def get_expiry(self, key: str) -> float:
        return time.time() + self.seconds_left(key)

    def seconds_left(self, key: str) -> float:
        """How long until the count begins anew."""
        return max(0.0, self._held.get(key, (0, 0.0))[1] - self._monotonic())

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        number = len(self._held)
        self._held.clear()
        return number

    def clear(self, key: str) -> None:
        self._held.pop(key, None)
