"""The rotation between two residual streams, from their neurons alone: for copies whose tokens no longer tell it.

A copier who replaces the embedding, or shuffles the strings of the tokenizer file, takes away what the rotation is
otherwise solved from. What rotation and reordering leave as it is are the cosines between a layer's own neurons. Each
neuron is described by the largest of its cosines with the others, and looked up by that; of the counterparts those
stay whose cosines *with each other* are the same in both models. Half of them solve the rotation, and do not vote
afterwards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from whorl.core.arrays import Doubles, Floats, Ints
from whorl.core.progress import Progress
from whorl.fingerprints.frame import RESIDUAL_SKETCH, is_layer_norm, random_basis
from whorl.fingerprints.neurons import NeuronSignatures, neuron_rows, strongest
from whorl.statistics.coincidences import mutual_best
from whorl.statistics.cosines import unit_rows
from whorl.weights.anatomy import Anatomy

NEURONS: Final = 256
LEAST_LINKED: Final = 32  # neurons of a layer pair; between unrelated runs, before growing, up to 12 (164 pairs)
_EXTREMES: Final = 24  # cosines that describe a neuron, of each kind
_ROUNDS: Final = 6
_LEAST_SEEDS: Final = 8
_LEAST_CONSISTENT: Final = 0.25
_GROWTHS: Final = 3
_FULL: Final = 1e-5  # of the largest singular value: directions below are not solved

Rows: TypeAlias = tuple[Floats, Floats, Floats]
"""Unit gate and up rows and down columns of a layer's strongest neurons, each of shape (n, width)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuronLink:
    """Two residual streams of equal width laid over each other through neurons.

    Parameters
    ----------
    rotation : shape (width, width), takes questioned rows into the reference's coordinates
    bases : of the questioned and the reference model, shape (width, k) each; they span only what was solved
    residuals : shape (width, `RESIDUAL_SKETCH`) each, profile of every residual dimension over the linked neurons
    used : for both models, for every layer the positions of the neurons that solved the rotation
    linked : neurons found consistent, over all layer pairs
    """

    rotation: Floats
    bases: tuple[Floats, Floats]
    residuals: tuple[Floats, Floats]
    used: tuple[tuple[Ints, ...], tuple[Ints, ...]]
    linked: int


def link_by_neurons(
    anatomies: tuple[Anatomy, Anatomy],
    neurons: tuple[Sequence[NeuronSignatures], Sequence[NeuronSignatures]],
    *,
    size: int,
    seed: int,
    progress: Progress,
) -> NeuronLink | None:
    """Lay two models over each other by what rotation leaves of their neurons; None where too few are alike.

    Parameters
    ----------
    neurons : signatures of both models in any bases: only positions and lengths are taken from them
    size : columns of the bases
    """
    width = anatomies[0].width
    if width != anatomies[1].width:
        return None
    sides = [
        [_strongest_rows(anatomy, number, layer) for number, layer in enumerate(layers)]
        for anatomy, layers in zip(anatomies, neurons, strict=True)
    ]
    described = [[_description(rows) for _, rows in side] for side in sides]
    anchors: list[tuple[int, int, Ints, Ints]] = []
    linked = 0
    for ours in range(len(sides[0])):
        found = [
            (*_linked(described[0][ours], described[1][theirs], sides[0][ours][1], sides[1][theirs][1]), theirs)
            for theirs in range(len(sides[1]))
        ]
        left, right, theirs = max(found, key=lambda item: len(item[0]))
        if len(left) >= LEAST_LINKED:
            linked += len(left)
            anchors.append((ours, theirs, left[::2], right[::2]))
        progress("linking neurons", ours + 1, len(sides[0]))
    if not anchors:
        return None
    pairs = [
        (_taken(sides[0][ours][1], left), _taken(sides[1][theirs][1], right)) for ours, theirs, left, right in anchors
    ]
    turn, target = _span(pairs)
    if turn.shape[1] < min(width, size):
        return None
    generator = np.random.Generator(np.random.Philox(seed))
    basis = target.T @ random_basis(width, size, generator)
    count = sum(len(ours[0]) for ours, _ in pairs)
    signs = generator.choice(np.array([-1, 1], np.float32), (count, RESIDUAL_SKETCH))
    gates = [np.concatenate([pair[side][0] for pair in pairs]) for side in (0, 1)]
    return NeuronLink(
        rotation=turn @ target.T,
        bases=(turn @ basis, target @ basis),
        residuals=(gates[0].T @ signs, gates[1].T @ signs),
        used=(
            tuple(_positions(anchors, sides[0], layer, 0) for layer in range(len(sides[0]))),
            tuple(_positions(anchors, sides[1], layer, 1) for layer in range(len(sides[1]))),
        ),
        linked=linked,
    )


def _strongest_rows(anatomy: Anatomy, number: int, layer: NeuronSignatures) -> tuple[Ints, Rows]:
    """Positions of a layer's strongest neurons, strongest first, and their rows."""
    taken = strongest(layer, NEURONS)
    positions = taken.index[np.argsort(-taken.norms.prod(axis=1), kind="stable")]
    gate, up, down = neuron_rows(anatomy.layers[number], positions, centred=is_layer_norm(anatomy))
    return positions, (unit_rows(gate), unit_rows(up), unit_rows(down))


def _description(rows: Rows) -> Floats:
    """What rotation, reordering, rescaling and signs of up and down leave of each neuron: shape (n, parts)."""
    gate, up, down = rows
    if not up.any():
        own = np.einsum("ij,ij->i", gate, down)[:, None]
        return np.concatenate(
            [*_extremes(gate @ gate.T, own=True), *_extremes(down @ down.T, own=True), *_extremes(gate @ down.T), own],
            axis=1,
        )
    opened, written, read = (np.einsum("ij,ij->i", *pair) for pair in ((gate, up), (gate, down), (up, down)))
    return np.concatenate(
        [
            *_extremes(gate @ gate.T, own=True),
            # Up and down change sign together: among other neurons only the size of their cosines is rigid.
            *(_extremes(np.abs(one @ other.T), own=same)[0] for one, other, same in _unsigned(gate, up, down)),
            np.stack([np.abs(opened), opened * written, read], axis=1),
        ],
        axis=1,
    )


