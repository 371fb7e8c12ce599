"""``whorl registry cosign`` and ``enter-draft``: entries that keys in different places sign."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson
from whorl.cli.registry_access import DEFAULT_REGISTRY, KeyFileOption, RegistryPlace, registry_at
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.entries.keys import IssuerKey
    from whorl.entries.kinds import IssuerPublic
    from whorl.registry.drafts import Draft
    from whorl.registry.issuing import Issue, Issuer, RegistryAccess

DraftOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--draft", metavar="FILE", help="Write the signed entry there instead, for other keys to sign."),
]
DraftArgument = Annotated[Path, typer.Argument(metavar="DRAFT", help="An entry that waits for signatures.")]


def public_half(key: "IssuerKey | IssuerPublic") -> "IssuerPublic":
    """What an entry states of a key that was given, whichever half that was."""
    from whorl.entries.kinds import IssuerPublic
    from whorl.registry.public_keys import issuer_public

    return key if isinstance(key, IssuerPublic) else issuer_public(key)


def private_keys(given: "Sequence[IssuerKey | IssuerPublic]", draft: Path | None, *, option: str) -> "list[IssuerKey]":
    """Those of the keys that can sign here.

    Raises
    ------
    InputError
        If one cannot, and nothing is to be written for its holder to sign.
    """
    from whorl.entries.keys import IssuerKey

    private = [key for key in given if isinstance(key, IssuerKey)]
    if draft is None and len(private) < len(given):
        raise InputError(
            f"{option}: expected a private key, as every key that becomes known signs, found a public one; give its "
            "private file, or add --draft FILE, let its holder sign with `whorl registry cosign FILE --key THEIRS`, "
            "and enter that with `whorl registry enter-draft FILE`"
        )
    if draft is not None:
        require_output(draft)
    return private


def write_draft(
    path: Path,
    opened: "RegistryAccess",
    signer: "Issuer",
    issue: "Issue",
    cosigners: "Sequence[IssuerKey]",
    *,
    as_json: bool,
) -> Exit:
    """Sign an entry with the keys that are here, and write it for the others."""
    from whorl.registry.drafts import new_draft

    draft = new_draft(signer.sign(opened, issue, cosigners=cosigners))
    write_whole(path, draft.to_bytes())
    if as_json:
        from whorl.entries.claimants import issuer_keys

        waiting = [issuer_keys(public)[0].id.hex() for public in draft.unsigned()]
        print_json({"schema": "whorl.drafted/1", "draft": str(path), "log": draft.statement.log, "waiting": waiting})
    else:
        _show(draft, "Drafted")
    return Exit.DONE


@exits
def cosign(
    source: DraftArgument,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The private key that signs.")] = None,
) -> Exit:
    """Show what a draft says, and sign it with your key (--key) if it makes that key known.

    Your signature says that you have the key and want it there. It fits this very entry alone.
    """
    require_input(source, expected="a draft")

    from whorl.registry.drafts import read_draft
    from whorl.registry.home import read_issuer_key

    draft = read_draft(source)
    if key is None:
        _show(draft, "Draft")
        return Exit.DONE
    signed = draft.cosigned(read_issuer_key(key))
    write_whole(source, signed.to_bytes())
    _show(signed, "Signed")
    return Exit.DONE


@exits
def enter_draft(
    source: DraftArgument,
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Enter a draft once every key that it makes known has signed.

    Nothing else may be entered meanwhile with the key that drafted it: the draft has a place in that key's chain.
    """
    require_input(source, expected="a draft")

    from whorl.entries.leaf import entry_id
    from whorl.registry.drafts import read_draft
    from whorl.registry.home import read_issuer_key
    from whorl.registry.local import entered

    draft = read_draft(source)
    draft.require_whole()
    with registry_at(place, key=None if key is None else read_issuer_key(key)) as opened:
        if opened.origin != draft.statement.log:
            raise InputError(
                f"{source}: expected a draft for {opened.origin}, found one for {draft.statement.log}; name that "
                "registry"
            )
        made = entered(opened.enter([draft.as_submission()])[0])
    facts = {"entry": entry_id(made.hash)}
    if as_json:
        print_json({"schema": "whorl.entered/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Entered", {"Entry": facts["entry"]})
    return Exit.DONE


def _show(draft: "Draft", title: str) -> None:
    from whorl.cli.summary import print_facts
    from whorl.entries.claimants import issuer_keys
    from whorl.entries.kinds import Key, Organisation
    from whorl.entries.leaf import entry_id
    from whorl.registry.drafts import introduced

    said = draft.statement
    body = said.body
    facts = {"Log": said.log, "Drafted by": f"key {said.issuer.hex()}, entry {said.sequence} of its chain"}
    if isinstance(body, Organisation):
        facts |= {
            "Organisation": f"{body.name}, as it calls itself",
            "Jurisdiction": body.jurisdiction,
            "Website": body.website or "none",
            "Threshold": f"{body.threshold} of {len(body.roots)} roots sign what is entered later",
        }
    elif isinstance(body, Key):
        facts |= {
            "Organisation": f"entry {entry_id(said.target)}; look it up before you sign",
            "Roles": ", ".join(body.roles),
            "Valid until": body.not_after or "revoked",
        }
    waiting = draft.unsigned()
    for number, public in enumerate(introduced(body), start=1):
        signed = "has not signed yet" if public in waiting else "signed"
        facts[f"Key {number}"] = f"{issuer_keys(public)[0].id.hex()}, {signed}"
    print_facts(title, facts)
