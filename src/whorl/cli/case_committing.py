"""Committing to a protocol in a registry before it is fixed in the case, so that others can see when that was."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from whorl.cli.registry_access import DEFAULT_JURISDICTION, is_url, issuer, registry_at, require_claimant

if TYPE_CHECKING:
    from whorl.dossiers.events import Protocol

CommitPlace: TypeAlias = Annotated[
    str | None,
    typer.Option("--commit", metavar="PLACE", help="Commit to the protocol in this registry: a folder, or a URL."),
]
_LASTS: Final = timedelta(days=3650)


def committing(place: str, *, key: Path | None, claimant: str | None) -> "Callable[[Protocol], bytes]":
    """Enters a commitment to a protocol and gives the registry's receipt of it.

    Parameters
    ----------
    place : of the registry
    claimant : name of the manager's organisation, for a key that the registry does not know yet
    """
    require_claimant(claimant, DEFAULT_JURISDICTION)

    def commit(protocol: "Protocol") -> bytes:
        from whorl.dossiers.protocol_commitment import commitment_to
        from whorl.registry.issuing import Issue
        from whorl.registry.issuing_once import whole_receipt

        expires = datetime.now(UTC) + _LASTS
        body = commitment_to(protocol, expires=f"{expires:%Y-%m-%dT%H:%M:%SZ}")
        signer = issuer(key)
        with registry_at(place, key=signer.key, create=not is_url(place), owner=claimant) as entries:
            signer.introduce(entries, name=claimant, jurisdiction=DEFAULT_JURISDICTION)
            (entered,) = signer.issue(entries, [Issue(body=body)])
            return whole_receipt(entries, entered.hash)

    return commit
