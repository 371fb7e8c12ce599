"""Calibrated ratios: never without data, never beyond their caps, never favouring on average what is not so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zoos import agreement, ascent, inherited, kindred, measured, of_score, swapped, world

from whorl.comparison.figures import MeasuredPair
from whorl.comparison.population import (
    ALTERNATIVES,
    calibrate,
    cell_data,
    direction_of,
    population_bytes,
    population_ratios,
    ratio_evidence,
    read_population,
    shipped_population,
)
from whorl.core.errors import InputError
from whorl.core.evidence import Alternative, LikelihoodRatio, NotComparable
from whorl.statistics.calibration import held_out_log10_lr
from whorl.statistics.ratio_population import Population

DERIVED = of_score(3.0) | inherited(0.95, 0.95, one_sided=0.04) | ascent(0.04, 0.9, 0.1)
SIBLING = of_score(0.0) | inherited(0.3, 0.7) | ascent(0.0)


@pytest.fixture(scope="module")
def whole() -> Population:
    """Every cell from weights, none from fingerprints."""
    rng = np.random.default_rng(1)
    return calibrate([*kindred(rng, 12), *world(rng, 30)], name="made up")


def items(population: Population, figures: dict[str, float]) -> dict[Alternative, LikelihoodRatio | NotComparable]:
    return dict(zip(ALTERNATIVES, ratio_evidence(population, "weights", figures), strict=True))


def test_a_cell_without_data_is_absent_and_says_so() -> None:
    population = calibrate(world(np.random.default_rng(2), 8), name="strangers only")
    assert [(cell.access, cell.alternative) for cell in population.cells] == [("weights", "independent")]
    found = items(population, DERIVED)
    assert isinstance(found["independent"], LikelihoodRatio)
    for alternative in ("same_data", "same_seed", "common_ancestor"):
        item = found[alternative]  # type: ignore[index]
        assert isinstance(item, NotComparable)
        assert item.reason == "not_validated"
    for item in ratio_evidence(population, "fingerprint", DERIVED):
        assert isinstance(item, NotComparable)
        assert item.reason == "not_validated"
    assert set(population_ratios(population, "weights", DERIVED)) == {"independent"}
    assert population_ratios(population, "fingerprint", DERIVED) == {}
    assert direction_of(population, "weights", DERIVED) is None


def test_every_cell_that_is_filled_gives_a_ratio_with_its_caps_and_its_population(whole: Population) -> None:
    assert {cell.alternative for cell in whole.cells} == {"independent", "same_seed", "common_ancestor"}
    found = items(whole, DERIVED)
    for alternative in ("independent", "same_seed", "common_ancestor"):
        item = found[alternative]  # type: ignore[index]
        assert isinstance(item, LikelihoodRatio)
        assert item.alternative == alternative
        assert item.population == whole.digest
        assert item.families[0] >= 12
        assert item.log10_lr > 0
    against = items(whole, SIBLING)["same_seed"]
    assert isinstance(against, LikelihoodRatio)
    assert against.log10_lr < 0


def test_a_comparison_that_gave_no_figures_gets_no_ratio_and_no_failure(whole: Population) -> None:
    for item in ratio_evidence(whole, "weights", {}):
        assert isinstance(item, NotComparable)
        assert item.reason in ("too_little_data", "not_validated")
    found = items(whole, agreement(10))
    assert isinstance(found["independent"], LikelihoodRatio)
    assert isinstance(found["same_seed"], NotComparable)
    assert direction_of(whole, "weights", agreement(10)) is None


def test_models_that_hardly_learned_get_no_ratio_against_a_common_start(whole: Population) -> None:
    barely = DERIVED | {"matched_weights/1.structure": 0.001}
    well = DERIVED | {"matched_weights/1.structure": 0.5}
    assert "same_seed" not in population_ratios(whole, "weights", barely)
    assert "same_seed" in population_ratios(whole, "weights", well)


EXTREMES = [
    agreement(0) | inherited(0, 9) | ascent(-99, -99, -99),
    agreement(1000) | inherited(9, 0) | ascent(99, 99, 99),
    agreement(1000) | inherited(0, 0, norms=1e6) | ascent(0, destroyed=50),
    agreement(500) | inherited(-5, -5) | ascent(1e-9, destroyed=-50),
    agreement(0) | inherited(1, 1) | ascent(1e300, -1e300),
]


@pytest.mark.parametrize("figures", EXTREMES)
@pytest.mark.parametrize("source", ["made up", "shipped"])
def test_no_ratio_passes_its_caps_however_extreme_the_figures(
    whole: Population, source: str, figures: dict[str, float]
) -> None:
    population = whole if source == "made up" else shipped_population()
    for alternative, ratio in population_ratios(population, "weights", figures).items():
        cell = population.cell("weights", alternative)
        assert cell is not None
        caps = cell.supporting if ratio.bounded > 0 else cell.opposing
        assert abs(ratio.bounded) <= min(caps.sampling, caps.process)
        assert ratio.lower <= ratio.central <= ratio.upper
        assert ratio.bounded * ratio.central >= 0
        # The headline is the end nearer 0, and no case is more extreme than what the zoo showed.
        nearest = min(abs(ratio.lower), abs(ratio.upper)) if ratio.lower * ratio.upper > 0 else 0.0
        assert abs(ratio.bounded) <= nearest
    for item in ratio_evidence(population, "weights", figures):
        assert item.outcome in ("likelihood_ratio", "not_comparable")


def test_beyond_what_the_zoo_showed_a_ratio_grows_no_further(whole: Population) -> None:
    far, farther = (
        {"two_view_agreement/1.matched": size, "two_view_agreement/1.neurons": size} for size in (1e7, 1e12)
    )
    assert (
        population_ratios(whole, "weights", far)["independent"]
        == population_ratios(whole, "weights", farther)["independent"]
    )


def test_caps_grow_with_families_and_not_with_pairs() -> None:
    few, more_pairs, many = (
        calibrate(world(np.random.default_rng(3), families, children=children), name="caps").cells[0]
        for families, children in ((8, 2), (8, 12), (40, 2))
    )
    assert more_pairs.pairs[0] > few.pairs[0]
    assert more_pairs.supporting.sampling == few.supporting.sampling
    assert many.supporting.sampling > few.supporting.sampling
    assert many.supporting.process > few.supporting.process


@pytest.mark.parametrize("most", [10.0, 100.0])
def test_ratios_do_not_favour_descent_on_average_where_there_is_none(most: float) -> None:
    """Turing's check on simulated zoos: E[min(LR, c)] <= 1 over pairs for which the alternative holds."""
    rng = np.random.default_rng(4)
    held_out, new = [], []
    for _ in range(25):
        rows = world(rng, 10, gap=rng.uniform(1, 6))
        population = calibrate(rows, name="simulated")
        data = cell_data(population, rows, "weights", "independent")
        assert data is not None
        ratios = held_out_log10_lr(data.pairs)[~data.pairs.is_h1]
        held_out.append(np.minimum(10.0**ratios, most).mean())
        unrelated = [row for row in world(rng, 10) if row.truth == "independent"]
        bounded = [population_ratios(population, "weights", row.figures)["independent"].bounded for row in unrelated]
        new.append(np.minimum(10.0 ** np.array(bounded), most).mean())
        assert max(bounded) <= population.cells[0].supporting.sampling
    assert np.mean(held_out) <= 1
    assert np.mean(new) <= 1


