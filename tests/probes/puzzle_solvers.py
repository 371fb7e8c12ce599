"""The puzzles solved again from their wording alone, in another way than they were made."""

import re
from collections.abc import Callable


def _whole(question: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", question)]


def product(question: str) -> str:
    a, b = _whole(question)
    return str(sum(a for _ in range(b)))


def remainder(question: str) -> str:
    a, b, c, divisor = _whole(question)
    total = a * b + c
    while total >= divisor:
        total -= divisor
    return str(total)


def base(question: str) -> str:
    found = re.search(r"number (\d+) is written in base (\d)", question)
    assert found is not None
    return str(int(found[1], int(found[2])))


def units(question: str) -> str:
    _, first, _, second, x, y, z = _whole(question)
    return str(x * first * second + y * second + z)


def clock(question: str) -> str:
    hours, minutes, _, _, hour, minute, more_hours, more_minutes = _whole(question)
    for _ in range(more_hours * minutes + more_minutes):
        minute += 1
        if minute == minutes:
            hour, minute = (hour + 1) % hours, 0
    return f"{hour}:{minute:02d}"


def sets(question: str) -> str:
    total, a, b, c, ab, ac, bc, abc = _whole(question)
    alone = (a - ab - ac + abc) + (b - ab - bc + abc) + (c - ac - bc + abc)
    return str(total - alone - (ab - abc) - (ac - abc) - (bc - abc) - abc)


def machine(question: str) -> str:
    state, rounds, times, plus, modulus, minus = _whole(question)
    for _ in range(rounds):
        state = divmod(state * times + plus, modulus)[1] if state & 1 else (state >> 1) + minus
    return str(state)


def letters(question: str) -> str:
    made = re.findall('"([a-z]+)"', question)[0]
    step = 2 if "every second" in question else 3
    backwards = "".join(reversed(made))
    return "".join(sign for place, sign in enumerate(backwards, 1) if place % step == 0)


def counting(question: str) -> str:
    letter, phrase = re.findall('"([a-z ]+)"', question)
    return str(len(phrase.split(letter)) - 1)


def order(question: str) -> str:
    taller = {shorter: above for above, shorter in re.findall(r"(\w+) is taller than (\w+)\.", question)}
    asked = re.search(r"the (\w+) tallest", question)
    assert asked is not None
    place = ["first", "second", "third", "fourth", "fifth"].index(asked[1])

    def above(person: str) -> int:
        return 1 + above(taller[person]) if person in taller else 0

    people = set(taller) | set(taller.values())
    return next(person for person in people if above(person) == place)


def calendar(question: str) -> str:
    found = re.search(r"days: ([^.]+)\. Today is (\w+)\.", question)
    assert found is not None
    days = found[1].split(", ")
    distance = _whole(question)[1]
    place = days.index(found[2])
    for _ in range(distance):
        place += 1 if "will it be" in question else -1
        place %= len(days)
    return days[place]


def cipher(question: str) -> str:
    made = re.findall('"([a-z]+)"', question)[0]
    by = _whole(question)[0]
    alphabet = "abcdefghijklmnopqrstuvwxyz" * 3
    moved = [alphabet[26 + ord(sign) - 97 + (by if place % 2 == 0 else -by)] for place, sign in enumerate(made)]
    return "".join(moved)


SOLVERS: dict[str, Callable[[str], str]] = {
    solver.__name__: solver
    for solver in (
        product, remainder, base, units, clock, sets, machine, letters, counting, order, calendar, cipher
    )
}  # fmt: skip
