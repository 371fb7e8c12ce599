"""Two-view agreement: the right layers are found, and unrelated ones agree by chance only."""

import numpy as np
import pytest
from views import neurons, noisy, random_neurons, reordered

from whorl.comparison.alignment import (
    LayerPair,
    agreeing_heads,
    agreement_table,
    align_layers,
    pair_layers,
    strongest,
    view_similarities,
)
from whorl.core.arrays import Floats
from whorl.core.progress import silent
from whorl.fingerprints.heads import HeadFeatures
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.cosines import cosines

Layers = list[NeuronSignatures]


def aligned(questioned: Layers, reference: Layers) -> tuple[LayerPair, ...]:
    return align_layers(questioned, reference, agreement_table(questioned, reference, silent), tries=1)


def layer_map(questioned: Layers, reference: Layers) -> list[int | None]:
    return [pair.reference if pair.established else None for pair in aligned(questioned, reference)]


def model(seed: int, layers: int, count: int = 64) -> Layers:
    rng = np.random.default_rng(seed)
    return [random_neurons(rng, count) for _ in range(layers)]


def copied(layers: Layers, seed: int = 99, size: float = 0.3) -> Layers:
    """The layers with noise, each with its neurons in another order and its up and down rescaled, signs included."""
    rng = np.random.default_rng(seed)
    changed = []
    for layer in layers:
        moved = reordered(noisy(layer, rng, size), rng.permutation(len(layer.index)))
        scale = (rng.lognormal(size=len(layer.index)) * rng.choice([-1, 1], len(layer.index))).astype(np.float32)
        changed.append(neurons(moved.gate, moved.up * scale[:, None], moved.down / scale[:, None]))
    return changed


def test_unrelated_layers_agree_on_about_one_neuron_and_never_pass() -> None:
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(300):
        pair = pair_layers([random_neurons(rng, 96)], [random_neurons(rng, 96)], 0, 0, tests=1)
        assert not pair.established
        assert 0.2 * 96 < pair.found <= 96
        counts.append(len(pair.rows_questioned))
    # Two one-to-one maps of n neurons, unrelated to each other, meet in at most one neuron on average.
    assert np.mean(counts) < 1.2


@pytest.mark.parametrize(
    "order",
    [[0, 1, 2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 1, 2, 3, 4, 5], [5, 3, 0, 1, 2, 4], [2]],
    ids=["same", "dropped", "repeated", "reordered", "one left"],
)
def test_the_map_of_layers_is_found(order: list[int]) -> None:
    reference = model(2, 6)
    questioned = copied([reference[layer] for layer in order])
    assert layer_map(questioned, reference) == order
    assert all(pair.agreement > 0.9 for pair in aligned(questioned, reference))


def test_a_new_layer_among_copied_ones_has_no_counterpart() -> None:
    reference = model(3, 4)
    stranger = random_neurons(np.random.default_rng(4), 64)
    assert layer_map([*copied(reference[:2]), stranger, *copied(reference[2:])], reference) == [0, 1, None, 2, 3]


def test_matched_rows_name_the_same_neurons() -> None:
    [reference], rng = model(5, 1), np.random.default_rng(6)
    order = rng.permutation(64)
    [pair] = aligned([reordered(reference, order)], [reference])
    assert pair.rows_reference.tolist() == order[pair.rows_questioned].tolist()
    assert pair.agreement == 1.0


@pytest.mark.parametrize("kept", [40, 64])
def test_layers_of_different_widths_are_compared(kept: int) -> None:
    reference = model(7, 3, count=64)
    narrow = [reordered(layer, np.arange(kept)) for layer in reference]
    assert layer_map(narrow, reference) == [0, 1, 2]
    wide = aligned(reference, narrow)
    assert [pair.reference for pair in wide] == [0, 1, 2]
    assert wide[0].agreement == pytest.approx(kept / 64)


def zeros(count: int) -> NeuronSignatures:
    flat = np.zeros((count, 12), np.float32)
    return neurons(flat, flat, flat)


def equal(count: int) -> NeuronSignatures:
    rows = np.repeat(np.random.default_rng(8).standard_normal((3, 1, 12)), count, axis=1).astype(np.float32)
    return neurons(rows[0], rows[1], rows[2])


@pytest.mark.parametrize("layer", [zeros(64), equal(64), zeros(0), zeros(1)], ids=["zero", "equal", "none", "one"])
def test_layers_without_distinct_neurons_say_nothing(layer: NeuronSignatures) -> None:
    [pair] = aligned([layer], [layer])
    assert (pair.agreement, pair.found, pair.established) == (0.0, 0, False)


