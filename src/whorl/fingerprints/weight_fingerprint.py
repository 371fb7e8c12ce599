"""The compact weight fingerprint: under a megabyte for a 7B model, made in one pass, compared without the weights.

The file is a safetensors file (arrays) whose metadata carries a canonical JSON header; its digest is the SHA-256 of its
bytes. The format is specified in ``docs/specs/weight-fingerprint.md``.
"""

import os
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError

from whorl.core.arrays import AnyArray, Floats, Ints
from whorl.core.digest import canonical_json, digest_bytes
from whorl.core.errors import CheckpointError, FingerprintError, InputError
from whorl.core.evidence import Document
from whorl.core.progress import Progress
from whorl.fingerprints.anchors import SIGNS_PER_TOKEN, Anchors, StoredAnchors, choose_anchors
from whorl.fingerprints.container import MAX_BYTES, pack, unpack
from whorl.fingerprints.contents import describe, name_of, norm_gains, vector_digests, vocabulary_of
from whorl.fingerprints.extraction import Features, MatrixRecord, extract, single_threaded_blas
from whorl.fingerprints.frame import FRAME_ANCHORS, embedded_anchors, is_layer_norm, token_frame
from whorl.fingerprints.heads import SKETCH, HeadFeatures
from whorl.fingerprints.model_view import ModelView, Vocabulary
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.weights.anatomy import Anatomy
from whorl.weights.files import read_bounded
from whorl.weights.opening import open_checkpoint
from whorl.weights.roles import anatomy_of

SCHEMA: Final = "whorl.weight_fingerprint/1"
SEARCH_SCHEME: Final = "whorl.weight_fingerprint/1 search vector"
SUFFIX: Final = ".whorl"
NEURONS: Final = 256
JOBS: Final = min(4, os.cpu_count() or 1)
RESIDUAL_DIMENSIONS: Final = 512
RESIDUAL_SKETCH: Final = 64
GAIN_POSITIONS: Final = 1024
SEARCH_SIGNS: Final = 64
SEARCH_DIMENSIONS: Final = SEARCH_SIGNS * (SEARCH_SIGNS + 1) // 2

MOST_LAYERS: Final = 1 << 10

Count = Annotated[int, Field(ge=0, le=1 << 31)]
Share = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[int, Field(ge=1, le=1 << 31)]


class MatrixEntry(Document):
    """`MatrixRecord` as it is stored."""

    role: str
    storage: str
    lossy: bool
    shape: tuple[Count, Count]
    digest: str
    zeros: float = Field(ge=0, le=1)
    levels: float = Field(ge=0)


class VocabularyEntry(Document):
    """`Vocabulary` as it is stored."""

    size: Count
    ordered: str | None
    unordered: str | None


class Header(Document):
    """Everything in a fingerprint that is not an array. Lists run over layers."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True, validate_by_name=True)

    schema_: Literal["whorl.weight_fingerprint/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(max_length=512)
    description: str = Field(max_length=512)
    architecture: str = Field(max_length=128)
    width: Count
    layer_norm: bool
    vocabulary: VocabularyEntry
    anchors_by_string: bool
    neurons: tuple[Count, ...] = Field(max_length=MOST_LAYERS)
    blocks: tuple[tuple[Positive, ...], ...]
    gated: tuple[bool, ...]
    structure: tuple[tuple[Share, Share, Share] | None, ...]
    heads: tuple[tuple[Positive, Count] | None, ...]
    gains: dict[str, Count]
    vectors: dict[str, str]
    matrices: tuple[MatrixEntry, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightFingerprint:
    """A stored fingerprint: header and arrays, identified by the digest of their bytes."""

    header: Header
    arrays: dict[str, AnyArray]

    @property
    def name(self) -> str:
        return self.header.name

    @property
    def digest(self) -> str:
        return digest_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file. The same model gives the same bytes on every run of one machine and numpy build."""
        return pack(canonical_json(self.header.model_dump(mode="json")).decode(), self.arrays)

    def search_vector(self) -> NDArray[np.int8]:
        """Vector of `SEARCH_DIMENSIONS` for 1:N search: how the model's token vectors lie to each other."""
        return np.asarray(self.arrays["search"], np.int8)

    @property
    def anchors(self) -> StoredAnchors:
        hashes = np.ascontiguousarray(self.arrays["anchors"]).view(">u4")[:, 0].astype(np.int64)
        return StoredAnchors(hashes=hashes, by_string=self.header.anchors_by_string)

    def view(self) -> ModelView:
        """What a comparison sees of this fingerprint."""
        header, arrays = self.header, self.arrays
        return ModelView(
            architecture=header.architecture,
            width=header.width,
            layer_norm=header.layer_norm,
            vocabulary=Vocabulary(**header.vocabulary.model_dump()),
            neurons=_stored_neurons(header, arrays),
            heads=_stored_heads(header, arrays),
            records={entry.role: MatrixRecord(**entry.model_dump()) for entry in header.matrices},
            vectors=header.vectors,
            gains=_stored_gains(header, arrays["gains"]),
            residual=arrays["residual"].astype(np.float32),
            basis=None,
            exact=False,
        )


