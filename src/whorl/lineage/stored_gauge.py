"""Related models out of their stored fingerprints, laid over one of them: cosines from signs, lengths as stored.

A fingerprint's signatures need no rotation, so layers and neurons only have to be matched. What is left of an inner
product is an estimate from 128 signs per neuron: distances are noisier than from weights, and edges less sure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import Floats, Ints
from whorl.core.progress import Progress
from whorl.fingerprints.extraction import single_threaded_blas
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.fingerprints.weight_fingerprint import WeightFingerprint
from whorl.lineage.characters import characters, established_pairs, layer_order, order_classes
from whorl.lineage.geometry import Geometry

_KINDS: Final = ("gate", "up", "down")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Laid:
    """Signs (rows, bits) and lengths (rows,) by block, NaN where the model has no such row."""

    signs: dict[str, Floats]
    lengths: dict[str, Floats]
    characters: dict[str, str]
    positions: dict[int, Ints]


def lay_fingerprints(
    models: Sequence[WeightFingerprint], hub: int, *, progress: Progress
) -> tuple[Geometry, tuple[int, ...]]:
    """Common geometry of the models that have any neurons in common with the hub, and their numbers in ``models``."""
    with single_threaded_blas():
        reference = models[hub].view()
        found: dict[int, _Laid] = {}
        for number, fingerprint in enumerate(models):
            laid = _lay(fingerprint.view(), reference)
            if laid is not None:
                found[number] = laid
            progress("laying models over each other", number + 1, len(models))
        return _geometry(list(found.values())), tuple(found)


def _lay(view: ModelView, hub: ModelView) -> _Laid | None:
    pairs = established_pairs(view.neurons, hub.neurons, tries=1)
    if not pairs:
        return None
    signs: dict[str, Floats] = {}
    lengths: dict[str, Floats] = {}
    positions: dict[int, Ints] = {}
    for number, layer in enumerate(hub.neurons):
        pair = max((p for p in pairs if p.reference == number), key=lambda p: len(p.rows_questioned), default=None)
        turned = np.full((len(_KINDS), *layer.gate.shape), np.nan, np.float32)
        length = np.full((len(_KINDS), len(layer.index)), np.nan, np.float32)
        positions[number] = np.full(len(layer.index), -1)
        if pair is not None:
            rows = pair.rows_reference
            ours = view.neurons[pair.questioned]
            turned[:, rows], length[:, rows] = _neurons(ours, pair.rows_questioned, layer, rows)
            positions[number][rows] = ours.index[pair.rows_questioned]
        for place, kind in enumerate(_KINDS):
            if kind != "up" or layer.up.any():
                signs[f"layers.{number}.{kind}"] = turned[place]
                lengths[f"layers.{number}.{kind}"] = length[place]
    attention = next((heads for heads in view.heads if heads is not None), None)
    return _Laid(
        signs=signs,
        lengths=lengths,
        characters=characters(
            layers=layer_order(pairs, len(view.neurons)),
            neurons=[layer.blocks for layer in view.neurons],
            heads="none" if attention is None else str(len(attention.output_value)),
            vocabulary=view.vocabulary,
        ),
        positions=positions,
    )


def _neurons(ours: NeuronSignatures, at_ours: Ints, hub: NeuronSignatures, at_hub: Ints) -> tuple[Floats, Floats]:
    """Signs of gate, up and down in the hub's sign, and their lengths, up and down brought to one."""
    gated = bool(ours.up.any() and hub.up.any())
    up, down, pair = ours.up[at_ours], ours.down[at_ours], ours.norms[at_ours, 1]
    if gated:
        towards = np.einsum("ij,ij->i", up, hub.up[at_hub]) + np.einsum("ij,ij->i", down, hub.down[at_hub])
        turn = np.where(towards < 0, -1, 1)[:, None]
        up, down, pair = up * turn, down * turn, np.sqrt(pair)
    return np.stack([ours.gate[at_ours], up, down]), np.stack([ours.norms[at_ours, 0], pair, pair])


def _geometry(laid: Sequence[_Laid]) -> Geometry:
    products, blocks = [], []
    for place, block in enumerate(laid[0].signs):
        signs = np.stack([model.signs[block] for model in laid], axis=1)
        lengths = np.stack([model.lengths[block] for model in laid], axis=1)
        agree = np.einsum("rik,rjk->rij", signs, signs) / signs.shape[2]
        # Signs of Gaussian projections agree with probability 1 - angle / pi.
        products.append(np.sin(np.pi / 2 * agree) * lengths[:, :, None] * lengths[:, None, :])
        blocks.append(np.full(len(signs), place))
    orders = order_classes([model.positions for model in laid])
    return Geometry(
        products=np.concatenate(products).astype(np.float32),
        blocks=np.concatenate(blocks),
        characters=tuple(model.characters | order for model, order in zip(laid, orders, strict=True)),
    )
