"""Progress on standard error: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from whorl.core.progress import Progress, silent

SECONDS_BETWEEN_LINES: Final = 5.0


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Progress]:
    """Something to hand to long work; safe to call from several threads."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield bars
    else:
        yield _Lines()


class _Lines:
    """For logs: says nothing of work that is over within seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int, /) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._last < SECONDS_BETWEEN_LINES:
                return
            self._last = now
        print(f"{_label(what)}: {_share(done, total)}", file=sys.stderr, flush=True)


def _label(what: str) -> str:
    from whorl.comparison.wording import visible

    return visible(what, longest=60)


def _share(done: int, total: int) -> str:
    return f"{100 * done // total} %" if total > 0 else "working"


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:

        def tell(what: str, done: int, total: int, /) -> None:
            with lock:
                if what not in tasks:
                    tasks[what] = bars.add_task(_label(what), total=total)
                bars.update(tasks[what], completed=done, total=total, visible=done < total)

        yield tell
