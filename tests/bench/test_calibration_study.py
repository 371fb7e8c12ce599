"""The shipped population on the committed measurements: calibrated where no fit looked, and as its page says."""

import re
from pathlib import Path

import pytest

from bench.zoo.study import unpacked
from bench.zoo.study_calibration import TARGET, CellStudy, cell_studies, draw_cells
from whorl.comparison.population import ALTERNATIVES, calibrate, shipped_population
from whorl.statistics.held_out_ratios import held_out_summary
from whorl.statistics.ratio_cost import log_ratio_cost

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "validation-calibration.md").read_text(encoding="utf-8")
NAMES = [f"{access}, {alternative}" for access in ("weights", "fingerprint") for alternative in ALTERNATIVES]


@pytest.fixture(scope="module")
def studies() -> dict[str, CellStudy]:
    found = cell_studies(shipped_population(), unpacked(), worlds=20)
    return {f"{one.cell.access}, {one.cell.alternative}": one for one in found}


def stated(heading: str, one: CellStudy) -> list[str]:
    """The row of a cell in the table below a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    (row,) = re.findall(rf"^\| {one.name[0]} \| {one.name[1]} \| (.*) \|$", section, re.MULTILINE)
    return str(row).split(" | ")


def test_the_population_is_what_the_committed_measurements_give() -> None:
    shipped = shipped_population()
    again = calibrate(unpacked(), name=shipped.name)
    assert [(cell.access, cell.alternative, cell.scores, cell.pairs) for cell in again.cells] == [
        (cell.access, cell.alternative, cell.scores, cell.pairs) for cell in shipped.cells
    ]
    for ours, theirs in zip(again.cells, shipped.cells, strict=True):
        assert ours.whole.slopes == pytest.approx(theirs.whole.slopes, rel=1e-6, abs=1e-9)
        assert ours.whole.intercept == pytest.approx(theirs.whole.intercept, rel=1e-6, abs=1e-9)
    assert f"`{shipped.digest}`" in PAGE


@pytest.mark.parametrize("name", NAMES)
def test_ratios_are_calibrated_on_families_that_no_fit_saw(studies: dict[str, CellStudy], name: str) -> None:
    one = studies[name]
    cost = stated("Cost, and what of it is calibration", one)
    assert one.before.cllr_cal <= TARGET
    assert one.before.cllr_cal == pytest.approx(float(cost[4]), abs=1e-3)
    assert one.before.cllr == pytest.approx(float(cost[2].split()[0]), abs=1e-3)
    for ratios in (one.central, one.bounded):
        assert one.mean(ratios).mean <= 1
        assert not one.mean(ratios).refuted
        assert not one.mean_inverse(ratios).refuted
    means = stated("Are the ratios too large?", one)
    for text, ratios in ((means[0], one.central), (means[1], one.bounded)):
        assert float(text.split()[0]) == pytest.approx(one.mean(ratios).mean, abs=0.006)
    if one.reference is not None:
        assert one.before.cllr_cal < 2 * one.reference.upper


@pytest.mark.parametrize("name", NAMES)
def test_what_the_population_keeps_gives_the_figures_of_the_study(studies: dict[str, CellStudy], name: str) -> None:
    one = studies[name]
    kept = one.cell.held_out
    assert kept is not None
    again = held_out_summary(one.pairs, one.central)
    assert log_ratio_cost(*kept.labelled()) == pytest.approx(log_ratio_cost(*again.labelled()), abs=1e-6)
    assert log_ratio_cost(*kept.labelled()) == pytest.approx(one.before.cllr, abs=0.002)


def test_the_pictures_are_those_of_the_shipped_population() -> None:
    for name, drawn in draw_cells(shipped_population()).items():
        assert f"(images/{name})" in PAGE
        assert (ROOT / "docs" / "images" / name).read_text(encoding="utf-8") == drawn
