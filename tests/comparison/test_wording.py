"""Numbers and words: bounds round to the safe side, untrusted text shows what it hides."""

from itertools import pairwise
from typing import get_args

import pytest
import sample_findings as samples
from hypothesis import given
from hypothesis import strategies as st

from whorl.comparison.pictures import NARROWEST_CELL, layer_picture, score_strip
from whorl.comparison.wording import (
    HEADLINES,
    MEANINGS,
    TIER_QUESTIONS,
    TRANSFORMATIONS,
    at_least,
    at_most,
    exact_meaning,
    layer_strength,
    method_title,
    ranges,
    sentence,
    visible,
)
from whorl.core.evidence import Relation, Tier, Transformation


@pytest.mark.parametrize(
    ("log10_p", "shown"), [(-312.4, "10^-312"), (-4, "10^-4"), (-1.47, "0.034"), (-0.31, "0.49"), (0, "1")]
)
def test_small_probabilities(log10_p: float, shown: str) -> None:
    assert at_most(log10_p) == shown


@given(st.floats(min_value=-3.99, max_value=0))
def test_an_upper_bound_is_never_below_the_value(log10_p: float) -> None:
    assert 10**log10_p <= float(at_most(log10_p)) * (1 + 1e-12)


@given(st.floats(min_value=-3.99, max_value=3.99))
def test_a_lower_bound_is_never_above_the_value(log10_e: float) -> None:
    assert float(at_least(log10_e)) <= 10**log10_e * (1 + 1e-12)


def test_a_weak_position_test_does_not_speak_for_independence() -> None:
    assert "reordered would not either" in exact_meaning(-0.24)
    assert "at most this probability" in exact_meaning(-312.4)


def test_large_e_values_round_down() -> None:
    assert at_least(288.7) == "10^288"
    assert at_least(-5.5) == "10^-6"


def test_every_word_of_the_contract_has_words_for_people() -> None:
    assert set(HEADLINES) == set(MEANINGS) == set(get_args(Relation))
    assert set(TIER_QUESTIONS) == set(get_args(Tier))
    assert set(TRANSFORMATIONS) == set(get_args(Transformation))


@given(st.text())
def test_visible_text_is_one_printable_line(text: str) -> None:
    assert all(character.isprintable() or character.isspace() for character in visible(text))
    assert len(visible(text).splitlines()) <= 1


def test_hidden_characters_are_written_out_and_long_text_is_cut() -> None:
    assert visible("a\x1b[2J\u202eb\nc") == "a\\x1b[2J\\u202eb c"
    assert visible("m" * 500, longest=10) == "mmmmmmmmm…"
    assert visible("Modèle 模型 نموذج") == "Modèle 模型 نموذج"


def test_layer_strength_needs_half_of_the_neurons() -> None:
    strengths = [
        layer_strength(samples.layer(0, reference, share)) for reference, share in ((0, 0.5), (0, 0.49), (None, 0.9))
    ]
    assert strengths == ["matched", "weak", "none"]


def test_ranges_and_titles() -> None:
    assert sentence("no tensor is equal") == "No tensor is equal."
    assert sentence("Supports neither side.") == "Supports neither side."
    assert ranges((9, 3, 7, 8, 3)) == "3, 7-9"
    assert ranges(()) == ""
    assert method_title("index_coincidences/1") == "Index coincidences"


@pytest.mark.parametrize("count", [1, 2, 24, 120, 400])
def test_layers_never_overlap_and_stay_in_the_picture(count: int) -> None:
    finding = samples.finding("derived", "", layers=tuple(samples.layer(n, n, 0.9) for n in range(count)))
    picture = layer_picture(finding)
    assert picture is not None
    starts = [cell.x for cell in picture.questioned]
    gaps = [after - before for before, after in pairwise(starts)]
    assert all(gap >= max(picture.box, NARROWEST_CELL - 0.02) for gap in gaps)
    assert starts[-1] + picture.box < picture.width
    labels = [cell.middle for cell in picture.questioned if cell.label]
    assert all(after - before >= 20 for before, after in pairwise(labels))


def test_no_layers_no_picture() -> None:
    assert layer_picture(samples.inconclusive()) is None


@pytest.mark.parametrize(("value", "axis"), [(0.5, (0, 1)), (-0.5, (-1, 1)), (7.0, (0, 7.015)), (0.0, (0, 1))])
def test_scores_choose_an_axis_that_holds_them(value: float, axis: tuple[float, float]) -> None:
    score = samples.two_view_agreement(0.5).model_copy(
        update={"value": value, "lower": value, "upper": value + 0.015, "unrelated_at_most": None}
    )
    strip = score_strip(score)
    assert (strip.low, strip.high) == axis
    assert 0 <= strip.lower <= strip.value <= strip.upper <= 300
    assert strip.unrelated is None
