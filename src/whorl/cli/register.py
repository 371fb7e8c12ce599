"""``whorl register``: a signed entry for a model and its fingerprint, and the receipt that proves it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl import __version__
from whorl.cli.exits import Exit
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
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.entries.handling import Handling
    from whorl.entries.kinds import Fingerprint, Model
    from whorl.fingerprints.weight_fingerprint import WeightFingerprint
    from whorl.registry.issuing import Issuer, RegistryAccess


def register(
    subject: Annotated[Path, typer.Argument(metavar="SUBJECT", help="A checkpoint or a stored fingerprint.")],
    registry: RegistryPlace = DEFAULT_REGISTRY,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model, instead of its own.")] = None,
    claimant: ClaimantIfNew = None,
    jurisdiction: JurisdictionOption = DEFAULT_JURISDICTION,
    key: KeyFileOption = None,
    receipt: Annotated[
        Path | None, typer.Option("--receipt", "-o", metavar="FILE", help="Also write the receipt, for `whorl verify`.")
    ] = None,
    sealed: Annotated[
        bool,
        typer.Option("--sealed", help="Enter a leaf of which nobody can tell what it is; keep the receipt to show it."),
    ] = False,
    found_by: Annotated[
        list[str] | None,
        typer.Option(
            "--found-by",
            metavar="BUREAU",
            help="With --sealed: seal the fingerprint too, and let this bureau find it (its origin), or all `bureaus`.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Enter a model and its fingerprint into a registry, signed with your key.

    A folder that does not exist is made. The weights stay here: what is entered are digests and the fingerprint. With
    --sealed, an interrupted command is given again as it was: it goes on where it was cut off.
    """
    require_input(subject)
    if receipt is not None:
        require_output(receipt, inputs=(subject,))
    elif sealed:
        raise InputError("--sealed: expected a place for the receipt (--receipt), found none; it alone shows the entry")
    handling = _found_by(found_by or [], sealed=sealed)
    require_claimant(claimant, jurisdiction)

    from whorl.comparison.subjects import fingerprint_of
    from whorl.entries.leaf import entry_id
    from whorl.registry.issuing import Issue

    with shown_progress(quiet=quiet) as progress:
        taken = fingerprint_of(subject, progress=progress)
    named = _named(name, taken.name)
    signer = issuer(key)
    with registry_at(registry, key=signer.key, create=not is_url(registry), owner=claimant) as entries:
        claimed_by, _ = signer.introduce(entries, name=claimant, jurisdiction=jurisdiction)
        model, fingerprint = _claim(taken, named, claimed_by)
        # A claim that was made is not made twice.
        known = None if sealed else entries.same_entry(model, issuer=signer.key.id)
        if sealed:
            assert receipt is not None
            blob = None if handling is None else taken.to_bytes()
            known = _seal(entries, signer, model, fingerprint, receipt=receipt, blob=blob, handling=handling)
        elif known is None:
            entries.put_blob([taken.to_bytes()], expected=taken.digest)
            issues = [Issue(body=model), Issue(body=fingerprint, about=0)]
            known = signer.issue(entries, issues)[0].hash
        if receipt is not None and not sealed:
            write_whole(receipt, entries.receipt(known))
    facts = {
        "entry": entry_id(known),
        "name": named,
        "claimant": claimed_by,
        "digest": taken.digest,
        "registry": registry,
    } | ({} if receipt is None else {"receipt": str(receipt)})
    if as_json:
        print_json({"schema": "whorl.registration/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Registered", {label.capitalize(): value for label, value in facts.items()})
    return Exit.DONE


def _named(name: str | None, own: str) -> str:
    """The model's name, or its own in the one spelling that names have: folders may be spelt otherwise."""
    from unicodedata import normalize

    from whorl.entries.kinds import Model
    from whorl.entries.stating import require_stated

    named = normalize("NFC", own).strip() if name is None else name
    require_stated(Model, {"name": named})
    return named


def _found_by(bureaus: list[str], *, sealed: bool) -> "Handling | None":
    """The label of a sealed fingerprint; None for no such entry."""
    if not bureaus:
        return None
    if not sealed:
        raise InputError("--found-by: expected --sealed with it, found none; what is not sealed is found by everybody")

    from pydantic import ValidationError

    from whorl.entries.handling import Handling

    if "bureaus" in bureaus:
        return Handling(label="bureaus")
    try:
        return Handling(label="named", recipients=tuple(bureaus))
    except ValidationError as error:
        problem = error.errors()[0]["msg"][:200]
        raise InputError(f"--found-by: expected `bureaus` or origins of bureaus, found fault: {problem}") from None


def _seal(
    entries: "RegistryAccess",
    signer: "Issuer",
    model: "Model",
    fingerprint: "Fingerprint",
    *,
    receipt: Path,
    blob: bytes | None,
    handling: "Handling | None",
) -> bytes:
    """Enter a sealed model and, for bureaus that may find it, its sealed fingerprint; write the model's receipt."""
    from whorl.entries.kinds import Fingerprint
    from whorl.registry.issuing import Issue
    from whorl.registry.issuing_once import issue_once, whole_receipt

    begun = [receipt.with_name(f"{receipt.name}.pending"), receipt.with_name(f"{receipt.name}.fingerprint.pending")]
    known = issue_once(
        signer, entries, Issue(body=model, sealed=True), pending=begun[0], same=lambda body: body == model
    ).hash
    if handling is not None and blob is not None:
        entries.put_blob([blob], expected=fingerprint.blob)
        issue_once(
            signer,
            entries,
            Issue(body=fingerprint, target=known, sealed=True, handling=handling),
            pending=begun[1],
            same=lambda body: isinstance(body, Fingerprint) and body.blob == fingerprint.blob,
        )
    write_whole(receipt, whole_receipt(entries, known))
    for path in begun:
        path.unlink(missing_ok=True)
    return known


def _claim(taken: "WeightFingerprint", name: str, publisher: str) -> "tuple[Model, Fingerprint]":
    import base64

    from whorl.comparison.subjects import content_digest
    from whorl.entries.kinds import Fingerprint, Model
    from whorl.fingerprints.weight_fingerprint import SCHEMA, SEARCH_SCHEME

    content = content_digest(taken.view())
    vector = taken.search_vector()
    fingerprint = Fingerprint(
        method=SCHEMA,
        model_content=content,
        blob=taken.digest,
        tool=f"whorl {__version__}",
        scheme=SEARCH_SCHEME,
        vector=base64.b64encode(vector.tobytes()).decode(),
    )
    return Model(publisher=publisher, name=name, content=content), fingerprint
