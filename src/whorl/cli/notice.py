"""``whorl notice``: say something about an entry in public, answer it, contest it, and rule on it.

Every command enters one signed entry. What a notice *is* (filed, reviewed, published, blocked, annulled ...) follows
from the entries about it; nobody sets it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson
from whorl.cli.registry_access import DEFAULT_REGISTRY, KeyFileOption, RegistryPlace, is_url, issuer, registry_at
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.entries.kinds import Body

notice = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

TargetEntry = Annotated[str, typer.Argument(metavar="ENTRY", help="The entry that is spoken of: its id.")]
NoticeEntry = Annotated[str, typer.Argument(metavar="NOTICE", help="The notice: the id of its entry.")]
TextOption = Annotated[str, typer.Option("--text", help="What you say, in plain words; nothing personal.")]
Cosigners = Annotated[
    list[Path] | None,
    typer.Option("--cosigner", metavar="FILE", help="Further private keys that sign, where a threshold asks for them."),
]


@exits
def finding(
    document: Annotated[Path, typer.Argument(metavar="FINDING", help="A finding: what `whorl compare --json` prints.")],
    entry: Annotated[str, typer.Option("--questioned", metavar="ENTRY", help="Entry of the questioned model.")],
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Enter an examiner's finding on a registered model."""
    require_input(document, expected="a finding, as `whorl compare --json` prints it")

    from pydantic import ValidationError

    from whorl import __version__
    from whorl.core.digest import digest_bytes
    from whorl.core.evidence import Finding
    from whorl.entries.kinds import FindingEntry
    from whorl.entries.stating import stated
    from whorl.registry.blob_contents import stated_log10

    data = document.read_bytes()
    try:
        found = Finding.model_validate_json(data)
    except ValidationError:
        raise InputError(f"{document}: expected a finding, as `whorl compare --json` prints it") from None
    fields = {
        "questioned": found.questioned.digest,
        "reference": found.reference.digest,
        "relation": found.conclusion.relation,
        "log10_lr": stated_log10(found.conclusion.log10_lr),
        "log10_p": found.conclusion.log10_p,
        "blob": digest_bytes(data),
        "tool": f"whorl {__version__}",
    }
    body = stated(FindingEntry, fields, where=str(document))
    return _enter(body, entry, place, key, as_json=as_json, blob=data)


@exits
def file(
    entry: TargetEntry,
    title: Annotated[str, typer.Option("--title", help="A heading of a few words.")],
    text: TextOption,
    colour: Annotated[
        Literal["red", "blue", "orange"],
        typer.Option("--colour", help="red: finding of derivation; blue: request; orange: shared safety failure."),
    ] = "blue",
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="ENTRY", help="red: the model it is said to come from.")
    ] = None,
    findings: Annotated[
        list[str] | None, typer.Option("--finding", metavar="ENTRY", help="red: findings of two examiners.")
    ] = None,
    log10_lr: Annotated[float | None, typer.Option("--log10-lr", help="red: the ratio, as log10.")] = None,
    least_favourable: Annotated[
        float | None,
        typer.Option("--least-favourable", help="red: log10 ratio, least favourable alternative."),
    ] = None,
    false_positive_bound: Annotated[
        float | None, typer.Option("--false-positive-bound", help="red: how often unrelated models would give this.")
    ] = None,
    tests_run: Annotated[int | None, typer.Option("--tests-run", min=1, help="red: all tests behind it.")] = None,
    cites: Annotated[
        str | None, typer.Option("--cites", metavar="NOTICE", help="The annulled notice whose claim is made again.")
    ] = None,
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """File a notice on an entry. It shows once another bureau has reviewed it and the other side was heard."""
    from whorl.entries.kinds import Notice
    from whorl.entries.stating import stated

    fields = {
        "colour": colour,
        "title": title,
        "text": text,
        "relation": "derived" if colour == "red" else None,
        "reference": reference,
        "findings": tuple(findings or ()),
        "log10_lr": log10_lr,
        "log10_lr_least_favourable": least_favourable,
        "false_positive_bound": false_positive_bound,
        "tests_run": tests_run,
        "cites_annulled": cites,
    }
    options = {"findings": "--finding", "log10_lr_least_favourable": "--least-favourable", "cites_annulled": "--cites"}
    body = stated(Notice, fields, options=options)
    return _enter(body, entry, place, key, as_json=as_json)


@exits
def respond(
    entry: NoticeEntry, text: TextOption, place: RegistryPlace = DEFAULT_REGISTRY, key: KeyFileOption = None
) -> Exit:
    """Answer a notice or a dispute; the answer stands beside it from then on."""
    from whorl.entries.kinds import Response
    from whorl.entries.stating import stated

    return _enter(stated(Response, {"text": text}), entry, place, key, as_json=False)


