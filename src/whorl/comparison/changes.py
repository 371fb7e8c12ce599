"""T4: how the questioned model differs from the reference, in terms of what is done to models.

Only once common weights are established. A change is named from the reference's side; it does not say which model came
first: layers "dropped" from one were perhaps added to the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.comparison.alignment import LayerPair, expert_map, experts_of, pair_layers
from whorl.comparison.kinship import GAINS_USABLE, GainSlopes, MatchedWeights
from whorl.comparison.merges import blended_with_stranger
from whorl.core.arrays import Floats
from whorl.core.evidence import EstablishedTransformation, Score, Transformation
from whorl.fingerprints.extraction import LEVEL_GROUP, MatrixRecord
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.cosines import cosines, unit_rows
from whorl.statistics.spectrum import largest_over_noise
from whorl.statistics.subsequence import longest_increasing_subsequence

GRID_LEVELS: Final = 16.5  # at most 2**4 distinct values among LEVEL_GROUP neighbours: a grid of 4 bits or fewer
FREE_LEVELS: Final = 24.0
PRUNED: Final = 0.05
SCALE_SPREAD: Final = 0.15
SPREAD_BY_TRAINING: Final = 2.0  # times how far the weights moved
UNEXPLAINED_ENERGY: Final = 6e-6  # two roundings to bf16, as a share of the squared weights
MANY_ROUNDINGS: Final = 20
LEFT_OVER: Final = 0.002
UNBALANCED: Final = 0.2
MUCH_MORE: Final = 2.0
MANY_HEADS: Final = 8
STILL_SAME: Final = 0.9
TWINS: Final = 0.1
NEAR_COPY: Final = 0.9
LOW_RANK: Final = 6  # times fewer directions than the matrix has
UNEXPLAINED: Final = 1e-4  # 1 - cosine; rounding to bf16 leaves 2e-6
STRUCTURED: Final = 1.12  # rounding and pruning gave up to 1.03 on models trained here, training 1.18 and more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What is known when changes are typed: both views, established layer pairs, matched weights and gains.

    ``rotation_solved`` is False where the layers match with the residual streams as stored; ``rounded`` True where one
    model's values are the other's, rounded.
    """

    questioned: ModelView
    reference: ModelView
    rotation_solved: bool
    rounded: bool
    pairs: Sequence[LayerPair]
    weights: MatchedWeights
    heads: Score | None
    gains: GainSlopes | None
    derived: bool


def established_changes(known: Comparison) -> tuple[EstablishedTransformation, ...]:
    """Every change that the evidence establishes, in the order of the design's list."""
    found = dict(_changes(known))
    if known.derived and "merged" not in found and (detail := _fine_tuned(known, frozenset(found))) is not None:
        found = {"fine_tuned": detail, **found}
    return tuple(EstablishedTransformation(name=name, detail=detail) for name, detail in found.items())


def destroyed_by(known: Comparison) -> int:
    """Facts of what nobody puts back on the questioned side, less those on the reference side.

    Zeros, coarse grids and stored quantisation, missing layers and neurons, weights shortened by averaging, and scales
    out of the balance in which training leaves them: the side that shows one is the younger, or a sibling of it.
    """
    if unbalanced := _unbalanced(known):
        return unbalanced  # dressing comes last and hides zeros and grids, so it decides alone
    records = _common_records(known)
    swapped = [(theirs, ours) for ours, theirs in records]
    facts = sum(test(records) is not None for test in (_coarser, _sparser)) - sum(
        test(swapped) is not None for test in (_coarser, _sparser)
    )
    used = {pair.reference for pair in known.pairs}
    matched = {pair.questioned for pair in known.pairs}
    unused = [set(range(len(known.reference.neurons))) - used, set(range(len(known.questioned.neurons))) - matched]
    if unused[0] and not unused[1]:
        # Layers without a counterpart were dropped on our side, unless they repeat others on theirs.
        facts += -1 if _repeat(known.reference, unused[0], used) else 1
    elif unused[1] and not unused[0]:
        facts += 1 if _repeat(known.questioned, unused[1], matched) else -1
    elif not unused[0] and len(matched) > len(used):
        facts += 1
    facts += (_merged(known) is not None) - (_merged(_swapped(known)) is not None)
    return facts + _narrowed(known)


