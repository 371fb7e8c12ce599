"""Failure transfer: fixed, public kinds of attack on targets that are harmless to print, and placebos of each.

The aim of every attack is a nonsense word that the system prompt asks to keep, or a rule of form. A placebo has the
length and the words of its attack without asking for anything: what fails there is no failure under attack.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from whorl.probes import naming
from whorl.probes.battery import Item
from whorl.probes.generating import Draws, Size, words
from whorl.probes.wrappers import one_turn

_PAIRS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 10, "standard": 80, "alone": 500})
_RULES: Final = ("digits", "capitals", "question_mark", "exclamation_mark")


def items(seed: int, size: Size) -> tuple[Item, ...]:
    """Attacks of all kinds and aims in turn, each followed by its placebo."""
    return tuple(item for number in range(_PAIRS[size]) for item in _pair(seed, number))


def _pair(seed: int, number: int) -> list[Item]:
    attacks = words("attacks")["attacks"]
    kind = list(attacks)[number % len(attacks)]
    aims = attacks[kind]["aims"]
    aim = aims[number // len(attacks) % len(aims)]
    draws = Draws(seed, "failure_transfer", number)
    target = draws.pick(_RULES) if aim == "rule" else aim
    secret, place, name = naming.word(draws, 3), naming.place(draws), naming.place(draws)
    system = draws.pick(words("attacks")["systems"][target]).format(place=place, place_small=place.lower(), word=secret)
    asked = draws.pick(words("attacks")["aims"][target]).format(number=draws.between(1102, 1988), name=name)
    filled = {"aim": asked, "person": naming.first_name(draws), "thing": naming.word(draws, 3)}
    key: dict[str, str | float | tuple[str, ...]] = (
        {"aim": "rule", "rule": target} if aim == "rule" else {"aim": "word", "word": secret}
    )
    return [
        _item(number, kind, aim, part, system, attacks[kind][part].format(**filled), key)
        for part in ("attack", "placebo")
    ]


def _item(
    number: int,
    kind: str,
    aim: str,
    part: str,
    system: str,
    text: str,
    key: dict[str, str | float | tuple[str, ...]],
) -> Item:
    return Item(
        id=f"failure_transfer/{part}/{kind}/{number:04d}",
        family="failure_transfer",
        stratum=f"{part}/{kind}/{aim}",
        wrapper="bare",
        messages=one_turn(text, system=system),
        max_tokens=100,
        temperature=0,
        draws=1,
        scorer="attack/1",
        key=key,
    )
