"""Neurons that are copies of each other within a layer: taken together, so that splitting and padding hide nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from views import neurons, random_neurons, reordered

from whorl.comparison.alignment import agreement_table, align_layers, pair_layers, without_copies
from whorl.core.arrays import Floats, Ints
from whorl.core.progress import silent
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.cosines import cosines

Rng = np.random.Generator
Hide = Callable[[NeuronSignatures, Rng], NeuronSignatures]
WIDE = 48  # more coordinates than the first look takes


def layer(seed: int, count: int = 64) -> NeuronSignatures:
    return random_neurons(np.random.default_rng(seed), count, WIDE)


def joined(*parts: NeuronSignatures) -> NeuronSignatures:
    gate, up, down = (np.concatenate([getattr(part, view) for part in parts]) for view in ("gate", "up", "down"))
    return neurons(gate, up, down)


def scaled(original: NeuronSignatures, up: float | Floats = 1.0, down: float | Floats = 1.0) -> NeuronSignatures:
    return neurons(original.gate, np.float32(up) * original.up, np.float32(down) * original.down)


def turned(original: NeuronSignatures, rng: Rng, size: float) -> NeuronSignatures:
    """Gates moved aside by this share of their length."""
    aside = rng.standard_normal(original.gate.shape).astype(np.float32)
    aside *= size * np.linalg.norm(original.gate, axis=1, keepdims=True) / np.linalg.norm(aside, axis=1, keepdims=True)
    return neurons(original.gate + aside, original.up, original.down)


def moved(original: NeuronSignatures, seed: int) -> NeuronSignatures:
    return reordered(original, np.random.default_rng(seed).permutation(len(original.index)))


def halves(original: NeuronSignatures, rng: Rng) -> NeuronSignatures:
    return joined(scaled(original, down=0.5), scaled(original, down=0.5))


def unequal(original: NeuronSignatures, rng: Rng) -> NeuronSignatures:
    return joined(scaled(original, down=0.8), scaled(turned(original, rng, 0.1), up=-2.0, down=-0.1))


def thirds_of_some(original: NeuronSignatures, rng: Rng) -> NeuronSignatures:
    some = scaled(reordered(original, np.arange(40)), down=1 / 3)
    return joined(some, some, some, reordered(original, np.arange(40, 64)))


def large_opposites(original: NeuronSignatures, rng: Rng) -> NeuronSignatures:
    """Two copies whose writings are large and nearly cancel: their sum is the neuron's."""
    aside = (8 * rng.standard_normal(original.down.shape)).astype(np.float32)
    apart = [neurons(original.gate, original.up, original.down / 2 + sign * aside) for sign in (1, -1)]
    return joined(*apart)


def padded(original: NeuronSignatures, rng: Rng) -> NeuronSignatures:
    fake = random_neurons(rng, 256, WIDE)
    return joined(original, scaled(fake, down=5.0), scaled(fake, up=-1.0, down=5.0))


SPLIT = [halves, unequal, thirds_of_some, large_opposites, padded]


@pytest.mark.parametrize("hide", SPLIT)
def test_a_split_or_padded_copy_is_found_again_on_either_side(hide: Hide) -> None:
    original = layer(1)
    hidden = moved(hide(original, np.random.default_rng(2)), 3)
    for pair in (
        pair_layers([hidden], [original], 0, 0, tests=1),
        pair_layers([original], [hidden], 0, 0, tests=1),
    ):
        assert pair.neurons == 64
        assert pair.agreement == 1.0
        assert pair.established


@pytest.mark.parametrize("hide", SPLIT)
def test_matched_rows_still_count_in_the_layer_as_taken(hide: Hide) -> None:
    original = layer(4)
    hidden = moved(hide(original, np.random.default_rng(5)), 6)
    pair = pair_layers([hidden], [original], 0, 0, tests=1)
    gates = cosines(hidden.gate, original.gate)[pair.rows_questioned, pair.rows_reference]
    assert np.all(np.diff(pair.rows_questioned) > 0)
    assert np.all(gates > 0.99)


