"""Caps follow from the number of families and of blind trials, and no headline escapes them."""

import math

import numpy as np
import pytest
from pair_worlds import H2_VARIANCE, additive_world, every_two, unrelated_scores

from whorl.core.arrays import AnyArray
from whorl.statistics.labelled_pairs import labelled_pairs
from whorl.statistics.ratio_caps import (
    RatioCaps,
    calibration_caps,
    effective_comparisons,
    exceedance_correlation,
    headline_log10_lr,
    process_cap,
    rate_upper_limit,
    reached_share,
    sampling_caps,
)

CAPS = RatioCaps(sampling=1.5, process=2.0)


@pytest.mark.parametrize(
    ("families", "rho", "comparisons"),
    [
        (15, 0.10, 29),
        (124, 0.10, 299),
        (1202, 0.10, 2995),
        (30, 0.25, 29),
        (300, 0.25, 299),
        (58, 0.5, 29),
        (598, None, 299),
    ],
)
def test_families_needed_for_a_claim(families: int, rho: float | None, comparisons: int) -> None:
    assert effective_comparisons(every_two(families), rho=rho) >= comparisons
    assert effective_comparisons(every_two(families - 1), rho=rho) < comparisons


def test_effective_comparisons_known_answers() -> None:
    assert effective_comparisons(every_two(12), rho=0.1) == pytest.approx(22)
    assert effective_comparisons(every_two(41), rho=None) == pytest.approx(20.5)
    assert effective_comparisons(every_two(40), rho=0.0) == 780
    within = np.arange(9)[:, None].repeat(2, axis=1)
    assert effective_comparisons(within, rho=None) == 9
    assert effective_comparisons(np.concatenate([within, within]), rho=None) == 9, "descendants add nothing"
    hub = np.column_stack([np.zeros(50, dtype=int), np.arange(1, 51)])
    assert effective_comparisons(hub, rho=None) < 2, "one family compared with all others"
    # 9 within and 36 across: each of the latter has 14 of its kind and 2 of the former beside it.
    mixed = (36 * 14 * 0.5 + 36 * 2 * 2 * math.sqrt(0.5)) / 45
    assert effective_comparisons(np.concatenate([within, every_two(9)]), rho=None) == pytest.approx(45 / (1 + mixed))
    shuffled = every_two(12)[::-1, ::-1] * 5 - 3
    assert effective_comparisons(shuffled, rho=0.1) == pytest.approx(22)


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.5])
def test_effective_comparisons_are_those_of_the_rate(rho: float) -> None:
    # Comparison between i and j exceeds if either has a hidden trait (rho near 1/2), or by itself (rho 0), or a mix.
    rng = np.random.default_rng(1)
    graph = np.concatenate([every_two(10), np.column_stack([np.zeros(5, dtype=int), np.arange(10, 15)])])
    effects = rng.normal(size=(40_000, 15)) * math.sqrt(rho)
    values = effects[:, graph].sum(axis=2) + rng.normal(size=(40_000, len(graph))) * math.sqrt(1 - 2 * rho)
    assert values.mean(axis=1).var() == pytest.approx(1 / effective_comparisons(graph, rho=rho), rel=0.03)


def test_hub_families_make_the_floor_exact() -> None:
    rng = np.random.default_rng(2)
    families = 30
    floor = effective_comparisons(every_two(families), rho=None)
    rate = rate_upper_limit(0.0, floor)
    assert rate == pytest.approx(1 - 0.05 ** (1 / floor))
    hub = rng.random((20_000, families)) < 1 - math.sqrt(1 - rate)
    silent = 1 - (hub.sum(axis=1) >= 1).mean()
    assert silent == pytest.approx(0.05, abs=0.008), "no exceedance at all, although the rate is at its limit"


def test_correlation_of_exceedances_is_estimated_near_the_threshold() -> None:
    # Gaussian additive world, score correlation 0.37: 0.19 where 15 % exceed and 0.09 where 2 % do.
    from scipy.special import ndtri

    pairs = every_two(50)
    for share, rho in ((0.15, 0.19), (0.05, 0.13)):
        threshold = -float(ndtri(share)) * math.sqrt(H2_VARIANCE)
        estimates, limits = [], []
        for seed in range(40):
            scores = unrelated_scores(np.random.default_rng(seed), 50)
            estimates.append(exceedance_correlation(scores, pairs, threshold=threshold, level=0.5))
            limits.append(exceedance_correlation(scores, pairs, threshold=threshold))
        found = [estimate for estimate in estimates if estimate is not None]
        assert len(found) >= 35
        assert np.mean(found) == pytest.approx(rho, abs=0.03)
        assert np.mean([limit >= rho for limit in limits if limit is not None]) >= 0.7


