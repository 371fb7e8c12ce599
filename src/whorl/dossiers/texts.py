"""Every text in a JSON value, names of members left out."""

from collections.abc import Iterator
from typing import Any


def texts_of(value: Any) -> Iterator[str]:
    """The texts, in their order."""
    match value:
        case str():
            yield value
        case dict():
            for member in value.values():
                yield from texts_of(member)
        case list():
            for member in value:
                yield from texts_of(member)
