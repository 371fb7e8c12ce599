"""What a comparison sees of one model, from weights at hand or from a stored fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass

from whorl.core.arrays import Floats
from whorl.fingerprints.extraction import MatrixRecord
from whorl.fingerprints.heads import HeadFeatures
from whorl.fingerprints.neurons import NeuronSignatures


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The token strings of a model, as far as a comparison needs them.

    ``size`` counts embedding rows; ``ordered`` and ``unordered`` are digests of the strings with and without their
    ids, both None where the checkpoint has no tokenizer.
    """

    size: int
    ordered: str | None
    unordered: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelView:
    """One side of a comparison.

    Parameters
    ----------
    neurons, heads : one entry per layer; ``heads`` None where attention has no plain heads
    records : identity and profile of every matrix
    vectors : digest of every norm gain and bias, by role
    gains : norm gains (all, or at fixed positions) by role
    residual : shape (dimensions, k), signature of residual dimensions over the anchor tokens
    layer_norm : whether the residual stream is read through LayerNorm
    basis : the basis of the signatures where it is orthogonal, so that rows can be turned back; else None
    exact : True when signatures are inner products of the weights, False when they are signs of them
    """

    architecture: str
    width: int
    layer_norm: bool
    vocabulary: Vocabulary
    neurons: tuple[NeuronSignatures, ...]
    heads: tuple[HeadFeatures | None, ...]
    records: Mapping[str, MatrixRecord]
    vectors: Mapping[str, str]
    gains: Mapping[str, Floats]
    residual: Floats
    basis: Floats | None
    exact: bool
