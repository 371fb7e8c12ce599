"""Student's t without a library: whoever checks a dossier needs one quantile, and no more than numpy."""

import math
from functools import lru_cache

_HALVINGS = 80


@lru_cache(maxsize=1024)
def student_quantile(degrees_of_freedom: int, probability: float) -> float:
    """Value that Student's t stays below with a probability.

    Parameters
    ----------
    degrees_of_freedom : at least 1
    probability : strictly between 0 and 1

    References
    ----------
    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4: finite sums for whole numbers of
    degrees of freedom.
    """
    if degrees_of_freedom < 1 or not 0 < probability < 1:
        raise ValueError(
            f"expected at least 1 degree of freedom and a probability between 0 and 1, got {degrees_of_freedom} and "
            f"{probability}"
        )
    central, low, high = abs(2 * probability - 1), 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _central(middle, degrees_of_freedom) < central else (low, middle)
    return math.copysign(math.tan(low) * math.sqrt(degrees_of_freedom), probability - 0.5) if low else 0.0


def _central(angle: float, degrees_of_freedom: int) -> float:
    """Probability that |t| stays below tan(angle) times the square root of the degrees of freedom."""
    squared = math.cos(angle) ** 2
    odd = degrees_of_freedom % 2
    terms, term = [], math.cos(angle) if odd else 1.0
    for step in range(degrees_of_freedom // 2):
        terms.append(term)
        term *= squared * ((2 * step + 2) / (2 * step + 3) if odd else (2 * step + 1) / (2 * step + 2))
    total = math.sin(angle) * math.fsum(terms)
    return (angle + total) * 2 / math.pi if odd else total
