"""T1: are stored bytes or values the same? No null hypothesis is needed: equality is a fact."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whorl.comparison.kinship import LEAST_STRUCTURE
from whorl.core.arrays import Floats
from whorl.core.evidence import Evidence, NotComparable, plain_score
from whorl.fingerprints.extraction import layer_matrices, outer_matrices
from whorl.fingerprints.model_view import ModelView
from whorl.weights.anatomy import Anatomy, Matrix

DIGESTS: Final = "tensor_digests/1"
VALUES: Final = "value_equality/1"
SAMPLE_ROWS: Final = 32
EQUAL_VALUES: Final = 0.3  # siblings here, past their first steps, had at most 0.04 (bf16 rounds small steps away)
MOST_ALIKE: Final = 0.02  # chance of two drawn values being equal; bf16 0.002, int8 0.01, 16 levels 0.09 and more
VARIED_LEVELS: Final = 4.0  # distinct values among neighbours: fewer may be a constant that any two models share


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Outcome of T1.

    ``equal`` names the matrices with the same stored bytes, constant ones left out; ``telling`` those of them in which
    training visibly wrote something, which a common start does not explain; ``equal_values`` is the share of equal
    values among sampled ones that are not zero, of such matrices and of values that do not repeat; ``same`` means
    every tensor and token is equal in value; ``rounded_to`` names the storage to which every sampled reference value
    must be rounded to give the questioned one, where that is so and it changes something.
    """

    evidence: tuple[Evidence, ...]
    equal: tuple[str, ...]
    telling: tuple[str, ...]
    equal_values: float
    same: bool
    rounded_to: str | None


def compare_digests(questioned: ModelView, reference: ModelView) -> Identity:
    """Equality of stored bytes, role by role; all that stored fingerprints can tell."""
    ours, theirs = _identities(questioned), _identities(reference)
    shared = ours.keys() & theirs.keys()
    equal = sum(ours[role] == theirs[role] for role in shared)
    union = len(ours.keys() | theirs.keys())
    share = equal / union
    evidence = plain_score(
        tier="T1",
        method=DIGESTS,
        value=share,
        statistic={"equal": float(equal), "tensors": float(union)},
        detail=f"{equal} of {union} tensors have the same stored bytes in the same role",
    )
    same = ours == theirs and questioned.vocabulary == reference.vocabulary
    matrices = tuple(
        role
        for role, record in questioned.records.items()
        if record.levels >= VARIED_LEVELS and theirs.get(role) == ours[role]
    )
    written = _written(questioned)
    return Identity(
        evidence=(evidence,),
        equal=matrices,
        telling=tuple(role for role in matrices if role in written),
        equal_values=0.0,
        same=same,
        rounded_to=None,
    )


def _written(view: ModelView) -> frozenset[str]:
    """Feed-forward matrices in which structure stands above noise; layers that were not sampled count as the others do.

    Of attention no structure is measured: it may have been frozen at a start that both models had.
    """
    sampled = [layer.structure for layer in view.neurons if layer.structure is not None]
    if not sampled:
        return frozenset()
    usual = np.mean(sampled, axis=0)
    written = set()
    for number, layer in enumerate(view.neurons):
        shares = dict(zip(("gate", "up", "down"), usual if layer.structure is None else layer.structure, strict=True))
        if not layer.up.any():
            shares["up"] = shares["gate"]  # without a gate the first matrix is stored as up
        written |= {
            f"layers.{number}.mlp.{expert}.{part}"
            for expert in range(len(layer.blocks))
            for part, share in shares.items()
            if share >= LEAST_STRUCTURE
        }
    return frozenset(written)


def _identities(view: ModelView) -> dict[str, tuple[str, ...]]:
    """What must be equal for a tensor to be the same: its bytes, and how they are to be read."""
    matrices = {role: (record.digest, record.storage, *map(str, record.shape)) for role, record in view.records.items()}
    return matrices | {role: (digest,) for role, digest in view.vectors.items()}


