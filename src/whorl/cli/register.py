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
    DEFAULT_CLAIMANT,
    DEFAULT_JURISDICTION,
    DEFAULT_REGISTRY,
    Claimant,
    JurisdictionOption,
    KeyFileOption,
    RegistryPlace,
    is_url,
    issuer,
    registry_at,
)
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.entries.kinds import Fingerprint, Model
    from whorl.fingerprints.weight_fingerprint import WeightFingerprint


def register(
    subject: Annotated[Path, typer.Argument(metavar="SUBJECT", help="A checkpoint or a stored fingerprint.")],
    registry: RegistryPlace = DEFAULT_REGISTRY,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model, instead of its own.")] = None,
    claimant: Claimant = DEFAULT_CLAIMANT,
    jurisdiction: JurisdictionOption = DEFAULT_JURISDICTION,
    key: KeyFileOption = None,
    receipt: Annotated[
        Path | None, typer.Option("--receipt", "-o", metavar="FILE", help="Also write the receipt, for `whorl verify`.")
    ] = None,
    sealed: Annotated[
        bool,
        typer.Option("--sealed", help="Enter a leaf of which nobody can tell what it is; keep the receipt to show it."),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Enter a model and its fingerprint into a registry, signed with your key.

    A folder that does not exist is made. The weights stay here: what is entered are digests and the fingerprint.
    """
    require_input(subject)
    if receipt is not None:
        require_output(receipt, inputs=(subject,))
    elif sealed:
        raise InputError("--sealed: expected a place for the receipt (--receipt), found none; it alone shows the entry")

    from whorl.comparison.subjects import fingerprint_of
    from whorl.entries.leaf import entry_id
    from whorl.registry.issuing import Issue

    with shown_progress(quiet=quiet) as progress:
        taken = fingerprint_of(subject, progress=progress)
    signer = issuer(key)
    with registry_at(registry, key=signer.key, create=not is_url(registry), owner=claimant) as entries:
        signer.introduce(entries, name=claimant, jurisdiction=jurisdiction)
        model, fingerprint = _claim(taken, name or taken.name, claimant)
        # A claim that was made is not made twice.
        known = None if sealed else entries.same_entry(model, issuer=signer.key.id)
        if sealed:
            known = signer.issue(entries, [Issue(body=model, sealed=True)])[0].hash
        elif known is None:
            entries.put_blob([taken.to_bytes()], expected=taken.digest)
            issues = [Issue(body=model), Issue(body=fingerprint, about=0)]
            known = signer.issue(entries, issues)[0].hash
        proof = entries.receipt(known)
    if receipt is not None:
        write_whole(receipt, proof)
    facts = {
        "entry": entry_id(known),
        "name": name or taken.name,
        "claimant": claimant,
        "digest": taken.digest,
        "registry": registry,
    } | ({} if receipt is None else {"receipt": str(receipt)})
    if as_json:
        print_json({"schema": "whorl.registration/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Registered", {label.capitalize(): value for label, value in facts.items()})
    return Exit.DONE


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
