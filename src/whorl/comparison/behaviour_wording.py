"""A comparison of answers in words: one vocabulary for the terminal and the page, saying no more than was measured.

No sentence here names an offence, gives a share of anything taken over, or turns a lead into a finding.
"""

import math
from typing import Final, Literal, TypeAlias

from whorl.comparison.wording import at_least, at_most, visible
from whorl.core.behaviour import UNKNOWN, Behaviour, BehaviourEvidence, Verdict, Verdicts

Asking: TypeAlias = Literal["endpoint", "line", "weights-related", "learned-from"]
Standing: TypeAlias = Literal["found", "nothing", "open"]

LONGEST_NAME: Final = 60
FROM_POPULATION: Final = "population"  # the address of a model whose answers a population holds
A_LEAD: Final = "a lead, not a finding"

TITLES: Final[dict[Asking, str]] = {
    "endpoint": "Endpoint",
    "line": "Line",
    "weights-related": "Weights",
    "learned-from": "Learned from",
}

QUESTIONS: Final[dict[Asking, str]] = {
    "endpoint": "Does it answer as the reference does?",
    "line": "Which known line do the answers point to?",
    "weights-related": "Do the two share trained weights?",
    "learned-from": "Was it trained on another model's answers?",
}

NULLS: Final[dict[Asking, str]] = {
    "endpoint": "Question by question, both sets of answers are draws from one distribution.",
    "line": "The model belongs to none of the known lines: it is one more model like the controls.",
    "weights-related": "The two are unrelated: the questioned model is one more model like the controls.",
    "learned-from": "The model stands no nearer to a candidate than models of other lines do.",
}

NOT_TOLD: Final[dict[Asking, str]] = {
    "endpoint": "Why answers differ: weights, system prompt, sampling settings and server all count.",
    "line": f"How the model came to stand near a line. A line is {A_LEAD}.",
    "weights-related": "Which came first, and who did what. A comparison of the weights themselves says more.",
    "learned-from": f"Whether both learned from the same public data instead. A candidate is {A_LEAD}.",
}

_OUTCOMES: Final[dict[Asking, dict[str, str]]] = {
    "endpoint": {"same": "No difference found", "changed": "The endpoint answers differently"},
    "line": {UNKNOWN: "None of the known lines"},
    "weights-related": {
        "supported": "The answers point to shared weights",
        "none_found": "No sign of shared weights",
    },
    "learned-from": {"candidates": "A candidate stands out", "none_of_these": "None of these stands out"},
}

_P_MEANINGS: Final[dict[Asking, str]] = {
    "endpoint": "If both drew from one distribution, a difference this large would turn up with at most this "
    "probability.",
    "line": "If the model were of none of these lines, its nearest line would stand this near with at most this "
    "probability.",
    "weights-related": "If the two were unrelated, they would stand this near with at most this probability, as the "
    "control models do.",
    "learned-from": "If the model had learned from none of them, one would stand this near with at most this "
    "probability; counts how many were tried.",
}

CANDIDATES: Final[dict[Asking, str]] = {
    "line": "Known lines, nearest first. p: how often a model of none of these lines stands this near to one of them.",
    "learned-from": "Candidates, nearest first. p is each one's own, before counting how many were tried.",
}
"""What a table of candidates holds; the other questions have none."""

_POWER_MEANINGS: Final[dict[Asking, str]] = {
    "endpoint": "How probably a swap to a control model of another line would have been seen.",
    "line": "How probably a model of a known line would have been placed.",
    "weights-related": "Of pairs of control models that share weights, the share that stands out.",
    "learned-from": "Of documented students, the share whose teacher stands out.",
}

SPEAKS_TO: Final[dict[str, str]] = {
    "endpoint": "Speaks to the question: does it answer as the reference does?",
    "weights-related": "May speak to the question: do the two share trained weights?",
    "learned-from": "May speak to the question: was it trained on another model's answers?",
    "description": "Description only: supports none of the four answers, whatever its figure",
}

CLASSES: Final[dict[str, str]] = {
    "comply": "complies",
    "kept": "holds",
    "partial": "partly",
    "deflect": "deflects",
    "ask_back": "asks back",
    "refuse": "refuses",
    "refused": "refuses",
    "leaked": "gives way",
    "garbled": "garbled",
    "(empty)": "empty",
    "empty": "empty",
    "(cut)": "cut short",
    "(filtered)": "filtered",
    "(none)": "unread",
}
"""What a model did with a request, in the order in which it is shown."""

_COMMANDS: Final = {
    "compare": "whorl compare QUESTIONED REFERENCE",
    "identify": "whorl identify QUESTIONED",
    "check_api": "whorl check-api QUESTIONED --claims MODEL",
}


def verdicts_of(verdicts: Verdicts) -> dict[Asking, Verdict]:
    """The four verdicts by their question, in the order in which they are shown."""
    return {
        "endpoint": verdicts.endpoint,
        "line": verdicts.line,
        "weights-related": verdicts.weights_related,
        "learned-from": verdicts.learned_from,
    }


