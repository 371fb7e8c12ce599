r"""The option or the number that an answer settles on, out of free text.

Both readers try the same places from the most to the least explicit: ``\boxed{}``, a JSON field or tag named answer,
a phrase like "the answer is", and only then the text at large. Within a place the last mention counts, as a chain of
thought ends with its result. They take any string and are linear in its length: phrases are looked for in the last
20,000 characters.
"""

import re
from fractions import Fraction
from typing import Final

_TAIL: Final = 20_000
_NAMES: Final = r"(?:final[_ ])?(?:answer|choice|option|result)"

_BOXED: Final = re.compile(r"\\(?:boxed|fbox)\{((?:[^{}]|\{[^{}]{0,200}\}){0,200})\}")
_FIELD: Final = re.compile(
    rf"[\"']{_NAMES}[\"']\s{{0,9}}:\s{{0,9}}(?:\"([^\"\n]{{0,200}})\"|'([^'\n]{{0,200}})'|([^\s,}}\]]{{1,60}}))", re.I
)
_TAG: Final = re.compile(rf"<{_NAMES}>([^<]{{0,200}})</", re.I)
_HASHES: Final = re.compile(r"####[ \t]{0,9}([^\n]{1,100})")

_LETTER: Final = r"[*_(\[{\"'`$]{0,6}(?:\\text(?:bf)?\{\s?\(?)?([A-J])(?![A-Za-z'’])"
_CHOICE_PHRASE: Final = re.compile(
    r"(?:(?i:answer|choice|option|antwort|lösung|réponse|respuesta|risposta|resposta|ответ|答案|选项|正解|정답)"
    r"[*_\"]{0,4}(?:\s?(?i:is|would be|should be|must be|ist|est|es|è|é|是|为))?[*_]{0,4}\s{0,3}[:：]?\s{0,3}"
    r"(?:(?i:option|choice|answer|letter)\s)?|(?i:choose|pick|select|go with)\s(?:(?i:option|choice|answer)\s)?)"
    + _LETTER
)
_CHOICE_IS_RIGHT: Final = re.compile(
    r"(?:^|[\s(*_\"])(?:(?i:option|choice|answer)\s)?[(*_]{0,4}([A-J])[)*_.]{0,4}\s(?i:is\s(?:the\s)?(?:correct|right|best))\b"
)
_ALONE: Final = re.compile(r"[\s*_(\[{\"'`$]{0,8}([A-Ja-j])[\s*_)\]}\"'`$.:：]{0,8}\Z")
_AT_START: Final = re.compile(
    r"[*_(\[\"'`]{0,6}([A-J])(?:[)\]*_\"'`.:：,]|\s{0,3}(?:\n|\Z)|\s[-–—=])"
    r"(?![*_\s]{0,4}(?:and|or|und|oder|et|ou|y|o|,|/|&)[*_\s]{0,4}[(\[]?[A-J]\b)"
)
_MARKED: Final = re.compile(r"[(\[*]([A-J])[)\]*]|^[ \t]{0,8}[*_]{0,3}([A-J])[*_]{0,3}[.):：]?[ \t]{0,8}$", re.M)

_NUMBER: Final = (
    r"[-−+]?(?:\d{1,2}:\d{2}(?![\d:])|\d{1,3}(?:[,'’]\d{3})+(?!\d)|\d{1,40})(?:[.,]\d{1,40})?(?:\s?/\s?[1-9]\d{0,19})?"
)
_ANY_NUMBER: Final = re.compile(rf"(?<![\w.])(?:{_NUMBER})|(?<=[$€£¥])(?:{_NUMBER})")
_NUMBER_PHRASE: Final = re.compile(
    r"(?:answer|result|total|antwort|réponse|respuesta|ответ|答案)[*_]{0,4}(?:\s(?:is|was|equals|would be))?"
    rf"[*_]{{0,4}}\s{{0,3}}[:：=]?\s{{0,3}}(?:approximately |about )?[*_$€£¥\\(\[\"]{{0,6}}({_NUMBER})",
    re.I,
)
_FRACTION: Final = re.compile(r"([-−]?)\\[dt]?frac\{?(\d{1,20})\}?\{?(\d{1,20})\}?")


