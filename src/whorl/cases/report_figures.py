"""The figures of an opinion, put into words for its report: nothing is computed here that the opinion does not hold.

The one exception is the curve of a score: what its population gives for other values of it, so that a reader sees where
the case stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from whorl.cases import report_wording as words
from whorl.cases.report_document import (
    CurvePoint,
    ExactLine,
    FindingLine,
    FusionLine,
    HeadlineLine,
    HeardLine,
    RatioLine,
    ScoreLine,
    TrustLine,
)
from whorl.cases.report_trust import trust_line
from whorl.comparison.pictures import LayerPicture, layer_picture
from whorl.comparison.wording import at_most, decimal, short_digest
from whorl.core.evidence import Finding, LayerMatch, LikelihoodRatio, NotComparable
from whorl.dossiers.composing import CaseDocuments
from whorl.dossiers.opinion import AnswerFinding, FoundPair, Headline, NotWeighed, Opinion, Weighed
from whorl.dossiers.ratios_again import cell_of, unknown_populations
from whorl.statistics.ratio_caps import LEAST_CLAIM
from whorl.statistics.ratio_population import Cell, ratio_of
from whorl.statistics.weight_of_evidence import WeightOfEvidence

_STEPS: Final = 48
_PRIORS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The part of a report that an opinion in force gives; all of it empty without one."""

    headline: HeadlineLine | None = None
    shared: HeadlineLine | None = None
    ratios: tuple[RatioLine, ...] = ()
    untested: tuple[tuple[str, str], ...] = ()
    heard: tuple[HeardLine, ...] = ()
    origin: str = ""
    strange: bool = False
    deviations: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    findings: tuple[FindingLine, ...] = ()
    layers: LayerPicture | None = None
    layer_lines: tuple[tuple[int, str, str], ...] = ()
    exact: tuple[ExactLine, ...] = ()
    scores: tuple[ScoreLine, ...] = ()
    trust: tuple[TrustLine, ...] = ()
    untried: tuple[str, ...] = ()
    fusion: tuple[FusionLine, ...] = ()
    priors: tuple[tuple[str, str], ...] = ()

    def members(self) -> Mapping[str, Any]:
        """The parts by name, as a report holds them."""
        return {name: getattr(self, name) for name in self.__slots__}


NO_FIGURES: Final = Figures()


def figures_of(opinion: Opinion, documents: CaseDocuments) -> Figures:
    """The figures of an opinion that is in force and whose numbers were made again."""
    tested = [one for one in opinion.treated if isinstance(one, Weighed)]
    weights = next((_finding(one, documents) for one in opinion.findings if one.group == "weights"), None)
    strange = [f"{one.name}, {short_digest(one.digest)}" for one in unknown_populations(documents.populations)]
    strange += [
        f"control models, {short_digest(one.population)}" for one in opinion.answers if one.population is not None
    ]
    origin = words.STRANGE_POPULATION.format(names=", ".join(strange)) if strange else words.KNOWN_POPULATION
    trust, untried = _trust(tested, opinion, documents)
    return Figures(
        origin=origin if tested or strange else "",
        strange=bool(strange),
        headline=_headline(opinion.headline, tested),
        shared=None if opinion.shared_weights == opinion.headline else _headline(opinion.shared_weights, tested),
        ratios=tuple(_ratio(one, opinion.headline, alone=len(tested) == 1) for one in tested),
        untested=tuple(
            (words.ALTERNATIVES[one.alternative], one.reason) for one in opinion.treated if isinstance(one, NotWeighed)
        ),
        heard=tuple(
            HeardLine(
                code=one.code,
                title=one.title,
                filed_by=words.ROLES[one.filed_by],
                about=words.ABOUT[one.about],
                says=one.says,
            )
            for one in opinion.heard
        ),
        deviations=opinion.remarks.deviations,
        limitations=opinion.remarks.limitations,
        findings=tuple(_found(one, opinion.answers) for one in opinion.findings),
        layers=None if weights is None else layer_picture(weights),
        layer_lines=() if weights is None else tuple(map(_layer, weights.layers)),
        exact=tuple(
            ExactLine(method=one.method, bound=f"at most {at_most(one.log10_p)}", null=one.null)
            for one in opinion.exact
        ),
        scores=tuple(line for one in tested for line in _scores(one, opinion, documents)),
        trust=trust,
        untried=untried,
        fusion=tuple(_fusion(one) for one in tested),
        priors=_priors(opinion.headline),
    )


