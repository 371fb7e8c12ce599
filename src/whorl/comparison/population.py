"""The reference population: calibrated ratios from the measured pairs of a zoo, one cell per access and alternative.

A ratio says how much more probable the figures are if trained weights are shared (for `common_ancestor`: if one model
descends from the other) than under one named alternative. A cell that the zoo does not fill gives no ratio.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import ValidationError

from whorl import __version__
from whorl.comparison.figures import MeasuredPair
from whorl.comparison.inheritance import LEAST_SLOPE
from whorl.comparison.wording import ALTERNATIVES as SPOKEN
from whorl.comparison.zoo import Side
from whorl.core.digest import canonical_json
from whorl.core.errors import CheckpointError, InputError
from whorl.core.evidence import Access, Alternative, Direction, LikelihoodRatio, NotComparable
from whorl.statistics.calibration import (
    Calibration,
    fit_calibration,
    fit_family_jackknife,
    held_out_log10_lr,
)
from whorl.statistics.held_out_ratios import held_out_summary
from whorl.statistics.labelled_pairs import MIN_FAMILIES, LabelledPairs, can_be_held_out, labelled_pairs
from whorl.statistics.ratio_caps import RatioCaps, calibration_caps
from whorl.statistics.ratio_population import (
    MAX_BYTES,
    SCHEMA,
    Caps,
    Cell,
    DirectionFit,
    Fit,
    Population,
    Ratio,
    capped_central,
    ratio_of,
)
from whorl.weights.files import read_bounded

METHOD: Final = "population_ratio/1"
LEAST_MOVED: Final = 1e-4
SMALL_MOVE: Final = 2e-3
LIKE_NOISE: Final = 1.15  # largest direction of the change over noise; rounding and noise here 1.0 to 1.1
LIKE_ADAPTER: Final = 20.0
LEAST_OF_PARTS: Final = 0.03  # of the least structured of gate, up and down; in trained runs here 0.043 and more
LEAST_STRUCTURE: Final = 0.05  # of matched weights; below, no ratio against a common start is given
MOST_ORDER: Final = 4.0  # natural log of the odds for one order of descent: no more was shown by this many families
SMALL_LOSS: Final = 0.03
LEAST_LEARNED: Final = 0.01
LEAST_LOST: Final = 0.01
CONTAINED_FROM: Final = 0.75
CONTAINED_STEP: Final = 0.05
KEPT_FROM: Final = -0.32
KEPT_STEP: Final = 0.25
APART_FROM: Final = 0.7
APART_STEP: Final = 0.2
LEAST_SIGN: Final = -4.0
MOST_SIGN: Final = 3.0
ALTERNATIVES: Final[tuple[Alternative, ...]] = ("independent", "same_data", "same_seed", "common_ancestor")

Figures = Mapping[str, float]


def _agreement(figures: Figures) -> float:
    matched, neurons = figures["two_view_agreement/1.matched"], figures["two_view_agreement/1.neurons"]
    return math.log((matched + 0.5) / (neurons - matched + 0.5))


def _slope(figures: Figures, part: Literal["structure", "bulk"], side: Side) -> float:
    return max(LEAST_SLOPE, figures[f"inherited_structure/1.{part}_of_{side}"])


def contained_structure(figures: Figures) -> float:
    """Correlation in the structured parts: what one model has of the other's, in both directions."""
    return min(1.0, math.sqrt(_slope(figures, "structure", "reference") * _slope(figures, "structure", "questioned")))


def _structure_not_lost(figures: Figures) -> float:
    """Natural log of one over the structure that is not contained, from where the sign of descent counts at all.

    Where the log odds are not linear in what is contained: an average of half a stranger holds no more of its
    ancestor than runs from one start hold of each other, so that below that limit less speaks no louder against.
    """
    least = CONTAINED_FROM + LEAST_SIGN * CONTAINED_STEP
    return -math.log(1 - max(least, contained_structure(figures)) + SMALL_LOSS)


def _kept_structure(figures: Figures) -> float:
    """How much worse structure was kept than bulk, in both directions together, as against how much was lost at all.

    0 or below, and well below for runs from one start. Above 0 it would say nothing: where the start was small, the
    bulk is what training wrote last.
    """
    sides: tuple[Side, Side] = ("reference", "questioned")
    kept = sum(math.log(_slope(figures, "structure", side) / _slope(figures, "bulk", side)) for side in sides) / 2
    return max(-1.0, min(0.0, kept) / (1 - contained_structure(figures) + SMALL_LOSS))


