"""Text kernels: positive semi-definite, one for equal texts, and not ruled by length or padding."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.core.arrays import Doubles
from whorl.statistics.text_kernels import MOST_CHARACTERS, ngram_gram, prefix_gram, text_gram

KERNELS = [prefix_gram, ngram_gram, text_gram]


@pytest.mark.parametrize("kernel", KERNELS)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_gram_matrices_are_kernels(kernel: object, texts: list[str]) -> None:
    assert callable(kernel)
    gram: Doubles = kernel(texts)
    assert gram == pytest.approx(gram.T)
    assert np.diagonal(gram) == pytest.approx(np.ones(len(texts)))
    assert gram.min() >= 0
    assert gram.max() <= 1 + 1e-9
    assert np.linalg.eigvalsh(gram).min() > -1e-9
    for i, one in enumerate(texts):
        for j, other in enumerate(texts):
            assert one != other or gram[i, j] == pytest.approx(1)


def test_prefix_by_hand() -> None:
    # "ab" and its end weigh 1 + 1/2 + 1/3; "ac" likewise; they share the first letter only.
    assert prefix_gram(["ab", "ac"])[0, 1] == pytest.approx(1 / (1 + 1 / 2 + 1 / 3))
    assert prefix_gram(["ab", "a"])[0, 1] == pytest.approx(1 / np.sqrt((1 + 1 / 2 + 1 / 3) * (1 + 1 / 2)))
    assert prefix_gram(["ab", "xb"])[0, 1] == 0
    assert prefix_gram([]).shape == (0, 0)


def test_where_texts_part_is_found_at_every_place() -> None:
    text = "abcdefghijklmnop"
    shared = [prefix_gram([text, text[:place] + "?" + text[place + 1 :]])[0, 1] for place in range(16)]
    assert shared[0] == 0
    assert (np.diff(shared) > 0).all()
    weights = np.cumsum(1 / np.arange(1, 18))
    assert shared[1:] == pytest.approx(weights[:15] / weights[-1])


def test_length_does_not_make_texts_alike() -> None:
    # Padded to one length, the two short texts would agree in all but 3 places, and the long ones in hardly any.
    short, long = ["yes", "no!"], ["".join(np.random.default_rng(s).choice(list("abcdefgh "), 400)) for s in (1, 2)]
    gram = text_gram([*short, *long])
    assert gram[0, 1] < 0.2
    assert gram[0, 2] < 0.2
    alike = text_gram(["The answer is forty-two.", "The answer is forty-two. " + "Let me explain why. " * 20])
    assert alike[0, 1] > gram[0, 1] + 0.2


def test_order_of_words_matters_to_prefixes_and_hardly_to_ngrams() -> None:
    texts = ["alpha beta gamma delta", "delta gamma beta alpha"]
    assert prefix_gram(texts)[0, 1] == 0
    assert ngram_gram(texts)[0, 1] > 0.6


def test_hostile_texts_are_bounded() -> None:
    endless = ["x" * 2_000_000, "x" * 2_000_000 + "y", "\ud800" * 10, "\x03\x00"]
    start = time.perf_counter()
    gram = text_gram(endless)
    assert time.perf_counter() - start < 2
    assert gram[0, 1] == pytest.approx(1), f"nothing beyond {MOST_CHARACTERS} characters is looked at"
    assert np.isfinite(gram).all()
