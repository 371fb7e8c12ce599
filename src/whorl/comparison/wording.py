"""A finding in words: one vocabulary for the terminal and the page, saying no more than the evidence does.

No sentence here names an offence, gives a share of copying or turns a search hit into a finding.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias, assert_never

from whorl.core.evidence import (
    Alternative,
    Direction,
    EValue,
    Evidence,
    Finding,
    LayerMatch,
    LikelihoodRatio,
    NotComparable,
    Power,
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
    "T0": "Does the questioned model carry the mark of a key that was drawn before the release?",
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
    "not_validated": "not validated for this case",
}

ALTERNATIVES: Final[Mapping[Alternative, str]] = {
    "independent": "independent training",
    "same_data": "independent training on the same data",
    "same_seed": "a common start alone",
    "common_ancestor": "a common ancestor",
}

RATIOS: Final = "population_ratio"  # the method whose outcomes are weighed, whether there is a ratio or not
NOT_A_RATIO_OF_DESCENT: Final = (
    "A common ancestor passes on trained weights too: the ratio against it is about descent of one from the other, the "
    "others are about any shared training."
)

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
        case LikelihoodRatio():
            return (
                f"ratio {bounded(evidence)} against {ALTERNATIVES[evidence.alternative]} "
                f"(central {powers(evidence.central)}, 95 % interval {powers(evidence.lower)} to "
                f"{powers(evidence.upper)}; cap {powers(nearest_cap(evidence))}; "
                f"population {short_digest(evidence.population)})"
            )
        case Power():
            reach = f"{decimal(evidence.lower)}, {decimal(evidence.upper)}"
            return f"would have been seen with probability {decimal(evidence.probability)} [{reach}]"
        case NotComparable():
            return f"no answer: {no_answer(evidence)}"
        case _:
            assert_never(evidence)


def powers(log10: float) -> str:
    """A ratio as a power of ten, one decimal: 10^1.3."""
    return f"10^{tenths(log10)}"


def tenths(value: float) -> str:
    """One decimal, without a negative zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def bounded(ratio: LikelihoodRatio) -> str:
    """What may be claimed of a ratio, rounded towards 1: ``at least 10^0.8``, ``at most 10^-0.5``, ``about 1``."""
    if ratio.lower <= 0 <= ratio.upper:
        return "1 not excluded"
    claimed = math.trunc(10 * ratio.log10_lr + math.copysign(1e-9, ratio.log10_lr)) / 10
    if claimed == 0:
        return "about 1"
    return f"at {'least' if claimed > 0 else 'most'} {powers(claimed)}"


def caps_of(ratio: LikelihoodRatio) -> dict[str, float]:
    """log10 of each cap, on the side of 1 that the central value is on."""
    return {name: math.copysign(cap, ratio.central) for name, cap in ratio.caps.items()}


def nearest_cap(ratio: LikelihoodRatio) -> float:
    """log10 of the cap that allows least."""
    return min(caps_of(ratio).values(), key=abs)


def weighed_against(ratio: LikelihoodRatio) -> str:
    """The alternative of a ratio, and what stands against it where that is more than shared training."""
    spoken = ALTERNATIVES[ratio.alternative]
    return f"{spoken}, for descent" if ratio.alternative == "common_ancestor" else spoken


def ratios_of(finding: Finding) -> tuple[LikelihoodRatio, ...]:
    """The calibrated ratios of a finding, in its order."""
    return tuple(item for item in finding.evidence if isinstance(item, LikelihoodRatio))


def least_favourable(finding: Finding) -> LikelihoodRatio | None:
    """The ratio that is the headline: the lowest over the alternatives to shared training; None where there is none,
    or where the alternative that matters has no ratio.

    A common ancestor passes on trained weights too, so it is no alternative to that.
    """
    if finding.conclusion.log10_lr is None:
        return None
    weighed = [ratio for ratio in ratios_of(finding) if ratio.alternative != "common_ancestor"]
    return min(weighed, key=lambda ratio: ratio.log10_lr, default=None)


def without_ratio(finding: Finding) -> tuple[NotComparable, ...]:
    """Why there is no ratio, for each alternative that has none."""
    return tuple(
        item for item in finding.evidence if isinstance(item, NotComparable) and item.method.partition("/")[0] == RATIOS
    )


def population_name(finding: Finding, ratio: LikelihoodRatio) -> str:
    """The population that a ratio was calibrated on, by name where the finding has it, and by digest."""
    name = finding.parameters.get("population_name")
    digest = short_digest(ratio.population)
    return digest if name is None else f"{name}, {digest}"


def short_digest(digest: str) -> str:
    """A digest as far as people compare it: algorithm and twelve digits."""
    algorithm, colon, digits = digest.rpartition(":")
    return f"{algorithm}{colon}{digits[:12]}"


def percent(share: float, rounding: Literal["nearest", "down", "up"] = "nearest") -> str:
    """A probability in whole percents; what is neither impossible nor certain is not shown as if it were."""
    if 0 < share < 0.01 and rounding != "up":
        return "<1 %"
    if 0.99 < share < 1 and rounding != "down":
        return ">99 %"
    exact = round(100 * share, 9)
    whole = round(exact) if rounding == "nearest" else math.floor(exact) if rounding == "down" else math.ceil(exact)
    return f"{whole} %"


def seen(power: Power) -> str:
    """How probably a changed copy would have been seen, with its interval: ``100 % [78 %, 100 %]``."""
    return f"{percent(power.probability, 'down')} [{percent(power.lower, 'down')}, {percent(power.upper, 'up')}]"


def three_shares(direction: Direction) -> tuple[tuple[str, str, float], ...]:
    """The three readings of a direction: in few words, as a sentence's subject, and its share."""
    return (
        (
            "questioned from reference",
            "The questioned model descends from the reference",
            direction.questioned_from_reference,
        ),
        ("reverse", "The reference descends from the questioned model", direction.reference_from_questioned),
        ("common ancestor", "Both descend from a third model", direction.common_ancestor),
    )


def is_posterior(direction: Direction) -> bool:
    """Whether a direction is a probability; a key settles it without one."""
    return max(share for *_, share in three_shares(direction)) < 1


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


def evidence_title(evidence: Evidence) -> str:
    """A method's title, with what it was asked where one method is asked several things."""
    title = method_title(evidence.method)
    match evidence:
        case LikelihoodRatio():
            return f"{title} against {ALTERNATIVES[evidence.alternative]}"
        case Power():
            return f"{title}, {evidence.change}"
        case _:
            return title


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
