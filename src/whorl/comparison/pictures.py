"""Where things go in the pictures of a finding's page: coordinates only, no markup and no colours."""

from dataclasses import dataclass
from math import ceil, floor, isclose
from typing import Final

from whorl.comparison.wording import LayerStrength, caps_of, layer_strength, least_favourable, ratios_of
from whorl.core.evidence import Finding, LikelihoodRatio, Score

GUTTER: Final = 96
PICTURE_WIDTH: Final = 880
CELL_HEIGHT: Final = 22
REFERENCE_Y: Final = 24
QUESTIONED_Y: Final = 144
BARS_TOP: Final = 200
BARS_HEIGHT: Final = 56
PICTURE_HEIGHT: Final = 272
NARROWEST_CELL: Final = 7.0
WIDEST_CELL: Final = 64.0
LABEL_ROOM: Final = 22.0

STRIP_LEFT: Final = 6.0
STRIP_WIDTH: Final = 288.0

FOREST_GUTTER: Final = 264.0
FOREST_WIDTH: Final = 880.0
FOREST_MARGIN: Final = 16.0
FOREST_TOP: Final = 34.0
FOREST_ROW: Final = 44.0
FOREST_FOOT: Final = 40.0
LEAST_REACH: Final = 1.5  # powers of ten shown on either side of 1 at least
MOST_TICKS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One layer of one side, as a box on its rail."""

    number: int
    x: float
    middle: float
    strength: LayerStrength
    label: str
    bar: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A curve from a reference layer to the questioned layer that matches it."""

    path: str
    strength: LayerStrength


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPicture:
    """Two rails of layers with the map between them, and a bar of agreement below each questioned layer."""

    width: float
    cell: float
    box: float
    reference: tuple[Cell, ...]
    questioned: tuple[Cell, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStrip:
    """One score with its interval on an axis, and the stretch that unrelated models fill."""

    low: float
    high: float
    value: float
    lower: float
    upper: float
    unrelated: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRow:
    """One calibrated ratio: its interval, its central value, and the claim from 1 up to a wall."""

    ratio: LikelihoodRatio
    y: float
    lower: float
    central: float
    upper: float
    claimed: float
    walls: tuple[float, ...]
    barred: tuple[float, float]
    headline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioForest:
    """All ratios of a finding on one axis of powers of ten; ``zero`` is where a ratio says nothing."""

    height: float
    bottom: float
    zero: float
    ticks: tuple[tuple[float, int], ...]
    rows: tuple[RatioRow, ...]


def layer_picture(finding: Finding) -> LayerPicture | None:
    """Lay out the layer map; None where no layers were compared."""
    used = {layer.reference for layer in finding.layers if layer.reference is not None}
    count = max((*used, *finding.unmatched_reference_layers), default=-1) + 1
    longest = max(len(finding.layers), count)
    if longest == 0:
        return None
    cell = min(WIDEST_CELL, max(NARROWEST_CELL, (PICTURE_WIDTH - GUTTER) / longest))
    every = next((step for step in (1, 2, 5, 10) if step * cell >= LABEL_ROOM), 20)

    def place(position: int, number: int, strength: LayerStrength, agreement: float = 0.0) -> Cell:
        left = GUTTER + position * cell
        return Cell(
            number=number,
            x=round(left, 2),
            middle=round(left + cell / 2, 2),
            strength=strength,
            label=str(number) if number % every == 0 else "",
            bar=round(BARS_HEIGHT * agreement, 2),
        )

    reference = tuple(place(n, n, "matched" if n in used else "none") for n in range(count))
    questioned = tuple(
        place(position, layer.questioned, layer_strength(layer), layer.agreement)
        for position, layer in enumerate(finding.layers)
    )
    links = tuple(
        _link(reference[layer.reference], here)
        for layer, here in zip(finding.layers, questioned, strict=True)
        if layer.reference is not None
    )
    return LayerPicture(
        width=round(GUTTER + longest * cell + 8, 2),
        cell=round(cell, 2),
        box=round(cell - min(3.0, cell * 0.2), 2),
        reference=reference,
        questioned=questioned,
        links=links,
    )


def _link(reference: Cell, questioned: Cell) -> Link:
    top, bottom = REFERENCE_Y + CELL_HEIGHT + 2, QUESTIONED_Y - 2
    middle = (top + bottom) / 2
    path = f"M{reference.middle} {top}C{reference.middle} {middle} {questioned.middle} {middle} "
    return Link(path=f"{path}{questioned.middle} {bottom}", strength=questioned.strength)


def score_strip(score: Score) -> ScoreStrip:
    """Lay out one score on an axis from 0 (or -1) to 1, or over its own range where it leaves that."""
    numbers = [score.lower, score.value, score.upper]
    if score.unrelated_at_most is not None:
        numbers.append(score.unrelated_at_most)
    low, high = _axis(min(numbers), max(numbers))

    def x(number: float) -> float:
        return round(STRIP_LEFT + STRIP_WIDTH * (number - low) / (high - low), 2)

    level = score.unrelated_at_most
    return ScoreStrip(
        low=low,
        high=high,
        value=x(score.value),
        lower=x(score.lower),
        upper=x(score.upper),
        unrelated=None if level is None else x(level),
    )


def _axis(smallest: float, largest: float) -> tuple[float, float]:
    if smallest >= 0 and largest <= 1:
        return 0.0, 1.0
    if smallest >= -1 and largest <= 1:
        return -1.0, 1.0
    low, high = min(0.0, smallest), max(0.0, largest)
    return (low, high) if not isclose(low, high) else (low, low + 1.0)


def ratio_forest(finding: Finding) -> RatioForest | None:
    """Lay out the ratios; None where there is none.

    A wall stands where a cap ends what may be claimed, on the side that the central value is on; what lies between the
    nearer wall and the end of the axis is barred.
    """
    ratios, headline = ratios_of(finding), least_favourable(finding)
    if not ratios:
        return None
    limits = [cap for ratio in ratios for cap in caps_of(ratio).values()]
    numbers = [*limits, *(end for ratio in ratios for end in (ratio.lower, ratio.upper))]
    low, high = floor(min(-LEAST_REACH, *numbers)), ceil(max(LEAST_REACH, *numbers))
    left, right = FOREST_GUTTER, FOREST_WIDTH - FOREST_MARGIN

    def x(log10: float) -> float:
        return round(left + (right - left) * (log10 - low) / (high - low), 2)

    rows = []
    for place, ratio in enumerate(ratios):
        walls = tuple(sorted({x(cap) for cap in caps_of(ratio).values()}))
        supports = ratio.central >= 0
        rows.append(
            RatioRow(
                ratio=ratio,
                y=FOREST_TOP + (place + 0.5) * FOREST_ROW,
                lower=x(ratio.lower),
                central=x(ratio.central),
                upper=x(ratio.upper),
                claimed=x(ratio.log10_lr),
                walls=walls,
                barred=(walls[0], right) if supports else (left, walls[-1]),
                headline=ratio is headline,
            )
        )
    step = ceil((high - low) / MOST_TICKS)
    bottom = FOREST_TOP + len(ratios) * FOREST_ROW
    return RatioForest(
        height=bottom + FOREST_FOOT,
        bottom=bottom,
        zero=x(0.0),
        ticks=tuple((x(power), power) for power in range(low, high + 1) if power % step == 0),
        rows=tuple(rows),
    )
