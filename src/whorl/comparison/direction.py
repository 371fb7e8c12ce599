"""Who comes from whom: figures that change sign when the two models change places.

A descendant is its ancestor plus something nearly unrelated to it, so it contains the ancestor while the ancestor does
not contain it; and some changes destroy what nobody can put back: zeros, coarse grids, missing layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.comparison.alignment import LayerPair
from whorl.comparison.inheritance import Inheritance
from whorl.comparison.kinship import GAINS_USABLE, GainSlopes
from whorl.core.arrays import Floats
from whorl.core.evidence import Score, plain_score
from whorl.fingerprints.model_view import ModelView
from whorl.statistics.spectrum import largest_over_noise

METHOD: Final = "ascent/1"
MOST_LAYERS: Final = 4
LEAST_ROWS: Final = 32
MOST_SPIKE: Final = 1e3  # nothing but one direction changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """Figures about direction; positive where the questioned model looks like the descendant.

    Parameters
    ----------
    containment : log of (structure over bulk) of the reference in the questioned model, less that of the other way
        round
    growth, structure_growth : as in `Inheritance`
    gains : slope of gains of the questioned on the reference, less the other way round; 0 where gains cannot be
        compared
    destroyed : facts of lost information on the questioned side less those on the reference side
    moved : 1 - cosine of the matched weights
    spike : largest direction of the change over noise of its size; about 1 for rounding and noise
    """

    containment: float
    growth: float
    structure_growth: float
    gains: float
    destroyed: int
    moved: float
    spike: float


def ascent(
    questioned: ModelView,
    reference: ModelView,
    pairs: Sequence[LayerPair],
    heritage: Inheritance,
    gains: GainSlopes | None,
    *,
    destroyed: int,
) -> Ascent:
    """The figures of one comparison whose layers ``pairs`` correspond."""
    comparable = gains is not None and gains.correlation >= GAINS_USABLE
    return Ascent(
        containment=heritage.preference_of_reference - heritage.preference_of_questioned,
        growth=heritage.growth,
        structure_growth=heritage.structure_growth,
        gains=gains.questioned_on_reference - gains.reference_on_questioned if gains and comparable else 0.0,
        destroyed=destroyed,
        moved=max(0.0, 1 - heritage.cosine),
        spike=_spike(questioned, reference, pairs),
    )


def ascent_evidence(figures: Ascent) -> Score:
    """The figures as evidence; what they mean is a matter of calibration."""
    return plain_score(
        tier="T4",
        method=METHOD,
        value=figures.containment,
        statistic={
            "growth": figures.growth,
            "structure_growth": figures.structure_growth,
            "gains": figures.gains,
            "destroyed": float(figures.destroyed),
            "moved": figures.moved,
            "spike": figures.spike,
        },
        detail="positive where the questioned model contains the reference's structure more than the other way round",
    )


def _spike(questioned: ModelView, reference: ModelView, pairs: Sequence[LayerPair]) -> float:
    rows: list[float] = []
    for pair in pairs[:MOST_LAYERS]:
        if len(pair.rows_questioned) >= LEAST_ROWS:
            rows.append(min(MOST_SPIKE, largest_over_noise(_change(questioned, reference, pair))))
    return float(np.median(rows)) if rows else 0.0


def _change(questioned: ModelView, reference: ModelView, pair: LayerPair) -> Floats:
    ours = questioned.neurons[pair.questioned].gate[pair.rows_questioned]
    return ours - reference.neurons[pair.reference].gate[pair.rows_reference]
