"""Names of people, places and things that do not exist, made of syllables."""

from collections.abc import Callable
from typing import Final

from whorl.probes.generating import Draws, words

_DIGITS: Final = "23456789"


def word(draws: Draws, syllables: int) -> str:
    """A pronounceable word in lower case, in which no swear word of English can be read."""
    parts: dict[str, list[str]] = words("syllables")
    while True:
        made = "".join(draws.pick(parts["onsets"]) + draws.pick(parts["vowels"]) for _ in range(syllables))
        made += draws.pick(parts["codas"])
        if not any(unwanted in made for unwanted in parts["unwanted"]):
            return made


def different(draws: Draws, count: int, make: Callable[[Draws], str]) -> list[str]:
    """``count`` different names."""
    made: dict[str, None] = {}
    while len(made) < count:
        made[make(draws)] = None
    return list(made)


def surname(draws: Draws) -> str:
    """A family name of two or three syllables."""
    return word(draws, draws.between(2, 3)).capitalize()


def first_name(draws: Draws) -> str:
    """A given name; these exist, and belong to nobody."""
    return str(draws.pick(words("syllables")["first_names"]))


def person(draws: Draws) -> str:
    """Given and family name."""
    return f"{first_name(draws)} {surname(draws)}"


def place(draws: Draws) -> str:
    """A town."""
    ending = str(draws.pick(words("syllables")["place_endings"]))
    return (word(draws, draws.between(1, 2)) + ending).capitalize()


def thing(draws: Draws) -> str:
    """A product or device."""
    return word(draws, 2).capitalize() + draws.pick(["", "", f" {draws.between(2, 90)}", f" {draws.pick('QXZ')}"])


def code(draws: Draws) -> str:
    """A code of letters and digits, e.g. KORVA-482: nothing that occurs by chance, no 0, 1."""
    digits = "".join(draws.pick(_DIGITS) for _ in range(3))
    return f"{word(draws, 2).upper()}-{digits}"
