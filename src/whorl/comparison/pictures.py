"""Where things go in the pictures of a finding's page: coordinates only, no markup and no colours."""

from dataclasses import dataclass
from math import isclose
from typing import Final

from whorl.comparison.wording import LayerStrength, layer_strength
from whorl.core.evidence import Finding, Score

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
