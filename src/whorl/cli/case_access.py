"""What the commands of a case share: where it is, the key, and what is said once an event was entered."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input
from whorl.cli.registry_access import default_key_file, is_url, issuer
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.cases.case import Case, CaseView
    from whorl.cases.remote_store import RemoteStore
    from whorl.dossiers.events import Opened, Replicated
    from whorl.entries.keys import IssuerKey

CasePlace: TypeAlias = Annotated[
    str, typer.Argument(metavar="CASE", help="The case's folder, or its URL at the bureau that keeps it.")
]
CaseKey: TypeAlias = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", envvar="WHORL_KEY", help="Your private key, for a case at a bureau."),
]
_MOST_SHOWN: Final = 20
Reasons: TypeAlias = Annotated[str, typer.Option("--reasons", help="Why, in plain words.")]


def case_at(place: str, key: Path | None) -> "Case":
    """The case in a folder, or the one that a bureau keeps, with the system's clock.

    Parameters
    ----------
    key : file of the key that requests to the bureau are signed with; a folder needs none
    """
    import secrets

    from whorl.cases.case import Case
    from whorl.registry.local import system_clock

    if not is_url(place):
        require_input(Path(place), expected="the folder of a case")
        return Case(Path(place), now=system_clock, random_bytes=secrets.token_bytes)
    store, close = remote_store(place, key)
    case = Case(store, now=system_clock, random_bytes=secrets.token_bytes)
    weakref.finalize(case, close)
    return case


def remote_store(url: str, key: Path | None) -> "tuple[RemoteStore, Callable[[], None]]":
    """A case that a bureau keeps, and what closes the connections to it."""
    from whorl.cases.remote_store import RemoteStore, parse_case_url
    from whorl.registry.client import RemoteRegistry

    address = parse_case_url(url)
    require_input(key or default_key_file(), expected="your key file, as the case names you by it")
    registry = RemoteRegistry(address.service, key=key_at(key))
    path = default_key_file().parent / "cases" / address.case
    return RemoteStore(registry, address, path=path), registry.close


def folder_of(place: str) -> tuple[Path, ...]:
    """The folder of a case that is one, which no output may lie in."""
    return () if is_url(place) else (Path(place),)


def key_at(key: Path | None) -> "IssuerKey":
    """The key that a command signs with."""
    return issuer(key).key


def opened_at(place: str, opening: "Opened", key: Path | None) -> "tuple[CaseView, str | None]":
    """Open a case in a folder or at a bureau; the case, and its URL at the bureau."""
    import secrets

    from whorl.registry.local import system_clock

    signer = key_at(key)
    if not is_url(place):
        from whorl.cases.casework import new_case

        return new_case(Path(place), opening, signer, now=system_clock, random_bytes=secrets.token_bytes), None
    from whorl.cases.remote_store import open_at, service_url
    from whorl.registry.client import RemoteRegistry

    service = service_url(place)
    with RemoteRegistry(service, key=signer) as registry:
        view, address = open_at(registry, service, opening, signer, now=system_clock, random_bytes=secrets.token_bytes)
    return view, address.url


def differing_findings(made: "Replicated") -> list[dict[str, object]]:
    """The findings that a second analyst did not find again within the tolerance, each with where it differs."""
    return [
        {
            "finding": one.document,
            "made_again": one.recomputed,
            "largest_difference": one.largest_difference,
            "differences": list(one.differences),
        }
        for one in made.findings
        if one.differences or one.largest_difference > made.tolerance
    ]


def entered(
    view: "CaseView",
    *,
    as_json: bool,
    url: str | None = None,
    differing: Sequence[Mapping[str, object]] | None = None,
) -> Exit:
    """Say what was entered and where the case stands now; `Exit.INCONCLUSIVE` where the run is void.

    Parameters
    ----------
    url : of a case that was opened at a bureau just now
    differing : of a replication: what `differing_findings` gives
    """
    state, last = view.state, view.events[-1].record
    facts = {
        "case": view.id,
        "event": last.sequence,
        "kind": last.kind,
        "stage": state.stage,
        "reply_until": None if state.reply_until is None else f"{state.reply_until:%Y-%m-%dT%H:%M:%SZ}",
        "failed_controls": list(state.failed_controls),
    } | ({} if url is None else {"url": url})
    if as_json:
        more = {} if differing is None else {"differing": list(differing)}
        print_json({"schema": "whorl.case-event/1"} | facts | more)
    else:
        from whorl.cli.summary import print_facts

        shown = {label.replace("_", " ").capitalize(): str(value) for label, value in facts.items() if value}
        print_facts("Entered", shown | {"Event": str(last.sequence)})
        _print_differing(differing or ())
    return Exit.INCONCLUSIVE if last.kind == "unblinded" and state.failed_controls else Exit.DONE


def _print_differing(differing: Sequence[Mapping[str, object]]) -> None:
    from whorl.cli.summary import print_lines
    from whorl.comparison.wording import visible

    for one in differing:
        print_lines("", f"Differs: finding {one['finding']}, made again as {one['made_again']}")
        print_lines(f"  largest difference of a figure: {one['largest_difference']:.3g}")
        places = one["differences"]
        assert isinstance(places, list)
        for place in places[:_MOST_SHOWN]:
            print_lines(visible(f"  {place}"))
        if len(places) > _MOST_SHOWN:
            print_lines(f"  and {len(places) - _MOST_SHOWN} more places (see --json)")


def entered_text(make: "Callable[[], CaseView]", *, as_json: bool) -> Exit:
    """As `entered`, for an event made of words from the command line, which may be none that a case keeps."""
    from pydantic import ValidationError

    from whorl.core.faults import first_fault

    try:
        view = make()
    except ValidationError as error:
        message = f"expected words and values that a case keeps, found fault with {first_fault(error)}"
        raise InputError(message) from None
    return entered(view, as_json=as_json)
