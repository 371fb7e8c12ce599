"""Names of people and models in a case: fairly worded, of letters that are drawn, and no two that read alike."""

import unicodedata
from collections.abc import Iterable

from whorl.core.errors import VerificationError
from whorl.dossiers.wording import require_fair

_NOT_DRAWN = frozenset(
    map(
        chr,
        (
            0x034F,  # combining grapheme joiner
            *range(0x115F, 0x1161),  # Hangul fillers
            *range(0x17B4, 0x17B6),  # Khmer inherent vowels
            *range(0x180B, 0x1810),  # Mongolian variation selectors
            0x2800,  # Braille pattern without a dot
            0x3164,
            *range(0xFE00, 0xFE10),  # variation selectors
            0xFFA0,
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""What is not drawn, beside what its category says so of (Unicode Default_Ignorable_Code_Point, and the empty Braille
cell)."""
_DRAWN_ALIKE = str.maketrans(
    "i1|0"
    "авсԁекһніјӏмортԛѕуүѵԝхь"  # Cyrillic
    "αβεζηικμνορτυχϳ",  # Greek
    "llloabcdekhhljlmoptqsyyvwxbabezhlkmnoptyxj",
)
"""Letters that are drawn alike in one of their cases, once case is gone: l, I and 1 are one letter, so i is too."""
_PAIRS_DRAWN_ALIKE = (("rn", "m"), ("vv", "w"))
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def require_plain(name: str, *, where: str) -> None:
    """Check the name of a person or a model: every letter of it is drawn, and it is worded as evidence can bear.

    Raises
    ------
    VerificationError
        If it has control, reversing or invisible characters, mixes scripts in a word, or names an offence.
    """
    require_drawn(name, where=where)
    require_fair(name, where=where)


def require_drawn(name: str, *, where: str) -> None:
    """Check that every letter of a name or title is drawn.

    Raises
    ------
    VerificationError
        If it has control, reversing or invisible characters.
    """
    if hidden := [letter for letter in name if _is_hidden(letter)]:
        raise VerificationError(
            f"{where}: expected a name of letters that are drawn, found U+{ord(hidden[0]):04X} in {name[:60]!a}; write "
            "it without"
        )


def reads_like(name: str) -> str:
    """One spelling for all names that are drawn alike: NFKC, without case, without what is not drawn.

    Letters of Latin, Greek and Cyrillic that look alike are one, as are 0 and O, rn and m, vv and w. That other letters
    look alike, in a type face or by their marks, is not looked into.
    """
    spelled = unicodedata.normalize("NFKC", name).casefold()
    drawn = "".join(letter for letter in spelled if not _is_hidden(letter)).translate(_DRAWN_ALIKE)
    for pair, one in _PAIRS_DRAWN_ALIKE:
        drawn = drawn.replace(pair, one)
    return " ".join(unicodedata.normalize("NFKC", drawn).split())


def twins(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that read alike; None if no two do."""
    seen: dict[str, str] = {}
    for name in names:
        spelling = reads_like(name)
        if spelling in seen:
            return seen[spelling], name
        seen[spelling] = name
    return None


def _is_hidden(letter: str) -> bool:
    return letter in _NOT_DRAWN or unicodedata.category(letter) in _CATEGORIES
