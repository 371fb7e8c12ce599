"""Names that people read: no invisible or reversed text, one spelling, and a warning where scripts are mixed."""

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, Field

NAME_LENGTH: Final = 200
TEXT_LENGTH: Final = 4000
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LOOKALIKE_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "FULLWIDTH")


def _require_visible(text: str) -> str:
    if text.isascii() and text.isprintable():  # which is visible, and in every normal form
        return text
    if any(unicodedata.category(letter) in _HIDDEN and letter != "\n" for letter in text):
        raise ValueError("has control, invisible or unassigned characters")
    if unicodedata.normalize("NFC", text) != text:
        raise ValueError("is not in the composed form (NFC)")
    return text


def _require_name(text: str) -> str:
    if text != text.strip() or not text or "\n" in text:
        raise ValueError("is empty, begins or ends with a space, or has several lines")
    return _require_visible(text)


Name = Annotated[str, Field(max_length=NAME_LENGTH), AfterValidator(_require_name)]
Text = Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(_require_visible)]


def mixed_scripts(name: str) -> tuple[str, ...]:
    """Scripts with look-alike letters that one word of the name mixes, or none.

    "Nоrthwind" with a Cyrillic о is another name than "Northwind" and reads the same; whoever shows a name says so.
    """
    for word in name.replace("/", " ").replace("-", " ").split():
        scripts = {_script(letter) for letter in word if letter.isalpha()} - {None}
        if len(scripts) > 1:
            return tuple(sorted(script for script in scripts if script is not None))
    return ()


def lookalike(name: str) -> str | None:
    """What about a name looks like another one, to be said after "a word of it"; None if nothing does.

    Words of Greek or Cyrillic are no reason as long as one letter of theirs shows which script it is.
    """
    mixed = mixed_scripts(name)
    if mixed:
        return f"mixes {' and '.join(mixed)} letters that look alike"
    foreign = [letter for letter in name if letter.isalpha() and _script(letter) not in (None, "Latin")]
    unknown = any(letter.isalpha() and _script(letter) is None for letter in name)
    if not foreign or unknown or not all(letter in _LIKE_LATIN or _script(letter) == "Fullwidth" for letter in foreign):
        return None
    scripts = sorted({script for script in map(_script, foreign) if script is not None})
    return f"is in {' and '.join(scripts)} letters that look like Latin ones"


# Letters that are drawn as a Latin letter is, in common type faces (Unicode confusables, those that are letters).
_LIKE_LATIN: Final = frozenset(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝӏѵԌԍҮүӀЬ"  # Cyrillic
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγικνορυχϲϳϹ"  # Greek
    "ՕՍԼՈՏհոսցօզ"  # Armenian
)


def _script(letter: str) -> str | None:
    script = unicodedata.name(letter, "").split(" ")[0]
    return script.capitalize() if script in _LOOKALIKE_SCRIPTS else None
