"""A finding in words: one vocabulary for the terminal and the page, saying no more than the evidence does.

No sentence here names an offence, gives a share of copying or turns a search hit into a finding.
"""

import math
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, assert_never

from whorl.core.evidence import (
    EValue,
    Evidence,
    LayerMatch,
    NotComparable,
    PValue,
    Relation,
    Score,
    Tier,
    Transformation,
)

LayerStrength: TypeAlias = Literal["matched", "weak", "none"]

MATCHED_FROM: Final = 0.5  # a layer counts as matched when at least half of its neurons agree
LOG10_REMARKABLE: Final = -2.0  # above p = 0.01 a position test has nothing to report

HEADLINES: Final[dict[Relation, str]] = {
    "identical": "The same weights",
    "derived": "Trained weights are shared",
    "shared_initialisation": "Same starting weights, trained apart",
    "none_found": "No relation found",
    "inconclusive": "Inconclusive",
}

MEANINGS: Final[dict[Relation, str]] = {
    "identical": "Every weight that was compared is the same in both models.",
    "derived": "One model continues the other's trained weights, or both continue those of a third model.",
    "shared_initialisation": "Both started from the same random weights; no trained weights were found in common.",
    "none_found": "The tests ran and saw nothing in common. This is not a proof of independence.",
    "inconclusive": "The tests that ran cannot decide either way.",
}

TIER_QUESTIONS: Final[dict[Tier, str]] = {
    "T1": "Are weights the same, bit for bit or up to rounding?",
    "T2": "Do parts sit at the same positions more often than chance allows?",
    "T3": "With every rewrite undone, do the parts of one model have counterparts in the other?",
    "T4": "What changed between the two, and which came first?",
    "T5": "What would this comparison have been able to see?",
}

TRANSFORMATIONS: Final[dict[Transformation, str]] = {
    "fine_tuned": "trained further",
    "rotated": "inner coordinates rotated",
    "permuted": "neurons or heads reordered",
    "rescaled": "weights rescaled",
    "quantised": "rounded to fewer bits",
    "pruned": "weights set to zero",
    "width_pruned": "neurons or channels removed",
    "layers_dropped": "layers removed",
    "layers_repeated": "layers repeated",
    "vocabulary_changed": "vocabulary changed",
    "merged": "merged with another model",
    "moe_upcycled": "split into experts",
    "reinitialised_parts": "parts started anew",
    "lora": "low-rank adapter applied",
}

_NO_ANSWER: Final = {
    "shapes_differ": "the shapes differ",
    "no_shared_vocabulary": "too few tokens in common",
    "too_little_data": "too little data",
    "needs_weights": "needs the weights themselves",
    "architecture": "not defined for this architecture",
    "not_needed": "not needed after a stronger result",
}

_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, longest: int | None = None) -> str:
    """Untrusted text with every control, bidirectional and unassigned character written out, on one line.

    Parameters
    ----------
    longest : keep this many characters and mark the cut with an ellipsis; None keeps all
    """
    shown = text if longest is None or len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    spaced = " ".join(shown.split()) if any(c in shown for c in "\n\r\t") else shown
    return "".join(_written_out(c) if unicodedata.category(c) in _HIDDEN_CATEGORIES else c for c in spaced)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def at_most(log10: float) -> str:
    """Upper bound of a small probability, rounded up: ``10^-312`` or ``0.034``."""
    if log10 <= -4:
        return f"10^{math.ceil(log10)}"
    value = 10**log10
    digits = 1 - math.floor(math.log10(value)) if value < 1 else 1
    return f"{min(1.0, math.ceil(value * 10**digits) / 10**digits):g}"


def exact_meaning(log10_p: float) -> str:
    """What the exact tier's bound says, in one sentence."""
    if log10_p > LOG10_REMARKABLE:
        return "Nothing stands out by position; a model whose parts were reordered would not either."
    return "If the two were independent, agreement this strong would turn up with at most this probability."


def at_least(log10: float) -> str:
    """Lower bound of a positive number, rounded down: ``10^12`` or ``35``."""
    if abs(log10) >= 4:
        return f"10^{math.floor(log10)}"
    value = 10**log10
    digits = 1 - math.floor(math.log10(value))
    return f"{math.floor(value * 10**digits) / 10**digits:g}"


def decimal(value: float) -> str:
    """A score with three significant decimals; whole numbers stay whole."""
    if value == int(value) and abs(value) < 10**9:
        return str(int(value))
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 else f"{value:.3g}"


def result(evidence: Evidence) -> str:
    """The outcome of one method on one line."""
    match evidence:
        case PValue():
            return f"p <= {at_most(evidence.log10_p)}"
        case EValue():
            return f"e-value >= {at_least(evidence.log10_e)}"
        case Score() if evidence.lower == evidence.upper:  # a plain figure, not an estimate
            return decimal(evidence.value)
        case Score():
            return f"{decimal(evidence.value)} [{decimal(evidence.lower)}, {decimal(evidence.upper)}]"
        case NotComparable():
            return f"no answer: {no_answer(evidence)}"
        case _:
            assert_never(evidence)


def unrelated_level(score: Score) -> str:
    """What unrelated models give, beside a score."""
    if score.unrelated_at_most is None:
        return "level of unrelated models not measured"
    return f"unrelated models at most {decimal(score.unrelated_at_most)}"


def no_answer(evidence: NotComparable) -> str:
    """Why a method has no answer, in a few words."""
    return _NO_ANSWER[evidence.reason]


def sentence(text: str) -> str:
    """A detail as it stands alone: with a capital and a full stop."""
    ending = "" if text.endswith((".", "!", "?")) or not text else "."
    return text[:1].upper() + text[1:] + ending


def method_title(method: str) -> str:
    """``index_coincidences/1`` as ``Index coincidences``."""
    name = method.partition("/")[0].replace("_", " ").strip()
    return name[:1].upper() + name[1:]


def layer_strength(layer: LayerMatch) -> LayerStrength:
    """Whether a questioned layer has a counterpart, a weak one, or none."""
    if layer.reference is None:
        return "none"
    return "matched" if layer.agreement >= MATCHED_FROM else "weak"


def ranges(numbers: Iterable[int]) -> str:
    """``3, 7-9`` for 3, 7, 8, 9."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
