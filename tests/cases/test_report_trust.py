"""Held-out ratios in a report: the figures are the population's, and the pictures show them."""

import re
from itertools import pairwise
from math import log2
from typing import Any

import pytest

from whorl.cases.report_document import TrustLine
from whorl.cases.report_trust import entropy_rows, entropy_words, odds_words, tippett_rows, trust_line, trust_words
from whorl.cases.report_trust_pictures import entropy_picture, tippett_picture
from whorl.comparison.population import shipped_population
from whorl.dossiers.wording import wording_faults
from whorl.statistics.held_out_ratios import HeldOut
from whorl.statistics.ratio_population import Cell


def cell_with(held_out: HeldOut | None) -> Cell:
    found = shipped_population().cell("weights", "same_seed")
    assert found is not None
    return found.model_copy(update={"held_out": held_out})


# Of ancestor and descendant a quarter at 1/10, the rest at 100; of the alternative nine tenths at 1/10, the rest at 10.
MADE = HeldOut(log10_lr=(-1.0, 1.0, 2.0), share_h1=(0.25, 0.0, 0.75), share_h2=(0.9, 0.1, 0.0))


def line_of(held_out: HeldOut, central: float | None = 1.5) -> TrustLine:
    found = trust_line(cell_with(held_out), central, group="Weights", alternative="A common start alone")
    assert found is not None
    return found


def test_figures_known_answers() -> None:
    line = line_of(MADE)
    cost = (0.25 * log2(11) + 0.75 * log2(1.01) + 0.9 * log2(1.1) + 0.1 * log2(11)) / 2
    # At best 1/10 and 10 are pooled to a quarter, and 100 is never wrong.
    least = (0.25 * log2(5) + log2(1.25)) / 2
    assert line.cllr == pytest.approx(cost)
    assert line.cllr_cal == pytest.approx(cost - least)
    assert line.mean == pytest.approx(0.9 * 0.1 + 0.1 * 10)
    assert line.misleading == pytest.approx((0.25, 0.1))
    assert line.reached == pytest.approx((0.75, 0.0))
    assert line_of(MADE, central=1.0).reached == pytest.approx((0.75, 0.1))
    assert tippett_rows(line) == [
        ("1/100", "1.000", "1.000"),
        ("1/10", "1.000", "1.000"),
        ("1", "0.750", "0.100"),
        ("10", "0.750", "0.100"),
        ("100", "0.750", "0.000"),
    ]
    even = next(row for row in entropy_rows(line) if row[0] == "1 to 1")
    assert even == ("1 to 1", f"{cost:.3f}", f"{line.cllr - line.cllr_cal:.3f}", "1.000")
    assert [odds_words(power) for power in (-2, 0, 1)] == ["1 to 100", "1 to 1", "10 to 1"]


@pytest.mark.parametrize("access", ["weights", "fingerprint"])
@pytest.mark.parametrize("alternative", ["independent", "same_data", "same_seed", "common_ancestor"])
@pytest.mark.parametrize("central", [-7.0, 0.0, 0.4, 12.0, None])
def test_pictures_stay_in_their_frames_and_the_best_is_the_lowest(
    access: Any, alternative: Any, central: float | None
) -> None:
    cell = shipped_population().cell(access, alternative)
    assert cell is not None
    line = trust_line(cell, central, group="Weights", alternative="Another")
    assert line is not None
    shares, entropy = tippett_picture(line), entropy_picture(line)
    if alternative == "common_ancestor":
        assert (shares, entropy) == (None, None)
        assert "bears out nothing" in trust_words(line)
        return
    assert shares is not None
    assert entropy is not None
    for _, own, best, neutral in line.entropy:
        assert best <= own + 1e-9
        assert best <= neutral + 1e-9
    for path in (shares.descent, shares.alternative, entropy.own, entropy.best, entropy.neutral):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
        assert min(numbers) >= min(shares.left, shares.top)
        assert max(numbers) <= max(shares.right, shares.bottom)
    for path in (shares.descent, shares.alternative):
        for letter in "HV":
            steps = [float(number) for number in re.findall(rf"{letter}([\d.]+)", path)]
            assert all(after >= before for before, after in pairwise(steps)), "to the right and down"
        assert path.endswith(f"H{shares.right:g}")
    assert (shares.case_x is None) == (central is None)
    if central is not None:
        assert shares.case_x is not None
        assert shares.left <= shares.case_x <= shares.right
        assert (shares.case_x >= shares.zero) == (central >= 0)
    for text in (trust_words(line), entropy_words(line)):
        assert wording_faults(text) == ()


def test_a_ratio_beyond_the_edge_does_not_look_like_none() -> None:
    far = HeldOut(log10_lr=(-1.0, 0.5, 9.0), share_h1=(0.25, 0.25, 0.5), share_h2=(0.5, 0.5, 0.0))
    picture = tippett_picture(line_of(far))
    assert picture is not None
    middle = (picture.top + picture.bottom) / 2
    assert picture.descent.endswith(f"V{middle:g}H{picture.right:g}"), "half of the ratios are still to come"
    assert picture.alternative.endswith(f"V{picture.bottom:g}H{picture.right:g}")


def test_a_population_of_absurd_ratios_is_shown_as_what_it_is() -> None:
    absurd = line_of(HeldOut(log10_lr=(-100.0, 100.0), share_h1=(1.0, 0.0), share_h2=(0.0, 1.0)))
    assert "their mean is more than 1,000; it should not be above 1" in trust_words(absurd)
    assert absurd.cllr > 300
    assert absurd.misleading == (1.0, 1.0)
    assert entropy_picture(absurd) is not None


def test_a_cell_that_keeps_no_ratios_gives_no_line() -> None:
    assert trust_line(cell_with(None), 1.0, group="Weights", alternative="Another") is None