def fingerprint_anatomy(anatomy: Anatomy, *, name: str, progress: Progress, jobs: int = JOBS) -> WeightFingerprint:
    """Fingerprint of a model in one streaming pass."""
    with single_threaded_blas():
        return _fingerprint(anatomy, name, progress, jobs)


def _fingerprint(anatomy: Anatomy, name: str, progress: Progress, jobs: int) -> WeightFingerprint:
    anchors = choose_anchors(anatomy, FRAME_ANCHORS)
    if len(anchors.keys) < 2:
        raise InputError(
            f"{anatomy.source.path}: expected a vocabulary with at least 2 distinct tokens, found {len(anchors.keys)}; "
            "the tokenizer files beside the weights are damaged, get them again"
        )
    vectors, signs = embedded_anchors(anatomy, anchors.rows), anchors.signs()
    if not vectors.any():
        raise InputError(
            f"{anatomy.source.path}: expected token embeddings that differ, found {len(anchors.keys)} anchor tokens "
            "all alike; the embedding is empty or damaged, and no fingerprint can be taken"
        )
    basis = token_frame(vectors, signs)
    (features,) = extract(anatomy, (basis,), neurons=NEURONS, jobs=jobs, progress=progress)
    chosen = np.unique(np.linspace(0, anatomy.width - 1, min(RESIDUAL_DIMENSIONS, anatomy.width)).astype(np.int32))
    arrays = {
        **_neuron_arrays(features),
        **_head_arrays(features),
        "gains": np.concatenate([*_gains(anatomy).values(), np.zeros(0, np.float32)]).astype(np.float16),
        "residual": _int8_rows(vectors.T[chosen] @ signs[:, :RESIDUAL_SKETCH]),
        "anchors": anchors.hashes().astype(">u4").view(np.uint8).reshape(-1, 4),
        "search": _search_vector(vectors, signs[:, :SEARCH_SIGNS]),
    }
    return WeightFingerprint(header=_header(anatomy, name, anchors, features), arrays=arrays)


def fingerprint_checkpoint(path: Path, *, progress: Progress, jobs: int = JOBS) -> WeightFingerprint:
    """Fingerprint of the checkpoint at ``path``, named after its folder or file.

    Raises
    ------
    InputError
        If there is no checkpoint that Whorl reads, or it is broken.
    """
    anatomy = anatomy_of(open_checkpoint(path))
    return fingerprint_anatomy(anatomy, name=name_of(path), jobs=jobs, progress=progress)


def read_fingerprint(path: Path) -> WeightFingerprint:
    """A fingerprint from a file.

    Raises
    ------
    FingerprintError
        If the file is not one, is damaged, or is of another version.
    InputError
        If the file cannot be read.
    """
    try:
        data = read_bounded(path, MAX_BYTES)
    except CheckpointError as error:
        raise FingerprintError(
            f"{path}: expected a readable file of at most {MAX_BYTES} bytes; {error.problem}"
        ) from error
    return parse_fingerprint(data, origin=str(path))