def test_parts_started_anew_do_not_blur_what_descent_looks_like() -> None:
    rows = world(np.random.default_rng(5), 8)
    fresh = [
        measured("derived", (name, name), of_score(-9.0), older="reference", number=99, whole=False)
        for name in ("f0", "f1", "f2")
    ]
    assert calibrate([*rows, *fresh], name="x").cells == calibrate(rows, name="x").cells


def only(kept: Callable[[MeasuredPair], bool]) -> list[MeasuredPair]:
    return [row for row in world(np.random.default_rng(6), 8) if kept(row)]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        only(lambda row: row.truth == "derived"),
        only(lambda row: row.truth == "independent"),
        only(lambda row: {*row.families} <= {"f0", "f1"}),
        only(lambda row: {*row.families} <= {"f0", "f1", "f2"}),
        only(lambda row: row.truth == "independent" or row.families == ("f0", "f0")),
        only(lambda row: row.truth == "derived" or "f0" in row.families),
    ],
    ids=["nothing", "only derived", "only strangers", "two families", "three", "one with children", "all from one"],
)
def test_too_little_to_calibrate_is_refused(rows: list[MeasuredPair]) -> None:
    with pytest.raises(InputError, match="add families"):
        calibrate(rows, name="too little")


def test_the_smallest_zoo_that_gives_a_cell() -> None:
    population = calibrate(only(lambda row: {*row.families} <= {"f0", "f1", "f2", "f3"}), name="four")
    assert population.families == 4
    ratio = population_ratios(population, "weights", agreement(1000))["independent"]
    assert 0 <= ratio.bounded < 1


