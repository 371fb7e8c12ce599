"""Verdicts ``line``, ``weights-related`` and ``learned-from``: lineage as far as answers can tell it.

Null of each: the questioned model is one more model like the controls. A verdict needs 50 controls of other lines, and
the questioned model must stand out among all of them; below that there are figures and no statement. Method page:
``docs/methods/behaviour.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_population import AnswerPopulation
from whorl.comparison.answer_scores import (
    Alternative,
    PairScores,
    Question,
    Ratio,
    Weighing,
    labelled_scores,
    score_pairs,
)
from whorl.comparison.asked import Asked, lineage_controls, lineage_table
from whorl.comparison.documented_lineage import CIRCUMSTANCES, SHARING_WEIGHTS, Lineage
from whorl.comparison.same_answers import SameModel, same_models
from whorl.core.arrays import Doubles
from whorl.core.behaviour import LEVEL, UNKNOWN, Candidate, ControlScores, Verdict
from whorl.core.progress import Progress
from whorl.fingerprints.answer_table import AnswerTable, joined
from whorl.probes.battery import Battery
from whorl.statistics.detection_power import DetectionPower, detection_power
from whorl.statistics.model_calibration import LEAST_CONTROLS, conformal_rank

QUESTIONED: Final = "(questioned)"
REFERENCE: Final = "(reference)"
_SHOWN: Final = 8
_LEAST_POWER_FAMILIES: Final = 3
_APART: Final = ("unrelated", "unknown")
"""Relations in which nothing that is documented connects two models."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredTogether:
    """Two models and the controls, scored together on the questions that may speak of lineage.

    Parameters
    ----------
    controls : places of the models that stand for strangers
    copies : controls that were left out, for they answer as the reference does
    itself : those that are the questioned model: known lines, and no controls
    """

    pairs: PairScores
    weighing: Weighing
    lineage: Lineage
    known_as: Mapping[str, str]
    questioned: int
    reference: int | None
    controls: tuple[int, ...]
    copies: tuple[str, ...] = ()
    itself: tuple[SameModel, ...] = ()

    def family(self, place: int) -> str:
        return self.pairs.families[place] or self.pairs.agreement.models[place]

    def circumstance(self, place: int, kind: str) -> str | None:
        """Era, language, jurisdiction or vendor of the model at a place, where documented."""
        model = self.pairs.agreement.models[place]
        return self.lineage.circumstance(self.known_as.get(model, model), kind)

    def apart(self, one: int, other: int) -> bool:
        """Whether nothing that is documented connects two models."""
        names = [self.pairs.agreement.models[place] for place in (one, other)]
        relation = self.lineage.relation(*(self.known_as.get(name, name) for name in names))
        return one != other and self.family(one) != self.family(other) and relation in _APART

    def matches(self, kind: str) -> bool:
        """Whether some control is known to share a circumstance with either model."""
        sides = [place for place in (self.questioned, self.reference) if place is not None]
        values = {self.circumstance(place, kind) for place in sides} - {None}
        return any(self.circumstance(place, kind) in values for place in self.controls)

    def score(self, question: Question, one: int, other: int) -> float:
        return float(self.pairs.scores[question][one, other])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Explained:
    circumstance: str
    reason: str


