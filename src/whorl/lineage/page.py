"""A lineage as one self-contained page: a picture to move about in, and the same as a table.

Nothing is loaded from elsewhere: style and script stand in the page, and its content policy admits these two and
nothing else. Names come out of files that may be hostile: every value is escaped by the template engine, and control
and direction-changing characters are written out.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from whorl.comparison.report import GENERATOR
from whorl.comparison.wording import visible
from whorl.core.errors import InputError
from whorl.lineage.document import DASHED_BELOW, Edge, Lineage, Node
from whorl.lineage.outline import Row, outline
from whorl.lineage.wording import EDGE_TITLES, EDGE_WORDS, counted, is_descent

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

ROW: Final = 30
LETTER: Final = 7.2
GAP: Final = 56
LONGEST: Final = 26
MARGIN: Final = 20
BEND: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A node in the picture: the middle of its dot, and its label."""

    node: Node
    x: float
    y: float
    label: str
    parents: tuple[Edge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """An edge in the picture: the path from parent to child."""

    edge: Edge
    path: str
    dashed: bool


def render_page(lineage: Lineage) -> str:
    """The page, as a complete HTML document.

    Raises
    ------
    InputError
        If the page's template engine is not installed.
    """
    environment = _environment()
    rows = outline(lineage)
    spots = _spots(rows, lineage)
    style = environment.get_template("lineage.css").render()
    script = environment.get_template("lineage.js").render()
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    return environment.get_template("lineage.html").render(
        lineage=lineage,
        rows=rows,
        spots=spots,
        curves=_curves(lineage, rows, spots),
        width=max(spot.x + LETTER * len(spot.label) for spot in spots) + 2 * MARGIN,
        height=ROW * (len(rows) + _groups_started(rows)) + MARGIN,
        names={node.id: node.name for node in lineage.nodes},
        words=EDGE_WORDS,
        titles=EDGE_TITLES,
        counted=counted(lineage.edges),
        generator=GENERATOR,
        style=_markup(style),
        script=_markup(script),
        policy=policy,
        models=sum(node.kind == "model" for node in lineage.nodes),
        unseen=sum(node.kind == "unseen" for node in lineage.nodes),
        dashed_below=DASHED_BELOW,
    )


def require_page_engine() -> None:
    """Raise `InputError` if no page can be made: to be asked before the work, not after it."""
    _environment()


def _spots(rows: Sequence[Row], lineage: Lineage) -> list[Spot]:
    """One row per node, one column per depth, as wide as the longest label in it."""
    labels = [visible(row.node.name, LONGEST) if row.node.kind == "model" else "unseen" for row in rows]
    widths: dict[int, float] = {}
    for row, label in zip(rows, labels, strict=True):
        widths[row.depth] = max(widths.get(row.depth, 0.0), LETTER * len(label))
    left = {depth: MARGIN + sum(widths[d] + GAP for d in range(depth)) for depth in widths}
    parents: dict[str, list[Edge]] = {}
    for edge in lineage.edges:
        parents.setdefault(edge.child, []).append(edge)
    spots: list[Spot] = []
    y = MARGIN - ROW / 2
    for row, label in zip(rows, labels, strict=True):
        y += ROW * (2 if row.depth == 0 and spots else 1)
        spots.append(
            Spot(node=row.node, x=left[row.depth], y=y, label=label, parents=tuple(parents.get(row.node.id, ())))
        )
    return spots


def _groups_started(rows: Sequence[Row]) -> int:
    return max(0, sum(row.depth == 0 for row in rows) - 1)


def _curves(lineage: Lineage, rows: Sequence[Row], spots: Sequence[Spot]) -> list[Curve]:
    """Edges of the outline go down the trunk below the parent's dot and then across, the others straight over."""
    at = {spot.node.id: spot for spot in spots}
    shown = {(row.below, row.node.id): row.edge for row in rows}
    found = []
    for edge in lineage.edges:
        start, end = at[edge.parent], at[edge.child]
        if shown.get((edge.parent, edge.child)) == edge:
            turn = f"V{end.y - BEND:.0f}Q{start.x:.0f} {end.y:.0f} {start.x + BEND:.0f} {end.y:.0f}H{end.x:.0f}"
            path = f"M{start.x:.0f} {start.y:.0f}{turn}"
        else:
            reach = max(40.0, abs(end.x - start.x) / 2)
            # Not beyond the picture's left edge, where what stands beside each other is joined.
            side = -min(reach, start.x) if end.x <= start.x else reach
            into = end.x - min(reach, end.x)
            ends = f"{start.x + side:.0f} {start.y:.0f} {into:.0f} {end.y:.0f} {end.x:.0f} {end.y:.0f}"
            path = f"M{start.x:.0f} {start.y:.0f}C{ends}"
        found.append(Curve(edge=edge, path=path, dashed=edge.confidence < DASHED_BELOW))
    return found


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _markup(text: str) -> "Markup":
    from markupsafe import Markup

    return Markup(text)


def _environment() -> "Environment":
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise InputError("the page needs the package jinja2; install it with: pip install 'whorl[report]'") from error
    environment = Environment(
        loader=PackageLoader("whorl.lineage"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent}
    environment.tests |= {"descent": is_descent}
    return environment


def _shown(value: Any) -> Any:
    """What the engine prints for a value: plain text is made visible first, markup and numbers pass."""
    return visible(value) if type(value) is str else value


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
