"""Style: open questions on quiet topics, answered in about two hundred tokens.

How somebody writes follows training data closely, and so it follows public instruction sets, a system prompt and the
taste of an era as well as a teacher.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from whorl.probes import naming
from whorl.probes.battery import Item
from whorl.probes.generating import Draws, Size, words
from whorl.probes.wrappers import in_turn, one_turn

_QUESTIONS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 8, "standard": 60, "alone": 400})


def items(seed: int, size: Size) -> tuple[Item, ...]:
    """Open questions, no topic and angle twice."""
    made: list[Item] = []
    asked: set[tuple[str, str]] = set()
    for number in range(_QUESTIONS[size]):
        draws = Draws(seed, "style", number)
        lists = words("styles")
        while (pair := (draws.pick(lists["topics"]), draws.pick(lists["angles"]))) in asked:
            continue
        asked.add(pair)
        topic, angle = pair
        text = angle.format(
            topic=topic, person=naming.person(draws), place=naming.place(draws), age=draws.between(9, 90)
        )
        made.append(_item(number, text[:1].upper() + text[1:], lists["angles"].index(angle)))
    return tuple(in_turn(made))


def _item(number: int, text: str, angle: int) -> Item:
    return Item(
        id=f"style/open/{number:04d}",
        family="style",
        stratum=f"angle/{angle:02d}",
        wrapper="bare",
        messages=one_turn(text),
        max_tokens=200,
        temperature=0,
        draws=1,
        scorer="style/1",
        key={},
    )
