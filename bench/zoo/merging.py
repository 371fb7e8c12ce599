"""Merges of models as people make them, written from the papers: what the proving ground tries `whorl shares` on.

Every kind works tensor by tensor on state dicts of equal names and shapes, in float32, and returns the parents' types.
Tensors that are no floating point numbers are taken from the first parent.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import torch

State = Mapping[str, torch.Tensor]

TIES_KEPT: Final = 0.2
DARE_DROPPED: Final = 0.5

_LAYER = re.compile(r"(?:layers|h|blocks|blk)\.(\d+)\.")


def merge(
    kind: str,
    base: dict[str, torch.Tensor] | None,
    parents: Sequence[dict[str, torch.Tensor]],
    weights: Sequence[float],
    seed: int,
) -> dict[str, torch.Tensor]:
    """One model out of several, by one of `KINDS`.

    Parameters
    ----------
    base : the common ancestor; needed by every kind in `NEED_BASE`, ignored by the others
    weights : one per parent, taken as they are (they need not sum to one). ``passthrough`` deals the layers in that
        proportion, ``model_stock`` ignores them: it finds its own.
    seed : of what DARE drops; the others use no randomness

    Raises
    ------
    ValueError
        If the kind is unknown, its base is missing, ``slerp`` does not get two parents, or names or shapes differ.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of merge {kind!r}, expected one of {', '.join(KINDS)}")
    if base is None and kind in NEED_BASE:
        raise ValueError(f"a {kind} merge needs the parents' common base")
    if not parents or len(parents) != len(weights):
        raise ValueError(f"one weight per parent is needed, got {len(weights)} for {len(parents)} parents")
    if kind == "slerp" and len(parents) != 2:
        raise ValueError(f"slerp merges two parents, got {len(parents)}")
    for other in (*parents[1:], *(() if base is None else (base,))):
        if {name: tensor.shape for name, tensor in parents[0].items()} != {n: t.shape for n, t in other.items()}:
            raise ValueError("parents and base must have tensors of the same names and shapes")
    if kind == "passthrough":
        return _passthrough(parents, weights)
    generator = torch.Generator().manual_seed(seed)
    merged = {}
    for name, first in parents[0].items():
        if not first.is_floating_point():
            merged[name] = first.clone()
            continue
        tensors = [parent[name].float() for parent in parents]
        origin = torch.zeros_like(tensors[0]) if base is None else base[name].float()
        merged[name] = KINDS[kind](origin, tensors, weights, generator).to(first.dtype)
    return merged


def layers_dealt(layers: int, weights: Sequence[float]) -> list[int]:
    """Which parent each layer of a passthrough merge comes from: blocks in the parents' order, sizes by weight."""
    total, ends, summed = sum(weights), [], 0.0
    for weight in weights:
        summed += weight
        ends.append(round(layers * summed / total))
    return [next(parent for parent, end in enumerate(ends) if layer < end) for layer in range(layers)]


def realised_shares(merged: State, base: State | None, parents: Sequence[State]) -> list[float]:
    """Least-squares coefficients of the merge on its parents (less the base, where there is one), over all matrices.

    What a merge really holds of each parent, in the parents' own coordinates. For linear merges these are the weights;
    sign election and angles (TIES, model stock) make them differ.
    """

    def flat(state: State) -> torch.Tensor:
        names = [name for name, tensor in sorted(merged.items()) if tensor.ndim == 2]
        return torch.cat([(state[n].double() - (0 if base is None else base[n].double())).flatten() for n in names])

    columns = torch.stack([flat(parent) for parent in parents], dim=1)
    return [float(share) for share in torch.linalg.lstsq(columns, flat(merged)[:, None]).solution[:, 0]]


def _linear(
    _: torch.Tensor, tensors: Sequence[torch.Tensor], weights: Sequence[float], __: torch.Generator
) -> torch.Tensor:
    """Weighted sum (model soups; Wortsman et al., 2022)."""
    return sum((w * t for w, t in zip(weights, tensors, strict=True)), torch.zeros_like(tensors[0]))


def _slerp(
    _: torch.Tensor, tensors: Sequence[torch.Tensor], weights: Sequence[float], __: torch.Generator
) -> torch.Tensor:
    """Along the great circle between two tensors (Shoemake, 1985); straight where they are nearly parallel."""
    first, second = tensors
    t = weights[1] / sum(weights)
    lengths = first.norm() * second.norm()
    cosine = (first * second).sum() / lengths if lengths > 0 else torch.ones(())
    angle = torch.arccos(cosine.clamp(-1, 1))
    if angle < 1e-3:
        return (1 - t) * first + t * second
    return (torch.sin((1 - t) * angle) * first + torch.sin(t * angle) * second) / torch.sin(angle)


