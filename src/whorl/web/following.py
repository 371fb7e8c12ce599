"""Looking at the other bureaus now and then, as long as the service runs."""

import threading
from types import TracebackType
from typing import Final, Self

from whorl.registry.federation import Federation
from whorl.web.errors import LOG

SECONDS: Final = 60.0


class Following:
    """Syncs a federation in a thread of its own; a context manager."""

    def __init__(self, federation: Federation, *, seconds: float = SECONDS) -> None:
        self._federation = federation
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _run(self) -> None:
        going_on = True
        while going_on:
            try:
                self._federation.sync()
            except Exception as error:
                LOG.error("the other bureaus could not be looked at", exc_info=error)
            going_on = not self._over.wait(self._seconds)
