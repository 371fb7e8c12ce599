"""Derived or of one start: what a child contains and a sibling does not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from comparison_types import DEMO, Access, Demo, Put
from generated_models import Family, Sizes, Storage, drawn, edited, fine_tuned
from safetensors.torch import load_file
from views import neurons, random_neurons, view

from whorl.comparison.alignment import LayerPair, pair_layers
from whorl.comparison.comparing import compare
from whorl.comparison.kinship import (
    DERIVED_FROM,
    LEAST_CONTAINED,
    MatchedWeights,
    gain_slopes,
    judge,
    matched_weights,
    pair_cosines,
)
from whorl.core.arrays import Floats
from whorl.core.evidence import Finding, Score
from whorl.core.progress import silent
from whorl.fingerprints.model_view import ModelView
from whorl.statistics.ratio_population import Ratio
from whorl.weights.gauges import rewrite
from whorl.weights.in_memory import Checkpoint

ACCESS: tuple[Access, ...] = ("weights", "fingerprint")
SIZES = Sizes(layers=3, width=64, neurons=192, vocabulary=200)


def gains(rng: np.random.Generator, count: int = 400) -> Floats:
    return rng.standard_normal(count).astype(np.float32)


def with_gains(**named: Floats) -> ModelView:
    layers = 1 + max((int(name.split("_")[0][1:]) for name in named if name.startswith("l")), default=0)
    rng = np.random.default_rng(0)
    roles = {f"layers.{name[1]}.{name[3:]}" if name.startswith("l") else name: gain for name, gain in named.items()}
    return view([random_neurons(rng, 4) for _ in range(layers)], gains=roles)


def test_a_child_contains_its_parents_gains_and_a_sibling_only_a_part() -> None:
    rng = np.random.default_rng(1)
    parent, own, other, common = (gains(rng) for _ in range(4))
    child = gain_slopes(with_gains(l0_norm=1 + parent + 0.7 * own), with_gains(l0_norm=1 + parent), {0: 0})
    assert child is not None
    assert child.questioned_on_reference == pytest.approx(1, abs=0.1)
    assert child.reference_on_questioned == pytest.approx(1 / 1.49, abs=0.1)
    siblings = gain_slopes(with_gains(l0_norm=common + own), with_gains(l0_norm=common + other), {0: 0})
    assert siblings is not None
    assert siblings.questioned_on_reference == pytest.approx(0.5, abs=0.1)
    assert siblings.reference_on_questioned == pytest.approx(0.5, abs=0.1)
    strangers = gain_slopes(with_gains(l0_norm=own), with_gains(l0_norm=other), {0: 0})
    assert strangers is not None
    assert abs(strangers.correlation) < 0.15
    same = gain_slopes(with_gains(l0_norm=own), with_gains(l0_norm=own), {0: 0})
    assert same is not None
    assert same.identical
    assert same.correlation == pytest.approx(1)


def test_gains_are_compared_along_the_map_of_layers_and_the_last_one_only_where_the_map_is_whole() -> None:
    rng = np.random.default_rng(2)
    one, two, final = (gains(rng) for _ in range(3))
    ours = with_gains(l0_norm=two, final_norm=final)
    theirs = with_gains(l0_norm=one, l1_norm=two, final_norm=final)
    found = gain_slopes(ours, theirs, {0: 1})
    assert found is not None
    assert found.identical
    assert found.values == 400
    whole = gain_slopes(theirs, theirs, {0: 0, 1: 1})
    assert whole is not None
    assert whole.values == 1200
    wrong = gain_slopes(ours, with_gains(l0_norm=one, l1_norm=two), {0: 0})
    assert wrong is not None
    assert abs(wrong.correlation) < 0.15


def test_the_level_of_a_gain_says_nothing() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = gains(rng), gains(rng)
    found = gain_slopes(with_gains(l0_norm=5 + ours), with_gains(l0_norm=5 + theirs), {0: 0})
    assert found is not None
    assert abs(found.correlation) < 0.15


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (with_gains(l0_norm=np.ones(8, np.float32)), with_gains(l0_norm=np.arange(8, dtype=np.float32))),
        (with_gains(l0_norm=np.arange(8, dtype=np.float32)), with_gains(l0_norm=np.arange(6, dtype=np.float32))),
        (with_gains(l0_norm=np.arange(8, dtype=np.float32)), with_gains(l0_other=np.arange(8, dtype=np.float32))),
        (with_gains(), with_gains()),
    ],
    ids=["constant", "another width", "another role", "none"],
)
def test_gains_that_cannot_be_compared_give_no_slope(ours: ModelView, theirs: ModelView) -> None:
    assert gain_slopes(ours, theirs, {0: 0}) is None


@pytest.mark.parametrize("cosine", [0.0, 0.5, 0.9, 0.99])
def test_cosines_are_recovered_from_signs(cosine: float) -> None:
    rng = np.random.default_rng(4)
    rows, directions = rng.standard_normal((2, 200, 256)), rng.standard_normal((256, 2048))
    near = cosine * rows[0] + np.sqrt(1 - cosine**2) * rows[1]
    signs = [np.asarray(np.sign(side @ directions), np.float32) for side in (rows[0], near)]
    exact = [np.asarray(side, np.float32) for side in (rows[0], near)]
    pair = LayerPair(
        questioned=0,
        reference=0,
        rows_questioned=np.arange(200),
        rows_reference=np.arange(200),
        neurons=200,
        found=200,
        established=True,
    )
    for sides, is_exact in ((signs, False), (exact, True)):
        views = [view([neurons(side, side, side)]) for side in sides]
        ours, theirs = (replace(one, exact=is_exact) for one in views)
        assert np.mean(pair_cosines(ours, theirs, pair)) == pytest.approx(cosine, abs=0.03)


def test_matched_weights_pool_all_pairs_and_are_none_where_nothing_matched() -> None:
    rng = np.random.default_rng(5)
    layers = [random_neurons(rng, 64) for _ in range(2)]
    both = view(layers)
    pairs = [pair_layers(layers, layers, number, number, tests=1) for number in (0, 1)]
    found = matched_weights(both, both, pairs)
    assert found is not None
    assert found.neurons == 128
    assert found.cosine == pytest.approx(1)
    assert found.difference == pytest.approx(0, abs=1e-6)
    assert found.questioned_on_reference == found.reference_on_questioned == pytest.approx(1)
    assert matched_weights(both, both, []) is None


def weights(*, difference: float = 0.2, structure: float = 0.3, least: float | None = None) -> MatchedWeights:
    return MatchedWeights(
        cosine=1 - difference,
        difference=difference,
        structure=structure,
        least_structure=structure if least is None else least,
        questioned_on_reference=0.9,
        reference_on_questioned=0.9,
        neurons=500,
    )


def ratio(lower: float, upper: float) -> Ratio:
    return Ratio(central=(lower + upper) / 2, lower=lower, upper=upper, bounded=0.0)


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (DERIVED_FROM + 0.01, 2.0, "derived"),
        (DERIVED_FROM - 0.01, 2.0, "undecided"),  # descent is called with a margin
        (-2.0, -0.1, "shared_initialisation"),
        (-0.1, 2.0, "undecided"),
        (0, 0, "undecided"),
    ],
)
@pytest.mark.parametrize("difference", [0.0, 0.2, 0.9])
def test_the_interval_of_the_ratio_decides_where_there_is_one(
    lower: float, upper: float, verdict: str, difference: float
) -> None:
    found = judge(weights(difference=difference), ratio(lower, upper), equal_parts=None)
    assert found.verdict == verdict
    assert f"{difference:.3f}" in found.reason
    assert "10^" not in found.reason  # a ratio is never said without its interval, caps and population


@pytest.mark.parametrize("norms", [0.7, 1 / 0.7])
def test_a_common_start_alone_is_not_named_where_one_model_is_as_short_as_an_average(norms: float) -> None:
    found = judge(weights(), ratio(-2.0, -0.1), equal_parts=None, norms=norms)
    assert found.verdict == "undecided"
    assert "0.70 times as long" in found.reason
    assert judge(weights(), ratio(-2.0, -0.1), equal_parts=None, norms=0.95).verdict == "shared_initialisation"


def test_no_ratio_makes_a_descendant_of_a_model_that_contains_little_of_the_structure() -> None:
    for contained, verdict in ((LEAST_CONTAINED - 0.01, "undecided"), (LEAST_CONTAINED, "derived")):
        assert judge(weights(), ratio(1.0, 2.0), equal_parts=None, contained=contained).verdict == verdict


def test_without_a_ratio_only_a_difference_next_to_nothing_counts_as_descent() -> None:
    """Where hardly anything was learned, equal weights may be equal starts."""
    for difference, structure, verdict in (
        (0.0, 0.3, "derived"),
        (0.001, 0.3, "derived"),
        (0.1, 0.3, "undecided"),
        (0.0, 0.001, "undecided"),
        (0.0, 0.0, "undecided"),
    ):
        found = judge(weights(difference=difference, structure=structure), None, equal_parts=None)
        assert found.verdict == verdict, (difference, structure)


def test_equal_bits_decide_against_any_ratio_but_only_where_training_wrote_something() -> None:
    against = ratio(-3.0, -2.0)
    found = judge(weights(), against, equal_parts="2 of the layers' matrices")
    assert (found.verdict, found.reason) == ("derived", "2 of the layers' matrices are equal bit for bit")
    assert judge(weights(structure=0.0), against, equal_parts="all").verdict == "shared_initialisation"
    assert judge(weights(structure=0.0), None, equal_parts="all").verdict == "undecided"


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize(
    ("questioned", "reference", "relations"),
    [
        ("suspect", "base", {"derived"}),
        ("base-q8.gguf", "base", {"derived"}),
        ("suspect", "base-q8.gguf", {"derived"}),
        ("sibling", "base", {"shared_initialisation"}),
        ("sibling", "base-q8.gguf", {"shared_initialisation", "inconclusive"}),
        ("sibling", "suspect", {"shared_initialisation", "inconclusive"}),
        ("twin", "base", {"none_found"}),
        ("twin", "suspect", {"none_found"}),
        ("twin", "sibling", {"none_found"}),
        ("student", "base", {"none_found"}),
        ("student", "suspect", {"none_found"}),
        ("student", "twin", {"none_found"}),
    ],
)
def test_trained_models_come_out_as_what_they_are(
    demo: Demo, questioned: str, reference: str, relations: set[str], access: Access
) -> None:
    assert demo(questioned, reference, access).conclusion.relation in relations
    assert demo(reference, questioned, access).conclusion.relation in relations


def trained_apart(start: Checkpoint, seed: int, size: float) -> Checkpoint:
    """A short run from a start: matrices moved along few directions of the run's own, gains next to 1."""
    moved = fine_tuned(start, seed, size)
    rng = np.random.default_rng(seed)
    changes = {
        name: np.asarray(1 + size * rng.standard_normal(array.shape), np.float32)
        for name, array in start.weights.items()
        if name.endswith("norm.weight")
    }
    return edited(moved, changes)


