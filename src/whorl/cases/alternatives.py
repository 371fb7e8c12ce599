"""The seven alternatives of a case, and the least favourable ratio: what is reported is what the best of them leaves.

Ratios against different alternatives are not averaged: nobody but the reader can say how probable each alternative is.
A mixture is computed only with weights that a reader supplies, and is marked as that reader's. Document:
``whorl.alternatives/1``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from whorl.cases.documents import DocumentRatio, DocumentsWeight
from whorl.comparison.ancestor_document import AncestorTest
from whorl.core.errors import InputError
from whorl.core.evidence import Document, LikelihoodRatio, StoredDocument
from whorl.dossiers.events import ALTERNATIVES, Alternative
from whorl.entries.kinds import Digest

SCHEMA: Final = "whorl.alternatives/1"
LEAST_REASON: Final = 20
SUMS_TO: Final = 1e-9

Reason = Annotated[str, Field(min_length=LEAST_REASON, max_length=2000)]


class RatioAgainst(Document):
    """An alternative that a ratio was computed against."""

    outcome: Literal["tested"] = "tested"
    alternative: Alternative
    log10_lr: float = Field(description="the interval's end nearer 0, after every cap; 0 where the interval spans 0")
    lower: float
    central: float
    upper: float
    caps: dict[str, float] = Field(min_length=1, description="log10 of the largest |ratio| that each cap allows")
    method: str
    finding: Digest | None = Field(description="digest of the document the ratio comes from")
    population: Digest | None

    @model_validator(mode="after")
    def _bounded(self) -> "RatioAgainst":
        if not self.lower <= self.central <= self.upper:
            raise ValueError(f"log10 ratio {self.central} outside its interval [{self.lower}, {self.upper}]")
        if abs(self.log10_lr) > min(self.caps.values()) + 1e-9:
            raise ValueError(f"log10 ratio {self.log10_lr} is beyond its caps {self.caps}")
        if abs(self.log10_lr) > abs(toward_zero(self.lower, self.upper)) + 1e-9:
            raise ValueError(f"log10 ratio {self.log10_lr} is farther from 0 than its interval's nearer end")
        return self


class NotTested(Document):
    """An alternative that could not be tested, and why; silence about one is not possible."""

    outcome: Literal["untested"] = "untested"
    alternative: Alternative
    reason: Reason


Treated: TypeAlias = Annotated[RatioAgainst | NotTested, Field(discriminator="outcome")]


class Headline(Document):
    """The ratio against the alternative that explains the evidence best, among those tested."""

    against: Alternative
    log10_lr: float
    lower: float
    central: float
    upper: float
    not_covered: tuple[Alternative, ...] = Field(description="alternatives that no ratio speaks about")


class Without(Document):
    """What the headline would be if one alternative were excluded on other grounds."""

    alternative: Alternative
    log10_lr: float | None = Field(description="null: no other one was tested")


class Mixture(Document):
    """The ratio against the alternatives weighted as one reader weights them; never part of an opinion of our own."""

    weights: dict[Alternative, float]
    supplied_by: Annotated[str, Field(min_length=1, max_length=200)]
    log10_lr: float


class Alternatives(StoredDocument):
    """How each of the seven was treated, and what follows."""

    schema_: Literal["whorl.alternatives/1"] = Field(default=SCHEMA, alias="schema")
    treatments: tuple[Treated, ...]
    headline: Headline | None = Field(description="null where none was tested")
    without: tuple[Without, ...]
    prior_free: Literal[True] = True


def ratio_against(evidence: LikelihoodRatio, *, finding: str | None) -> RatioAgainst:
    """A finding's ratio as the treatment of an alternative.

    Parameters
    ----------
    finding : digest of the finding as stored
    """
    return RatioAgainst(
        alternative="shared_data" if evidence.alternative == "same_data" else evidence.alternative,
        log10_lr=evidence.log10_lr,
        lower=evidence.lower,
        central=evidence.central,
        upper=evidence.upper,
        caps=evidence.caps,
        method=evidence.method,
        finding=finding,
        population=evidence.population,
    )


def ratios_of_ancestor_test(test: AncestorTest, *, finding: str | None) -> list[RatioAgainst]:
    """What an ancestor test says against common ancestor and shared data; empty where it could not.

    It says nothing against the reverse direction, which merges imitate.

    Parameters
    ----------
    finding : digest of the test as stored
    """
    return [
        RatioAgainst(
            alternative="shared_data" if ratio.against == "same_data" else ratio.against,
            log10_lr=ratio.log10_lr,
            lower=ratio.lower,
            central=ratio.central,
            upper=ratio.upper,
            caps=ratio.caps,
            method="ancestor/1",
            finding=finding,
            population=test.reference_population,
        )
        for ratio in test.ratios
    ]


def treat(treatments: Sequence[RatioAgainst | NotTested]) -> Alternatives:
    """The seven treatments, in one order, and their headline.

    Raises
    ------
    InputError
        If one of the seven is missing or treated twice.
    """
    named = [one.alternative for one in treatments]
    if sorted(named) != sorted(ALTERNATIVES):
        missing, twice = set(ALTERNATIVES) - set(named), {name for name in named if named.count(name) > 1}
        raise InputError(
            "expected each of the seven alternatives once, tested or with the reason why not, found none for "
            f"{sorted(missing) or 'no one'} and more than one for {sorted(twice) or 'no one'}"
        )
    ordered = tuple(sorted(treatments, key=lambda one: ALTERNATIVES.index(one.alternative)))
    tested = [one for one in ordered if isinstance(one, RatioAgainst)]
    without = tuple(
        Without(
            alternative=one.alternative,
            log10_lr=min((other.log10_lr for other in tested if other is not one), default=None),
        )
        for one in tested
    )
    return Alternatives(treatments=ordered, headline=least_favourable(ordered), without=without)


def least_favourable(treatments: Sequence[RatioAgainst | NotTested]) -> Headline | None:
    """The least ratio of all tested alternatives, P(E | derived) / max P(E | alternative); None where none was."""
    tested = [one for one in treatments if isinstance(one, RatioAgainst)]
    if not tested:
        return None
    least = min(tested, key=lambda one: (one.log10_lr, one.lower, ALTERNATIVES.index(one.alternative)))
    return Headline(
        against=least.alternative,
        log10_lr=least.log10_lr,
        lower=least.lower,
        central=least.central,
        upper=least.upper,
        not_covered=tuple(one.alternative for one in treatments if isinstance(one, NotTested)),
    )


def with_documents(
    treatments: Sequence[RatioAgainst | NotTested], weight: DocumentsWeight, *, finding: str | None = None
) -> list[RatioAgainst | NotTested]:
    """The tested ratios with what the documents alone add to each, over all their ranges.

    The similarity's ratio goes in as bounded by its own caps; whatever similarity the net was given is taken off first,
    so that it counts once.

    Parameters
    ----------
    finding : digest of ``weight`` as stored
    """
    ratios = {ratio.against: ratio for ratio in weight.ratios}
    return [
        one
        if isinstance(one, NotTested)
        else _moved(one, _documents_alone(ratios[one.alternative], weight), finding or one.finding)
        for one in treatments
    ]


def mixture(alternatives: Alternatives, weights: Mapping[Alternative, float], *, supplied_by: str) -> Mixture:
    """The ratio against a reader's mixture of tested alternatives: 1 / sum of weight / ratio.

    Raises
    ------
    InputError
        If a weight is for an alternative that was not tested, is negative, or the weights do not sum to 1.
    """
    tested = {one.alternative: one.log10_lr for one in alternatives.treatments if isinstance(one, RatioAgainst)}
    unknown = sorted(set(weights) - set(tested))
    if unknown:
        raise InputError(f"expected weights for tested alternatives only, found some for {', '.join(unknown)}")
    if not weights or min(weights.values()) < 0 or abs(math.fsum(weights.values()) - 1) > SUMS_TO:
        raise InputError(f"expected weights of at least 0 that sum to 1, found {dict(weights)}")
    total = math.fsum(weight * 10 ** -tested[name] for name, weight in weights.items())
    return Mixture(weights=dict(weights), supplied_by=supplied_by, log10_lr=-math.log10(total))


def toward_zero(lower: float, upper: float) -> float:
    """The interval's end nearer 0; 0 where it spans 0."""
    return max(lower, 0.0) if lower > 0 else min(upper, 0.0)


def _documents_alone(ratio: DocumentRatio, weight: DocumentsWeight) -> tuple[float, float, float]:
    similar = weight.exhibits.similarity.get(ratio.against)
    low, high = (0.0, 0.0) if similar is None else (similar.lower, similar.upper)
    return ratio.lower - low, ratio.central - (low + high) / 2, ratio.upper - high


def _moved(one: RatioAgainst, documents: tuple[float, float, float], finding: str | None) -> RatioAgainst:
    cap = min(one.caps.values())
    ends = [_held(one.lower, cap), _held(one.upper, cap)]
    if one.lower > 0:
        ends[0] = one.log10_lr
    elif one.upper < 0:
        ends[1] = one.log10_lr
    lower, upper = ends[0] + documents[0], ends[1] + documents[2]
    return RatioAgainst(
        alternative=one.alternative,
        log10_lr=toward_zero(lower, upper),
        lower=lower,
        central=min(upper, max(lower, _held(one.central, cap) + documents[1])),
        upper=upper,
        caps={"with_documents": cap + max(abs(documents[0]), abs(documents[2]))},
        method=f"{one.method}; documents/1",
        finding=finding,
        population=one.population,
    )


def _held(value: float, cap: float) -> float:
    return min(cap, max(-cap, value))