def _swapped(known: Comparison) -> Comparison:
    """The same two models as seen from the other side, as far as `_merged` looks."""
    gains = known.gains
    turned = [
        replace(
            pair,
            questioned=pair.reference,
            reference=pair.questioned,
            rows_questioned=pair.rows_reference,
            rows_reference=pair.rows_questioned,
        )
        for pair in known.pairs
    ]
    other_slopes = (
        None
        if gains is None
        else replace(
            gains,
            questioned_on_reference=gains.reference_on_questioned,
            reference_on_questioned=gains.questioned_on_reference,
        )
    )
    return replace(known, questioned=known.reference, reference=known.questioned, pairs=turned, gains=other_slopes)


def _unbalanced(known: Comparison) -> int:
    """1 where only the questioned side's scales are out of balance, -1 where only the reference's are.

    Gradient descent keeps the sizes of a neuron's input and output weights in balance (Du, Hu and Lee, 2018); free
    rescaling does not. Without a gate the norm gains stand in: dressed gains spread wider than trained ones.
    """
    ours, theirs = _imbalance(known.questioned), _imbalance(known.reference)
    if max(ours, theirs) < UNBALANCED or max(ours, theirs) < MUCH_MORE * min(ours, theirs):
        return 0
    return 1 if ours > theirs else -1


def _imbalance(view: ModelView) -> float:
    spreads = []
    for layer in view.neurons:
        if view.exact and layer.up.any() and len(layer.index) >= 2:
            up, down = (np.linalg.norm(rows, axis=1) for rows in (layer.up, layer.down))
            both = (up > 0) & (down > 0)
            spreads.append(_spread(np.log(up[both]) - np.log(down[both])))
    if not spreads:
        spreads = [float(np.log(np.abs(gain[gain != 0])).std()) for gain in view.gains.values() if np.any(gain)]
    return float(np.median(spreads)) if spreads else 0.0


def _narrowed(known: Comparison) -> int:
    """1 where neurons were removed on the questioned side or copied on the reference side, -1 the other way round."""
    if not known.pairs:
        return 0
    pair = known.pairs[0]
    ours, theirs = known.questioned.neurons[pair.questioned], known.reference.neurons[pair.reference]
    if len(ours.blocks) != len(theirs.blocks):
        return 1 if len(ours.blocks) > len(theirs.blocks) else -1  # experts are made of a dense block, not the reverse
    if ours.pool == theirs.pool:
        return 0
    wider, sign = (theirs, 1) if theirs.pool > ours.pool else (ours, -1)
    return -sign if _twins(wider) > TWINS else sign


def _twins(layer: NeuronSignatures) -> float:
    """Share of neurons of which the same layer holds a near copy."""
    rows = unit_rows(layer.gate)
    alike = rows @ rows.T
    np.fill_diagonal(alike, -1.0)
    return float(np.mean(alike.max(axis=1) > NEAR_COPY)) if len(rows) > 1 else 0.0


def _repeat(view: ModelView, layers: set[int], others: set[int]) -> bool:
    """Whether each of the layers is a copy of one of the others, in the same model."""
    tests = max(1, len(layers) * len(others))
    return all(
        any(pair_layers(view.neurons, view.neurons, layer, other, tests=tests).established for other in others)
        for layer in layers
    )


def _changes(known: Comparison) -> Iterator[tuple[Transformation, str]]:
    checks: tuple[tuple[Transformation, str | None], ...] = (
        ("rotated", _rotated(known)),
        ("permuted", _permuted(known)),
        ("rescaled", _rescaled(known)),
        ("quantised", _quantised(known)),
        ("pruned", _pruned(known)),
        ("width_pruned", _width_pruned(known)),
        ("layers_dropped", _layers_dropped(known)),
        ("layers_repeated", _layers_repeated(known)),
        ("vocabulary_changed", _vocabulary_changed(known)),
        ("merged", _merged(known)),
        ("moe_upcycled", _moe_upcycled(known)),
        ("reinitialised_parts", _reinitialised(known)),
        ("lora", _lora(known)),
    )
    yield from ((name, detail) for name, detail in checks if detail is not None)


def _rotated(known: Comparison) -> str | None:
    found = _residual_match(known)
    if found is None or found[0] > 0.5:
        return None
    at_home, anywhere = found
    whole = len(known.questioned.residual) == known.questioned.width or known.questioned.exact
    if whole and anywhere > 0.8:
        return None  # every dimension is somewhere: reordered, not rotated
    doubt = "" if whole else "; a fingerprint that keeps part of the dimensions cannot tell rotated from reordered"
    return (
        f"the residual stream is in another basis: a dimension's token profile has median |cosine| {at_home:.2f} "
        f"with its own and {anywhere:.2f} with the best of the reference's{doubt}"
    )