def parse_fingerprint(data: bytes, *, origin: str) -> WeightFingerprint:
    """A fingerprint from bytes; ``origin`` says in errors where they came from."""
    document, arrays = unpack(data, origin=origin)
    try:
        header = Header.model_validate_json(document)
        fingerprint = WeightFingerprint(header=header, arrays=arrays)
        _check_arrays(header, arrays)
    except (ValidationError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise FingerprintError(
            f"{origin}: expected a fingerprint of schema {SCHEMA}, found one whose contents do not fit it ({first}); "
            "make it again with `whorl fingerprint CHECKPOINT -o FILE`"
        ) from error
    if fingerprint.to_bytes() != data:
        raise FingerprintError(f"{origin}: expected a fingerprint in canonical form, found another spelling of one")
    return fingerprint


def _gains(anatomy: Anatomy) -> dict[str, Floats]:
    gains = norm_gains(anatomy)
    return {role: gains[role][_gain_positions(len(gains[role]))] for role in sorted(gains)}


def _gain_positions(width: int) -> Ints:
    return np.unique(np.linspace(0, width - 1, min(GAIN_POSITIONS, width)).astype(np.int64))


def _header(anatomy: Anatomy, name: str, anchors: Anchors, features: Features) -> Header:
    return Header(
        name=name,
        description=describe(anatomy),
        architecture=anatomy.architecture,
        width=anatomy.width,
        layer_norm=is_layer_norm(anatomy),
        vocabulary=VocabularyEntry(**asdict(vocabulary_of(anatomy))),
        anchors_by_string=anchors.by_string,
        neurons=tuple(len(layer.neurons.index) for layer in features.layers),
        blocks=tuple(layer.neurons.blocks for layer in features.layers),
        structure=tuple(layer.neurons.structure for layer in features.layers),
        gated=tuple(bool(layer.neurons.up.any()) for layer in features.layers),
        heads=tuple(
            None if heads is None else (heads.query_key.shape[0], heads.query_key.shape[1])
            for heads in (layer.heads for layer in features.layers)
        ),
        gains={role: len(gain) for role, gain in _gains(anatomy).items()},
        vectors=vector_digests(anatomy),
        matrices=tuple(MatrixEntry(**asdict(record)) for record in features.all_records()),
    )


def _neuron_arrays(features: Features) -> dict[str, AnyArray]:
    taken = [layer.neurons for layer in features.layers]
    views = [np.stack([n.gate, n.up, n.down], axis=1) > 0 for n in taken]
    return {
        "neuron_index": np.concatenate([n.index for n in taken]).astype(np.int32),
        "neuron_bits": np.packbits(np.concatenate(views), axis=2),
        "neuron_norms": np.concatenate([n.norms for n in taken]).clip(0, np.finfo(np.float16).max).astype(np.float16),
    }


def _head_arrays(features: Features) -> dict[str, AnyArray]:
    heads = [layer.heads for layer in features.layers if layer.heads is not None]
    keys = [_int8(h.query_key).ravel() for h in heads]
    values = [_int8(h.output_value) for h in heads]
    return {
        "head_query_key": np.concatenate([*keys, np.zeros(0, np.int8)]),
        "head_output_value": np.concatenate([*values, np.zeros((0, SKETCH), np.int8)]),
    }


def _stored_neurons(header: Header, arrays: dict[str, AnyArray]) -> tuple[NeuronSignatures, ...]:
    ends = np.cumsum([0, *header.neurons])
    signs = np.unpackbits(arrays["neuron_bits"], axis=2).astype(np.float32) * 2 - 1
    return tuple(
        NeuronSignatures(
            index=arrays["neuron_index"][start:end].astype(np.int64),
            gate=signs[start:end, 0],
            up=signs[start:end, 1] * gated,
            down=signs[start:end, 2],
            norms=arrays["neuron_norms"][start:end].astype(np.float32),
            structure=structure,
            blocks=blocks,
        )
        for (start, end), structure, blocks, gated in zip(
            pairwise(ends), header.structure, header.blocks, header.gated, strict=True
        )
    )


def _stored_heads(header: Header, arrays: dict[str, AnyArray]) -> tuple[HeadFeatures | None, ...]:
    found: list[HeadFeatures | None] = []
    key_at = value_at = 0
    for shape in header.heads:
        if shape is None:
            found.append(None)
            continue
        heads, features = shape
        keys = arrays["head_query_key"][key_at : key_at + heads * features].reshape(heads, features)
        values = arrays["head_output_value"][value_at : value_at + heads]
        found.append(
            HeadFeatures(
                query_key=keys.astype(np.float32) / np.float32(127),
                output_value=values.astype(np.float32) / np.float32(127),
            )
        )
        key_at, value_at = key_at + heads * features, value_at + heads
    return tuple(found)


def _stored_gains(header: Header, stored: AnyArray) -> dict[str, Floats]:
    ends = np.cumsum([0, *header.gains.values()])
    return {
        role: stored[start:end].astype(np.float32)
        for role, (start, end) in zip(header.gains, pairwise(ends), strict=True)
    }


def _check_arrays(header: Header, arrays: dict[str, AnyArray]) -> None:
    layers, neurons = len(header.neurons), sum(header.neurons)
    shapes = [shape for shape in header.heads if shape is not None]
    anchors = len(arrays.get("anchors", ()))
    expected = {
        "anchors": ((anchors, 4), "u1"),
        "gains": ((sum(header.gains.values()),), "f2"),
        "head_output_value": ((sum(heads for heads, _ in shapes), SKETCH), "i1"),
        "head_query_key": ((sum(heads * features for heads, features in shapes),), "i1"),
        "neuron_bits": ((neurons, 3, SIGNS_PER_TOKEN // 8), "u1"),
        "neuron_index": ((neurons,), "i4"),
        "neuron_norms": ((neurons, 2), "f2"),
        "residual": ((min(header.width, RESIDUAL_DIMENSIONS), RESIDUAL_SKETCH), "i1"),
        "search": ((SEARCH_DIMENSIONS,), "i1"),
    }
    found = {name: (array.shape, array.dtype.str[1:]) for name, array in arrays.items()}
    if found != expected:
        raise ValueError(f"expected arrays {expected}, found {found}")
    if not len(header.blocks) == len(header.structure) == len(header.gated) == len(header.heads) == layers > 0:
        raise ValueError("the lists over layers differ in length")
    if all(shares is None for shares in header.structure):
        raise ValueError("no layer's structure was measured")
    ends = np.cumsum([0, *header.neurons])
    for (start, end), blocks in zip(pairwise(ends), header.blocks, strict=True):
        index = arrays["neuron_index"][start:end]
        if len(index) and (index[0] < 0 or index[-1] >= sum(blocks) or (np.diff(index) <= 0).any()):
            raise ValueError("a layer's neurons are not ascending positions within it")
    if list(header.gains) != sorted(header.gains):
        raise ValueError("gains are not in order")
    if not all(np.isfinite(arrays[name]).all() for name in ("gains", "neuron_norms")):
        raise ValueError("an array holds NaN or infinity")


def _int8(values: Floats) -> NDArray[np.int8]:
    """Values in [-1, 1] on 255 levels."""
    return np.asarray(np.rint(np.clip(values, -1, 1) * 127), np.int8)


def _int8_rows(rows: Floats) -> NDArray[np.int8]:
    """Rows scaled to their largest value."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return _int8(np.asarray(rows / np.where(largest > 0, largest, 1), np.float32))


def _search_vector(vectors: Floats, signs: Floats) -> NDArray[np.int8]:
    """Upper triangle of ``signs^T (E E^T - 1) signs``: cosines between tokens, mixed by each token's own signs.

    Unchanged by rotation and by the order of the vocabulary; the part every model has (each token's cosine with
    itself) is taken out.
    """
    mixed = signs.T @ vectors
    own = signs.T @ (signs * np.square(vectors).sum(axis=1, keepdims=True))
    triangle = (mixed @ mixed.T - own)[np.triu_indices(SEARCH_SIGNS)]
    return _int8_rows(triangle[None]).ravel()
