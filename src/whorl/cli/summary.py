"""A finding on one screen: 80 columns, colours on a terminal only, readable in ten seconds."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console
from rich.text import Text

from whorl.comparison.wording import (
    ALTERNATIVES,
    HEADLINES,
    LOG10_REMARKABLE,
    NOT_A_RATIO_OF_DESCENT,
    TRANSFORMATIONS,
    LayerStrength,
    at_most,
    bounded,
    decimal,
    is_posterior,
    layer_strength,
    least_favourable,
    method_title,
    nearest_cap,
    no_answer,
    percent,
    population_name,
    ranges,
    ratios_of,
    seen,
    tenths,
    three_shares,
    unrelated_level,
    visible,
    without_ratio,
)
from whorl.core.evidence import (
    Alternative,
    Direction,
    Finding,
    LayerMatch,
    LikelihoodRatio,
    NotComparable,
    Power,
    PValue,
    Relation,
    Score,
)

WIDTH: Final = 80
LABEL_WIDTH: Final = 14
LONGEST_NAME: Final = 120
LAYERS_PER_ROW: Final = 60
LIMITS_SHOWN: Final = 3
SCORES_SHOWN: Final = 2
RATIO_LABEL_WIDTH: Final = 26
POWER_LABEL_WIDTH: Final = 22

_COLOURS: Final[dict[Relation, str]] = {
    "identical": "bold magenta",
    "derived": "bold magenta",
    "shared_initialisation": "bold cyan",
    "none_found": "bold",
    "inconclusive": "bold",
}
_AGAINST: Final[dict[Alternative, str]] = {
    "independent": "independent training",
    "same_data": "same training data",
    "same_seed": "a common start alone",
    "common_ancestor": "a common ancestor",
}
_SHORT: Final = {ALTERNATIVES[name]: short for name, short in _AGAINST.items()}
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
    _print_ratios(console, finding)
    if finding.layers:
        console.print()
        _print_layers(console, finding)
    _print_power(console, finding)
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


def print_lead(
    place: int,
    *,
    name: str,
    entry: str,
    claimant: str,
    remarks: Sequence[tuple[str, str]],
    score: float,
    finding: Finding | str,
) -> None:
    """Print one search hit and what the pairwise test said of it, or why it could not be tested."""
    console = _console()
    _say(console, f"{place}. {visible(name, LONGEST_NAME)}", style="bold")
    _fact(console, "Entry", entry)
    _fact(console, "Claimant", claimant)
    for label, remark in remarks:
        _fact(console, label, visible(remark))
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
    keyed = [("Key", _keyed(e)) for e in finding.evidence if isinstance(e, PValue) and e.tier == "T0"]
    facts = [("Exact test", _exact_tier(conclusion.log10_p, where="by position or key" if keyed else "by position"))]
    facts += keyed
    scores = [e for e in finding.evidence if isinstance(e, Score) and e.tier == "T3"]
    facts += [("Agreement" if score is scores[0] else "", _agreement(score)) for score in scores[:SCORES_SHOWN]]
    if conclusion.relation in ("none_found", "inconclusive"):
        return facts
    facts += _direction(conclusion.direction, conclusion.direction_reason)
    changes = [TRANSFORMATIONS[name] for name in conclusion.transformations]
    facts.append(("Changes", ", ".join(changes) if changes else "none established"))
    return facts


def _exact_tier(log10_p: float | None, *, where: str) -> str:
    if log10_p is None:
        return "none ran"
    meaning = ", if the two were independent" if log10_p <= LOG10_REMARKABLE else ": nothing stands out"
    return f"p <= {at_most(log10_p)} {where}{meaning}"


def _keyed(evidence: PValue) -> str:
    left = evidence.statistic
    shares = f"{left['share']:.2f} [{left['share_lower']:.2f}, {left['share_upper']:.2f}]"
    return f"p <= {at_most(evidence.log10_p)} if made without the key; {shares} of the mark is left"


def _agreement(score: Score) -> str:
    return f"{decimal(score.value)}, {unrelated_level(score)} ({method_title(visible(score.method)).lower()})"


def _direction(direction: Direction | None, reason: str) -> list[tuple[str, str]]:
    short = visible(reason.partition(";")[0])
    if direction is None:
        return [("Direction", f"not told: {short}")]
    if not is_posterior(direction):
        return [("Direction", visible(reason))]
    shares = ", ".join(f"{percent(share)} {reading}" for reading, _, share in three_shares(direction))
    return [("Direction", shares), ("", f"{short} (all three taken as equally probable before)")]


def _print_ratios(console: Console, finding: Finding) -> None:
    ratios, none = ratios_of(finding), without_ratio(finding)
    if finding.conclusion.relation == "identical" or not (ratios or none):
        return
    console.print()
    _say(console, "Weight of evidence for shared training")
    for ratio in ratios:
        _fact(console, f"  vs {_AGAINST[ratio.alternative]}", _ratio(ratio), indent=RATIO_LABEL_WIDTH)
    for item in none:
        asked, _, why = item.detail.partition(": ")
        short = _SHORT.get(asked.removeprefix("no ratio against "))
        if short is None:
            _say(console, visible(item.detail), indent=2)
        else:
            _fact(console, f"  vs {short}", f"no ratio: {visible(why)}", indent=RATIO_LABEL_WIDTH)
    headline = least_favourable(finding)
    if headline is None:
        return
    _say(console, f"Least favourable: {bounded(headline)}, against {_AGAINST[headline.alternative]}.", indent=2)
    if any(ratio.alternative == "common_ancestor" for ratio in ratios):
        _say(console, NOT_A_RATIO_OF_DESCENT, indent=2)
    log10_p = finding.conclusion.log10_p
    if headline.log10_lr <= 0 and log10_p is not None and log10_p <= LOG10_REMARKABLE:
        _say(console, "Ratios weigh how neurons agree; the exact test is no part of them.", indent=2)
    _say(
        console,
        "Central value, 95 % interval and cap are log10 of ratios calibrated on the population "
        f"{visible(population_name(finding, headline))}.",
        indent=2,
    )


def _ratio(ratio: LikelihoodRatio) -> str:
    return (
        f"{bounded(ratio):<16} central {tenths(ratio.central)} [{tenths(ratio.lower)}, {tenths(ratio.upper)}], "
        f"cap {tenths(nearest_cap(ratio))}"
    )


def _print_power(console: Console, finding: Finding) -> None:
    simulated = [item for item in finding.evidence if isinstance(item, Power)]
    silent = [item for item in finding.evidence if isinstance(item, NotComparable) and item.tier == "T5"]
    if not (simulated or silent):
        return
    console.print()
    _say(console, "Would have seen (share of simulated copies of the reference, 95 % interval)")
    for item in simulated:
        _fact(console, f"  {seen(item)}", visible(item.change), indent=POWER_LABEL_WIDTH)
    for missing in silent:
        _say(console, f"not known: {visible(missing.detail)}", indent=2)


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
    told = without_ratio(finding)  # there, beside the ratios
    unanswered = [
        item
        for item in finding.evidence
        if isinstance(item, NotComparable) and item.reason != "not_needed" and item.tier != "T5" and item not in told
    ]
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
    print(f"{label:<{LABEL_WIDTH - 1}} {visible(value)}")


def _say(console: Console, text: str, *, style: str = "", indent: int = 0) -> None:
    _fact(console, "", text, style=style, indent=indent)


def _fact(console: Console, label: str, value: str, *, style: str = "", indent: int = LABEL_WIDTH) -> None:
    heading = label.ljust(indent)
    for line in Text(value, style=style).wrap(console, console.width - indent):
        line.rstrip()
        console.print(Text.assemble((heading, "dim"), line))
        heading = " " * indent
