"""Several models in one coordinate system: whose neuron is whose, and the rotation between residual streams.

Merging adds weights position by position, in the coordinates that the parents share as stored. Whoever rewrites the
result takes it out of those coordinates. Here the questioned model is linked with each candidate: as stored and neuron
by neuron where that works, else through the rotation solved from token embeddings and through neurons matched by
content. A link found for one candidate also serves the others, which lie in the same coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from whorl.comparison.alignment import LayerPair, agreement_table, align_layers
from whorl.core.arrays import AnyArray, Doubles, Floats, Ints
from whorl.core.progress import Progress
from whorl.fingerprints.frame import is_layer_norm
from whorl.fingerprints.neurons import NeuronSignatures, opening_rows
from whorl.statistics.shares import free_solution, shuffled_rows_p
from whorl.weights.anatomy import Anatomy

Kind: TypeAlias = Literal["as_stored", "reordered", "rotated"]

POSITION_DRAWS: Final = 999
POSITION_LEVEL: Final = 0.001
_TURNS: Final = 40
_TURNS_OF_WIDE: Final = 6  # each costs a singular value decomposition of (width, width)
_WIDE: Final = 1024
_SETTLED: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowPairs:
    """Neurons of a questioned layer and their counterparts in ``layer`` of another model: positions in the pools."""

    layer: int
    questioned: Ints
    counterpart: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Link:
    """How another model lies over the questioned one.

    Parameters
    ----------
    kind : "as_stored" pairs neurons of equal position, "reordered" matches them without a rotation, "rotated" with one
    rotation : shape (width, width), takes questioned rows into the other model's coordinates; None where none is needed
    pairs : one entry per questioned layer, None where it has no counterpart
    matched : neurons on which two independent views of their weights agree; 0 where only positions spoke
    """

    kind: Kind
    rotation: Floats | None
    pairs: tuple[RowPairs | None, ...]
    matched: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """A model put into the frame: ``rotation`` (None for none) takes its rows there, ``pairs`` say which rows."""

    anatomy: Anatomy
    rotation: Floats | None
    pairs: tuple[RowPairs | None, ...]


def link(
    questioned: Sequence[NeuronSignatures],
    turned: Sequence[NeuronSignatures] | None,
    rotation: Floats | None,
    other: Sequence[NeuronSignatures],
    *,
    generator: np.random.Generator,
    progress: Progress,
) -> Link | None:
    """The simplest way in which the other model lies over the questioned one; None where none was found.

    Parameters
    ----------
    questioned, other : signatures in one basis, as stored
    turned : the questioned model's signatures after the ``rotation`` solved from tokens; None where it has none
    """
    tries = 1 if turned is None else 2
    stored = _established(questioned, other, tries, progress)
    by_position = _by_position(questioned, other)
    in_place = not stored or _in_place(stored, questioned, other)
    if by_position is not None and in_place and _positions_speak(questioned, other, by_position, generator):
        return Link(kind="as_stored", rotation=None, pairs=by_position, matched=_count(stored))
    if stored:
        return Link(kind="reordered", rotation=None, pairs=_matched(stored, questioned, other), matched=_count(stored))
    if turned is None:
        return None
    return link_after(turned, rotation, other, tries=tries, progress=progress)


def link_after(
    turned: Sequence[NeuronSignatures],
    rotation: Floats | None,
    other: Sequence[NeuronSignatures],
    *,
    tries: int,
    progress: Progress,
) -> Link | None:
    """The link under one rotation of the questioned model, already ``turned`` by it."""
    found = _established(turned, other, tries, progress)
    if not found:
        return None
    return Link(kind="rotated", rotation=rotation, pairs=_matched(found, turned, other), matched=_count(found))


def same_coordinates(
    one: Sequence[NeuronSignatures], other: Sequence[NeuronSignatures], *, generator: np.random.Generator
) -> bool:
    """Whether two models' neurons of equal position resemble each other, as those of relatives do."""
    return _positions_speak(one, other, _by_position(one, other), generator)


