"""What a model inherited: how much of what the other's training wrote, against how much of the rest.

Two runs from one seed share their start and were trained apart: they keep more of the featureless bulk of each other's
weights than of the structure that training wrote on top. A descendant keeps both alike, and after long further training
the structure better. The comparison needs no norm gains and does not change under any free rewrite.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.comparison.alignment import LayerPair
from whorl.core.arrays import Doubles, Floats
from whorl.fingerprints.model_view import ModelView
from whorl.statistics.cosines import unit_rows
from whorl.statistics.spectrum import split_structure

LEAST_ROWS: Final = 16
LEAST_SLOPE: Final = 0.05
ROUNDING: Final = 2e-5  # a smaller change, as a share of the squared weights, is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """Regression of each model's matched weights on the other's, structure and bulk apart.

    Parameters
    ----------
    structure_of_reference, bulk_of_reference : slope of the questioned weights on the reference's structured part and
        on the rest; 1 where all of it is contained
    structure_of_questioned, bulk_of_questioned : the other way round
    structured : share of the energy that the structured parts hold, the smaller of the two models'
    cosine : of all matched weights
    growth : (|Q|^2 - |R|^2) / |Q - R|^2 of matched gate rows: about 1 where the questioned model is the reference plus
        something unrelated to it, -1 where it is the other way round
    structure_growth : the same of the structured parts
    norms : |Q| / |R| of matched gate rows; a sum of unrelated models is shorter than either
    learned : share of the matched rows' energy that stands above noise, the larger of the two models': a lower
        estimate of how much of them training wrote
    rows : matched neurons behind these figures
    """

    structure_of_reference: float
    bulk_of_reference: float
    structure_of_questioned: float
    bulk_of_questioned: float
    structured: float
    cosine: float
    growth: float
    structure_growth: float
    norms: float
    learned: float
    rows: int

    @property
    def contained(self) -> float:
        """Structure that one model has of the other, in the direction in which it has more."""
        return max(self.structure_of_reference, self.structure_of_questioned)

    @property
    def correlation(self) -> float:
        """Correlation in the structured parts: geometric mean of both slopes, at most 1."""
        return min(1.0, math.sqrt(max(0.0, self.structure_of_reference) * max(0.0, self.structure_of_questioned)))

    @property
    def preference(self) -> float:
        """Natural log of structure over bulk, larger of both directions: about 0 in descendants, below in siblings."""
        return max(self.preference_of_reference, self.preference_of_questioned)

    @property
    def preference_of_reference(self) -> float:
        """How much better the questioned model has the reference's structure than its bulk, natural log."""
        return _log_ratio(self.structure_of_reference, self.bulk_of_reference)

    @property
    def preference_of_questioned(self) -> float:
        """How much better the reference has the questioned model's structure than its bulk, natural log."""
        return _log_ratio(self.structure_of_questioned, self.bulk_of_questioned)


def _log_ratio(structure: float, bulk: float) -> float:
    return math.log(max(structure, LEAST_SLOPE) / max(bulk, LEAST_SLOPE))


def inheritance(questioned: ModelView, reference: ModelView, pairs: Sequence[LayerPair]) -> Inheritance | None:
    """Both regressions over established layers, or None where too few neurons matched.

    From stored fingerprints the rows are signs: slopes are lower, and comparable only among stored fingerprints.
    """
    sums = np.zeros((3, 4, 2))  # matrices; slopes; product and square
    energy = np.zeros((2, 2))  # side; structured and whole
    shares: list[tuple[float, float]] = []
    growth, structure_growth, lengths = np.zeros(2), np.zeros(2), np.zeros(2)
    products = np.zeros(3)
    rows = 0
    for pair in pairs:
        if len(pair.rows_questioned) < LEAST_ROWS:
            continue
        rows += len(pair.rows_questioned)
        for number, (ours, theirs) in enumerate(_matched(questioned, reference, pair)):
            found = split_structure(ours), split_structure(theirs)
            parts = found[0].part, found[1].part
            shares.append((found[0].share, found[1].share))
            for side, (one, other, split) in enumerate(((ours, theirs, parts[1]), (theirs, ours, parts[0]))):
                bulk = other - split
                sums[number, 2 * side] += _dot(one, split), _dot(split, split)
                sums[number, 2 * side + 1] += _dot(one, bulk), _dot(bulk, bulk)
            energy += [[_dot(parts[0], parts[0]), _dot(ours, ours)], [_dot(parts[1], parts[1]), _dot(theirs, theirs)]]
            products += _dot(ours, theirs), _dot(ours, ours), _dot(theirs, theirs)
            if number == 0:
                growth += _growth(ours, theirs)
                structure_growth += _growth(*parts)
                lengths += _dot(ours, ours), _dot(theirs, theirs)
    used = sums[:, :, 1].min(axis=1) > 0
    if not rows or not used.any():
        return None
    slopes = (sums[used, :, 0] / sums[used, :, 1]).mean(axis=0)
    return Inheritance(
        structure_of_reference=float(slopes[0]),
        bulk_of_reference=float(slopes[1]),
        structure_of_questioned=float(slopes[2]),
        bulk_of_questioned=float(slopes[3]),
        structured=float((energy[:, 0] / energy[:, 1]).min()),
        cosine=float(products[0] / np.sqrt(products[1] * products[2])),
        growth=_ratio(growth, lengths),
        structure_growth=_ratio(structure_growth, lengths),
        norms=float(np.sqrt(lengths[0] / lengths[1])),
        learned=float(np.mean(shares, axis=0).max()),
        rows=rows,
    )


def _matched(questioned: ModelView, reference: ModelView, pair: LayerPair) -> Iterator[tuple[Floats, Floats]]:
    """Matched rows of gate, and of up and down at unit length and with one sign: their scale is free."""
    ours, theirs = questioned.neurons[pair.questioned], reference.neurons[pair.reference]
    yield ours.gate[pair.rows_questioned], theirs.gate[pair.rows_reference]
    for left, right in ((ours.up, theirs.up), (ours.down, theirs.down)):
        one, other = unit_rows(left[pair.rows_questioned]), unit_rows(right[pair.rows_reference])
        if one.any() and other.any():
            yield one * np.where(np.einsum("ij,ij->i", one, other) < 0, np.float32(-1), np.float32(1))[:, None], other


def _growth(ours: Floats, theirs: Floats) -> Doubles:
    difference = ours - theirs
    return np.array([_dot(ours, ours) - _dot(theirs, theirs), _dot(difference, difference)])


def _ratio(growth: Doubles, lengths: Doubles) -> float:
    return float(growth[0] / growth[1]) if growth[1] > ROUNDING * lengths.min() else 0.0


def _dot(one: Floats, other: Floats) -> float:
    return float(np.vdot(one, other))
