"""``whorl alibi``: seal now that something exists, and show later, piece by piece, that it did."""

import secrets
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from whorl.cli.commit import write_private
from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import (
    DEFAULT_JURISDICTION,
    DEFAULT_REGISTRY,
    ClaimantIfNew,
    JurisdictionOption,
    KeyFileOption,
    RegistryPlace,
    is_url,
    issuer,
    registry_at,
    require_claimant,
)
from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whorl.entries.receipt import VerifiedEntry
    from whorl.entries.sealed_item import SealedItem
    from whorl.entries.sealed_list import SealedMember

alibi = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

SEALED_FILE: Final = "sealed.json"
RECEIPT_FILE: Final = "commitment-receipt.json"
_PENDING_FILE: Final = "commitment-pending.json"
_BLOCK: Final = 1 << 20
_MAX_OPENED_BYTES: Final = 1 << 27
_LISTED: Final = 20
_STANDINGS: Final = {
    True: "nothing speaks against it",
    False: "something speaks against it",
    None: "unknown: the receipt does not say",
}


@exits
def deposit(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="Checkpoints, stored fingerprints or any files.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the sealed list and the receipt go.")
    ],
    registry: RegistryPlace = DEFAULT_REGISTRY,
    years: Annotated[int, typer.Option("--years", min=1, max=30, help="How long it can be opened.")] = 10,
    claimant: ClaimantIfNew = None,
    jurisdiction: JurisdictionOption = DEFAULT_JURISDICTION,
    key: KeyFileOption = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Seal that these models and files exist now. Nothing of them shows, only how many there are.

    Keep FOLDER/sealed.json: without it nothing can ever be shown. Nobody learns which models they are. Cut off before
    the receipt is there, the same command goes on where it was.
    """
    for source in sources:
        require_input(source, expected="a checkpoint, a stored fingerprint or a file")
    require_claimant(claimant, jurisdiction)
    is_begun = (output / SEALED_FILE).is_file() and not (output / RECEIPT_FILE).exists()
    if not is_begun:
        for file in [output / SEALED_FILE, output / RECEIPT_FILE] if output.is_dir() else [output]:
            require_output(file)

    from whorl.entries.kinds import Commitment
    from whorl.entries.leaf import entry_id
    from whorl.entries.sealed_list import seal, sealed_root, write_sealed
    from whorl.registry.issuing import Issue
    from whorl.registry.issuing_once import issue_once, whole_receipt

    with shown_progress(quiet=quiet) as progress:
        kept = [_item(source, progress).to_secret() for source in sources]
    members = _begun(output / SEALED_FILE, kept) if is_begun else seal(kept, secrets.token_bytes)
    expires = datetime.now(UTC) + timedelta(days=365 * years)
    body = Commitment(
        root=sealed_root(members).hex(), count=len(members), purpose="alibi", expires=f"{expires:%Y-%m-%dT%H:%M:%SZ}"
    )
    output.mkdir(mode=0o700, exist_ok=True)
    if not is_begun:  # first: a commitment nobody can open is worth nothing
        write_private(output / SEALED_FILE, write_sealed(members))
    signer = issuer(key)
    with (
        _kept(output / SEALED_FILE),
        registry_at(registry, key=signer.key, create=not is_url(registry), owner=claimant) as entries,
    ):
        signer.introduce(entries, name=claimant, jurisdiction=jurisdiction)
        entered = issue_once(
            signer,
            entries,
            Issue(body=body),
            pending=output / _PENDING_FILE,
            same=lambda found: isinstance(found, Commitment) and found.root == body.root,
        )
        write_whole(output / RECEIPT_FILE, whole_receipt(entries, entered.hash))
    (output / _PENDING_FILE).unlink(missing_ok=True)
    assert isinstance(entered.body, Commitment)
    facts = {
        "commitment": entry_id(entered.hash),
        "members": len(members),
        "keep_secret": str(output / SEALED_FILE),
        "receipt": str(output / RECEIPT_FILE),
        "expires": entered.body.expires,
    }
    if as_json:
        print_json({"schema": "whorl.deposit/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Sealed", {label.replace("_", " ").capitalize(): str(value) for label, value in facts.items()})
    return Exit.DONE


@exits
def show(
    sealed: Annotated[Path, typer.Argument(metavar="SEALED", help="The private file of a deposit.")],
    member: Annotated[list[int], typer.Option("--member", "-m", min=0, help="Which members to show, from 0.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the opened members go.")],
) -> Exit:
    """Open some members of a deposit, and nothing of the others.

    Give FILE, together with the deposit's receipt, to whom it may concern. What was opened is public from then on.
    """
    require_input(sealed, expected="the private file of a deposit")
    require_output(output, inputs=(sealed,))

    from whorl.entries.sealed_list import open_members, parse_sealed

    members = parse_sealed(_bounded(sealed), origin=str(sealed))
    write_whole(output, open_members(members, member).model_dump_json(indent=1).encode() + b"\n")
    return Exit.DONE


@exits
def check(
    opened: Annotated[Path, typer.Argument(metavar="OPENED", help="Opened members of a deposit.")],
    receipt: Annotated[Path, typer.Option("--receipt", metavar="FILE", help="The receipt of the deposit.")],
    policy: Annotated[
        Path,
        typer.Option("--policy", "-p", metavar="FILE", envvar="WHORL_POLICY", help="Logs and witnesses you trust."),
    ],
    subject: Annotated[
        Path | None,
        typer.Option("--subject", metavar="SOURCE", help="The model or file said to be among them."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Check offline that the opened members were sealed, by whom, before when, and how many more there are.

    Exit status 0: it holds, somebody attests the time, and nothing speaks against the deposit; 1: a step failed, the
    deposit is not in good standing, or --subject is not among the opened members; 3: it holds, and the receipt does
    not say what its standing is, or nobody attests when it was sealed.
    """
    for path in (opened, receipt, policy, *([] if subject is None else [subject])):
        require_input(path, expected="a file")

    from whorl.entries.kinds import Commitment
    from whorl.entries.receipt import MAX_RECEIPT_BYTES, parse_receipt, verify_receipt
    from whorl.entries.sealed_item import parse_item
    from whorl.entries.sealed_list import parse_opened, verify_opened
    from whorl.log.policy import parse_policy

    found = verify_receipt(
        parse_receipt(_bounded(receipt, MAX_RECEIPT_BYTES), origin=str(receipt)),
        parse_policy(_bounded(policy, MAX_RECEIPT_BYTES)),
    )
    body = found.statement.body
    if not isinstance(body, Commitment):
        raise InputError(f"{receipt}: expected the receipt of a commitment, found one of kind {found.kind}")
    shown = verify_opened(
        parse_opened(_bounded(opened), origin=str(opened)), root=bytes.fromhex(body.root), count=body.count
    )
    items = {index: parse_item(secret) for index, secret in shown.items()}
    place = None
    if subject is not None:
        with shown_progress(quiet=quiet) as progress:
            place = _place(_item(subject, progress), items)
        if place is None:
            raise VerificationError(
                f"{subject}: expected it among the {len(items)} opened members, found no member with its digest"
            )
    _print(found, body, items, place, as_json=as_json)
    if found.standing.good is False:
        raise VerificationError(f"the deposit is not in good standing: see entry {found.standing.against}")
    return Exit.INCONCLUSIVE if found.standing.good is None or found.not_after is None else Exit.DONE