def own_rotation(questioned: Anatomy, other: Anatomy, own: Link, to_frame: Floats | None) -> Floats | None:
    """The rotation that takes a model's rows into the frame by its own link with the questioned model.

    ``to_frame`` takes questioned rows there (None: they are there). Tokens gave the link's rotation; the paired rows
    make it better.
    """
    if own.rotation is None:
        return to_frame
    found = refined_rotation(questioned, own.rotation, [Placed(anatomy=other, rotation=None, pairs=own.pairs)])
    return np.ascontiguousarray(found.T if to_frame is None else found.T @ to_frame)


def rows_at(anatomy: Anatomy, layer: int, positions: Ints, rotation: Floats | None, basis: Floats | None) -> Floats:
    """Gate rows at these positions, put into the frame and seen through the basis."""
    rows = opening_rows(anatomy.layers[layer], positions, centred=is_layer_norm(anatomy))
    if rotation is not None:
        rows = rows @ rotation
    return rows if basis is None else rows @ basis


def merged_gains(placed: Sequence[Placed], layer: int, weights: Doubles) -> list[Placed]:
    """The models with the norm gain that their sum has in a questioned layer, in place of each one's own.

    Merging mixes gains apart from the matrices behind them, so that folded rows are a sum of folded rows only nearly.
    The models stay as they are where that mixture is not known in the frame: one of them is rotated or has no gain.

    Parameters
    ----------
    weights : shape (models,), how much of each is in the sum
    """
    held = [
        (model.anatomy.layers[pairs.layer].mlp_norm if model.rotation is None else None, weight)
        for model, pairs, weight in ((model, model.pairs[layer], w) for model, w in zip(placed, weights, strict=True))
        if pairs is not None and weight != 0
    ]
    total = sum(weight for _, weight in held)
    if total <= 0 or any(norm is None for norm, _ in held):
        return list(placed)
    mixed = sum(np.float32(weight / total) * norm.gain for norm, weight in held if norm is not None)
    return [_with_gain(model, layer, np.asarray(mixed, np.float32)) for model in placed]


def _with_gain(model: Placed, layer: int, gain: Floats) -> Placed:
    pairs = model.pairs[layer]
    if pairs is None:
        return model
    layers = list(model.anatomy.layers)
    norm = layers[pairs.layer].mlp_norm
    if norm is not None:
        layers[pairs.layer] = replace(layers[pairs.layer], mlp_norm=replace(norm, gain=gain))
    return replace(model, anatomy=replace(model.anatomy, layers=tuple(layers)))


def refined_rotation(
    questioned: Anatomy, rotation: Floats, placed: Sequence[Placed], weights: Doubles | None = None
) -> Floats:
    """The rotation under which the questioned rows come nearest to a weighted sum of the placed models' rows.

    Tokens give a first rotation, which is off where the questioned embedding is a sum of several. Rotation and weights
    are then solved in turns: each has a closed form given the other (Procrustes; least squares).

    Parameters
    ----------
    weights : shape (layers, models), how much of each model is in the sum: rows are then taken under its norm gains
        (`merged_gains`); None where that is not known yet
    """
    width = questioned.width
    products = np.zeros((len(placed), width, width))
    gram = np.zeros((len(placed), len(placed)))
    for layer in range(len(questioned.layers)):
        models = placed if weights is None else merged_gains(placed, layer, weights[layer])
        positions, rows, _ = paired_rows(models, layer, None)
        if not len(positions):
            continue
        ours = rows_at(questioned, layer, positions, None, None)
        for place, theirs in enumerate(rows):
            products[place] += ours.T @ theirs
        flat = rows.reshape(len(placed), -1).astype(np.float64)
        gram += flat @ flat.T
    known = np.diagonal(gram) > 0
    if not known.any():
        return rotation
    products, gram = products[known], gram[np.ix_(known, known)]
    found, shares = rotation.astype(np.float64), np.zeros(len(gram))
    for _ in range(_TURNS if width <= _WIDE else _TURNS_OF_WIDE):
        before = shares
        shares = free_solution(gram, np.einsum("iab,ab->i", products, found))
        left, _, right = np.linalg.svd(np.einsum("i,iab->ab", shares, products))
        found = left @ right
        if np.abs(shares - before).max() < _SETTLED:
            break
    return np.asarray(found, np.float32)


