"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document, and nothing else, on standard output.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
PopulationFile: TypeAlias = Annotated[
    Path,
    typer.Option("--population", "-P", metavar="FILE", help="Control models, from `whorl population build`."),
]
ModelName: TypeAlias = Annotated[
    str | None, typer.Option("--model", help="The model to ask for, where the server has several.")
]
ApiName: TypeAlias = Annotated[
    Literal["openai", "completions", "anthropic"],
    typer.Option("--api", help="The interface: OpenAI chat, OpenAI completions, Anthropic messages."),
]
KeyVariable: TypeAlias = Annotated[
    str | None, typer.Option("--key-env", metavar="NAME", help="Environment variable that holds the key.")
]
Keyring: TypeAlias = Annotated[
    str | None,
    typer.Option("--keyring", metavar="SERVICE/USER", help="Take the key from the system's keyring instead."),
]
Concurrency: TypeAlias = Annotated[int, typer.Option("--concurrency", min=1, max=1024, help="Questions at a time.")]
MaxRequests: TypeAlias = Annotated[
    int | None, typer.Option("--max-requests", min=0, help="Stop before more requests, retries included.")
]
Timeout: TypeAlias = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that one try may take.")]
