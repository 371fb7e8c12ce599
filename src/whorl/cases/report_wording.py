"""The report of a case in words: one vocabulary, which says no more than the opinion does.

All of it passes `whorl.dossiers.wording`: no offence, no percentage of likeness, nothing called sure, and no
probability of a proposition.
"""

import math
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from whorl.dossiers.events import (
    CHECKLIST,
    Access,
    Alternative,
    Answer,
    EventKind,
    Ground,
    Group,
    MemberRole,
    Outcome,
    Role,
    Verdict,
)
from whorl.dossiers.opinion import AnswerFinding

Standing: TypeAlias = Literal["issued", "void", "annulled", "erased", "none"]

VERDICTS: Final[Mapping[Verdict, str]] = {
    "supports_claim": "{support} for the claim",
    "supports_shared_weights": "{support} for shared weights, and no direction",
    "supports_alternative": "{support} for an alternative",
    "inconclusive": "The findings do not decide",
    "not_answerable": "No ratio could be given",
    "void": "The run is void",
}
"""With {support}: the words of the scale for the bounded value."""
STANDINGS: Final[Mapping[Standing, str]] = {
    "issued": "An opinion is in force",
    "void": "The run is void",
    "annulled": "The opinion was annulled",
    "erased": "What was said in this case was erased",
    "none": "No opinion was issued",
}
STANDING_MEANINGS: Final[Mapping[Standing, str]] = {
    "issued": "The analyst signed it after the review.",
    "void": "A control of the line-up did not come out as it must. No figure of this run counts, for or against "
    "anybody; ratios are therefore not shown.",
    "annulled": "An appeal took its force away. Its figures are therefore not shown; what happened stands below.",
    "erased": "The records stay and show that something was here; what it said is gone, and nothing can be concluded "
    "from its absence.",
    "none": "Figures are shown once an opinion is issued, after the reply and the review, and not before.",
}
CLAIMS: Final[Mapping[str, str]] = {
    "derived": "the questioned model descends from the reference",
    "learned_from": "the questioned model learned from the reference's answers",
}
ALTERNATIVES: Final[Mapping[Alternative, str]] = {
    "independent": "Independent training",
    "common_ancestor": "A common ancestor",
    "shared_data": "The same data",
    "shared_teacher": "A common teacher",
    "reverse_direction": "The other direction",
    "same_seed": "A common start alone",
    "published_idea": "A published idea",
}
ALTERNATIVE_MEANINGS: Final[Mapping[Alternative, str]] = {
    "independent": "the two were trained apart, from starts and data of their own",
    "common_ancestor": "both continue a third model, and neither continues the other",
    "shared_data": "both were trained apart, on the same data",
    "shared_teacher": "both learned from the answers of a third model",
    "reverse_direction": "the reference descends from the questioned model",
    "same_seed": "both began at the same random weights and were trained apart",
    "published_idea": "both follow the same published method",
}
GROUPS: Final[Mapping[Group, str]] = {
    "weights": "Weights",
    "behaviour": "Behaviour",
    "memorisation": "Memorised text",
    "documents": "Documents",
}
ACCESSES: Final[Mapping[Access, str]] = {
    "weights": "the weights themselves",
    "fingerprint": "a stored fingerprint of the weights",
    "api": "answers over an interface",
    "document": "a document",
}
ROLES: Final[Mapping[Role, str]] = {
    "complainant": "Complainant",
    "respondent": "Respondent",
    "manager": "Case manager",
    "analyst": "Analyst",
    "replicator": "Second analyst",
    "reviewer": "Reviewer",
    "appeal_reviewer": "Appeal reviewer",
}
MEMBERS: Final[Mapping[MemberRole, str]] = {
    "questioned": "Questioned model",
    "reference": "Reference",
    "decoy": "Decoy",
    "positive_control": "Positive control",
    "negative_control": "Negative control",
}
EXPECTED: Final[Mapping[MemberRole, str]] = {
    "positive_control": "related",
    "negative_control": "not related, or undecided",
    "decoy": "not related, or undecided",
    "questioned": "nothing: it is what is asked about",
    "reference": "nothing: the others are compared with it",
}
OUTCOMES: Final[Mapping[Outcome, str]] = {
    "related": "related",
    "not_related": "not related",
    "inconclusive": "undecided",
}
RELATIONS: Final[Mapping[str, str]] = {
    "identical": "identical weights",
    "derived": "trained weights are shared",
    "shared_initialisation": "a common start",
    "none_found": "no relation found",
    "inconclusive": "undecided",
    "supported": "answers as of models that share trained weights",
    "not_independent": "answers nearer than those of models of other lines",
}
ABOUT: Final[Mapping[bool | None, str]] = {
    True: "The document says that it is on the weights of this case.",
    False: "The document names other weights than those of this case.",
    None: "Whether it is on the models of this case stands in the document.",
}
EVENTS: Final[Mapping[EventKind, str]] = {
    "opened": "Case opened",
    "joined": "A person joined",
    "proposed": "Propositions filed",
    "frozen": "Protocol fixed",
    "acquired": "Exhibit taken",
    "analysed": "Comparison made, under codes",
    "unblinded": "Codes opened",
    "responded": "Reply of the respondent",
    "replicated": "Findings made again",
    "reviewed": "File reviewed",
    "opined": "Opinion issued",
    "closed": "Case closed",
    "appealed": "Appeal filed",
    "appeal_decided": "Appeal decided",
    "expunged": "Content erased",
}
GROUNDS: Final[Mapping[Ground, str]] = {
    "custody": "custody of the exhibits",
    "method": "the method",
    "population": "the population",
    "new_evidence": "new evidence",
    "bias": "bias",
}
POINTS: Final[Mapping[str, str]] = dict(
    zip(
        CHECKLIST,
        (
            "Propositions were filed before the analysis",
            "The protocol was followed",
            "Exhibits match their digests",
            "Controls behaved",
            "Every finding is recorded",
            "The reply was considered",
            "The replication was considered",
            "Every alternative was treated",
            "Limits are stated",
        ),
        strict=True,
    )
)
ANSWERS: Final[Mapping[Answer, str]] = {"yes": "yes", "no": "no", "not_applicable": "does not apply"}
SCORES: Final[Mapping[str, tuple[str, str]]] = {
    "agreement": (
        "Agreement of neurons",
        "natural logarithm of the neurons for which two views of the weights name the same counterpart, over those for "
        "which they do not",
    ),
    "structure_not_lost": (
        "Structure not lost",
        "natural logarithm of 1 over what the two models do not share of what training wrote; above 0.45 that counts "
        "as 0.45",
    ),
    "least_sign_of_descent": (
        "Weaker sign of descent",
        "the weaker of two signs that models from one start do not both give, in steps",
    ),
    "descent": ("Sign of descent", "how far one model goes on from the other; 0 says nothing"),
}
CAPS: Final[Mapping[str, str]] = {
    "sampling": "by the number of model families in the population",
    "process": "by the tests of the whole process, errors of people and programs included",
    "scope": "by how well this kind of case was validated",
}
NOT_SAID: Final = (
    "How anybody obtained anything, and whether they were allowed to.",
    "How probable the claim, or any alternative, is. That needs a prior, which this report does not hold.",
    "Anything about alternatives that were not tested: they are listed, and they stay open.",
    "Which share of one model is in another.",
)
GLOSSARY: Final = (
    (
        "Ratio",
        "How many times as probable the findings are under the claim as under one named alternative. 1 says nothing; "
        "below 1 speaks for the alternative.",
    ),
    (
        "Bounded value",
        "What may be claimed: the end of the interval nearer to 1, cut at the cap by families, then weakened by the "
        "process, whose own mistakes might explain the findings too. Words of the scale are given to this value alone.",
    ),
    ("Central value", "The calibrated ratio before interval and caps."),
    (
        "Interval",
        "95 % interval: the population's families are left out one at a time, and the calibration is made again.",
    ),
    (
        "Cap",
        "A wall that no ratio passes, however strong the score: few families and few tests of the process bear no "
        "large ratio.",
    ),
    (
        "Population",
        "Models whose relations are known, by which scores were calibrated. Its families are independent.",
    ),
    ("Headline", "The bounded ratio against the tested alternative that explains the findings best."),
    (
        "Line-up",
        "Models under codes: the questioned one, the reference, decoys, and controls of known truth. The analyst saw "
        "codes only.",
    ),
    (
        "Exact test",
        "A bound that holds by symmetry and needs no population: how rarely independent models would agree this much.",
    ),
    ("Record hash", "What the next record names as the one before it: no event can be left out or changed unseen."),
)
KNOWN_POPULATION: Final = "Ratios rest on the population of this release."
STRANGE_POPULATION: Final = (
    "Figures rest on a population that this release does not know ({names}). A population of somebody's own making "
    "can say anything: ask who made it, of which models."
)
READERS_TASK: Final = (
    "This table is for the reader's prior and no part of the opinion. How probable the claim was before these findings "
    "is the court's task: it rests on all other evidence. The table takes claim and alternative as the only two "
    "possibilities, and the bounded headline as the ratio."
)


