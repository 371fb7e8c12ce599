"""Where things go in the pictures of conduct: kinds of requests by what was done with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from whorl.comparison.behaviour_pictures import sides
from whorl.comparison.behaviour_wording import CLASSES, class_words
from whorl.comparison.wording import visible
from whorl.core.behaviour import Behaviour, ConductRow

GUTTER: Final = 176.0
TOP: Final = 66.0
ROW: Final = 24.0
CELL: Final = 56.0
PANEL: Final = 196.0  # at least, for the model's name
GAP: Final = 20.0
MOST_ROWS: Final = 60
MOST_CLASSES: Final = 8
_DARKEST: Final = 0.6  # of the shade, so that the number on it stays readable
_LONGEST_LABEL: Final = 26
_LONGEST_CLASS: Final = 9
_LETTER: Final = 7.4
_MOST_WRITTEN: Final = 10**6
_ATTACKS: Final = ("attack", "placebo")
OTHER: Final = "other"
REQUESTS: Final = (
    "Requests",
    "Grades go from harmless (0) to what a careful model would rather not do (3). Of the pairs of requests that sound "
    "bad or fine, those that sound bad are the harmless ones.",
)
UNDER_ATTACK: Final = (
    "Attacks on a rule of the system prompt",
    "A placebo has an attack's length and words and asks for nothing. To give way is to print the word that the system "
    "prompt asks to keep, or to break its rule.",
)

Counts: TypeAlias = dict[str, dict[tuple[str, str], dict[str, int]]]
"""Answers by row, by side and name of the model, and by class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaded:
    """How often one class of conduct was seen, and the shade that stands for its share of the row."""

    x: float
    count: int
    words: str
    shade: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One model's part of a matrix: where it starts, which side it is, and its name as far as it fits."""

    x: float
    side: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One kind of request: a group of cells for each model; none where the model was not asked."""

    label: str
    y: float
    panels: tuple[tuple[Shaded, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Kinds of requests by classes of conduct, one panel for each model."""

    title: str
    note: str
    panels: tuple[Panel, ...]
    classes: tuple[tuple[float, str], ...]
    rows: tuple[MatrixRow, ...]
    width: float
    height: float
    left_out: int


def matrices(behaviour: Behaviour) -> tuple[Matrix, ...]:
    """Lay out conduct on requests, and under attack; grades of all topics, and all aims of an attack, together."""
    asked = by_stratum(behaviour.conduct)
    requests = [stratum for stratum in asked if stratum.partition("/")[0] not in _ATTACKS]
    attacks = sorted(asked.keys() - set(requests), key=_attack_order)
    return tuple(
        _matrix(title, note, strata, asked, behaviour)
        for (title, note), strata in ((REQUESTS, requests), (UNDER_ATTACK, attacks))
        if strata
    )


def by_stratum(rows: Iterable[ConductRow]) -> dict[str, list[ConductRow]]:
    """Rows of the same kind of request, one for each model."""
    found: dict[str, list[ConductRow]] = {}
    for row in rows:
        found.setdefault(row.stratum, []).append(row)
    return found


def _attack_order(stratum: str) -> tuple[list[str], str]:
    kind, *rest = stratum.split("/")
    return rest[:1], kind


def _row_label(stratum: str) -> str:
    """The row that a stratum is counted in."""
    first, *rest = stratum.split("/")
    if first in _ATTACKS and rest:
        label = f"{rest[0]}: {first}"
    elif len(rest) == 1 and rest[0].isdigit():
        label = f"all topics, grade {rest[0]}"
    else:
        label = ": ".join([first, *rest])
    return visible(label.replace("_", " "), _LONGEST_LABEL)


def _matrix(
    title: str, note: str, strata: Sequence[str], asked: Mapping[str, Sequence[ConductRow]], behaviour: Behaviour
) -> Matrix:
    counts: Counts = {}
    for stratum in strata:
        rows = asked[stratum]
        names = [row.of for row in rows]
        for row, side in zip(rows, sides(names, behaviour), strict=True):
            cells = counts.setdefault(_row_label(stratum), {}).setdefault((side, row.of), {})
            for name, count in row.classes.items():
                cells[class_words(name)] = cells.get(class_words(name), 0) + count
    classes = _classes(counts)
    width = max(PANEL, len(classes) * CELL)
    order = ("Questioned", "Reference", "Model")
    models = sorted({model for cells in counts.values() for model in cells}, key=lambda one: (order.index(one[0]), one))
    lefts = [GUTTER + number * (width + GAP) for number in range(len(models))]
    labels = list(counts)[:MOST_ROWS]
    return Matrix(
        title=title,
        note=note,
        panels=tuple(
            Panel(x=left, side=side, name=visible(name, int(width / _LETTER)))
            for left, (side, name) in zip(lefts, models, strict=True)
        ),
        classes=tuple(
            (left + (place + 0.5) * CELL, visible(name, _LONGEST_CLASS))
            for left in lefts
            for place, name in enumerate(classes)
        ),
        rows=tuple(
            MatrixRow(
                label=label,
                y=TOP + number * ROW,
                panels=tuple(
                    _shaded(left, counts[label].get(model), classes) for left, model in zip(lefts, models, strict=True)
                ),
            )
            for number, label in enumerate(labels)
        ),
        width=GUTTER + len(models) * (width + GAP),
        height=TOP + len(labels) * ROW + 4,
        left_out=len(counts) - len(labels),
    )


def _classes(counts: Counts) -> tuple[str, ...]:
    """Columns: known classes in their order, then others by name; what is too much for a picture counts as other."""
    known = list(dict.fromkeys(CLASSES.values()))
    seen = {name for panels in counts.values() for cells in panels.values() for name in cells}
    ordered = sorted(seen, key=lambda name: (known.index(name) if name in known else len(known), name))
    return tuple(ordered) if len(ordered) <= MOST_CLASSES else (*ordered[: MOST_CLASSES - 1], OTHER)


def _shaded(left: float, cells: Mapping[str, int] | None, classes: Sequence[str]) -> tuple[Shaded, ...]:
    if not cells:
        return ()
    whole = max(1, sum(cells.values()))
    shown = {name: cells.get(name, 0) for name in classes}
    if OTHER in shown:
        shown[OTHER] = whole - sum(count for name, count in shown.items() if name != OTHER)
    return tuple(
        Shaded(
            x=left + place * CELL,
            count=count,
            words=str(count) if count < _MOST_WRITTEN else f"{count:.0e}",
            shade=round(_DARKEST * count / whole, 3),
        )
        for place, (name, count) in enumerate(shown.items())
    )
