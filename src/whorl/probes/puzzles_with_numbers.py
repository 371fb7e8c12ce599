"""Puzzles whose wrong answers have a reason: each wrong option is what a named slip gives. Results are numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from whorl.probes.generating import Draws
from whorl.probes.naming import different, word


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzle:
    """A question with its right answer and what the slips give, likeliest slip first; some may coincide."""

    question: str
    right: str
    slips: tuple[tuple[str, str], ...]


def product(draws: Draws) -> Puzzle:
    """Two numbers of three digits."""
    a, b = draws.between(201, 989), draws.between(201, 989)
    right = a * b
    digits = list(str(right))
    digits[2], digits[3] = digits[3], digits[2]
    return _numbers(
        f"What is {a} times {b}?",
        right,
        ("carry_forgotten", right - 10 ** draws.between(2, 3)),
        ("digits_swapped", int("".join(digits))),
        ("once_too_many", right + a),
        ("last_digit_dropped", a * (b - b % 10)),
        ("carry_twice", right + 10 ** draws.between(2, 3)),
    )


def remainder(draws: Draws) -> Puzzle:
    """A remainder of a sum of products."""
    a, b, c, divisor = draws.between(112, 989), draws.between(112, 989), draws.between(12, 98), draws.between(17, 89)
    right = (a * b + c) % divisor
    return _numbers(
        f"What is the remainder when {a} * {b} + {c} is divided by {divisor}?",
        right,
        ("summand_forgotten", a * b % divisor),
        ("complement", divisor - right),
        ("product_as_sum", (a + b + c) % divisor),
        ("off_by_one", right + 1),
        ("off_by_ten", right + 10),
    )


def base(draws: Draws) -> Puzzle:
    """A number in another base, to be given in base ten."""
    radix = draws.between(5, 9)
    digits = [draws.between(1, radix - 1)] + [draws.below(radix) for _ in range(4)]
    written = "".join(map(str, digits))
    return _numbers(
        f"The number {written} is written in base {radix}. What is it in base ten?",
        _value(digits, radix),
        ("neighbouring_base", _value(digits, radix + 1)),
        ("digits_reversed", _value(digits[::-1], radix)),
        ("last_digit_dropped", _value([*digits[:-1], 0], radix)),
        ("one_place_short", _value(digits[:-1], radix)),
        ("off_by_base", _value(digits, radix) + radix),
    )


def units(draws: Draws) -> Puzzle:
    """A conversion through invented units."""
    big, middle, small = different(draws, 3, lambda d: word(d, 2))
    first, second = draws.between(7, 19), draws.between(7, 19)
    x, y, z = draws.between(3, 29), draws.between(2, 18), draws.between(2, 18)
    right = (x * first + y) * second + z
    return _numbers(
        f"In an old system of measures, 1 {big} is {first} {middle} and 1 {middle} is {second} {small}. "
        f"How many {small} are {x} {big}, {y} {middle} and {z} {small}?",
        right,
        ("middle_forgotten", x * first * second + z),
        ("middle_by_first_factor", x * first * second + y * first + z),
        ("rest_forgotten", right - z),
        ("factors_added", x * (first + second) + y * second + z),
        ("off_by_factor", right + second),
    )


def clock(draws: Draws) -> Puzzle:
    """A time of day on a planet with other hours."""
    hours, minutes = draws.between(9, 19), draws.pick([40, 50, 70, 80, 90])
    start_hour, start_minute = draws.below(hours), draws.between(11, minutes - 2)
    hour, minute = draws.between(2, hours - 2), draws.between(minutes - start_minute, minutes - 1)
    total = start_hour * minutes + start_minute + hour * minutes + minute

    def shown(amount: int) -> str:
        return f"{amount // minutes % hours}:{amount % minutes:02d}"

    return Puzzle(
        question=f"On a far planet a day has {hours} hours of {minutes} minutes each, and the clock starts at 0:00. It "
        f"is {start_hour}:{start_minute:02d}. What time is it {hour} hours and {minute} minutes later?",
        right=shown(total),
        slips=(
            ("carry_forgotten", shown(total - minutes)),
            ("earth_minutes", shown(total + minutes - 60)),
            ("day_off_by_one_hour", shown(total + minutes)),
            ("ten_minutes_off", shown(total + 10)),
            ("subtracted", shown(total - 2 * minute)),
        ),
    )


def sets(draws: Draws) -> Puzzle:
    """Three overlapping groups."""
    abc = draws.between(2, 9)
    ab, ac, bc = (abc + draws.between(3, 14) for _ in range(3))
    a, b, c = (abc + draws.between(35, 70) for _ in range(3))
    either = a + b + c - ab - ac - bc + abc
    total = either + draws.between(11, 49)
    right = total - either
    one, two, three = different(draws, 3, lambda d: word(d, 2))
    return _numbers(
        f"In a town of {total} people, {a} speak {one}, {b} speak {two} and {c} speak {three}. {ab} speak {one} and "
        f"{two}, {ac} speak {one} and {three}, {bc} speak {two} and {three}; {abc} of these speak all three. "
        "How many speak none?",
        right,
        ("triple_forgotten", right + abc),
        ("triple_subtracted", right + 2 * abc),
        ("pair_forgotten", right - ab),
        ("off_by_one", right + 1),
        ("pair_twice", right + bc),
    )


def machine(draws: Draws) -> Puzzle:
    """A small program, run by hand."""
    start, rounds = draws.between(11, 60), draws.between(6, 9)
    times, plus, minus = draws.pick([3, 5, 7]), draws.between(2, 9), draws.between(2, 9)
    modulus = draws.between(83, 197)

    def run(count: int, first_as_odd: bool = False) -> int:
        state = start
        for step in range(count):
            odd = state % 2 == 1 or (first_as_odd and step == 0)
            state = (state * times + plus) % modulus if odd else state // 2 + minus
        return state

    return _numbers(
        f"Start with {start}. Do this {rounds} times: if the number is odd, multiply it by {times}, add {plus} and "
        f"take the remainder on division by {modulus}; if it is even, halve it and add {minus}. "
        "What is the number at the end?",
        run(rounds),
        ("one_round_short", run(rounds - 1)),
        ("one_round_more", run(rounds + 1)),
        ("wrong_first_branch", run(rounds, first_as_odd=True)),
        ("off_by_summand", run(rounds) + plus),
        ("off_by_one", run(rounds) + 1),
    )


def _numbers(question: str, right: int, *slips: tuple[str, int]) -> Puzzle:
    return Puzzle(question=question, right=str(right), slips=tuple((name, str(value)) for name, value in slips))


def _value(digits: list[int], radix: int) -> int:
    value = 0
    for digit in digits:
        value = value * radix + digit
    return value


PUZZLES: Final[Mapping[str, Callable[[Draws], Puzzle]]] = MappingProxyType(
    {
        "product": product,
        "remainder": remainder,
        "base": base,
        "units": units,
        "clock": clock,
        "sets": sets,
        "machine": machine,
    }
)
