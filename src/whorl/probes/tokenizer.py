"""Tokenizer: how many tokens texts of forty kinds cost, and where a token limit cuts a text that is repeated.

The count of five copies minus the count of one cancels what the chat template adds, so the differences belong to the
tokenizer; the remainder measures the template and any hidden prompt. The cuts need no reported count.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from whorl.probes import naming
from whorl.probes.battery import Item
from whorl.probes.generating import Draws, Size, words
from whorl.probes.wrappers import one_turn

_TEXTS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 8, "standard": 40, "alone": 120})
_CUT_TEXTS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 1, "standard": 6, "alone": 12})
COPIES: Final = 5
LONGEST_CUT: Final = 10


def items(seed: int, size: Size) -> tuple[Item, ...]:
    """Each text once and in five copies, then each cut text with every limit."""
    made: list[Item] = []
    for number in range(_TEXTS[size]):
        kind, text = _text(seed, number)
        made += [_count_item(f"tokenizer/count/{number:03d}", kind, text, copies) for copies in (1, COPIES)]
    for number in range(_CUT_TEXTS[size]):
        text = _cut_text(Draws(seed, "tokenizer", "cut", number))
        made += [_cut_item(number, text, limit) for limit in range(1, LONGEST_CUT + 1)]
    return tuple(made)


def _text(seed: int, number: int) -> tuple[str, str]:
    kinds = list(_KINDS)
    kind = kinds[number * 7 % len(kinds)]  # spread, so that a short battery sees different kinds
    return kind, _KINDS[kind](Draws(seed, "tokenizer", number))


def _count_item(name: str, kind: str, text: str, copies: int) -> Item:
    return Item(
        id=f"{name}/x{copies}",
        family="tokenizer",
        stratum=f"count/{kind}",
        wrapper="bare",
        messages=one_turn("\n".join([text] * copies)),
        max_tokens=1,
        temperature=0,
        draws=1,
        scorer="prompt_tokens/1",
        key={"text": text, "copies": float(copies)},
    )


def _cut_item(number: int, text: str, limit: int) -> Item:
    return Item(
        id=f"tokenizer/cut/{number:02d}/{limit:02d}",
        family="tokenizer",
        stratum="cut",
        wrapper="bare",
        messages=one_turn(f"Repeat the following text exactly, with nothing before it and nothing after it:\n\n{text}"),
        max_tokens=limit,
        temperature=0,
        draws=1,
        scorer="verbatim_prefix/1",
        key={"text": text},
    )


def _cut_text(draws: Draws) -> str:
    """A line of words and numbers that no tokenizer knows whole."""
    name = f"{naming.word(draws, 3)}{naming.word(draws, 2).capitalize()}"
    joined = f"{naming.word(draws, 3).upper()}_{naming.word(draws, 2)}"
    return f"{name} {draws.between(10**6, 10**7 - 1)} {joined} 山{naming.word(draws, 2)}"


def _digits(length: int) -> Callable[[Draws], str]:
    return lambda draws: "".join(str(draws.below(10)) for _ in range(length))


def _repeated(sign: str, least: int, most: int) -> Callable[[Draws], str]:
    return lambda draws: "x" + sign * draws.between(least, most) + "y"


def _letters(first: int, last: int, length: int) -> Callable[[Draws], str]:
    """Characters of a block of Unicode."""
    return lambda draws: "".join(chr(draws.between(first, last)) for _ in range(length))


def _invented(count: int, change: Callable[[str], str]) -> Callable[[Draws], str]:
    return lambda draws: change(" ".join(naming.word(draws, 3) for _ in range(count)))


def _listed(name: str, count: int, joined: str) -> Callable[[Draws], str]:
    return lambda draws: joined.join(draws.sample(words("short_inputs")[name], count))


def _code(indent: str) -> Callable[[Draws], str]:
    def lines(draws: Draws) -> str:
        a, b = naming.word(draws, 1), naming.word(draws, 2)
        return f"def {a}({b}):\n{indent}if {b}:\n{indent * 2}return {b}[{draws.below(90)}:]\n{indent}raise {b.upper()}"

    return lines


_KINDS: Final[Mapping[str, Callable[[Draws], str]]] = MappingProxyType(
    {
        "digits_2": _digits(2),
        "digits_3": _digits(3),
        "digits_4": _digits(4),
        "digits_7": _digits(7),
        "digits_13": _digits(13),
        "digits_40": _digits(40),
        "digits_grouped": lambda draws: (
            f"{draws.between(1, 999)},{draws.between(100, 999)},{draws.between(100, 999)}.50"
        ),
        "digits_wide": _letters(0xFF10, 0xFF19, 6),
        "spaces_few": _repeated(" ", 2, 4),
        "spaces_many": _repeated(" ", 9, 40),
        "tabs": _repeated("\t", 2, 9),
        "line_ends": _repeated("\n", 2, 9),
        "line_ends_windows": _repeated("\r\n", 2, 5),
        "line_and_indent": _repeated("\n    ", 2, 5),
        "no_break_spaces": _repeated("\u00a0", 2, 6),
        "dashes": _repeated("-", 5, 70),
        "equals": _repeated("=", 5, 70),
        "dots": _repeated(".", 4, 20),
        "han": _letters(0x4E00, 0x9FA5, 8),
        "han_common": lambda draws: "".join(draws.sample("的一是不了人我在有他这中大来上国个到说们", 10)),
        "kana": _letters(0x3042, 0x3093, 8),
        "hangul": _letters(0xAC00, 0xD7A3, 6),
        "cyrillic": _letters(0x0430, 0x044F, 10),
        "greek": _letters(0x03B1, 0x03C9, 10),
        "arabic": _letters(0x0627, 0x064A, 8),
        "devanagari": _letters(0x0905, 0x0939, 8),
        "thai": _letters(0x0E01, 0x0E2E, 8),
        "accents": _letters(0x00E0, 0x00FC, 10),
        "emoji": _letters(0x1F600, 0x1F64F, 5),
        "emoji_joined": lambda draws: "".join(draws.sample(["👩‍🚀", "👨‍🌾", "🏳️‍🌈", "👍🏽", "🧑‍🏫", "🇳🇴"], 3)),
        "combining": lambda draws: "".join(draws.pick("aeiou") + chr(draws.between(0x300, 0x30C)) for _ in range(6)),
        "mathematics": _letters(0x2200, 0x222F, 6),
        "code_spaces": _code("    "),
        "code_tabs": _code("\t"),
        "code_words": _listed("code", 6, " "),
        "camel_case": _invented(3, lambda text: "".join(part.capitalize() for part in text.split())),
        "invented": _invented(4, str),
        "capitals": _invented(3, str.upper),
        "english": _listed("words", 8, " "),
        "languages": _listed("others", 5, " "),
    }
)
"""Kinds of text on which tokenizers differ: runs of digits and white space, scripts, code, rare words."""