def _residual_match(known: Comparison) -> tuple[float, float] | None:
    """Median |cosine| of a residual dimension with its own and with its best counterpart; None where not solved."""
    ours, theirs = known.questioned.residual, known.reference.residual
    if not known.rotation_solved or known.questioned.width != known.reference.width or not (len(ours) and len(theirs)):
        return None
    similarity = np.abs(cosines(ours, theirs))
    return float(np.median(np.diagonal(similarity))), float(np.median(similarity.max(axis=1)))


def _permuted(known: Comparison) -> str | None:
    matched = in_order = 0
    for pair in known.pairs:
        ours, theirs = known.questioned.neurons[pair.questioned], known.reference.neurons[pair.reference]
        matched += len(pair.rows_reference)
        if ours.blocks == theirs.blocks:
            in_order += int(np.count_nonzero(ours.index[pair.rows_questioned] == theirs.index[pair.rows_reference]))
            continue
        # Layers of another width keep the order, each expert for itself.
        experts = experts_of(ours)[pair.rows_questioned]
        for expert in np.unique(experts):
            in_order += longest_increasing_subsequence(theirs.index[pair.rows_reference[experts == expert]])
    if matched >= 32 and in_order <= matched / 2:
        return f"only {in_order} of {matched} matched neurons stand where the reference has them"
    found = _residual_match(known)
    if found is not None and found[0] <= 0.5 and found[1] > 0.8 and _rotated(known) is None:
        return f"residual dimensions are reordered: each has a counterpart (median |cosine| {found[1]:.2f}) elsewhere"
    return None


def _rescaled(known: Comparison) -> str | None:
    gains = known.gains
    dressed = (
        gains is not None and gains.correlation < GAINS_USABLE and gains.moved and not gains.reordered and known.derived
    )
    ratios: list[Floats] = []
    flips: list[NDArray[np.bool_]] = []
    for pair in known.pairs:
        ours, theirs = known.questioned.neurons[pair.questioned], known.reference.neurons[pair.reference]
        if not (ours.up.any() and theirs.up.any()):
            continue
        up = _signed(ours.up[pair.rows_questioned], theirs.up[pair.rows_reference])
        down = _signed(ours.down[pair.rows_questioned], theirs.down[pair.rows_reference])
        flips.append((up[0] < 0) & (down[0] < 0))
        ratios.append(up[1] - down[1])
    flipped = float(np.concatenate(flips).mean()) if flips else 0.0
    spread = _spread(np.concatenate(ratios)) if known.questioned.exact and ratios else 0.0
    if flipped > 0.1 or spread > SCALE_SPREAD + SPREAD_BY_TRAINING * max(0.0, 1 - known.weights.cosine):
        return (
            f"up and down weights of matched neurons are scaled against each other: {flipped:.0%} changed sign, "
            f"spread of the log scale {spread:.2f}"
        )
    if dressed:
        return "norm gains differ although the weights behind them match: gains were folded or replaced"
    return None


