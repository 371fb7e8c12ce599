"""Numbers and words: bounds round to the safe side, untrusted text shows what it hides."""

from itertools import pairwise
from typing import get_args

import pytest
import sample_findings as samples
from hypothesis import given
from hypothesis import strategies as st

from whorl.comparison.conclusion import claimed_order
from whorl.comparison.pictures import NARROWEST_CELL, layer_picture, score_strip
from whorl.comparison.population import METHOD, ratio_evidence, shipped_population
from whorl.comparison.power import SIMULATED
from whorl.comparison.wording import (
    ALTERNATIVES,
    HEADLINES,
    MEANINGS,
    TIER_QUESTIONS,
    TRANSFORMATIONS,
    at_least,
    at_most,
    bounded,
    evidence_title,
    exact_meaning,
    is_posterior,
    layer_strength,
    least_favourable,
    method_title,
    percent,
    powers,
    ranges,
    result,
    seen,
    sentence,
    visible,
    without_ratio,
)
from whorl.core.evidence import Alternative, Direction, LikelihoodRatio, NotComparable, Relation, Tier, Transformation


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
    assert set(ALTERNATIVES) == set(get_args(Alternative))


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


@pytest.mark.parametrize(
    ("claimed", "central", "shown"),
    [
        (0.87, 5.97, "at least 10^0.8"),
        (0.1, 0.9, "at least 10^0.1"),
        (0.09, 0.9, "about 1"),
        (-0.56, -3.9, "at most 10^-0.5"),
        (-0.04, -1.2, "about 1"),
        (0.0, 0.3, "1 not excluded"),
        (0.0, -0.3, "1 not excluded"),
    ],
)
def test_a_claimed_ratio_is_rounded_towards_1(claimed: float, central: float, shown: str) -> None:
    assert bounded(samples.ratio("independent", central, claimed=claimed)) == shown


@given(st.floats(min_value=-1.13, max_value=1.13))
def test_no_claim_is_larger_in_words_than_in_figures(claimed: float) -> None:
    shown = bounded(samples.ratio("same_seed", 2 if claimed >= 0 else -2, claimed=claimed))
    written = float(shown.partition("^")[2] or 0)
    assert abs(written) <= abs(claimed) + 1e-8
    assert written * claimed >= 0
    assert "-0.0" not in shown


@given(st.floats(min_value=-20, max_value=20))
def test_powers_of_ten_have_no_negative_zero(log10: float) -> None:
    assert powers(log10) != "10^-0.0"
    assert float(powers(log10).removeprefix("10^")) == pytest.approx(log10, abs=0.0501)


def test_a_ratio_in_words_names_alternative_interval_cap_and_population() -> None:
    shown = result(samples.ratio("same_seed", -3.92, claimed=-0.56, caps=(1.17, 0.68)))
    assert shown == (
        "ratio at most 10^-0.5 against a common start alone (central 10^-3.9, 95 % interval 10^-4.3 to 10^-3.5; "
        "cap 10^-0.7; population sha256:5a175a175a17)"
    )


def test_the_least_favourable_ratio_is_the_lowest_and_is_what_the_conclusion_gives() -> None:
    for make in samples.ALL.values():
        finding, headline = make(), least_favourable(make())
        assert (None if headline is None else headline.log10_lr) == finding.conclusion.log10_lr


def test_outcomes_of_the_ratio_method_are_recognised_with_or_without_a_ratio() -> None:
    assert samples.ratio("independent", 1, claimed=0.5).method == samples.no_ratio("x").method == METHOD
    assert samples.no_power().method == samples.power("x", 0.5, 0.4, 0.6).method == SIMULATED
    items = ratio_evidence(shipped_population(), "weights", {})
    assert {type(item) for item in items} == {NotComparable}
    assert without_ratio(samples.finding("none_found", "", evidence=items)) == items
    assert [item.detail.partition(":")[0] for item in items] == [
        f"no ratio against {ALTERNATIVES[alternative]}" for alternative in get_args(Alternative)
    ]


def test_a_comparison_that_gives_scores_gets_a_ratio_that_can_be_said() -> None:
    figures = {"two_view_agreement/1.matched": 1000.0, "two_view_agreement/1.neurons": 1024.0}
    ratio = ratio_evidence(shipped_population(), "weights", figures)[0]
    assert isinstance(ratio, LikelihoodRatio)
    assert bounded(ratio).startswith("at least 10^0.")


@pytest.mark.parametrize(
    ("share", "nearest", "down", "up"),
    [
        (0.0, "0 %", "0 %", "0 %"),
        (0.004, "<1 %", "<1 %", "1 %"),
        (0.0636, "6 %", "6 %", "7 %"),
        (0.07, "7 %", "7 %", "7 %"),
        (0.782, "78 %", "78 %", "79 %"),
        (0.996, ">99 %", "99 %", ">99 %"),
        (1.0, "100 %", "100 %", "100 %"),
    ],
)
def test_whole_percents_never_claim_certainty(share: float, nearest: str, down: str, up: str) -> None:
    assert (percent(share), percent(share, "down"), percent(share, "up")) == (nearest, down, up)


def test_power_is_rounded_to_the_cautious_side() -> None:
    assert seen(samples.power("x", 0.996, 0.782, 0.9991)) == "99 % [78 %, >99 %]"


def test_titles_say_what_a_method_was_asked() -> None:
    assert evidence_title(samples.power("rounded to 3 bits", 0.5, 0.4, 0.6)) == "Simulated copies, rounded to 3 bits"
    assert evidence_title(samples.ratio("same_data", 1, claimed=0.5)).endswith("against " + ALTERNATIVES["same_data"])
    assert evidence_title(samples.coincidences(-9)) == "Index coincidences"


def test_a_direction_by_key_is_no_posterior() -> None:
    certain = Direction(questioned_from_reference=1.0, reference_from_questioned=0.0, common_ancestor=0.0)
    weighed = Direction(questioned_from_reference=0.9, reference_from_questioned=0.02, common_ancestor=0.08)
    assert not is_posterior(certain)
    assert is_posterior(weighed)
    assert claimed_order(weighed) == "questioned_from_reference"