def _unsigned(gate: Floats, up: Floats, down: Floats) -> Iterator[tuple[Floats, Floats, bool]]:
    yield from ((up, up, True), (down, down, True), (gate, up, False), (gate, down, False), (up, down, False))


def _extremes(cosines: Floats, *, own: bool = False) -> tuple[Floats, Floats]:
    """The largest and the smallest cosines of every row, shape (n, k) each; with itself left out where ``own``."""
    ordered = cosines.copy()
    if own:
        np.fill_diagonal(ordered, -np.inf)
    ordered.sort(axis=1)
    first = 1 if own else 0
    kept = min(_EXTREMES, ordered.shape[1] - first)
    return ordered[:, -kept:], ordered[:, first : first + kept]


def _linked(ours: Floats, theirs: Floats, rows_ours: Rows, rows_theirs: Rows) -> tuple[Ints, Ints]:
    """Counterparts whose cosines with each other agree in both models: rows of ours, rows of theirs."""
    if ours.shape[1] != theirs.shape[1] or min(len(ours), len(theirs)) < _LEAST_SEEDS:
        return _NONE
    both = np.concatenate([ours, theirs])
    scale = both.std(axis=0) + 1e-6
    left, right = ((part - both.mean(axis=0)) / scale for part in (ours, theirs))
    nearness = 2 * left @ right.T - np.square(left).sum(axis=1)[:, None] - np.square(right).sum(axis=1)
    found = _consistent(mutual_best(nearness), rows_ours, rows_theirs)
    for _ in range(_GROWTHS):
        if len(found[0]) < _LEAST_SEEDS:
            return _NONE
        grown = _consistent(mutual_best(_by_anchors(rows_ours, rows_theirs, *found)), rows_ours, rows_theirs)
        if len(grown[0]) <= len(found[0]):
            break
        found = grown
    return found


_NONE: Final = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def _by_anchors(rows_ours: Rows, rows_theirs: Rows, left: Ints, right: Ints) -> Floats:
    """Similarity of every neuron to every other by its cosines with the neurons that were linked so far."""
    seen = [np.concatenate([side[0] @ side[0][at].T, np.abs(side[2] @ side[2][at].T)], axis=1) for side, at in (
        (rows_ours, left), (rows_theirs, right)
    )]  # fmt: skip
    return unit_rows(seen[0] - seen[0].mean(axis=0)) @ unit_rows(seen[1] - seen[1].mean(axis=0)).T


def _consistent(match: Ints, ours: Rows, theirs: Rows) -> tuple[Ints, Ints]:
    """Those counterparts whose cosines with the other counterparts correlate between the models, found in rounds."""
    left = np.flatnonzero(match >= 0)
    right = match[left]
    for _ in range(_ROUNDS):
        if len(left) < _LEAST_SEEDS:
            return _NONE
        score = np.mean([_agreement(ours[part][left], theirs[part][right]) for part in (0, 2)], axis=0)
        kept = score > max(_LEAST_CONSISTENT, float(np.median(score)) / 2)
        left, right = left[kept], right[kept]
    return left, right


def _agreement(ours: Floats, theirs: Floats) -> Doubles:
    """For every row the correlation, between the models, of the sizes of its cosines with the other rows."""
    grams = []
    for rows in (ours, theirs):
        gram = np.abs(rows @ rows.T).astype(np.float64)
        np.fill_diagonal(gram, 0)
        grams.append(gram - gram.mean(axis=1, keepdims=True))
    product = np.einsum("ij,ij->i", *grams)
    scale = np.sqrt(np.square(grams[0]).sum(axis=1) * np.square(grams[1]).sum(axis=1))
    return np.asarray(product / np.where(scale > 0, scale, 1), np.float64)


def _taken(rows: Rows, at: Ints) -> Rows:
    return rows[0][at], rows[1][at], rows[2][at]


def _span(pairs: Sequence[tuple[Rows, Rows]]) -> tuple[Floats, Floats]:
    """Orthonormal columns that correspond, shape (width, rank) each: Procrustes on gates, then also on downs.

    References
    ----------
    Schoenemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 31(1), 1966.
    """
    width = pairs[0][0][0].shape[1]
    cross = np.zeros((width, width), np.float32)
    for ours, theirs in pairs:
        cross += ours[0].T @ theirs[0]
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    for ours, theirs in pairs:
        turned = (ours[2] @ left) @ right
        sign = np.sign(np.einsum("ij,ij->i", turned, theirs[2]))  # free in gated neurons
        cross += (ours[2] * sign[:, None]).T @ theirs[2]
    left, singular, right = np.linalg.svd(cross, full_matrices=False)
    kept = int(np.count_nonzero(singular > _FULL * singular[0]))
    if kept >= width - 1:
        kept = width  # LayerNorm hides one direction, and one that is alone has nowhere else to go
    return np.ascontiguousarray(left[:, :kept], np.float32), np.ascontiguousarray(right[:kept].T, np.float32)


def _positions(
    anchors: Sequence[tuple[int, int, Ints, Ints]], side: Sequence[tuple[Ints, Rows]], layer: int, which: int
) -> Ints:
    """Positions in a layer's pool of the neurons that solved the rotation."""
    used = [side[layer][0][anchor[2 + which]] for anchor in anchors if anchor[which] == layer]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *used]))