def _learned_over_lost(figures: Figures) -> float:
    """What training wrote over what the two models do not share, natural log.

    Runs from one start share the start and hardly more: what they do not share is all that either learned, except for
    what both learned alike. A descendant lost no more than its own training replaced.
    """
    lost = (1 - figures["inherited_structure/1.cosine"]) / max(figures["inherited_structure/1.learned"], LEAST_LEARNED)
    return -math.log(max(LEAST_LOST, lost))


def _least_sign_of_descent(figures: Figures) -> float:
    """The weaker of two signs that runs from one start do not both give.

    One: the structure that training wrote is contained. Two: what was lost is not what each
    learned apart, because it is little as against what was learned, *or* because structure was lost no more than bulk.
    Runs that learned for long fail the first, short ones, which learn much alike, the second. Each sign counts from 0,
    in steps as wide as runs made here differ in.
    """
    contained = (contained_structure(figures) - CONTAINED_FROM) / CONTAINED_STEP
    not_apart = max(_learned_over_lost(figures), (_kept_structure(figures) - KEPT_FROM) / KEPT_STEP)
    return max(LEAST_SIGN, min(MOST_SIGN, contained, (not_apart - APART_FROM) / APART_STEP))


def _regime(figures: Figures) -> Literal["equal", "noise", "adapter", "training"]:
    """What a change looks like: nothing, featureless noise, few directions only, or training."""
    if figures["ascent/1.moved"] < LEAST_MOVED:
        return "equal"
    spike = figures["ascent/1.spike"]
    return "noise" if spike < LIKE_NOISE else "adapter" if spike > LIKE_ADAPTER else "training"


def direction_scores(figures: Figures) -> tuple[float, ...] | None:
    """Scores for "questioned from reference" that change sign when the models change places; None where none ran.

    A fact (something that nobody puts back) speaks alone. Otherwise each kind of change has its own signs: noise makes
    the younger model longer, an adapter too, training makes it contain the older one's structure and gains.
    """
    if "ascent/1.value" not in figures:
        return None
    fact = float(np.clip(figures["ascent/1.destroyed"], -1, 1))
    if fact:
        return (fact, 0.0, 0.0, 0.0, 0.0, 0.0)
    moved = max(figures["ascent/1.moved"], SMALL_MOVE)
    growth, regime = figures["ascent/1.growth"], _regime(figures)
    trained, noise, adapter = (regime == kind for kind in ("training", "noise", "adapter"))
    return (
        0.0,
        trained * float(np.clip(figures["ascent/1.value"] / moved, -1.5, 1.5)),
        trained * float(np.clip(figures["ascent/1.gains"] / moved, -5, 5)),
        noise * float(np.clip(growth, -1.2, 1.2)),
        adapter * float(np.clip(growth, -1.5, 1.5)),
        # Weight decay: a change by training that is smaller than the loss of length.
        trained * (abs(growth) > 0.8) * -float(np.clip(growth, -2, 2)),
    )


def scores_against(alternative: Alternative, access: Access) -> Mapping[str, Callable[[Figures], float]]:
    """Which scores speak against an alternative; each rises with support for shared training."""
    if alternative != "same_seed":
        return {"agreement": _agreement}
    if access == "fingerprint":  # of signs; what was lost and what was learned are blurred beyond use
        return {"structure_not_lost": _structure_not_lost}
    return {"least_sign_of_descent": _least_sign_of_descent}


def _score_names(alternative: Alternative, access: Access) -> tuple[str, ...]:
    return ("descent",) if alternative == "common_ancestor" else tuple(scores_against(alternative, access))


def case_scores(
    population: Population, access: Access, alternative: Alternative, figures: Figures
) -> tuple[float, ...] | None:
    """The scores of one comparison against an alternative, or None where it did not give them."""
    if alternative != "common_ancestor":
        return scores_of(alternative, access, figures)
    score = order_score(population, access, figures)
    return None if score is None else (abs(score),)  # whichever of the two descends from the other


def order_score(population: Population, access: Access, figures: Figures) -> float | None:
    """Natural log of the odds that the questioned model descends from the reference, not the other way round."""
    fit = next((fit for fit in population.directions if fit.access == access), None)
    scores = direction_scores(figures)
    return None if fit is None or scores is None else fit.score(scores)


def direction_of(population: Population, access: Access, figures: Figures) -> Direction | None:
    """Posterior over who descends from whom, the three possibilities equally probable before; None without a cell.

    The order of descent comes from pairs of ancestor and descendant seen from both sides; the share of a common
    ancestor from the capped ratio against it of the likelier order.
    """
    cell, score = population.cell(access, "common_ancestor"), order_score(population, access, figures)
    if cell is None or score is None:
        return None
    likelier = 10.0 ** capped_central(ratio_of(cell, (abs(score),)), cell)
    other = likelier * math.exp(-min(abs(score), MOST_ORDER))
    total = likelier + other + 1
    forth, back = (likelier, other) if score >= 0 else (other, likelier)
    return Direction(
        questioned_from_reference=forth / total,
        reference_from_questioned=back / total,
        common_ancestor=max(0.0, 1 - forth / total - back / total),
    )