def test_the_table_over_layers_sees_through_padding_too() -> None:
    originals = [layer(seed) for seed in (7, 8, 9)]
    hidden = [moved(padded(originals[place], np.random.default_rng(10)), 11) for place in (2, 0, 1)]
    pairs = align_layers(hidden, originals, agreement_table(hidden, originals, silent), tries=1)
    assert [pair.reference for pair in pairs] == [2, 0, 1]
    assert all(pair.established for pair in pairs)


def test_a_layer_without_copies_is_left_alone() -> None:
    original = layer(12)
    same, rows = without_copies(original)
    assert same is original
    assert rows.tolist() == list(range(64))


@pytest.mark.parametrize("gated", [True, False])
def test_alike_in_one_part_only_is_no_copy(gated: bool) -> None:
    one, other = layer(13), layer(14)
    twice = joined(one, neurons(one.gate, other.up, other.down)) if gated else layer(15)
    assert without_copies(twice)[0] is twice
    flipped = joined(one, neurons(-one.gate, one.up, one.down))
    assert without_copies(flipped)[0] is flipped


def test_neurons_without_gates_are_copies_by_what_they_read() -> None:
    drawn = layer(16)
    twice = [neurons(drawn.gate, np.zeros_like(drawn.up), share * drawn.down) for share in (0.25, 0.75)]
    written = [np.linalg.norm(part.down, axis=1) for part in twice]
    plain = joined(*twice)
    lengths = np.stack([plain.norms[:, 0], np.concatenate(written)], axis=1)
    together, _ = without_copies(replace(plain, norms=lengths))
    assert together.gate.shape[0] == 64
    assert np.diag(cosines(together.down, drawn.down)).min() > 0.999


def test_copies_in_different_experts_are_different_neurons() -> None:
    block = layer(17, 32)
    mixture = joined(block, block)
    pooled = neurons(mixture.gate, mixture.up, mixture.down, blocks=(32, 32))
    assert without_copies(pooled)[0] is pooled


def test_norms_and_signs_are_those_of_the_sum() -> None:
    original = layer(18)
    together, _ = without_copies(joined(scaled(original, 2.0, 0.25), scaled(original, -4.0, -0.125)))
    # Each part reads and writes half as much as the original; their signs are turned together.
    assert together.norms == pytest.approx(original.norms, rel=1e-5)
    assert np.abs(np.diag(cosines(together.down, original.down))).min() > 0.9999


@pytest.mark.parametrize("hide", SPLIT)
def test_the_order_of_neurons_changes_nothing(hide: Hide) -> None:
    hidden = hide(layer(19), np.random.default_rng(20))
    order: Ints = np.random.default_rng(21).permutation(len(hidden.index))
    (first, _), (second, _) = without_copies(hidden), without_copies(reordered(hidden, order))
    matches = cosines(first.gate, second.gate)
    best = matches.argmax(axis=1)
    assert sorted(best.tolist()) == list(range(64))
    for view in ("gate", "down"):
        assert np.abs(getattr(first, view)) == pytest.approx(np.abs(getattr(second, view))[best], rel=1e-3, abs=1e-3)
    assert first.norms == pytest.approx(second.norms[best], rel=1e-4)


def test_unrelated_layers_stay_unrelated_when_split_or_padded() -> None:
    rng = np.random.default_rng(22)
    counts = []
    for seed in range(60):
        pair = pair_layers([padded(layer(seed), rng)], [halves(layer(seed + 1000), rng)], 0, 0, tests=1)
        assert not pair.established
        counts.append(len(pair.rows_questioned))
    assert np.mean(counts) < 1.5


def test_neurons_that_grew_alike_are_not_taken_for_copies() -> None:
    """Small starts leave neurons within a cosine of 0.95 of each other."""
    original = layer(23)
    alike = joined(original, turned(original, np.random.default_rng(24), 0.33))
    assert without_copies(alike)[0] is alike
