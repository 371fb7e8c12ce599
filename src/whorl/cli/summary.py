"""A finding on one screen: 80 columns, colours on a terminal only, readable in ten seconds."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console
from rich.text import Text

from whorl.comparison.wording import (
    HEADLINES,
    LOG10_REMARKABLE,
    TRANSFORMATIONS,
    LayerStrength,
    at_most,
    decimal,
    layer_strength,
    method_title,
    no_answer,
    ranges,
    unrelated_level,
    visible,
)
from whorl.core.evidence import Direction, Finding, LayerMatch, NotComparable, Relation, Score

WIDTH: Final = 80
LABEL_WIDTH: Final = 14
LONGEST_NAME: Final = 120
LAYERS_PER_ROW: Final = 60
LIMITS_SHOWN: Final = 3
SCORES_SHOWN: Final = 2

_COLOURS: Final[dict[Relation, str]] = {
    "identical": "bold magenta",
    "derived": "bold magenta",
    "shared_initialisation": "bold cyan",
    "none_found": "bold",
    "inconclusive": "bold",
}
_STRIP: Final[dict[LayerStrength, str]] = {"matched": "#", "weak": "+", "none": "."}


class _Screen(Console):
    """A console that leaves a reader who went away to the caller instead of exiting with a status of its own."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def print_finding(finding: Finding, *, page: Path | None) -> None:
    """Print the summary to standard output."""
    console = _console()
    conclusion = finding.conclusion
    _say(console, HEADLINES[conclusion.relation], style=_COLOURS[conclusion.relation])
    _say(console, visible(conclusion.statement))
    console.print()
    for side, subject in (("Questioned", finding.questioned), ("Reference", finding.reference)):
        _fact(console, side, visible(subject.name, LONGEST_NAME))
        _fact(console, "", f"{visible(subject.description, LONGEST_NAME)} ({subject.access})")
    console.print()
    for label, value in _key_facts(finding):
        _fact(console, label, value)
    if finding.layers:
        console.print()
        _print_layers(console, finding)
    _print_unanswered(console, finding)
    _print_limits(console, finding.limits)
    console.print()
    where = "add --html FILE for it" if page is None else str(page)
    _whole("Full report", where)


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print a title and a few labelled lines to standard output."""
    console = _console()
    _say(console, title, style="bold")
    for label, value in facts.items():
        _whole(label, value)


def print_lead(place: int, *, name: str, entry: int, score: float, finding: Finding | str) -> None:
    """Print one search hit and what the pairwise test said of it, or why it could not be tested."""
    console = _console()
    _say(console, f"{place}. {visible(name, LONGEST_NAME)}", style="bold")
    _fact(console, "Entry", str(entry))
    _fact(console, "Search score", f"{score:.3f}")
    if isinstance(finding, str):
        _fact(console, "Not tested", visible(finding))
    else:
        relation = finding.conclusion.relation
        _fact(console, "Tested", HEADLINES[relation], style=_COLOURS[relation])
        _fact(console, "", visible(finding.conclusion.statement))
    console.print()


def print_lines(*lines: str) -> None:
    """Print plain sentences to standard output."""
    console = _console()
    for line in lines:
        _say(console, visible(line))


def _key_facts(finding: Finding) -> list[tuple[str, str]]:
    conclusion = finding.conclusion
    facts = [("Exact test", _exact_tier(conclusion.log10_p))]
    scores = [e for e in finding.evidence if isinstance(e, Score) and e.tier == "T3"]
    facts += [("Agreement" if score is scores[0] else "", _agreement(score)) for score in scores[:SCORES_SHOWN]]
    if conclusion.log10_lr is not None:
        facts.append(("Likelihood", f"log10 LR {conclusion.log10_lr:.1f} (bounded by its population)"))
    if conclusion.relation in ("none_found", "inconclusive"):
        return facts
    facts.append(("Direction", _direction(conclusion.direction, conclusion.direction_reason)))
    changes = [TRANSFORMATIONS[name] for name in conclusion.transformations]
    facts.append(("Changes", ", ".join(changes) if changes else "none established"))
    return facts


def _exact_tier(log10_p: float | None) -> str:
    if log10_p is None:
        return "none ran"
    meaning = "by position, if the two were independent"
    return f"p <= {at_most(log10_p)} {meaning if log10_p <= LOG10_REMARKABLE else 'by position: nothing stands out'}"


def _agreement(score: Score) -> str:
    return f"{decimal(score.value)}, {unrelated_level(score)} ({method_title(visible(score.method)).lower()})"


def _direction(direction: Direction | None, reason: str) -> str:
    if direction is None:
        return f"not told: {visible(reason)}"
    shares = (
        f"questioned from reference {direction.questioned_from_reference:.2f}",
        f"reverse {direction.reference_from_questioned:.2f}",
        f"common ancestor {direction.common_ancestor:.2f}",
    )
    return ", ".join(shares)


def _print_layers(console: Console, finding: Finding) -> None:
    layers = finding.layers
    strip = "".join(_STRIP[layer_strength(layer)] for layer in layers)
    for start in range(0, len(strip), LAYERS_PER_ROW):
        label = "Layers" if start == 0 else ""
        _fact(console, label, f"{layers[start].questioned:>3} {strip[start : start + LAYERS_PER_ROW]}")
    legend = f"# matched {strip.count('#')}   + weak {strip.count('+')}   . none {strip.count('.')}"
    _fact(console, "", legend + _order_note(layers))
    if finding.unmatched_reference_layers and strip.strip(_STRIP["none"]):
        _fact(console, "", f"reference layers without a counterpart: {ranges(finding.unmatched_reference_layers)}")


def _order_note(layers: tuple[LayerMatch, ...]) -> str:
    mapped = [layer.reference for layer in layers if layer.reference is not None]
    if len(mapped) < 2 or all(layer.reference in (None, layer.questioned) for layer in layers):
        return ""
    return "   (some at other depths)"


def _print_unanswered(console: Console, finding: Finding) -> None:
    unanswered = [e for e in finding.evidence if isinstance(e, NotComparable) and e.reason != "not_needed"]
    if not unanswered:
        return
    console.print()
    _say(console, "What could not run")
    for evidence in unanswered:
        _say(console, f"{method_title(visible(evidence.method))} ({evidence.tier}): {no_answer(evidence)}", indent=2)


def _print_limits(console: Console, limits: tuple[str, ...]) -> None:
    if not limits:
        return
    console.print()
    _say(console, "What this does not show")
    for limit in limits[:LIMITS_SHOWN]:
        _say(console, visible(limit), indent=2)
    if len(limits) > LIMITS_SHOWN:
        _say(console, f"And {len(limits) - LIMITS_SHOWN} more, in the full report.", indent=2)


def _console() -> Console:
    console = _Screen(file=sys.stdout, markup=False, highlight=False, emoji=False)
    console.width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    return console


def _whole(label: str, value: str) -> None:
    """A digest or a path stays on one line, to be copied."""
    print(f"{label:<{LABEL_WIDTH}}{visible(value)}")


def _say(console: Console, text: str, *, style: str = "", indent: int = 0) -> None:
    _fact(console, "", text, style=style, indent=indent)


def _fact(console: Console, label: str, value: str, *, style: str = "", indent: int = LABEL_WIDTH) -> None:
    heading = label.ljust(indent)
    for line in Text(value, style=style).wrap(console, console.width - indent):
        line.rstrip()
        console.print(Text.assemble((heading, "dim"), line))
        heading = " " * indent
