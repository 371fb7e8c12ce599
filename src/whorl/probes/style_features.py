"""How a text is written, whatever it says: lengths, layout, punctuation, openers, function words.

No vendor phrases and nothing in which a model names itself: these are what a system prompt or a line of training data
changes most easily.
"""

import re
from collections import Counter
from typing import Final

from whorl.endpoints.exchange import Finish
from whorl.probes.battery import Item
from whorl.probes.generating import words
from whorl.probes.normalising import compatible, without_markers, without_reasoning
from whorl.probes.scored import Scored, unread

_READ: Final = 20_000
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SENTENCE: Final = re.compile(r"[.!?。！？]+(?:\s|\Z)")
_LAYOUT: Final = {
    "bullets": re.compile(r"^[ \t]{0,8}[-*•][ \t]", re.MULTILINE),
    "numbers": re.compile(r"^[ \t]{0,8}\d{1,2}[.)][ \t]", re.MULTILINE),
    "headings": re.compile(r"^#{1,6}[ \t]", re.MULTILINE),
    "bold": re.compile(r"\*\*[^*\n]{1,200}\*\*"),
    "italics": re.compile(r"(?<!\*)\*[^*\s][^*\n]{0,200}\*(?!\*)"),
    "tables": re.compile(r"^\|", re.MULTILINE),
    "fences": re.compile(r"^```", re.MULTILINE),
    "rules": re.compile(r"^(?:---|\*\*\*)\s{0,3}$", re.MULTILINE),
    "blank_lines": re.compile(r"\n[ \t]{0,8}\n"),
    "emoji": re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]"),
}
_SIGNS: Final = {
    "commas": ",",
    "semicolons": ";",
    "colons": ":",
    "dashes": "—",
    "hyphens": "-",
    "exclamations": "!",
    "questions": "?",
    "brackets": "(",
    "quotes": '"',
    "curly_quotes": "“",
    "ellipses": "…",
}


def style_features(text: str) -> dict[str, float]:
    """Features of a text by name, always the same names in the same order; all 0 for a text without words.

    Counts are per 100 words; ``words`` and ``sentence_length`` are words, ``word_length`` characters,
    ``variety`` the share of different words among the first 100, ``opens:*`` and ``closes:*`` 0 or 1.
    """
    plain = without_markers(without_reasoning(compatible(text[:_READ]))).strip()
    said = [word.lower().replace("’", "'") for word in _WORD.findall(plain)]
    per_hundred = 100 / len(said) if said else 0.0
    counts = Counter(said)
    first = said[0] if said else ""
    last_line = plain.rpartition("\n")[2]
    lists = words("style_words")
    return {
        "words": float(len(said)),
        "sentence_length": len(said) / max(1, len(_SENTENCE.findall(plain))),
        "word_length": sum(map(len, said)) / len(said) if said else 0.0,
        "variety": len(set(said[:100])) / len(said[:100]) if said else 0.0,
        **{name: len(pattern.findall(plain)) * per_hundred for name, pattern in _LAYOUT.items()},
        **{name: plain.count(sign) * per_hundred for name, sign in _SIGNS.items()},
        **{f"opens:{kind}": float(first in openers) for kind, openers in lists["openers"].items()},
        "closes:question": float(last_line.endswith("?")),
        "closes:stop": float(last_line.endswith(".")),
        **{f"word:{word}": counts[word] * per_hundred for word in lists["function_words"]},
    }


def style(_item: Item, reply_text: str, finish: Finish) -> Scored:
    """Length and layout as one class, e.g. "medium list"; the value is the number of words.

    The class is for tables; comparisons use `style_features`.
    """
    found = style_features(reply_text)
    if not found["words"]:
        return unread(reply_text, finish)
    length = "short" if found["words"] < 60 else "medium" if found["words"] < 150 else "long"
    listed, headed = found["bullets"] + found["numbers"] > 0, found["headings"] + found["bold"] > 0
    form = "headed list" if listed and headed else "list" if listed else "headed" if headed else "plain"
    return Scored(label=f"{length} {form}", value=found["words"])
