"""How probably a test rejects: measured on models that were really asked, with the model as the unit.

A test that finds nothing says something only together with this figure and the models it was measured on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPower:
    """Share of a population's models that a test tells from the reference.

    Parameters
    ----------
    probability : mean over models of the share of trials in which the test rejected
    lower, upper : 95 % Clopper-Pearson limits that count models, not trials
    models : how many were tried
    """

    probability: float
    lower: float
    upper: float
    models: int


def detection_power(shares: Sequence[float]) -> DetectionPower:
    """Power over a population from each model's own rate of detection.

    Speaks of models like these. Models of one line are detected or missed together: give one per line.

    Parameters
    ----------
    shares : one per model, each between 0 and 1; not whole where a model was tried more than once

    Raises
    ------
    ValueError
        If there is no model or a share is not between 0 and 1.
    """
    from scipy.special import betaincinv

    rates = np.asarray(shares, np.float64)
    if not rates.size or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError("power needs at least one model, and a rate of detection between 0 and 1 for each")
    count, hits = rates.size, float(rates.sum())
    tail = (1 - LEVEL) / 2
    return DetectionPower(
        probability=hits / count,
        lower=float(betaincinv(hits, count - hits + 1, tail)) if hits > 0 else 0.0,
        upper=float(betaincinv(hits + 1, count - hits, 1 - tail)) if hits < count else 1.0,
        models=count,
    )
