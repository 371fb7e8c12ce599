"""Held-out ratios of a calibration, kept with it: how far its ratios can be trusted, for whoever reads one of them.

Ratios are kept in steps of 0.02 powers of ten with the weight of the pairs that have them, so that Tippett curves,
cost and cross-entropy can be made again from the population alone, without the pairs.
"""

from typing import Final

import numpy as np
from pydantic import Field, model_validator

from whorl.core.arrays import AnyArray, Doubles
from whorl.core.evidence import Document
from whorl.statistics.labelled_pairs import LabelledPairs

STEPS: Final = 50  # per power of ten
MAX_POINTS: Final = 4096
MOST: Final = 100.0  # powers of ten; a ratio beyond counts as this
_DIGITS: Final = 9
_SUM_OFF: Final = 1e-5


class HeldOut(Document):
    """log10 ratios of pairs of known truth, each from a calibration that saw neither of its families; central values.

    The shares are weighted as in the calibration: every two families count once under each proposition.
    """

    log10_lr: tuple[float, ...] = Field(min_length=1, max_length=MAX_POINTS, description="rising")
    share_h1: tuple[float, ...] = Field(description="share of the weight under the first proposition at each ratio")
    share_h2: tuple[float, ...] = Field(description="and under the alternative")

    @model_validator(mode="after")
    def _is_two_distributions(self) -> "HeldOut":
        if not len(self.log10_lr) == len(self.share_h1) == len(self.share_h2):
            raise ValueError("expected one share under each proposition for every ratio")
        if max(map(abs, self.log10_lr)) > MOST:
            raise ValueError(f"expected ratios of at most {MOST:g} powers of ten")
        if any(right <= left for left, right in zip(self.log10_lr, self.log10_lr[1:], strict=False)):
            raise ValueError("expected ratios that rise")
        for shares in (self.share_h1, self.share_h2):
            if min(shares) < 0 or abs(sum(shares) - 1) > _SUM_OFF:
                raise ValueError("expected shares from 0 on that sum to 1")
        return self

    def labelled(self) -> tuple[Doubles, AnyArray, Doubles]:
        """Ratios, truths and weights, as the functions of `whorl.statistics.ratio_cost` take them."""
        ratios = np.tile(np.array(self.log10_lr), 2)
        weights = np.array([self.share_h1, self.share_h2]).ravel()
        truth = np.repeat([True, False], len(self.log10_lr))
        kept = weights > 0
        return ratios[kept], truth[kept], weights[kept]


def held_out_summary(pairs: LabelledPairs, log10_lr: AnyArray) -> HeldOut:
    """What is kept of held-out ratios.

    Parameters
    ----------
    log10_lr : shape (n,), finite, in the order of ``pairs``, from `whorl.statistics.calibration.held_out_log10_lr`
    """
    held = np.clip(np.asarray(log10_lr, np.float64), -MOST, MOST)
    steps, place = np.unique(np.rint(held * STEPS).astype(np.int64), return_inverse=True)
    shares = []
    for side in (pairs.is_h1, ~pairs.is_h1):
        weights = np.bincount(place[side], pairs.weights[side], minlength=steps.size)
        shares.append(tuple(round(float(share), _DIGITS) for share in weights / weights.sum()))
    return HeldOut(log10_lr=tuple(int(step) / STEPS for step in steps), share_h1=shares[0], share_h2=shares[1])
