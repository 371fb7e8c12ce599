"""Related models laid over one of them: every matched row in one coordinate system.

One model serves as the *hub*. Each other one is turned by the rotation that tokens give, its layers and neurons are
matched with the hub's, and where the whole width is seen the rotation is solved again from the matched neurons
themselves. Which model is the hub changes no distance by more than that solution's error: a rewritten copy comes out
where its original lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whorl.comparison.alignment import LayerPair
from whorl.core.arrays import Doubles, Floats, Ints
from whorl.core.progress import Progress, silent
from whorl.fingerprints.anchors import shared_anchors
from whorl.fingerprints.contents import vocabulary_of
from whorl.fingerprints.extraction import extract, single_threaded_blas
from whorl.fingerprints.frame import is_layer_norm, joint_bases, random_basis
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.lineage.characters import (
    SAME_ORDER,
    TURNED,
    apart,
    characters,
    established_pairs,
    layer_order,
    order_classes,
    rotation_classes,
)
from whorl.lineage.geometry import Geometry
from whorl.weights.anatomy import Anatomy, Matrix

SEED: Final = 20261125
BASIS: Final = 256
NEURONS: Final = 512
TOKENS: Final = 1024
LEAST_ROWS: Final = 32
NEARLY_AS_MANY: Final = 0.9
SAME_ROW: Final = 0.5  # cosine of gate rows from which a neuron that two views do not name alike is taken all the same
_KINDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Laid:
    """One model in the hub's coordinates.

    Parameters
    ----------
    rows : by block, shape (rows of the hub, k); NaN where the model has no such row
    characters : states of what training does not change
    rotation : shape (width, width), None where the whole width was not seen
    in_place : it lies as the hub does, without a rotation
    positions : by hub layer, shape (neurons,), each neuron's position in this model, -1 without one
    signatures : its neurons by its own layers, in the hub's coordinates
    """

    rows: dict[str, Floats]
    characters: dict[str, str]
    rotation: Floats | None
    in_place: bool
    positions: dict[int, Ints]
    signatures: tuple[NeuronSignatures, ...]


def lay_checkpoints(
    models: Sequence[Anatomy], hub: int, *, jobs: int, progress: Progress
) -> tuple[Geometry, tuple[int, ...]]:
    """Common geometry of models whose weights are at hand.

    Returns
    -------
    the geometry of those that could be laid over the hub, and their numbers in ``models``
    """
    with single_threaded_blas():
        reference = models[hub]
        basis = random_basis(reference.width, BASIS, np.random.Generator(np.random.Philox(SEED)))
        (features,) = extract(reference, (basis,), neurons=NEURONS, jobs=jobs, progress=silent)
        neurons = [layer.neurons for layer in features.layers]
        found: dict[int, Laid] = {}
        for number, anatomy in enumerate(models):
            laid = _lay(anatomy, reference, neurons, basis, jobs)
            if laid is not None:
                found[number] = laid
            progress("laying models over each other", number + 1, len(models))
        found = _turned_onto_nearest(found, neurons)
        return _geometry(list(found.values())), tuple(found)


def _lay(anatomy: Anatomy, hub: Anatomy, neurons: Sequence[NeuronSignatures], basis: Floats, jobs: int) -> Laid | None:
    bases = joint_bases(anatomy, hub, size=BASIS, seed=SEED)
    # Drawn from the same seed, the hub's side of either way is ``basis``.
    ways = [way[0] for way in (bases.by_tokens, bases.as_stored) if way is not None]
    if not ways:
        return None
    # Experts that started as copies compete for the same places: as many times the neurons.
    experts = max(len(layer.mlps) for layer in anatomy.layers)
    views = [
        [layer.neurons for layer in features.layers]
        for features in extract(anatomy, ways, neurons=NEURONS * experts, jobs=jobs, progress=silent)
    ]
    found = [established_pairs(ours, neurons, tries=len(ways)) for ours in views]
    matched = [sum(len(pair.rows_questioned) for pair in pairs) for pairs in found]
    best = int(np.argmax(matched))
    pairs, way, ours = found[best], ways[best], views[best]
    whole = basis.shape[0] == basis.shape[1] == anatomy.width
    if whole and pairs:
        turn = _rotation_out_of(_cross_products(ours, neurons, pairs))
        way, ours = way @ turn, _turned(ours, turn)
    # Training turns nothing: what lies nearly as the hub does lies exactly as the hub does, and is not turned at all.
    stored = bases.as_stored is not None
    in_place = stored and (apart(way, basis) < TURNED or matched[-1] >= NEARLY_AS_MANY * max(matched[best], 1))
    if in_place:
        way, ours = basis, views[-1]
        pairs = found[-1] or pairs
    rows, positions = _neuron_rows(ours, neurons, pairs, gated=[bool(layer.up.any()) for layer in neurons])
    rows |= _token_rows(anatomy, hub, way)
    if not any(np.isfinite(block).any() for block in rows.values()):
        return None
    return Laid(
        rows=rows,
        characters=_characters(anatomy, pairs),
        rotation=way if whole else None,
        in_place=in_place,
        positions=positions,
        signatures=tuple(ours),
    )


def _turned(layers: Sequence[NeuronSignatures], turn: Floats) -> list[NeuronSignatures]:
    return [replace(layer, gate=layer.gate @ turn, up=layer.up @ turn, down=layer.down @ turn) for layer in layers]


def _turned_onto_nearest(found: Mapping[int, Laid], hub: Sequence[NeuronSignatures]) -> dict[int, Laid]:
    """Turned models once more, onto whichever unturned one is nearest: a rewritten copy then lies where its original
    does, however far that is from the hub.
    """
    still = {number: np.concatenate(list(laid.rows.values())) for number, laid in found.items() if laid.in_place}
    turned = dict(found)
    for number, laid in found.items():
        if laid.in_place or not still:
            continue
        rows = np.concatenate(list(laid.rows.values()))
        nearest = min(still, key=lambda other: _left_after_turning(rows, still[other], turn=laid.rotation is not None))
        turned[number] = _laid_onto(laid, found[nearest], hub)
    return turned


def _laid_onto(laid: Laid, other: Laid, hub: Sequence[NeuronSignatures]) -> Laid:
    """A model matched with another one that lies in the hub's coordinates already, and turned onto it."""
    stands_in = [_standing_in(number, layer, other) for number, layer in enumerate(hub)]
    pairs = established_pairs(laid.signatures, stands_in, tries=1)
    tokens = {block: rows for block, rows in laid.rows.items() if not block.startswith("layers.")}
    signatures, rotation = laid.signatures, laid.rotation
    if rotation is not None:
        cross = _cross_products(signatures, stands_in, pairs)
        for block, rows in tokens.items():
            both = np.isfinite(rows[:, 0]) & np.isfinite(other.rows[block][:, 0])
            cross += rows[both].T.astype(np.float64) @ other.rows[block][both]
        turn = _rotation_out_of(cross)
        signatures, rotation = tuple(_turned(signatures, turn)), rotation @ turn
        tokens = {block: rows @ turn for block, rows in tokens.items()}
    neurons, positions = _neuron_rows(signatures, stands_in, pairs, gated=[bool(layer.up.any()) for layer in hub])
    return replace(laid, rows=neurons | tokens, rotation=rotation, positions=positions, signatures=signatures)


