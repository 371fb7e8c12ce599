"""Scorers of what was seen of a long text, and of how the server counts and cuts."""

import re
from typing import Final

from whorl.endpoints.exchange import Finish
from whorl.probes.battery import Item
from whorl.probes.normalising import normalise
from whorl.probes.scored import NONE, Scored, key_text, key_texts, unread

_PLACES: Final = ("head", "middle", "tail")
_MOST_OTHERS: Final = 100


def canaries(item: Item, reply_text: str, finish: Finish) -> Scored:
    """Which of the codes at head, middle and tail of a long text came back, e.g. "head+tail"; value: their share.

    Key: ``codes``, in the order of `_PLACES`.
    """
    said = _letters(reply_text)
    codes = key_texts(item, "codes", least=len(_PLACES), most=len(_PLACES))
    found = [place for place, code in zip(_PLACES, codes, strict=True) if _letters(code) in said]
    if not found:
        return unread(reply_text, finish)
    return Scored(label="+".join(found), value=len(found) / len(codes))


def needle(item: Item, reply_text: str, finish: Finish) -> Scored:
    """Whether the one code asked for came back: found, distractor (another of the text's codes), both, "(none)".

    Key: ``code``, ``others`` (a blank text where there are none). Value: 1 for found, else 0.
    """
    said = _letters(reply_text)
    right = _letters(key_text(item, "code")) in said
    wrong = any(_letters(other) in said for other in key_texts(item, "others", most=_MOST_OTHERS) if other)
    if not right and not wrong:
        return unread(reply_text, finish)
    label = "both" if right and wrong else "found" if right else "distractor"
    return Scored(label=label, value=float(label == "found"))


def which_fact(item: Item, reply_text: str, finish: Finish) -> Scored:
    """Which of two contradicting statements was believed: first, last, both. Key: ``first``, ``last``."""
    said = _letters(reply_text)
    first, last = (_letters(key_text(item, name)) in said for name in ("first", "last"))
    if not first and not last:
        return unread(reply_text, finish)
    return Scored(label="both" if first and last else "first" if first else "last", value=None)


def verbatim_prefix(item: Item, reply_text: str, _finish: Finish) -> Scored:
    """How many characters of the text to be repeated came back before the limit cut it; "(none)" for another text.

    Key: ``text``. Leading white space and quotation marks are not counted, nor is half a character at the cut.
    """
    said = reply_text.lstrip(" \t\r\n\"'`“«").rstrip("�")
    if not said:
        return Scored(label="0", value=0.0)
    if not key_text(item, "text").startswith(said):
        return Scored(label=NONE, value=None)
    return Scored(label=str(len(said)), value=float(len(said)))


def prompt_tokens(_item: Item, _reply_text: str, _finish: Finish) -> Scored:
    """Nothing: the count is in the reply's usage, not in its text. See `scoring.score_reply`."""
    return Scored(label="(not reported)", value=None)


def _letters(text: str) -> str:
    """Letters and digits only, upper case: codes come back with other hyphens and spacing."""
    return re.sub(r"[\W_]+", "", normalise(text)).upper()
