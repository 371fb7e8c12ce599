"""Where things go in the pictures of a case's report: coordinates only, no markup and no colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whorl.cases.report_document import RatioLine, ScoreLine
from whorl.cases.report_wording import times

_LEAST_REACH: Final = 1.0  # powers of ten shown on either side of 1 at least
_MOST_FINE: Final = 4.5  # powers of ten that an axis with marks at 2 and 5 may span
_MARGIN: Final = 0.12
_RAISED: Final = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")

CURVE_WIDTH: Final = 420.0
CURVE_HEIGHT: Final = 236.0
_CURVE_LEFT: Final = 46.0
_CURVE_RIGHT: Final = 408.0
_CURVE_TOP: Final = 14.0
_CURVE_BOTTOM: Final = 186.0
_CURVE_REACH: Final = 3.0  # beyond this many powers of ten a curve is cut off


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line of the grid, with its label; empty where there is no room for one."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One ratio: its interval, its central value, and the claim from 1 up to a wall."""

    line: RatioLine
    y: float
    label_y: float
    lower: float
    central: float
    upper: float
    claimed: float
    walls: tuple[float, ...]
    barred: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRow:
    """An alternative that was not tested."""

    label: str
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """All ratios of an opinion on one axis of powers of ten; ``zero`` is where a ratio says nothing."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    zero: float
    marks: tuple[Mark, ...]
    rows: tuple[ForestRow, ...]
    untested: tuple[OpenRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    width: float
    left: float
    row: float
    shift: float
    open_row: float
    fine_labels: bool


_WIDE: Final = _Room(width=880, left=232, row=46, shift=0, open_row=26, fine_labels=True)
_PRINT: Final = _Room(width=640, left=182, row=42, shift=0, open_row=22, fine_labels=True)
_NARROW: Final = _Room(width=340, left=12, row=64, shift=12, open_row=26, fine_labels=False)
_TOP: Final = 40.0
_FOOT: Final = 42.0
_EDGE: Final = 12.0


def wide_forest(ratios: Sequence[RatioLine], untested: Sequence[tuple[str, str]]) -> Forest | None:
    """The ratios with their names beside them; None where there is none."""
    return _forest(ratios, untested, _WIDE)


def printed_forest(ratios: Sequence[RatioLine], untested: Sequence[tuple[str, str]]) -> Forest | None:
    """As `wide_forest`, for a sheet of paper, on which the same letters are larger."""
    return _forest(ratios, untested, _PRINT)


def narrow_forest(ratios: Sequence[RatioLine], untested: Sequence[tuple[str, str]]) -> Forest | None:
    """The ratios with their names above them, for a narrow screen; None where there is none."""
    return _forest(ratios, untested, _NARROW)


def _forest(ratios: Sequence[RatioLine], untested: Sequence[tuple[str, str]], room: _Room) -> Forest | None:
    if not ratios:
        return None
    numbers = [number for one in ratios for number in (one.lower, one.upper, *(cap for _, cap, _ in one.caps))]
    low = min(-_LEAST_REACH, *numbers) - _MARGIN
    high = max(_LEAST_REACH, *numbers) + _MARGIN
    left, right = room.left, room.width - _EDGE

    def x(log10: float) -> float:
        return round(left + (right - left) * (log10 - low) / (high - low), 2)

    rows = []
    for place, one in enumerate(ratios):
        walls = tuple(sorted({x(cap) for _, cap, _ in one.caps}))
        middle = _TOP + (place + 0.5) * room.row
        rows.append(
            ForestRow(
                line=one,
                y=middle + room.shift,
                label_y=middle - room.shift,
                lower=x(one.lower),
                central=x(one.log10_central),
                upper=x(one.upper),
                claimed=x(one.log10),
                walls=walls,
                barred=(walls[0], right) if one.log10_central >= 0 else (left, walls[-1]),
            )
        )
    top_of_open = _TOP + len(ratios) * room.row
    bottom = top_of_open + len(untested) * room.open_row
    return Forest(
        width=room.width,
        height=bottom + _FOOT,
        left=left,
        right=right,
        top=_TOP,
        bottom=bottom,
        zero=x(0.0),
        marks=tuple(
            Mark(at=x(power), label=_label(power) if power == round(power) or room.fine_labels else "")
            for power in _powers(low, high)
        ),
        rows=tuple(rows),
        untested=tuple(
            OpenRow(label=name, y=top_of_open + (place + 0.5) * room.open_row)
            for place, (name, _) in enumerate(untested)
        ),
    )


def _powers(low: float, high: float) -> list[float]:
    """Where the marks of an axis go: at 1, 2 and 5 of each power of ten, or at the powers alone where it is long."""
    steps = (0.0, math.log10(2), math.log10(5)) if high - low <= _MOST_FINE else (0.0,)
    every = 1 if high - low <= 3 * _MOST_FINE else math.ceil((high - low) / 12)
    marks = [
        power + (step if power >= 0 else -step)
        for power in range(math.floor(low), math.ceil(high) + 1)
        for step in steps
    ]
    # Below 1 the marks are 1/2 and 1/5, mirrored; those of the power -0 are missing above.
    marks += [-step for step in steps if step and low < 0]
    return sorted({round(mark, 6) for mark in marks if low <= mark <= high and math.floor(abs(mark)) % every == 0})


def _label(power: float) -> str:
    if abs(power) < 4:
        return times(power)
    return f"10{str(round(power)).translate(_RAISED)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCurve:
    """What a population gives for each value of a score, and where the case stands on it."""

    line: ScoreLine
    left: float
    right: float
    top: float
    bottom: float
    zero: float
    band: str
    central: str
    walls: tuple[float, float]
    case_x: float
    case_y: float
    beyond: bool
    threshold: float | None
    marks: tuple[Mark, ...]


def score_curve(line: ScoreLine) -> ScoreCurve | None:
    """Lay out the curve of one score; None where it does not stand alone in its cell."""
    if len(line.curve) < 2 or line.low >= line.high:
        return None
    numbers = [number for point in line.curve for number in (point.lower, point.upper)]
    low = max(-_CURVE_REACH, min(-1.5, *numbers))
    high = min(_CURVE_REACH, max(1.5, *numbers))

    def x(score: float) -> float:
        held = min(max(score, line.low), line.high)
        return round(_CURVE_LEFT + (_CURVE_RIGHT - _CURVE_LEFT) * (held - line.low) / (line.high - line.low), 2)

    def y(log10: float) -> float:
        held = min(max(log10, low), high)
        return round(_CURVE_BOTTOM - (_CURVE_BOTTOM - _CURVE_TOP) * (held - low) / (high - low), 2)

    upper = [f"{x(point.score)} {y(point.upper)}" for point in line.curve]
    lower = [f"{x(point.score)} {y(point.lower)}" for point in reversed(line.curve)]
    near = min(line.curve, key=lambda point: abs(point.score - line.value))
    return ScoreCurve(
        line=line,
        left=_CURVE_LEFT,
        right=_CURVE_RIGHT,
        top=_CURVE_TOP,
        bottom=_CURVE_BOTTOM,
        zero=y(0.0),
        band=f"M{'L'.join([*upper, *lower])}Z",
        central=f"M{'L'.join(f'{x(point.score)} {y(point.central)}' for point in line.curve)}",
        walls=(y(line.walls[0]), y(line.walls[1])),
        case_x=x(line.value),
        case_y=y(near.central),
        beyond=not line.low <= line.value <= line.high,
        threshold=None if line.threshold is None else x(line.threshold),
        marks=tuple(Mark(at=y(power), label=_label(power)) for power in range(math.ceil(low), math.floor(high) + 1)),
    )
