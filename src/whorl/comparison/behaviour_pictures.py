"""Where things go in the pictures of a comparison of answers: coordinates only, no markup and no colours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isclose, log10
from statistics import median
from typing import Final

from whorl.comparison.wording import visible
from whorl.core.behaviour import Behaviour, ControlScores, Profile

STRIP_WIDTH: Final = 880.0
STRIP_MARGIN: Final = 24.0
STRIP_HEIGHT: Final = 132.0
STRIP_AXIS: Final = 104.0
STRIP_LABEL: Final = 16.0
DOT: Final = 6.0
_DOTS_HEIGHT: Final = 66.0
_MOST_TICKS: Final = 9

BARS_GUTTER: Final = 40.0
BARS_TOP: Final = 26.0
BARS_HEIGHT: Final = 130.0
BARS_FOOT: Final = 28.0
BAR: Final = 36.0
BAR_GAP: Final = 22.0
MOST_PLACES: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Control models as dots on an axis, stacked where they meet, and the two models' own value beside them."""

    scores: ControlScores
    dots: str
    value: float
    label: float
    ends: bool
    ticks: tuple[tuple[float, str], ...]
    lowest: float | None
    middle: float | None
    highest: float | None
    as_near: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The share of answers with a property at one place, as a bar and in numbers."""

    x: float
    y: float
    height: float
    middle: float
    words: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePicture:
    """One property by place: a group of bars for each place, one bar for each model."""

    title: str
    models: tuple[tuple[str, str], ...]
    places: tuple[tuple[float, str], ...]
    bars: tuple[tuple[Bar | None, ...], ...]
    width: float
    height: float
    left_out: int


def strip(scores: ControlScores) -> Strip:
    """Lay out one similarity against those of the controls."""
    low, high = _reach((*scores.controls, scores.value))
    left, right = STRIP_MARGIN, STRIP_WIDTH - STRIP_MARGIN

    def x(number: float) -> float:
        return round(left + (right - left) * (number - low) / (high - low), 1)

    columns: dict[float, int] = {}
    for control in scores.controls:
        column = round(x(control) / DOT) * DOT
        columns[column] = columns.get(column, 0) + 1
    step = min(DOT, _DOTS_HEIGHT / max(columns.values(), default=1))
    base = STRIP_AXIS - DOT
    # Lines of no length with round ends are dots, and far shorter to write than circles.
    dots = "".join(
        f"M{column:g} {base - step * place:.1f}h0"
        for column, count in sorted(columns.items())
        for place in range(count)
    )
    value = x(scores.value)
    return Strip(
        scores=scores,
        dots=dots,
        value=value,
        label=value + (-10 if value > STRIP_WIDTH / 2 else 10),
        ends=value > STRIP_WIDTH / 2,
        ticks=tuple((x(tick), f"{tick + 0.0:g}") for tick in _ticks(low, high)),
        lowest=min(scores.controls, default=None),
        middle=median(scores.controls) if scores.controls else None,
        highest=max(scores.controls, default=None),
        as_near=sum(control >= scores.value for control in scores.controls),
    )


def _reach(numbers: Sequence[float]) -> tuple[float, float]:
    """An axis that holds the numbers and 0, never without length."""
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    return (low, low + 1.0) if isclose(low, high, abs_tol=1e-9) else (low, high)


def _ticks(low: float, high: float) -> tuple[float, ...]:
    """Round numbers within an axis: 1, 2 or 5 times a power of ten apart."""
    least = (high - low) / _MOST_TICKS
    power = 10.0 ** floor(log10(least))
    step = next(power * many for many in (1, 2, 5, 10) if power * many >= least * (1 - 1e-9))
    return tuple(round(place * step, 12) for place in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1))


def profile_pictures(behaviour: Behaviour) -> tuple[ProfilePicture, ...]:
    """Lay out the profiles, those of one title together."""
    return tuple(_profile(title, profiles, behaviour) for title, profiles in by_title(behaviour.profiles).items())


def by_title(profiles: Iterable[Profile]) -> dict[str, list[Profile]]:
    """Profiles of the same property, one for each model."""
    found: dict[str, list[Profile]] = {}
    for profile in profiles:
        found.setdefault(profile.title, []).append(profile)
    return found


def _profile(title: str, profiles: Sequence[Profile], behaviour: Behaviour) -> ProfilePicture:
    places = list(dict.fromkeys(point.place for profile in profiles for point in profile.points))
    if all(place.isascii() and place.isdigit() and len(place) < 12 for place in places):
        places.sort(key=int)
    shown = places[:MOST_PLACES]
    group = BAR * len(profiles)
    lefts = [BARS_GUTTER + BAR_GAP / 2 + number * (group + BAR_GAP) for number in range(len(shown))]
    names = [profile.of for profile in profiles]
    points = [{point.place: point for point in profile.points} for profile in profiles]

    def bar(left: float, which: int, place: str) -> Bar | None:
        point = points[which].get(place)
        if point is None:
            return None
        height = round(BARS_HEIGHT * point.share, 1)
        x = left + which * BAR
        return Bar(
            x=x + 2,
            y=BARS_TOP + BARS_HEIGHT - height,
            height=height,
            middle=x + BAR / 2,
            words=f"{round(point.share * point.count)}/{point.count}" if point.count < 1000 else f"{point.share:.2f}",
            share=point.share,
        )

    return ProfilePicture(
        title=title,
        models=tuple(zip(sides(names, behaviour), names, strict=True)),
        places=tuple((left + group / 2, visible(place, 12)) for left, place in zip(lefts, shown, strict=True)),
        bars=tuple(
            tuple(bar(left, which, place) for which in range(len(profiles)))
            for left, place in zip(lefts, shown, strict=True)
        ),
        width=BARS_GUTTER + len(shown) * (group + BAR_GAP) + 8,
        height=BARS_TOP + BARS_HEIGHT + BARS_FOOT,
        left_out=len(places) - len(shown),
    )


def sides(names: Sequence[str], behaviour: Behaviour) -> tuple[str, ...]:
    """Which side each of some rows is of, in their order: they name their model only.

    Where both sides have one name, the first of two rows is the questioned one's.
    """
    found: list[str] = []
    for place, name in enumerate(names):
        if name == behaviour.questioned.name and name not in names[:place]:
            found.append("Questioned")
        elif behaviour.reference is not None and name == behaviour.reference.name:
            found.append("Reference")
        else:
            found.append("Model")
    return tuple(found)