def test_duplicated_neurons_are_looked_up_as_one_and_the_others_keep_their_counterparts() -> None:
    [layer] = model(9, 1)
    doubled = reordered(layer, np.concatenate([np.arange(64), np.arange(8)]))
    [pair] = aligned([doubled], [layer])
    assert pair.rows_questioned.tolist() == list(range(64))
    assert pair.rows_reference.tolist() == list(range(64))
    assert pair.neurons == 64


def test_a_neuron_must_be_alike_in_both_views() -> None:
    [layer], [other] = model(10, 1), model(11, 1)
    half = neurons(layer.gate, other.up, other.down)
    [pair] = aligned([half], [layer])
    assert pair.agreement < 0.1
    assert not pair.established


def test_ties_go_to_the_nearest_depth_whatever_is_compared_first() -> None:
    same = [zeros(64)] * 4
    assert [pair.reference for pair in aligned(same, same)] == [0, 1, 2, 3]
    assert [pair.reference for pair in aligned(same[:2], same)] == [0, 2]


def test_how_many_layer_pairs_were_tried_is_paid_for() -> None:
    [reference] = model(12, 1)
    # 18 of 64 agreeing neurons are beyond the cap by about 1e-5.
    mixed = random_neurons(np.random.default_rng(14), 64)
    for view in ("gate", "up", "down"):
        getattr(mixed, view)[:18] = getattr(reference, view)[:18]
    found = [pair_layers([mixed], [reference], 0, 0, tests=tests).established for tests in (1, 10_000)]
    assert found == [False, False]
    for view in ("gate", "up", "down"):
        getattr(mixed, view)[:22] = getattr(reference, view)[:22]
    assert [pair_layers([mixed], [reference], 0, 0, tests=tests).established for tests in (1, 10_000)] == [True, False]


def test_a_model_without_gates_is_looked_up_by_what_it_reads_and_what_it_writes() -> None:
    [layer] = model(15, 1)
    plain = neurons(layer.gate, np.zeros_like(layer.up), layer.down)
    turned = neurons(plain.gate, plain.up, -plain.down)
    assert aligned([plain], [plain])[0].agreement == 1.0
    # Nothing may flip the sign of what an ungated neuron writes.
    assert not aligned([turned], [plain])[0].established
    flipped = neurons(layer.gate, -layer.up, -layer.down)
    assert aligned([flipped], [layer])[0].agreement == 1.0


def test_the_strongest_neurons_are_taken_by_content_and_never_by_position() -> None:
    [layer] = model(16, 1)
    order = np.random.default_rng(17).permutation(64)
    ours, theirs = strongest(layer, 10), strongest(reordered(layer, order), 10)
    assert sorted(order[theirs.index]) == ours.index.tolist()
    assert len(strongest(equal(64), 10).index) == 0


def test_similarities_are_those_of_unit_rows_and_finite_for_zero_rows() -> None:
    rng = np.random.default_rng(18)
    left, right = (rng.standard_normal((5, 3)).astype(np.float32) for _ in range(2))
    left[2] = 0
    expected = np.divide(left @ right.T, np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1) + 1e-30)
    assert cosines(left, right) == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(view_similarities(zeros(3), random_neurons(rng, 4))).all()


def heads(rng: np.random.Generator, count: int, features: int = 16) -> HeadFeatures:
    drawn: Floats = rng.standard_normal((count, features + 32)).astype(np.float32)
    return HeadFeatures(query_key=drawn[:, :features], output_value=drawn[:, features:])


def test_heads_are_found_again_in_another_order_and_unrelated_ones_are_not() -> None:
    rng = np.random.default_rng(19)
    ours = heads(rng, 16)
    order = rng.permutation(16)
    moved = HeadFeatures(query_key=ours.query_key[order], output_value=ours.output_value[order])
    assert agreeing_heads(moved, ours) == 16
    agreed = [agreeing_heads(heads(rng, 16), heads(rng, 16)) or 0 for _ in range(200)]
    assert np.mean(agreed) < 1.2


def test_what_all_heads_share_does_not_tell_them_apart() -> None:
    rng = np.random.default_rng(20)
    profile = 20 * rng.standard_normal(16).astype(np.float32)
    one, other = heads(rng, 16), heads(rng, 16)
    shared = [HeadFeatures(query_key=side.query_key + profile, output_value=side.output_value) for side in (one, other)]
    assert agreeing_heads(shared[0], shared[1]) == agreeing_heads(one, other)


def test_heads_of_different_kinds_are_not_compared() -> None:
    rng = np.random.default_rng(21)
    assert agreeing_heads(heads(rng, 4, 16), heads(rng, 4, 8)) is None
