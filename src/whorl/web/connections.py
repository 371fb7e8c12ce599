"""HTTP connections of strangers: head, body and answer within their times, so many connections at once.

uvicorn bounds the size of a head and how long a connection may idle, and waits without end for a client that sends a
request letter by letter or never takes its answer. Such a connection is cut off here. How long a body may be is for
`whorl.web.guard`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from whorl.web.limits import Limits

MAX_HEAD_BYTES = 1 << 14


def guarded_protocol(limits: Limits) -> type[H11Protocol]:
    """The protocol class for uvicorn, with its limits."""

    class GuardedProtocol(H11Protocol):
        """One connection."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._head_timer: asyncio.TimerHandle | None = None
            self._body_timer: asyncio.TimerHandle | None = None
            self._body_due = 0.0
            self._write_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._head_timer = self._later(limits.head_seconds)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._stop_body_timer()
                if self._head_timer is None:  # a further request, or what is left of one that was answered
                    self._head_timer = self._later(limits.head_seconds)
                return
            self._stop_head_timer()
            if not self.cycle.more_body:
                self._stop_body_timer()
            elif self._body_timer is None:
                self._body_due = self.loop.time() + limits.body_seconds
                self._watch_body()
            else:
                self._body_due += len(data) / limits.body_bytes_per_second

        def on_response_complete(self) -> None:
            self._stop_head_timer()
            self._stop_body_timer()
            super().on_response_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._write_timer = self._write_timer or self._later(limits.send_seconds)

        def resume_writing(self) -> None:
            self._stop_write_timer()
            super().resume_writing()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self._write_timer = self._write_timer or self._later(limits.send_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_head_timer()
            self._stop_body_timer()
            self._stop_write_timer()
            super().connection_lost(exc)

        def _watch_body(self) -> None:
            """End the connection once its body is later than it may be; each piece that comes buys some time."""
            if self.flow.read_paused:  # we are the ones who are late
                self._body_due = self.loop.time() + limits.body_seconds
            if self.loop.time() >= self._body_due:
                self.transport.abort()
            else:
                self._body_timer = self.loop.call_at(self._body_due, self._watch_body)

        def _later(self, seconds: float) -> asyncio.TimerHandle:
            abort: Callable[[], None] = self.transport.abort
            return self.loop.call_later(seconds, abort)

        def _stop_head_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _stop_body_timer(self) -> None:
            if self._body_timer is not None:
                self._body_timer.cancel()
                self._body_timer = None

        def _stop_write_timer(self) -> None:
            if self._write_timer is not None:
                self._write_timer.cancel()
                self._write_timer = None

    return GuardedProtocol
