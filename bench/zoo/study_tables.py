"""Tables and rates of the validation pages."""

from collections.abc import Iterable, Sequence

from whorl.statistics.intervals import clopper_pearson


def rate(hits: int, total: int) -> str:
    """A share with its counts and Clopper-Pearson interval."""
    if not total:
        return "none"
    lower, upper = clopper_pearson(hits, total)
    return f"{hits} of {total} ({100 * hits / total:.1f} %, 95 % interval {100 * lower:.1f} to {100 * upper:.1f})"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + " --- |" * len(header),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
    ]
