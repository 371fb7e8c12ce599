"""What ``whorl dossier`` prints: how the steps ended, and what a file says of itself."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from whorl.dossiers.examination import Step
    from whorl.dossiers.showing import Outline
    from whorl.dossiers.verifying import Verification

_WIDTH: Final = 80
_INDENT: Final = 29
_VERDICTS: Final = {
    None: "none: no opinion is in force",
    "supports_claim": "supports the claim",
    "supports_shared_weights": "supports shared weights, not who had them first",
    "supports_alternative": "supports an alternative to the claim",
    "inconclusive": "inconclusive",
    "not_answerable": "not answerable",
    "void": "void",
}
_OUTCOMES: Final = {"passed": "holds", "failed": "FAILED", "not_checked": "not checked"}


def verification_document(found: "Verification", file: Path) -> dict[str, Any]:
    """The result as ``--json`` prints it."""
    return {
        "schema": "whorl.dossier-verification/1",
        "file": str(file),
        "case": found.case,
        "issuer": found.issuer,
        "verdict": found.verdict,
        "void": found.void,
        "hearing": found.hearing,
        "signed": {
            side: None if reach is None else {"first": reach.first, "last": reach.last}
            for side, reach in found.signed.items()
        },
        "failed": [step.number for step in found.failed],
        "not_checked": [step.number for step in found.not_checked],
        "steps": [
            {"number": step.number, "name": step.name, "outcome": step.outcome, "detail": step.detail}
            for step in found.steps
        ],
    }


def print_verification(found: "Verification", *, expected: bool) -> None:
    """Print how each step ended; ``expected`` is whether the reader brought a case or a key."""
    from whorl.cli.summary import print_facts, print_lines
    from whorl.comparison.wording import visible

    facts = {"Case": found.case or "not established", "Issuer": found.issuer or "not established"}
    if not found.failed:
        facts["Verdict"] = "none: the run is void, nothing in it counts" if found.void else _VERDICTS[found.verdict]
    print_facts(_heading(found), facts)
    print()
    for step in found.steps:
        label = f"{step.number:>2} {step.name:<13}{_OUTCOMES[step.outcome]:<13}"
        print(_filled(visible(step.detail), label))
    if found.failed:
        return
    if found.not_checked:
        print_lines("", "What was not checked is not claimed to hold.")
    print_lines(
        "",
        "Report and exports in the file are as its issuer made them: what they say was not held against the opinion.",
    )
    if not expected:
        print_lines(
            "", "No case and no key was given that you expect: case and issuer are what the file says they are."
        )


def _filled(detail: str, label: str) -> str:
    """The detail beside its label; digests and keys stay whole, to be copied."""
    return textwrap.fill(
        detail,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def outline_document(found: "Outline") -> dict[str, Any]:
    """The outline as ``--json`` prints it."""
    return {
        "schema": "whorl.dossier-outline/1",
        "checked": False,
        "case": found.case,
        "root": found.root.model_dump(mode="json"),
        "opened": None if found.opened is None else found.opened.model_dump(mode="json"),
        "events": [
            event.record.model_dump(mode="json") | {"hash": event.record.hash.hex(), "erased": event.body is None}
            for event in found.events
        ],
        "files": {kind: {"count": count, "bytes": size} for kind, (count, size) in sorted(found.files.items())},
    }


def print_outline(found: "Outline") -> None:
    """Print what the file says of itself."""
    from whorl.cli.summary import print_facts, print_lines

    opened = found.opened
    facts = {"Case": found.case, "Issuer": found.root.keys[0], "Built": found.root.built_at}
    if opened is not None:
        facts |= {"Question": opened.question, "Questioned": opened.questioned.name, "Reference": opened.reference.name}
        facts |= {party.role.replace("_", " ").capitalize(): party.name for party in opened.parties}
    print_facts("Dossier, not checked" if opened is None else f"{opened.title} (not checked)", facts)
    print_lines("", "Events")
    names = {} if opened is None else {party.id: party.role for party in opened.parties}
    for event in found.events:
        record = event.record
        erased = ", erased" if event.body is None else ""
        actor = names.get(record.actor, f"key {record.actor[:16]}")
        print_lines(f"  {record.sequence:>3} {record.at} {record.kind}{erased}, by {actor.replace('_', ' ')}")
    print_lines("", "Files")
    for kind, (count, size) in sorted(found.files.items()):
        print_lines(f"  {count:>5} {kind}, {size} bytes")
    print_lines("", "This is what the file says of itself. Whether it holds, `whorl dossier verify` tells.")


def _heading(found: "Verification") -> str:
    if found.failed:
        return f"Refused: {_numbered(found.failed)} failed"
    if found.not_checked:
        return f"Holds as far as it was checked; {_numbered(found.not_checked)} could not be"
    return "Every step holds"


def _numbered(steps: "tuple[Step, ...]") -> str:
    numbers = [str(step.number) for step in steps]
    return f"step {numbers[0]}" if len(numbers) == 1 else f"steps {', '.join(numbers[:-1])} and {numbers[-1]}"