@contextmanager
def _kept(sealed: Path) -> "Iterator[None]":
    """Say what is left if something goes wrong from here on."""
    try:
        yield
    except BaseException:
        typer.echo(
            f"whorl: {sealed} is kept: give the same command again to go on, or remove the file if you do not want to",
            err=True,
        )
        raise


def _begun(sealed: Path, kept: list[bytes]) -> "tuple[SealedMember, ...]":
    """The members of a deposit that was begun, if it is of the same sources."""
    from whorl.entries.sealed_list import parse_sealed

    members = parse_sealed(_bounded(sealed), origin=str(sealed))
    if [member.secret for member in members] != kept:
        raise InputError(
            f"{sealed}: expected the deposit of these sources, found one of others, begun and not finished. Give the "
            "sources as they were then, or choose another folder"
        )
    return members


def _item(source: Path, progress: Progress) -> "SealedItem":
    """A checkpoint folder or fingerprint by its content, anything else by its bytes."""
    from unicodedata import normalize

    from whorl.entries.sealed_item import SealedItem
    from whorl.entries.stating import stated
    from whorl.fingerprints.weight_fingerprint import SUFFIX

    name = normalize("NFC", source.name).strip()
    if source.is_dir() or source.suffix == SUFFIX:
        from whorl.comparison.subjects import content_digest, fingerprint_of

        taken = fingerprint_of(source, progress=progress)
        return stated(SealedItem, {"name": name, "content": content_digest(taken.view())}, where=str(source))
    return stated(SealedItem, {"name": name, "file": _file_digest(source)}, where=str(source))


