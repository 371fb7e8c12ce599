"""Anchor tokens: chosen and signed by their strings alone."""

import hashlib

import numpy as np
import pytest
from generated_models import Sizes, drawn, tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_source import MemorySource

from whorl.core.arrays import Ints
from whorl.fingerprints.anchors import (
    SIGNS_PER_TOKEN,
    Anchors,
    StoredAnchors,
    choose_anchors,
    shared_anchor_count,
    shared_anchors,
    token_vectors,
)
from whorl.weights.anatomy import Anatomy
from whorl.weights.roles import anatomy_of

EMBEDDED = Sizes().vocabulary


def anatomy(vocabulary: tuple[str, ...] | None) -> Anatomy:
    model = drawn("llama", 1)
    return anatomy_of(MemorySource(model.weights, model.config, vocabulary))


def stored(anchors: Anchors) -> StoredAnchors:
    return StoredAnchors(hashes=anchors.hashes(), by_string=anchors.by_string)


def by_hand(purpose: str, token: str) -> bytes:
    return hashlib.sha256(f"whorl.anchor/1\n{purpose}\n{token}".encode()).digest()


def test_anchors_are_the_tokens_that_hash_lowest() -> None:
    chosen = choose_anchors(anatomy(tokens(EMBEDDED)), 20)
    expected = sorted(tokens(EMBEDDED), key=lambda token: by_hand("rank", token))[:20]
    assert chosen.keys == tuple(expected)
    assert [f"token{row}" for row in chosen.rows] == expected


def test_signs_and_hashes_follow_from_the_string() -> None:
    chosen = choose_anchors(anatomy(tokens(EMBEDDED)), 3)
    signs = chosen.signs()
    assert signs.shape == (3, SIGNS_PER_TOKEN)
    for row, token in enumerate(chosen.keys):
        bits = [(byte >> (7 - bit)) & 1 for byte in by_hand("signs", token)[:16] for bit in range(8)]
        assert signs[row].tolist() == [1.0 if bit else -1.0 for bit in bits]
        assert chosen.hashes()[row] == int.from_bytes(by_hand("count", token)[:4])


def permutation(seed: int) -> Ints:
    return np.random.default_rng(seed).permutation(EMBEDDED)


def test_a_permuted_vocabulary_has_the_same_anchors_at_other_rows() -> None:
    plain, order = choose_anchors(anatomy(tokens(EMBEDDED)), 30), permutation(1)
    moved = choose_anchors(anatomy(tuple(np.array(tokens(EMBEDDED))[order])), 30)
    assert moved.keys == plain.keys
    assert order[moved.rows].tolist() == plain.rows.tolist()


def test_an_extended_vocabulary_replaces_few_anchors() -> None:
    plain = choose_anchors(anatomy(tokens(EMBEDDED - 16)), 80)
    longer = choose_anchors(anatomy(tokens(EMBEDDED)), 80)
    assert 64 <= len(set(plain.keys) & set(longer.keys)) < 80
    assert shared_anchor_count(stored(longer), stored(plain)) == len(set(plain.keys) & set(longer.keys))


def test_shared_anchors_are_the_common_tokens_that_hash_lowest_whatever_their_rows() -> None:
    strings, order = tokens(EMBEDDED), permutation(2)
    moved = tuple("unknown" if row < 30 else strings[row] for row in order)
    ours, theirs = shared_anchors(anatomy(strings), anatomy(moved), 50)
    assert [strings[row] for row in ours] == [moved[row] for row in theirs]
    common = sorted(strings[30:], key=lambda token: by_hand("rank", token))
    assert [strings[row] for row in ours] == common[:50]
    back = shared_anchors(anatomy(moved), anatomy(strings), 50)
    assert (back[1].tolist(), back[0].tolist()) == (ours.tolist(), theirs.tolist())


@pytest.mark.parametrize(
    ("vocabulary", "missing"),
    [
        (("", *tokens(EMBEDDED)[1:]), {0}),
        (("token9", *tokens(EMBEDDED)[1:]), {0, 9}),
        (tokens(EMBEDDED + 5), set()),
        (tokens(EMBEDDED - 5), set(range(EMBEDDED - 5, EMBEDDED))),
    ],
    ids=["empty", "repeated", "more strings than rows", "padded embedding"],
)
def test_only_tokens_with_a_string_and_a_row_of_their_own_are_anchors(
    vocabulary: tuple[str, ...], missing: set[int]
) -> None:
    chosen = choose_anchors(anatomy(vocabulary), 10 * EMBEDDED)
    assert set(range(EMBEDDED)) - set(chosen.rows.tolist()) == missing


def test_without_a_tokenizer_tokens_are_known_by_their_number_and_never_mixed_with_strings() -> None:
    models = anatomy(None), anatomy(tokens(EMBEDDED)), anatomy(tuple(f"#{row}" for row in range(EMBEDDED)))
    numbered, named, disguised = (choose_anchors(model, 50) for model in models)
    assert (numbered.by_string, named.by_string, disguised.keys == numbered.keys) == (False, True, True)
    for model, other in zip(models[1:], (named, disguised), strict=True):
        assert len(shared_anchors(models[0], model, 50)[0]) == 0
        assert shared_anchor_count(stored(numbered), stored(other)) == 0
    assert len(shared_anchors(models[0], models[0], 50)[0]) == 50


@given(st.text(max_size=8))
@settings(deadline=None, max_examples=50, derandomize=True)
def test_any_string_can_be_a_token(token: str) -> None:
    odd = Anchors(keys=(token, "\ud800"), rows=np.array([0, 1]), by_string=True)
    assert np.abs(odd.signs()).tolist() == [[1.0] * SIGNS_PER_TOKEN] * 2


@pytest.mark.parametrize("centre_width", [False, True])
def test_token_vectors_are_centred_and_of_length_one(centre_width: bool) -> None:
    model = anatomy(tokens(EMBEDDED))
    rows = np.array([7, 3, 90, 11])
    vectors = token_vectors(model.embedding, rows, None, centre_width=centre_width)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    wanted = model.embedding.rows(rows).astype(np.float64)
    wanted -= wanted.mean(axis=1, keepdims=True) if centre_width else 0
    wanted -= wanted.mean(axis=0, keepdims=True)
    assert vectors == pytest.approx(wanted / np.linalg.norm(wanted, axis=1, keepdims=True), abs=1e-5)


def test_tokens_that_were_never_trained_are_zero_and_not_nan() -> None:
    model = drawn("llama", 1)
    flat = {**model.weights, "model.embed_tokens.weight": np.ones((EMBEDDED, 32), np.float32)}
    same = anatomy_of(MemorySource(flat, model.config, tokens(EMBEDDED)))
    assert not token_vectors(same.embedding, np.arange(9), None, centre_width=False).any()
