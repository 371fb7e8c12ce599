"""T2 through the real functions: bounds hold under the null whatever the weights look like, and copies stand out."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from views import neurons, noisy, random_neurons, reordered, view

from whorl.comparison.alignment import agreement_table
from whorl.comparison.positions import (
    COINCIDENCES,
    RESIDUAL,
    SUBSEQUENCE,
    Positions,
    injective_pairs,
    positional_tests,
)
from whorl.core.arrays import Floats
from whorl.core.evidence import EValue, NotComparable, PValue
from whorl.core.progress import silent
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures, strongest
from whorl.statistics.intervals import clopper_pearson

NULLS = 1000
COUNT = 20
LEVELS = (0.3, 0.1, 0.03, 0.01)

Rng = np.random.Generator
Pair = tuple[ModelView, ModelView]


def outcome_of(questioned: ModelView, reference: ModelView) -> Positions:
    table = agreement_table(questioned.neurons, reference.neurons, silent)
    return positional_tests(questioned, reference, table)


def shuffled(layer: NeuronSignatures, rng: Rng) -> NeuronSignatures:
    """Every order of the neurons is equally likely: what the null says of one of the two models."""
    return reordered(layer, rng.permutation(len(layer.index)))


def independent(rng: Rng) -> Pair:
    return view([random_neurons(rng, COUNT) for _ in range(2)]), view([random_neurons(rng, COUNT) for _ in range(2)])


def shuffled_copy(rng: Rng) -> Pair:
    """The hardest null: every neuron has its true counterpart, and only the order is random."""
    layers = [random_neurons(rng, COUNT) for _ in range(2)]
    return view([noisy(layer, rng, 0.1) for layer in layers]), view([shuffled(layer, rng) for layer in layers])


def with_hubs_duplicates_and_dead(rng: Rng) -> Pair:
    layer = random_neurons(rng, COUNT)
    rows = [getattr(layer, name).copy() for name in ("gate", "up", "down")]
    for part in rows:
        part[5:8] = part[4]  # duplicates
        part[8:11] = 0  # dead
        part[11:16] = part[11] + 0.05 * rng.standard_normal((5, part.shape[1]))  # all nearest to one
    odd = neurons(rows[0], rows[1], rows[2])
    return view([noisy(odd, rng, 0.02)]), view([shuffled(odd, rng)])


def sorted_by_the_questioned_party(rng: Rng) -> Pair:
    layer = random_neurons(rng, COUNT)
    order = np.argsort(layer.norms.prod(axis=1))
    return view([reordered(noisy(layer, rng, 0.1), order)]), view([shuffled(layer, rng)])


def only_the_strongest(rng: Rng) -> Pair:
    """Stored fingerprints keep a few neurons, chosen by content, with their positions in the whole layer."""
    layer = random_neurons(rng, 3 * COUNT)
    return view([strongest(noisy(layer, rng, 0.1), COUNT)]), view([strongest(shuffled(layer, rng), COUNT)])


def experts(rng: Rng) -> Pair:
    """Neurons keep to their expert, experts change places whole."""
    layer, size = random_neurons(rng, COUNT), COUNT // 4
    order = np.concatenate([expert * size + rng.permutation(size) for expert in rng.permutation(4)])
    moved = reordered(layer, order)
    blocks = (size,) * 4
    ours, theirs = (neurons(side.gate, side.up, side.down, blocks=blocks) for side in (noisy(layer, rng, 0.1), moved))
    return view([ours]), view([theirs])


def narrower(rng: Rng) -> Pair:
    """Pruned to other widths: order stands in for position."""
    layer = random_neurons(rng, COUNT + 6)
    kept = np.sort(rng.permutation(COUNT + 6)[:COUNT])
    return view([reordered(noisy(layer, rng, 0.1), kept)]), view([shuffled(layer, rng)])


def signed_shuffle(rng: Rng) -> Pair:
    """Residual dimensions in another order and with other signs, layers unrelated."""
    residual = rng.standard_normal((COUNT, 16)).astype(np.float32)
    moved: Floats = residual[rng.permutation(COUNT)] * rng.choice(np.array([-1, 1], np.float32), (COUNT, 1))
    layers = [random_neurons(rng, COUNT)], [random_neurons(rng, COUNT)]
    return view(layers[0], residual=residual), view(layers[1], residual=moved)


SCENARIOS = [
    independent,
    shuffled_copy,
    with_hubs_duplicates_and_dead,
    sorted_by_the_questioned_party,
    only_the_strongest,
    experts,
    narrower,
    signed_shuffle,
]


def assert_bounded(log10_p: list[float], what: str) -> None:
    """No bound is undercut more often than it says, beyond sampling noise (99.9 %, one-sided)."""
    found = np.array(log10_p)
    for level in LEVELS:
        at_least, _ = clopper_pearson(int((found <= math.log10(level)).sum()), found.size, level=0.998)
        assert at_least <= level, f"{what}: p <= {level} in at least {at_least:.3f} of independent pairs"
    # One in a million may happen once in 1,000 with probability 0.001, so this catches a broken tail.
    assert found.min() > -6, what


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_bound_is_undercut_under_the_null(scenario: Callable[[Rng], Pair]) -> None:
    rng = np.random.default_rng(20261123)
    p_values: dict[str, list[float]] = {}
    e_values: dict[str, list[float]] = {}
    for _ in range(NULLS):
        outcome = outcome_of(*scenario(rng))
        assert outcome.log10_p is not None
        p_values.setdefault("combined", []).append(outcome.log10_p)
        for item in outcome.evidence:
            if isinstance(item, PValue):
                p_values.setdefault(item.method, []).append(item.log10_p)
            if isinstance(item, EValue):
                e_values.setdefault(item.method, []).append(10**item.log10_e)
    for method, values in p_values.items():
        assert_bounded(values, method)
    for values in e_values.values():
        assert np.mean(values) - 3.3 * np.std(values) / math.sqrt(len(values)) <= 1


def copied(rng: Rng, count: int = 64) -> Pair:
    layers = [random_neurons(rng, count) for _ in range(3)]
    residual = rng.standard_normal((count, 16)).astype(np.float32)
    near: Floats = residual + 0.2 * rng.standard_normal(residual.shape).astype(np.float32)
    return view([noisy(layer, rng, 0.4) for layer in layers], residual=near), view(layers, residual=residual)


def p_value(outcome: Positions, method: str) -> PValue:
    return next(item for item in outcome.evidence if isinstance(item, PValue) and item.method == method)


def test_a_copy_stands_out_in_every_test() -> None:
    outcome = outcome_of(*copied(np.random.default_rng(1)))
    assert p_value(outcome, COINCIDENCES).log10_p < -200
    assert p_value(outcome, RESIDUAL).log10_p < -80
    assert outcome.log10_p is not None
    assert outcome.log10_p < -200
    assert outcome.coincidences == {0: 64, 1: 64, 2: 64}
    assert any(isinstance(item, EValue) and item.log10_e > 50 for item in outcome.evidence)


def test_a_pruned_copy_stands_out_by_order() -> None:
    rng = np.random.default_rng(2)
    layers = [random_neurons(rng, 96) for _ in range(2)]
    kept = np.sort(rng.permutation(96)[:60])
    outcome = outcome_of(view([reordered(noisy(layer, rng, 0.2), kept) for layer in layers]), view(layers))
    assert p_value(outcome, SUBSEQUENCE).log10_p < -40
    assert outcome.coincidences == {}


def test_a_shuffle_hides_a_copy_from_positions() -> None:
    outcome = outcome_of(*shuffled_copy(np.random.default_rng(3)))
    assert outcome.log10_p is not None
    assert outcome.log10_p > -3


def test_the_embedding_alone_does_not_speak_for_the_layers() -> None:
    rng = np.random.default_rng(4)
    residual = rng.standard_normal((64, 16)).astype(np.float32)
    layers = [random_neurons(rng, 64)], [random_neurons(rng, 64)]
    outcome = outcome_of(view(layers[0], residual=residual), view(layers[1], residual=residual))
    assert outcome.log10_p is not None
    assert outcome.log10_p_layers is not None
    assert outcome.log10_p < -80
    assert outcome.log10_p_layers > -3


def test_a_copied_embedding_with_flipped_signs_is_no_coincidence() -> None:
    rng = np.random.default_rng(5)
    residual = rng.standard_normal((64, 16)).astype(np.float32)
    layer = [random_neurons(rng, 64)]
    assert p_value(outcome_of(view(layer, residual=-residual), view(layer, residual=residual)), RESIDUAL).log10_p == 0.0


@pytest.mark.parametrize("scenario", [independent, copied, narrower, only_the_strongest, experts, signed_shuffle])
def test_both_orders_of_the_models_give_the_same_bounds(scenario: Callable[[Rng], Pair]) -> None:
    questioned, reference = scenario(np.random.default_rng(6))
    there, back = outcome_of(questioned, reference), outcome_of(reference, questioned)
    assert there.log10_p == pytest.approx(back.log10_p, rel=1e-9)
    assert there.log10_p_layers == pytest.approx(back.log10_p_layers, rel=1e-9)
    assert sorted(there.coincidences.values()) == sorted(back.coincidences.values())


def test_what_cannot_be_compared_says_why() -> None:
    rng = np.random.default_rng(7)
    two, three = (
        neurons(side.gate, side.up, side.down, blocks=blocks)
        for side, blocks in ((random_neurons(rng, 24), (12, 12)), (random_neurons(rng, 24), (8, 8, 8)))
    )
    outcome = outcome_of(view([two]), view([three]))
    reasons = {item.method: item.reason for item in outcome.evidence if isinstance(item, NotComparable)}
    assert reasons == {COINCIDENCES: "shapes_differ", RESIDUAL: "no_shared_vocabulary"}
    assert (outcome.log10_p, outcome.log10_p_layers, outcome.coincidences) == (None, None, {})


def test_residual_streams_of_different_widths_have_no_common_positions() -> None:
    rng = np.random.default_rng(8)
    sides = [
        view([random_neurons(rng, 8)], residual=rng.standard_normal((width, 16)).astype(np.float32))
        for width in (12, 16)
    ]
    found = [item for item in outcome_of(sides[0], sides[1]).evidence if item.method == RESIDUAL]
    assert [item.reason for item in found if isinstance(item, NotComparable)] == ["shapes_differ"]


def test_layers_are_paired_once_each_and_by_agreement() -> None:
    table = np.array([[0.0, 0.9, 0.0], [0.0, 0.8, 0.0]])
    assert injective_pairs(table) == [(0, 1), (1, 2)]
    assert injective_pairs(table.T) == [(1, 0), (2, 1)]
    assert injective_pairs(np.zeros((4, 4))) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert injective_pairs(np.zeros((2, 4))) == [(0, 0), (1, 2)]


def test_every_bound_names_its_null_and_its_assumptions() -> None:
    for item in outcome_of(*copied(np.random.default_rng(9))).evidence:
        assert isinstance(item, PValue | EValue)
        assert item.null == "the two models are independent"
        assert "equally likely" in item.assumptions[0]
