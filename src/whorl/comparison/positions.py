"""T2: are the same things at the same positions? Exact under the symmetry of one model's initialisation and
optimiser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.comparison.alignment import view_similarities
from whorl.core.arrays import Doubles, Ints
from whorl.core.evidence import EValue, Evidence, NotComparable, PValue
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.coincidences import (
    coincidence_log10_e,
    coincidence_log10_p,
    count_coincidences,
    count_signed_coincidences,
    expected_coincidences,
    mutual_best,
    signed_coincidence_log10_p,
)
from whorl.statistics.combine import bonferroni_log10_p
from whorl.statistics.cosines import cosines
from whorl.statistics.subsequence import lis_log10_p, longest_increasing_subsequence

COINCIDENCES: Final = "index_coincidences/1"
SUBSEQUENCE: Final = "increasing_subsequence/1"
RESIDUAL: Final = "residual_coincidences/1"
TILT: Final = 1.0  # fixed in advance, never tuned on counts
_NULL: Final = "the two models are independent"
_SYMMETRY: Final = (
    "in at least one of the two models every order of a layer's neurons (of an expert's, in a mixture) was equally "
    "likely, independently of other layers: random initialisation with identical distributions and a "
    "coordinate-wise optimiser, no sorting, stacking or tying afterwards, and neither order chosen in view of the "
    "other model"
)
_RESIDUAL_SYMMETRY: Final = (
    "in at least one of the two models every order and sign of the residual dimensions was equally likely; no fixed "
    "position encoding is added to the residual stream"
)
_RESIDUAL_ORDER: Final = (
    "in at least one of the two models every order of the residual dimensions was equally likely; no fixed "
    "position encoding is added to the residual stream"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """Outcome of the positional tests.

    ``log10_p`` combines all tests that ran, ``log10_p_layers`` those of layers alone (without the embedding);
    ``coincidences`` are counted by questioned layer.
    """

    evidence: tuple[Evidence, ...]
    log10_p: float | None
    log10_p_layers: float | None
    coincidences: dict[int, int]


def positional_tests(questioned: ModelView, reference: ModelView, table: Doubles) -> Positions:
    """Run every positional test that the two shapes allow.

    Parameters
    ----------
    table : shape (questioned layers, reference layers), two-view agreement. It decides which layers are laid side by
        side; it
        does not change when neurons are reordered, so the choice leaves the null untouched.
    """
    pairs = [(q, r, questioned.neurons[q].blocks, reference.neurons[r].blocks) for q, r in injective_pairs(table)]
    same = [(q, r) for q, r, ours, theirs in pairs if ours == theirs]
    # Order within a mixture is order within each expert, and experts change places whole: no order test over the pool.
    dense = [(q, r) for q, r, ours, theirs in pairs if ours != theirs and len(ours) == len(theirs) == 1]
    evidence: list[Evidence] = []
    counts: dict[int, int] = {}
    if same:
        found = {q: _coincidences(questioned.neurons[q], reference.neurons[r]) for q, r in same}
        counts = {q: count for q, (count, _) in found.items()}
        evidence += _coincidence_evidence(list(counts.values()), sum(expected for _, expected in found.values()))
    if dense:
        evidence.append(_subsequence_evidence(questioned.neurons, reference.neurons, dense))
    if not (same or dense):
        evidence.append(
            NotComparable(
                tier="T2",
                method=COINCIDENCES,
                reason="shapes_differ",
                detail="experts differ in number or width in every layer pair, so positions do not correspond",
            )
        )
    layers = _combined(evidence)
    evidence.append(_residual_evidence(questioned, reference))
    return Positions(evidence=tuple(evidence), log10_p=_combined(evidence), log10_p_layers=layers, coincidences=counts)


def _combined(evidence: Sequence[Evidence]) -> float | None:
    bounds = [item.log10_p for item in evidence if isinstance(item, PValue)]
    return bonferroni_log10_p(bounds) if bounds else None


def injective_pairs(table: Doubles) -> list[tuple[int, int]]:
    """Layer pairs, each layer used once: largest agreement first, nearest relative depth among equals."""
    ours, theirs = table.shape
    depth = np.abs(np.arange(ours)[:, None] / ours - np.arange(theirs)[None, :] / theirs)
    pairs: dict[int, int] = {}
    for place in np.lexsort((depth.ravel(), -table.ravel())):
        row, column = divmod(int(place), theirs)
        if row not in pairs and column not in pairs.values():
            pairs[row] = column
    return sorted(pairs.items())


def matched_neurons(ours: NeuronSignatures, theirs: NeuronSignatures) -> Ints:
    """For each questioned neuron its counterpart by all views together, or -1."""
    opening, writing = view_similarities(ours, theirs)
    return mutual_best(opening + writing)


def _coincidences(ours: NeuronSignatures, theirs: NeuronSignatures) -> tuple[int, float]:
    """How many, and how many chance allows on average."""
    match = matched_neurons(ours, theirs)
    count = count_coincidences(match, questioned_index=ours.index, reference_index=theirs.index)
    expected = expected_coincidences(
        match, blocks=ours.blocks, questioned_index=ours.index, reference_index=theirs.index
    )
    return count, expected


def _coincidence_evidence(counts: Sequence[int], expected: float) -> list[Evidence]:
    total, layers = sum(counts), len(counts)
    statistic = {"coincidences": float(total), "layers": float(layers), "expected_at_most": expected}
    detail = (
        f"{total} neurons are matched with the neuron at their own position, over {layers} layers; chance allows "
        f"{expected:.1f} on average"
    )
    log10_p = coincidence_log10_p(counts, expected=expected)
    log10_e = coincidence_log10_e(counts, tilt=TILT, expected=expected)
    common = {"tier": "T2", "null": _NULL, "assumptions": (_SYMMETRY,), "statistic": statistic, "detail": detail}
    return [
        PValue.model_validate({**common, "method": COINCIDENCES, "log10_p": log10_p}),
        EValue.model_validate({**common, "method": COINCIDENCES, "log10_e": log10_e}),
    ]


def _subsequence_evidence(
    questioned: Sequence[NeuronSignatures], reference: Sequence[NeuronSignatures], pairs: Sequence[tuple[int, int]]
) -> PValue:
    results = []
    for q, r in pairs:
        match = matched_neurons(questioned[q], reference[r])
        # Taken neurons are listed by ascending position, so their order in the list is their order in the layer.
        longest, matched = longest_increasing_subsequence(match), int(np.count_nonzero(match >= 0))
        results.append((lis_log10_p(longest, matched, comparisons=len(pairs)), longest, matched, q))
    best = min(results)
    return PValue(
        tier="T2",
        method=SUBSEQUENCE,
        log10_p=best[0],
        null=_NULL,
        assumptions=(_SYMMETRY,),
        statistic={"longest": float(best[1]), "matched": float(best[2]), "layer": float(best[3])},
        detail=f"in questioned layer {best[3]}, {best[1]} of {best[2]} matched neurons stand in the reference's "
        "order; layers differ in width, so order stands in for position",
    )


def _residual_evidence(questioned: ModelView, reference: ModelView) -> Evidence:
    if not (len(questioned.residual) and len(reference.residual)):
        return NotComparable(
            tier="T2",
            method=RESIDUAL,
            reason="no_shared_vocabulary",
            detail="residual dimensions are compared over tokens that both models know, and there are none",
        )
    if questioned.width != reference.width:
        return NotComparable(
            tier="T2",
            method=RESIDUAL,
            reason="shapes_differ",
            detail=f"the residual streams are {questioned.width} and {reference.width} wide; positions cannot coincide",
        )
    similarity = cosines(questioned.residual, reference.residual)
    if questioned.layer_norm and reference.layer_norm:
        # LayerNorm singles out the all-ones direction, so signs of single dimensions are no symmetry; their order is.
        hits = count_coincidences(mutual_best(np.abs(similarity)))
        log10_p, expected, assumption = coincidence_log10_p([hits]), "one", _RESIDUAL_ORDER
    else:
        hits = count_signed_coincidences(similarity)
        log10_p, expected, assumption = signed_coincidence_log10_p(hits), "one half", _RESIDUAL_SYMMETRY
    return PValue(
        tier="T2",
        method=RESIDUAL,
        log10_p=log10_p,
        null=_NULL,
        assumptions=(assumption,),
        statistic={"coincidences": float(hits), "dimensions": float(len(questioned.residual))},
        detail=f"{hits} of {len(questioned.residual)} residual dimensions are matched with themselves; independent "
        f"models give about {expected}",
    )