def paired_rows(placed: Sequence[Placed], layer: int, basis: Floats | None) -> tuple[Ints, Floats, AnyArray]:
    """Questioned positions of a layer that have any counterpart, and each model's rows for them.

    Returns
    -------
    positions of shape (n,), ascending; rows of shape (models, n, k), zero where a model has no counterpart; and shape
    (models, n), whether it has one
    """
    found = [model.pairs[layer] for model in placed]
    positions = np.unique(np.concatenate([np.zeros(0, np.int64), *(p.questioned for p in found if p is not None)]))
    size = placed[0].anatomy.width if basis is None else basis.shape[1]
    rows = np.zeros((len(placed), len(positions), size), np.float32)
    there = np.zeros((len(placed), len(positions)), bool)
    for place, (model, pairs) in enumerate(zip(placed, found, strict=True)):
        if pairs is not None:
            at = np.searchsorted(positions, pairs.questioned)
            there[place, at] = True
            rows[place, at] = rows_at(model.anatomy, pairs.layer, pairs.counterpart, model.rotation, basis)
    return positions, rows, there


def _established(
    questioned: Sequence[NeuronSignatures], other: Sequence[NeuronSignatures], tries: int, progress: Progress
) -> list[LayerPair]:
    table: Doubles = agreement_table(questioned, other, progress)
    return [pair for pair in align_layers(questioned, other, table, tries=tries) if pair.established]


def _by_position(
    questioned: Sequence[NeuronSignatures], other: Sequence[NeuronSignatures]
) -> tuple[RowPairs | None, ...] | None:
    """Every neuron with the one at its own position, None where the models differ in depth or in a layer's size."""
    if [layer.blocks for layer in questioned] != [layer.blocks for layer in other]:
        return None
    pairs = []
    for number, (ours, theirs) in enumerate(zip(questioned, other, strict=True)):
        both = np.intersect1d(ours.index, theirs.index)
        pairs.append(RowPairs(layer=number, questioned=both, counterpart=both) if len(both) else None)
    return tuple(pairs) if any(pairs) else None


def _positions_speak(
    one: Sequence[NeuronSignatures],
    other: Sequence[NeuronSignatures],
    pairs: tuple[RowPairs | None, ...] | None,
    generator: np.random.Generator,
) -> bool:
    paired = [(layer, pair) for layer, pair in enumerate(pairs or ()) if pair is not None]
    p = shuffled_rows_p(
        [_taken(one[layer], pair.questioned) for layer, pair in paired],
        [_taken(other[layer], pair.counterpart) for layer, pair in paired],
        [],
        draws=POSITION_DRAWS,
        generator=generator,
    )
    return p <= POSITION_LEVEL


def _in_place(
    pairs: Sequence[LayerPair], questioned: Sequence[NeuronSignatures], other: Sequence[NeuronSignatures]
) -> bool:
    """Whether the matched neurons stand where they stood."""
    here = sum(
        int(
            np.count_nonzero(
                questioned[p.questioned].index[p.rows_questioned] == other[p.reference].index[p.rows_reference]
            )
        )
        for p in pairs
        if p.questioned == p.reference
    )
    return 2 * here > _count(pairs)


def _matched(
    pairs: Sequence[LayerPair], questioned: Sequence[NeuronSignatures], other: Sequence[NeuronSignatures]
) -> tuple[RowPairs | None, ...]:
    found: list[RowPairs | None] = [None] * len(questioned)
    for pair in pairs:
        found[pair.questioned] = RowPairs(
            layer=pair.reference,
            questioned=questioned[pair.questioned].index[pair.rows_questioned],
            counterpart=other[pair.reference].index[pair.rows_reference],
        )
    return tuple(found)


def _taken(layer: NeuronSignatures, positions: Ints) -> Floats:
    return layer.gate[np.searchsorted(layer.index, positions)]


def _count(pairs: Sequence[LayerPair]) -> int:
    return sum(len(pair.rows_questioned) for pair in pairs)
