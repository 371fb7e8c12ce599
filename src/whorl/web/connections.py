"""HTTP connections of strangers: the head of a request within seconds, an answer taken within seconds, so many at once.

uvicorn bounds the size of a head and how long a connection may idle, and waits without end for a client that sends a
head letter by letter or never takes its answer. Bodies are `whorl.web.guard`'s.
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
            self._write_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._head_timer = self._later(limits.head_seconds)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_head_timer()
            elif self._head_timer is None:  # a further request, or what is left of one that was answered
                self._head_timer = self._later(limits.head_seconds)

        def on_response_complete(self) -> None:
            self._stop_head_timer()
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
            self._stop_write_timer()
            super().connection_lost(exc)

        def _later(self, seconds: float) -> asyncio.TimerHandle:
            abort: Callable[[], None] = self.transport.abort
            return self.loop.call_later(seconds, abort)

        def _stop_head_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _stop_write_timer(self) -> None:
            if self._write_timer is not None:
                self._write_timer.cancel()
                self._write_timer = None

    return GuardedProtocol
