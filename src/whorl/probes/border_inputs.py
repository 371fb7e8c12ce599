"""Border inputs: very short prompts and one token of answer at temperature 0.

On most prompts every endpoint is certain of its first token. Where two tokens are nearly equally likely, rounding
decides, and any change of weights, of their precision or of the serving code moves the split. Which prompts those are
is found by asking, a few times each; a later run, or another endpoint, is asked the same ones.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from whorl.probes import naming
from whorl.probes.battery import Item
from whorl.probes.generating import Draws, Size, words
from whorl.probes.wrappers import one_turn

_INPUTS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 9, "standard": 60, "alone": 400})
_DRAWS: Final = 4
_STRATA: Final = ("word", "pair", "sign", "number", "invented", "other_language", "code")


def items(seed: int, size: Size) -> tuple[Item, ...]:
    """Different short inputs of seven kinds in turn."""
    made: list[Item] = []
    asked: set[str] = set()
    for number in range(_INPUTS[size]):
        draws = Draws(seed, "border_inputs", number)
        stratum = _STRATA[number % len(_STRATA)]
        while (text := _input(draws, stratum)) in asked:
            continue
        asked.add(text)
        made.append(
            Item(
                id=f"border_inputs/{stratum}/{number:04d}",
                family="border_inputs",
                stratum=stratum,
                wrapper="bare",
                messages=one_turn(text),
                max_tokens=1,
                temperature=0,
                draws=_DRAWS,
                scorer="first_token/1",
                key={},
            )
        )
    return tuple(made)


def _input(draws: Draws, stratum: str) -> str:
    lists: dict[str, list[str]] = words("short_inputs")
    match stratum:
        case "word":
            return draws.pick(lists["words"]) + draws.pick(["", "", ".", "?", ",", " ..."])
        case "pair":
            return " ".join(draws.sample(lists["words"], 2))
        case "sign":
            return draws.pick(lists["signs"]) + draws.pick(["", " ", ""]) + draws.pick(lists["signs"])
        case "number":
            return str(draws.between(2, 10 ** draws.between(1, 5)))
        case "invented":
            return naming.word(draws, draws.between(1, 2))
        case "other_language":
            return (
                draws.pick(lists["others"]) + draws.pick(["", "?", "!", " ", "."]) + draws.pick(["", *lists["signs"]])
            )
        case _:
            return draws.pick(lists["code"]) + draws.pick(["", " ", "\n"]) + naming.word(draws, 1)