def test_correlation_of_exceedances_follows_its_definition() -> None:
    pairs = every_two(12)[3:]
    above = unrelated_scores(np.random.default_rng(5), 12)[3:] > 0.2
    shared = np.array([[len({*one} & {*other}) for other in pairs.tolist()] for one in pairs.tolist()])
    products = np.outer(above, above)
    squared_rate = products[shared == 0].mean()
    expected = (products[shared == 1].mean() - squared_rate) / (above.mean() - squared_rate)
    found = exceedance_correlation(above * 1.0, pairs, threshold=0.5, level=0.5)
    assert found == pytest.approx(float(np.clip(expected, 0, 0.5)))
    assert 0 < expected < 0.5


def test_too_few_exceedances_have_no_correlation() -> None:
    scores = unrelated_scores(np.random.default_rng(3), 20)
    pairs = every_two(20)
    assert exceedance_correlation(scores, pairs, threshold=float(np.sort(scores)[-20])) is None
    assert exceedance_correlation(scores, pairs, threshold=float(np.sort(scores)[-40])) is not None
    assert exceedance_correlation(scores, pairs, threshold=float(scores.max())) is None
    assert exceedance_correlation(scores, pairs, threshold=float(scores.min()) - 1) is None
    within = np.arange(190)[:, None].repeat(2, axis=1)
    assert exceedance_correlation(scores, within, threshold=0.0) is None
    copies = exceedance_correlation(np.tile(scores, 3), np.tile(pairs, (3, 1)), threshold=0.5)
    assert copies == exceedance_correlation(scores, pairs, threshold=0.5)
    with pytest.raises(ValueError, match="finite"):
        exceedance_correlation(np.full(190, np.nan), pairs, threshold=0.5)


def test_sampling_caps_known_answers() -> None:
    assert sampling_caps(100, 1000)[0] == pytest.approx(2.511, abs=5e-4)
    assert [10 ** sampling_caps(n, 299)[0] for n in (299, 20, 10, 5)] == pytest.approx([99, 86, 74, 55], abs=0.6)
    for claimed, needed in ((10, 29), (100, 299), (1000, 2995), (10_000, 29_956)):
        assert 10 ** sampling_caps(1e12, needed)[0] >= claimed * (1 - 1e-9)
        assert 10 ** sampling_caps(1e12, needed - 1)[0] < claimed
    supporting, opposing = sampling_caps(20, 300)
    assert (opposing, supporting) == sampling_caps(300, 20), "mirrored: opposing ratios rest on the derived families"
    assert sampling_caps(1, 1) == (0, 0)


def test_sampling_cap_covers() -> None:
    # Rates at which complete separation is just not surprising: the cap may not exceed their ratio.
    from scipy.special import betaincinv

    rng = np.random.default_rng(4)
    n1, n0 = 20, 60
    exceeded = 0
    for _ in range(2_000):
        p1, p0 = rng.uniform(0.5, 1), rng.uniform(0, 0.3)
        hits, false = rng.binomial(n1, p1), rng.binomial(n0, p0)
        lower = betaincinv(hits, n1 - hits + 1, 0.05) if hits else 0.0
        claimed = lower / rate_upper_limit(false / n0, n0)
        exceeded += claimed > p1 / p0
        if hits == n1 and false == 0:
            assert math.log10(claimed) == pytest.approx(sampling_caps(n1, n0)[0])
    assert exceeded < 0.03 * 2_000


def test_process_cap_known_answers() -> None:
    assert process_cap(59) == pytest.approx(-math.log10(1 - 0.05 ** (1 / 59)))
    assert 10 ** process_cap(300) == pytest.approx(300 / 3, rel=0.01)
    assert process_cap(300, failures=3) < process_cap(300) - 0.3
    assert process_cap(10, failures=10) == 0
    assert process_cap(300, reached=0.0) == 0
    # P1 = 0.01, P0 = 1e-6 and a false hit rate of 1e-3: 909 without P1, where the truth is 11.
    trials = math.log(0.05) / math.log(1 - 1e-3)
    caps = RatioCaps(sampling=9.0, process=process_cap(round(trials), reached=0.01))
    assert 10 ** headline_log10_lr(4.0, 5.0, supporting=caps, opposing=CAPS) == pytest.approx(10, rel=0.01)


