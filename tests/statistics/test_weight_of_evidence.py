"""Groups are fused and averaged, never multiplied; the mean is right whatever the dependence."""

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from group_worlds import correlation_matrix, group_log10_lr, group_world
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.evidence import LikelihoodRatio, NotComparable
from whorl.statistics import fusion as fusion_room
from whorl.statistics import weight_of_evidence as weight_room
from whorl.statistics.fusion import Fusion, fit_fusion, grouped_pairs
from whorl.statistics.ratio_caps import headline_log10_lr
from whorl.statistics.weight_of_evidence import WeightOfEvidence, emerge, fuse, mean_log10_ratio, weigh

STRENGTHS = np.array([1.5, 1.2])
ABSENT = NotComparable(tier="T3", method="outputs/1", reason="needs_weights", detail="no access")
HALVES = {"weights": 0.5, "outputs": 0.5}


def ratio(central: float, *, spread: float = 0.3, cap: float = 1.5, **changed: Any) -> LikelihoodRatio:
    """A ratio with its interval and the headline that follows."""
    lower, upper = central - spread, central + spread
    nearer = 0.0 if lower <= 0 <= upper else min((lower, upper), key=abs)
    values: dict[str, Any] = {
        "tier": "T3",
        "method": "made_up/1",
        "alternative": "independent",
        "log10_lr": max(-cap, min(cap, nearer)),
        "central": central,
        "lower": lower,
        "upper": upper,
        "caps": {"sampling": cap, "process": cap + 0.5},
        "families": (30, 40),
        "population": "sha256:00",
        "statistic": {"score": central},
        "detail": "made up",
    }
    return LikelihoodRatio(**(values | changed))


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    scores, truth, families = group_world(1, families=24, strengths=STRENGTHS, correlation=0.5)
    ratios = group_log10_lr(scores, STRENGTHS)
    present = np.ones(ratios.shape, bool)
    present[::3, 1] = False
    found = fit_fusion(
        grouped_pairs(("weights", "outputs"), ratios, present, truth, families),
        name="made up",
        alternative="independent",
        tier="T3",
    )
    assert isinstance(found, Fusion)
    return found


@pytest.mark.parametrize("multiply", [operator.mul, operator.add, operator.pow, operator.matmul])
def test_ratios_cannot_be_multiplied(multiply: Callable[[Any, Any], Any], fusion: Fusion) -> None:
    together = weigh({"weights": ratio(1.0), "outputs": ratio(0.5)}, weights=HALVES, fusion=fusion)
    for one in (ratio(1.0), together, together.fused, together.emerged):
        for other in (ratio(1.0), 2.0, together):
            with pytest.raises(TypeError):
                multiply(one, other)
            with pytest.raises(TypeError):
                multiply(other, one)
    with pytest.raises(TypeError):
        math.prod([ratio(1.0), ratio(1.0)], start=ratio(0.0))  # type: ignore[type-var]
    named = [name for room in (fusion_room, weight_room) for name in vars(room)]
    assert not [name for name in named if "product" in name or "multiply" in name]


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_mean_of_calibrated_ratios_has_mean_one_and_the_product_has_not(correlation: float) -> None:
    rng = np.random.default_rng(2)
    strengths = np.full(5, 1.2)
    scores = rng.normal(size=(200_000, 5)) @ np.linalg.cholesky(correlation_matrix(5, correlation)).T
    ratios = group_log10_lr(scores, strengths)
    means = 10 ** mean_log10_ratio(ratios, np.full(5, 0.2))
    error = means.std() / math.sqrt(len(means))
    assert means.mean() == pytest.approx(1, abs=4 * error)
    assert error < 0.01
    product = 10 ** ratios.sum(axis=1)
    assert correlation == 0 or product.mean() > 5, "exp(10 rho 1.44), most of it never sampled"


@given(st.lists(st.floats(0.01, 1), min_size=16, max_size=16), st.floats(0.01, 0.99))
def test_mean_is_right_in_both_directions_whatever_the_dependence(cells: list[float], weight: float) -> None:
    # Two groups of four outcomes each, any joint distribution: each group's ratio is that of its own margins.
    joint = np.array(cells).reshape(4, 4) / sum(cells)
    other = np.roll(joint, (1, 2), axis=(0, 1)).T
    for first, second in itertools.permutations((joint, other)):
        rows, columns = (np.log10(first.sum(axis=a) / second.sum(axis=a)) for a in (1, 0))
        pairs = np.column_stack([rows.repeat(4), np.tile(columns, 4)])
        mean = 10 ** mean_log10_ratio(pairs, np.array([weight, 1 - weight]))
        assert second.ravel() @ mean == pytest.approx(1), "under the alternative, exactly"
        assert first.ravel() @ (1 / mean) <= 1 + 1e-9, "under the first proposition, at most"