def scores_of(alternative: Alternative, access: Access, figures: Figures) -> tuple[float, ...] | None:
    """The scores that speak against an alternative, or None where a comparison did not give them."""
    if alternative == "same_seed" and (
        figures.get("matched_weights/1.structure", 1.0) < LEAST_STRUCTURE
        or figures.get("matched_weights/1.least_structure", 1.0) < LEAST_OF_PARTS
    ):
        return None  # hardly trained, or too slowly: what came of the start and what was learned look alike
    try:
        return tuple(score(figures) for score in scores_against(alternative, access).values())
    except KeyError:
        return None


def population_ratios(population: Population, access: Access, figures: Figures) -> dict[Alternative, Ratio]:
    """The ratio against every alternative for which the population has a cell and the comparison gave scores."""
    ratios: dict[Alternative, Ratio] = {}
    for alternative in ALTERNATIVES:
        cell, scores = population.cell(access, alternative), case_scores(population, access, alternative, figures)
        if cell is not None and scores is not None:
            ratios[alternative] = ratio_of(cell, scores)
    return ratios


def ratio_evidence(
    population: Population, access: Access, figures: Figures
) -> tuple[LikelihoodRatio | NotComparable, ...]:
    """The ratio against every alternative as evidence, or why there is none."""
    digest = population.digest
    return tuple(_ratio_item(population, digest, access, alternative, figures) for alternative in ALTERNATIVES)


def _ratio_item(
    population: Population, digest: str, access: Access, alternative: Alternative, figures: Figures
) -> LikelihoodRatio | NotComparable:
    cell, scores = population.cell(access, alternative), case_scores(population, access, alternative, figures)
    if cell is None or scores is None:
        return _none(alternative, access, figures, covered=cell is not None)
    ratio = ratio_of(cell, scores)
    caps = cell.supporting if ratio.central >= 0 else cell.opposing
    return LikelihoodRatio(
        tier="T3" if alternative in ("independent", "same_data") else "T4",
        method=METHOD,
        alternative=alternative,
        log10_lr=ratio.bounded,
        central=ratio.central,
        lower=ratio.lower,
        upper=ratio.upper,
        caps={"sampling": caps.sampling, "process": caps.process},
        families=cell.families,
        population=digest,
        statistic=dict(zip(cell.scores, scores, strict=True)),
        detail=f"{cell.families[0]} families with descendants against {cell.families[1]} families of this "
        f"alternative ({cell.pairs[0]} and {cell.pairs[1]} pairs)",
    )


def _none(alternative: Alternative, access: Access, figures: Figures, *, covered: bool) -> NotComparable:
    spoken = SPOKEN[alternative]
    if covered:
        why = "no layers correspond"
        if "matched_weights/1.structure" in figures:
            why = "training wrote too little, or too few neurons matched"
        return NotComparable(
            tier="T4",
            method=METHOD,
            reason="too_little_data",
            detail=f"no ratio against {spoken}: {why}",
        )
    return NotComparable(
        tier="T4",
        method=METHOD,
        reason="not_validated",
        detail=f"no ratio against {spoken}: the population has no cell for it with access by {access}",
    )


def calibrate(rows: Sequence[MeasuredPair], *, name: str) -> Population:
    """Fit every cell that measured pairs fill.

    Raises
    ------
    InputError
        If no cell can be filled.
    """
    accesses: tuple[Access, ...] = ("weights", "fingerprint")
    directions = [fit for access in accesses if (fit := _direction_fit(rows, access))]
    draft = Population(whorl_version=__version__, name=name, families=0, cells=(), directions=tuple(directions))
    cells = [
        cell for access in accesses for alternative in ALTERNATIVES if (cell := _cell(draft, rows, access, alternative))
    ]
    if not cells:
        raise InputError(
            "expected measured pairs of at least 3 families with descendants and of one alternative, found too few to "
            "calibrate anything; add families to the zoo"
        )
    families = {family for row in rows for family in row.families}
    return draft.model_copy(update={"families": len(families), "cells": tuple(cells)})


