"""Models made from one ancestor by changes that look like those of training: a task's part and an own part.

The task's part is steep (few directions hold most of it), the own part flatter: what two trainings have in common is
mostly in the large directions of either.
"""

import json
from collections.abc import Mapping
from functools import cache

import numpy as np
from comparison_types import DEMO
from generated_models import edited, is_matrix
from safetensors.torch import load_file

from whorl.core.arrays import AnyArray
from whorl.weights.in_memory import Checkpoint

LENGTH = 0.08
STEEP, FLAT = 0.7, 0.25

Change = dict[str, AnyArray]


@cache
def ancestor() -> Checkpoint:
    """The demo's base model."""
    folder = DEMO / "base"
    weights = {name: tensor.float().numpy() for name, tensor in load_file(folder / "model.safetensors").items()}
    return Checkpoint(weights=weights, config=json.loads((folder / "config.json").read_text()))


def changed(checkpoint: Checkpoint, *changes: Mapping[str, AnyArray]) -> Checkpoint:
    """The checkpoint after some changes."""
    moved = {
        name: np.asarray(array + sum(change[name] for change in changes), np.float32)
        for name, array in checkpoint.weights.items()
        if is_matrix(name, array)
    }
    return edited(checkpoint, moved)


def task(seed: int, size: float = 1.0) -> Change:
    """What learning one text does to every matrix, whoever learns it."""
    return _change(seed, STEEP, size)


def own(seed: int, size: float = 1.0) -> Change:
    """What one training does besides: order of the text, chance."""
    return _change(1000 + seed, FLAT, size)


def training(text: int, order: int, size: float = 1.0) -> Change:
    """One training: a text's part and its own part, of about equal length."""
    both = task(text, 0.75 * size), own(order, 0.65 * size)
    return {name: both[0][name] + both[1][name] for name in both[0]}


def mixed(share: float, one: Checkpoint, other: Checkpoint) -> Checkpoint:
    """``share`` of one model and the rest of another."""
    return edited(
        one,
        {
            name: np.asarray(share * array + (1 - share) * other.weights[name], np.float32)
            for name, array in one.weights.items()
        },
    )


def _change(seed: int, decay: float, size: float) -> Change:
    rng = np.random.default_rng(seed)
    found = {}
    for name, array in ancestor().weights.items():
        if is_matrix(name, array):
            rank = min(array.shape)
            left, _ = np.linalg.qr(rng.standard_normal((array.shape[0], rank)))
            right, _ = np.linalg.qr(rng.standard_normal((array.shape[1], rank)))
            sizes = np.arange(1, rank + 1) ** -decay
            whole = (left * (sizes / np.linalg.norm(sizes))) @ right.T
            found[name] = size * LENGTH * float(np.linalg.norm(array)) * whole
    return found
