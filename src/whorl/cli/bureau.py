"""``whorl bureau``: run a registry as one bureau among others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import MODEL, print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import DEFAULT_REGISTRY, RegistryPlace, is_url, local_registry
from whorl.core.errors import InputError, VerificationError

if TYPE_CHECKING:
    from whorl.registry.sealed_search import SealedQuestion

_MEANING: Final = (
    "Each is a lead, never a finding, as that bureau says it; nothing here shows which models they are or that one is "
    "related. Of small models that had nothing in common but their text, 8 pairs in 100 came as near: where many are "
    "sealed, some are near by chance. The bureau can ask their makers to show them for a test of the pair."
)
_NONE: Final = (
    "It says that nothing near is sealed with it that this bureau may find. That does not show that there is none."
)

bureau = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@exits
def card(
    url: Annotated[str, typer.Option("--url", help="Where this bureau's service answers.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the card goes.")],
    place: RegistryPlace = DEFAULT_REGISTRY,
) -> Exit:
    """Write this bureau's card, for others to add."""
    require_output(output)

    from whorl.entries.stating import require_stated
    from whorl.registry.federation import BureauCard, card_of

    require_stated(BureauCard, {"url": url})

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
    threshold: Annotated[
        int | None, typer.Option("--threshold", min=1, help="How many of them must sign a ruling; 1 if not given.")
    ] = None,
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
    from whorl.entries.kinds import Policy
    from whorl.entries.stating import require_stated
    from whorl.registry.federation import change_policy

    given: dict[str, object] = {
        "reply_seconds": reply_seconds,
        "answer_seconds": answer_seconds,
        "retention_seconds": retention_seconds,
    }
    if chamber or threshold is not None:
        given["chamber"] = _chamber(chamber or [], threshold or 1)
    given = {name: value for name, value in given.items() if value is not None}
    require_stated(Policy, given)
    with local_registry(place) as registry:
        change_policy(registry, given)
    return Exit.DONE


def _chamber(keys: list[str], threshold: int) -> dict[str, object]:
    """The chamber that is asked for, if it can rule."""
    from whorl.entries.kinds import Chamber
    from whorl.entries.stating import stated

    different = len(set(keys))
    if threshold > different:
        raise InputError(
            f"--threshold: expected at most {different}, as many as there are different keys in --chamber, found "
            f"{threshold}; no ruling could ever pass"
        )
    fields = {"keys": tuple(keys), "threshold": threshold}
    return stated(Chamber, fields, options={"keys": "--chamber"}).model_dump()


@exits
def ask(
    peer: Annotated[str, typer.Argument(metavar="BUREAU", help="Origin of a bureau that this one knows.")],
    subject: Annotated[
        str,
        typer.Argument(metavar="SUBJECT", help="A checkpoint, a stored fingerprint, or a content's `sha256:` digest."),
    ],
    place: RegistryPlace = DEFAULT_REGISTRY,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Ask another bureau how many sealed fingerprints are near to this one; it tells a number and nothing else.

    Only what its makers let this bureau find is compared. It sees the search vector, and both bureaus write the
    question into their audit trails. A service may run on the folder meanwhile.
    """
    from whorl.registry.registry_reader import read_registry
    from whorl.registry.sealed_asking import ask_sealed
    from whorl.registry.sealed_search import MOST_TOLD

    if is_url(place):
        raise InputError(f"{place}: expected the folder of this bureau's registry, whose key asks, found a URL")
    question = _question(subject, quiet=quiet)
    with read_registry(Path(place)) as registry:
        found = ask_sealed(registry, peer, question)
    asked, digest = question.about, question.digest
    facts = {"bureau": peer, "asked": asked, "question": digest, "candidates": found, "or_more": found == MOST_TOLD}
    if as_json:
        print_json({"schema": "whorl.sealed-search/1"} | facts)
        return Exit.DONE

    from whorl.cli.summary import print_facts, print_lines

    told = f"{found} or more" if found == MOST_TOLD else str(found)
    print_facts("Asked under seal", {"Bureau": peer, f"By {asked}": digest, "Candidates": told})
    print_lines("", _MEANING if found else _NONE)
    return Exit.DONE


def _question(subject: str, *, quiet: bool) -> "SealedQuestion":
    from whorl.registry.sealed_search import ContentQuestion, VectorQuestion

    if subject.startswith("sha256:"):
        return ContentQuestion(content=subject)
    require_input(Path(subject), expected=f"{MODEL}, or a digest that begins with sha256:")

    from whorl.comparison.subjects import fingerprint_of
    from whorl.fingerprints.weight_fingerprint import SEARCH_SCHEME

    with shown_progress(quiet=quiet) as progress:
        taken = fingerprint_of(Path(subject), progress=progress)
    return VectorQuestion(scheme=SEARCH_SCHEME, vector=taken.search_vector())


for _name, _command, _help in (
    ("card", card, "Write this bureau's card."),
    ("add", add, "Know further bureaus."),
    ("rules", rules, "Change the rules of disputes."),
    ("sync", sync, "Look at every other bureau once."),
    ("ask", ask, "Ask another bureau what it holds under seal."),
):
    bureau.command(_name, short_help=_help)(_command)