def final_choice(text: str, letters: str = "ABCD") -> str | None:
    """The option letter an answer settles on, upper case; None where it names none or several without settling.

    "The answer is (B)", "B.", "**B**", r"\\boxed{B}", ``{"answer": "B"}``, "Option B is correct". A letter that is no
    option is no answer.
    """
    tail = text[-_TAIL:]
    for place in (_BOXED, _FIELD, _TAG):
        for found in reversed(list(place.finditer(tail))):
            letter = _single_letter(next(part for part in found.groups() if part is not None))
            if letter is not None:
                return letter if letter in letters else None
    for phrase in (_CHOICE_PHRASE, _CHOICE_IS_RIGHT):
        named = [match[1] for match in phrase.finditer(tail) if match[1] in letters]
        if named:
            return named[-1]
    alone = _ALONE.match(text) if len(text) <= 20 else None
    start = alone or _AT_START.match(text)
    if start is not None:
        return start[1].upper() if start[1].upper() in letters else None
    marked = {match[1] or match[2] for match in _MARKED.finditer(tail)} & set(letters)
    return marked.pop() if len(marked) == 1 else None


def final_number(text: str) -> str | None:
    r"""The number an answer ends with, in one spelling: no thousands separators, no trailing zeros, no units.

    ``\boxed{1{,}024}`` and "1,024.00 m" give "1024"; "3,5" gives "3.5"; ``\frac{6}{8}`` and "6/8" give "3/4"; a time
    stays one ("2:00"). None where there is no number, or the explicit answer is none ("no solution"). A percent sign
    and a currency are dropped: "12 %" gives "12".
    """
    tail = text[-_TAIL:]
    for place in (_HASHES, _BOXED, _FIELD, _TAG):
        contents = [next(part for part in found.groups() if part is not None) for found in place.finditer(tail)]
        if contents and (place is not _HASHES or any(map(str.isdigit, contents[-1]))):
            return _single_number(contents[-1])
    for pattern in (_NUMBER_PHRASE, _ANY_NUMBER):
        mentions = list(pattern.finditer(tail))
        if mentions:
            return _canonical(mentions[-1][1] if pattern.groups else mentions[-1][0])
    return None


def _single_letter(content: str) -> str | None:
    """The option letter a short content consists of or begins with."""
    content = content.replace("\\text", "").replace("\\mathrm", "").strip(" {}")
    alone = _ALONE.match(content) or _AT_START.match(content) or re.match(_LETTER + r"\s*[.):]", content)
    return None if alone is None else alone[1].upper()


def _single_number(content: str) -> str | None:
    """The number of a short content; the last one where it holds several."""
    fraction = _FRACTION.search(content)
    if fraction is not None:
        return _canonical(f"{fraction[1]}{fraction[2]}/{fraction[3]}")
    plain = content.replace("{,}", ",").replace("\\!", "").replace("\\,", "")
    mentions = _ANY_NUMBER.findall(plain)
    return _canonical(mentions[-1]) if mentions else None


def _canonical(number: str) -> str | None:
    """One spelling for one value; None where the denominator is 0."""
    plain = number.replace("−", "-").replace(" ", "").lstrip("+")
    plain = re.sub(r"[,'’](?=\d{3}(?!\d))", "", plain).replace(",", ".")
    if ":" in plain:
        return plain
    if "/" in plain:
        top, _, bottom = plain.partition("/")
        if int(bottom) == 0:
            return None
        return str(Fraction(top) / int(bottom))
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
    digits = digits.lstrip("0") or "0"
    digits = f"0{digits}" if digits.startswith(".") else digits
    return "0" if digits == "0" else sign + digits
