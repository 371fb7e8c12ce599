"""A comparison of answers on one screen: four answers that stay apart, 80 columns, readable without colour."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from whorl.cli.summary import LABEL_WIDTH, LIMITS_SHOWN, LONGEST_NAME, WIDTH, print_facts, print_lines
from whorl.comparison.behaviour_wording import (
    A_LEAD,
    FROM_POPULATION,
    TITLES,
    Asking,
    family_title,
    figures,
    headline,
    is_asked,
    is_lead,
    outcome_words,
    rounded,
    verdicts_of,
)
from whorl.comparison.wording import visible
from whorl.core.behaviour import AskedModel, Behaviour, BehaviourEvidence, Verdict

CANDIDATES_SHOWN: Final = 4
FLAGS_SHOWN: Final = 3
WARNINGS_SHOWN: Final = 4
"""As many as there are: one of each side, one of controls that answer alike, one of names."""
LONGEST_FLAG: Final = 200
LONGEST_TEXT: Final = 600
_SCREEN: Final = Console(width=WIDTH)


def print_behaviour(behaviour: Behaviour, *, page: Path | None = None) -> None:
    """Print the summary to standard output.

    Parameters
    ----------
    page : where the whole report was written, if it was
    """
    print_facts(headline(behaviour), {})
    print_lines(*_labelled("", behaviour.statement, indent=0), "")
    for warning in behaviour.warnings[:WARNINGS_SHOWN]:
        print_lines(*_labelled("Warning", warning))
    print_lines(*_sides(behaviour), "")
    for asking, verdict in verdicts_of(behaviour.verdicts).items():
        print_lines(*_verdict(behaviour, asking, verdict))
    for title, lines in (("Described, and no part of the answers above", _described(behaviour)), *_rest(behaviour)):
        if lines:
            print_lines("", title, *lines)
    print_facts("", {"Full report": "add --html FILE for it" if page is None else str(page)})


def _sides(behaviour: Behaviour) -> Iterator[str]:
    """Who was asked, what is said of them, and the control models."""
    for label, one in (("Questioned", behaviour.questioned), ("Reference", behaviour.reference)):
        if one is not None:
            yield from _labelled(label, visible(one.name, LONGEST_NAME))
            yield from _labelled("", _asked(one))
            for flag in one.flags[:FLAGS_SHOWN]:
                yield from _labelled("", f"odd: {visible(flag, LONGEST_FLAG)}")
            if len(one.flags) > FLAGS_SHOWN:
                yield from _labelled("", f"and {len(one.flags) - FLAGS_SHOWN} more oddities")
    if behaviour.claimed is not None:
        yield from _labelled("Claims", visible(behaviour.claimed, LONGEST_NAME))
    controls = behaviour.population
    said = "none: only a difference could be shown"
    if controls is not None:
        said = f"{controls.models} control models of {controls.families} lines"
    yield from _labelled("Population", said)


def _asked(one: AskedModel) -> str:
    answered = f"{one.answered} of {one.asked} questions answered"
    if one.address == FROM_POPULATION:
        return f"{answered}, from the population"
    served = f", reports {visible(', '.join(one.served_models), LONGEST_NAME)}" if one.served_models else ""
    where = "" if one.address == one.name else f"{visible(one.address, LONGEST_NAME)}, "
    return f"{where}{answered}{served}"


def _verdict(behaviour: Behaviour, asking: Asking, verdict: Verdict) -> Iterator[str]:
    """One answer and what it rests on. Why only where it was asked, and the statement does not say it already."""
    rests = ", ".join(f"{name} {figure}" for name, figure, _ in figures(asking, verdict))
    said = outcome_words(asking, verdict)
    if is_lead(asking, verdict):
        said += f" ({A_LEAD})"
    if not is_asked(behaviour, asking):
        said += " (not what was asked)"
    yield from _labelled(TITLES[asking], f"{said} [{rests}]" if rests else said)
    if not is_asked(behaviour, asking):
        return
    if verdict.reason not in behaviour.statement:
        yield from _labelled("", verdict.reason)
    others = verdict.candidates[1:CANDIDATES_SHOWN]
    if is_lead(asking, verdict) and others:
        near = (f"{visible(one.name, LONGEST_NAME)} ({rounded(one.score)})" for one in others)
        yield from _labelled("", f"Next to it, with their scores: {', '.join(near)}")


def _described(behaviour: Behaviour) -> list[str]:
    return [
        line
        for item in behaviour.evidence
        if item.speaks_to == "description" and item.outcome == "measured"
        for line in _statistic(item)
    ]


def _statistic(item: BehaviourEvidence) -> Iterator[str]:
    return _labelled("", f"{family_title(visible(item.family, LONGEST_NAME))}: {item.detail}", indent=2)


def _rest(behaviour: Behaviour) -> Iterator[tuple[str, list[str]]]:
    """What could not run, and the limits, each as far as a screen has room."""
    silent = [line for item in behaviour.evidence if item.outcome == "not_testable" for line in _statistic(item)]
    yield "What could not run", silent
    limits = [line for limit in behaviour.limits[:LIMITS_SHOWN] for line in _labelled("", limit, indent=2)]
    if len(behaviour.limits) > LIMITS_SHOWN:
        limits += _labelled("", f"And {len(behaviour.limits) - LIMITS_SHOWN} more, in the full report.", indent=2)
    yield "What this does not show", limits


def _labelled(label: str, text: str, *, indent: int = LABEL_WIDTH) -> Iterator[str]:
    """Untrusted text wrapped beside a label, by how wide its characters are on a terminal."""
    heading = label.ljust(indent)
    for line in Text(visible(text, LONGEST_TEXT)).wrap(_SCREEN, WIDTH - indent):
        yield f"{heading}{line.plain.rstrip()}"
        heading = " " * indent
