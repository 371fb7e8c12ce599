"""What is measured, for Prometheus: requests, entries, refusals, batches, and how long ago a tree head was signed."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 5, 15)
_SIZES: Final = (1, 4, 16, 64, 256, 1024)


class Metrics:
    """The figures of one service; nothing is global, so that several can run in one process."""

    def __init__(self) -> None:
        self._collected = CollectorRegistry()
        self.requests = Counter(
            "whorl_requests", "Requests by route and status", ["route", "status"], registry=self._collected
        )
        self.seconds = Histogram(
            "whorl_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=self._collected
        )
        self.entered = Counter("whorl_entries", "Entries that were entered", registry=self._collected)
        self.refused = Counter(
            "whorl_refused_entries", "Entries that were refused, by code", ["code"], registry=self._collected
        )
        self.batch_entries = Histogram(
            "whorl_batch_entries", "Entries in a batch", buckets=_SIZES, registry=self._collected
        )
        self.batch_seconds = Histogram(
            "whorl_batch_seconds", "Time to enter and publish a batch", buckets=_SECONDS, registry=self._collected
        )
        self.failed_batches = Counter(
            "whorl_failed_batches", "Batches that could not be entered", registry=self._collected
        )

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, description, registry=self._collected).set_function(read)

    def text(self) -> bytes:
        """All figures, in Prometheus's text format."""
        return generate_latest(self._collected)
