"""A finding's ratio computed again from its scores and the population that it names."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Finding, LikelihoodRatio
from whorl.statistics.ratio_caps import LEAST_CLAIM
from whorl.statistics.ratio_population import Cell, Population, parse_populations, ratio_of

TOLERANCE: Final = 1e-6
"""Of log10 ratios: another machine's arithmetic may differ in the last digits."""
_HALVINGS: Final = 60


def require_ratio(ratio: LikelihoodRatio, finding: Finding, populations: Mapping[str, Population]) -> None:
    """Check that a ratio is the one that the population gives for its scores, with its interval and caps.

    Raises
    ------
    InputError
        If the population is not there.
    VerificationError
        If a number is another one.
    """
    cell = cell_of(ratio, finding, populations)
    again = ratio_of(cell, tuple(ratio.statistic[name] for name in cell.scores))
    caps = cell.supporting if again.central >= 0 else cell.opposing
    numbers = {
        "log10_lr": (ratio.log10_lr, again.bounded),
        "central": (ratio.central, again.central),
        "lower": (ratio.lower, again.lower),
        "upper": (ratio.upper, again.upper),
        "sampling cap": (ratio.caps.get("sampling", -1.0), caps.sampling),
        "process cap": (ratio.caps.get("process", -1.0), caps.process),
    }
    for name, (stated, found) in numbers.items():
        if abs(stated - found) > TOLERANCE:
            raise VerificationError(
                f"the ratio against {ratio.alternative}: expected {name} {found:.9g} from the population, found "
                f"{stated:.9g}; refuse it"
            )
    if ratio.families != cell.families:
        raise VerificationError(
            f"the ratio against {ratio.alternative}: expected {cell.families} families, found {ratio.families}"
        )


def falls_below(
    ratio: LikelihoodRatio, finding: Finding, populations: Mapping[str, Population], score: str
) -> float | None:
    """The value of one score at which the bounded ratio falls below 2; None if it never does in the population's range.

    Other scores stay as they are.
    """
    cell = cell_of(ratio, finding, populations)
    place = cell.scores.index(score)
    scores = [ratio.statistic[name] for name in cell.scores]

    def enough(value: float) -> bool:
        return ratio_of(cell, [*scores[:place], value, *scores[place + 1 :]]).bounded >= LEAST_CLAIM

    low, high = cell.ranges[place][0], min(max(scores[place], cell.ranges[place][0]), cell.ranges[place][1])
    if enough(low) or not enough(high):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def unknown_populations(populations: Mapping[str, Population]) -> list[Population]:
    """Those that do not come with the reader's release: one of somebody's making can say anything."""
    shipped = parse_populations({"population": files("whorl.comparison").joinpath("population.json").read_bytes()})
    return [populations[digest] for digest in sorted(set(populations) - set(shipped))]


def cell_of(ratio: LikelihoodRatio, finding: Finding, populations: Mapping[str, Population]) -> Cell:
    """The cell of the population that a finding's ratio was taken from.

    Raises
    ------
    InputError, VerificationError
        As `require_ratio`.
    """
    population = populations.get(ratio.population)
    if population is None:
        raise InputError(f"expected the population {ratio.population} that a ratio rests on, found none")
    whole = all(side.access == "weights" for side in (finding.questioned, finding.reference))
    cell = population.cell("weights" if whole else "fingerprint", ratio.alternative)
    if cell is None or set(cell.scores) != set(ratio.statistic):
        raise VerificationError(
            f"the ratio against {ratio.alternative}: expected the scores of its population, found others; refuse it"
        )
    return cell