def _found(one: FoundPair, answers: tuple[AnswerFinding, ...]) -> FindingLine:
    ranked = next((answer for answer in answers if answer.document == one.document), None)
    return FindingLine(
        group=words.GROUPS[one.group],
        method=one.method,
        relation=words.RELATIONS.get(one.relation, one.relation),
        detail="" if ranked is None else words.ranked(ranked),
        document=one.document,
    )


def _headline(headline: Headline | None, tested: list[Weighed]) -> HeadlineLine | None:
    if headline is None:
        return None
    one = next(one for one in tested if one.alternative == headline.against)
    return HeadlineLine(
        against=words.ALTERNATIVES[headline.against],
        support=one.label.support or "no support",
        bounded=words.bounded_words(headline.log10_lr),
        central=words.times(headline.central),
        interval=_interval(headline.lower, headline.upper),
        log10=headline.log10_lr,
        band=one.label.statement,
        scale=one.label.scale,
        cap=_cap(one.evidence.emerged),
    )


def _cap(ratio: LikelihoodRatio) -> str:
    name = min(ratio.caps, key=lambda kind: ratio.caps[kind])
    limit = words.times(ratio.caps[name] if ratio.central >= 0 else -ratio.caps[name])
    return f"{limit}, {words.CAPS.get(name, name)}"


def _ratio(one: Weighed, headline: Headline | None, *, alone: bool) -> RatioLine:
    ratio = one.evidence.emerged
    sign = 1 if ratio.central >= 0 else -1
    without = None if one.headline_without is None else words.bounded_words(one.headline_without)
    return RatioLine(
        alternative=words.ALTERNATIVES[one.alternative],
        meaning=words.ALTERNATIVE_MEANINGS[one.alternative],
        log10=ratio.log10_lr,
        log10_central=ratio.central,
        lower=ratio.lower,
        upper=ratio.upper,
        bounded=words.bounded_words(ratio.log10_lr),
        central=words.times(ratio.central),
        interval=_interval(ratio.lower, ratio.upper),
        caps=tuple((name, sign * cap, words.times(sign * cap)) for name, cap in sorted(ratio.caps.items())),
        families=ratio.families,
        population=short_digest(ratio.population),
        band=one.label.statement,
        scale=one.label.scale,
        headline=headline is not None and headline.against == one.alternative,
        without=None if alone else without,
    )


def _scores(one: Weighed, opinion: Opinion, documents: CaseDocuments) -> list[ScoreLine]:
    lines = []
    for group, ratio in sorted(one.evidence.groups.items()):
        cell = _cell(group, ratio, opinion, documents)
        if cell is None or not isinstance(ratio, LikelihoodRatio):
            continue
        for place, name in enumerate(cell.scores):
            least = next((t.falls_below_2_at for t in one.thresholds if (t.group, t.score) == (group, name)), None)
            title, meaning = words.SCORES.get(name, (name.replace("_", " ").capitalize(), ""))
            low, high = cell.ranges[place]
            lines.append(
                ScoreLine(
                    group=_group(group),
                    alternative=words.ALTERNATIVES[one.alternative],
                    name=title,
                    meaning=meaning,
                    value=ratio.statistic[name],
                    low=low,
                    high=high,
                    threshold=least,
                    limit=_limit(ratio, least),
                    walls=(
                        min(cell.supporting.sampling, cell.supporting.process),
                        -min(cell.opposing.sampling, cell.opposing.process),
                    ),
                    ratio=words.bounded_words(ratio.log10_lr),
                    families=cell.families,
                    pairs=cell.pairs,
                    curve=_curve(cell),
                )
            )
    return lines


