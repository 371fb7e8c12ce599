"""``whorl case link``: a link to the page on which one person of a case reads what is said, and what they may file."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.case_access import CaseKey, CasePlace, key_at, remote_store
from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json
from whorl.cli.options import AsJson
from whorl.cli.registry_access import is_url
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whorl.dossiers.events import Party


@exits
def link(
    place: CasePlace,
    person: Annotated[
        str | None, typer.Option("--for", metavar="NAME", help="Whose page, as the case names them; else your own.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], help="The day on which it ends; else in 90 days."),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End all links to that page, and make none.")] = False,
    key: CaseKey = None,
    as_json: AsJson = False,
) -> Exit:
    """Make a link to the page of one person: the manager for anybody, others for themselves.

    Whoever has the link reads the page until it ends, and can file nothing. Send it as you would send a letter.
    """
    if not is_url(place):
        raise InputError(f"{place}: expected the URL of a case at a bureau, found a folder: nobody else reads that")

    from whorl.cases.case import view_of

    store, close = remote_store(place, key)
    try:
        whose = _person(view_of(store.kept()).state.parties, person, key_at(key).id.hex())
        if end:
            store.end_links(whose.id)
            facts = {"person": whose.name, "ended": True}
        else:
            url, ends = store.link(whose.id, expires_at=None if until is None else until.replace(tzinfo=UTC))
            facts = {"person": whose.name, "link": url, "expires_at": ends}
    finally:
        close()
    if as_json:
        print_json({"schema": "whorl.case-link/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        shown = {label.replace("_", " ").capitalize(): str(value) for label, value in facts.items()}
        print_facts("Links ended" if end else "Link, shown this once", shown)
    return Exit.DONE


def _person(parties: "Mapping[str, Party]", name: str | None, own: str) -> "Party":
    """The one person of this name, or whoever asks."""
    found = [one for one in parties.values() if (one.id == own if name is None else name in (one.name, one.id))]
    if len(found) != 1:
        names = ", ".join(one.name for one in parties.values())
        raise InputError(f"--for: expected one person of the case ({names}), found {len(found)}; give their key's id")
    return found[0]