def test_share_reached_is_a_lower_limit() -> None:
    ratios, weights = np.array([0.5, 1.0, 1.0, 2.0]), np.array([1.0, 0.5, 0.5, 1.0])
    assert reached_share(ratios, 0.0, weights=weights, comparisons=3) == pytest.approx(0.05 ** (1 / 3))
    some = [reached_share(ratios, value, weights=weights, comparisons=3) for value in (0.0, 1.0, 2.0, 3.0)]
    assert some == sorted(some, reverse=True)
    assert some[-1] == 0


@pytest.mark.parametrize("sampling", [0.0, 0.4, 1.5, 30.0])
@pytest.mark.parametrize("process", [0.0, 0.3, 2.0, 30.0])
def test_headline_stays_within_caps_and_never_turns(sampling: float, process: float) -> None:
    caps = RatioCaps(sampling=sampling, process=process)
    for lower, upper in ((0.1, 0.2), (0.5, 3.0), (1.0, 400.0), (300.0, 400.0)):
        found = headline_log10_lr(lower, upper, supporting=caps, opposing=CAPS)
        assert 0 <= found <= min(lower, sampling, process)
        mirrored = headline_log10_lr(-upper, -lower, supporting=CAPS, opposing=caps)
        assert mirrored == -found
        assert headline_log10_lr(-lower, upper, supporting=caps, opposing=caps) == 0
        assert headline_log10_lr(-upper, lower, supporting=caps, opposing=caps) == 0


def test_headline_known_answers() -> None:
    wide = RatioCaps(sampling=9.0, process=9.0)
    assert headline_log10_lr(1.0, 2.0, supporting=wide, opposing=CAPS) == pytest.approx(1.0, abs=1e-6)
    assert headline_log10_lr(4.0, 5.0, supporting=CAPS, opposing=wide) == pytest.approx(
        -math.log10(10**-1.5 + 10**-2.0)
    )
    equal = RatioCaps(sampling=9.0, process=2.0)
    assert 10 ** headline_log10_lr(2.0, 2.0, supporting=equal, opposing=CAPS) == pytest.approx(50)
    strict = headline_log10_lr(-5.0, -4.0, supporting=wide, opposing=CAPS)
    assert strict == pytest.approx(math.log10(10**-1.5 + 10**-2.0))


@pytest.mark.parametrize(
    ("call", "arguments", "named"),
    [
        (effective_comparisons, {"families": np.zeros((0, 2), dtype=int), "rho": None}, "no comparison"),
        (effective_comparisons, {"families": every_two(4), "rho": 0.6}, "between 0 and 1/2"),
        (sampling_caps, {"h1_comparisons": 0, "h2_comparisons": 5}, "positive"),
        (sampling_caps, {"h1_comparisons": math.nan, "h2_comparisons": 5}, "positive"),
        (process_cap, {"trials": 0}, "blind trials"),
        (process_cap, {"trials": 5, "failures": 6}, "blind trials"),
        (process_cap, {"trials": 5, "reached": 1.5}, "between 0 and 1"),
        (RatioCaps, {"sampling": -1.0, "process": 1.0}, "caps"),
        (RatioCaps, {"sampling": 1.0, "process": math.inf}, "caps"),
        (headline_log10_lr, {"lower": 2.0, "upper": 1.0, "supporting": CAPS, "opposing": CAPS}, "interval"),
        (headline_log10_lr, {"lower": math.nan, "upper": 1.0, "supporting": CAPS, "opposing": CAPS}, "interval"),
    ],
)
def test_impossible_arguments_are_refused(call: object, arguments: dict[str, AnyArray], named: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=named):
        call(**arguments)


def test_caps_of_a_calibration_are_those_of_its_families_and_fall_with_each_failed_trial() -> None:
    scores, truth, families = additive_world(1, families=60)
    pairs = labelled_pairs(scores, truth, families)
    right = np.where(pairs.is_h1, 9.0, -9.0)
    supporting, opposing = calibration_caps(pairs, right)
    worth = [effective_comparisons(pairs.families[side], rho=None) for side in (pairs.is_h1, ~pairs.is_h1)]
    assert (supporting.sampling, opposing.sampling) == sampling_caps(*worth)
    reached = reached_share(np.ones(60), 1.0, weights=np.ones(60), comparisons=worth[0])
    assert supporting.process == process_cap(int(worth[1]), reached=reached)
    wrong = np.where(np.cumsum(~pairs.is_h1) <= 0.2 * np.count_nonzero(~pairs.is_h1), 9.0, right)
    failed, unchanged = calibration_caps(pairs, wrong)
    assert failed.process < supporting.process
    assert failed.sampling == supporting.sampling
    assert unchanged.sampling == opposing.sampling
    assert unchanged.process <= opposing.process