@exits
def dispute(
    entry: NoticeEntry,
    grounds: Annotated[str, typer.Option("--grounds", help="Why it does not hold, in plain words.")],
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
) -> Exit:
    """Contest a notice that names you. It is blocked at once, and annulled if its author does not answer in time."""
    from whorl.entries.kinds import Dispute
    from whorl.entries.stating import stated

    return _enter(stated(Dispute, {"grounds": grounds}), entry, place, key, as_json=False)


@exits
def vote(
    entry: TargetEntry,
    state: Annotated[
        Literal["verified", "withdrawn", "reviewed", "refused", "dismissed", "upheld", "annulled", "renewed"],
        typer.Argument(help="reviewed or refused by a reviewer; upheld, dismissed or annulled by the chamber; ..."),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, in plain words.")],
    evidence: Annotated[
        list[str] | None, typer.Option("--evidence", metavar="ENTRY", help="Entries that the vote rests on.")
    ] = None,
    cosigner: Cosigners = None,
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
) -> Exit:
    """Enter a signed vote on an entry. Which votes count is for the rules to say: docs/specs/notices.md."""
    from whorl.entries.kinds import Status
    from whorl.entries.stating import stated

    body = stated(Status, {"state": state, "reason": reason, "evidence": tuple(evidence or ())})
    return _enter(body, entry, place, key, as_json=False, cosigners=cosigner or ())


@exits
def show(entry: NoticeEntry, place: RegistryPlace = DEFAULT_REGISTRY, as_json: AsJson = False) -> Exit:
    """Show what has become of a notice, as this registry sees it now."""
    found = _shown_at(place, entry) if is_url(place) else _shown_in(place, entry)
    if as_json:
        print_json({"schema": "whorl.notice/1"} | found)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Notice", {label.replace("_", " ").capitalize(): str(value) for label, value in found.items()})
    return Exit.DONE


def _shown_at(place: str, entry: str) -> dict[str, object]:
    from whorl.entries.leaf import parse_entry_id
    from whorl.registry.client import RemoteRegistry

    with RemoteRegistry(place) as registry:
        found = registry.entry(parse_entry_id(entry)).get("notice")
    if not isinstance(found, dict):
        raise InputError(f"{entry}: expected the entry of a notice, found another kind")
    return {name: found.get(name) for name in ("state", "because", "until")}


def _shown_in(place: str, entry: str) -> dict[str, object]:
    from whorl.entries.leaf import parse_entry_id
    from whorl.registry.database_view import DatabaseView
    from whorl.registry.notices import notice_standing
    from whorl.registry.registry_reader import read_registry

    with read_registry(Path(place)) as registry, registry.database.reading() as connection:
        view = DatabaseView(connection)
        facts = view.entry(parse_entry_id(entry))
        if facts is None or facts.kind != "notice":
            raise InputError(f"{entry}: expected the entry of a notice in {place}, found none")
        found = notice_standing(facts, view, at=registry.now())
    until = None if found.until is None else f"{found.until:%Y-%m-%dT%H:%M:%SZ}"
    return {"state": found.state, "because": found.because, "until": until}


def _enter(
    body: "Body",
    entry: str,
    place: str,
    key: Path | None,
    *,
    as_json: bool,
    blob: bytes | None = None,
    cosigners: "list[Path] | tuple[Path, ...]" = (),
) -> Exit:
    from whorl.entries.leaf import entry_id, parse_entry_id
    from whorl.registry.home import read_issuer_key
    from whorl.registry.issuing import Issue

    target = parse_entry_id(entry)
    signer = issuer(key)
    also = [read_issuer_key(path) for path in cosigners]
    with registry_at(place, key=signer.key) as registry:
        if blob is not None:
            registry.put_blob([blob])
        entered = signer.issue(registry, [Issue(body=body, target=target)], cosigners=also)[0]
    facts = {"entry": entry_id(entered.hash), "about": entry, "registry": place}
    if as_json:
        print_json({"schema": "whorl.entered/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Entered", {label.capitalize(): value for label, value in facts.items()})
    return Exit.DONE


for _name, _command, _help in (
    ("finding", finding, "Enter an examiner's finding."),
    ("file", file, "File a notice on an entry."),
    ("respond", respond, "Answer a notice or a dispute."),
    ("dispute", dispute, "Contest a notice that names you."),
    ("vote", vote, "Enter a signed vote on an entry."),
    ("show", show, "Show what has become of a notice."),
):
    notice.command(_name, short_help=_help)(_command)
