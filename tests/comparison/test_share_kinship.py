"""Trained weights or a common start, in one part of a sum; and gains mixed as merging mixes them."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from comparison_types import DEMO, Put
from generated_models import Sizes, drawn
from safetensors.torch import load_file
from views import neurons, view

from whorl.comparison.common_frame import Placed, RowPairs, merged_gains, rows_at
from whorl.comparison.comparing import compare
from whorl.comparison.merge_sum import Part
from whorl.comparison.population import shipped_population
from whorl.comparison.share_kinship import judged_alone, judged_in_sum
from whorl.comparison.subjects import CheckpointSubject, open_subject
from whorl.core.arrays import Floats
from whorl.core.progress import silent
from whorl.weights.in_memory import Checkpoint

Rows = tuple[Floats, ...]


@cache
def gates(name: str) -> Rows:
    """The gate matrices of one of the demo's models."""
    tensors = load_file(DEMO / name / "model.safetensors")
    return tuple(tensors[key].float().numpy() for key in sorted(tensors) if "gate_proj" in key)


def times(share: float, layers: Sequence[Floats]) -> Rows:
    return tuple(np.float32(share) * layer for layer in layers)


def verdict(questioned: Rows, candidate: Rows) -> str:
    part = Part(questioned=questioned, candidate=candidate, left_over=0.0)
    return judged_in_sum(
        part, view([neurons(layer, layer, layer) for layer in candidate]), shipped_population()
    ).verdict


@pytest.mark.parametrize("share", [1.0, 0.4, 0.05])
def test_a_part_is_judged_by_its_shape_and_not_by_its_length(share: float) -> None:
    """All parts of a sum are short: what shortness says in a comparison of two models, it does not say here."""
    assert verdict(times(share, gates("base")), gates("base")) == "derived"
    assert verdict(times(share, gates("sibling")), gates("base")) == "undecided"


def test_of_next_to_nothing_nothing_is_said() -> None:
    base = gates("base")
    assert verdict(times(0, base), base) == "undecided"
    assert verdict((), ()) == "undecided"
    few = tuple(layer[:4] for layer in base)
    assert verdict(few, few) == "undecided"


def test_trainings_apart_and_a_model_that_was_not_named_are_not_told_apart() -> None:
    """Half of base and half of a stranger in what is left: no verdict against base's training may follow."""
    mixed = tuple(0.5 * one + 0.5 * other for one, other in zip(gates("base"), gates("twin"), strict=True))
    assert verdict(mixed, gates("base")) == "undecided"


def test_strangers_weights_in_a_part_are_not_taken_for_the_candidates() -> None:
    noise = np.random.default_rng(1)
    part = tuple(np.float32(noise.standard_normal(layer.shape)) for layer in gates("base"))
    assert verdict(part, gates("base")) != "derived"


def test_a_lone_candidate_is_judged_as_a_comparison_judges_it() -> None:
    found = {
        name: judged_alone(compare(DEMO / name, DEMO / "base", progress=silent, jobs=1, with_power=False))
        for name in ("base", "suspect", "sibling", "twin")
    }
    assert {name: one.verdict for name, one in found.items()} == {
        "base": "derived",
        "suspect": "derived",
        "sibling": "shared_initialisation",
        "twin": "undecided",
    }
    assert all(one.reason and not one.reason.endswith(".") for one in found.values())


def placed(checkpoint: Checkpoint, put: Put, rotation: Floats | None = None) -> Placed:
    subject = open_subject(put(checkpoint))
    assert isinstance(subject, CheckpointSubject)
    every = np.arange(96)
    pairs = tuple(
        RowPairs(layer=layer, questioned=every, counterpart=every) for layer in range(len(subject.anatomy.layers))
    )
    return Placed(anatomy=subject.anatomy, rotation=rotation, pairs=pairs)


def test_rows_of_a_merge_are_a_sum_of_rows_once_gains_are_mixed_as_it_mixed_them(put: Put) -> None:
    """Strangers' norm gains differ by 30 % here; a merge adds them up apart from the matrices behind them."""
    parents = [drawn("llama", seed, Sizes(width=48, neurons=96)) for seed in (1, 2)]
    weights = np.array([0.6, 0.4])
    blend = Checkpoint(
        weights={
            name: np.asarray(0.6 * array + 0.4 * parents[1].weights[name], np.float32)
            for name, array in parents[0].weights.items()
        },
        config=parents[0].config,
    )
    models, every = [placed(one, put) for one in parents], np.arange(96)
    wanted = rows_at(placed(blend, put).anatomy, 1, every, None, None)

    def summed(some: Sequence[Placed]) -> Floats:
        rows = [rows_at(one.anatomy, 1, every, None, None) for one in some]
        return np.asarray(np.tensordot(weights, rows, axes=1), np.float32)

    assert np.abs(summed(models) - wanted).max() > 0.01
    np.testing.assert_allclose(summed(merged_gains(models, 1, weights)), wanted, atol=1e-5)


def test_gains_that_cannot_be_mixed_in_the_frame_stay(put: Put) -> None:
    checkpoint = drawn("llama", 1, Sizes(width=48, neurons=96))
    plain, turned = placed(checkpoint, put), placed(checkpoint, put, rotation=np.eye(48, dtype=np.float32))
    weights = np.array([0.5, 0.5])
    assert merged_gains([plain, turned], 0, weights) == [plain, turned]
    assert merged_gains([plain, plain], 0, np.zeros(2)) == [plain, plain]
    # What has no part in the sum has no say in its gains.
    mixed = merged_gains([plain, turned], 0, np.array([1.0, 0.0]))
    norm, own = mixed[0].anatomy.layers[0].mlp_norm, plain.anatomy.layers[0].mlp_norm
    assert norm is not None
    assert own is not None
    np.testing.assert_allclose(norm.gain, own.gain)
