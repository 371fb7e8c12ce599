"""What two models changed of a common ancestor, added up weight by weight: as stored, or laid over each other first.

Weights are read in blocks of rows from all three checkpoints at once, so that memory does not grow with the models.
Where the questioned model or the reference was permuted or rotated, the matrices that open its neurons are laid over
the ancestor's, as `whorl.comparison.shares` does, and only those are added up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from whorl.comparison.common_frame import Link, Placed, link, refined_rotation, rows_at
from whorl.core.arrays import Doubles, Floats, Ints
from whorl.core.evidence import NotComparable
from whorl.core.progress import Progress
from whorl.fingerprints.contents import vocabulary_of
from whorl.fingerprints.extraction import extract, layer_matrices, outer_matrices
from whorl.fingerprints.frame import joint_bases, random_basis
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.ancestor import BANDED, LEAST_BLOCKS, SUMS, ChangeProducts, band_sums, block_sums
from whorl.weights.anatomy import BLOCK_BYTES, Anatomy, Matrix

METHOD: Final = "ancestor/1"
SEED: Final = 20261127
IN_PLACE: Final = 0.7  # cosine with the ancestor: long training makes 0.77, a second run of its start 0.66
BASIS: Final = 256
NEURONS: Final = 1024
BAND_ROWS: Final = 512  # of a matrix, evenly spaced: singular values of more cost too much
BAND_MATRICES: Final = 56
PARTS: Final = 8  # of the rows of a laid-over layer: few models have layers enough for a jackknife

Pairing: TypeAlias = Literal["as_stored", "reordered", "rotated"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """Sums of products, and how the models were laid over each other.

    Parameters
    ----------
    products : of the changes
    pairing : how the questioned model, and how the reference, lies over the ancestor
    left_out : roles that were not added up, for people
    """

    products: ChangeProducts
    pairing: tuple[Pairing, Pairing]
    left_out: tuple[str, ...]


def changes_from(
    ancestor: Anatomy, questioned: Anatomy, reference: Anatomy, *, jobs: int, progress: Progress
) -> Changes | NotComparable:
    """Products of the changes that made two models from an ancestor.

    Weights are taken as stored where both models lie in the ancestor's coordinates, each with a cosine of `IN_PLACE`
    with it over all weights; otherwise neurons are matched and, where the width was turned, a rotation is solved.
    """
    problem = _shapes(ancestor, questioned, reference)
    if problem is not None:
        return _refused("shapes_differ", problem)
    coarse = sorted({role for role, matrix in _matrices(ancestor) if matrix.lossy})
    if coarse:
        return _refused(
            "not_validated",
            f"the ancestor is stored in a quantised form ({coarse[0]} and {len(coarse) - 1} more): its rounding is in "
            "both changes and makes siblings look related; name the release that was not quantised",
        )
    stored = _as_stored(ancestor, questioned, reference, progress)
    if stored is not None:
        return stored
    return _laid_over(ancestor, questioned, reference, jobs=jobs, progress=progress)


def _refused(reason: Literal["shapes_differ", "not_validated", "too_little_data"], detail: str) -> NotComparable:
    return NotComparable(tier="T4", method=METHOD, reason=reason, detail=detail)


def _shapes(ancestor: Anatomy, questioned: Anatomy, reference: Anatomy) -> str | None:
    """Why the three cannot be subtracted from each other, or None."""
    expected = {role: matrix.shape for role, matrix in _matrices(ancestor) if role.startswith("layers.")}
    for name, other in (("questioned model", questioned), ("reference", reference)):
        found = {role: matrix.shape for role, matrix in _matrices(other) if role.startswith("layers.")}
        if other.width != ancestor.width:
            return f"the {name} is {other.width} wide and the ancestor {ancestor.width}: weights cannot be subtracted"
        for role in sorted(expected.keys() | found.keys()):
            if expected.get(role) != found.get(role):
                return (
                    f"{role} has shape {found.get(role)} in the {name} and {expected.get(role)} in the ancestor: "
                    "weights cannot be subtracted"
                )
    return None


def _matrices(anatomy: Anatomy) -> Iterator[tuple[str, Matrix]]:
    yield from outer_matrices(anatomy)
    for number, layer in enumerate(anatomy.layers):
        yield from layer_matrices(layer, number)


def _as_stored(ancestor: Anatomy, questioned: Anatomy, reference: Anatomy, progress: Progress) -> Changes | None:
    """Every matrix that all three have, position by position; None where one of them lies otherwise."""
    theirs, ours = dict(_matrices(reference)), dict(_matrices(questioned))
    orders = [vocabulary_of(anatomy).ordered for anatomy in (ancestor, questioned, reference)]
    tokens_agree = len(set(orders)) == 1
    blocks, bands, left_out, weights = [], [], [], 0
    roles = list(_matrices(ancestor))
    apart = _evenly([number for number, (role, _) in enumerate(roles) if role.startswith("layers.")], BAND_MATRICES)
    for done, (role, matrix) in enumerate(roles):
        three = (matrix, ours.get(role), theirs.get(role))
        inside = role.startswith("layers.")
        if three[1] is None or three[2] is None or len({m.shape for m in three if m is not None}) > 1:
            left_out.append(f"{role}: not of one shape in all three")
        elif not inside and role != "positions" and not tokens_agree:
            left_out.append(f"{role}: the tokens are not the same in all three")
        else:
            sums = np.zeros(SUMS)
            for piece in _pieces(three[0], three[1], three[2]):
                sums += block_sums(*piece)
            if inside and _apart(sums):
                return None
            blocks.append(sums)
            rows = np.array(_evenly(range(matrix.shape[0]), BAND_ROWS))
            bands.append(
                band_sums(*(m.rows(rows) for m in three if m is not None)) if done in apart else np.zeros(BANDED)
            )
            weights += matrix.shape[0] * matrix.shape[1]
        progress("changes from the ancestor", done + 1, len(roles))
    if len(blocks) < LEAST_BLOCKS or _apart(np.sum(blocks, axis=0)):
        return None
    return Changes(
        products=ChangeProducts(sums=np.array(blocks), bands=np.array(bands), weights=weights),
        pairing=("as_stored", "as_stored"),
        left_out=tuple(left_out),
    )


def _evenly(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of the numbers, evenly spaced."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[place] for place in np.linspace(0, len(numbers) - 1, most).astype(int)]


def _apart(sums: Doubles) -> bool:
    """Whether one of the two models has too little in common with the ancestor, position by position."""
    ss, vv, _, sa, va, aa = sums[:6]
    for own, with_ancestor in ((ss, sa), (vv, va)):
        square = aa + 2 * with_ancestor + own
        if aa > 0 and (aa + with_ancestor) < IN_PLACE * np.sqrt(aa * max(square, 0.0)):
            return True
    return False


def _pieces(*matrices: Matrix) -> Iterator[tuple[Floats, ...]]:
    """The same rows of several matrices of one shape, about `BLOCK_BYTES` of each at a time."""
    height, width = matrices[0].shape
    step = max(1, BLOCK_BYTES // (4 * max(1, width)))
    if any(matrix.transposed for matrix in matrices):  # each piece would read the whole matrix again
        whole = [matrix.rows(np.arange(height)) for matrix in matrices]
        for start in range(0, height, step):
            yield tuple(rows[start : start + step] for rows in whole)
        return
    for start in range(0, height, step):
        at = np.arange(start, min(start + step, height))
        yield tuple(matrix.rows(at) for matrix in matrices)


def _laid_over(
    ancestor: Anatomy, questioned: Anatomy, reference: Anatomy, *, jobs: int, progress: Progress
) -> Changes | NotComparable:
    """Gate rows of the three, neuron by neuron in the ancestor's coordinates."""
    generator = np.random.Generator(np.random.Philox(SEED))
    basis = random_basis(ancestor.width, BASIS, np.random.Generator(np.random.Philox(SEED)))
    (features,) = extract(ancestor, [basis], neurons=NEURONS, jobs=jobs, progress=progress)
    hub = tuple(layer.neurons for layer in features.layers)
    links = [
        _link(model, ancestor, hub, basis, generator=generator, jobs=jobs, progress=progress)
        for model in (questioned, reference)
    ]
    for name, found in zip(("questioned model", "reference"), links, strict=True):
        if found is None:
            return _refused(
                "not_validated",
                f"the {name} could not be laid over the ancestor, neither as stored nor through its neurons and "
                "tokens: whether it descends from it has to be established first (whorl compare)",
            )
    placed = [
        _Laid(model=model, link=found, rotation=_refined(model, ancestor, found))
        for model, found in zip((questioned, reference), links, strict=True)
        if found is not None
    ]
    blocks, bands, weights = [], [], 0
    for layer in range(len(ancestor.layers)):
        at = _common_rows(placed, layer)
        if len(at) < 2 * PARTS:
            continue
        theirs = rows_at(ancestor, layer, at, None, basis)
        ours, others = (_rows_of(one, layer, at, basis) for one in placed)
        parts = [(theirs[p::PARTS], ours[p::PARTS], others[p::PARTS]) for p in range(PARTS)]
        blocks += [block_sums(*part) for part in parts]
        # Directions need all rows of a layer: of a few rows, major and minor ones are hardly apart.
        bands += [band_sums(theirs, ours, others), *([np.zeros(BANDED)] * (PARTS - 1))]
        weights += theirs.size
    if len(blocks) < LEAST_BLOCKS:
        return _refused("too_little_data", "fewer than 16 neurons of every layer have a counterpart in all three")
    if _apart(np.sum(blocks, axis=0)):
        return _refused(
            "not_validated",
            "laid over each other, one of the two models has too little in common with the named ancestor "
            f"(cosine below {IN_PLACE}): it is not shown to come from it",
        )
    return Changes(
        products=ChangeProducts(sums=np.array(blocks), bands=np.array(bands), weights=weights),
        pairing=(placed[0].link.kind, placed[1].link.kind),
        left_out=("all but the matrices that open neurons: the others can be rescaled freely",),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Laid:
    """A model, how it lies over the ancestor, and the rotation into the ancestor's coordinates."""

    model: Anatomy
    link: Link
    rotation: Floats | None


def _link(
    model: Anatomy,
    ancestor: Anatomy,
    hub: tuple[NeuronSignatures, ...],
    basis: Floats,
    *,
    generator: np.random.Generator,
    jobs: int,
    progress: Progress,
) -> Link | None:
    joint = joint_bases(model, ancestor, size=model.width, seed=SEED)
    rotation = None if joint.by_tokens is None else joint.by_tokens[0]
    bases = [basis] if rotation is None else [basis, rotation @ basis]
    views = [
        tuple(layer.neurons for layer in features.layers)
        for features in extract(model, bases, neurons=NEURONS, jobs=jobs, progress=progress)
    ]
    turned = views[1] if rotation is not None else None
    return link(views[0], turned, rotation, hub, generator=generator, progress=progress)


def _refined(model: Anatomy, ancestor: Anatomy, found: Link) -> Floats | None:
    if found.rotation is None:
        return None
    return refined_rotation(model, found.rotation, [Placed(anatomy=ancestor, rotation=None, pairs=found.pairs)])


def _common_rows(placed: list[_Laid], layer: int) -> Ints:
    """The ancestor's neurons of a layer that both models have."""
    found = [
        np.concatenate([np.zeros(0, np.int64), *(p.counterpart for p in one.link.pairs if p and p.layer == layer)])
        for one in placed
    ]
    return np.intersect1d(found[0], found[1])


def _rows_of(one: _Laid, layer: int, at: Ints, basis: Floats) -> Floats:
    """A model's rows for the ancestor's neurons ``at`` of a layer."""
    number, pairs = next((n, p) for n, p in enumerate(one.link.pairs) if p is not None and p.layer == layer)
    order = np.argsort(pairs.counterpart, kind="stable")
    place = order[np.searchsorted(pairs.counterpart[order], at)]
    return rows_at(one.model, number, pairs.questioned[place], one.rotation, basis)
