"""Model views built by hand, for tests of what a comparison does with them."""

from collections.abc import Sequence

import numpy as np

from whorl.core.arrays import Floats, Ints
from whorl.fingerprints.model_view import ModelView, Vocabulary
from whorl.fingerprints.neurons import NeuronSignatures

SIGNATURE = 12


def neurons(
    gate: Floats,
    up: Floats,
    down: Floats,
    *,
    index: Ints | None = None,
    blocks: tuple[int, ...] | None = None,
) -> NeuronSignatures:
    """A layer with these signatures; by default all of its neurons were taken."""
    lengths = [np.linalg.norm(view, axis=1) for view in (gate, up, down)]
    return NeuronSignatures(
        index=np.arange(len(gate)) if index is None else index,
        gate=gate,
        up=up,
        down=down,
        norms=np.stack([lengths[0], lengths[1] * lengths[2]], axis=1).astype(np.float32),
        structure=(0.3, 0.3, 0.3),
        blocks=(len(gate),) if blocks is None else blocks,
    )


def random_neurons(rng: np.random.Generator, count: int, signature: int = SIGNATURE) -> NeuronSignatures:
    """A layer whose neurons have nothing in common with any other's."""
    drawn = rng.standard_normal((3, count, signature)).astype(np.float32)
    return neurons(drawn[0], drawn[1], drawn[2])


def reordered(layer: NeuronSignatures, order: Ints) -> NeuronSignatures:
    """The same neurons, or some of them, in another order: neuron ``order[i]`` stands at place i."""
    blocks = layer.blocks if len(order) == layer.pool else None
    return neurons(layer.gate[order], layer.up[order], layer.down[order], blocks=blocks)


def noisy(layer: NeuronSignatures, rng: np.random.Generator, size: float) -> NeuronSignatures:
    """The same neurons, each changed a little."""
    changed = [
        np.asarray(view + size * rng.standard_normal(view.shape), np.float32)
        for view in (layer.gate, layer.up, layer.down)
    ]
    return neurons(changed[0], changed[1], changed[2], index=layer.index, blocks=layer.blocks)


def view(
    layers: Sequence[NeuronSignatures],
    *,
    residual: Floats | None = None,
    gains: dict[str, Floats] | None = None,
    layer_norm: bool = False,
) -> ModelView:
    """A model made of these layers."""
    signatures = np.zeros((0, 8), np.float32) if residual is None else residual
    return ModelView(
        architecture="llama",
        width=len(signatures),
        layer_norm=layer_norm,
        vocabulary=Vocabulary(size=0, ordered=None, unordered=None),
        neurons=tuple(layers),
        heads=(None,) * len(layers),
        records={},
        vectors={},
        gains=gains or {},
        residual=signatures,
        basis=None,
        exact=True,
    )