def _trust(
    tested: list[Weighed], opinion: Opinion, documents: CaseDocuments
) -> tuple[tuple[TrustLine, ...], tuple[str, ...]]:
    """Every ratio among the held-out ones of its cell, and which cells keep none."""
    lines, untried = [], []
    for one in tested:
        for group, ratio in sorted(one.evidence.groups.items()):
            cell = _cell(group, ratio, opinion, documents)
            if cell is None or not isinstance(ratio, LikelihoodRatio):
                continue
            named = {"group": _group(group), "alternative": words.ALTERNATIVES[one.alternative]}
            if (line := trust_line(cell, ratio.central, **named)) is None:
                untried.append(f"{named['group']}, against {named['alternative'].lower()}")
            else:
                lines.append(line)
    return tuple(lines), tuple(untried)


def _layer(layer: LayerMatch) -> tuple[int, str, str]:
    return layer.questioned, "none" if layer.reference is None else str(layer.reference), decimal(layer.agreement)


def _finding(found: FoundPair, documents: CaseDocuments) -> Finding:
    return Finding.model_validate_json(documents.findings[found.document])


def _limit(ratio: LikelihoodRatio, least: float | None) -> str:
    if ratio.log10_lr < LEAST_CLAIM:
        return "The ratio is below 2 as it stands."
    if least is None:
        return "It falls below 2 nowhere in the population's range."
    return f"The ratio would fall below 2 if this score were below {decimal(least)}."


def _cell(
    group: str, ratio: LikelihoodRatio | NotComparable, opinion: Opinion, documents: CaseDocuments
) -> Cell | None:
    if not isinstance(ratio, LikelihoodRatio) or ratio.population not in documents.populations:
        return None
    found = next(one for one in opinion.findings if one.group == group)
    return cell_of(ratio, _finding(found, documents), documents.populations)


def _curve(cell: Cell) -> tuple[CurvePoint, ...]:
    if len(cell.scores) != 1:
        return ()
    ((low, high),) = cell.ranges
    points = []
    for step in range(_STEPS + 1):
        score = low + (high - low) * step / _STEPS
        found = ratio_of(cell, [score])
        points.append(CurvePoint(score=score, central=found.central, lower=found.lower, upper=found.upper))
    return tuple(points)


def _fusion(one: Weighed) -> FusionLine:
    evidence: WeightOfEvidence = one.evidence
    return FusionLine(
        alternative=words.ALTERNATIVES[one.alternative],
        groups=tuple((_group(group), _said(ratio)) for group, ratio in sorted(evidence.groups.items())),
        mean=_said(evidence.emerged),
        fused=_said(evidence.fused),
        best=f"{_group(evidence.best_group)}: {words.bounded_words(evidence.best_single.log10_lr)}",
    )


def _said(ratio: LikelihoodRatio | NotComparable) -> str:
    if isinstance(ratio, NotComparable):
        return f"none: {ratio.detail}"
    return (
        f"{words.bounded_words(ratio.log10_lr)} (central {words.times(ratio.central)}, 95 % interval "
        f"{_interval(ratio.lower, ratio.upper)})"
    )


def _group(group: str) -> str:
    return next((title for name, title in words.GROUPS.items() if name == group), group)


def _interval(lower: float, upper: float) -> str:
    return f"{words.times(lower)} to {words.times(upper)}"


def _priors(headline: Headline | None) -> tuple[tuple[str, str], ...]:
    if headline is None:
        return ()
    return tuple((words.one_in(prior), words.one_in(words.posterior(prior, headline.log10_lr))) for prior in _PRIORS)