def scored_together(
    questioned: Asked,
    reference: Asked | None,
    battery: Battery,
    table: AnswerTable,
    population: AnswerPopulation,
    progress: Progress,
) -> ScoredTogether:
    asked = {QUESTIONED: questioned} | ({} if reference is None else {REFERENCE: reference})
    ours, controls = _on_common_ground(asked, battery, table)
    # A control that is the reference itself would stand beside it as its own best rival.
    names = {one.known_as for one in asked.values()}
    copies = set() if reference is None else {one.control for one in same_models(controls, ours, REFERENCE)}
    controls = controls.part(models=np.array([model not in names | copies for model in controls.models], bool))
    whole = joined(controls, ours)
    # The questioned model itself says nothing of strangers; the line that it stands for is known all the same.
    named = (questioned.about.name,) if reference is None else ()
    itself = same_models(controls, ours, QUESTIONED, named=named)
    strangers = np.setdiff1d(controls.models, [one.control for one in itself])
    known_as = {name: one.known_as for name, one in asked.items() if one.known_as is not None}
    found = agreement(
        whole,
        np.isin(whole.models, strangers),
        groups_of(whole.models, population.lineage, known_as=known_as),
        progress=progress,
    )
    places = {model: place for place, model in enumerate(whole.models)}
    pairs = _firm(score_pairs(found, population.lineage, known_as=known_as), places[QUESTIONED])
    return ScoredTogether(
        pairs=pairs,
        weighing=Weighing(pairs, labelled_scores([_without(pairs, itself)], population.lineage)),
        lineage=population.lineage,
        known_as=known_as,
        questioned=places[QUESTIONED],
        reference=places.get(REFERENCE),
        controls=tuple(places[model] for model in strangers.tolist()),
        copies=tuple(sorted(copies - names)),
        itself=itself,
    )


def _on_common_ground(
    asked: Mapping[str, Asked], battery: Battery, table: AnswerTable
) -> tuple[AnswerTable, AnswerTable]:
    """Those who are asked and the controls, on what all those who are asked answered.

    Over fewer questions everybody's scores scatter more, and controls that were measured over more of them would be no
    measure of that.
    """
    ours, controls = lineage_table(table.dataset, battery, asked), lineage_controls(table, battery)
    ours = ours.part(items=np.array([all(row) for row in ours.answers.tolist()], dtype=bool))  # not missing, not empty
    return ours, controls.part(items=np.isin(controls.items, ours.items))


def _without(pairs: PairScores, left_out: Sequence[SameModel]) -> PairScores:
    """The same scores, in which some models are of no known family, so that no pair of theirs is one of known truth."""
    names = {one.control for one in left_out}
    families = tuple(
        None if model in names else family for model, family in zip(pairs.agreement.models, pairs.families, strict=True)
    )
    return replace(pairs, families=families)


def _firm(pairs: PairScores, questioned: int) -> PairScores:
    """Scores times the root of their items, in units of the questioned model's usual number of items.

    Controls that gave fewer answers scatter more, and would pass for rivals by that alone.
    """
    items = pairs.agreement.items
    usual = float(np.median(np.delete(items[questioned], questioned)))
    roots = np.sqrt(items / max(usual, 1.0))
    return replace(pairs, scores={name: values * roots for name, values in pairs.scores.items()})


def _unrelated(scored: ScoredTogether, *others: int) -> tuple[int, ...]:
    """Controls that stand in no documented relation to the given places, neither by family nor by teaching."""
    return tuple(place for place in scored.controls if all(scored.apart(place, other) for other in others))


def _row(scored: ScoredTogether, question: Question, place: int, others: Sequence[int]) -> Doubles:
    return _known(scored.pairs.scores[question][place, list(others)])