def test_bounded_mean_of_unrelated_pairs_stays_below_one(fusion: Fusion) -> None:
    scores, truth, _ = group_world(3, families=40, strengths=STRENGTHS, correlation=0.9)
    found = [
        emerge({"weights": ratio(one), "outputs": ratio(other)}, HALVES).log10_lr
        for one, other in group_log10_lr(scores[~truth], STRENGTHS).tolist()
    ]
    assert np.mean(10 ** np.array([value for value in found if value > 0])) * np.mean(np.array(found) > 0) <= 1


def test_emerge_known_answers() -> None:
    found = emerge({"weights": ratio(1.0), "outputs": ratio(0.0)}, HALVES)
    assert 10**found.central == pytest.approx(5.5)
    assert 10**found.lower == pytest.approx((10**0.7 + 10**-0.3) / 2)
    assert found.log10_lr == found.lower
    assert found.caps == {
        "process": pytest.approx(math.log10((100 + 1) / 2)),
        "sampling": pytest.approx(math.log10((10**1.5 + 1) / 2)),
    }
    capped = emerge({"weights": ratio(9.0), "outputs": ratio(-9.0)}, HALVES)
    assert capped.log10_lr == pytest.approx(math.log10(10**1.5 / 2)), "of what may be claimed of it"
    assert capped.central == pytest.approx(9 - math.log10(2))
    against = emerge({"weights": ratio(-9.0), "outputs": ratio(-1.0)}, {"weights": 0.9, "outputs": 0.1})
    assert against.log10_lr == pytest.approx(math.log10(0.9 * 10**-1.5 + 0.1 * 10**-0.7))
    undecided = emerge({"weights": ratio(0.6), "outputs": ratio(-9.0)}, HALVES)
    assert undecided.log10_lr == 0


def test_a_missing_group_never_supports() -> None:
    found = emerge({"weights": ratio(1.0), "outputs": ABSENT}, HALVES)
    assert 10**found.lower == pytest.approx(10**0.7 / 2), "0 in the lower end"
    assert 10**found.central == pytest.approx((10 + 1) / 2), "1 in the middle"
    assert found.log10_lr == found.lower
    assert found.detail.startswith("mean of 1 of 2 planned groups")
    shown = emerge({"weights": ratio(1.0), "outputs": ratio(-9.0)}, HALVES)
    assert found.log10_lr <= shown.log10_lr + 1e-9, "hiding what speaks against gains nothing"
    assert emerge({"weights": ratio(-1.0), "outputs": ABSENT}, HALVES).log10_lr == pytest.approx(
        math.log10((10**-0.7 + 1) / 2)
    )


@given(
    st.lists(st.floats(-6, 6), min_size=3, max_size=3),
    st.lists(st.floats(0, 3), min_size=3, max_size=3),
    st.lists(st.floats(0, 4), min_size=3, max_size=3),
)
def test_emerged_ratio_is_capped_and_never_beyond_its_groups(
    centrals: list[float], spreads: list[float], caps: list[float]
) -> None:
    given_ratios = {
        name: ratio(central, spread=spread, cap=cap)
        for name, central, spread, cap in zip("abc", centrals, spreads, caps, strict=True)
    }
    weights = {"a": 0.2, "b": 0.3, "c": 0.5}
    found = emerge(given_ratios, weights)  # its own validators check interval and caps
    headlines = [one.log10_lr for one in given_ratios.values()]
    assert min(*headlines, 0) - 1e-9 <= found.log10_lr <= max(*headlines, 0) + 1e-9
    assert emerge(dict(reversed(given_ratios.items())), weights) == found
    higher = given_ratios | {"b": ratio(centrals[1] + 1, spread=spreads[1], cap=caps[1])}
    assert emerge(higher, weights).log10_lr >= found.log10_lr - 1e-9


