"""Kernels on answers: what everybody says counts for nothing, what few say counts."""

import numpy as np
import pytest

from whorl.fingerprints.answer_kernels import KERNELS, item_kernels

COMMON = "the capital of the country is of course the well known city of the north"
ALL = np.ones(8, dtype=bool)


def texts(first: str, second: str) -> list[str]:
    return [f"{COMMON} {first}", f"{COMMON} {second}", *(f"{COMMON} {word * 3}" for word in "qwrtyp")]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_rare_phrase_in_common_counts_and_a_common_one_does_not(kernel: str) -> None:
    shared = "amber thicket beside quiet harbours"
    alike = item_kernels(texts(shared, shared), ALL)[kernel]
    apart = item_kernels(texts(shared, "seven copper lanterns burned brightly"), ALL)[kernel]
    assert alike[0, 1] == pytest.approx(1.0)
    assert apart[0, 1] < 0.2


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_symmetric_cosines(kernel: str) -> None:
    found = item_kernels(texts("one two three four five", "one two three four six"), ALL)[kernel]
    assert found.shape == (8, 8)
    assert np.allclose(found, found.T)
    assert np.allclose(np.diag(found), 1.0)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-12


def test_order_of_the_answers_does_not_matter() -> None:
    given = texts("amber thicket one", "amber thicket two")
    order = np.random.default_rng(0).permutation(8)
    for name, kernel in item_kernels(given, ALL).items():
        moved = item_kernels([given[place] for place in order], ALL)[name]
        assert np.allclose(moved, kernel[np.ix_(order, order)]), name


def test_a_text_is_not_continued_by_its_neighbour() -> None:
    """Answers lie one behind the other in memory; no n-gram reaches over an end."""
    whole = ["amber thicket beside quiet", "harbours amber", *["nothing in common"] * 6]
    swapped = ["harbours amber", "amber thicket beside quiet", *["nothing in common"] * 6]
    assert np.allclose(item_kernels(whole, ALL)["bigrams"][0, 1], item_kernels(swapped, ALL)["bigrams"][0, 1])
    assert item_kernels(whole, ALL)["bigrams"][0, 1] == 0


def test_only_reference_answers_say_what_is_usual() -> None:
    """A crowd of questioned copies must not make their common phrase look usual."""
    copies = [f"{COMMON} amber thicket beside quiet harbours"] * 6
    others = [f"{COMMON} {word * 3}" for word in "qwrtyp"]
    reference = np.array([False] * 6 + [True] * 6)
    assert item_kernels(copies + others, reference)["fourgrams"][0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("given", [[""] * 5, ["a"] * 5, ["", "x", "\ud800", "\x00", "🙂" * 4]])
def test_short_and_odd_answers_have_kernels_too(given: list[str]) -> None:
    for kernel in item_kernels(given, np.ones(5, dtype=bool)).values():
        assert np.isfinite(kernel).all()


def test_marks_compare_first_and_last_sentences() -> None:
    found = item_kernels(
        ["Sure thing! It is 4. Hope that helps.", "Sure thing! It is 5. Hope that helps.", "No.", "Well: 4"],
        np.ones(4, dtype=bool),
    )
    assert found["opening"][0, 1] > 0
    assert found["closing"][0, 1] > 0
    assert found["opening"][0, 2] == found["closing"][2, 3] == 0