def weights_verdict(scored: ScoredTogether | None) -> Verdict:
    if scored is None or scored.reference is None:
        missing = "a reference" if scored is not None else "a population of control models"
        return Verdict(
            outcome="inconclusive", reason=f"Without {missing} nothing is known of what unrelated models share."
        )
    one, other = scored.questioned, scored.reference
    score = scored.score("same_weights", one, other)
    if np.isnan(score):
        return Verdict(outcome="inconclusive", reason="The two have too few answers to the same questions.")
    controls = _unrelated(scored, one, other)
    sides = [_row(scored, "same_weights", place, controls) for place in (one, other)]
    fewest = min(len(side) for side in sides)
    if fewest < LEAST_CONTROLS:
        return Verdict(
            outcome="inconclusive",
            score=score,
            reason=_too_few(fewest),
        )
    p = max(conformal_rank(score, side) for side in sides)
    ratios = {against: _ratio(scored, against) for against in ("unrelated", "learned")}
    weighed = [ratio for ratio in ratios.values() if isinstance(ratio, float)]
    log10_lr = min(weighed) if weighed else None
    seen = kin_power(scored.pairs, scored.lineage, controls)
    power = None if seen is None else seen.probability
    if p > LEVEL:
        near = f"{round(p * (fewest + 1)) - 1} of {fewest} control models stand as near"
        if power is None:
            return Verdict(
                outcome="inconclusive",
                log10_lr=log10_lr,
                p=p,
                score=score,
                reason=f"Nothing stands out: {near}. The population has too few pairs that share weights to say how "
                "probably such a pair would have been seen.",
            )
        return Verdict(
            outcome="none_found" if power >= 0.5 else "inconclusive",
            log10_lr=log10_lr,
            p=p,
            score=score,
            power=power,
            reason=f"Nothing stands out: {near}. Of pairs in the population that share weights, a share of {power:.2f} "
            "stand out.",
        )
    alike = _matched(scored, score, controls)
    if alike is not None:
        return Verdict(
            outcome="inconclusive",
            log10_lr=0.0,
            p=p,
            score=score,
            power=power,
            explained_by=alike.circumstance,
            reason=alike.reason,
        )
    nearer = f"The two agree beyond the questions more than either does with any of {fewest} control models"
    if not isinstance(ratios["unrelated"], float) or ratios["unrelated"] <= 0:
        return Verdict(
            outcome="inconclusive",
            log10_lr=log10_lr,
            p=p,
            score=score,
            power=power,
            reason=f"{nearer}, but the population does not support a ratio in favour of shared weights: "
            f"{_why(ratios['unrelated'])}",
        )
    if not isinstance(ratios["learned"], float) or ratios["learned"] <= 0:
        return Verdict(
            outcome="inconclusive",
            log10_lr=min(0.0, log10_lr or 0.0),
            p=p,
            score=score,
            power=power,
            reason=f"{nearer}: they are not independent. Training on the other's answers explains it as well as shared "
            f"weights do: {_why(ratios['learned'])}",
        )
    return Verdict(
        outcome="supported",
        log10_lr=log10_lr,
        p=p,
        score=score,
        power=power,
        reason=f"{nearer}, and more than models do that were trained on each other's answers.",
    )


def _matched(scored: ScoredTogether, score: float, controls: Sequence[int]) -> _Explained | None:
    """Why models of the same circumstances explain the agreement, where one of them stands as near.

    The sharpest comparison is with models of the same era, language, jurisdiction or vendor: they are alike for reasons
    that are no descent. However few they are, the pair must pass every one of them on both sides.
    """
    assert scored.reference is not None
    for kind in CIRCUMSTANCES:
        for place in (scored.questioned, scored.reference):
            value = scored.circumstance(place, kind)
            same = [other for other in controls if value is not None and scored.circumstance(other, kind) == value]
            near = [_row(scored, "same_weights", side, same) for side in (scored.questioned, scored.reference)]
            if any((row >= score).any() for row in near):
                return _Explained(
                    circumstance=kind,
                    reason=f"Of {len(same)} unrelated control models of the same {kind} ({value}), some stand as near: "
                    f"what models of one {kind} have in common explains the agreement.",
                )
    return None


def _too_few(found: int) -> str:
    return (
        f"{found} control models answered these questions; no lineage statement rests on fewer than {LEAST_CONTROLS}."
    )


def _why(ratio: float | str) -> str:
    if isinstance(ratio, str):
        return ratio
    return "the ratio speaks for neither side." if ratio == 0 else f"the ratio is at most 10^{ratio:.1f}."


def _ratio(scored: ScoredTogether, against: Alternative) -> float | str:
    assert scored.reference is not None
    ratio = scored.weighing.weigh(scored.questioned, scored.reference, against=against).ratio
    return ratio.log10_lr if isinstance(ratio, Ratio) else ratio.detail


