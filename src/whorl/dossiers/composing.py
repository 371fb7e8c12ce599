"""Composing an opinion from a case: a pure function, which whoever checks the dossier calls again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whorl.core.behaviour import Behaviour
from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Alternative as WeightAlternative
from whorl.core.evidence import Finding, LikelihoodRatio, NotComparable, PValue
from whorl.dossiers.answers_again import answer_relation, answers_p
from whorl.dossiers.events import Alternative, Analysed, Claim, CodedMember, Group, MemberRole, Outcome, Verdict
from whorl.dossiers.heard import Heard, heard
from whorl.dossiers.opinion import (
    AnswerFinding,
    Control,
    ExactTest,
    FoundPair,
    Headline,
    NotWeighed,
    Opinion,
    Remarks,
    Threshold,
    Treated,
    Weighed,
)
from whorl.dossiers.opinion_words import statement_of
from whorl.dossiers.ratios_again import falls_below, require_ratio
from whorl.dossiers.recorded import require_recorded
from whorl.dossiers.state import State, time_of
from whorl.statistics.fusion import METHOD as FUSION
from whorl.statistics.ratio_caps import LEAST_CLAIM
from whorl.statistics.ratio_population import Population
from whorl.statistics.verbal_scale import shipped_scale, verbal_label
from whorl.statistics.weight_of_evidence import weigh

_DERIVED: Final = frozenset({"identical", "derived"})
_WITH_RATIOS: Final[frozenset[Group]] = frozenset({"weights"})
"""Groups of evidence whose findings have ratios against single alternatives. Answers are ranked, and weigh nothing."""
_OF_ANSWERS: Final = "answers are ranked among control models, and have no calibrated ratio against one alternative"
_OF_LEARNING: Final = "weights do not show what was learned from answers, and answers are ranked among control models"
_WHY_NONE: Final[Mapping[str, str]] = {
    "shapes_differ": "the shapes of the two models differ",
    "no_shared_vocabulary": "the two models share no vocabulary",
    "too_little_data": "training wrote too little, or too few neurons matched",
    "needs_weights": "it needs the weights themselves",
    "architecture": "the architecture is not one that it can be told for",
    "not_needed": "none is needed",
    "not_validated": "no population covers the case",
}
"""Why a finding has no ratio, in words of a closed list: no sentence of a finding becomes one of the opinion."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDocuments:
    """What an opinion is composed from, beside the chain.

    Parameters
    ----------
    findings : every stored finding, by the digest that the chain names
    filed : every document that was filed and is small enough to be an analysis, by its digest
    populations : by their own digests
    """

    findings: Mapping[str, bytes]
    filed: Mapping[str, bytes]
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
    found = [  # controls are judged by what the chain says of them
        (one, require_recorded(state, one, _stored(documents.findings, one.document))) for one in state.analysed
    ]
    about = [(one, finding) for one, finding in found if one.questioned == questioned]
    findings: dict[Group, Finding] = {one.group: item for one, item in about if isinstance(item, Finding)}
    answers = tuple(_answers(state, one, item) for one, item in about if isinstance(item, Behaviour))
    if len(findings) + len(answers) != len(about) or len(answers) > 1:
        raise VerificationError(
            "expected one finding of each group of evidence on the questioned model, found two of one group: an "
            "opinion would have to choose between them"
        )
    for finding in findings.values():
        for item in finding.evidence:
            if isinstance(item, LikelihoodRatio):
                require_ratio(item, finding, documents.populations)
    treated = _with_headlines([_treated(one, findings, documents, state) for one in _alternatives(state)])
    tested = [one for one in treated if isinstance(one, Weighed)]
    void = state.failed_controls
    headline = _headline(tested)
    shared = _headline([one for one in tested if one.alternative not in _OF_DESCENT])
    related = all(finding.conclusion.relation in _DERIVED for finding in findings.values())
    verdict = _verdict(tested, headline, shared, void=bool(void), related=related, answered=bool(answers))
    return Opinion(
        case=case,
        protocol_sequence=protocol_sequence,
        claim=_claim(state),
        questioned=members[questioned].name,
        reference=members[state.protocol.line_up.reference].name,
        findings=tuple(
            FoundPair(group=one.group, method=one.method, document=one.document, relation=one.summary.relation)
            for one, _ in about
        ),
        exact=tuple(
            ExactTest(method=item.method, log10_p=item.log10_p, null=item.null)
            for finding in findings.values()
            for item in finding.evidence
            if isinstance(item, PValue)
        ),
        answers=answers,
        treated=tuple(treated),
        heard=_heard(state, documents.filed, (members[questioned], members[state.protocol.line_up.reference])),
        headline=headline,
        shared_weights=shared,
        verdict=verdict,
        statement=statement_of(verdict, headline, shared, tested, answers),
        controls=_controls(state),
        failed_controls=void,
        remarks=remarks,
        populations=state.protocol.populations,
    )


def _answers(state: State, one: Analysed, found: Behaviour) -> AnswerFinding:
    assert state.frozen_at is not None
    assert state.protocol is not None
    codes = (one.questioned, one.reference)
    recordings = [exhibit.recording for exhibit in state.acquired if exhibit.code in codes and exhibit.recording]
    return AnswerFinding(
        method=one.method,
        document=one.document,
        relation=answer_relation(found, alpha=state.protocol.alpha),
        weights_related=found.verdicts.weights_related.outcome,
        learned_from=found.verdicts.learned_from.outcome,
        p=answers_p(found),
        log10_lr=found.verdicts.weights_related.log10_lr,
        power=found.verdicts.weights_related.power,
        oddities=len(found.questioned.flags),
        controls=0 if found.population is None else found.population.models,
        families=0 if found.population is None else found.population.families,
        population=None if found.population is None else found.population.digest,
        recorded_early=any(time_of(recording.started) < state.frozen_at for recording in recordings),
    )


def _heard(state: State, filed: Mapping[str, bytes], models: tuple[CodedMember, CodedMember]) -> tuple[Heard, ...]:
    digests = (models[0].digest, models[1].digest)
    said = [
        heard(exhibit, filed[exhibit.digest], models=digests) for exhibit in state.acquired if exhibit.digest in filed
    ]
    return tuple(one for one in said if one is not None)


def _stored(files: Mapping[str, bytes], digest: str) -> bytes:
    if digest not in files:
        raise InputError(f"expected {digest}, found none; it is missing from the case")
    return files[digest]


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
        return NotWeighed(alternative=alternative, reason=f"no ratio: {_OF_LEARNING}")
    against = _OF_WEIGHTS.get(alternative)
    if against is None:
        return NotWeighed(alternative=alternative, reason=f"no ratio: {_NOT_MEASURED[alternative]}" if tested else how)
    groups = sorted({method.group for method in state.comparing_methods()} & _WITH_RATIOS)
    if not groups:
        return NotWeighed(alternative=alternative, reason=f"no ratio: {_OF_ANSWERS}")
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
        + (f": {_WHY_NONE[refused[0].reason]}" if refused else ""),
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
    tested: "list[Weighed]",
    headline: Headline | None,
    shared: Headline | None,
    *,
    void: bool,
    related: bool,
    answered: bool,
) -> Verdict:
    """The verdict.

    Parameters
    ----------
    related : whether the findings themselves call the questioned model derived
    answered : whether answers were compared: they are ranked, and a rank alone decides nothing
    """
    if void:
        return "void"
    if headline is None:
        return "inconclusive" if answered else "not_answerable"
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