def _direction_fit(rows: Sequence[MeasuredPair], access: Access) -> DirectionFit | None:
    """Descent told from its reversal: every pair of ancestor and descendant, seen from both sides."""
    kept = [row for row in rows if row.access == access and row.whole and row.older is not None]
    found = [(row, scores) for row in kept if (scores := direction_scores(row.figures)) is not None]
    names = sorted({family for row, _ in found for family in row.families})
    if len(names) < MIN_FAMILIES:
        return None
    places = {family: place for place, family in enumerate(names)}
    forth = np.array([np.multiply(1 if row.older == "reference" else -1, scores) for row, scores in found])
    families = np.array([[places[family] for family in row.families] for row, _ in found], dtype=np.int64)
    both = labelled_pairs(
        np.concatenate([forth, -forth]), np.repeat([True, False], len(forth)), np.concatenate([families, families])
    )
    return DirectionFit(access=access, slopes=fit_calibration(both).slopes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellData:
    """The scored pairs of one cell, with the measured pairs they come from."""

    pairs: LabelledPairs
    rows: tuple[MeasuredPair, ...]


def cell_data(
    population: Population, rows: Sequence[MeasuredPair], access: Access, alternative: Alternative
) -> CellData | None:
    """Scored pairs under the first proposition and under one alternative; None where either is missing."""
    chosen = [row for row in rows if row.access == access and row.whole and row.truth in ("derived", alternative)]
    found = [(row, case_scores(population, access, alternative, row.figures)) for row in chosen]
    kept = [row for row, score in found if score is not None]
    scores = [score for _, score in found if score is not None]
    names = sorted({family for row in kept for family in row.families})
    places = {family: place for place, family in enumerate(names)}
    truth = np.array([row.truth == "derived" for row in kept], dtype=bool)
    families = np.array([[places[family] for family in row.families] for row in kept], dtype=np.int64)
    if len(names) < 3 or not truth.any() or truth.all():
        return None
    return CellData(pairs=labelled_pairs(np.array(scores), truth, families), rows=tuple(kept))


def _cell(
    population: Population, rows: Sequence[MeasuredPair], access: Access, alternative: Alternative
) -> Cell | None:
    data = cell_data(population, rows, access, alternative)
    if data is None:
        return None
    pairs = data.pairs
    if any(len(np.unique(pairs.families[side])) < 3 for side in (pairs.is_h1, ~pairs.is_h1)):
        return None
    if not can_be_held_out(pairs):
        return None
    fit = fit_family_jackknife(pairs)
    held_out = held_out_log10_lr(pairs)
    supporting, opposing = calibration_caps(pairs, held_out)
    counts = [
        (len(np.unique(pairs.families[side])), int(np.count_nonzero(side))) for side in (pairs.is_h1, ~pairs.is_h1)
    ]
    return Cell(
        access=access,
        alternative=alternative,
        scores=_score_names(alternative, access),
        whole=_fit(fit.whole),
        without=tuple(_fit(one) for one in fit.without),
        degrees_of_freedom=fit.degrees_of_freedom,
        families=(counts[0][0], counts[1][0]),
        pairs=(counts[0][1], counts[1][1]),
        ranges=tuple(
            (float(low), float(high)) for low, high in zip(pairs.scores.min(0), pairs.scores.max(0), strict=True)
        ),
        supporting=_stored(supporting),
        opposing=_stored(opposing),
        held_out=held_out_summary(pairs, held_out),
    )


def _fit(calibration: Calibration) -> Fit:
    return Fit(intercept=calibration.intercept, slopes=calibration.slopes)


def _stored(caps: RatioCaps) -> Caps:
    return Caps(sampling=caps.sampling, process=caps.process)


@cache
def shipped_population() -> Population:
    """The population that comes with this release."""
    text = files("whorl.comparison").joinpath("population.json").read_text(encoding="utf-8")
    return Population.model_validate_json(text)


def read_population(path: Path) -> Population:
    """A population that somebody calibrated.

    Raises
    ------
    InputError
        If the file is not one.
    """
    try:
        population = Population.model_validate_json(read_bounded(path, MAX_BYTES))
    except CheckpointError as error:
        raise InputError(f"{path}: expected a population that can be read; {error.problem}") from error
    except ValidationError as error:
        first = str(error).splitlines()
        raise InputError(
            f"{path}: expected a population of schema {SCHEMA}, found something that does not fit it "
            f"({' '.join(first[1:3]).strip()}); make one with `whorl calibrate ZOO -o FILE`"
        ) from error
    for cell in population.cells:
        expected = _score_names(cell.alternative, cell.access)
        if cell.scores != expected:
            raise InputError(
                f"{path}: expected the scores {expected} against {cell.alternative}, found {cell.scores}; make one "
                "with this version by `whorl calibrate ZOO -o FILE`"
            )
    return population


def population_bytes(population: Population) -> bytes:
    """The stored form: canonical JSON."""
    return canonical_json(population.model_dump(mode="json", by_alias=True, exclude_none=True)) + b"\n"
