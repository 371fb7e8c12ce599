"""What training does not change: the order of layers and neurons, the vocabulary, the frame of the residual stream.

Whoever continues a model keeps these states or changes them once more; nobody comes back to the old ones by training.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from whorl.comparison.alignment import LayerPair, agreement_table, align_layers
from whorl.core.arrays import AnyArray, Floats, Ints
from whorl.core.progress import silent
from whorl.fingerprints.model_view import Vocabulary
from whorl.fingerprints.neurons import NeuronSignatures

TURNED: Final = 0.5  # distance of two frames, 0 for one and about 1 for unrelated ones, from which they are two
SAME_ORDER: Final = 0.5


def characters(*, layers: str, neurons: Sequence[Sequence[int]], heads: str, vocabulary: Vocabulary) -> dict[str, str]:
    """The states that one model shows by itself."""
    return {
        "layers": layers,
        "neurons": str([list(blocks) for blocks in neurons]),
        "heads": heads,
        "tokens": str(vocabulary.unordered or vocabulary.size),
        "token order": str(vocabulary.ordered or vocabulary.size),
    }


def layer_order(pairs: Sequence[LayerPair], layers: int) -> str:
    """Which of the hub's layers each layer is; only how many there are where none was matched."""
    if not pairs:
        return str(layers)
    return str([next((p.reference for p in pairs if p.questioned == n), None) for n in range(layers)])


def established_pairs(
    ours: Sequence[NeuronSignatures], hub: Sequence[NeuronSignatures], *, tries: int
) -> list[LayerPair]:
    """Layers whose neurons have counterparts beyond what unrelated layers can show."""
    table = agreement_table(ours, hub, silent)
    return [pair for pair in align_layers(ours, hub, table, tries=tries) if pair.established]


def order_classes(positions: Sequence[Mapping[int, Ints]]) -> list[dict[str, str]]:
    """Models whose matched neurons mostly stand at the same positions share a state.

    Parameters
    ----------
    positions : for each model by hub layer, shape (neurons,), each neuron's position, -1 without one
    """
    classes: list[AnyArray] = []
    found: list[dict[str, str]] = []
    for layers in positions:
        mine = np.concatenate(list(layers.values()))
        if not (mine >= 0).any():
            found.append({})
            continue
        same = next((n for n, other in enumerate(classes) if _in_one_order(mine, other)), len(classes))
        if same == len(classes):
            classes.append(mine)
        found.append({"neuron order": str(same)})
    return found


def rotation_classes(rotations: Sequence[Floats | None]) -> list[dict[str, str]]:
    """Models that lie over the hub by nearly the same rotation share a state; none where the rotation is unknown."""
    classes: list[Floats] = []
    found: list[dict[str, str]] = []
    for rotation in rotations:
        if rotation is None:
            found.append({})
            continue
        same = next((n for n, known in enumerate(classes) if apart(known, rotation) < TURNED), len(classes))
        if same == len(classes):
            classes.append(rotation)
        found.append({"rotation": str(same)})
    return found


def apart(one: Floats, other: Floats) -> float:
    """0 for one frame, about 1 for two unrelated ones."""
    return float(np.linalg.norm(one - other) / (np.sqrt(2) * np.linalg.norm(other)))


def _in_one_order(ours: AnyArray, theirs: AnyArray) -> bool:
    both = (ours >= 0) & (theirs >= 0)
    return bool(both.any() and np.mean(ours[both] == theirs[both]) > SAME_ORDER)
