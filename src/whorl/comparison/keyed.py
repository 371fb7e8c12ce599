"""T0: does the questioned model carry the dither that a key put into the released copy of the reference?

The reference is the undithered original. Everything up to the last inner product (rotation, layers, neurons, slopes,
weights) comes out of the two models alone; the key's signs enter once, at the end. That is what makes the bound exact
however good or bad the alignment is (see ``docs/methods/keyed_dither.md``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whorl.comparison.alignment import LayerPair
from whorl.core.arrays import Doubles, Floats, Ints
from whorl.core.errors import InputError
from whorl.core.evidence import NotComparable, PValue, Subject
from whorl.core.progress import Progress
from whorl.fingerprints.frame import is_layer_norm, joint_bases, random_basis
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import Fold, fold_of
from whorl.statistics.cosines import unit_rows
from whorl.statistics.keyed_dither import NOTHING, KeyedSum, keyed_signs, keyed_sum
from whorl.weights.anatomy import Anatomy, Matrix
from whorl.weights.release_key import ReleaseKey, commitment_to
from whorl.weights.release_plan import deviation, opening_matrix, opening_role

KEYED: Final = "keyed_dither/1"
NULL: Final = "the questioned model was made without knowledge of the key"
ASSUMPTIONS: Final = (
    "the key was drawn at random, and not chosen in view of the questioned model",
    "SHAKE-256 of an unknown key cannot be told from random bits",
)
_SKETCH: Final = 256
_BLOCK_BYTES: Final = 1 << 24
_SAMPLE: Final = 1024
_ROWS_PER_DIMENSION: Final = 32
_LEAST: Final = 0.1  # of the usual size of a residual: no column counts more than 100-fold
_ALIKE: Final = 1.01  # two rotations that explain alike: no rotation is then the truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opening:
    """One feed-forward block as the test sees it: what opens its neurons, and how that meets the residual stream."""

    matrix: Matrix
    fold: Fold

    def rows(self, index: Ints) -> Floats:
        """Folded rows."""
        return self.fold.rows(self.matrix.rows(index))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedBlock:
    """Two blocks laid side by side: row ``ours[i]`` corresponds to row ``theirs[i]``; no row occurs twice."""

    questioned: Opening
    reference: Opening
    role: str
    ours: Ints
    theirs: Ints

    def sample(self, count: int) -> tuple[Floats, Floats]:
        """Folded rows of evenly spaced matches."""
        chosen = np.unique(np.linspace(0, len(self.ours) - 1, min(count, len(self.ours))).astype(np.int64))
        return self.questioned.rows(self.ours[chosen]), self.reference.rows(self.theirs[chosen])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaidOver:
    """Two models laid over each other.

    Parameters
    ----------
    rotation : shape (questioned width, reference width), or None where both share the stored coordinates
    fitted : how many numbers were fitted to the rows, slopes still to come included
    """

    blocks: tuple[MatchedBlock, ...]
    rotation: Floats | None
    fitted: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Weighted residuals of some reference rows of one role, shape (len(rows), width).

    ``expected`` is the sum of sign times entry that the whole dither gives on average.
    """

    role: str
    rows: Ints
    array: Doubles
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyedQuestion:
    """What is asked with a key: the models to test, questioned and reference; None where one is a fingerprint."""

    key: ReleaseKey
    anatomies: tuple[Anatomy, Anatomy] | None
    seed: int


def keyed_evidence(
    asked: KeyedQuestion | None,
    reference: Subject,
    views: tuple[ModelView, ModelView],
    pairs: Sequence[LayerPair],
    *,
    by_tokens: bool,
    rotation: Floats | None,
    progress: Progress,
) -> tuple[PValue | NotComparable, ...]:
    """What the key says: nothing where none was given, else one outcome.

    Raises
    ------
    InputError
        If the key was made for another model than the reference.
    """
    if asked is None:
        return ()
    require_model(asked.key, reference.digest, reference.name)
    if asked.anatomies is None:
        return (_needs_weights(),)
    return (
        keyed_test(
            asked.anatomies,
            views,
            pairs,
            asked.key,
            by_tokens=by_tokens,
            rotation=rotation,
            seed=asked.seed,
            progress=progress,
        ),
    )


def require_model(key: ReleaseKey, digest: str, name: str) -> None:
    """Raise `InputError` unless the key was made for the model of this content digest."""
    if key.model != digest:
        raise InputError(
            f"{name}: expected the undithered model that the key was made for (content digest {key.model}), found "
            f"another ({digest}); give the very checkpoint that `whorl commit` was given, not the released copy"
        )


