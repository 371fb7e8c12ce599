"""Derived, or merely started from the same initialisation? And is anything left of a rewrite to see?

Weights that match neuron by neuron prove common weights, not descent: two runs from one seed keep so much of their
initialisation that their neurons stay recognisable. What separates a child from a sibling is how much of the
*trained* part is shared: a child contains all of its parent's, a sibling only what both runs happened to learn alike.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from whorl.comparison.alignment import LayerPair
from whorl.comparison.inheritance import Inheritance
from whorl.comparison.population import LEAST_OF_PARTS
from whorl.core.arrays import Doubles, Floats
from whorl.core.evidence import Evidence, NotComparable, plain_score
from whorl.fingerprints.model_view import ModelView
from whorl.statistics.ratio_population import Ratio
from whorl.statistics.slopes import regression_slopes

MATCHED: Final = "matched_weights/1"
INHERITANCE: Final = "inherited_structure/1"
GAINS: Final = "gain_slopes/1"

LEAST_STRUCTURE: Final = 0.03  # of models trained here: 0.03 to 0.5; of random weights: below 0.02
DERIVED_FROM: Final = 0.2  # log10 of the ratio's lower end: zero was passed by one sibling in 1,266, with a merge
LEAST_CONTAINED: Final = 0.76  # runs of one start reach 0.74 by stored fingerprints
LITTLE_TRAINED: Final = 0.1  # structure; runs of one start that learned less learn it alike: up to 0.88 is contained
LEAST_CONTAINED_OF_LITTLE: Final = 0.9
MERGE_LENGTH: Final = 0.9  # averages with a stranger are shorter; so are runs with much more weight decay
NEXT_TO_NOTHING: Final = 0.02  # difference over structure; slow siblings begin at 0.05
BF16_ROUNDING: Final = 2.0**-7  # twice the step of bf16
GAINS_USABLE: Final = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Verdict on two models known to share weights, with its reason in words."""

    verdict: Literal["derived", "shared_initialisation", "undecided"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GainSlopes:
    """Regression of norm gains, each norm's less its mean: correlation and both slopes.

    Gains start at a constant, so what varies within a norm was learned. ``moved`` says whether any gain differs by more
    than rounding to bf16 explains; ``reordered`` whether the same values stand in another order.
    """

    correlation: float
    questioned_on_reference: float
    reference_on_questioned: float
    values: int
    identical: bool
    moved: bool
    reordered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedWeights:
    """Matched gate rows after alignment: cosine, both regression slopes, and what training visibly wrote.

    ``difference`` is 1 - mean cosine; ``structure`` the structured share of the weights (the larger of the two
    models', since averaging and noise hide it): a lower estimate of how much of them is training rather than
    initialisation. ``least_structure`` is that of the least structured of gate, up and down: uneven norm gains alone
    make the columns of gate and up uneven, which looks like structure, but never meet down.
    """

    cosine: float
    difference: float
    structure: float
    least_structure: float
    questioned_on_reference: float
    reference_on_questioned: float
    neurons: int


def pair_cosines(questioned: ModelView, reference: ModelView, pair: LayerPair) -> Doubles:
    """Cosine of each matched gate row with its counterpart, shape (m,)."""
    ours = questioned.neurons[pair.questioned].gate[pair.rows_questioned].astype(np.float64)
    theirs = reference.neurons[pair.reference].gate[pair.rows_reference].astype(np.float64)
    scale = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = np.einsum("ij,ij->i", ours, theirs) / np.where(scale > 0, scale, 1)
    # Signs of Gaussian projections agree with probability 1 - angle / pi.
    return np.asarray(cosine if questioned.exact else np.sin(np.pi / 2 * cosine), np.float64)


def matched_weights(questioned: ModelView, reference: ModelView, pairs: Sequence[LayerPair]) -> MatchedWeights | None:
    """Slopes over all established layers, or None where nothing matched."""
    dot = norm_q = norm_r = 0.0
    cosines = []
    for pair in pairs:
        cosine = pair_cosines(questioned, reference, pair)
        ours = questioned.neurons[pair.questioned].norms[pair.rows_questioned, 0].astype(np.float64)
        theirs = reference.neurons[pair.reference].norms[pair.rows_reference, 0].astype(np.float64)
        dot += float((cosine * ours * theirs).sum())
        norm_q += float((ours**2).sum())
        norm_r += float((theirs**2).sum())
        cosines.append(cosine)
    if not (norm_q > 0 and norm_r > 0):
        return None
    slopes = regression_slopes(dot, norm_q, norm_r)
    joined = np.concatenate(cosines)
    return MatchedWeights(
        cosine=float(np.median(joined)),
        difference=float(1 - joined.mean()),
        structure=max(float(np.mean(_structure(view))) for view in (questioned, reference)),
        least_structure=max(float(np.min(_structure(view))) for view in (questioned, reference)),
        questioned_on_reference=slopes[0],
        reference_on_questioned=slopes[1],
        neurons=len(joined),
    )


def _structure(view: ModelView) -> Doubles:
    """Structured share of gate, up (where there is one) and down, means over layers."""
    gated = any(layer.up.any() for layer in view.neurons)
    shares = np.mean([layer.structure for layer in view.neurons if layer.structure is not None], axis=0)
    return np.asarray(shares if gated else shares[[0, 2]], np.float64)


def gain_slopes(questioned: ModelView, reference: ModelView, layer_map: Mapping[int, int]) -> GainSlopes | None:
    """Slopes of norm gains over mapped layers; None where no gain varies or none corresponds."""
    pairs: list[tuple[Floats, Floats]] = []
    whole = len(layer_map) == len(questioned.neurons) and len(set(layer_map.values())) == len(reference.neurons)
    for role, gain in questioned.gains.items():
        # The final norm follows the whole stack: where only some layers correspond, it says nothing about those.
        other = _counterpart(role, layer_map) if whole or role.startswith("layers.") else None
        theirs = None if other is None else reference.gains.get(other)
        if theirs is not None and theirs.shape == gain.shape:
            pairs.append((gain, theirs))
    if not pairs:
        return None
    ours, theirs = (np.concatenate([_centred(pair[side]) for pair in pairs]) for side in (0, 1))
    dot, norm_q, norm_r = float(ours @ theirs), float(ours @ ours), float(theirs @ theirs)
    if not (norm_q > 0 and norm_r > 0):
        return None
    slopes = regression_slopes(dot, norm_q, norm_r)
    return GainSlopes(
        correlation=dot / float(np.sqrt(norm_q * norm_r)),
        questioned_on_reference=slopes[0],
        reference_on_questioned=slopes[1],
        values=len(ours),
        identical=all(np.array_equal(q, r) for q, r in pairs),
        moved=not all(np.allclose(q, r, rtol=BF16_ROUNDING, atol=0) for q, r in pairs),
        reordered=all(np.allclose(np.sort(q), np.sort(r), rtol=BF16_ROUNDING, atol=0) for q, r in pairs),
    )


def _centred(gain: Floats) -> Doubles:
    return np.asarray(gain - gain.mean(), np.float64)


def judge(
    weights: MatchedWeights,
    ratio: Ratio | None,
    *,
    equal_parts: str | None,
    contained: float = 1.0,
    norms: float = 1.0,
) -> Judgement:
    """Derived, siblings of one initialisation, or undecided, with the reason.

    Values that are equal bit for bit in mapped layers (``equal_parts`` says which) decide: runs that share only a start
    do not keep them. Otherwise the calibrated ratio against a common start decides, where its interval excludes 1,
    and for descent a little more than 1 (`DERIVED_FROM`), unless less than `LEAST_CONTAINED` of the structure is
    ``contained`` (where training wrote little, less than `LEAST_CONTAINED_OF_LITTLE`). A common start alone is not
    named where ``norms``, the one model's length over the other's, looks like an average: a merge that holds little of
    a model has the same figures.
    Where there is none, because training wrote too little to be told from the start, only a difference next to nothing,
    as against what little was written, counts as descent.

    Runs with the same seed *and* the same data order are one run as far as this can see, and may come out as derived.
    """
    trained = weights.structure >= LEAST_STRUCTURE and weights.least_structure >= LEAST_OF_PARTS
    if equal_parts is not None and trained:
        return Judgement(verdict="derived", reason=f"{equal_parts} are equal bit for bit")
    figures = (
        f"matched weights differ by {weights.difference:.3f} (1 - mean cosine) where training visibly wrote "
        f"{weights.structure:.3f} of them"
    )
    if ratio is None:
        if trained and weights.difference < NEXT_TO_NOTHING * weights.structure:
            return Judgement(verdict="derived", reason=f"{figures}, far less than runs differ that share only a start")
        return Judgement(
            verdict="undecided", reason=f"{figures}: too little to tell what was learned from what both started with"
        )
    # The ratio itself stands in the evidence, with its interval, caps and population: never in a sentence without them.
    weighed = f"{figures}; weighed on the reference population, that favours"
    enough = LEAST_CONTAINED if weights.structure >= LITTLE_TRAINED else LEAST_CONTAINED_OF_LITTLE
    if ratio.lower > DERIVED_FROM and contained >= enough:
        return Judgement(verdict="derived", reason=f"{weighed} shared training over only a common start")
    if ratio.upper < 0:
        only_start = f"{weighed} only a common start over shared training"
        if MERGE_LENGTH <= norms <= 1 / MERGE_LENGTH:
            return Judgement(verdict="shared_initialisation", reason=only_start)
        length = min(norms, 1 / norms)
        return Judgement(
            verdict="undecided",
            reason=f"{only_start}, but the weights of one are {length:.2f} times as long as the other's: an average of "
            "one with a third model is shortened like that, and looks the same",
        )
    return Judgement(verdict="undecided", reason=f"{weighed} neither shared training nor only a common start")


def inheritance_evidence(heritage: Inheritance | None) -> tuple[Evidence, ...]:
    """The figures that tell a descendant from a sibling, where enough neurons matched."""
    if heritage is None:
        return ()
    return (
        plain_score(
            tier="T4",
            method=INHERITANCE,
            value=heritage.contained,
            statistic={
                "structure_of_reference": heritage.structure_of_reference,
                "bulk_of_reference": heritage.bulk_of_reference,
                "structure_of_questioned": heritage.structure_of_questioned,
                "bulk_of_questioned": heritage.bulk_of_questioned,
                "preference": heritage.preference,
                "norms": heritage.norms,
                "learned": heritage.learned,
                "structured": heritage.structured,
                "cosine": heritage.cosine,
                "rows": float(heritage.rows),
            },
            detail=f"{heritage.contained:.2f} of the structure that training wrote is contained, "
            f"{math.exp(heritage.preference):.2f} times as much as of the featureless rest, in the direction in which "
            f"it is more (over {heritage.rows} neurons)",
        ),
    )


def kinship_evidence(
    weights: MatchedWeights | None, gains: GainSlopes | None, *, equal_parts: str | None
) -> tuple[Evidence, ...]:
    """The figures behind a judgement, or why there are none."""
    if weights is None:
        return (
            NotComparable(
                tier="T4",
                method=MATCHED,
                reason="not_needed",
                detail="no common weights were established, so there is no change to type",
            ),
        )
    matched = plain_score(
        tier="T4",
        method=MATCHED,
        value=weights.cosine,
        statistic={
            "questioned_on_reference": weights.questioned_on_reference,
            "reference_on_questioned": weights.reference_on_questioned,
            "difference": weights.difference,
            "structure": weights.structure,
            "least_structure": weights.least_structure,
            "neurons": float(weights.neurons),
            "equal_parts": float(equal_parts is not None),
        },
        detail=f"median cosine of {weights.neurons} matched neurons after alignment",
    )
    if gains is None:
        none = NotComparable(
            tier="T4",
            method=GAINS,
            reason="too_little_data",
            detail="no norm gain varies in both models, so there is nothing that started at a known value",
        )
        return (matched, none)
    slopes = plain_score(
        tier="T4",
        method=GAINS,
        value=gains.correlation,
        statistic={
            "questioned_on_reference": gains.questioned_on_reference,
            "reference_on_questioned": gains.reference_on_questioned,
            "values": float(gains.values),
        },
        detail=f"correlation of {gains.values} centred norm gains over mapped layers; rewritten gains cannot be "
        "compared",
    )
    return (matched, slopes)


def _counterpart(role: str, layer_map: Mapping[int, int]) -> str | None:
    if not role.startswith("layers."):
        return role
    _, number, rest = role.split(".", 2)
    layer = layer_map.get(int(number))
    return None if layer is None else f"layers.{layer}.{rest}"