def compare_values(questioned: Anatomy, reference: Anatomy, views: tuple[ModelView, ModelView]) -> Identity:
    """Equality of digests and, where storage differs, of the values themselves."""
    digests = compare_digests(*views)
    if digests.same:
        return digests
    pairs = _pairs(questioned, reference)
    if not pairs:
        none = NotComparable(
            tier="T1",
            method=VALUES,
            reason="shapes_differ",
            detail="no matrix has the same role and shape in both models",
        )
        return replace(digests, evidence=(*digests.evidence, none))
    written = _written(views[0])
    counts = np.array([_sampled_equality(ours, theirs, told=role in written) for role, ours, theirs in pairs], np.int64)
    values, equal, rounded, filled, kept = (int(count) for count in counts.sum(axis=0))
    share = equal / values
    evidence = plain_score(
        tier="T1",
        method=VALUES,
        value=share,
        statistic={"equal": float(equal), "values": float(values), "equal_after_rounding": float(rounded)},
        detail=f"{equal} of {values} sampled values ({SAMPLE_ROWS} rows of each of {len(pairs)} matrices) are equal",
    )
    storages = {ours.storage for _, ours, _ in pairs}
    covers = len(pairs) == len(views[0].records) == len(views[1].records)
    whole = covers and views[0].vectors == views[1].vectors and views[0].vocabulary == views[1].vocabulary
    same = whole and equal == values and all(_equal_everywhere(ours, theirs) for _, ours, theirs in pairs)
    only_rounded = covers and equal < values == rounded
    return replace(
        digests,
        evidence=(*digests.evidence, evidence),
        equal_values=kept / filled if filled else 0.0,
        same=same,
        rounded_to="/".join(sorted(storages)) if only_rounded else None,
    )


def equal_parts(identity: Identity) -> str | None:
    """What is equal bit for bit inside layers, in words; None where it is too little to mean anything."""
    if identity.telling:
        return f"{len(identity.telling)} of the layers' matrices"
    if identity.equal_values >= EQUAL_VALUES:
        return f"{identity.equal_values:.0%} of sampled values other than zero"
    return None


def without_values(digests: Identity) -> Identity:
    """The same, saying that values could not be compared because a side is a stored fingerprint."""
    if digests.same:
        return digests
    missing = NotComparable(
        tier="T1",
        method=VALUES,
        reason="needs_weights",
        detail="a stored fingerprint holds digests, not values: equal weights in another storage are not recognised",
    )
    return replace(digests, evidence=(*digests.evidence, missing))


def _pairs(questioned: Anatomy, reference: Anatomy) -> list[tuple[str, Matrix, Matrix]]:
    def matrices(anatomy: Anatomy) -> dict[str, Matrix]:
        layers = (layer_matrices(layer, number) for number, layer in enumerate(anatomy.layers))
        return dict([*outer_matrices(anatomy), *(item for layer in layers for item in layer)])

    ours, theirs = matrices(questioned), matrices(reference)
    return [
        (role, ours[role], theirs[role]) for role in ours if role in theirs and ours[role].shape == theirs[role].shape
    ]


def _sampled_equality(ours: Matrix, theirs: Matrix, *, told: bool) -> tuple[int, int, int, int, int]:
    """Counts: values, equal ones, those equal after rounding, those not zero, and equal ones among these.

    The last two are 0 unless the matrix is one whose equality tells something, and where its values are few: of
    ternary weights any two models, and runs of one start above all, have many alike.
    """
    rows = np.unique(np.linspace(0, ours.shape[0] - 1, min(SAMPLE_ROWS, ours.shape[0])).astype(np.int64))
    left, right = ours.rows(rows), theirs.rows(rows)
    rounded = _rounded(right, ours.storage)
    equal, filled = left == right, left != 0
    _, repeats = np.unique(left[filled], return_counts=True)
    if not told or np.square(repeats / max(1, repeats.sum())).sum() > MOST_ALIKE:
        filled = np.zeros_like(filled)
    return (
        left.size,
        int(np.count_nonzero(equal)),
        int(np.count_nonzero(left == rounded)),
        int(np.count_nonzero(filled)),
        int(np.count_nonzero(equal & filled)),
    )


def _rounded(values: Floats, storage: str) -> Floats:
    """Values rounded to nearest even as ``storage`` would hold them; unchanged for any storage but F16 and BF16."""
    if storage == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    if storage == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return values


def _equal_everywhere(ours: Matrix, theirs: Matrix) -> bool:
    return all(
        np.array_equal(left, right) for (_, left), (_, right) in zip(ours.blocks(), theirs.blocks(), strict=True)
    )