@pytest.mark.parametrize("figures", [DERIVED, SIBLING, ascent(0.002), ascent(0.0, destroyed=1), ascent(-0.01, -0.9)])
@pytest.mark.parametrize("source", ["made up", "shipped"])
def test_the_posterior_over_descent_sums_to_one_and_is_mirrored_when_the_models_change_places(
    whole: Population, source: str, figures: dict[str, float]
) -> None:
    population = whole if source == "made up" else shipped_population()
    there, back = (direction_of(population, "weights", case) for case in (figures, swapped(figures)))
    assert there is not None
    assert back is not None
    shares = (there.questioned_from_reference, there.reference_from_questioned, there.common_ancestor)
    assert sum(shares) == pytest.approx(1)
    assert all(share > 0 for share in shares)
    mirrored = (back.reference_from_questioned, back.questioned_from_reference, back.common_ancestor)
    assert mirrored == pytest.approx(shares)


def test_the_posterior_names_the_descendant_and_says_nothing_where_nothing_points_anywhere(whole: Population) -> None:
    found = direction_of(whole, "weights", DERIVED)
    assert found is not None
    assert found.questioned_from_reference > 3 * found.reference_from_questioned
    even = direction_of(whole, "weights", ascent(0.0))
    assert even is not None
    assert even.questioned_from_reference == pytest.approx(even.reference_from_questioned)


def test_ratios_of_kinship_do_not_depend_on_which_model_is_questioned(whole: Population) -> None:
    for figures in (DERIVED, SIBLING):
        there, back = (population_ratios(whole, "weights", case) for case in (figures, swapped(figures)))
        for alternative in ("independent", "same_seed"):
            ours, theirs = there[alternative], back[alternative]  # type: ignore[index]
            assert (ours.central, ours.bounded) == pytest.approx((theirs.central, theirs.bounded))


def test_the_digest_is_that_of_the_content(whole: Population, tmp_path: Path) -> None:
    path = tmp_path / "population.json"
    path.write_bytes(population_bytes(whole))
    again = read_population(path)
    assert again == whole
    assert again.digest == whole.digest
    assert population_bytes(again) == path.read_bytes()
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document, indent=3))
    assert read_population(path).digest == whole.digest
    cell = whole.cells[0]
    shifted = cell.whole.model_copy(update={"intercept": cell.whole.intercept + 1e-12})
    for change in (
        {"name": "another"},
        {"families": whole.families + 1},
        {"cells": whole.cells[1:]},
        {"cells": (cell.model_copy(update={"whole": shifted}), *whole.cells[1:])},
    ):
        assert whole.model_copy(update=change).digest != whole.digest


def test_a_population_without_held_out_ratios_is_read_and_has_a_digest_of_its_own(
    whole: Population, tmp_path: Path
) -> None:
    assert all(cell.held_out is not None for cell in whole.cells)
    bare = whole.model_copy(update={"cells": tuple(cell.model_copy(update={"held_out": None}) for cell in whole.cells)})
    assert b"held_out" not in population_bytes(bare)
    path = tmp_path / "population.json"
    path.write_bytes(population_bytes(bare))
    again = read_population(path)
    assert again == bare
    assert again.digest != whole.digest
    document = json.loads(population_bytes(bare))
    document["cells"][0]["held_out"] = None
    path.write_text(json.dumps(document))
    assert read_population(path).digest == bare.digest, "absent and null are the same"
    assert population_ratios(bare, "weights", DERIVED) == population_ratios(whole, "weights", DERIVED)


