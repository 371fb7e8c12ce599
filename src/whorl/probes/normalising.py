"""What stands around an answer is taken off before it is scored: reasoning, template markers, wrappers, fences, labels.

Answers come from strangers. Every function here is linear in the length of its text whatever the text is, is
idempotent (``f(f(text)) == f(text)``), and is total: any string is taken. Texts are replaced by nothing but parts of
themselves, so a scorer sees no word that the endpoint did not send.
"""

import re
import sys
import unicodedata
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_REASONING_NAMES: Final = r"(?:seed:)?think|thinking|thoughts?|reasoning|reflection|scratchpad|inner_monologue"
# Both patterns begin with the one character "<": a literal first character is what makes scanning fast. Tags that
# begin otherwise are spelled that way before.
_RESPELLED: Final = (
    ("[THINK]", "<think>"),
    ("[/THINK]", "</think>"),
    ("[think]", "<think>"),
    ("[/think]", "</think>"),
    ("◁think▷", "<think>"),
    ("◁/think▷", "</think>"),
)
_REASONING: Final = re.compile(
    rf"<(?:(?P<opening>(?:{_REASONING_NAMES})>"
    r"|\|(?:begin_of_thought|start_thinking)\|>|\|channel\|>(?:analysis|commentary)<\|message\|>)"
    rf"|/(?:{_REASONING_NAMES})>|\|(?:end_of_thought|end_thinking)\|>|\|channel\|>final<\|message\|>)",
    re.IGNORECASE,
)

_ENDINGS: Final = (
    "im_end",
    "eot_id",
    "eot",
    "eom_id",
    "end",
    "return",
    "endoftext",
    "end_of_text",
    "end_of_turn",
    "end▁of▁sentence",
    "end_of_turn_token",
)
_MARKER: Final = re.compile(
    rf"<(?:(?P<end>\|(?:{'|'.join(_ENDINGS)})\|>|end_of_turn>|/s>)"
    r"|\|(?:im_start|start_header_id|start)\|>(?:assistant|model)?"
    r"|start_of_turn>(?:model)?|s>|<SYS>>|</SYS>>|\|[^<>|\s]{1,40}\|>)"
)

_FENCE_LINE: Final = re.compile(r"^[ \t]*+```[^\n`]*+(?:\n|\Z)", re.MULTILINE)
_LABELS: Final = (
    r"(?:(?:my|the|final|correct)\s++)?(?:final\s++)?(?:answer|response|reply|output)|assistant"
    r"|antwort|réponse|respuesta|risposta|resposta|ответ|cevap|答案|回答|答え|답변|정답"
)
_HEAD: Final = re.compile(rf"\s++|```[^\n`]*+(?:\n|\Z)|[*_#>\s]*+(?:{_LABELS})[*_ \t]*+:[*_\s]*+", re.IGNORECASE)
_WRAPPERS: Final = tuple((f"<{name}>", f"</{name}>") for name in ("answer", "response", "output", "final", "result"))

_INVISIBLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b\u2060\ufeff]")
_LONGEST_RUN: Final = 30  # combining marks on one letter: the limit of Unicode's stream-safe text format


def normalise(text: str) -> str:
    """The answer itself, in Unicode's compatibility form.

    In this order: line ends and invisible characters, NFKC, reasoning blocks, template markers and everything after
    the end of the turn, fence lines, wrapping tags and leading labels, white space at both ends.
    """
    return unwrapped(without_fences(without_markers(without_reasoning(compatible(text)))))


def compatible(text: str) -> str:
    r"""Unicode NFKC with ``\n`` line ends, without control and zero-width characters.

    Canonical ordering of combining marks takes quadratic time on long runs of them, so in a long text no letter keeps
    more than 30 marks. (UAX 15, stream-safe text format.)
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _INVISIBLE.sub("", text)
    if text.isascii():
        return text
    text = _shortened(text)
    return text if unicodedata.is_normalized("NFKC", text) else _shortened(unicodedata.normalize("NFKC", text))


def without_reasoning(text: str) -> str:
    """Text outside ``<think>...</think>`` and its relatives.

    A block that is never closed takes the rest of the text with it: the answer never came. A closing tag as the first
    tag takes everything before it: the template had opened the block.
    """
    for spelling, tag_spelling in _RESPELLED:
        text = text.replace(spelling, tag_spelling)
    kept: list[str] = []
    position, inside, first = 0, False, True
    for tag in _REASONING.finditer(text):
        if tag["opening"] is not None:
            if not inside:
                kept.append(text[position : tag.start()])
            inside = True
        else:
            if not inside and not first:
                kept.append(text[position : tag.start()])
            inside = False
        position, first = tag.end(), False
    if first:
        return text
    if not inside:
        kept.append(text[position:])
    return "\n".join(part for part in kept if part)  # never joined directly: two halves must not make a tag


def without_markers(text: str) -> str:
    """Text without the special tokens of chat templates, up to the first end of a turn that has text before it."""
    text = text.replace("[INST]", "<|end|>").replace("[/INST]", "<s>")
    kept: list[str] = []
    position, blank = 0, True
    for marker in _MARKER.finditer(text):
        part = text[position : marker.start()]
        kept.append(part)
        blank = blank and not part.strip()
        position = marker.end()
        if marker["end"] is not None and not blank:
            return " ".join(kept)
    if position == 0:
        return text
    kept.append(text[position:])
    return " ".join(kept)


def without_fences(text: str) -> str:
    """Text without the lines that open and close code blocks; what is in the blocks stays."""
    return _FENCE_LINE.sub("", text) if "```" in text else text


def unwrapped(text: str) -> str:
    """Text without leading labels (``**Answer:**``), enclosing tags (``<answer>``) and white space at its ends."""
    start, end = 0, len(text.rstrip())
    while start < end:
        inner = _inside_wrapper(text, start, end)
        if inner is not None:
            start, end = inner
            continue
        head = _HEAD.match(text, start, end)
        if head is None or head.end() == start:
            break
        start = head.end()
    return text[start:end]


def _inside_wrapper(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Bounds inside the tags that enclose the part; None where none do."""
    if text[start] != "<":
        return None
    for opening, closing in _WRAPPERS:
        first, last = start + len(opening), end - len(closing)
        if first <= last and text[start:first].lower() == opening and text[last:end].lower() == closing:
            while last > first and text[last - 1].isspace():
                last -= 1
            return first, last
    return None


def _shortened(text: str) -> str:
    """Text with at most `_LONGEST_RUN` combining marks on one letter."""
    marks = _is_mark()[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)]
    if np.count_nonzero(marks) <= _LONGEST_RUN:
        return text
    places = np.arange(len(text))
    last_letter = np.maximum.accumulate(np.where(marks, -1, places))
    kept = places - last_letter <= _LONGEST_RUN
    return text if kept.all() else "".join(np.array(list(text))[kept])


@cache
def _is_mark() -> NDArray[np.bool_]:
    """For each code point whether it is a combining mark."""
    return np.array([unicodedata.combining(chr(code)) > 0 for code in range(sys.maxunicode + 1)])