def ranked(one: AnswerFinding) -> str:
    """Where the answers of a pair stand among those of control models."""
    rank = "no rank" if one.p is None else f"p = {one.p:.2g}"
    recorded = " A recording began before the protocol was fixed." if one.recorded_early else ""
    return (
        f"Rank among {one.controls} control models of {one.families} lines: {rank}. Shared weights: "
        f"{one.weights_related.replace('_', ' ')}; learned from: {one.learned_from.replace('_', ' ')}.{recorded}"
    )


def times(log10: float, rounding: Literal["nearest", "towards_1"] = "nearest") -> str:
    """A ratio as people say it: ``3.1``, ``1/3.1``, ``10^4.2``; two digits.

    Parameters
    ----------
    rounding : a bound is rounded towards 1, so that no more is claimed than holds
    """
    size = abs(log10)
    if size >= 4:
        power = math.floor(10 * size) / 10 if rounding == "towards_1" else round(10 * size) / 10
        return f"10^{math.copysign(power, log10):g}"
    value = 10**size
    step = 10 ** (1 - math.floor(size))
    whole = math.floor(value * step + 1e-9) if rounding == "towards_1" else round(value * step)
    shown = f"{whole / step:,.1f}".removesuffix(".0")
    return shown if log10 >= 0 or shown == "1" else f"1/{shown}"


def bounded_words(log10: float) -> str:
    """What may be claimed of a bounded ratio."""
    said = times(log10, "towards_1")
    if said == "1":
        return "about 1"
    return f"at {'least' if log10 > 0 else 'most'} {said}"


def one_in(probability: float) -> str:
    """A probability as ``1 in 4,800``, two digits."""
    value = 1 / probability
    digits = 1 - math.floor(math.log10(value))
    return f"1 in {round(value, digits):,.{max(0, digits)}f}".removesuffix(".0")


def posterior(prior: float, log10: float) -> float:
    """The reader's prior, updated by a ratio (Bayes' rule, in odds)."""
    odds = prior / (1 - prior) * 10**log10
    return odds / (1 + odds)


def day_and_time(instant: str) -> str:
    """``2026-11-02T09:01:00Z`` as it is read: ``2026-11-02 09:01:00``, UTC."""
    return instant.replace("T", " ").removesuffix("Z")