def _needs_weights() -> NotComparable:
    return NotComparable(
        tier="T0",
        method=KEYED,
        reason="needs_weights",
        detail="the dither is far below what a stored fingerprint keeps: both checkpoints are needed",
    )


def keyed_test(
    anatomies: tuple[Anatomy, Anatomy],
    views: tuple[ModelView, ModelView],
    pairs: Sequence[LayerPair],
    key: ReleaseKey,
    *,
    by_tokens: bool,
    rotation: Floats | None = None,
    seed: int,
    progress: Progress,
) -> PValue | NotComparable:
    """Test the questioned model for the key's dither.

    Parameters
    ----------
    anatomies, views : questioned and reference
    pairs : the layer map that the comparison found
    by_tokens : whether that map was found through the rotation solved from tokens, or as stored
    rotation : shape (width, width), the rotation through which it was found, if not through tokens
    """
    laid = lay_over(anatomies, views, pairs, by_tokens=by_tokens, rotation=rotation, seed=seed, progress=progress)
    if isinstance(laid, NotComparable):
        return laid
    total = NOTHING
    for number, block in enumerate(laid.blocks):
        for part in residual_parts(block, laid.rotation, key.dither):
            total += lean(part, key.secret)
        progress("testing the key", number + 1, len(laid.blocks))
    # Slopes and rotation were fitted to the very rows that they are subtracted from, and so took their part of the
    # dither as well.
    kept = max(0.0, 1 - laid.fitted / max(total.entries, 1))
    return _evidence(replace(total, expected=total.expected * kept), key, laid.blocks)


def lay_over(
    anatomies: tuple[Anatomy, Anatomy],
    views: tuple[ModelView, ModelView],
    pairs: Sequence[LayerPair],
    *,
    by_tokens: bool,
    rotation: Floats | None = None,
    seed: int,
    progress: Progress,
) -> LaidOver | NotComparable:
    """The questioned model over the reference, neuron by neuron; see `keyed_test`. No key is known here."""
    questioned, reference = anatomies
    found = _rotation(questioned, reference, by_tokens=by_tokens, seed=seed) if rotation is None else rotation
    same_width = questioned.width == reference.width
    if found is None and not same_width:
        return NotComparable(
            tier="T0",
            method=KEYED,
            reason="no_shared_vocabulary",
            detail="the models have different widths and too few tokens in common to lay one over the other",
        )
    blocks = tuple(_matched_blocks(anatomies, views, pairs, found, seed, progress))
    if not blocks:
        return NotComparable(
            tier="T0",
            method=KEYED,
            reason="too_little_data",
            detail="no neuron of the questioned model has a best counterpart in the reference",
        )
    rotation, fitted = _best_rotation(blocks, found, same_width=same_width)
    fitted += sum(len(block.ours) + reference.width for block in blocks)
    return LaidOver(blocks=blocks, rotation=rotation, fitted=fitted)


def _evidence(total: KeyedSum, key: ReleaseKey, blocks: Sequence[MatchedBlock]) -> PValue | NotComparable:
    if not total.expected > 0:
        return NotComparable(
            tier="T0",
            method=KEYED,
            reason="too_little_data",
            detail="what is left of the questioned model after the reference is subtracted is zero: it has no dither, "
            "and nothing that could hide one",
        )
    share, lower, upper = total.share()
    rows = sum(len(block.ours) for block in blocks)
    return PValue(
        tier="T0",
        method=KEYED,
        log10_p=total.log10_p,
        null=NULL,
        assumptions=ASSUMPTIONS,
        statistic={
            "z": total.z,
            "weights": float(total.entries),
            "neurons": float(rows),
            "blocks": float(len(blocks)),
            "share": share,
            "share_lower": lower,
            "share_upper": upper,
        },
        detail=f"{total.entries} weights of {rows} matched neurons lean towards the key's signs with z = "
        f"{total.z:.2f}; {share:.2f} [{lower:.2f}, {upper:.2f}] of the released dither is left; the key opens "
        f"commitment {commitment_to(key).commitment}",
    )