def kin_power(pairs: PairScores, lineage: Lineage, controls: Sequence[int]) -> DetectionPower | None:
    """How often control pairs that share weights stand out among unrelated controls; a family counts once.

    Returns
    -------
    None with fewer than 3 families that have such a pair
    """
    hits: dict[str, list[float]] = {}
    families = {place: pairs.families[place] for place in controls}
    models, scores = pairs.agreement.models, pairs.scores["same_weights"]
    for number, one in enumerate(controls):
        for other in controls[:number]:
            if families[one] is None or families[one] != families[other]:
                continue
            if lineage.relation(models[one], models[other]) not in SHARING_WEIGHTS:
                continue
            others = [
                place
                for place in controls
                if families[place] != families[one]
                and all(lineage.relation(models[place], models[side]) in _APART for side in (one, other))
            ]
            sides = [_known(scores[place, others]) for place in (one, other)]
            if np.isnan(scores[one, other]) or min(map(len, sides)) < 2:
                continue
            # With fewer than 49 others, to pass all of them is the most a pair can do.
            reachable = max(LEVEL, 1 / (min(map(len, sides)) + 1))
            stands_out = max(conformal_rank(float(scores[one, other]), side) for side in sides) <= reachable
            hits.setdefault(str(families[one]), []).append(float(stands_out))
    if len(hits) < _LEAST_POWER_FAMILIES:
        return None
    return detection_power([float(np.mean(found)) for found in hits.values()])


def _known(values: Doubles) -> Doubles:
    return np.asarray(values[~np.isnan(values)])


def line_verdict(scored: ScoredTogether | None, reference: Asked | None) -> Verdict:
    if scored is None:
        return Verdict(outcome="inconclusive", reason="Without a population of control models no line is known.")
    models = scored.pairs.agreement.models
    itself = [models.index(one.control) for one in scored.itself]
    known = itself if scored.reference is None else [scored.reference, *itself]
    ranked = _lines(scored, scored.questioned, known=known)
    if not ranked or len(scored.controls) < LEAST_CONTROLS:
        return Verdict(
            outcome="inconclusive",
            candidates=tuple(Candidate(name=name, score=score, p=None) for name, score in ranked[:_SHOWN]),
            reason=_too_few(len(scored.controls)),
        )
    best = ranked[0][1]
    # The nearest line of a model whose own line is not there: what a stranger's best match looks like.
    strangers = [
        found[0][1]
        for place in _unrelated(scored, *((scored.reference,) if scored.reference is not None else ()))
        if (found := _lines(scored, place, strangers_only=True))
    ]
    p = conformal_rank(best, np.array(strangers))
    candidates = tuple(
        Candidate(name=_shown_line(name, reference), score=score, p=conformal_rank(score, np.array(strangers)))
        for name, score in ranked[:_SHOWN]
    )
    if p > LEVEL:
        return Verdict(
            outcome=UNKNOWN,
            p=p,
            score=best,
            candidates=candidates,
            reason=f"The nearest known line, {candidates[0].name}, is no nearer than known lines are to models of "
            "other lines.",
        )
    return Verdict(
        outcome=candidates[0].name,
        p=p,
        score=best,
        candidates=candidates,
        reason=f"Nearer to {candidates[0].name} than any control model is to a line that is not its own. A line is a "
        "lead: it does not tell shared weights from training on answers.",
    )


def _shown_line(name: str, reference: Asked | None) -> str:
    return reference.about.name if name == REFERENCE and reference is not None else name


def _lines(
    scored: ScoredTogether, place: int, *, known: Sequence[int] = (), strangers_only: bool = False
) -> list[tuple[str, float]]:
    """Families by their nearest member, best first."""
    best: dict[str, float] = {}
    for other in (*scored.controls, *known):
        score = scored.score("line", place, other)
        if other != place and not np.isnan(score) and (not strangers_only or scored.apart(place, other)):
            name = scored.family(other)
            best[name] = max(best.get(name, -np.inf), score)
    return sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))


