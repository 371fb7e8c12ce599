"""Habits of style as one long sparse vector per answer: words, their order, spelling, layout, first and last words.

Every n-gram is hashed into a bin by a hash that is written out here, so that a vector is the same on every machine.
Time is linear in the length of the text, whatever the text is. Method page: ``docs/methods/identification.md``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Doubles, Floats, Ints

LONGEST_READ: Final = 3000
"""Characters of an answer that are looked at."""
_BINS: Final = {"words": 4096, "pairs": 8192, "characters": 4096, "edges": 1024, "lines": 1024}
_SIGNS: Final = ".,;:!?-—–()[]{}\"'“”‘’`*#_/\\|<>=+$%&@~^…•→"
_PARAGRAPH: Final = re.compile(r"\n\n")
_LAYOUT: Final = (
    _PARAGRAPH,
    *(
        re.compile(pattern, re.MULTILINE)
        for pattern in (
            r"^- ",
            r"^\* ",
            r"^\d{1,3}[.)] ",
            r"^#",
            r"\*\*",
            r"^ {3}",
            r"\n\n\n",
            r":$",
            r"  ",
            r"^•",
            r"\$",
            r"\\\[",
            r"\\\(",
        )
    ),
)
_CLOSING: Final = ".!?*):"
_OPENING: Final = '#*-"'
_EDGE_WORDS: Final = 4
_LENGTHS: Final = 11
_AT_ONCE: Final = 64

Hashes: TypeAlias = NDArray[np.uint64]
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_PLACE: Final = np.uint64(6364136223846793005)
_LONGEST_WORD: Final = 64
_SPACE, _WORD, _SIGN, _NEWLINE, _IDEOGRAPH = range(5)


def style_vectors(texts: Sequence[str]) -> Any:
    """One row per answer, of equal width everywhere.

    Counts of each kind of n-gram enter as square roots, scaled to length 1 within the kind: a long answer weighs no
    more than a short one. Rates of signs, lengths and layout follow as they are.

    Parameters
    ----------
    texts : normalised answers (`whorl.probes.normalising.normalise`)

    Returns
    -------
    scipy CSR array of float32, shape (len(texts), `dimensions` ())
    """
    from scipy.sparse import csr_array, vstack

    if not texts:
        return csr_array((0, dimensions()), dtype=np.float32)
    parts = [
        csr_array(_dense([text[:LONGEST_READ] for text in texts[start : start + _AT_ONCE]]))
        for start in range(0, len(texts), _AT_ONCE)
    ]
    return vstack(parts, format="csr")


def dimensions() -> int:
    """Width of a style vector."""
    return sum(_BINS.values()) + len(_SIGNS) + 4 + _LENGTHS + len(_LAYOUT) + 2 + len(_CLOSING) + len(_OPENING)


def _dense(texts: Sequence[str]) -> Floats:
    tokens = _tokens([text.lower() for text in texts])
    count = len(texts)
    hashes, owners = tokens.hashes, tokens.owners
    together = owners[1:] == owners[:-1]
    codes, letters_of = _codes(texts, separated=False)
    blocks = {
        "words": (owners, hashes),
        "pairs": (owners[1:][together], _mixed(hashes[:-1] * _STEP + hashes[1:])[together]),
        "characters": _runs_of_three(letters_of, codes),
        "edges": _edges(tokens, count),
        "lines": _line_starts(tokens),
    }
    counted = [_unit(_histogram(*blocks[name], count, bins)) for name, bins in _BINS.items()]
    return np.hstack([*counted, _rates(texts, codes, letters_of, tokens)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tokens:
    """Words, signs and line ends of several texts in one row: hash, whose, and of which kind."""

    hashes: Hashes
    owners: Ints
    kinds: NDArray[np.uint8]


def _tokens(lowered: Sequence[str]) -> _Tokens:
    codes, owners = _codes(lowered, separated=True)
    kinds = _kind_of()[codes]
    before = np.concatenate([[_SPACE], kinds[:-1]])
    begins = (kinds != _SPACE) & ((kinds != before) | (kinds == _SIGN) | (kinds == _IDEOGRAPH))
    kept = kinds != _SPACE
    codes, owners, kinds = codes[kept], owners[kept], kinds[kept]
    starts = np.flatnonzero(begins[kept])
    if not starts.size:
        return _Tokens(hashes=np.zeros(0, np.uint64), owners=np.zeros(0, np.int64), kinds=np.zeros(0, np.uint8))
    place = np.arange(codes.size) - np.repeat(starts, np.diff(np.append(starts, codes.size)))
    letters = _mixed(codes.astype(np.uint64) + _STEP) * _powers()[np.minimum(place, _LONGEST_WORD - 1)]
    return _Tokens(hashes=_mixed(np.add.reduceat(letters, starts)), owners=owners[starts], kinds=kinds[starts])


def _codes(texts: Sequence[str], *, separated: bool) -> tuple[NDArray[np.uint32], Ints]:
    """Code points of all texts in one row, and whose they are; on request with one 0 after each text."""
    end = "\0" if separated else ""
    rows = [np.frombuffer((text + end).encode("utf-32-le", "replace"), np.uint32) for text in texts]
    return np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(row) for row in rows])


@cache
def _kind_of() -> NDArray[np.uint8]:
    """Kind of each code point: blank, part of a word, a sign, a line end, or a word of its own."""
    kinds = np.full(0x110000, _SIGN, np.uint8)
    for code in range(0x10000):
        letter = chr(code)
        if letter.isalnum() or letter == "_":
            kinds[code] = _WORD
        elif letter == "\n":
            kinds[code] = _NEWLINE
        elif letter.isspace() or code == 0:
            kinds[code] = _SPACE
    kinds[0x2E80:0xA000] = _IDEOGRAPH
    return kinds


@cache
def _powers() -> Hashes:
    return np.cumprod(np.concatenate([[np.uint64(1)], np.full(_LONGEST_WORD - 1, _PLACE)]), dtype=np.uint64)


def _mixed(hashes: Hashes) -> Hashes:
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _FIRST
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _SECOND
    return hashes ^ (hashes >> np.uint64(31))


def _runs_of_three(owners: Ints, codes: NDArray[np.uint32]) -> tuple[Ints, Hashes]:
    runs = max(0, codes.size - 2)
    hashes = np.zeros(runs, np.uint64)
    for place in range(3):
        hashes = hashes * _STEP + codes[place : runs + place] + np.uint64(1)
    within = owners[:runs] == owners[2:] if runs else np.zeros(0, bool)
    return owners[:runs][within], _mixed(hashes[within])


def _edges(tokens: _Tokens, count: int) -> tuple[Ints, Hashes]:
    """The first 1, 2, 3 and 4 tokens of each text, and likewise the last."""
    sizes = np.bincount(tokens.owners, minlength=count)
    ends = np.cumsum(sizes)
    owners: list[Ints] = []
    found: list[Hashes] = []
    for side in (0, 1):
        so_far = np.full(count, _SECOND)
        for length in range(1, _EDGE_WORDS + 1):
            long_enough = np.flatnonzero(sizes >= length)
            at = (ends - sizes + length - 1 if side == 0 else ends - length)[long_enough]
            so_far[long_enough] = _mixed(so_far[long_enough] * _STEP + tokens.hashes[at])
            found.append(_mixed(so_far[long_enough] + np.uint64(10 * side + length)))
            owners.append(long_enough)
    return np.concatenate(owners), np.concatenate(found)


def _line_starts(tokens: _Tokens) -> tuple[Ints, Hashes]:
    """The first token of each line but the first, alone and with the next."""
    kinds, owners, hashes = tokens.kinds, tokens.owners, tokens.hashes
    after = np.flatnonzero((kinds[:-1] == _NEWLINE) & (owners[:-1] == owners[1:])) + 1
    alone = _mixed(hashes[after] + _FIRST)
    following = np.minimum(after + 1, max(0, hashes.size - 1))
    return np.concatenate([owners[after]] * 2), np.concatenate([alone, _mixed(alone * _STEP + hashes[following])])


def _histogram(owners: Ints, hashes: Hashes, count: int, bins: int) -> Floats:
    place = owners * bins + (hashes % np.uint64(bins)).astype(np.int64)
    return np.bincount(place, minlength=count * bins).reshape(count, bins).astype(np.float32)


def _unit(counts: Floats) -> Floats:
    lengths = np.sqrt(counts.sum(axis=1, keepdims=True))  # of the square roots
    return np.asarray(np.sqrt(counts) / np.maximum(lengths, 1.0))


def _rates(texts: Sequence[str], codes: NDArray[np.uint32], owners: Ints, tokens: _Tokens) -> Floats:
    """Signs per character, lengths, layout, and how a text begins and ends."""
    count = len(texts)
    kinds = len(_SIGNS) + 5
    signs = np.bincount(owners * kinds + _sign_slots()[codes], minlength=count * kinds).reshape(count, kinds)
    letters = np.bincount(owners, minlength=count)
    layout = np.array([[len(pattern.findall(text)) for pattern in _LAYOUT] for text in texts])
    ends = [
        [text[-1:].isalnum(), text[:1].isupper()]
        + [text.endswith(sign) for sign in _CLOSING]
        + [text.startswith(sign) for sign in _OPENING]
        for text in texts
    ]
    per_letter = np.sqrt(signs[:, 1:] / np.maximum(letters, 1)[:, None]) * 10  # of the order of the lengths
    lengths = _lengths(letters, signs, layout[:, 0], tokens)
    return np.hstack([per_letter, lengths, np.log1p(layout), np.array(ends)], dtype=np.float32)


def _lengths(letters: Ints, signs: Ints, paragraphs: Ints, tokens: _Tokens) -> Doubles:
    count = letters.size
    of_each = [np.bincount(tokens.owners[tokens.kinds == kind], minlength=count) for kind in (_WORD, _SIGN)]
    words, marks = of_each
    everything = np.bincount(tokens.owners, minlength=count)
    order = np.lexsort((tokens.hashes, tokens.owners))
    owners, hashes = tokens.owners[order], tokens.hashes[order]
    new = np.ones(owners.size, bool)
    new[1:] = (owners[1:] != owners[:-1]) | (hashes[1:] != hashes[:-1])
    different = np.bincount(owners[new], minlength=count)
    sentences = sum(signs[:, 1 + _SIGNS.index(sign)] for sign in ".!?")
    lines, blanks = signs[:, len(_SIGNS) + 3], signs[:, len(_SIGNS) + 4]
    return np.stack(
        [
            np.log1p(letters),
            np.log1p(words),
            np.log1p(lines),
            np.log1p(paragraphs),
            np.log1p(sentences),
            np.log1p(words / (sentences + 1)),
            np.log1p(letters / (lines + 1)),
            different / np.maximum(everything, 1),
            np.log1p(letters) / np.maximum(1, np.log1p(different)),
            (letters - blanks) / np.maximum(words, 1) / 5,
            marks / np.maximum(letters, 1) * 10,
        ],
        axis=1,
    )


@cache
def _sign_slots() -> Ints:
    """For each code point its column: 0 for most, then the signs, digits, capitals, line ends and blanks."""
    slots = np.zeros(0x110000, np.int64)
    for place, sign in enumerate(_SIGNS, start=1):
        slots[ord(sign)] = place
    slots[ord("0") : ord("9") + 1] = len(_SIGNS) + 1
    slots[ord("A") : ord("Z") + 1] = len(_SIGNS) + 2
    slots[ord("\n")] = len(_SIGNS) + 3
    slots[ord(" ")] = len(_SIGNS) + 4
    return slots
