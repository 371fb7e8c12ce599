"""Context window: what a server keeps of a long text, and what the model finds in it.

A property of gateway and serving first, of the model second: it never supports a statement about lineage. It tells
endpoints apart, and two endpoints that claim to be one.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from whorl.probes.battery import Item
from whorl.probes.generating import Draws, Size, words
from whorl.probes.naming import code, different
from whorl.probes.wrappers import one_turn

LENGTHS: Final[Mapping[Size, tuple[int, ...]]] = MappingProxyType(
    {"quick": (200, 800), "standard": (200, 800, 3_000), "alone": (200, 800, 3_000, 12_000)}
)
"""Lengths of the long texts in words; a word of them is about 1.3 tokens."""

OVER_LENGTHS: Final = (30_000, 120_000)
"""Words of the texts that are meant to be too long; only in the family's own battery."""

_DEPTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_SIMILAR: Final = (0, 3, 9)
_REPEATS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 1, "standard": 2, "alone": 4})


def items(seed: int, size: Size, *, lengths: Sequence[int] | None = None) -> tuple[Item, ...]:
    """Truncation, position profile, recency, similar needles at each length; over-length texts when asked alone.

    Parameters
    ----------
    lengths : words of the long texts; default `LENGTHS` of the size
    """
    made: list[Item] = []
    for length in LENGTHS[size] if lengths is None else lengths:
        for number in range(_REPEATS[size]):
            made += [_truncation(seed, length, number, first) for first in (True, False)]
            made += [_needle(seed, length, number, depth, 0) for depth in _DEPTHS]
            if size != "quick":
                made += [_needle(seed, length, number, 0.5, similar) for similar in _SIMILAR if similar]
                made.append(_contradiction(seed, length, number))
    if size == "alone":
        made += [_truncation(seed, length, 0, first) for length in OVER_LENGTHS for first in (True, False)]
    return tuple(made)


def _truncation(seed: int, length: int, number: int, question_first: bool) -> Item:
    """Codes at head, middle and tail: the missing ones say which side was cut, and whether silently."""
    where = "first" if question_first else "last"
    draws = Draws(seed, "context_window", "truncation", length, number, where)
    codes = different(draws, 3, code)
    said = filler(draws, length)
    for share, secret in ((0.98, codes[2]), (0.5, codes[1]), (0.02, codes[0])):
        said.insert(round(share * len(said)), f"Please keep in mind the code {secret}.")
    question = (
        "The text contains one or more codes like ABCDE-234. List every code that you can find, and nothing else."
    )
    text = " ".join(said)
    return _item(
        f"truncation/{length}/{number}/{where}",
        f"truncation/{length}/question_{where}",
        f"{question}\n\n{text}" if question_first else f"{text}\n\n{question}",
        "canaries/1",
        {"codes": tuple(codes)},
        max_tokens=60,
    )


def _needle(seed: int, length: int, number: int, depth: float, similar: int) -> Item:
    """One code behind a coloured door at a depth of the text, among ``similar`` codes behind other doors."""
    draws = Draws(seed, "context_window", "needle", length, number, round(100 * depth), similar)
    codes = different(draws, similar + 1, code)
    doors = draws.sample(words("filler")["doors"], similar + 1)
    said = filler(draws, length)
    for other, door in zip(codes[1:], doors[1:], strict=True):
        said.insert(draws.below(len(said)), f"The code of the {door} door is {other}.")
    said.insert(round(depth * len(said)), f"The code of the {doors[0]} door is {codes[0]}.")
    kind = "similar" if similar else "position"
    name = f"{kind}/{length}/{similar if similar else round(100 * depth)}"
    return _item(
        f"{name}/{number}",
        name,
        f"{' '.join(said)}\n\nWhat is the code of the {doors[0]} door? Reply with the code only.",
        "needle/1",
        {"code": codes[0], "others": tuple(codes[1:]) or ("",)},
        max_tokens=24,
    )


def _contradiction(seed: int, length: int, number: int) -> Item:
    """The same door has one code near the beginning and another near the end."""
    draws = Draws(seed, "context_window", "contradiction", length, number)
    first, last = different(draws, 2, code)
    door = draws.pick(words("filler")["doors"])
    said = filler(draws, length)
    said.insert(round(0.9 * len(said)), f"The code of the {door} door is {last}.")
    said.insert(round(0.1 * len(said)), f"The code of the {door} door is {first}.")
    return _item(
        f"contradiction/{length}/{number}",
        f"contradiction/{length}",
        f"{' '.join(said)}\n\nWhat is the code of the {door} door? Reply with one code only.",
        "which_fact/1",
        {"first": first, "last": last},
        max_tokens=24,
    )


def filler(draws: Draws, length: int) -> list[str]:
    """Sentences of an eventless story, together about ``length`` words."""
    lists = words("filler")
    said: list[str] = []
    count = 0
    while count < length:
        parts = [draws.pick(lists[part]) for part in ("subjects", "verbs", "objects", "times", "ends")]
        sentence = f"{parts[0]} {parts[1]} {parts[2]} {parts[3]}, {parts[4]}."
        said.append(sentence)
        count += len(sentence.split())
    return said


def _item(
    name: str, stratum: str, text: str, scorer: str, key: dict[str, str | float | tuple[str, ...]], *, max_tokens: int
) -> Item:
    return Item(
        id=f"context_window/{name}",
        family="context_window",
        stratum=stratum,
        wrapper="bare",
        messages=one_turn(text),
        max_tokens=max_tokens,
        temperature=0,
        draws=1,
        scorer=scorer,
        key=key,
    )
