"""Scorers of closed questions: an option letter, what the option stands for, a word of free choice."""

import re
from typing import Final

from whorl.endpoints.exchange import Finish
from whorl.probes.battery import Item
from whorl.probes.final_answers import final_choice, final_number
from whorl.probes.normalising import normalise
from whorl.probes.refusals import action
from whorl.probes.scored import Scored, key_text, key_texts, shortened, unread

LETTERS: Final = "ABCDEFGHIJ"
_MOST_WORDS: Final = 4
_AROUND: Final = " \t.,;:!?\"'`*_()[]{}<>«»“”„‘’。，、！？：；「」『』¿¡-–—…#"
_ARTICLE: Final = re.compile(r"(?:the|an?|der|die|das|ein|eine|le|la|les|un|une|el|los|las|una|o|os|uma?) (?=\S)")
_UNKNOWN: Final = ("unknown", "n/a", "none", "not known", "fictional", "unclear", "i don't know", "no idea")


def letter(item: Item, reply_text: str, finish: Finish) -> Scored:
    """The letter of the chosen option; 1 where it is the right one, 0 where not.

    Key: ``options`` in the order shown, ``right`` the letter. An answer that repeats exactly one option's text counts
    as its letter.
    """
    options = key_texts(item, "options", most=len(LETTERS))
    chosen = chosen_letter(reply_text, options)
    if chosen is None:
        return unread(reply_text, finish)
    return Scored(label=chosen, value=float(chosen == key_text(item, "right")))


def named_option(item: Item, reply_text: str, finish: Finish) -> Scored:
    """What the chosen option stands for, whatever its place; the value is its place, from 0.

    Key: ``stands_for`` in the order shown.
    """
    names = key_texts(item, "stands_for", most=len(LETTERS))
    chosen = chosen_letter(reply_text, names)
    if chosen is None:
        return unread(reply_text, finish)
    place = LETTERS.index(chosen)
    return Scored(label=names[place], value=float(place))


def one_word(item: Item, reply_text: str, finish: Finish) -> Scored:
    """The word or number that was freely chosen, in lower case without what surrounds it.

    Key: ``kind``, "word" or "number". An answer of more than four words is none.
    """
    plain = normalise(reply_text)
    if key_text(item, "kind") == "number":
        number = final_number(plain)
        return unread(reply_text, finish) if number is None else Scored(label=shortened(number), value=float_of(number))
    word = few_words(plain)
    return unread(reply_text, finish) if word is None else Scored(label=word, value=None)


def short_answer(item: Item, reply_text: str, finish: Finish) -> Scored:
    """A year or a few words about something that does not exist; "(declined)" where the model says so.

    Key: ``kind``, "year" or "words".
    """
    plain = normalise(reply_text)
    if key_text(item, "kind") == "year":
        years = re.findall(r"(?<!\d)\d{3,4}(?!\d)", plain[:400])
        if years:
            return Scored(label=years[0], value=float(years[0]))
    said = few_words(plain)
    if said is not None and said not in _UNKNOWN and key_text(item, "kind") == "words":
        return Scored(label=said, value=None)
    if said in _UNKNOWN or action(plain) in ("refuse", "deflect", "partial", "ask_back"):
        return Scored(label="(declined)", value=None)
    return unread(reply_text, finish)


def first_token(_item: Item, reply_text: str, finish: Finish) -> Scored:
    """The text of the first token as it came, white space and control characters escaped."""
    if not reply_text:
        return unread(reply_text, "stop" if finish == "length" else finish)
    shown = reply_text[:24]
    visible = "".join(sign if sign.isprintable() and sign != " " else f"\\u{ord(sign):04x}" for sign in shown)
    return Scored(label=visible, value=None)


def chosen_letter(reply_text: str, options: tuple[str, ...]) -> str | None:
    """The option letter of a reply; by the option's own text where no letter is named."""
    letters = LETTERS[: len(options)]
    plain = normalise(reply_text)
    named = final_choice(plain, letters)
    if named is not None:
        return named
    said = plain[:400].casefold()
    repeated = [place for place, option in enumerate(options) if said.strip(_AROUND) == option.casefold()]
    return letters[repeated[0]] if len(repeated) == 1 else None


def few_words(plain: str) -> str | None:
    """The first line in lower case, without article and punctuation; None where it is a sentence or nothing."""
    line = plain.partition("\n")[0][:200].casefold().strip(_AROUND)
    line = _ARTICLE.sub("", line, count=1) if _ARTICLE.match(line) else line
    if not line or len(line.split()) > _MOST_WORDS:
        return None
    return shortened(line) or None


def float_of(number: str) -> float | None:
    """The value of a canonical number where it is a plain one."""
    try:
        return float(number)
    except ValueError:
        return None