def _standing_in(number: int, layer: NeuronSignatures, other: Laid) -> NeuronSignatures:
    """Another model's version of a hub layer, row for row; zeros where it has none."""
    gate, up, down = (
        np.nan_to_num(other.rows.get(f"layers.{number}.{kind}", np.zeros_like(layer.gate)))
        for kind in ("gate", "up", "down")
    )
    return replace(layer, gate=gate, up=up, down=down)


def _left_after_turning(ours: Floats, theirs: Floats, *, turn: bool) -> float:
    """Mean squared difference of rows that both have, after the best rotation where one is allowed."""
    both = np.isfinite(ours[:, 0]) & np.isfinite(theirs[:, 0])
    if not both.any():
        return np.inf
    left, right = ours[both].astype(np.float64), theirs[both].astype(np.float64)
    alike = np.linalg.svd(left.T @ right, compute_uv=False).sum() if turn else np.vdot(left, right)
    return float(np.vdot(left, left) + np.vdot(right, right) - 2 * alike) / int(both.sum())


def _cross_products(
    ours: Sequence[NeuronSignatures], theirs: Sequence[NeuronSignatures], pairs: Sequence[LayerPair]
) -> Doubles:
    """Products of matched gate rows, shape (width, width)."""
    width = theirs[0].gate.shape[1]
    cross = np.zeros((width, width))
    for p in pairs:
        cross += (
            ours[p.questioned].gate[p.rows_questioned].T.astype(np.float64) @ theirs[p.reference].gate[p.rows_reference]
        )
    return cross


