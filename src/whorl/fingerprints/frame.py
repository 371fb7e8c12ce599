"""Bases in which a rotated model looks like its original.

The residual stream of a pre-norm transformer can be rotated freely (``E -> E R``, every reader ``W -> W R``, every
writer ``W -> R^T W``). A *basis* is a matrix ``B`` of shape (width, k) that turns along, ``B -> R^T B``: then a
reader's signature ``W B`` and a writer's ``W^T B`` do not change at all. Two ways to get one:

- `token_frame`, from the model alone: directions named by anchor tokens (for stored fingerprints);
- `joint_bases`, from two models: the rotation that lays one embedding over the other (when both weights are at hand).

Either way the basis comes from the embedding and unembedding only; what it is used to score (MLP, attention) is the
other half of the evidence.
"""

from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import Floats, Ints
from whorl.fingerprints.anchors import shared_anchors, token_vectors
from whorl.weights.anatomy import Anatomy

FRAME_ANCHORS = 2048
JOINT_ANCHORS = 8192
RIDGE = 0.3  # of the mean eigenvalue
RESIDUAL_SKETCH = 256
HELD_OUT = 8  # every eighth shared token tests the rotation instead of making it
LEAST_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JointBases:
    """Two models laid over each other, in one way or in two.

    ``by_tokens``: the rotation solved from tokens that both models know, None where they share fewer than 16.
    ``as_stored``: no rotation at all, None where the widths differ. It finds common layers behind a replaced
    embedding, as long as the residual stream was not rotated.

    Parameters
    ----------
    by_tokens, as_stored : bases of the questioned and the reference model, of shape (width, k) each
    residual_questioned, residual_reference : shape (width, `RESIDUAL_SKETCH`), signatures of the residual dimensions;
        without rows where no tokens are shared
    shared_tokens : how many tokens both models know
    fit : mean cosine of rotated and reference vectors of tokens that were held out of the solution
    fit_by_chance : what it stays below if the tokens do not correspond at all
    """

    by_tokens: tuple[Floats, Floats] | None
    as_stored: tuple[Floats, Floats] | None
    residual_questioned: Floats
    residual_reference: Floats
    shared_tokens: int
    fit: float
    fit_by_chance: float


def embedded_anchors(anatomy: Anatomy, rows: Ints) -> Floats:
    """Unit token vectors of shape (tokens, width) as the first layer reads them."""
    return token_vectors(anatomy.embedding, rows, None, centre_width=is_layer_norm(anatomy))


def token_frame(vectors: Floats, signs: Floats) -> Floats:
    """Basis of shape (width, k) out of anchor token vectors (tokens, width) and their signs (tokens, k).

    ``E^T (E E^T + ridge)^-1 signs``: a ridge-whitened sum of token vectors. Without whitening a few dominant directions
    that all language models share would make unrelated models look alike.
    """
    gram = vectors @ vectors.T
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / min(vectors.shape)
    return np.ascontiguousarray(vectors.T @ np.linalg.solve(gram, signs), np.float32)


def joint_bases(questioned: Anatomy, reference: Anatomy, *, size: int, seed: int) -> JointBases:
    """Bases that lay two models over each other.

    The rotation is the orthogonal Procrustes solution over the tokens both models know (embedding, and unembedding
    with the final gain folded where either model has one of its own). Tokens held out of the solution say whether the
    strings correspond at all: they do for any two language models of one language, and do not if a tokenizer was
    falsified.

    References
    ----------
    Schoenemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 31(1), 1966.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    basis = random_basis(reference.width, size, generator)
    as_stored = (basis, basis) if questioned.width == reference.width else None
    rows_q, rows_r = shared_anchors(questioned, reference, JOINT_ANCHORS)
    if len(rows_q) < LEAST_TOKENS:
        none = np.zeros((0, RESIDUAL_SKETCH), np.float32)
        return JointBases(
            by_tokens=None,
            as_stored=as_stored,
            residual_questioned=none,
            residual_reference=none,
            shared_tokens=len(rows_q),
            fit=0.0,
            fit_by_chance=1.0,
        )
    signs = generator.choice(np.array([-1, 1], np.float32), (len(rows_q), RESIDUAL_SKETCH))
    held_out = np.arange(len(rows_q)) % HELD_OUT == 0
    pairs = [(embedded_anchors(questioned, rows_q), embedded_anchors(reference, rows_r))]
    residual = pairs[0][0].T @ signs, pairs[0][1].T @ signs
    cross = pairs[0][0][~held_out].T @ pairs[0][1][~held_out]
    tests = [(pairs[0][0][held_out], pairs[0][1][held_out])]
    del pairs
    if questioned.unembedding is not None or reference.unembedding is not None:
        ours, theirs = _unembedded(questioned, rows_q), _unembedded(reference, rows_r)
        cross += ours[~held_out].T @ theirs[~held_out]
        tests.append((ours[held_out], theirs[held_out]))
        del ours, theirs
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    cosines = np.concatenate([np.einsum("ij,ij->i", (q @ left) @ right, r) for q, r in tests])
    return JointBases(
        by_tokens=(left @ (right @ basis), basis),
        as_stored=as_stored,
        residual_questioned=residual[0],
        residual_reference=residual[1],
        shared_tokens=len(rows_q),
        fit=float(cosines.mean()),
        # Cosines of independent directions have variance 1 / width; tokens of one text are not independent, hence 5.
        fit_by_chance=5 / float(np.sqrt(len(cosines) * min(questioned.width, reference.width))),
    )


def unlinked_bases(questioned: Anatomy, reference: Anatomy, *, size: int, seed: int) -> tuple[Floats, Floats]:
    """Bases for models whose residual streams nothing links: a match would count, a miss means nothing."""
    wide = random_basis(max(questioned.width, reference.width), size, np.random.Generator(np.random.Philox(seed)))
    return wide[: questioned.width], wide[: reference.width]


def random_basis(width: int, size: int, generator: np.random.Generator) -> Floats:
    """Basis of shape (width, k) that keeps inner products: the identity where it fits, else Gaussian columns."""
    if width <= size:
        return np.eye(width, dtype=np.float32)
    return generator.standard_normal((width, size), np.float32) / np.float32(np.sqrt(size))


def is_layer_norm(anatomy: Anatomy) -> bool:
    """Whether the residual stream is read through LayerNorm, which never sees the all-ones direction."""
    return anatomy.final_norm is not None and anatomy.final_norm.kind == "layer"


def _unembedded(anatomy: Anatomy, rows: Ints) -> Floats:
    matrix = anatomy.embedding if anatomy.unembedding is None else anatomy.unembedding
    gain = None if anatomy.final_norm is None else anatomy.final_norm.gain
    return token_vectors(matrix, rows, gain, centre_width=is_layer_norm(anatomy))
