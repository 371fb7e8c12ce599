"""``whorl register``: put a model's fingerprint into a registry."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input
from whorl.cli.options import DEFAULT_REGISTRY, AsJson, Quiet, RegistryFile
from whorl.cli.progress import shown_progress


def register(
    subject: Annotated[Path, typer.Argument(metavar="SUBJECT", help="A checkpoint or a stored fingerprint.")],
    registry: RegistryFile = DEFAULT_REGISTRY,
    name: Annotated[str | None, typer.Option("--name", help="Name of the entry, instead of the model's own.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Enter a model into a registry file, which is made if it does not exist."""
    require_input(subject)

    from whorl.comparison.subjects import fingerprint_of
    from whorl.registry.storage import Registry

    with shown_progress(quiet=quiet) as progress:
        taken = fingerprint_of(subject, progress=progress)
    with Registry(registry, create=True) as entries:
        entry = entries.register(
            name=name or taken.name,
            fingerprint_bytes=taken.to_bytes(),
            digest=taken.digest,
            search_vector=taken.search_vector(),
            registered_at=datetime.now(UTC),
        )
    facts = {"entry": entry.id, "name": entry.name, "digest": entry.digest, "registry": str(registry)}
    if as_json:
        print_json({"schema": "whorl.registration/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Registered", {label.capitalize(): str(value) for label, value in facts.items()})
    return Exit.DONE