def figures(finding: Finding) -> str:
    score = next(item for item in finding.evidence if isinstance(item, Score) and item.method == "matched_weights/1")
    return f"{finding.conclusion.statement} {score.statistic}"


@pytest.mark.parametrize("size", [0.003, 0.01, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("disguised", [False, True])
@pytest.mark.parametrize("storage", ["F32", "BF16"])
def test_short_runs_from_one_untrained_start_are_never_derived_from_each_other(
    put: Put, size: float, disguised: bool, storage: Storage
) -> None:
    """Almost all that they share is the start, however alike they are, and whether or not their gains can be read."""
    start = drawn("llama", 1, SIZES, trained=False)
    one, other = (trained_apart(start, seed, size) for seed in (2, 3))
    if disguised:
        other = rewrite(other, np.random.default_rng(4))
    sides = put(other, storage=storage), put(one, storage=storage)
    finding = compare(*sides, progress=silent, jobs=1, with_power=False)
    assert finding.conclusion.relation in ("shared_initialisation", "inconclusive"), figures(finding)


def test_siblings_with_the_same_foreign_gains_are_not_derived_from_each_other(put: Put) -> None:
    """Equal gains are proof of nothing where somebody put them there: gains can be replaced for free."""
    start = drawn("llama", 1, SIZES, trained=False)
    dressed = [
        rewrite(trained_apart(start, seed, 0.8), np.random.default_rng(5), ("dressing", "rotation")) for seed in (2, 3)
    ]
    finding = compare(put(dressed[0]), put(dressed[1]), progress=silent, jobs=1, with_power=False)
    assert finding.conclusion.relation != "derived", figures(finding)


def of_demo(name: str) -> Checkpoint:
    tensors = load_file(DEMO / name / "model.safetensors")  # bfloat16, which numpy does not know
    weights = {key: tensor.float().numpy() for key, tensor in tensors.items()}
    return Checkpoint(weights=weights, config=json.loads((DEMO / name / "config.json").read_text()))


def relation_of(one: Checkpoint, other: Checkpoint, put: Put) -> str:
    return compare(put(one), put(other), progress=silent, jobs=1, with_power=False).conclusion.relation


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
@pytest.mark.parametrize("uneven", [0.15, 0.35])
def test_uneven_gains_on_one_untrained_start_are_no_training_that_is_shared(
    put: Put, family: Family, uneven: float
) -> None:
    """Gains are folded into the rows that they weigh: what they alone make uneven must not pass for structure."""
    common = drawn(family, 31, SIZES, trained=False)

    def run(seed: int) -> Checkpoint:
        rng = np.random.default_rng(seed)
        changes = {
            name: array + 1e-4 * rng.standard_normal(array.shape)
            if array.ndim == 2
            else array * np.exp(uneven * rng.standard_normal(array.shape))
            for name, array in common.weights.items()
        }
        return edited(common, {name: np.asarray(array, np.float32) for name, array in changes.items()})

    assert relation_of(run(1), run(2), put) != "derived"


@pytest.mark.parametrize("levels", ["ternary", "signs", "16 levels"])
def test_runs_of_one_start_are_not_derived_for_having_few_values_to_share(put: Put, levels: str) -> None:
    def coarse(model: Checkpoint) -> Checkpoint:
        rounded = {}
        for name, array in model.weights.items():
            if array.ndim == 2 and "layers" in name:
                scale = 2.0 ** np.round(np.log2(np.abs(array).mean()))
                kept = {
                    "ternary": np.clip(np.round(array / scale), -1, 1) * scale,
                    "signs": np.sign(array) * scale,
                    "16 levels": np.clip(np.round(2 * array / scale), -8, 7) * scale / 2,
                }
                rounded[name] = np.asarray(kept[levels], np.float32)
        return edited(model, rounded)

    assert relation_of(coarse(of_demo("sibling")), coarse(of_demo("base")), put) != "derived"


@pytest.mark.parametrize("frozen", ["self_attn", "layers.0."])
def test_parts_frozen_at_a_start_that_both_had_are_no_training_that_is_shared(put: Put, frozen: str) -> None:
    models = [of_demo(name) for name in ("sibling", "base")]
    rng = np.random.default_rng(5)
    start = {
        name: np.asarray(0.1 * rng.standard_normal(array.shape), np.float32)
        for name, array in models[0].weights.items()
        if frozen in name and array.ndim == 2
    }
    assert start
    assert relation_of(edited(models[0], start), edited(models[1], start), put) != "derived"


def test_what_was_trained_and_is_equal_still_decides(put: Put) -> None:
    base = of_demo("base")
    names = [name for name in base.weights if "layers.1.mlp" in name]
    other = edited(of_demo("sibling"), {name: base.weights[name] for name in names})
    finding = compare(put(other), put(base), progress=silent, jobs=1, with_power=False)
    assert finding.conclusion.relation == "derived"
    assert "equal bit for bit" in finding.conclusion.statement


def test_no_headline_is_given_where_related_models_have_no_ratio_against_a_common_start(put: Put) -> None:
    common = drawn("llama", 32, SIZES, trained=False)
    child = edited(common, {n: a + np.float32(1e-3) * np.sign(a) for n, a in common.weights.items() if a.ndim == 2})
    finding = compare(put(child), put(common), progress=silent, jobs=1, with_power=False)
    assert finding.conclusion.relation == "inconclusive"
    assert finding.conclusion.log10_lr is None
