"""What the commands of a case share: the folder, the key, and what is said once an event was entered."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.cases.case import Case, CaseView
    from whorl.entries.keys import IssuerKey

CaseFolder: TypeAlias = Annotated[Path, typer.Argument(metavar="CASE", help="The case's folder.")]
Reasons: TypeAlias = Annotated[str, typer.Option("--reasons", help="Why, in plain words.")]


def case_at(folder: Path) -> "Case":
    """The case in a folder, with the system's clock."""
    import secrets

    from whorl.cases.case import Case
    from whorl.registry.local import system_clock

    require_input(folder, expected="the folder of a case")
    return Case(folder, now=system_clock, random_bytes=secrets.token_bytes)


def key_at(key: Path | None) -> "IssuerKey":
    """The key that a command signs with."""
    from whorl.cli.registry_access import issuer

    return issuer(key).key


def entered(view: "CaseView", *, as_json: bool) -> Exit:
    """Say what was entered and where the case stands now; `Exit.INCONCLUSIVE` where the run is void."""
    state, last = view.state, view.events[-1].record
    facts = {
        "case": view.id,
        "event": last.sequence,
        "kind": last.kind,
        "stage": state.stage,
        "reply_until": None if state.reply_until is None else f"{state.reply_until:%Y-%m-%dT%H:%M:%SZ}",
        "failed_controls": list(state.failed_controls),
    }
    if as_json:
        print_json({"schema": "whorl.case-event/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        shown = {label.replace("_", " ").capitalize(): str(value) for label, value in facts.items() if value}
        print_facts("Entered", shown | {"Event": str(last.sequence)})
    return Exit.INCONCLUSIVE if last.kind == "unblinded" and state.failed_controls else Exit.DONE


def entered_text(make: "Callable[[], CaseView]", *, as_json: bool) -> Exit:
    """As `entered`, for an event made of words from the command line, which may be none that a case keeps."""
    from pydantic import ValidationError

    try:
        view = make()
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))[:100]
        message = f"expected words and values that a case keeps, found fault with {where}: {problem['msg'][:200]}"
        raise InputError(message) from None
    return entered(view, as_json=as_json)
