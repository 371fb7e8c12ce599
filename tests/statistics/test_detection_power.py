"""Power over models: exact limits that count models and not trials."""

import numpy as np
import pytest

from whorl.statistics.detection_power import detection_power
from whorl.statistics.intervals import clopper_pearson


def test_whole_detections_are_clopper_pearson() -> None:
    found = detection_power([1, 1, 1, 0, 1, 0, 1, 1])
    assert (found.probability, found.models) == (0.75, 8)
    assert (found.lower, found.upper) == pytest.approx(clopper_pearson(6, 8))
    assert detection_power([1.0] * 20).lower == pytest.approx(0.025 ** (1 / 20))
    assert detection_power([0.0] * 20).upper == pytest.approx(1 - 0.025 ** (1 / 20))


def test_more_trials_of_few_models_do_not_narrow_the_limits() -> None:
    few, many = detection_power([0.5, 0.5]), detection_power([0.5] * 200)
    assert few.lower < 0.05
    assert few.upper > 0.95
    assert many.lower > 0.42


def test_limits_cover_the_mean_over_models() -> None:
    # Models are found always, never or sometimes; six trials each.
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1_000):
        rates = rng.choice([0.0, 0.3, 1.0], 25, p=[0.2, 0.3, 0.5])
        found = detection_power(list(rng.binomial(6, rates) / 6))
        covered += found.lower <= 0.59 <= found.upper
    assert covered >= 950


@pytest.mark.parametrize("shares", [[], [0.5, 1.5], [float("nan")]])
def test_no_models_have_no_power(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one model"):
        detection_power(shares)
