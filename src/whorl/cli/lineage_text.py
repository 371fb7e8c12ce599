"""A lineage on the terminal: an indented tree, one model per line."""

from pathlib import Path
from typing import Final

from whorl.cli.summary import print_lines
from whorl.comparison.wording import visible
from whorl.lineage.document import TRAINED, Edge, EdgeKind, Lineage
from whorl.lineage.outline import Row, outline
from whorl.lineage.wording import counted

LONGEST_NAME: Final = 60
LEAST_SURE: Final = 0.8
LEGEND: Final = (
    "Indented: derived from, or shares trained weights with; nothing else is indented. "
    '"?" marks less than 80 % confidence, "--" an edge whose direction is not established. It says nothing about who '
    "did what."
)
_SIGNS: Final[dict[EdgeKind, str]] = {
    "derived": "",
    "merge": "merge",
    "shares_ancestor": "trained weights of a common ancestor",
    "undecided": "undecided, trained weights or a common start alone",
    "same_start": "no descent, same start and trained apart",
}


def print_lineage(lineage: Lineage, *, page: Path | None) -> None:
    """Print the tree, what stands alone, and what could not be read, to standard output."""
    names = {node.id: _shown(node.name) for node in lineage.nodes}
    alone = set(lineage.singles)
    for row in outline(lineage):
        if row.node.id not in alone:
            print_lines(_line(row, names))
    if lineage.groups:
        print_lines("", f"{counted(lineage.edges)}, in {_count(len(lineage.groups), 'group')}.")
        print_lines(LEGEND)
    else:
        print_lines("No two of these models share weights, as far as the tests could see.")
    if lineage.singles:
        print_lines("", f"Without any relation: {', '.join(names[one] for one in lineage.singles)}")
    for node in lineage.nodes:
        if node.remark is not None:
            print_lines(f"Note on {names[node.id]}: {visible(node.remark, 400)}")
    for pair in lineage.not_compared[:5]:
        print_lines(f"Not comparable: {names[pair.one]} and {names[pair.other]}: {visible(pair.reason)}")
    if len(lineage.not_compared) > 5:
        print_lines(f"and {len(lineage.not_compared) - 5} more pairs that are not comparable (see --json)")
    for item in lineage.unread:
        print_lines(f"Could not be read: {_shown(item.name)}: {visible(item.problem, 400)}")
    if page is not None:
        print_lines("", f"Picture: {page}")


def _line(row: Row, names: dict[str, str]) -> str:
    indent = "".join("   " if last else "|  " for last in row.last[1:-1])
    branch = "" if row.depth == 0 else ("`- " if row.last[-1] else "|- ")
    notes = [] if row.edge is None else [_note(row.edge)]
    notes += [_further(edge, names[edge.parent]) for edge in row.further]
    said = "; ".join(note for note in notes if note)
    name = names[row.node.id] if row.node.kind == "model" else f"({names[row.node.id]})"
    return f"{indent}{branch}{name}" + (f"  [{said}]" if said else "")


def _further(edge: Edge, parent: str) -> str:
    """A relation that the indentation does not show."""
    if edge.kind in TRAINED:
        return f"also {_note(edge)} from {parent}" if edge.kind != "shares_ancestor" else f"{_note(edge)} with {parent}"
    return f"{_note(edge)}: {parent}"


def _note(edge: Edge) -> str:
    words = [_SIGNS[edge.kind]]
    if edge.share is not None:
        words.append(f"{100 * edge.share:.0f} %")
    if not edge.directed and edge.kind == "derived":
        words.append("--")
    if edge.confidence < LEAST_SURE and edge.kind != "undecided":
        words.append("?")
    return " ".join(word for word in words if word)


def _shown(name: str) -> str:
    return visible(name, LONGEST_NAME)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
