"""Puzzles whose wrong answers have a reason: each wrong option is what a named slip gives. About letters and orders."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from whorl.probes.generating import Draws
from whorl.probes.naming import different, first_name, word
from whorl.probes.puzzles_with_numbers import Puzzle

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth")


def letters(draws: Draws) -> Puzzle:
    """Every k-th letter of a reversed word."""
    made = _long_word(draws, 11)
    step = draws.between(2, 3)
    right = made[::-1][step - 1 :: step]
    return Puzzle(
        question=f'Write the word "{made}" backwards, then keep only every {_ORDINALS[step - 1]} letter of the result, '
        f"starting with the {_ORDINALS[step - 1]} one. What is left?",
        right=right,
        slips=(
            ("not_reversed", made[step - 1 :: step]),
            ("started_at_first", made[::-1][::step]),
            ("reversed_again", right[::-1]),
            ("neighbours_swapped", right[1] + right[0] + right[2:]),
            ("last_letter_lost", right[:-1]),
        ),
    )


def counting(draws: Draws) -> Puzzle:
    """How often a letter occurs in a phrase of invented words."""
    said = different(draws, 9, lambda d: word(d, d.between(2, 3)))
    phrase = " ".join(said)
    letter = draws.pick([sign for sign in sorted(set(phrase) - {" "}) if phrase.count(sign) >= 5])
    right = phrase.count(letter)
    containing = sum(letter in part for part in said)
    values = {
        "once_per_word": containing,
        "one_missed": right - 1,
        "one_twice": right + 1,
        "two_missed": right - 2,
        "two_twice": right + 2,
    }
    return Puzzle(
        question=f'How many times does the letter "{letter}" occur in "{phrase}"?',
        right=str(right),
        slips=tuple((name, str(value)) for name, value in values.items()),
    )


def order(draws: Draws) -> Puzzle:
    """Who stands at a place, from comparisons in random order."""
    people = different(draws, 6, first_name)
    said = draws.shuffled([f"{taller} is taller than {shorter}." for taller, shorter in pairwise(people)])
    at = draws.between(1, 4)
    return Puzzle(
        question=f"{' '.join(said)} Who is the {_ORDINALS[at]} tallest of the six?",
        right=people[at],
        slips=(
            ("from_the_other_end", people[5 - at]),
            ("one_too_tall", people[at - 1]),
            ("one_too_short", people[at + 1]),
            ("the_tallest", people[0]),
            ("the_shortest", people[5]),
        ),
    )


def calendar(draws: Draws) -> Puzzle:
    """A day of an invented week, many days later or earlier."""
    length = draws.between(8, 11)
    days = different(draws, length, lambda d: word(d, 2).capitalize())
    today, distance = draws.below(length), draws.between(150, 890)
    forward = draws.below(2) == 1
    shift = distance if forward else -distance

    def day(by: int) -> str:
        return days[(today + by) % length]

    return Puzzle(
        question=f"A week has {length} days: {', '.join(days)}. Today is {days[today]}. Which day "
        f"{'will it be in' if forward else 'was it'} {distance} days{'' if forward else ' ago'}?",
        right=day(shift),
        slips=(
            ("wrong_direction", day(-shift)),
            ("one_day_late", day(shift + 1)),
            ("one_day_early", day(shift - 1)),
            ("earth_week", day(shift % 7)),
            ("two_days_late", day(shift + 2)),
        ),
    )


def cipher(draws: Draws) -> Puzzle:
    """Letters moved along the alphabet, forward and backward in turn."""
    made, by = _long_word(draws, 7), draws.between(3, 9)

    def moved(steps: list[int]) -> str:
        return "".join(_ALPHABET[(_ALPHABET.index(sign) + steps[place % 2]) % 26] for place, sign in enumerate(made))

    right = moved([by, -by])
    return Puzzle(
        question=f'In the word "{made}", move the first letter {by} places forward in the alphabet, the second {by} '
        "places back, the third forward again, and so on; after z comes a. What is the result?",
        right=right,
        slips=(
            ("always_forward", moved([by, by])),
            ("backward_first", moved([-by, by])),
            ("one_too_far", moved([by + 1, -by - 1])),
            ("one_too_short", moved([by - 1, 1 - by])),
            ("last_letter_kept", right[:-1] + made[-1]),
        ),
    )


def _long_word(draws: Draws, length: int) -> str:
    """An invented word of a given number of letters."""
    made = ""
    while len(made) < length:
        made += word(draws, 3)
    return made[:length]


PUZZLES: Final[Mapping[str, Callable[[Draws], Puzzle]]] = MappingProxyType(
    {"letters": letters, "counting": counting, "order": order, "calendar": calendar, "cipher": cipher}
)