def _spread(values: Floats) -> float:
    """Standard deviation by the median absolute deviation: a few neurons that were switched off do not count."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _signed(ours: Floats, theirs: Floats) -> tuple[Floats, Floats]:
    """Row by row: inner product, and log of the ratio of lengths."""
    product = np.einsum("ij,ij->i", ours, theirs)
    lengths = np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)
    tiny = np.finfo(np.float32).tiny
    return product, np.log(np.maximum(lengths[0], tiny) / np.maximum(lengths[1], tiny))


def _quantised(known: Comparison) -> str | None:
    return _coarser(_common_records(known))


def _coarser(pairs: Sequence[tuple[MatrixRecord, MatrixRecord]]) -> str | None:
    """Why the first of each pair is a quantised form where the second is not, or None."""
    lossy = [ours.storage for ours, theirs in pairs if ours.lossy and not theirs.lossy]
    if len(lossy) > len(pairs) / 2:
        storages = "/".join(sorted(set(lossy)))
        return f"{len(lossy)} of {len(pairs)} matrices are stored as {storages}, the other side's are not quantised"
    grid = sum(0 < ours.levels <= GRID_LEVELS and theirs.levels >= FREE_LEVELS for ours, theirs in pairs)
    if grid and grid > len(pairs) / 2:
        return (
            f"{grid} of {len(pairs)} matrices take at most {int(GRID_LEVELS)} values among {LEVEL_GROUP} neighbours, "
            "the other side's do not: a grid of 4 bits or fewer"
        )
    return None


def _pruned(known: Comparison) -> str | None:
    # A coarse grid rounds small weights to zero: zeros on a quantised side are no pruning.
    return None if _quantised(known) else _sparser(_common_records(known))


def _sparser(pairs: Sequence[tuple[MatrixRecord, MatrixRecord]]) -> str | None:
    """Why the first of each pair is a pruned form of the second, or None."""
    if not pairs:
        return None
    ours, theirs = (float(np.mean([pair[side].zeros for pair in pairs])) for side in (0, 1))
    if ours < PRUNED or ours < theirs + PRUNED:
        return None
    return f"{ours:.0%} of the weights are exactly zero, {theirs:.0%} of the other side's"


def _width_pruned(known: Comparison) -> str | None:
    narrower = [
        (_widest(known.questioned, p.questioned), _widest(known.reference, p.reference))
        for p in known.pairs
        if _widest(known.questioned, p.questioned) < _widest(known.reference, p.reference) and p.agreement > 0.5
    ]
    if not narrower:
        return None
    ours, theirs = narrower[0]
    kept = f"{ours} of {theirs} in the first"
    return f"{len(narrower)} layers keep fewer neurons than the reference ({kept}), and those match"


def _widest(view: ModelView, layer: int) -> int:
    """Neurons of the layer's widest expert, or of the whole layer where it is dense."""
    return max(view.neurons[layer].blocks)


def _merged(known: Comparison) -> str | None:
    if not known.derived:
        return None  # a second run from the same start with more weight decay is shortened as an average is
    if _pruned(known) or _sparse_rows(known):
        return None  # zeros shorten, too
    return blended_with_stranger(known.questioned, known.reference, known.pairs, known.gains)


def _sparse_rows(known: Comparison) -> bool:
    return any(ours.zeros > PRUNED for ours, _ in _common_records(known))


def _reinitialised(known: Comparison) -> str | None:
    heads = known.heads
    if heads is None or heads.statistic["heads"] < MANY_HEADS or len(known.pairs) < len(known.questioned.neurons):
        return None
    expected = heads.statistic["by_chance"] * heads.statistic["heads"]
    if heads.statistic["matched"] > expected or known.weights.cosine < STILL_SAME:
        return None
    return (
        f"{heads.statistic['matched']:.0f} of {heads.statistic['heads']:.0f} attention heads have a counterpart, no "
        "more than chance gives, while the neurons beside them match: attention was started anew"
    )


def _moe_upcycled(known: Comparison) -> str | None:
    copied = []
    for pair in known.pairs:
        ours, theirs = known.questioned.neurons[pair.questioned], known.reference.neurons[pair.reference]
        if len(ours.blocks) > len(theirs.blocks):
            sources = [source for source in expert_map(ours, theirs, pair) if source is not None]
            copied.append(len(sources) > len(set(sources)))
    if not copied or sum(copied) <= len(known.pairs) / 2:
        return None
    layer = known.pairs[0]
    counts = (
        len(known.questioned.neurons[layer.questioned].blocks),
        len(known.reference.neurons[layer.reference].blocks),
    )
    return (
        f"in {sum(copied)} layers several experts of the questioned model match the same block of the reference "
        f"({counts[0]} and {counts[1]} in the first)"
    )


def _lora(known: Comparison) -> str | None:
    """A merged adapter of low rank leaves a change of that rank, up to rounding, and gains as they were."""
    gains = known.gains
    if not known.questioned.exact or (gains is not None and gains.correlation >= GAINS_USABLE and gains.moved):
        return None
    ranks = [_rank_of_change(known, pair) for pair in known.pairs]
    if not ranks or any(rank is None for rank in ranks):
        return None
    most = max(rank for rank in ranks if rank is not None)
    return f"matched weights moved along at most {most} directions in every layer: an adapter of low rank, merged"


