"""Is a share one of trained weights, or may it come of a common start alone?

Two runs from one start keep much of it, and that much of one of them fits in any sum for the other. So what a sum says
of a candidate is held against the candidate as a whole comparison would hold two models: `whorl.comparison.kinship`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from whorl.comparison.alignment import LayerPair
from whorl.comparison.figures import figures_of
from whorl.comparison.inheritance import LEAST_ROWS, inheritance
from whorl.comparison.kinship import Judgement, inheritance_evidence, judge, kinship_evidence, matched_weights
from whorl.comparison.merge_sum import Part
from whorl.comparison.population import population_ratios
from whorl.core.arrays import Floats
from whorl.core.evidence import Finding
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.ratio_population import Population
from whorl.statistics.spectrum import structured_share


def judged_alone(finding: Finding) -> Judgement:
    """What a whole comparison of the questioned model with the only candidate in the sum says."""
    statement = finding.conclusion.statement.rstrip(".")
    match finding.conclusion.relation:
        case "identical" | "derived":
            return Judgement(verdict="derived", reason=statement)
        case "shared_initialisation":
            return Judgement(verdict="shared_initialisation", reason=statement)
        case "none_found" | "inconclusive":
            return Judgement(verdict="undecided", reason=statement)


def judged_in_sum(part: Part, candidate: ModelView, population: Population) -> Judgement:
    """The same of one candidate among several: of the questioned rows less the other models' parts.

    Both sides are brought to one length first. How much shorter than its parents a sum of strangers is counts for
    shared training in a comparison of two models; here the other parents were taken off, and every part is short.
    Without lengths, what is left of a model that was not named looks like trainings apart: a common start alone is
    never the answer here.

    Parameters
    ----------
    candidate : the candidate's view; only its layers are replaced
    """
    used = [
        (ours, theirs) for ours, theirs in zip(part.questioned, part.candidate, strict=True) if len(ours) >= LEAST_ROWS
    ]
    lengths = [float(np.sqrt(sum(np.vdot(pair[side], pair[side]) for pair in used))) for side in (0, 1)]
    nothing = Judgement(
        verdict="undecided",
        reason="too little of it is in any layer to tell what was learned from what it started with",
    )
    if not min(lengths, default=0) > 0:
        return nothing
    scale = np.float32(lengths[1] / lengths[0])
    left = _view(candidate, [scale * ours for ours, _ in used])
    right = _view(candidate, [theirs for _, theirs in used])
    pairs = [_whole(number, len(theirs)) for number, (_, theirs) in enumerate(used)]
    weights, heritage = matched_weights(left, right, pairs), inheritance(left, right, pairs)
    if weights is None or heritage is None:
        return nothing
    figures = figures_of((*kinship_evidence(weights, None, equal_parts=None), *inheritance_evidence(heritage)))
    ratio = population_ratios(population, "weights", figures).get("same_seed")
    found = judge(weights, ratio, equal_parts=None, contained=heritage.correlation)
    reason = f"with the other models' parts taken off, {found.reason}"
    if found.verdict == "shared_initialisation":
        reason += "; a merge with a model that was not named would look the same"
        return Judgement(verdict="undecided", reason=reason)
    return replace(found, reason=reason)


def _view(model: ModelView, layers: Sequence[Floats]) -> ModelView:
    return replace(model, neurons=tuple(_neurons(rows) for rows in layers))


def _neurons(rows: Floats) -> NeuronSignatures:
    """Opening rows alone: nothing is known here of what the neurons read besides and write."""
    share = structured_share(rows)
    length = np.linalg.norm(rows, axis=1)
    return NeuronSignatures(
        index=np.arange(len(rows)),
        gate=rows,
        up=np.zeros_like(rows),
        down=np.zeros_like(rows),
        norms=np.stack([length, length], axis=1).astype(np.float32),
        structure=(share, share, share),
        blocks=(len(rows),),
    )


def _whole(layer: int, rows: int) -> LayerPair:
    """A layer laid over itself, row by row."""
    every = np.arange(rows)
    return LayerPair(
        questioned=layer,
        reference=layer,
        rows_questioned=every,
        rows_reference=every,
        neurons=rows,
        found=rows,
        established=True,
    )
