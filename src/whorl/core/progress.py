"""How long work says where it is."""

from typing import Protocol


class Progress(Protocol):
    """Told after each step of long work; the command line shows it, a library caller may ignore it."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """``done`` of ``total`` units of ``what`` are finished; bytes for reading, layer pairs for comparing."""


def silent(_what: str, _done: int, _total: int, /) -> None:
    """Report nothing."""
