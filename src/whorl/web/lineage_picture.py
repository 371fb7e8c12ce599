"""The neighbours of a model as a picture: what its claimant declares, and what examiners found.

Older models stand above. A dashed line is a claimant's word, a solid one an examiner's finding. The page holds the
same as a list, which is what a screen reader reads.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

BOX_WIDTH: Final = 164
BOX_HEIGHT: Final = 46
GAP: Final = 28
ROW: Final = 122
MARGIN: Final = 8
LETTERS: Final = 21
SMALL_LETTERS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A model in the picture.

    Parameters
    ----------
    key : tells it from the others
    rank : row; the page's model has 0, those above it less, those below it more
    entry : id of its entry; None where only a name or a content is known
    """

    key: str
    rank: int
    name: str
    claimant: str | None
    entry: str | None
    is_subject: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Somebody says that one model comes from another, or starts where it started.

    Parameters
    ----------
    above, below : keys of the nodes
    words : how the lower one relates to the upper one
    said_by : who says so
    source : whether the claimant declares it, or an examiner found it
    by : id of the entry that says so
    annulled_notices : of a finding, ids of notices that cite it and were annulled
    """

    above: str
    below: str
    words: str
    said_by: str
    source: Literal["declared", "found"]
    by: str
    annulled_notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node where it is drawn."""

    node: Node
    x: float
    y: float
    label: str
    claimant: str

    @property
    def middle(self) -> float:
        return self.x + BOX_WIDTH / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Edges that say the same of the same two models, where they are drawn, and where their words stand."""

    source: Literal["declared", "found"]
    words: str
    path: str
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All of it."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


def draw(nodes: Sequence[Node], edges: Sequence[Edge]) -> Picture:
    """Rows by rank, each in the middle."""
    rows: dict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        rows[node.rank].append(node)
    widest = max(len(row) for row in rows.values())
    width = widest * (BOX_WIDTH + GAP) - GAP + 2 * MARGIN
    boxes = {}
    for place, rank in enumerate(sorted(rows)):
        row = rows[rank]
        left = (width - len(row) * (BOX_WIDTH + GAP) + GAP) / 2
        for column, node in enumerate(row):
            boxes[node.key] = Box(
                node=node,
                x=left + column * (BOX_WIDTH + GAP),
                y=MARGIN + place * ROW,
                label=cut_to_width(node.name, LETTERS),
                claimant=cut_to_width(node.claimant or "", SMALL_LETTERS),
            )
    height = 2 * MARGIN + (len(rows) - 1) * ROW + BOX_HEIGHT
    return Picture(boxes=tuple(boxes.values()), lines=tuple(_lines(edges, boxes)), width=width, height=height)


def cut_to_width(text: str, letters: int) -> str:
    """A beginning of a text that is at most so many narrow letters wide; ideographs count twice."""
    taken = 0
    for place, letter in enumerate(text):
        taken += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if taken > letters:
            return f"{text[: max(0, place - 1)]}\N{HORIZONTAL ELLIPSIS}"
    return text


def _lines(edges: Sequence[Edge], boxes: Mapping[str, Box]) -> Iterator[Line]:
    """One line for all who say the same; words stand where lines are apart: near the end that fewer of them share."""
    said = Counter((edge.above, edge.below, edge.words, edge.source) for edge in edges)
    fan_out = Counter(above for above, *_ in said)
    fan_in = Counter(below for _, below, *_ in said)
    for (above, below, words, source), number in said.items():
        short = words.removesuffix(" with").removesuffix(" as")
        yield _line(
            boxes[above],
            boxes[below],
            source=source,
            words=short if number == 1 else f"{short} ({number})",
            share=0.2 if fan_in[below] > fan_out[above] else 0.8 if fan_out[above] > 1 else 0.5,
        )


def _line(above: Box, below: Box, *, source: Literal["declared", "found"], words: str, share: float) -> Line:
    """A curve from box to box, and the point on it at a share of the way."""
    start, end = above.y + BOX_HEIGHT, below.y
    half = (start + end) / 2
    path = f"M{above.middle:.0f} {start:.0f}C{above.middle:.0f} {half:.0f} {below.middle:.0f} {half:.0f} "
    path += f"{below.middle:.0f} {end:.0f}"
    bent = share * share * (3 - 2 * share)  # how far over a curve with these control points is by then
    x = above.middle + bent * (below.middle - above.middle)
    y = (1 - share) ** 3 * start + 3 * share * (1 - share) * half + share**3 * end
    return Line(source=source, words=words, path=path, x=x, y=y)
