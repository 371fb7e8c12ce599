"""``whorl bureau``: run a registry as one bureau among others."""

from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson
from whorl.cli.registry_access import DEFAULT_REGISTRY, RegistryPlace, local_registry
from whorl.core.errors import VerificationError

bureau = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@exits
def card(
    url: Annotated[str, typer.Option("--url", help="Where this bureau's service answers.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the card goes.")],
    place: RegistryPlace = DEFAULT_REGISTRY,
) -> Exit:
    """Write this bureau's card, for others to add."""
    require_output(output)

    from whorl.registry.federation import card_of

    with local_registry(place) as registry:
        made = card_of(registry, url=url)
    write_whole(output, made.model_dump_json(indent=1).encode() + b"\n")
    return Exit.DONE


@exits
def add(
    cards: Annotated[list[Path], typer.Argument(metavar="CARD...", help="Cards of other bureaus.")],
    quorum: Annotated[
        int, typer.Option("--quorum", min=1, help="How many of them must cosign a tree head of this bureau.")
    ],
    place: RegistryPlace = DEFAULT_REGISTRY,
) -> Exit:
    """Know further bureaus: mirror and cosign their logs, and ask them to cosign this one's.

    Make sure by another way that a card is theirs: who can exchange it can play the bureau.
    """
    for path in cards:
        require_input(path, expected="a bureau's card")

    from whorl.registry.federation import add_peers, parse_card

    read = [parse_card(path.read_bytes()[: 1 << 20], origin=str(path)) for path in cards]
    with local_registry(place) as registry:
        add_peers(registry, read, quorum=quorum)
    return Exit.DONE


@exits
def sync(place: RegistryPlace = DEFAULT_REGISTRY, as_json: AsJson = False) -> Exit:
    """Look at every other bureau once: hold what is new, check it, compare what they show.

    Exit status 1 means that one was caught; the proof of a fork is kept in the registry's folder.
    """
    from whorl.registry.client import open_federation

    with local_registry(place) as registry:
        looks = open_federation(registry).sync()
    if as_json:
        looked = [{"origin": one.origin, "entries": one.size, "problem": one.problem} for one in looks]
        print_json({"schema": "whorl.bureau-sync/1", "bureaus": looked})
    else:
        from whorl.cli.summary import print_facts

        print_facts("Looked at", {one.origin: one.problem or f"{one.size} entries, checked" for one in looks})
    if caught := [one for one in looks if one.caught]:
        raise VerificationError("\n".join(f"{one.origin} was caught: {one.problem}" for one in caught))
    return Exit.DONE


@exits
def rules(
    chamber: Annotated[
        list[str] | None,
        typer.Option("--chamber", metavar="KEY", help="Id of a key that rules on disputes; several, in all."),
    ] = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, help="How many of them must sign a ruling.")] = 1,
    reply_seconds: Annotated[int | None, typer.Option("--reply-seconds", min=0, help="Time to reply.")] = None,
    answer_seconds: Annotated[
        int | None,
        typer.Option("--answer-seconds", min=0, help="Time to answer a dispute; then annulled."),
    ] = None,
    retention_seconds: Annotated[
        int | None, typer.Option("--retention-seconds", min=0, help="How long a notice stands without being renewed.")
    ] = None,
    place: RegistryPlace = DEFAULT_REGISTRY,
) -> Exit:
    """Enter a new policy: who rules on disputes, and how long each side has. It holds from the next entry on."""
    from whorl.registry.federation import change_policy

    given: dict[str, object] = {
        "reply_seconds": reply_seconds,
        "answer_seconds": answer_seconds,
        "retention_seconds": retention_seconds,
    }
    if chamber:
        given["chamber"] = {"keys": tuple(chamber), "threshold": threshold}
    with local_registry(place) as registry:
        change_policy(registry, {name: value for name, value in given.items() if value is not None})
    return Exit.DONE


for _name, _command, _help in (
    ("card", card, "Write this bureau's card."),
    ("add", add, "Know further bureaus."),
    ("rules", rules, "Change the rules of disputes."),
    ("sync", sync, "Look at every other bureau once."),
):
    bureau.command(_name, short_help=_help)(_command)