def _rotation(questioned: Anatomy, reference: Anatomy, *, by_tokens: bool, seed: int) -> Floats | None:
    """The rotation that lays questioned rows over reference rows, shape (width, width); None for none."""
    if not by_tokens:
        return None
    bases = joint_bases(questioned, reference, size=max(questioned.width, reference.width), seed=seed)
    return None if bases.by_tokens is None else bases.by_tokens[0]


def _matched_blocks(
    anatomies: tuple[Anatomy, Anatomy],
    views: tuple[ModelView, ModelView],
    pairs: Sequence[LayerPair],
    rotation: Floats | None,
    seed: int,
    progress: Progress,
) -> Iterator[MatchedBlock]:
    """Every reference block with its best questioned counterpart, and their neurons matched one to one."""
    basis = random_basis(anatomies[1].width, _SKETCH, np.random.Generator(np.random.Philox(seed)))
    turned = basis if rotation is None else rotation @ basis
    best: dict[int, LayerPair] = {}
    counted = [pair for pair in pairs if pair.established] or list(pairs)
    for pair in counted:
        if pair.reference not in best or best[pair.reference].agreement < pair.agreement:
            best[pair.reference] = pair
    for number, (layer, pair) in enumerate(sorted(best.items())):
        for ours_at, theirs_at in _experts(pair, views):
            ours = _opening(anatomies[0], pair.questioned, ours_at)
            theirs = _opening(anatomies[1], layer, theirs_at)
            rows = _mutual_best(_sketch(ours, turned), _sketch(theirs, basis))
            if len(rows[0]):
                role = opening_role(layer, theirs_at)
                yield MatchedBlock(questioned=ours, reference=theirs, role=role, ours=rows[0], theirs=rows[1])
        progress("matching all neurons", number + 1, len(best))


def _opening(anatomy: Anatomy, layer: int, expert: int) -> Opening:
    found = anatomy.layers[layer]
    fold = fold_of(found.mlp_norm, centred=is_layer_norm(anatomy))
    return Opening(matrix=opening_matrix(found.mlps[expert]), fold=fold)


def _experts(pair: LayerPair, views: tuple[ModelView, ModelView]) -> list[tuple[int, int]]:
    """For each reference expert the questioned one that most of its matched neurons lie in; by number without any."""
    ours, theirs = views[0].neurons[pair.questioned], views[1].neurons[pair.reference]
    votes = np.zeros((len(ours.blocks), len(theirs.blocks)), np.int64)
    here = np.searchsorted(np.cumsum(ours.blocks), ours.index[pair.rows_questioned], side="right")
    there = np.searchsorted(np.cumsum(theirs.blocks), theirs.index[pair.rows_reference], side="right")
    np.add.at(votes, (here, there), 1)
    if not votes.any():
        return [(expert, expert) for expert in range(min(votes.shape))]
    return [(int(votes[:, expert].argmax()), expert) for expert in np.flatnonzero(votes.any(axis=0)).tolist()]


def _sketch(opening: Opening, basis: Floats) -> Floats:
    """Unit signatures of all rows, shape (neurons, k)."""
    seen = opening.fold.basis(basis)
    out = np.empty((opening.matrix.shape[0], basis.shape[1]), np.float32)
    for row, block in opening.matrix.blocks():
        out[row : row + len(block)] = block @ seen
    return unit_rows(out)


