"""What people do to a released model besides training it, on small Llama-shaped checkpoints in memory."""

from collections.abc import Callable, Sequence

import numpy as np
from generated_models import edited, is_matrix, tokens

from whorl.core.arrays import AnyArray, Floats
from whorl.weights.in_memory import Checkpoint

GROUP = 32


def changed(checkpoint: Checkpoint, change: Callable[[AnyArray], AnyArray]) -> Checkpoint:
    """A copy with every matrix inside the layers changed."""
    matrices = {name: array for name, array in checkpoint.weights.items() if is_matrix(name, array)}
    return edited(checkpoint, {name: np.asarray(change(array), np.float32) for name, array in matrices.items()})


def rounded(bits: int) -> Callable[[AnyArray], AnyArray]:
    """Rounding to a grid of as many bits, with one step for each group of neighbours."""

    def use(array: AnyArray) -> AnyArray:
        groups = array.reshape(-1, GROUP)
        step = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        coarse: AnyArray = np.rint(groups / step) * step
        return coarse.reshape(array.shape)

    return use


def pruned(array: AnyArray) -> AnyArray:
    """The smaller 30 % of the weights at zero."""
    return np.where(np.abs(array) > np.quantile(np.abs(array), 0.3), array, 0)


def bfloat16(array: AnyArray) -> Floats:
    """Rounded to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.asarray(kept.view(np.float32))


def with_layers(checkpoint: Checkpoint, order: Sequence[int]) -> Checkpoint:
    """A copy made of the given layers, in the given order, repeats allowed."""
    weights = {name: array for name, array in checkpoint.weights.items() if ".layers." not in name}
    for place, layer in enumerate(order):
        at = f"model.layers.{layer}."
        weights |= {
            f"model.layers.{place}.{name.removeprefix(at)}": array
            for name, array in checkpoint.weights.items()
            if name.startswith(at)
        }
    return Checkpoint(weights=weights, config={**checkpoint.config, "num_hidden_layers": len(order)})


def width_pruned(checkpoint: Checkpoint, keep: int) -> Checkpoint:
    """A copy with the heaviest neurons of every layer, in their old order."""
    changes: dict[str, AnyArray] = {}
    for layer in range(checkpoint.config["num_hidden_layers"]):
        at = f"model.layers.{layer}.mlp"
        gate, up, down = (checkpoint.weights[f"{at}.{role}_proj.weight"] for role in ("gate", "up", "down"))
        heaviest = np.linalg.norm(gate, axis=1) * np.linalg.norm(up, axis=1) * np.linalg.norm(down, axis=0)
        kept = np.sort(np.argsort(heaviest)[-keep:])
        changes |= {f"{at}.gate_proj.weight": gate[kept], f"{at}.up_proj.weight": up[kept]}
        changes[f"{at}.down_proj.weight"] = np.ascontiguousarray(down[:, kept])
    return edited(checkpoint, changes, intermediate_size=keep)


def vocabulary_permuted(checkpoint: Checkpoint, seed: int) -> tuple[Checkpoint, tuple[str, ...]]:
    """A copy whose tokens have other numbers, and its tokens."""
    strings = tokens(checkpoint.config["vocab_size"])
    order = np.random.default_rng(seed).permutation(len(strings))
    changes = {name: checkpoint.weights[name][order] for name in ("model.embed_tokens.weight", "lm_head.weight")}
    return edited(checkpoint, changes), tuple(strings[row] for row in order)


def vocabulary_extended(checkpoint: Checkpoint, seed: int, count: int = 12) -> tuple[Checkpoint, tuple[str, ...]]:
    """A copy with further tokens, whose rows are the mean row plus noise, and its tokens."""
    rng = np.random.default_rng(seed)
    changes: dict[str, AnyArray] = {}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rows = checkpoint.weights[name]
        new = rows.mean(axis=0) + 0.1 * rows.std() * rng.standard_normal((count, rows.shape[1]))
        changes[name] = np.concatenate([rows, new.astype(np.float32)])
    size = checkpoint.config["vocab_size"]
    extended = edited(checkpoint, changes, vocab_size=size + count)
    return extended, (*tokens(size), *(f"<reserved {number}>" for number in range(count)))


def low_rank_changed(checkpoint: Checkpoint, rank: int, seed: int, size: float = 0.3) -> Checkpoint:
    """A copy whose matrices inside the layers moved along a few directions only, as a merged adapter moves them."""
    rng = np.random.default_rng(seed)

    def moved(array: AnyArray) -> AnyArray:
        change = rng.standard_normal((array.shape[0], rank)) @ rng.standard_normal((rank, array.shape[1]))
        return np.asarray(array + size * array.std() * change / change.std())

    return changed(checkpoint, moved)


def blended(checkpoint: Checkpoint, other: Checkpoint, share: float) -> Checkpoint:
    """The weighted mean of two models of one shape, ``share`` of the first."""
    mixed = {name: share * array + (1 - share) * other.weights[name] for name, array in checkpoint.weights.items()}
    return edited(checkpoint, {name: np.asarray(array, np.float32) for name, array in mixed.items()})


def stacked(checkpoint: Checkpoint, other: Checkpoint, keep: int) -> Checkpoint:
    """The first layers of one model under the last ones of another of the same shape."""
    taken = [name for name in checkpoint.weights if ".layers." in name and int(name.split(".")[2]) >= keep]
    return edited(checkpoint, {name: other.weights[name] for name in taken})


def with_attention_of(checkpoint: Checkpoint, other: Checkpoint) -> Checkpoint:
    """A copy whose attention was replaced in every layer."""
    return edited(checkpoint, {name: array for name, array in other.weights.items() if ".self_attn." in name})


def widened(checkpoint: Checkpoint, neurons: int, seed: int, *, balanced: bool = False) -> Checkpoint:
    """A copy with more neurons: some appear twice, slightly apart, and share what they write.

    ``balanced`` divides what they read and what they write alike, so that no scale gives the split away.
    """
    rng = np.random.default_rng(seed)
    old = checkpoint.config["intermediate_size"]
    source = np.concatenate([np.arange(old), rng.integers(0, old, neurons - old)])
    copies = np.bincount(source)[source]
    changes: dict[str, AnyArray] = {}
    for name, array in checkpoint.weights.items():
        if "gate_proj" in name or "up_proj" in name:
            apart = 0.05 * array.std() * rng.standard_normal((neurons, array.shape[1])) * (copies > 1)[:, None]
            shares = np.sqrt(copies) if balanced and "up_proj" in name else np.ones(neurons)
            changes[name] = np.asarray((array[source] + apart) / shares[:, None], np.float32)
        elif "down_proj" in name:
            shares = np.sqrt(copies) if balanced else copies
            changes[name] = np.asarray(array[:, source] / shares, np.float32)
    return edited(checkpoint, changes, intermediate_size=neurons)


def upcycled(checkpoint: Checkpoint, experts: int, seed: int) -> Checkpoint:
    """A mixture whose experts are copies of the dense blocks, under a router of its own."""
    rng = np.random.default_rng(seed)
    roles = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
    weights: dict[str, AnyArray] = {}
    for name, array in checkpoint.weights.items():
        if ".mlp." not in name:
            weights[name] = array
            continue
        layer, role = name.split(".mlp.")[0], roles[name.split(".")[-2]]
        block = f"{layer}.block_sparse_moe"
        weights |= {f"{block}.experts.{expert}.{role}.weight": array for expert in range(experts)}
        if role == "w1":
            weights[f"{block}.gate.weight"] = 0.1 * rng.standard_normal((experts, array.shape[1])).astype(np.float32)
    settings = {"model_type": "mixtral", "num_local_experts": experts, "num_experts_per_tok": 2}
    return Checkpoint(weights=weights, config={**checkpoint.config, **settings})
