"""Low-entropy choices: one random word or number at temperature 1, drawn many times from each of many cells.

"At random" a model says what its training left there: each has its own few favourites. Excluding two of the usual
answers makes the cell one that nobody has published answers for.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from whorl.probes.battery import Item
from whorl.probes.generating import Draws, Size, words
from whorl.probes.wrappers import one_turn

_CELLS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 6, "standard": 48, "alone": 120})
_DRAWS: Final = 10
_NUMBERS: Final = 8  # every so manieth cell asks for a number
_OTHER_LANGUAGE: Final = 2  # every so manieth cell is not in English


def items(seed: int, size: Size) -> tuple[Item, ...]:
    """Cells in six languages, half of them English; no cell is asked twice."""
    made: list[Item] = []
    asked: set[str] = set()
    for number in range(_CELLS[size]):
        made.append(_cell(seed, number, asked))
    return tuple(made)


def _cell(seed: int, number: int, asked: set[str]) -> Item:
    draws = Draws(seed, "low_entropy", number)
    languages = list(words("random_choices"))
    language = languages[1 + number // _OTHER_LANGUAGE % 5] if number % _OTHER_LANGUAGE else languages[0]
    texts = words("random_choices")[language]
    kind = "number" if number % _NUMBERS in (2, 5) else "word"
    while (text := _number(draws, texts) if kind == "number" else _word(draws, texts)) in asked:
        continue
    asked.add(text)
    return Item(
        id=f"low_entropy/{language}/{number:04d}",
        family="low_entropy",
        stratum=f"{language}/{kind}",
        wrapper="bare",
        messages=one_turn(text),
        max_tokens=12,
        temperature=1,
        draws=_DRAWS,
        scorer="one_word/1",
        key={"kind": kind},
    )


def _word(draws: Draws, texts: Mapping[str, Mapping[str, list[str]]]) -> str:
    what = draws.pick(list(texts["cells"]))
    a, b = draws.sample(texts["cells"][what], 2)
    return str(draws.pick(list(texts["ask"]))).format(what=what, a=a, b=b)


def _number(draws: Draws, texts: Mapping[str, list[str]]) -> str:
    first = draws.between(1, 40)
    return draws.pick(texts["number"]).format(first=first, last=first + draws.between(12, 180))