def test_fused_ratio_carries_what_a_ratio_must_carry(fusion: Fusion) -> None:
    found = fuse(fusion, {"weights": ratio(0.9), "outputs": ratio(0.8)})
    assert isinstance(found, LikelihoodRatio)
    expected = fusion.log10_ratios(np.array([[0.9, 0.8]]), np.ones((1, 2), bool))
    assert (found.central, found.lower) == (pytest.approx(expected.central[0]), pytest.approx(expected.lower[0]))
    assert found.log10_lr == headline_log10_lr(
        found.lower, found.upper, supporting=fusion.supporting.ratio_caps(), opposing=fusion.opposing.ratio_caps()
    )
    assert found.population == fusion.digest
    assert found.alternative == fusion.alternative
    assert set(found.caps) == {"sampling", "process"}
    single = fuse(fusion, {"weights": ratio(0.9), "outputs": ABSENT})
    assert isinstance(single, LikelihoodRatio)
    assert single.statistic == {"weights": 0.9}
    unseen = fuse(fusion, {"weights": ABSENT, "outputs": ratio(0.9)})
    assert isinstance(unseen, NotComparable)
    assert unseen.reason == "not_validated"


def test_fused_central_value_rises_with_each_group(fusion: Fusion) -> None:
    values = np.linspace(-2, 2, 30).tolist()
    for other in ("weights", "outputs"):
        moving = "outputs" if other == "weights" else "weights"
        found = [fuse(fusion, {moving: ratio(value), other: ratio(0.4)}) for value in values]
        central = [one.central for one in found if isinstance(one, LikelihoodRatio)]
        assert len(central) == 30
        assert (np.diff(central) >= 0).all()


def test_everything_is_shown_together(fusion: Fusion) -> None:
    ratios = {"outputs": ratio(1.4), "weights": ratio(0.6)}
    found = weigh(ratios, weights=HALVES, fusion=fusion)
    assert found.fused == fuse(fusion, ratios)
    assert found.emerged == emerge(ratios, HALVES)
    assert (found.best_group, found.best_single) == ("weights", ratios["weights"]), "not the one that says most here"
    assert WeightOfEvidence.model_validate_json(found.model_dump_json()) == found
    assert weigh(ratios | {"weights": ABSENT}, weights=HALVES, fusion=fusion).best_group == "outputs"
    for missing in ("fused", "emerged", "best_group", "groups"):
        with pytest.raises(ValueError, match=missing):
            WeightOfEvidence.model_validate(found.model_dump(exclude={missing}))
    for changed, named in (
        ({"emerged": ratio(0.7)}, "mean of these"),
        ({"best_group": "rumours"}, "best group"),
        ({"fused": ratio(1.0, alternative="same_data")}, "another alternative"),
    ):
        with pytest.raises(ValueError, match=named):
            WeightOfEvidence(**(dict(found) | changed))
    too_few = NotComparable(tier="T3", method="logistic_fusion/1", reason="too_little_data", detail="11 families")
    alone = weigh(ratios, weights={"outputs": 0.3, "weights": 0.7}, fusion=too_few)
    assert (alone.fused, alone.best_group) == (too_few, "weights")


@pytest.mark.parametrize(
    ("ratios", "weights", "named"),
    [
        ({"a": ratio(1.0)}, {"b": 1.0}, "weight for each"),
        ({"a": ratio(1.0)}, {"a": 0.9}, "sum to 1"),
        ({"a": ratio(1.0), "b": ratio(1.0)}, {"a": 1.0, "b": 0.0}, "positive weight"),
        ({"a": ABSENT}, {"a": 1.0}, "at least one ratio"),
        ({"a": ratio(1.0), "b": ratio(1.0, alternative="same_seed")}, {"a": 0.5, "b": 0.5}, "one alternative"),
    ],
)
def test_impossible_means_are_refused(ratios: Any, weights: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        emerge(ratios, weights)


def test_impossible_fusions_are_refused(fusion: Fusion) -> None:
    with pytest.raises(ValueError, match="expected the groups"):
        fuse(fusion, {"weights": ratio(1.0)})
    with pytest.raises(ValueError, match="one alternative"):
        fuse(fusion, {"weights": ratio(1.0), "outputs": ratio(1.0, alternative="same_data")})


def test_populations_of_a_mean_are_named_by_one_digest() -> None:
    one = emerge({"weights": ratio(1.0), "outputs": ratio(1.0)}, HALVES)
    assert one.population == "sha256:00"
    two = emerge({"weights": ratio(1.0), "outputs": ratio(1.0, population="sha256:01", families=(9, 80))}, HALVES)
    assert two.population.startswith("sha256:")
    assert two.population not in ("sha256:00", "sha256:01")
    assert two.families == (9, 40), "the fewest"
