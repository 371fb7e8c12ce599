"""Where things go in the pictures of held-out ratios: Tippett curves and empirical cross-entropy; coordinates only."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from whorl.cases.report_document import TrustLine
from whorl.cases.report_pictures import Mark
from whorl.cases.report_trust import odds_words
from whorl.cases.report_wording import times

WIDTH: Final = 336.0
HEIGHT: Final = 236.0
_LEFT: Final = 38.0
_RIGHT: Final = 310.0
_TOP: Final = 36.0
_BOTTOM: Final = 188.0
_LEAST_REACH: Final = 1.0
_MOST_REACH: Final = 3.8  # beyond this many powers of ten a curve is cut off
_MARGIN: Final = 0.15


_Scale: TypeAlias = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TippettPicture:
    """Shares of held-out ratios that are at least as large as each ratio; ``case_x``: the case's, if one is shown."""

    line: TrustLine
    left: float
    right: float
    top: float
    bottom: float
    zero: float
    descent: str
    alternative: str
    case_x: float | None
    across: tuple[Mark, ...]
    upwards: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyPicture:
    """Surprise of a reader by prior odds: with the ratios, recalibrated at best, and without any."""

    line: TrustLine
    left: float
    right: float
    top: float
    bottom: float
    own: str
    best: str
    neutral: str
    across: tuple[Mark, ...]
    upwards: tuple[Mark, ...]


def tippett_picture(line: TrustLine) -> TippettPicture | None:
    """Lay out Tippett curves; None where every ratio is 1."""
    if not line.tippett:
        return None
    numbers = [0.0 if line.central is None else line.central, *(log10 for log10, _, _ in line.tippett)]
    low = max(-_MOST_REACH, min(-_LEAST_REACH, *numbers)) - _MARGIN
    high = min(_MOST_REACH, max(_LEAST_REACH, *numbers)) + _MARGIN
    x, y = _scale(low, high, _LEFT, _RIGHT), _scale(0.0, 1.0, _BOTTOM, _TOP)
    return TippettPicture(
        line=line,
        left=_LEFT,
        right=_RIGHT,
        top=_TOP,
        bottom=_BOTTOM,
        zero=x(0.0),
        descent=_steps([(log10, share) for log10, share, _ in line.tippett], high, x, y),
        alternative=_steps([(log10, share) for log10, _, share in line.tippett], high, x, y),
        case_x=None if line.central is None else x(line.central),
        across=tuple(Mark(at=x(power), label=times(power)) for power in range(math.ceil(low), math.floor(high) + 1)),
        upwards=tuple(Mark(at=y(share), label=f"{share:g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)),
    )


def entropy_picture(line: TrustLine) -> EntropyPicture | None:
    """Lay out the cross-entropy; None where every ratio is 1."""
    if not line.tippett:
        return None
    odds = [point[0] for point in line.entropy]
    most = max(1.0, *(number for point in line.entropy for number in point[1:]))
    x, y = _scale(odds[0], odds[-1], _LEFT, _RIGHT), _scale(0.0, most * 1.04, _BOTTOM, _TOP)
    own, best, neutral = (_path((x(point[0]), y(point[place])) for point in line.entropy) for place in (1, 2, 3))
    return EntropyPicture(
        line=line,
        left=_LEFT,
        right=_RIGHT,
        top=_TOP,
        bottom=_BOTTOM,
        own=own,
        best=best,
        neutral=neutral,
        across=tuple(Mark(at=x(power), label=odds_words(power)) for power in range(-2, 3)),
        upwards=tuple(Mark(at=y(bits), label=f"{bits:g}") for bits in (0.0, 0.25, 0.5, 0.75, 1.0)),
    )


def _scale(low: float, high: float, start: float, end: float) -> _Scale:
    """From values to places; what lies beyond is put at the edge."""

    def place(value: float) -> float:
        held = min(max(value, low), high)
        return round(start + (end - start) * (held - low) / (high - low), 1)

    return place


def _steps(points: Sequence[tuple[float, float]], high: float, x: _Scale, y: _Scale) -> str:
    """A share that falls behind each ratio, from all to none; what lies beyond the edge is still to come there."""
    path, here = f"M{_LEFT:g} {y(1.0):g}", y(1.0)
    for log10, share in [*points, (math.inf, 0.0)]:
        if y(share) != here:
            here = y(share)
            path += f"V{here:g}"
        path += f"H{x(log10):g}"
        if log10 > high:
            break
    return path


def _path(points: Iterable[tuple[float, float]]) -> str:
    return f"M{'L'.join(f'{x:g} {y:g}' for x, y in points)}"