def _mutual_best(ours: Floats, theirs: Floats) -> tuple[Ints, Ints]:
    """Rows that are each other's best match, without holding the whole table.

    A tie is broken by place, which costs power and nothing else: the key's signs are independent of every place.
    """
    step = max(1, _BLOCK_BYTES // (4 * len(theirs)))
    forth = np.empty(len(ours), np.int64)
    highest, back = np.full(len(theirs), -np.inf, np.float32), np.zeros(len(theirs), np.int64)
    for start in range(0, len(ours), step):
        cosine = ours[start : start + step] @ theirs.T
        forth[start : start + step] = cosine.argmax(axis=1)
        top = cosine.argmax(axis=0)
        value = cosine[top, np.arange(len(theirs))]
        better = value > highest
        highest[better], back[better] = value[better], start + top[better]
    rows = np.flatnonzero((back[forth] == np.arange(len(ours))) & ours.any(axis=1))
    return rows, forth[rows]


def _best_rotation(
    blocks: Sequence[MatchedBlock], found: Floats | None, *, same_width: bool
) -> tuple[Floats | None, int]:
    """The rotation that leaves least of the questioned rows unexplained, and how many numbers were fitted for it.

    None, the tokens', or one solved from the rows: tokens give the rotation only as well as two embeddings agree,
    matched neurons are far more.
    """
    if found is None:
        return None, 0
    count = -(-_SAMPLE // len(blocks)) + 1
    samples = [block.sample(count) for block in blocks]
    if same_width and _unexplained(samples, None) <= _ALIKE * _unexplained(samples, found):
        return None, 0
    width = blocks[0].reference.matrix.shape[1]
    rows = -(-_ROWS_PER_DIMENSION * width // len(blocks))
    cross, used = np.zeros(found.shape), 0
    for block in blocks:
        ours, theirs = block.sample(rows)
        cross += ours.T @ theirs
        used += len(ours)
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    solved = np.asarray(left @ right, np.float32)
    fitted = width * (width - 1) // 2
    # A fit explains some noise as well, about one part for each number fitted: only what is beyond that counts.
    if _unexplained(samples, solved) < (1 - fitted / (used * width)) * _unexplained(samples, found):
        return solved, fitted
    return found, 0


def _unexplained(samples: Sequence[tuple[Floats, Floats]], rotation: Floats | None) -> float:
    """Sum over blocks of the share of questioned rows that their counterparts, times one slope, do not explain."""
    total = 0.0
    for ours, theirs in samples:
        turned = ours if rotation is None else ours @ rotation
        dot, left, right = (float(np.vdot(a, b)) for a, b in ((turned, theirs), (ours, ours), (theirs, theirs)))
        total += 1 - dot**2 / (left * right) if left > 0 and right > 0 else 1.0
    return total


def residual_parts(block: MatchedBlock, rotation: Floats | None, dither: float) -> Iterator[Part]:
    """What is left of a block's questioned rows, weighted, in row blocks. No key is known here.

    Y is the residual times what the dither would be there, over the square of the residual's usual size in its column,
    every row brought to one size: columns that were changed least are trusted most, and no row outweighs the others.
    """
    gain = block.reference.fold.gain
    step = dither * deviation(block.reference.matrix)
    signal = np.full(block.reference.matrix.shape[1], step) if gain is None else step * gain.astype(np.float64)
    slopes, sizes = _columns(*block.sample(_SAMPLE), rotation)
    scale = np.where(sizes > 0, 1 / np.where(sizes > 0, sizes, 1), 0)
    rows = max(1, _BLOCK_BYTES // (4 * len(signal)))
    for start in range(0, len(block.ours) if scale.any() else 0, rows):
        chosen = slice(start, start + rows)
        ours, theirs = block.questioned.rows(block.ours[chosen]), block.reference.rows(block.theirs[chosen])
        turned = ours if rotation is None else ours @ rotation
        residual = _row_residual(turned, theirs * slopes) * scale
        size = np.sqrt(np.square(residual).mean(axis=1, keepdims=True))
        weight = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0)
        yield Part(
            role=block.role,
            rows=block.theirs[chosen],
            array=residual * weight * (signal * scale),
            expected=float(weight.sum() * np.square(signal * scale).sum()),
        )


def lean(part: Part, secret: bytes) -> KeyedSum:
    """The one place where the key is used: how far a part leans towards its signs."""
    return keyed_sum(keyed_signs(secret, part.role, part.rows, part.array.shape[1]), part.array, part.expected)


def _columns(ours: Floats, theirs: Floats, rotation: Floats | None) -> tuple[Floats, Doubles]:
    """Slope of questioned on reference for each column, and the size of what is left of it; each (width,).

    One slope for each column takes out what a training run did to norm gains.
    """
    turned = ours if rotation is None else ours @ rotation
    square = np.einsum("ij,ij->j", theirs, theirs)
    slopes = np.einsum("ij,ij->j", turned, theirs) / np.where(square > 0, square, 1)
    left = _row_residual(turned, theirs * slopes)
    sizes = np.sqrt(np.square(left, dtype=np.float64).mean(axis=0))
    typical = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
    return slopes, np.where(sizes > 0, np.maximum(sizes, _LEAST * typical), 0.0)


def _row_residual(ours: Floats, theirs: Floats) -> Doubles:
    """Questioned rows less the reference's, each times its own slope: rows may have been rescaled one by one."""
    square = np.einsum("ij,ij->i", theirs, theirs)
    slope = np.einsum("ij,ij->i", ours, theirs) / np.where(square > 0, square, 1)
    return np.asarray(ours - slope[:, None] * theirs, np.float64)