def _file_digest(path: Path) -> str:
    import hashlib

    running = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            running.update(block)
    return f"sha256:{running.hexdigest()}"


def _place(item: "SealedItem", items: "dict[int, SealedItem]") -> int | None:
    wanted = (item.content, item.file)
    return next((index for index, one in items.items() if (one.content, one.file) == wanted), None)


def _print(
    found: "VerifiedEntry", body: object, items: "dict[int, SealedItem]", place: int | None, *, as_json: bool
) -> None:
    from whorl.entries.kinds import Commitment

    assert isinstance(body, Commitment)
    before = None if found.not_after is None else f"{found.not_after:%Y-%m-%dT%H:%M:%SZ}"
    standing = found.standing
    facts = {
        "commitment": found.id,
        "log": {"origin": found.origin, "index": found.index},
        "claimant": found.claimant.name,
        "not_after": before,
        "standing": {"good": standing.good, "against": standing.against},
        "shown": sorted(items),
        "members": body.count,
        "subject_is_member": place,
    }
    if as_json:
        shown = [items[index].model_dump(mode="json") for index in sorted(items)]
        print_json({"schema": "whorl.alibi/1"} | facts | {"items": shown})
        return
    from whorl.cli.summary import print_facts, print_lines

    print_facts(
        _heading(found),
        {
            "Claimant": f"{found.claimant.name}, as they call themselves",
            "Log": f"{found.origin}, entry {found.index}",
            "Sealed": "before a time that nobody attests" if before is None else f"before {before}",
            "Standing": _STANDINGS[standing.good],
            "Shown": f"{len(items)} of {body.count} members: {', '.join(map(str, sorted(items)))}",
            "Subject": "not asked" if place is None else f"is member {place}",
        },
    )
    print_lines(
        "",
        *(f"Member {index}: {items[index].name}" for index in sorted(items)[:_LISTED]),
        *([f"and {len(items) - _LISTED} more (see --json)"] if len(items) > _LISTED else []),
        "It shows that these digests were sealed by then. It does not show who made what has them, and one who seals "
        "much can choose what to show. Names are what the claimant called them.",
    )


def _heading(found: "VerifiedEntry") -> str:
    if found.standing.good is False:
        return "Sealed, and NOT in good standing"
    if found.standing.good is None:
        return "Sealed; its standing is unknown"
    return "Sealed; nobody attests when" if found.not_after is None else "Sealed as claimed"


def _bounded(path: Path, most: int = _MAX_OPENED_BYTES) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path}: expected at most {most} bytes, found more; check the path")
    return data


for _name, _command, _help in (
    ("deposit", deposit, "Seal that models or files exist now."),
    ("show", show, "Open some members of a deposit."),
    ("check", check, "Check opened members, offline."),
):
    alibi.command(_name, short_help=_help)(_command)