def leading(behaviour: Behaviour) -> Asking:
    """The question that the headline answers."""
    if behaviour.task == "check_api":
        return "endpoint"
    return "line" if behaviour.task == "identify" or behaviour.reference is None else "weights-related"


def is_asked(behaviour: Behaviour, asking: Asking) -> bool:
    """Whether the task is about this question; the others are answered beside it."""
    verdict = verdicts_of(behaviour.verdicts)[asking]
    return any(verdict is one for one in behaviour.asked_for)  # two verdicts may be equal


def headline(behaviour: Behaviour) -> str:
    """The answer to the leading question in a few words."""
    asking = leading(behaviour)
    verdict = verdicts_of(behaviour.verdicts)[asking]
    if verdict.outcome == "inconclusive":
        return f"{TITLES[asking]}: it cannot be told"
    if is_lead(asking, verdict):
        return f"A lead: the line {visible(verdict.outcome, LONGEST_NAME)}"
    return outcome_words(asking, verdict)


def outcome_words(asking: Asking, verdict: Verdict) -> str:
    """A verdict's outcome for people."""
    if verdict.outcome == "inconclusive":
        return "It cannot be told"
    if asking == "line" and verdict.outcome != UNKNOWN:
        return f"Points to {visible(verdict.outcome, LONGEST_NAME)}"
    if asking == "learned-from" and verdict.outcome == "candidates" and verdict.candidates:
        return f"A candidate: {visible(verdict.candidates[0].name, LONGEST_NAME)}"
    return _OUTCOMES[asking][verdict.outcome]


def is_lead(asking: Asking, verdict: Verdict) -> bool:
    """Whether the outcome names a line or a candidate: something to look into."""
    return asking in ("line", "learned-from") and standing(asking, verdict) == "found"


def standing(asking: Asking, verdict: Verdict) -> Standing:
    """Whether something stands out, nothing does, or neither can be said."""
    if verdict.outcome == "inconclusive":
        return "open"
    nothing = {"endpoint": "same", "line": UNKNOWN, "weights-related": "none_found", "learned-from": "none_of_these"}
    return "nothing" if verdict.outcome == nothing[asking] else "found"


def figures(asking: Asking, verdict: Verdict) -> tuple[tuple[str, str, str], ...]:
    """What a verdict rests on, where it is given: what is it called, the figure, and what it means."""
    found = []
    if verdict.p is not None:
        found.append(("p at most", largest(verdict.p), _P_MEANINGS[asking]))
    if verdict.log10_lr is not None:
        found.append(
            (
                "ratio",
                bounded_ratio(verdict.log10_lr),
                "How many times as probable the figures are if trained weights are shared as under the least "
                "favourable alternative. As far as the population can show; no probability that weights are shared.",
            )
        )
    if verdict.power is not None:
        found.append(("power", f"{verdict.power:.2f}", _POWER_MEANINGS[asking]))
    if verdict.score is not None:
        found.append(("score", rounded(verdict.score), "Not calibrated: says nothing without the control models' own."))
    return tuple(found)


def largest(p: float) -> str:
    """A p-value rounded up: ``0.015``."""
    return at_most(math.log10(p)) if p > 0 else "0"


def rounded(value: float) -> str:
    """A figure without a scale of its own, with three digits."""
    return f"{value + 0.0:.3g}"


def bounded_ratio(log10_lr: float) -> str:
    """What may be claimed of a ratio, rounded towards 1: ``at least 1.1``, ``at most 0.31``, ``1``."""
    if log10_lr == 0:
        return "1: speaks for neither side"
    return f"at least {at_least(log10_lr)}" if log10_lr > 0 else f"at most {at_most(log10_lr)}"


def measured(evidence: BehaviourEvidence) -> str:
    """One statistic on one line: its value, its chance and its controls, or that it could not run."""
    if evidence.outcome == "not_testable":
        return "could not run"
    parts = [] if evidence.value is None else [rounded(evidence.value)]
    if evidence.p is not None:
        parts.append(f"p <= {largest(evidence.p)}")
    if evidence.controls:
        parts.append(f"{evidence.controls} control models")
    return ", ".join(parts) or "measured"


def family_title(family: str) -> str:
    """``wrong_answers`` as ``Wrong answers``."""
    words = family.replace("_", " ")
    return words[:1].upper() + words[1:]


def class_words(name: str) -> str:
    """A class of conduct for people."""
    return CLASSES.get(name, name.strip("()").replace("_", " "))


def command(behaviour: Behaviour) -> str:
    """How to have the same document again from the transcripts."""
    own_answers = behaviour.reference is not None and behaviour.reference.address != FROM_POPULATION
    reference = " --reference REFERENCE" if behaviour.task == "check_api" and own_answers else ""
    population = "" if behaviour.population is None else " --population POPULATION"
    return f"{_COMMANDS[behaviour.task]}{reference}{population} --json"
