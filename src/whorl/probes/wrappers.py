"""What may stand around an item: no system prompt, a neutral one, a long one about manners only.

An endpoint's own hidden prompt stands before all of them. How far the same item's answer moves between wrappers says
how much of a profile is prompt and how much is model.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from whorl.endpoints.exchange import Message
from whorl.probes.battery import Item

Wrapper: TypeAlias = Literal["bare", "neutral", "long"]

WRAPPERS: Final[Mapping[Wrapper, str | None]] = MappingProxyType(
    {
        "bare": None,
        "neutral": "You are a helpful assistant.",
        "long": (
            "You answer messages that people send to the reading room of a public library. People come with all kinds "
            "of questions: about homework, letters, recipes, hobbies, machines, plants and words. Read each message to "
            "the end before you answer. Write in the language of the message. Use plain words and short sentences. Do "
            "not greet the person and do not sign your answer. Where the message says what form the answer should "
            "have, keep exactly to that form, and add nothing to it. Where it says nothing about form, write in "
            "running text. Spell out abbreviations the first time that you use them. Give measures in metric units. "
            "The reading room is open from nine to six, and no appointments are needed. The room has forty seats, a "
            "card index, two large tables for maps and a shelf with dictionaries. Questions about opening hours are "
            "answered at the front desk, so you need not answer them."
        ),
    }
)
"""System prompt by wrapper; None for none."""


def wrapped(item: Item, wrapper: Wrapper) -> Item:
    """A bare item with a wrapper's system prompt in front of its own; its id says so."""
    prompt = WRAPPERS[wrapper]
    if prompt is None:
        return item
    own = [message.text for message in item.messages if message.role == "system"]
    rest = [message for message in item.messages if message.role != "system"]
    system = Message(role="system", text="\n\n".join([prompt, *own]))
    return item.model_copy(update={"id": f"{item.id}/{wrapper}", "wrapper": wrapper, "messages": (system, *rest)})


def turn(number: int) -> Wrapper:
    """The wrapper of the item with a number: every second one bare, the others neutral and long alternately."""
    order: tuple[Wrapper, ...] = ("bare", "neutral", "bare", "long")
    return order[number % len(order)]


def in_turn(items: Sequence[Item]) -> list[Item]:
    """Each item once, in the wrapper whose `turn` it is."""
    return [wrapped(item, turn(number)) for number, item in enumerate(items)]


def one_turn(text: str, *, system: str | None = None) -> tuple[Message, ...]:
    """The messages of a single request."""
    request = Message(role="user", text=text)
    return (request,) if system is None else (Message(role="system", text=system), request)
