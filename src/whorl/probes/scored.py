"""What a scorer gives, and how it reads its item's key."""

from dataclasses import dataclass
from typing import Final, Protocol

from whorl.core.errors import InputError
from whorl.endpoints.exchange import Finish
from whorl.probes.battery import Item

FILTERED: Final = "(filtered)"
CUT: Final = "(cut)"
EMPTY: Final = "(empty)"
NONE: Final = "(none)"
"""Labels in parentheses speak of the reply, not of an answer in it: withheld by a filter, ended by the token limit
before anything could be read, blank, or readable without being an answer."""

LONGEST_LABEL: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The class an answer falls into, and a number where the scorer has one."""

    label: str
    value: float | None


class Scorer(Protocol):
    """Reads one reply to one item."""

    def __call__(self, item: Item, reply_text: str, finish: Finish, /) -> Scored:
        """The score of a reply that no filter withheld."""


def unread(reply_text: str, finish: Finish) -> Scored:
    """The score of a reply in which no answer was found."""
    if finish == "length":
        return Scored(label=CUT, value=None)
    return Scored(label=NONE if reply_text.strip() else EMPTY, value=None)


def is_no_answer(label: str) -> bool:
    """Whether a label speaks of the reply and not of an answer in it."""
    return label.startswith("(") and label.endswith(")")


def key_text(item: Item, name: str) -> str:
    """A text of the item's key."""
    found = item.key.get(name)
    if not isinstance(found, str):
        raise InputError(f"item {item.id}: scorer {item.scorer} expects a text {name!r} in the key, found {found!r}")
    return found


def key_texts(item: Item, name: str, *, least: int = 1, most: int) -> tuple[str, ...]:
    """Several texts of the item's key, as many as the scorer can take."""
    found = item.key.get(name)
    if not isinstance(found, tuple) or not least <= len(found) <= most:
        raise InputError(
            f"item {item.id}: scorer {item.scorer} expects {least} to {most} texts {name!r} in the key, found {found!r}"
        )
    return found


def shortened(label: str) -> str:
    """A label made of an endpoint's words: printable, and no longer than `LONGEST_LABEL`."""
    return "".join(letter if letter.isprintable() else " " for letter in label[:LONGEST_LABEL]).strip()
