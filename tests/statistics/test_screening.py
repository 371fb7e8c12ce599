"""e-BH keeps the share of false leads, whatever the dependence, and says what a lone hit would need."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.arrays import Doubles
from whorl.statistics.screening import follow_up


def test_lone_hit_in_a_large_registry_needs_more_than_any_population_shows() -> None:
    values = np.zeros(10_000)
    values[17] = math.log10(199_999)
    found = follow_up(values)
    assert found.places.size == 0
    assert 10**found.needed_alone == pytest.approx(200_000)
    values[17] = math.log10(200_000)
    assert follow_up(values).places.tolist() == [17]


def test_known_answers() -> None:
    # N = 4, alpha = 1/2: 8, 4, 8/3 and 2 are needed by the first to the fourth.
    for values, places in (
        ([8.0, 0.0, 0.0, 0.0], [0]),
        ([7.9, 0.0, 0.0, 0.0], []),
        ([1.0, 4.0, 4.0, 0.0], [1, 2]),
        ([2.0, 2.0, 2.0, 2.0], [0, 1, 2, 3]),
        ([3.0, 2.7, 2.7, 1.9], [0, 1, 2]),
        ([100.0, 3.9, 2.6, 1.9], [0]),
    ):
        with np.errstate(divide="ignore"):
            assert follow_up(np.log10(values), alpha=0.5).places.tolist() == places


def test_the_bound_is_reached_and_never_passed() -> None:
    # N nulls that are 1 / alpha together with chance alpha, and 0 otherwise: all or nothing, false with chance alpha.
    for count in (1, 2, 50):
        assert follow_up(np.full(count, 1.0), alpha=0.1).places.size == count
        assert follow_up(np.full(count, -np.inf), alpha=0.1).places.size == 0


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("related", [0, 10])
def test_share_of_false_leads_under_dependence(correlation: float, related: int) -> None:
    rng = np.random.default_rng(1)
    strength, alpha, false, found = 3.5, 0.1, [], 0
    for _ in range(2_000):
        scores = math.sqrt(correlation) * rng.normal() + math.sqrt(1 - correlation) * rng.normal(size=100)
        scores[:related] += strength
        leads = follow_up((strength * scores - strength**2 / 2) / math.log(10), alpha=alpha).places
        false.append(np.count_nonzero(leads >= related) / max(1, leads.size))
        found += leads.size
    assert np.mean(false) <= alpha
    assert related == 0 or found > 2_000


def test_running_maxima_would_break_it() -> None:
    # Two maxima of fair games that reach x with a chance of at most 1 / x, as Ville allows, but whose mean is 2.3.
    joint = {(10.0, 1.0): 0.1, (1.0, 10.0): 0.1, (5.0, 5.0): 0.1, (1.0, 1.0): 0.7}
    for limit in (5.0, 10.0):
        assert sum(chance for values, chance in joint.items() if values[0] >= limit) <= 1 / limit + 1e-12
    assert sum(chance * values[0] for values, chance in joint.items()) == pytest.approx(2.3)
    false = sum(chance for values, chance in joint.items() if follow_up(np.log10(values), alpha=0.2).places.size)
    assert false == pytest.approx(0.3), "where at most 0.2 was promised"


@given(st.lists(st.floats(-3, 6), min_size=1, max_size=30), st.floats(0.01, 0.9))
def test_leads_follow_the_definition(values: list[float], alpha: float) -> None:
    array: Doubles = np.array(values)
    before = array.copy()
    found = follow_up(array, alpha=alpha)
    ranked = sorted(values, reverse=True)
    needed = [math.log10(len(values) / alpha / k) - 1e-12 for k in range(1, len(values) + 1)]
    expected = max((k for k in range(1, len(values) + 1) if ranked[k - 1] >= needed[k - 1]), default=0)
    assert found.places.size == expected
    assert array[found.places].tolist() == ranked[:expected]
    assert np.array_equal(array, before)
    more = follow_up(array + 0.5, alpha=alpha)
    assert set(found.places.tolist()) <= set(more.places.tolist())
    order = np.random.default_rng(0).permutation(array.size)
    assert follow_up(array[order], alpha=alpha).places.size == expected


def test_impossible_arguments_are_refused() -> None:
    for values in (np.zeros(0), np.zeros((2, 2)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match="one e-value per candidate"):
            follow_up(values)
    with pytest.raises(ValueError, match="strictly between"):
        follow_up(np.zeros(3), alpha=0.0)
