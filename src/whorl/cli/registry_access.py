"""Which registry and which key a command means: a folder here or a service elsewhere, and a key file of one's own."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.entries.keys import IssuerKey
    from whorl.fingerprints.weight_fingerprint import WeightFingerprint
    from whorl.registry.issuing import Issuer, RegistryAccess
    from whorl.registry.leads import Lead
    from whorl.registry.local import LocalRegistry

    Find = Callable[[WeightFingerprint, int], Sequence[Lead]]

DEFAULT_REGISTRY: Final = "whorl-registry"
RegistryPlace: TypeAlias = Annotated[
    str,
    typer.Option("--registry", metavar="PLACE", envvar="WHORL_REGISTRY", help="The registry: a folder, or a URL."),
]
KeyFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", envvar="WHORL_KEY", help="Your private key; made at the first use."),
]
Claimant: TypeAlias = Annotated[
    str, typer.Option("--claimant", help="Your organisation's name, for a key the registry does not know yet.")
]
ClaimantIfNew: TypeAlias = Annotated[
    str | None,
    typer.Option("--claimant", help="Your organisation's name, for a key the registry does not know yet."),
]
JurisdictionOption: TypeAlias = Annotated[
    str, typer.Option("--jurisdiction", metavar="XX", help="Its country, as two letters (ISO 3166); ZZ for none.")
]
DEFAULT_JURISDICTION: Final = "ZZ"


def is_url(place: str) -> bool:
    """Whether a registry is named by a URL."""
    return place.startswith(("http://", "https://"))


def require_claimant(name: str | None, jurisdiction: str) -> None:
    """Check an organisation's name and country before anything is made or signed."""
    from whorl.entries.kinds import Organisation
    from whorl.entries.stating import require_stated

    fields = {"jurisdiction": jurisdiction} | ({} if name is None else {"name": name})
    require_stated(Organisation, fields, options={"name": "--claimant"})


@contextmanager
def local_registry(place: str, *, create: bool = False, owner: str | None = None) -> "Iterator[LocalRegistry]":
    """Open a registry's folder, or make one where there is none.

    Raises
    ------
    InputError
        If there is none and none may be made, or something else lies there.
    """
    from whorl.registry.home import open_home
    from whorl.registry.issuing import UNNAMED
    from whorl.registry.local import create_registry, open_registry
    from whorl.registry.remote_witness import witnesses_of

    path = Path(place)
    if is_url(place):
        raise InputError(f"{place}: expected the folder of a registry on this machine, found a URL")
    if create and not path.exists():
        origin = f"registry.local/{secrets.token_hex(4)}"
        registry = create_registry(path, origin=origin, bureau_name=owner or UNNAMED, jurisdiction=DEFAULT_JURISDICTION)
        typer.echo(f"whorl: made a new registry, {path}, which this machine alone keeps", err=True)
        with registry:
            yield registry
        return
    with ExitStack() as stack:
        cosigners = [stack.enter_context(witness) for witness in witnesses_of(open_home(path))]
        yield stack.enter_context(open_registry(path, cosigners=cosigners))


@contextmanager
def registry_at(
    place: str, *, key: "IssuerKey | None" = None, create: bool = False, owner: str | None = None
) -> "Iterator[RegistryAccess]":
    """Open the registry that a command means, wherever it is.

    Parameters
    ----------
    key : by which a service recognises who asks
    """
    if is_url(place):
        from whorl.registry.client import RemoteRegistry

        with RemoteRegistry(place, token=os.environ.get("WHORL_TOKEN"), key=key) as registry:
            yield registry
    else:
        with local_registry(place, create=create, owner=owner) as opened:
            yield opened


@contextmanager
def searchable(place: str) -> "Iterator[tuple[Find, Callable[[str], bytes]]]":
    """How to search a registry, and to fetch what its entries point to, wherever it is; nothing is changed in it."""
    from whorl.fingerprints.weight_fingerprint import SEARCH_SCHEME
    from whorl.registry.leads import LeadSearch

    if is_url(place):
        from whorl.registry.client import RemoteRegistry

        with RemoteRegistry(place, token=os.environ.get("WHORL_TOKEN")) as remote:
            yield (lambda taken, top: remote.find_leads(taken.to_bytes(), top=top)), remote.blob
        return
    from whorl.registry.registry_reader import read_registry

    with (
        read_registry(Path(place)) as registry,
        LeadSearch(registry.database, registry.home.vectors, now=registry.now) as search,
    ):

        def find(taken: "WeightFingerprint", top: int) -> "Sequence[Lead]":
            return search.find(taken.search_vector(), scheme=SEARCH_SCHEME, top=top)

        yield find, registry.blob


def default_key_file() -> Path:
    """Where the user's own key lies unless another is named."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "whorl" / "issuer-key.json"


def issuer(key_file: Path | None) -> "Issuer":
    """The user's key; drawn and kept at the first use, unless a file was named."""
    from whorl.registry.issuing import Issuer, new_key_file
    from whorl.registry.local import system_clock

    path = key_file or default_key_file()
    if key_file is None and not path.exists():
        new_key_file(path, secrets.token_bytes)
        typer.echo(f"whorl: drew a new key for you, {path}; keep it: entries are yours by it alone", err=True)
    return Issuer(path, now=system_clock, random_bytes=secrets.token_bytes)
