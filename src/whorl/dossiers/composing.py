"""Composing an opinion from a case: a pure function, which whoever checks the dossier calls again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Alternative as WeightAlternative
from whorl.core.evidence import Finding, LikelihoodRatio, NotComparable, PValue
from whorl.dossiers.events import Alternative, Claim, Group, MemberRole, Outcome
from whorl.dossiers.opinion import (
    Control,
    ExactTest,
    FoundPair,
    Headline,
    NotWeighed,
    Opinion,
    Remarks,
    Threshold,
    Treated,
    Verdict,
    Weighed,
)
from whorl.dossiers.ratios_again import falls_below, require_ratio
from whorl.dossiers.recorded import require_recorded
from whorl.dossiers.state import State
from whorl.statistics.fusion import METHOD as FUSION
from whorl.statistics.ratio_caps import LEAST_CLAIM
from whorl.statistics.ratio_population import Population
from whorl.statistics.verbal_scale import shipped_scale, verbal_label
from whorl.statistics.weight_of_evidence import weigh

_DERIVED: Final = frozenset({"identical", "derived"})
LEAST_CENTRAL: Final = 1.0
"""log10 of the calibrated ratio below which nothing is called support, however narrow its interval."""
_OF_WEIGHTS: Final[Mapping[Alternative, WeightAlternative]] = {
    "independent": "independent",
    "common_ancestor": "common_ancestor",
    "shared_data": "same_data",
    "same_seed": "same_seed",
}
_OF_DESCENT: Final[frozenset[Alternative]] = frozenset({"common_ancestor", "reverse_direction"})
"""Alternatives under which trained weights are shared too: only descent is in question."""
_NOT_MEASURED: Final[Mapping[Alternative, str]] = {
    "shared_teacher": "no population of models with one teacher and separate weights is calibrated",
    "reverse_direction": "the order of descent comes as shares that depend on a prior, and not as a ratio",
    "published_idea": "an idea passes on no weights; what it explains is for the filtration of behaviours",
}
_SPOKEN: Final[Mapping[Alternative, str]] = {
    "independent": "independent training",
    "common_ancestor": "a common ancestor",
    "shared_data": "training on the same data",
    "shared_teacher": "a common teacher",
    "reverse_direction": "descent in the other direction",
    "same_seed": "a common start alone",
    "published_idea": "a published idea",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDocuments:
    """What an opinion is composed from, beside the chain.

    Parameters
    ----------
    findings : every stored finding, by the digest that the chain names
    populations : by their own digests
    """

    findings: Mapping[str, bytes]
    populations: Mapping[str, Population]


def compose_opinion(
    state: State, documents: CaseDocuments, *, case: str, protocol_sequence: int, remarks: Remarks
) -> Opinion:
    """Compose the opinion that follows from a case as it stands.

    Parameters
    ----------
    state : after the unblinding
    case : hex id
    protocol_sequence : number of the event that fixed the protocol

    Raises
    ------
    VerificationError
        If the case is not unblinded, a finding says something else than the chain does, or its ratio is not the one
        that its population gives.
    InputError
        If a finding or a population is missing or malformed.
    """
    if state.unblinded is None or state.protocol is None or state.opened is None:
        raise VerificationError("expected a case that is unblinded before an opinion is given, found one that is not")
    members = {member.code: member for member in state.unblinded.members}
    (questioned,) = state.members_in("questioned")
    for one in state.analysed:  # controls are judged by what the chain says of them
        require_recorded(state, one, _stored(documents.findings, one.document))
    about = [one for one in state.analysed if one.questioned == questioned]
    findings = {one.group: Finding.model_validate_json(documents.findings[one.document]) for one in about}
    if len(findings) != len(about):
        raise VerificationError(
            "expected one finding of each group of evidence on the questioned model, found two of one group: an "
            "opinion would have to choose between them"
        )
    for found in findings.values():
        for item in found.evidence:
            if isinstance(item, LikelihoodRatio):
                require_ratio(item, found, documents.populations)
    treated = _with_headlines([_treated(one, findings, documents, state) for one in _alternatives(state)])
    tested = [one for one in treated if isinstance(one, Weighed)]
    void = state.failed_controls
    headline = _headline(tested)
    shared = _headline([one for one in tested if one.alternative not in _OF_DESCENT])
    related = all(found.conclusion.relation in _DERIVED for found in findings.values())
    verdict = _verdict(tested, headline, shared, void=bool(void), related=related)
    return Opinion(
        case=case,
        protocol_sequence=protocol_sequence,
        claim=_claim(state),
        questioned=members[questioned].name,
        reference=members[state.protocol.line_up.reference].name,
        findings=tuple(
            FoundPair(group=one.group, method=one.method, document=one.document, relation=one.summary.relation)
            for one in about
        ),
        exact=tuple(
            ExactTest(method=item.method, log10_p=item.log10_p, null=item.null)
            for found in findings.values()
            for item in found.evidence
            if isinstance(item, PValue)
        ),
        treated=tuple(treated),
        headline=headline,
        shared_weights=shared,
        verdict=verdict,
        statement=_statement(verdict, headline, shared, tested),
        controls=_controls(state),
        failed_controls=void,
        remarks=remarks,
        populations=state.protocol.populations,
    )


def _stored(findings: Mapping[str, bytes], digest: str) -> bytes:
    if digest not in findings:
        raise InputError(f"expected the finding {digest}, found none; it is missing from the case")
    return findings[digest]


def _claim(state: State) -> Claim:
    stated = {one.alternative for one in state.propositions if one.side == "complainant"}
    return "learned_from" if "learned_from" in stated and "derived" not in stated else "derived"


def _alternatives(state: State) -> list[tuple[Alternative, bool, str]]:
    assert state.protocol is not None
    return [(one.alternative, one.tested, one.how) for one in state.protocol.treatments]


def _treated(
    planned: tuple[Alternative, bool, str], findings: Mapping[Group, Finding], documents: CaseDocuments, state: State
) -> Treated:
    alternative, tested, how = planned
    if _claim(state) == "learned_from":
        return NotWeighed(alternative=alternative, reason="no ratio: weights do not show what was learned from answers")
    against = _OF_WEIGHTS.get(alternative)
    if against is None:
        return NotWeighed(alternative=alternative, reason=f"no ratio: {_NOT_MEASURED[alternative]}" if tested else how)
    groups = sorted({method.group for method in state.comparing_methods()})
    ratios: dict[str, LikelihoodRatio | NotComparable] = {
        group: _ratio(findings.get(group), against) for group in groups
    }
    # A ratio that was found counts, whether or not somebody wished to test the alternative.
    if not any(isinstance(one, LikelihoodRatio) for one in ratios.values()):
        return NotWeighed(alternative=alternative, reason="; ".join(one.detail for one in ratios.values())[:2000])
    fusion = NotComparable(
        tier="T3",
        method=FUSION,
        reason="not_validated" if len(groups) > 1 else "not_needed",
        detail="no population has these groups of evidence together on the same families"
        if len(groups) > 1
        else "one group of evidence was planned: there is nothing to fuse",
    )
    evidence = weigh(ratios, weights=dict.fromkeys(groups, 1 / len(groups)), fusion=fusion)
    return Weighed(
        alternative=alternative,
        evidence=evidence,
        label=verbal_label(evidence.emerged, shipped_scale()),
        thresholds=tuple(
            threshold
            for group in groups
            if isinstance(one := ratios[group], LikelihoodRatio) and (found := findings.get(group)) is not None
            for threshold in _thresholds(group, one, found, documents.populations)
        ),
        headline_without=None,
    )


def _ratio(finding: Finding | None, against: WeightAlternative) -> LikelihoodRatio | NotComparable:
    items = () if finding is None else finding.evidence
    for item in items:
        if isinstance(item, LikelihoodRatio) and item.alternative == against:
            return item
    refused = [item for item in items if isinstance(item, NotComparable) and item.method == "population_ratio/1"]
    return NotComparable(
        tier="T3",
        method="population_ratio/1",
        reason=refused[0].reason if refused else "too_little_data",
        detail=f"the finding gives no ratio against {against}"
        + (f": {'; '.join(one.detail for one in refused)}"[:1500] if refused else ""),
    )


def _thresholds(
    group: str, ratio: LikelihoodRatio, finding: Finding, populations: Mapping[str, Population]
) -> list[Threshold]:
    return [
        Threshold(group=group, score=name, value=value, falls_below_2_at=falls_below(ratio, finding, populations, name))
        for name, value in ratio.statistic.items()
        if ratio.log10_lr >= LEAST_CLAIM
    ]


def _headline(tested: "list[Weighed]") -> Headline | None:
    if not tested:
        return None
    least = min(tested, key=lambda one: (one.evidence.emerged.log10_lr, one.evidence.emerged.lower))
    ratio = least.evidence.emerged
    return Headline(
        against=least.alternative,
        log10_lr=ratio.log10_lr,
        lower=ratio.lower,
        central=ratio.central,
        upper=ratio.upper,
    )


def _with_headlines(treated: "list[Treated]") -> "list[Treated]":
    """Each tested alternative with what the headline would be without it."""
    tested = [one for one in treated if isinstance(one, Weighed)]
    return [
        one
        if isinstance(one, NotWeighed)
        else one.model_copy(
            update={
                "headline_without": min(
                    (other.evidence.emerged.log10_lr for other in tested if other is not one), default=None
                )
            }
        )
        for one in treated
    ]


def _verdict(
    tested: "list[Weighed]", headline: Headline | None, shared: Headline | None, *, void: bool, related: bool
) -> Verdict:
    """The verdict; ``related`` says whether the findings themselves call the questioned model derived."""
    if void:
        return "void"
    if headline is None:
        return "not_answerable"
    if speaks_for(headline) and related and {one.alternative for one in tested} >= _OF_DESCENT:
        return "supports_claim"
    if headline.log10_lr < 0 and headline.central <= -LEAST_CENTRAL:
        return "supports_alternative"
    if shared is not None and speaks_for(shared) and related:
        return "supports_shared_weights"
    return "inconclusive"


def speaks_for(ratio: Headline | LikelihoodRatio) -> bool:
    """Whether something is left after every cap, and the findings themselves, not only few families, are clear."""
    return ratio.log10_lr > 0 and ratio.central >= LEAST_CENTRAL


def _statement(verdict: Verdict, headline: Headline | None, shared: Headline | None, tested: "list[Weighed]") -> str:
    ending = " This does not state how anybody obtained anything, nor how probable any proposition is."
    match verdict:
        case "void":
            return "The run is void: a control did not come out as it must, and no ratio of it counts." + ending
        case "not_answerable":
            return "No alternative could be weighed: there is no ratio to report." + ending
        case "inconclusive":
            assert headline is not None
            return (
                "The findings do not tell the claim from the alternative that explains them best, "
                f"{_SPOKEN[headline.against]}. That is no finding of independence." + ending
            )
        case "supports_alternative":
            assert headline is not None
            return (
                f"The findings are at least about {_times(-headline.log10_lr)} times more probable under "
                f"{_SPOKEN[headline.against]} than under the claim. A descendant that was changed in ways which no "
                "family of the population shows could look alike." + ending
            )
        case "supports_claim":
            assert headline is not None
            return (
                f"The findings are at least about {_times(headline.log10_lr)} times more probable under the claim than "
                f"under the least favourable alternative that was tested, {_SPOKEN[headline.against]}."
                + _untold(tested)
                + ending
            )
        case "supports_shared_weights":
            assert headline is not None
            assert shared is not None
            return (
                f"The findings are at least about {_times(shared.log10_lr)} times more probable if trained weights are "
                f"shared than under the least favourable alternative without, {_SPOKEN[shared.against]}. They do not "
                "tell descent of the questioned model from a common ancestor, nor from descent in the other direction."
                + _untold(tested)
                + ending
            )


def _untold(tested: "list[Weighed]") -> str:
    told = {one.alternative for one in tested}
    open_ones = [name for name in _SPOKEN if name not in told]
    if not open_ones:
        return ""
    return " Not tested, and so not excluded: " + ", ".join(_SPOKEN[name] for name in open_ones) + "."


def _times(log10: float) -> str:
    """Two digits, towards 1: a bound is not rounded up."""
    value = 10.0**log10
    scale = 10 if value < 10 else 1
    return f"{int(value * scale) / scale:g}" if value < 1000 else f"10^{int(log10 * 10) / 10:g}"


def _controls(state: State) -> tuple[Control, ...]:
    assert state.unblinded is not None
    members = {member.code: member for member in state.unblinded.members}
    wanted: Mapping[MemberRole, frozenset[Outcome]] = {
        "positive_control": frozenset({"related"}),
        "negative_control": frozenset({"not_related", "inconclusive"}),
        "decoy": frozenset({"not_related", "inconclusive"}),
    }
    return tuple(
        Control(
            code=one.questioned,
            role=member.role,
            name=member.name,
            method=one.method,
            outcome=one.summary.outcome,
            behaved=one.summary.outcome in wanted[member.role],
        )
        for one in state.analysed
        if (member := members[one.questioned]).role in wanted
    )
