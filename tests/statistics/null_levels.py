"""Whether p-values of simulated nulls are what they claim to be."""

import numpy as np

from whorl.core.arrays import Doubles
from whorl.statistics.intervals import clopper_pearson

CERTAINTY = 0.998


def exceeds_level(p_values: Doubles, level: float) -> bool:
    """Whether p-values this small are oftener than ``level`` beyond binomial doubt."""
    hits = int(np.count_nonzero(p_values <= level + 1e-12))
    return clopper_pearson(hits, p_values.size, level=CERTAINTY)[0] > level


def holds_levels(p_values: Doubles, levels: tuple[float, ...] = (0.01, 0.05, 0.1, 0.5)) -> bool:
    """Whether P(p <= a) <= a at every level, within binomial error."""
    return not any(exceeds_level(p_values, level) for level in levels)


def distance_from_uniform(p_values: Doubles) -> float:
    """Kolmogorov-Smirnov distance; 1.95 / sqrt(n) is passed in 1 of 1,000 samples of uniform values."""
    ordered = np.sort(p_values)
    steps = np.arange(1, ordered.size + 1) / ordered.size
    return float(max(np.abs(steps - ordered).max(), np.abs(steps - 1 / ordered.size - ordered).max()))