def _rotation_out_of(cross: Doubles) -> Floats:
    """The rotation that lays the first side's rows over the second's: the Procrustes solution."""
    left, _, right = np.linalg.svd(cross)
    return np.asarray(left @ right, np.float32)


def _neuron_rows(
    ours: Sequence[NeuronSignatures],
    hub: Sequence[NeuronSignatures],
    pairs: Sequence[LayerPair],
    *,
    gated: Sequence[bool],
) -> tuple[dict[str, Floats], dict[int, Ints]]:
    """Gate rows, and up and down rows brought to one length and the hub's sign, by hub layer."""
    by_layer: dict[int, LayerPair] = {}
    for pair in pairs:  # of repeated layers, the one that stayed nearest
        known = by_layer.get(pair.reference)
        if known is None or len(pair.rows_questioned) > len(known.rows_questioned):
            by_layer[pair.reference] = pair
    rows: dict[str, Floats] = {}
    positions: dict[int, Ints] = {}
    for number, layer in enumerate(hub):
        empty = np.full((_KINDS, *layer.gate.shape), np.nan, np.float32)
        positions[number] = np.full(len(layer.index), -1)
        if number in by_layer:
            at_hub, at_ours = _paired(ours[by_layer[number].questioned], layer, by_layer[number])
            mine = ours[by_layer[number].questioned]
            empty[0, at_hub] = mine.gate[at_ours]
            if mine.up.any() and layer.up.any():
                up, down = _balanced(mine.up[at_ours], mine.down[at_ours], layer.up[at_hub], layer.down[at_hub])
                empty[1, at_hub], empty[2, at_hub] = up, down
            else:
                empty[2, at_hub] = mine.down[at_ours]
            positions[number][at_hub] = mine.index[at_ours]
        for kind, block in zip(("gate", "up", "down"), empty, strict=True):
            if kind != "up" or gated[number]:
                rows[f"layers.{number}.{kind}"] = block
    return rows, positions


def _paired(ours: NeuronSignatures, hub: NeuronSignatures, pair: LayerPair) -> tuple[Ints, Ints]:
    """Hub rows and ours: those that two views name, and for the rest the nearest where there is no doubt about it.

    Where experts hold copies of a neuron, the copy that stayed nearest is taken: whatever order they stand in.
    """
    match = np.full(len(hub.index), -1)
    here = ours.index[pair.rows_questioned] == hub.index[pair.rows_reference]
    if ours.blocks == hub.blocks and here.mean() > SAME_ORDER:
        # Nothing was reordered: heavily changed neurons are known by where they stand.
        _, at_hub, at_ours = np.intersect1d(hub.index, ours.index, return_indices=True)
        return at_hub, at_ours
    cosine = _unit(hub.gate) @ _unit(ours.gate).T
    named = np.full(cosine.shape, -np.inf, np.float32)
    named[pair.rows_reference, pair.rows_questioned] = cosine[pair.rows_reference, pair.rows_questioned]
    known = np.isfinite(named).any(axis=1)
    match[known] = named[known].argmax(axis=1)
    nearest = cosine.argmax(axis=1)
    if len(ours.blocks) > len(hub.blocks):
        match[known] = nearest[known]
    sure = ~known & (cosine[np.arange(len(cosine)), nearest] >= SAME_ROW)
    match[sure] = nearest[sure]
    at_hub = np.flatnonzero(match >= 0)
    return at_hub, match[at_hub]


