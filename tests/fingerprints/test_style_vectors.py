"""Style vectors: the same everywhere, whatever stands beside a text and whatever the text is."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from whorl.fingerprints.style_vectors import LONGEST_READ, dimensions, style_vectors

COUNTED = 4096 + 8192 + 4096 + 1024 + 1024
HOSTILE = [
    "",
    " ",
    "\n",
    "\n\n\n",
    "\0",
    "\ud800 lone surrogate",
    "漢字かな交じり文",
    "😀😀",
    "İstanbul",
    "a" * 100_000,
    "x\n" * 5_000,
    "." * 5_000,
    "\u0301" * 5_000,
    "\u0085\u2028 x",
]


def dense(texts: list[str]) -> np.ndarray:
    return style_vectors(texts).toarray()


def test_a_vector_does_not_depend_on_the_texts_beside_it() -> None:
    texts = [f"Sure! Item {number}.\n- one\n- two" + " and more" * number for number in range(150)]
    together = dense(texts)
    assert together.shape == (150, dimensions())
    for place in (0, 63, 64, 149):
        assert np.array_equal(together[place], dense([texts[place]])[0])


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    code = (
        "from whorl.fingerprints.style_vectors import style_vectors;"
        "print(style_vectors(['Hello, world']).indices[:8].tolist())"
    )
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (
            found.stdout.strip() == "[1684, 2189, 3265, 4505, 10231, 12779, 12951, 13183]"
        )  # as first recorded: populations are compared across releases


def test_every_kind_of_count_has_length_one_whatever_the_length_of_the_text() -> None:
    short, long = dense(["- a b c\n- d e f", "- a b c\n- d e f\n" * 60])
    edges = np.cumsum([0, 4096, 8192, 4096, 1024, 1024])
    for start, end in pairwise(edges):
        assert np.linalg.norm(short[start:end]) == pytest.approx(1.0, abs=1e-5)
        assert np.linalg.norm(long[start:end]) == pytest.approx(1.0, abs=1e-5)
    assert short[COUNTED:].tolist() != long[COUNTED:].tolist()  # lengths are among the rates


def test_the_same_words_in_another_layout_are_another_style() -> None:
    plain, listed = dense(["one two three four five six", "- one two three\n- four five six"])
    assert plain[:COUNTED] @ listed[:COUNTED] < 0.8 * (plain[:COUNTED] @ plain[:COUNTED])
    lines = slice(COUNTED - 1024, COUNTED)
    assert not plain[lines].any()
    assert listed[lines].any()


@pytest.mark.parametrize("text", HOSTILE)
def test_any_string_is_taken(text: str) -> None:
    assert np.isfinite(dense([text, "beside"])).all()


def test_what_lies_beyond_the_cut_is_not_read() -> None:
    head = "word " * (LONGEST_READ // 5)
    assert np.array_equal(*dense([head, head + "something else entirely. " * 10_000]))


def test_no_texts_are_no_rows() -> None:
    assert style_vectors([]).shape == (0, dimensions())
