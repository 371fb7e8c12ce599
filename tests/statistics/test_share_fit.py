"""Shares of a sum: the fit, the coverage of its intervals, and the p-value of shuffled rows under its null."""

import numpy as np
import pytest

from whorl.core.arrays import Doubles
from whorl.statistics.shares import LayerProducts, ShareFit, fit_shares, layer_products, shuffled_rows_p

Layers = list[Doubles]


def drawn(rng: np.random.Generator, *, layers: int = 6, rows: int = 24, size: int = 16) -> Layers:
    return [rng.standard_normal((rows, size)) for _ in range(layers)]


def mixed(parts: list[Layers], shares: list[Doubles], rest: Layers) -> Layers:
    """Per layer, the parts times their shares (shape (layers,) each), plus the rest."""
    return [
        sum((share[number] * part[number] for share, part in zip(shares, parts, strict=True)), rest[number])
        for number in range(len(rest))
    ]


def products(questioned: Layers, parts: list[Layers]) -> list[LayerProducts]:
    return [layer_products(layer, [part[number] for part in parts]) for number, layer in enumerate(questioned)]


def fitted(questioned: Layers, parts: list[Layers]) -> ShareFit:
    return fit_shares(products(questioned, parts))


def even(share: float, layers: int = 6) -> Doubles:
    return np.full(layers, share)


def test_shares_of_strangers_and_an_unnamed_rest_are_found() -> None:
    rng = np.random.default_rng(1)
    one, other, unnamed = (drawn(rng, rows=200) for _ in range(3))
    questioned = mixed([one, other, unnamed], [even(0.5), even(0.3), even(0.2)], [0 * layer for layer in one])
    assert fitted(questioned, [one, other]).shares == pytest.approx([0.5, 0.3], abs=0.02)
    assert fitted(questioned, [one]).shares == pytest.approx([0.5], abs=0.02)


def test_relatives_share_an_ancestor_and_are_told_apart_all_the_same() -> None:
    rng = np.random.default_rng(2)
    base, first, second = (drawn(rng) for _ in range(3))
    one, other = (mixed([base, change], [even(1), even(0.1)], [0 * b for b in base]) for change in (first, second))
    fit = fitted(mixed([one, other], [even(0.7), even(0.3)], [0 * b for b in base]), [one, other])
    assert fit.condition > 100
    assert fit.shares == pytest.approx([0.7, 0.3], abs=1e-6)
    assert fit.told_within.max() < 1e-6


def test_no_share_is_negative_and_its_interval_still_has_a_width() -> None:
    rng = np.random.default_rng(3)
    one, other, rest = (drawn(rng) for _ in range(3))
    fit = fitted(mixed([one, other], [even(0.8), even(-0.3)], rest), [one, other])
    assert fit.shares[1] == 0
    assert fit.lower[1] == 0
    assert fit.upper[1] > 0.05


def test_the_same_model_twice_has_a_condition_number_that_says_so() -> None:
    rng = np.random.default_rng(4)
    one = drawn(rng)
    assert fitted(one, [one, one]).condition > 1e12
    assert fitted(one, [one, drawn(rng)]).condition < 2


def test_whole_layers_get_their_own_interval_and_absent_ones_count_as_nothing() -> None:
    rng = np.random.default_rng(5)
    one, other = drawn(rng, rows=200), drawn(rng, rows=200)
    dealt = [first if number < 2 else second for number, (first, second) in enumerate(zip(one, other, strict=True))]
    fit = fitted(dealt, [one, other])
    assert fit.whole_layers
    assert fit.shares == pytest.approx([2 / 6, 4 / 6], abs=0.02)
    assert (fit.upper - fit.lower).max() < 0.1
    assert np.rint(fit.layers[:, 0]).tolist() == [1, 1, 0, 0, 0, 0]
    partly = [
        layer_products(layer, [one[number] if number < 2 else None, other[number]])
        for number, layer in enumerate(dealt)
    ]
    assert fit_shares(partly).shares == pytest.approx([2 / 6, 4 / 6], abs=0.02)


def test_heavy_layers_count_no_more_than_light_ones() -> None:
    rng = np.random.default_rng(6)
    one = [layer * (10 if number == 0 else 1) for number, layer in enumerate(drawn(rng))]
    share = np.array([0.2, 0.6, 0.6, 0.6, 0.6, 0.6])
    assert fitted(mixed([one], [share], [0 * layer for layer in one]), [one]).shares == pytest.approx([share.mean()])


@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize("layers", [4, 12])
def test_intervals_cover_the_share_as_often_as_they_say(layers: int, spread: float) -> None:
    """Rest of the size of the merge itself, shares that vary from layer to layer or do not, one of them near 0."""
    rng = np.random.default_rng([7, layers, int(10 * spread)])
    truth, covered, runs = np.array([0.5, 0.05]), np.zeros(2), 300
    for _ in range(runs):
        parts, rest = [drawn(rng, layers=layers) for _ in range(2)], drawn(rng, layers=layers)
        shares = [np.maximum(0, value + spread * rng.standard_normal(layers) * (value > 0.1)) for value in truth]
        fit = fitted(mixed(parts, shares, rest), parts)
        covered += (fit.lower <= truth) & (truth <= fit.upper)
    # 5 standard errors of a rate of 0.95 over 300 runs are 0.063.
    assert (covered / runs).min() > 0.95 - 0.063


def test_shuffled_rows_give_uniform_p_values_where_nothing_is_shared() -> None:
    rng, runs, draws = np.random.default_rng(8), 1000, 39
    p = np.empty(runs)
    for run in range(runs):
        questioned, candidate, other = (drawn(rng, layers=2, rows=12, size=6) for _ in range(3))
        # The rows have a mean, and the questioned model holds the other candidate: neither may disturb the test.
        questioned = [layer + 1 + 0.5 * named for layer, named in zip(questioned, other, strict=True)]
        candidate = [layer + 1 for layer in candidate]
        p[run] = shuffled_rows_p(questioned, candidate, [other] if run % 2 else [], draws=draws, generator=rng)
    steps = np.arange(1, draws + 2) / (draws + 1)
    rates = np.array([(p <= step + 1e-12).mean() for step in steps])
    # Kolmogorov's distance of 1,000 uniform values stays below 0.061 in 999 of 1,000 cases.
    assert np.abs(rates - steps).max() < 0.061


def test_shuffled_rows_see_a_small_share_and_never_promise_more_than_the_draws() -> None:
    rng = np.random.default_rng(9)
    candidate, rest = drawn(rng, rows=64), drawn(rng, rows=64)
    questioned = mixed([candidate], [even(0.15)], rest)
    assert shuffled_rows_p(questioned, candidate, [], draws=199, generator=rng) == 1 / 200
    # What another candidate explains is no share of this one.
    assert shuffled_rows_p(questioned, candidate, [candidate], draws=199, generator=rng) > 0.01


def test_rows_that_cannot_be_told_from_their_shuffles_prove_nothing() -> None:
    rng = np.random.default_rng(10)
    equal = [np.ones((20, 5))] * 3
    assert shuffled_rows_p(equal, equal, [], draws=99, generator=rng) == 1


def test_a_sum_of_nothing_is_refused() -> None:
    rng = np.random.default_rng(11)
    with pytest.raises(ValueError, match="at least one layer"):
        fit_shares([])
    with pytest.raises(ValueError, match="no share"):
        fitted(drawn(rng), [[0 * layer for layer in drawn(rng)]])
