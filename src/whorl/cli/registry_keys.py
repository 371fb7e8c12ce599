"""``whorl registry introduce``, ``add-key`` and ``revoke-key``: who signs for an organisation."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json
from whorl.cli.options import AsJson
from whorl.cli.registry_access import (
    DEFAULT_JURISDICTION,
    DEFAULT_REGISTRY,
    Claimant,
    JurisdictionOption,
    KeyFileOption,
    RegistryPlace,
    issuer,
    registry_at,
    require_claimant,
)
from whorl.cli.registry_drafts import DraftOption, private_keys, public_half, write_draft
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.entries.keys import IssuerKey
    from whorl.entries.kinds import Key
    from whorl.registry.issuing import Issuer, RegistryAccess


@exits
def introduce(
    claimant: Claimant,
    jurisdiction: JurisdictionOption = DEFAULT_JURISDICTION,
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
    roots: Annotated[
        list[Path] | None,
        typer.Option("--root", metavar="FILE", help="A spare root key: it signs once, here, and is kept elsewhere."),
    ] = None,
    draft: DraftOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Enter your organisation, under the name it gives itself; later entries are its own by your key.

    Roots are named once, here, and each signs. With one alone, a lost or stolen key can neither be replaced nor be
    revoked. A root whose private half is elsewhere is given as `whorl registry key --json` prints it, with --draft.
    """
    from whorl.registry.drafts import read_key
    from whorl.registry.issuing import Issue, new_organisation
    from whorl.registry.public_keys import issuer_public

    require_claimant(claimant, jurisdiction)
    given = [read_key(path) for path in roots or ()]
    spare = private_keys(given, draft, option="--root")
    signer = issuer(key)
    with registry_at(place, key=signer.key) as opened:
        if draft is not None and opened.organisation_of(signer.key.id) is None:
            roots_stated = (issuer_public(signer.key), *map(public_half, given))
            body = new_organisation(name=claimant, jurisdiction=jurisdiction, roots=roots_stated)
            return write_draft(draft, opened, signer, Issue(body=body), spare, as_json=as_json)
        known, new = signer.introduce(opened, name=claimant, jurisdiction=jurisdiction, spare=spare)
        if given and not new:
            raise InputError(
                "--root: expected a key that the registry does not know yet, found one whose organisation is there; "
                "its roots were named when it was entered"
            )
        organisation = _own_organisation(opened, signer)
    return _said({"entry": _entry_id(organisation), "claimant": known, "new": new}, "Introduced", as_json=as_json)


@exits
def add_key(
    added: Annotated[Path, typer.Argument(metavar="FILE", help="The key to be added.")],
    role: Annotated[
        list[str],
        typer.Option("--role", help="submitter, examiner, reviewer, chamber or bureau; may be repeated."),
    ],
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
    draft: DraftOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Let another key sign for your organisation: your root key signs that it may, and that key that it will.

    A key whose private half is elsewhere is given as `whorl registry key --json` prints it, with --draft.
    """
    from whorl.entries.kinds import Key
    from whorl.entries.stating import stated
    from whorl.registry.drafts import read_key

    other = read_key(added)
    cosigners = private_keys([other], draft, option=str(added))
    fields = {"action": "add", "public": public_half(other), "roles": tuple(role)}
    body = stated(Key, fields, options={"roles": "--role"})
    return _change_key(body, place, key, cosigners=cosigners, draft=draft, as_json=as_json)


@exits
def revoke_key(
    revoked: Annotated[Path, typer.Argument(metavar="FILE", help="The key to be revoked, or its public half.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    compromised_since: Annotated[
        int | None,
        typer.Option("--compromised-since", min=0, help="Index in the log from which its entries are in doubt."),
    ] = None,
    place: RegistryPlace = DEFAULT_REGISTRY,
    key: KeyFileOption = None,
    as_json: AsJson = False,
) -> Exit:
    """Revoke a key of your organisation; your root key signs that it is over."""
    from whorl.entries.kinds import Key
    from whorl.entries.stating import stated
    from whorl.registry.drafts import read_key

    public = public_half(read_key(revoked))
    fields = {"action": "revoke", "public": public, "compromised_since": compromised_since, "reason": reason}
    body = stated(Key, fields)
    return _change_key(body, place, key, as_json=as_json)


def _change_key(
    body: "Key",
    place: str,
    key: Path | None,
    *,
    cosigners: "Sequence[IssuerKey]" = (),
    draft: Path | None = None,
    as_json: bool,
) -> Exit:
    from whorl.registry.issuing import Issue

    signer = issuer(key)
    with registry_at(place, key=signer.key) as opened:
        issue = Issue(body=body, target=_own_organisation(opened, signer))
        if draft is not None:
            return write_draft(draft, opened, signer, issue, cosigners, as_json=as_json)
        entered = signer.issue(opened, [issue], cosigners=cosigners)[0]
    return _said({"entry": _entry_id(entered.hash), "action": body.action}, "Entered", as_json=as_json)


def _own_organisation(opened: "RegistryAccess", signer: "Issuer") -> bytes:
    organisation = opened.organisation_of(signer.key.id)
    if organisation is None:
        raise InputError(
            f"expected a key that {opened.origin} knows, found none; enter your organisation with "
            "`whorl registry introduce`"
        )
    return organisation


def _entry_id(digest: bytes) -> str:
    from whorl.entries.leaf import entry_id

    return entry_id(digest)


def _said(facts: dict[str, object], title: str, *, as_json: bool) -> Exit:
    if as_json:
        print_json({"schema": "whorl.entered/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts(title, {label.capitalize(): str(value) for label, value in facts.items()})
    return Exit.DONE
