"""Signs of a merge in a pair: there after a merge, and not there after anything else that is done to models."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from comparison_types import DEMO
from generated_models import fine_tuned
from safetensors.torch import load_file
from views import neurons, view

from whorl.comparison.alignment import LayerPair
from whorl.comparison.kinship import GainSlopes
from whorl.comparison.merges import blended_with_stranger
from whorl.core.arrays import Floats
from whorl.fingerprints.model_view import ModelView
from whorl.weights.in_memory import Checkpoint

Layers = list[Floats]


@cache
def gates(name: str) -> tuple[Floats, ...]:
    """The gate matrices of one of the demo's models."""
    tensors = load_file(DEMO / name / "model.safetensors")
    return tuple(tensors[key].float().numpy() for key in sorted(tensors) if "gate_proj" in key)


def blend(share: float, one: Sequence[Floats], other: Sequence[Floats]) -> Layers:
    return [np.float32(share) * a + np.float32(1 - share) * b for a, b in zip(one, other, strict=True)]


def as_view(layers: Sequence[Floats]) -> ModelView:
    return view([neurons(layer, layer, layer) for layer in layers])


def pairs(layers: Sequence[int]) -> list[LayerPair]:
    """Layers paired with themselves, every neuron with its own."""
    rows = np.arange(len(gates("base")[0]))
    return [
        LayerPair(
            questioned=number,
            reference=number,
            rows_questioned=rows,
            rows_reference=rows,
            neurons=len(rows),
            found=len(rows),
            established=True,
        )
        for number in layers
    ]


def slopes(value: float) -> GainSlopes:
    """Norm gains that can be compared and have this slope."""
    return GainSlopes(
        correlation=0.9,
        questioned_on_reference=value,
        reference_on_questioned=1.0,
        values=100,
        identical=False,
        moved=True,
        reordered=False,
    )


def blended(
    questioned: Sequence[Floats],
    reference: Sequence[Floats],
    *,
    gains: GainSlopes | None = None,
    matched: Sequence[int] = range(4),
) -> bool:
    sign = blended_with_stranger(as_view(questioned), as_view(reference), pairs(matched), gains)
    return sign is not None


@pytest.mark.parametrize("share", [0.8, 0.5, 0.3])
@pytest.mark.parametrize("stranger", ["twin", "student"])
def test_a_sum_with_a_stranger_is_seen(share: float, stranger: str) -> None:
    made = blend(share, gates("base"), gates(stranger))
    assert blended(made, gates("base"))
    assert blended(made, gates("base"), gains=slopes(share))
    # Gains that were trained apart contradict it.
    assert not blended(made, gates("base"), gains=slopes(share - 0.3))


def test_a_second_run_from_the_same_start_is_none() -> None:
    assert not blended(gates("sibling"), gates("base"))
    assert not blended(gates("base"), gates("sibling"))


def test_tuning_noise_pruning_and_shrinking_are_none() -> None:
    base, rng = gates("base"), np.random.default_rng(1)
    tuned = fine_tuned(Checkpoint(weights={str(n): gate for n, gate in enumerate(base)}, config={}), 3, size=0.5)
    noisy = [gate + 0.5 * gate.std() * rng.standard_normal(gate.shape).astype(np.float32) for gate in base]
    pruned = [np.where(np.abs(gate) > np.quantile(np.abs(gate), 0.6), gate, 0).astype(np.float32) for gate in base]
    shrunk = [np.float32(0.7) * gate for gate in base]
    for other in ([tuned.weights[str(n)] for n in range(len(base))], noisy, pruned, shrunk):
        assert not blended(other, base)


def test_layers_of_unequal_slope_are_none() -> None:
    made = [
        blend(share, [one], [other])[0]
        for share, one, other in zip((0.5, 0.55, 0.6, 0.65), gates("base"), gates("twin"), strict=True)
    ]
    assert not blended(made, gates("base"))


def test_two_layers_are_too_few_to_say() -> None:
    made = blend(0.6, gates("base"), gates("twin"))
    assert not blended(made, gates("base"), matched=[0, 1])
