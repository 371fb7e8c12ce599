"""How far neurons move when a model is changed in a known way, measured on real children: what power is simulated from.

The numbers are stored as a small document (`DriftDocument`), one entry for each way of changing a model.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from whorl.comparison.alignment import pair_layers
from whorl.core.arrays import Doubles, Floats, Ints
from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.cosines import unit_rows
from whorl.weights.files import read_bounded

SCHEMA: Final = "whorl.drift/1"
LEVELS: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Levels of the stored quantiles."""

FILE: Final = "drifts.json"
_LEAST_NEURONS: Final = 16
_MOST_BYTES: Final = 8 << 20


def _rising(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    if list(quantiles) != sorted(quantiles):
        raise ValueError(f"quantiles do not rise: {quantiles}")
    return quantiles


Cosine = Annotated[float, Field(ge=-1, le=1)]
Quantiles = Annotated[
    tuple[Cosine, ...], Field(min_length=len(LEVELS), max_length=len(LEVELS)), AfterValidator(_rising)
]


class LayerDrift(Document):
    """Cosines of one layer's neurons with their originals, as quantiles over neurons at `LEVELS`, by view.

    Of signatures as they are compared: from stored fingerprints these are cosines of signs.
    """

    gate: Quantiles
    up: Quantiles | None = Field(description="None where the MLP has no gate")
    down: Quantiles
    rank_correlation: Cosine = Field(description="Spearman, mean over pairs of views: who moved far in one and another")
    coloured: float = Field(
        ge=0,
        le=1,
        description="share of the movement that spreads over directions as the parent's neurons do, not evenly",
    )
    kept: float = Field(ge=0, le=1, description="share of taken neurons whose original was taken in the parent, too")


class ChildDrift(Document):
    """One real child, against the parent it was made of; layers first to last."""

    family: str = Field(description="the pre-training run that the parent descends from")
    layers: tuple[LayerDrift, ...] = Field(min_length=1)


class Drift(Document):
    """Real children that were made in one way."""

    change: str = Field(description="completes 'copies of the reference ...': 'fine-tuned for a tenth of ...'")
    access: Literal["weights", "fingerprint"] = Field(description="what the cosines were measured on")
    children: tuple[ChildDrift, ...] = Field(min_length=1)


class DriftDocument(Document):
    """Measured drifts as they are stored."""

    schema_: Literal["whorl.drift/1"] = Field(default=SCHEMA, alias="schema")
    command: str = Field(description="what measured them")
    drifts: tuple[Drift, ...]

    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True, validate_by_name=True)


def read_drifts(path: Path | None = None) -> tuple[Drift, ...]:
    """Drifts stored at ``path``; without one, those that come with this release, none if it has none.

    Raises
    ------
    InputError
        If the file cannot be read or is no such document.
    """
    if path is None:
        packaged = files("whorl.comparison") / FILE
        return _parsed(packaged.read_bytes(), FILE).drifts if packaged.is_file() else ()
    return _parsed(read_bounded(path, _MOST_BYTES), str(path)).drifts


def _parsed(content: bytes, name: str) -> DriftDocument:
    try:
        return DriftDocument.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its top level"
        raise InputError(
            f"{name}: expected a {SCHEMA} document, found a fault at {where} ({first['msg']}); measure the drifts again"
        ) from error


def measure_drift(
    questioned: Sequence[NeuronSignatures], reference: Sequence[NeuronSignatures], pairs: Sequence[tuple[int, int]]
) -> tuple[LayerDrift, ...]:
    """Drift of a real child from its parent, for each pair (child's layer, parent's layer) that is known to correspond.

    The true counterpart of a neuron is the one at its own position: the child must be measured before its neurons are
    moved or its signs turned. Free rewrites leave these cosines as they are, so that the drift holds for rewritten
    children too. Counterparts that were *found* would flatter: those that moved far are not found.

    Raises
    ------
    ValueError
        If a pair of layers has fewer than 16 taken neurons at common positions, or if its neurons demonstrably stand
        elsewhere.
    """
    return tuple(_layer_drift(questioned, reference, *pair) for pair in pairs)


def _layer_drift(
    questioned: Sequence[NeuronSignatures], reference: Sequence[NeuronSignatures], number: int, counterpart: int
) -> LayerDrift:
    ours, theirs = questioned[number], reference[counterpart]
    positions, left, right = np.intersect1d(ours.index, theirs.index, assume_unique=True, return_indices=True)
    if len(positions) < _LEAST_NEURONS:
        raise ValueError(
            f"layers {number} and {counterpart} have {len(positions)} taken neurons at common positions, expected at "
            f"least {_LEAST_NEURONS}"
        )
    found = pair_layers(questioned, reference, number, counterpart, tests=1)
    stayed = (
        np.mean(ours.index[found.rows_questioned] == theirs.index[found.rows_reference]) if found.established else 1
    )
    if stayed < 0.5:
        raise ValueError(f"neurons of layers {number} and {counterpart} were moved; measure before rewriting")
    views = [("gate", ours.gate, theirs.gate), ("up", ours.up, theirs.up), ("down", ours.down, theirs.down)]
    rows = {
        name: (unit_rows(mine[left]), unit_rows(other[right]))
        for name, mine, other in views
        if mine.any() and other.any()
    }
    cosines = {name: _row_cosines(mine, other) for name, (mine, other) in rows.items()}
    quantiles = {name: tuple(np.quantile(values, LEVELS).round(4).tolist()) for name, values in cosines.items()}
    if not {"gate", "down"} <= quantiles.keys():
        raise ValueError(f"layers {number} and {counterpart} have no weights to compare: all are zero")
    return LayerDrift(
        gate=quantiles["gate"],
        up=quantiles.get("up"),
        down=quantiles["down"],
        rank_correlation=round(_rank_correlation(list(cosines.values())), 4),
        coloured=round(float(np.mean([_coloured(*both) for both in rows.values()])), 4),
        kept=round(len(positions) / len(ours.index), 4),
    )


def _row_cosines(ours: Floats, theirs: Floats) -> Doubles:
    cosine: Doubles = np.einsum("ij,ij->i", ours, theirs).astype(np.float64)
    return np.clip(cosine, -1, 1)


def _coloured(ours: Floats, theirs: Floats) -> float:
    """How alike the movement is to neurons that it has nothing to do with, on a scale from even (0) to theirs (1)."""
    own = float(np.square(_row_cosines(ours, theirs)).mean())
    cross, among = (_mean_square(side @ theirs.T) for side in (ours, theirs))
    even = 1 / theirs.shape[1]
    if own >= 1 or among <= even:
        return 0.0
    moved = (cross - own * among) / (1 - own)
    return float(np.clip((moved - even) / (among - even), 0, 1))


def _mean_square(similarity: Floats) -> float:
    """Over all pairs of different neurons."""
    square = np.square(similarity, dtype=np.float64)
    return float((square.sum() - np.trace(square)) / (square.size - len(square)))


def _rank_correlation(views: Sequence[Doubles]) -> float:
    correlations = np.corrcoef([ranks(view) for view in views])
    pairs = correlations[np.triu_indices(len(views), 1)]
    return float(pairs.mean())


def ranks(values: Doubles) -> Ints:
    """Place of every value among all of them, 0 for the smallest."""
    return values.argsort(kind="stable").argsort(kind="stable").astype(np.int64)