def learned_verdict(scored: ScoredTogether | None, weights: Verdict, reference: Asked | None) -> Verdict:
    if scored is None:
        return Verdict(outcome="inconclusive", reason="Without a population of control models no teacher is known.")
    if weights.outcome == "supported":
        return Verdict(
            outcome="inconclusive",
            reason="The two share weights as far as answers tell; training on answers is then not seen.",
        )
    named = () if scored.reference is None else (scored.reference,)
    if len(scored.controls) < LEAST_CONTROLS:
        return Verdict(
            outcome="inconclusive",
            reason=_too_few(len(scored.controls)),
        )
    candidates = sorted(
        (_teacher(scored, place, reference) for place in (named or scored.controls)),
        key=lambda one: (one.p if one.p is not None else 1.0, -one.score),
    )
    tried = len(candidates)
    best = candidates[0]
    rivals = [scored.score("taught", scored.questioned, place) for place in scored.controls if place not in named]
    p = None if best.p is None else min(1.0, tried * best.p)
    shown = tuple(candidates[:_SHOWN])
    if (
        p is not None
        and p <= LEVEL
        and best.score >= max((one for one in rivals if not np.isnan(one)), default=-np.inf)
    ):
        return Verdict(
            outcome="candidates",
            p=p,
            score=best.score,
            candidates=shown[:1],
            reason=f"Its phrasing is nearer to {best.name} than any control model's is, and nearer than to any other. "
            "The same public training data would look the same.",
        )
    if p is not None and p > 0.2:
        return Verdict(
            outcome="none_of_these",
            p=p,
            score=best.score,
            candidates=shown,
            reason=f"None of {tried} candidate{'s' if tried > 1 else ''} stands out. A teacher that was not asked, or "
            "whose manner was not taken over, is not seen.",
        )
    return Verdict(
        outcome="inconclusive",
        p=p,
        score=best.score,
        candidates=shown,
        reason="The nearest candidate stands out too little, after counting how many were tried.",
    )


def _teacher(scored: ScoredTogether, place: int, reference: Asked | None) -> Candidate:
    """How near the questioned model is to a candidate, against how near models of other lines are."""
    score = scored.score("taught", scored.questioned, place)
    others = _unrelated(scored, place)
    row = _row(scored, "taught", place, [other for other in others if other != place])
    name = scored.pairs.agreement.models[place]
    return Candidate(
        name=_shown_line(name, reference),
        score=0.0 if np.isnan(score) else score,
        p=None if np.isnan(score) or not len(row) else conformal_rank(score, row),
    )


def similarities(scored: ScoredTogether | None) -> tuple[ControlScores, ...]:
    if scored is None or scored.reference is None:
        return ()
    apart = _unrelated(scored, scored.questioned, scored.reference)
    of_teacher = _unrelated(scored, scored.reference)
    found = (
        _control_scores(scored, "same_weights", apart, apart),
        _control_scores(scored, "taught", apart, of_teacher),
    )
    return tuple(one for one in found if one is not None)


def _control_scores(
    scored: ScoredTogether, question: Question, of_questioned: Sequence[int], of_reference: Sequence[int]
) -> ControlScores | None:
    assert scored.reference is not None
    value = scored.score(question, scored.questioned, scored.reference)
    if np.isnan(value):
        return None
    return ControlScores(
        speaks_to="weights-related" if question == "same_weights" else "learned-from",
        title="Agreement beyond the questions"
        if question == "same_weights"
        else "Openings, closings and phrases in common",
        value=value,
        controls=tuple(_row(scored, question, scored.questioned, of_questioned).tolist()),
        reference_controls=tuple(_row(scored, question, scored.reference, of_reference).tolist()),
    )