def _rank_of_change(known: Comparison, pair: LayerPair) -> int | None:
    """Rank of a layer's change where it is low and beyond rounding, else None."""
    ours = known.questioned.neurons[pair.questioned].gate[pair.rows_questioned]
    theirs = known.reference.neurons[pair.reference].gate[pair.rows_reference]
    change = ours - theirs
    energy = np.square(np.linalg.svd(change, compute_uv=False).astype(np.float64))
    rounding = UNEXPLAINED_ENERGY * float(np.vdot(theirs, theirs))
    if energy.sum() < MANY_ROUNDINGS * rounding:
        return None
    beyond = energy.sum() - np.cumsum(energy)
    rank = 1 + int(np.argmax(beyond <= rounding + LEFT_OVER * energy.sum()))
    return rank if rank <= min(change.shape) / LOW_RANK else None


def _layers_dropped(known: Comparison) -> str | None:
    missing = sorted(set(range(len(known.reference.neurons))) - {pair.reference for pair in known.pairs})
    complete = len(known.pairs) == len(known.questioned.neurons)
    if not missing or not complete:
        return None
    return f"reference layers {', '.join(map(str, missing))} have no counterpart, every questioned layer has one"


def _layers_repeated(known: Comparison) -> str | None:
    uses: dict[int, list[int]] = {}
    for pair in known.pairs:
        uses.setdefault(pair.reference, []).append(pair.questioned)
    repeated = {layer: users for layer, users in uses.items() if len(users) > 1}
    if not repeated:
        return None
    return "; ".join(f"reference layer {layer} serves as {users}" for layer, users in repeated.items())


def _vocabulary_changed(known: Comparison) -> str | None:
    ours, theirs = known.questioned.vocabulary, known.reference.vocabulary
    if ours.unordered is not None and theirs.unordered is not None and ours.unordered != theirs.unordered:
        return f"the token strings differ ({ours.size} and {theirs.size} embedding rows)"
    if ours.ordered is not None and theirs.ordered is not None and ours.ordered != theirs.ordered:
        return "the same token strings stand in another order"
    return None


def _fine_tuned(known: Comparison, others: frozenset[Transformation]) -> str | None:
    gains = known.gains
    if known.rounded:
        return None
    comparable = gains is not None and gains.correlation >= GAINS_USABLE and "rescaled" not in others
    if gains is not None and comparable and gains.moved:
        return f"norm gains moved (correlation {gains.correlation:.4f}), by more than rounding explains"
    if not known.questioned.exact or 1 - known.weights.cosine <= UNEXPLAINED:
        return None
    if known.questioned.basis is None and {"rotated", "rescaled"} & others:
        return None  # columns cannot be told apart, and rounding after a rewrite is no longer even
    spike = float(np.mean([_structure_of_change(known, pair) for pair in known.pairs]))
    if spike < STRUCTURED:
        return None
    return (
        f"matched weights moved (median cosine {known.weights.cosine:.4f}) along few directions: the largest is "
        f"{spike:.1f} times what rounding or pruning of that size leaves"
    )


def _structure_of_change(known: Comparison, pair: LayerPair) -> float:
    """How far the change of matched gate rows stands above noise, in the basis where it does least.

    Rounding is even in the stored basis of the model that was rounded, and only there: rounding after norm gains were
    dressed differs from column to column, which looks like structure in any other basis. So the change is turned into
    either model's stored basis and its columns brought to one size there; training shows all the same.
    """
    ours = known.questioned.neurons[pair.questioned].gate[pair.rows_questioned]
    theirs = known.reference.neurons[pair.reference].gate[pair.rows_reference]
    square = float(np.vdot(theirs, theirs))
    change = ours - np.float32(np.vdot(ours, theirs) / square if square > 0 else 0.0) * theirs
    bases = (known.questioned.basis, known.reference.basis)
    turned = [unit_rows(unit_rows(change @ basis.T).T).T for basis in bases if basis is not None]
    return min(largest_over_noise(matrix) for matrix in (change, *turned))


def _common_records(known: Comparison) -> list[tuple[MatrixRecord, MatrixRecord]]:
    """Records of the same role in mapped layers; routers and embeddings are left out, they are often stored
    otherwise.
    """
    pairs = []
    for pair in known.pairs:
        prefix = f"layers.{pair.questioned}."
        for role, record in known.questioned.records.items():
            if role.startswith(prefix) and not role.endswith("router"):
                other = known.reference.records.get(f"layers.{pair.reference}.{role.removeprefix(prefix)}")
                if other is not None:
                    pairs.append((record, other))
    return pairs