def _task_arithmetic(
    base: torch.Tensor, tensors: Sequence[torch.Tensor], weights: Sequence[float], _: torch.Generator
) -> torch.Tensor:
    """Weighted sum of task vectors on the base (Ilharco et al., 2023)."""
    return base + sum((w * (t - base) for w, t in zip(weights, tensors, strict=True)), torch.zeros_like(base))


def _ties(
    base: torch.Tensor, tensors: Sequence[torch.Tensor], weights: Sequence[float], _: torch.Generator
) -> torch.Tensor:
    """Trim to the largest changes, elect a sign, average those that agree (Yadav et al., 2023)."""
    return base + _elected_mean([_trimmed(t - base) for t in tensors], weights)


def _dare_linear(
    base: torch.Tensor, tensors: Sequence[torch.Tensor], weights: Sequence[float], generator: torch.Generator
) -> torch.Tensor:
    """Drop changes at random, rescale the rest, add (Yu et al., 2024)."""
    changes = list(_dropped(base, tensors, generator))
    return base + sum((w * c for w, c in zip(weights, changes, strict=True)), torch.zeros_like(base))


def _dare_ties(
    base: torch.Tensor, tensors: Sequence[torch.Tensor], weights: Sequence[float], generator: torch.Generator
) -> torch.Tensor:
    """DARE's dropping and rescaling with TIES' election of signs; no trimming, and a sum instead of a mean.

    The mean would rescale a second time what dropping already did.
    """
    changes = list(_dropped(base, tensors, generator))
    weighted = torch.stack([w * c for w, c in zip(weights, changes, strict=True)])
    return base + (weighted * (weighted.sign() == weighted.sum(dim=0).sign())).sum(dim=0)


def _model_stock(
    base: torch.Tensor, tensors: Sequence[torch.Tensor], _: Sequence[float], __: torch.Generator
) -> torch.Tensor:
    """Between base and mean of the parents, as far as the angle between their changes says (Jang et al., 2024)."""
    changes = [t - base for t in tensors]
    units = torch.stack([(c / c.norm()).flatten() if c.norm() > 0 else c.flatten() for c in changes])
    count = len(tensors)
    if count == 1:
        return tensors[0]
    pairs = units @ units.T
    cosine = float((pairs.sum() - pairs.diagonal().sum()) / (count * (count - 1)))
    ratio = count * cosine / (1 + (count - 1) * cosine)
    return base + min(max(ratio, 0.0), 1.0) * torch.stack(changes).mean(dim=0)


def _trimmed(change: torch.Tensor) -> torch.Tensor:
    kept = max(1, round(TIES_KEPT * change.numel()))
    threshold = change.abs().flatten().kthvalue(change.numel() - kept + 1).values
    return change * (change.abs() >= threshold)


def _elected_mean(changes: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    stacked = torch.stack(list(changes))
    by = torch.tensor(weights, dtype=stacked.dtype).reshape(-1, *[1] * (stacked.ndim - 1))
    elected = (by * stacked).sum(dim=0).sign()
    agree = (stacked.sign() == elected) & (stacked != 0)
    total = (by * agree).sum(dim=0)
    return (by * stacked * agree).sum(dim=0) / torch.where(total > 0, total, 1.0)


def _dropped(base: torch.Tensor, tensors: Sequence[torch.Tensor], generator: torch.Generator) -> Iterator[torch.Tensor]:
    for tensor in tensors:
        kept = torch.rand(tensor.shape, generator=generator) >= DARE_DROPPED
        yield (tensor - base) * kept / (1 - DARE_DROPPED)


def _passthrough(parents: Sequence[State], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """Whole layers of one parent or another; what stands before the layers from the first, after them from the last."""
    numbers = [int(found[1]) for name in parents[0] if (found := _LAYER.search(name))]
    if not numbers:
        raise ValueError("passthrough needs tensors with layer numbers in their names")
    dealt = layers_dealt(max(numbers) + 1, weights)
    merged = {}
    for name in parents[0]:
        found = _LAYER.search(name)
        embedding = "emb" in name or "wte" in name or "wpe" in name
        source = dealt[int(found[1])] if found else 0 if embedding else dealt[-1]
        merged[name] = parents[source][name].clone()
    return merged


Kind = Callable[[torch.Tensor, Sequence[torch.Tensor], Sequence[float], torch.Generator], torch.Tensor]

KINDS: Final[dict[str, Kind | None]] = {
    "linear": _linear,
    "slerp": _slerp,
    "task_arithmetic": _task_arithmetic,
    "ties": _ties,
    "dare_linear": _dare_linear,
    "dare_ties": _dare_ties,
    "model_stock": _model_stock,
    "passthrough": None,  # deals whole layers, not tensors
}

NEED_BASE: Final = frozenset({"task_arithmetic", "ties", "dare_linear", "dare_ties", "model_stock"})
