"""A merge that shows in a pair, the other parents unnamed: an average with a stranger, and its exceptions.

What a pair cannot show. A merge of relatives (fine-tunes of one base) looks like one more fine-tune of the base. A
spherical merge with a stranger has the norms and slopes of a second run from the same start. Layers that match nothing
may come from another model or may have been trained anew. `whorl.comparison.shares` tells all of these once the
other parents are named.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from whorl.comparison.alignment import LayerPair
from whorl.comparison.kinship import GAINS_USABLE, GainSlopes, pair_cosines
from whorl.core.arrays import Doubles
from whorl.fingerprints.model_view import ModelView

LEAST_LAYERS: Final = 3
SHARES: Final = (0.2, 0.9)
SLOPES_WITHIN: Final = 0.06  # merges made here: up to 0.03; runs from one start 0.04 to 0.2; long training more
STRANGER_LENGTH: Final = (0.75, 1.25)  # merges made here: 0.81 to 1.16; runs from one start from 1.16 on
GAINS_WITHIN: Final = 0.15  # merges made here: up to 0.11


def blended_with_stranger(
    questioned: ModelView, reference: ModelView, pairs: Sequence[LayerPair], gains: GainSlopes | None
) -> str | None:
    """Why the questioned model looks like w times the reference plus (1 - w) times an unrelated model, or None.

    Then every layer's matched rows have the same slope w on the reference's, and what is left over has the length of
    (1 - w) times an unrelated model's rows. Together this shrinks the weights (to 0.71 of their length at w = 0.5),
    which training does not do, and a second run from the same start neither. Norm gains, where they can be compared,
    must have the same slope. Needs weights on both sides and `LEAST_LAYERS` established layers. Thresholds are
    judgements from merges and runs made here, not error rates.

    Parameters
    ----------
    pairs : the established ones
    gains : slopes of norm gains over them; None where they cannot be compared
    """
    if not (questioned.exact and reference.exact) or len(pairs) < LEAST_LAYERS:
        return None
    slopes, lengths = _by_layer(questioned, reference, pairs)
    share = float(slopes.mean())
    if not (SHARES[0] <= share <= SHARES[1] and float(np.ptp(slopes)) <= SLOPES_WITHIN):
        return None
    if not (STRANGER_LENGTH[0] <= lengths.min() and lengths.max() <= STRANGER_LENGTH[1]):
        return None
    if (
        gains is not None
        and gains.correlation >= GAINS_USABLE
        and abs(gains.questioned_on_reference - share) > GAINS_WITHIN
    ):
        return None
    return (
        f"every layer holds {slopes.min():.2f} to {slopes.max():.2f} of the reference's weights, and what is left is "
        f"{lengths.min():.2f} to {lengths.max():.2f} times as long as an unrelated model's part of such a sum"
    )


def _by_layer(questioned: ModelView, reference: ModelView, pairs: Sequence[LayerPair]) -> tuple[Doubles, Doubles]:
    """Per established layer: slope on the reference, and length of the rest over what a stranger's would be."""
    slopes, lengths = [], []
    for pair in pairs:
        cosine = pair_cosines(questioned, reference, pair)
        ours = questioned.neurons[pair.questioned].norms[pair.rows_questioned, 0].astype(np.float64)
        theirs = reference.neurons[pair.reference].norms[pair.rows_reference, 0].astype(np.float64)
        square = max(float((theirs**2).sum()), np.finfo(np.float64).tiny)
        slope = float((cosine * ours * theirs).sum()) / square
        rest = max(float((ours**2).sum()) / square - slope**2, 0.0) ** 0.5
        slopes.append(slope)
        lengths.append(rest / max(abs(1 - slope), np.finfo(np.float64).eps))
    return np.array(slopes), np.array(lengths)
