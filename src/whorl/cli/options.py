"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document, and nothing else, on standard output.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
RegistryFile: TypeAlias = Annotated[
    Path,
    typer.Option("--registry", metavar="FILE", envvar="WHORL_REGISTRY", help="The registry: one SQLite file."),
]
PopulationFile: TypeAlias = Annotated[
    Path,
    typer.Option("--population", "-P", metavar="FILE", help="Control models, from `whorl population build`."),
]
DEFAULT_REGISTRY = Path("whorl-registry.sqlite")
