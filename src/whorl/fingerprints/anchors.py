"""Anchor tokens: the tokens by whose embeddings two models can be laid over each other.

A token is known by its string, never by its id, so anchors survive a permuted, extended or trimmed vocabulary. Which
tokens are anchors, and the random signs that go with each, follow from the hash of the string alone: every model
picks the same ones without knowing of the others.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import Floats, Ints
from whorl.statistics.cosines import unit_rows
from whorl.weights.anatomy import Anatomy, Matrix

SIGNS_PER_TOKEN = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Anchors:
    """Anchor tokens of one model, in hash order.

    ``keys`` are the token strings, ``rows`` their rows in the embedding, ``by_string`` False where the checkpoint has
    no tokenizer and a token is known by its id only.
    """

    keys: tuple[str, ...]
    rows: Ints
    by_string: bool

    def signs(self) -> Floats:
        """Random signs of shape (tokens, `SIGNS_PER_TOKEN`), fixed by each token's string."""
        digests = b"".join(_hash("signs", key)[: SIGNS_PER_TOKEN // 8] for key in self.keys)
        bits = np.unpackbits(np.frombuffer(digests, np.uint8)).reshape(len(self.keys), SIGNS_PER_TOKEN)
        return bits.astype(np.float32) * 2 - 1

    def hashes(self) -> Ints:
        """32 bits of each token's hash, shape (tokens,): enough to count shared tokens, too little to list them."""
        return np.array([int.from_bytes(_hash("count", key)[:4]) for key in self.keys], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredAnchors:
    """What a fingerprint keeps of its anchors: 32 bits of each token's hash, shape (tokens,)."""

    hashes: Ints
    by_string: bool


def choose_anchors(anatomy: Anatomy, count: int) -> Anchors:
    """The ``count`` tokens whose strings hash lowest; empty and repeated strings are left out."""
    known = _rows_by_token(anatomy)
    keys = _lowest(known, count)
    return Anchors(
        keys=keys, rows=np.array([known[key] for key in keys], np.int64), by_string=anatomy.vocabulary is not None
    )


def shared_anchors(questioned: Anatomy, reference: Anatomy, count: int) -> tuple[Ints, Ints]:
    """Embedding rows, in the same order, of up to ``count`` tokens that both models know, those that hash lowest."""
    if (questioned.vocabulary is None) != (reference.vocabulary is None):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    ours, theirs = _rows_by_token(questioned), _rows_by_token(reference)
    keys = _lowest(ours.keys() & theirs.keys(), count)
    return np.array([ours[key] for key in keys], np.int64), np.array([theirs[key] for key in keys], np.int64)


def _rows_by_token(anatomy: Anatomy) -> dict[str, int]:
    """Embedding row of every token string that occurs once; ids as strings where there is no tokenizer."""
    embedded = anatomy.embedding.shape[0]
    if anatomy.vocabulary is None:
        return {f"#{row}": row for row in range(embedded)}
    first: dict[str, int] = {}
    repeated: set[str] = {""}
    for row, token in enumerate(anatomy.vocabulary[:embedded]):
        if first.setdefault(token, row) != row:
            repeated.add(token)
    return {token: row for token, row in first.items() if token not in repeated}


def _lowest(tokens: Iterable[str], count: int) -> tuple[str, ...]:
    return tuple(token for _, token in sorted((_hash("rank", token), token) for token in tokens)[:count])


def shared_anchor_count(questioned: StoredAnchors, reference: StoredAnchors) -> int:
    """How many anchor tokens two models have in common, by their hashes."""
    if questioned.by_string != reference.by_string:
        return 0
    return len(np.intersect1d(questioned.hashes, reference.hashes))


def token_vectors(matrix: Matrix, rows: Ints, gain: Floats | None, *, centre_width: bool) -> Floats:
    """Token vectors of shape (tokens, width): folded, centred over tokens, each of length 1.

    Centring removes the direction that every token shares, the unit length removes token frequency; both commute with a
    rotation of the residual stream. ``centre_width`` removes the direction that LayerNorm never sees.
    """
    order = np.argsort(rows, kind="stable")
    vectors = np.empty((len(rows), matrix.shape[1]), np.float32)
    vectors[order] = matrix.rows(rows[order])
    if gain is not None:
        vectors *= gain
    if centre_width:
        vectors -= vectors.mean(axis=1, keepdims=True)
    vectors -= vectors.mean(axis=0, keepdims=True)
    # A token that was never trained may equal the mean: it becomes a zero row and carries no weight.
    return unit_rows(vectors)


def _hash(purpose: str, token: str) -> bytes:
    return hashlib.sha256(f"whorl.anchor/1\n{purpose}\n{token}".encode("utf-8", "surrogatepass")).digest()