def test_fingerprints_level_off_against_a_common_start() -> None:
    """An average of half a stranger and runs from one start hold about as much; less than that speaks no louder."""
    population = shipped_population()
    low, lower, high, higher = (
        population_ratios(population, "fingerprint", inherited(held, 0.5))["same_seed"].central
        for held in (0.5, 0.3, 0.8, 0.9)
    )
    assert low == lower < 0 < high < higher


def test_the_same_pairs_give_the_same_population_in_any_order() -> None:
    rows = world(np.random.default_rng(7), 8)
    assert calibrate(rows, name="x") == calibrate(rows, name="x")
    backwards = calibrate(rows[::-1], name="x")
    for figures in (agreement(1), agreement(900)):
        ours, theirs = (
            population_ratios(population, "weights", figures)["independent"].central
            for population in (calibrate(rows, name="x"), backwards)
        )
        assert ours == pytest.approx(theirs, abs=1e-6)


Damage = Callable[[dict[str, Any]], object]


def set_to(value: object, *path: str | int) -> Damage:
    def change(document: dict[str, Any]) -> object:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        return document

    return change


def without(*path: str) -> Damage:
    def change(document: dict[str, Any]) -> object:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]
        return document

    return change


DAMAGES: dict[str, Damage] = {
    "another version": set_to("whorl.population/2", "schema"),
    "another document": lambda _: {"schema": "whorl.finding/1"},
    "a list": lambda document: [document],
    "unknown field": set_to(1, "more"),
    "missing field": without("cells"),
    "infinite slope": set_to(float("inf"), "cells", 0, "whole", "slopes", 0),
    "negative cap": set_to(-1.0, "cells", 0, "supporting", "sampling"),
    "unknown access": set_to("memory", "cells", 0, "access"),
    "unknown alternative": set_to("chance", "cells", 0, "alternative"),
    "another score": set_to(["beauty"], "cells", 0, "scores"),
    "a slope too many": set_to([1.0, 1.0], "cells", 0, "whole", "slopes"),
    "no slope": set_to([], "cells", 0, "whole", "slopes"),
    "a range too many": set_to([[0.0, 1.0], [0.0, 1.0]], "cells", 0, "ranges"),
    "a range turned round": set_to([[1.0, 0.0]], "cells", 0, "ranges"),
    "no family left out": set_to([], "cells", 0, "without"),
    "no degree of freedom": set_to(0, "cells", 0, "degrees_of_freedom"),
    "held-out ratios that fall": set_to([1.0, 0.0], "cells", 0, "held_out", "log10_lr"),
    "held-out shares of more than all": set_to([2.0], "cells", 0, "held_out", "share_h1"),
    "a score of descent too few": set_to([1.0], "directions", 0, "slopes"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_no_population_is_refused(whole: Population, tmp_path: Path, name: str) -> None:
    path = tmp_path / "population.json"
    path.write_text(json.dumps(DAMAGES[name](json.loads(population_bytes(whole)))))
    with pytest.raises(InputError, match="whorl calibrate ZOO") as caught:
        read_population(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", None])
def test_a_file_that_holds_no_document_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "population.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="expected a population"):
        read_population(path)


def test_the_population_of_this_release_covers_every_case_and_holds_what_it_says() -> None:
    population = shipped_population()
    assert read_back(population) == population
    assert {(cell.access, cell.alternative) for cell in population.cells} == {
        (access, alternative) for access in ("weights", "fingerprint") for alternative in ALTERNATIVES
    }
    for cell in population.cells:
        assert len(cell.without) <= population.families + 1
        assert min(cell.families) >= 3
        assert cell.degrees_of_freedom == min(cell.families) - 1


def read_back(population: Population) -> Population:
    return Population.model_validate_json(population_bytes(population))
