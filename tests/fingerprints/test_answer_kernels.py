"""Kernels on answers: what everybody says counts for nothing, what few say counts."""

import numpy as np
import pytest

from whorl.fingerprints.answer_kernels import KERNELS, Crowd, item_kernels

COMMON = "the capital of the country is of course the well known city of the north"


def crowd(size: int, *, reference: list[bool] | None = None, groups: list[int] | None = None) -> Crowd:
    chosen = [True] * size if reference is None else reference
    return Crowd.of(np.array(chosen), np.arange(size) if groups is None else np.array(groups))


ALL = crowd(8)


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
    asked = crowd(12, reference=[False] * 6 + [True] * 6)
    assert item_kernels(copies + others, asked)["fourgrams"][0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("given", [[""] * 5, ["a"] * 5, ["", "x", "\ud800", "\x00", "🙂" * 4]])
def test_short_and_odd_answers_have_kernels_too(given: list[str]) -> None:
    for kernel in item_kernels(given, crowd(5)).values():
        assert np.isfinite(kernel).all()


def test_marks_compare_first_and_last_sentences() -> None:
    found = item_kernels(
        ["Sure thing! It is 4. Hope that helps.", "Sure thing! It is 5. Hope that helps.", "No.", "Well: 4"],
        crowd(4),
    )
    assert found["opening"][0, 1] > 0
    assert found["closing"][0, 1] > 0
    assert found["opening"][0, 2] == found["closing"][2, 3] == 0


def grams(text: str, kernel: str) -> dict[object, float]:
    if kernel == "characters":
        runs: list[object] = [text.lower()[place : place + 4] for place in range(len(text) - 3)]
    else:
        words, length = text.split(), 2 if kernel == "bigrams" else 4
        runs = [tuple(words[place : place + length]) for place in range(len(words) - length + 1)]
    counts = {run: runs.count(run) for run in runs}
    return {run: np.sqrt(count) if kernel == "characters" else 1.0 for run, count in counts.items()}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(3))
def test_each_pair_is_weighed_by_reference_texts_of_other_groups_only(kernel: str, seed: int) -> None:
    """Against the definition, written out: a loop over pairs, each with weights of its own."""
    rng = np.random.default_rng(seed)
    given = [" ".join(rng.choice(["ash", "elm", "oak", "fir", "yew"], 18)) for _ in range(13)]
    reference, groups = rng.random(13) < 0.8, rng.integers(0, 5, 13)
    found = item_kernels(given, Crowd.of(reference, groups))[kernel]
    uses = [grams(text, kernel) for text in given]
    for one in range(13):
        for other in range(one):
            others = [k for k in range(13) if reference[k] and groups[k] not in (groups[one], groups[other])]

            def weight(run: object, others: list[int] = others) -> float:
                count = sum(run in uses[k] for k in others)
                rare = 0.0 if count > len(others) / 2 else np.log((len(others) + 3) / (count + 2.5))
                return float(rare ** (2 if kernel == "characters" else 1))

            product = sum(value * uses[other].get(run, 0.0) * weight(run) for run, value in uses[one].items())
            lengths = [sum(value**2 * weight(run) for run, value in uses[k].items()) for k in (one, other)]
            assert found[one, other] == pytest.approx(min(1.0, product / np.sqrt(np.prod(lengths) + 1e-30)), abs=1e-9)


def test_relatives_of_a_model_do_not_change_what_it_has_in_common_with_a_stranger() -> None:
    phrase = "amber thicket beside quiet harbours"
    given = texts(phrase, phrase)
    alone = item_kernels(given, ALL)
    with_relatives = item_kernels([*given, *[f"{COMMON} {phrase}"] * 4], crowd(12, groups=[*range(8), 0, 0, 0, 0]))
    for name, kernel in alone.items():
        assert with_relatives[name][0, 1] == pytest.approx(kernel[0, 1]), name
