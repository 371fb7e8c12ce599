"""Tables and figures as docs/validation-behaviour.md writes them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
SPOKEN = {
    "same_weights": "same weights",
    "derived": "derived",
    "siblings": "siblings",
    "same_family": "same family",
    "distilled": "distilled",
    "unrelated": "unrelated",
}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table, with an empty line after it."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + " --- |" * len(header),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
        "",
    ]


def between(row: Figures, key: str) -> str:
    """A figure with its interval."""
    return f"{row[key]:.3f} ({row['lower']:.3f} to {row['upper']:.3f})"


def percent(row: Figures) -> str:
    """A share with its interval, in percent."""
    return f"{100 * row['rate']:.1f} % ({100 * row['lower']:.1f} to {100 * row['upper']:.1f})"


def optional(value: float | None, form: str = ".2f") -> str:
    """A figure, or "none"."""
    return "none" if value is None else f"{value:{form}}"
