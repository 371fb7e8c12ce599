"""A reference population as stored: calibrated ratios, one cell per access and alternative, and how a ratio is taken.

Light enough for whoever checks a finding offline: a case's scores and this document give the same ratio again. How the
scores come out of a comparison, and how a population is calibrated, stands in `whorl.comparison.population`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from whorl.core.digest import digest_document
from whorl.core.errors import InputError
from whorl.core.evidence import Access, Alternative, Document
from whorl.core.strict_json import parse_json_object
from whorl.statistics.calibration import Calibration, FamilyJackknife
from whorl.statistics.held_out_ratios import HeldOut
from whorl.statistics.ratio_caps import RatioCaps, headline_log10_lr

SCHEMA: Final = "whorl.population/1"
MAX_BYTES: Final = 16 << 20
DIRECTION_SCORES: Final = 6  # of `whorl.comparison.population.direction_scores`


class Fit(Document):
    """A calibration: natural logarithms of the ratio."""

    intercept: float
    slopes: tuple[float, ...]

    def calibration(self) -> Calibration:
        """The value that computes."""
        return Calibration(intercept=self.intercept, slopes=self.slopes)


class Caps(Document):
    """log10 of the largest ratio in one direction."""

    sampling: float = Field(ge=0)
    process: float = Field(ge=0)

    def ratio_caps(self) -> RatioCaps:
        """The value that computes."""
        return RatioCaps(sampling=self.sampling, process=self.process)


class Cell(Document):
    """One calibration: for one kind of access, against one alternative."""

    access: Access
    alternative: Alternative
    scores: tuple[str, ...]
    whole: Fit
    without: tuple[Fit, ...] = Field(description="the same fit without each family in turn")
    degrees_of_freedom: int
    families: tuple[int, int] = Field(description="families under the first proposition and under the alternative")
    pairs: tuple[int, int]
    ranges: tuple[tuple[float, float], ...] = Field(description="least and largest value of each score in the zoo")
    supporting: Caps
    opposing: Caps
    held_out: HeldOut | None = Field(default=None, description="absent where whoever calibrated it kept none")

    @model_validator(mode="after")
    def _scores_fit(self) -> "Cell":
        counts = {len(self.ranges), *(len(fit.slopes) for fit in (self.whole, *self.without))}
        if counts != {len(self.scores)} or not all(low <= high for low, high in self.ranges):
            raise ValueError(f"expected one slope and one range for each of {len(self.scores)} scores")
        self.jackknife()  # refuses too few families
        return self

    def jackknife(self) -> FamilyJackknife:
        """The value that computes."""
        return FamilyJackknife(
            whole=self.whole.calibration(),
            without=tuple(fit.calibration() for fit in self.without),
            degrees_of_freedom=self.degrees_of_freedom,
        )


class DirectionFit(Document):
    """Weights of `direction_scores` in one score of descent, which changes sign when the models change places."""

    access: Access
    slopes: tuple[float, ...] = Field(min_length=DIRECTION_SCORES, max_length=DIRECTION_SCORES)

    def score(self, scores: Sequence[float]) -> float:
        """The one score: positive where the questioned model looks like the descendant."""
        return float(np.dot(self.slopes, scores))


class Population(Document):
    """A calibrated population, as stored; its digest goes into every finding that used it."""

    schema_: Literal["whorl.population/1"] = Field(default=SCHEMA, alias="schema")
    whorl_version: str
    name: str
    families: int
    cells: tuple[Cell, ...]
    directions: tuple[DirectionFit, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical document."""
        # What is absent is left out: a population from before there were held-out ratios keeps its digest.
        return digest_document(SCHEMA, self.model_dump(mode="json", exclude_none=True))

    def cell(self, access: Access, alternative: Alternative) -> Cell | None:
        """The cell for one access and alternative, or None where the zoo had no data for it."""
        return next((c for c in self.cells if (c.access, c.alternative) == (access, alternative)), None)


def parse_populations(files: Mapping[str, bytes]) -> dict[str, Population]:
    """Populations that came with a case, by their own digests.

    Parameters
    ----------
    files : by the name that a message gives them

    Raises
    ------
    InputError
        If one is none.
    """
    found = {}
    for name, data in files.items():
        parse_json_object(data, what=name, max_bytes=MAX_BYTES, max_depth=16)
        try:
            population = Population.model_validate_json(data)
        except ValidationError:
            raise InputError(
                f"{name}: expected a calibrated population, as `whorl calibrate` writes it, found something else"
            ) from None
        found[population.digest] = population
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One calibrated ratio, log10: central, interval and the bounded value to report."""

    central: float
    lower: float
    upper: float
    bounded: float


def ratio_of(cell: Cell, scores: Sequence[float]) -> Ratio:
    """The ratio of one case; scores outside what the zoo showed count as the nearest that it did show."""
    held = [min(max(score, low), high) for score, (low, high) in zip(scores, cell.ranges, strict=True)]
    found = cell.jackknife().log10_ratios(np.array([held]))
    # + 0.0: no minus zero, and no sign from the last digits of a cell that says nothing.
    central, lower, upper = (round(float(part[0]), 12) + 0.0 for part in (found.central, found.lower, found.upper))
    bounded = headline_log10_lr(
        lower, upper, supporting=cell.supporting.ratio_caps(), opposing=cell.opposing.ratio_caps()
    )
    return Ratio(central=central, lower=lower, upper=upper, bounded=bounded)


def capped_central(ratio: Ratio, cell: Cell) -> float:
    """The central value, cut at the smaller cap: for posteriors over an order of descent, not for a headline."""
    caps = cell.supporting if ratio.central >= 0 else cell.opposing
    most = min(caps.sampling, caps.process)
    return min(most, max(-most, ratio.central))
