"""Wrong-answer identity: hard puzzles whose wrong options have reasons, and questions about what does not exist.

Two models that are both right share a truth. Two models that are wrong in the same way, beyond what a question invites
every model to, share something else.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from whorl.probes import naming, puzzles_with_numbers, puzzles_with_words
from whorl.probes.battery import Item
from whorl.probes.choice_scorers import LETTERS
from whorl.probes.generating import Draws, Size, words
from whorl.probes.puzzles_with_numbers import Puzzle
from whorl.probes.wrappers import in_turn, one_turn

PUZZLES: Final = {**puzzles_with_numbers.PUZZLES, **puzzles_with_words.PUZZLES}
_PUZZLES_OF_A_KIND: Final[Mapping[Size, int]] = MappingProxyType({"quick": 3, "standard": 27, "alone": 120})
_ENTITIES_OF_A_KIND: Final[Mapping[Size, int]] = MappingProxyType({"quick": 2, "standard": 16, "alone": 56})
_TRIES: Final = 50


def items(seed: int, size: Size) -> tuple[Item, ...]:
    """Multiple-choice puzzles of each kind, then questions about invented entities of each kind."""
    made: list[Item] = []
    for kind in PUZZLES:
        made += in_turn([_puzzle_item(seed, kind, number) for number in range(_PUZZLES_OF_A_KIND[size])])
    for kind in words("entities"):
        made += in_turn([_entity_item(seed, kind, number) for number in range(_ENTITIES_OF_A_KIND[size])])
    return tuple(made)


def _puzzle_item(seed: int, kind: str, number: int) -> Item:
    draws = Draws(seed, "wrong_answers", kind, number)
    puzzle, chosen = puzzle_with_slips(draws, kind)
    shown = draws.shuffled([("right", puzzle.right), *chosen])
    options = tuple(option for _, option in shown)
    slips = tuple(slip for slip, _ in shown)
    listed = "\n".join(f"{sign}. {option}" for sign, option in zip(LETTERS, options, strict=False))
    return Item(
        id=f"wrong_answers/{kind}/{number:04d}",
        family="wrong_answers",
        stratum=f"puzzle/{kind}",
        wrapper="bare",
        messages=one_turn(f"{puzzle.question}\n\n{listed}\n\nReply with the letter of the answer only."),
        max_tokens=16,
        temperature=0,
        draws=1,
        scorer="letter/1",
        key={"options": options, "slips": slips, "right": LETTERS[slips.index("right")]},
    )


def puzzle_with_slips(draws: Draws, kind: str) -> tuple[Puzzle, list[tuple[str, str]]]:
    """A puzzle and three of its slips whose results differ from the right one and from each other."""
    for _ in range(_TRIES):
        puzzle = PUZZLES[kind](draws)
        results = {puzzle.right}
        chosen = []
        for slip, result in puzzle.slips:
            if result not in results and not result.startswith("-"):
                results.add(result)
                chosen.append((slip, result))
        if len(chosen) >= 3:
            return puzzle, chosen[:3]
    raise AssertionError(f"no puzzle of kind {kind} with three different slips in {_TRIES} tries")


def _entity_item(seed: int, kind: str, number: int) -> Item:
    draws = Draws(seed, "wrong_answers", "entity", kind, number)
    entity = words("entities")[kind]
    question = draws.pick(entity["ask"]).format(what=draws.pick(entity["what"]), name=_name(draws, entity["role"]))
    form = "the year only, as a number" if entity["kind"] == "year" else "one or two words only"
    return Item(
        id=f"wrong_answers/{kind}/{number:04d}",
        family="wrong_answers",
        stratum=f"entity/{kind}",
        wrapper="bare",
        messages=one_turn(f"{question} Reply with {form}. If you are not sure, give your best guess."),
        max_tokens=16,
        temperature=0,
        draws=1,
        scorer="short_answer/1",
        key={"kind": entity["kind"]},
    )


def _name(draws: Draws, role: str) -> str:
    match role:
        case "person":
            return naming.person(draws)
        case "place":
            return naming.place(draws)
        case "title":
            return (
                f"The {naming.surname(draws)} {draws.pick(['Letters', 'Orchard', 'Lighthouse', 'Winter', 'Staircase'])}"
            )
        case "mineral":
            return naming.word(draws, 2) + "ite"
        case "river":
            return naming.surname(draws)
        case _:
            return naming.word(draws, draws.between(2, 3))