def _balanced(up: Floats, down: Floats, hub_up: Floats, hub_down: Floats) -> tuple[Floats, Floats]:
    lengths = np.linalg.norm(up, axis=1), np.linalg.norm(down, axis=1)
    scale = np.sqrt(lengths[1] / np.where(lengths[0] > 0, lengths[0], 1))[:, None]
    scale = np.where(scale > 0, scale, 1)
    sign = np.sign(np.einsum("ij,ij->i", up, hub_up) + np.einsum("ij,ij->i", down, hub_down))[:, None]
    return up * scale * sign, down / scale * sign


def _token_rows(anatomy: Anatomy, hub: Anatomy, way: Floats) -> dict[str, Floats]:
    """Embedding and unembedding rows of the tokens that both know, in the hub's coordinates."""
    ours, theirs = shared_anchors(anatomy, hub, TOKENS)
    all_of_hub, _ = shared_anchors(hub, hub, TOKENS)
    place = {int(row): number for number, row in enumerate(all_of_hub)}
    kept = [number for number, row in enumerate(theirs) if int(row) in place]
    at = np.array([place[int(theirs[number])] for number in kept], np.int64)
    rows = {}
    for role, matrix in (("embedding", anatomy.embedding), ("unembedding", anatomy.unembedding)):
        if getattr(hub, role) is None:
            continue
        block = np.full((len(all_of_hub), way.shape[1]), np.nan, np.float32)
        if kept:
            stored = _stored_rows(matrix or anatomy.embedding, ours[kept])
            if role == "unembedding" and anatomy.final_norm is not None:
                stored = stored * anatomy.final_norm.gain
            if is_layer_norm(anatomy):
                stored = stored - stored.mean(axis=1, keepdims=True)
            block[at] = stored @ way
        rows[role] = block
    return rows


def _stored_rows(matrix: Matrix, index: Ints) -> Floats:
    order = np.argsort(index, kind="stable")
    rows = np.empty((len(index), matrix.shape[1]), np.float32)
    rows[order] = matrix.rows(index[order])
    return rows


def _characters(anatomy: Anatomy, pairs: Sequence[LayerPair]) -> dict[str, str]:
    vocabulary = vocabulary_of(anatomy)
    attention = next((layer.attention for layer in anatomy.layers if layer.attention is not None), None)
    return characters(
        layers=layer_order(pairs, len(anatomy.layers)),
        neurons=[[mlp.up.shape[0] for mlp in layer.mlps] for layer in anatomy.layers],
        heads="none" if attention is None else f"{attention.heads}/{attention.kv_heads}",
        vocabulary=vocabulary,
    )


def _geometry(laid: Sequence[Laid]) -> Geometry:
    products, blocks = [], []
    for place, block in enumerate(laid[0].rows):
        stacked = np.stack([model.rows[block] for model in laid], axis=1)
        products.append(np.einsum("rik,rjk->rij", stacked, stacked))
        blocks.append(np.full(len(stacked), place))
    orders = order_classes([model.positions for model in laid])
    rotations = rotation_classes([model.rotation for model in laid])
    return Geometry(
        products=np.concatenate(products).astype(np.float32),
        blocks=np.concatenate(blocks),
        characters=tuple(
            model.characters | order | rotation for model, order, rotation in zip(laid, orders, rotations, strict=True)
        ),
    )


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
