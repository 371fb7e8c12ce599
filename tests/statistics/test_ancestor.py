"""beta and gamma against the table of true relations, at 200,000 independent weights, and the laws they obey."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.core.arrays import Doubles
from whorl.statistics.ancestor import (
    BANDED,
    SUMS,
    AncestorFigures,
    Bands,
    ChangeProducts,
    Estimate,
    Slopes,
    ancestor_figures,
    as_child,
    as_child_of_wrong_ancestor,
    as_interpolation,
    as_merge,
    as_parent,
    band_sums,
    block_sums,
    orthogonal_error,
    sharing,
    siblings_from_between,
)

BLOCKS, ROWS, COLUMNS = 8, 100, 250
WEIGHTS = BLOCKS * ROWS * COLUMNS  # 200,000
Draw = Callable[[], Doubles]
Models = tuple[Doubles, Doubles, Doubles]


def figures_of(ancestor: Doubles, questioned: Doubles, reference: Doubles) -> AncestorFigures:
    three = list(zip(ancestor, questioned, reference, strict=True))
    products = ChangeProducts(
        sums=np.array([block_sums(*block) for block in three]),
        bands=np.array([band_sums(*block) for block in three]),
        weights=ancestor.size,
    )
    found = ancestor_figures(products)
    assert found is not None
    return found


def child(a: Doubles, draw: Draw) -> Models:
    v = draw()
    return a, a + v + 0.67 * draw(), a + v


def parent(a: Doubles, draw: Draw) -> Models:
    s = draw()
    return a, a + s, a + s + 0.67 * draw()


def merge(share: float) -> Callable[[Doubles, Draw], Models]:
    def made(a: Doubles, draw: Draw) -> Models:
        v, b = draw(), draw()
        return a, a + share * v + (1 - share) * b, a + v

    return made


def interpolation(a: Doubles, draw: Draw) -> Models:
    v = draw()
    return a, a + 0.8 * v, a + v


def siblings(a: Doubles, draw: Draw) -> Models:
    return a, a + draw(), a + draw()


def sharing_a_task(common: float) -> Callable[[Doubles, Draw], Models]:
    def made(a: Doubles, draw: Draw) -> Models:
        task = common * draw()
        return a, a + task + draw(), a + task + draw()

    return made


def wrong_ancestor(a: Doubles, draw: Draw) -> Models:
    return a + 0.5 * draw(), a + draw(), a + draw()


def child_from_wrong_ancestor(a: Doubles, draw: Draw) -> Models:
    v = draw()
    return a + 0.5 * draw(), a + v + 0.67 * draw(), a + v


def siblings_seen_from_between(a: Doubles, draw: Draw) -> Models:
    v = draw()
    return a + 0.3 * v, a + draw(), a + v


def decayed(a: Doubles, draw: Draw) -> Models:
    v = draw()
    return a, a + 0.9 * v + 0.67 * draw(), a + v


def pushed_along(a: Doubles, draw: Draw) -> Models:
    v = draw()
    return a, a + 1.1 * v + 0.67 * draw(), a + v


@pytest.mark.parametrize(
    ("relation", "expected", "printed"),
    [
        (siblings, Slopes(0, 0), (0, 0)),
        (child, as_child(0.67), (1, 0.69)),
        (parent, as_parent(0.67), (0.69, 1)),
        (merge(0.5), as_merge(0.5, 1), (0.5, 1)),
        (merge(0.3), as_merge(0.3, 1), (0.3, 0.52)),
        (merge(0.7), as_merge(0.7, 1), (0.7, 1.21)),
        (interpolation, as_interpolation(0.8), (0.8, 1.25)),
        (sharing_a_task(0.5), sharing(0.5), (0.2, 0.2)),
        (sharing_a_task(0.67), sharing(0.67), (0.31, 0.31)),
        (sharing_a_task(3), sharing(3), (0.9, 0.9)),
        (wrong_ancestor, sharing(0.5), (0.2, 0.2)),
        (child_from_wrong_ancestor, as_child_of_wrong_ancestor(0.67, 0.5), (1, 0.74)),
        (siblings_seen_from_between, siblings_from_between(0.3), (-0.43, -0.19)),
        (decayed, Slopes(0.9, 0.9 / (0.81 + 0.67**2)), (0.9, 0.71)),
        (pushed_along, Slopes(1.1, 1.1 / (1.21 + 0.67**2)), (1.1, 0.66)),
    ],
)
def test_the_table_of_true_relations(
    relation: Callable[[Doubles, Draw], Models], expected: Slopes, printed: tuple[float, float]
) -> None:
    """``printed`` is what a reader of the method page sees; the last four rows are not in the published table."""
    assert tuple(expected) == pytest.approx(printed, abs=0.006)
    rng = np.random.default_rng(3)
    found = figures_of(*relation(3 * rng.standard_normal((BLOCKS, ROWS, COLUMNS)), lambda: _drawn(rng)))
    reach = 6 / np.sqrt(WEIGHTS) * max(1.0, abs(expected.beta), abs(expected.gamma))
    assert tuple(found.slopes) == pytest.approx(tuple(expected), abs=reach)
    assert found.beta.error < 0.02
    assert found.gamma.error < 0.02


def _drawn(rng: np.random.Generator) -> Doubles:
    return rng.standard_normal((BLOCKS, ROWS, COLUMNS))


@pytest.mark.parametrize("length", [0.5, 1.0, 2.0])
def test_a_merge_looks_like_the_reverse_direction_on_a_whole_curve(length: float) -> None:
    """Not at equal shares of equal changes alone, as the published table says."""
    share = length**2 / (1 + length**2)
    assert as_merge(share, length).gamma == pytest.approx(1)
    assert tuple(as_merge(share, length)) == pytest.approx(tuple(as_parent(1 / length)))


def test_decay_of_the_weights_leaves_beta_and_takes_gamma() -> None:
    """A tenth off all weights takes a tenth off the ancestor too, which is long against any change."""
    rng = np.random.default_rng(5)
    a, v, step = (rng.standard_normal((BLOCKS, ROWS, COLUMNS)) for _ in range(3))
    a *= 10
    found = figures_of(a, 0.9 * (a + v) + 0.67 * step, a + v)
    assert found.beta.value == pytest.approx(0.9, abs=0.02)
    assert found.gamma.value == pytest.approx(0.9 / (0.81 + 0.67**2 + 1), abs=0.02)
    assert found.scaled[0] > 0.4


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_spread_of_unrelated_changes(ratio: float) -> None:
    """1 / sqrt(D) holds for beta where both changes are as long; it grows with the ratio of their lengths."""
    rng, count = np.random.default_rng(7), 1500
    s, v = ratio * rng.standard_normal((400, count)), rng.standard_normal((400, count))
    inner = (s * v).sum(axis=1)
    beta, gamma = inner / (v**2).sum(axis=1), inner / (s**2).sum(axis=1)
    expected = orthogonal_error(count, ratio=ratio)
    assert beta.std() == pytest.approx(expected.beta, rel=0.15)
    assert gamma.std() == pytest.approx(expected.gamma, rel=0.15)


def test_the_interval_holds_the_truth_where_blocks_differ() -> None:
    """Blocks of weights that move together, as those of a matrix do: 95 % intervals from the jackknife."""
    rng, held, runs = np.random.default_rng(11), 0, 400
    for _ in range(runs):
        sums = np.zeros((24, SUMS))
        sums[:, 1] = rng.uniform(0.5, 1.5, 24)  # <v, v>
        sums[:, 2] = sums[:, 1] * (0.8 + 0.3 * rng.standard_normal(24))  # a slope of its own in each block
        sums[:, 0], sums[:, 5] = 2.0, 100.0
        bands = np.ones((24, BANDED))
        found = ancestor_figures(ChangeProducts(sums=sums, bands=bands, weights=24))
        assert found is not None
        lower, upper = found.beta.interval(found.blocks)
        held += lower <= 0.8 <= upper
    assert 0.91 <= held / runs <= 0.985


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(-2, 2), st.floats(0.1, 3))
def test_slopes_multiply_to_the_squared_cosine_and_mirror(seed: int, along: float, step: float) -> None:
    rng = np.random.default_rng(seed)
    a, v, d = (rng.standard_normal((4, 6, 5)) for _ in range(3))
    s = along * v + step * d
    found, mirrored = figures_of(a, a + s, a + v), figures_of(a, a + v, a + s)
    assert found.beta.value * found.gamma.value == pytest.approx(found.cosine.value**2)
    assert found.mirrored() == mirrored or found.mirrored().beta.value == pytest.approx(mirrored.beta.value)
    assert found.mirrored().of_reference.minor.value == pytest.approx(mirrored.of_reference.minor.value)


def test_sums_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    a, s, v = (rng.standard_normal((20, 7)) for _ in range(3))
    parts = sum(block_sums(a[at], s[at], v[at]) for at in (slice(0, 5), slice(5, 20)))
    np.testing.assert_allclose(parts, block_sums(a, s, v))


def test_bands_of_a_child_are_whole_and_those_of_a_shared_task_are_not() -> None:
    rng = np.random.default_rng(2)
    steep = (rng.standard_normal((BLOCKS, ROWS, 3)) @ rng.standard_normal((BLOCKS, 3, COLUMNS))) / 2
    a, own = rng.standard_normal((BLOCKS, ROWS, COLUMNS)), [_drawn(rng) for _ in range(3)]
    from_reference = figures_of(a, a + steep + own[0] + own[1], a + steep + own[0]).of_reference
    assert from_reference.major.value == pytest.approx(1, abs=0.03)
    assert from_reference.minor.value == pytest.approx(1, abs=0.03)
    assert from_reference.wholeness > -0.05
    sibling = figures_of(a, a + steep + own[2], a + steep + own[0]).of_reference
    assert sibling.major.value > 0.5 > 0.1 > sibling.minor.value
    assert sibling.trend < -0.5


def test_bands_say_nothing_where_nothing_is_shared() -> None:
    none = Bands(major=Estimate(-0.1, 0.1), minor=Estimate(0.2, 0.1))
    assert none.trend == 0
    assert Bands(major=Estimate(0.1, 0.1), minor=Estimate(-0.2, 0.1)).wholeness == -3
    assert Bands(major=Estimate(1e-9, 0.0), minor=Estimate(1.0, 0.0)).trend == 1


def test_an_unchanged_model_has_no_slopes() -> None:
    rng = np.random.default_rng(4)
    a, s = rng.standard_normal((4, 6, 5)), rng.standard_normal((4, 6, 5))
    blocks = list(zip(a, s, a, strict=True))
    products = ChangeProducts(
        sums=np.array([block_sums(*block) for block in blocks]),
        bands=np.array([band_sums(*block) for block in blocks]),
        weights=a.size,
    )
    assert ancestor_figures(products) is None


def test_sums_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="each of at least 3 blocks"):
        ChangeProducts(sums=np.ones((2, SUMS)), bands=np.ones((2, BANDED)), weights=1)
    with pytest.raises(ValueError, match="finite"):
        ChangeProducts(sums=np.full((3, SUMS), np.nan), bands=np.ones((3, BANDED)), weights=1)
    with pytest.raises(ValueError, match="positive ratio"):
        orthogonal_error(0)
