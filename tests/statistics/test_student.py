"""Quantiles of Student's t against tables and scipy, and what cannot be asked."""

import math

import pytest

from whorl.statistics.student import student_quantile


@pytest.mark.parametrize(
    ("freedom", "probability", "expected"),
    [
        (1, 0.975, 12.706),
        (2, 0.975, 4.303),
        (5, 0.95, 2.015),
        (10, 0.975, 2.228),
        (30, 0.995, 2.750),
        (120, 0.9, 1.289),
    ],
)
def test_the_printed_tables(freedom: int, probability: float, expected: float) -> None:
    """Values of any printed table of Student's t."""
    assert round(student_quantile(freedom, probability), 3) == expected


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 12, 33, 100, 2001])
@pytest.mark.parametrize("probability", [1e-6, 0.025, 0.3, 0.5, 0.6, 0.95, 0.975, 0.999, 1 - 1e-6])
def test_as_scipy_has_it(freedom: int, probability: float) -> None:
    from scipy.special import stdtrit

    expected = float(stdtrit(freedom, probability))
    assert math.isclose(student_quantile(freedom, probability), expected, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(("freedom", "probability"), [(0, 0.5), (3, 0.0), (3, 1.0), (3, math.nan)])
def test_what_has_no_quantile(freedom: int, probability: float) -> None:
    with pytest.raises(ValueError, match="at least 1 degree of freedom"):
        student_quantile(freedom, probability)
