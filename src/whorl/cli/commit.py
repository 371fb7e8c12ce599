"""``whorl commit``: before a release, a secret key and the public commitment to it."""

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress

KEY_FILE: Final = "release-key.json"
COMMITMENT_FILE: Final = "commitment.json"


def commit(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The model that is to be released.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the key and the commitment go.")
    ],
    dither: Annotated[
        float,
        typer.Option("--dither", min=1e-5, max=0.1, help="Size of the mark, over each matrix's standard deviation."),
    ] = 0.01,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Draw a secret key for a model and seal it in a commitment, before the model is released.

    FOLDER gets `release-key.json`, which is yours alone, and `commitment.json`, to be published or time-stamped before
    the release. `whorl release` makes the released copy with the key; `whorl compare --key` recognises what was made
    from it. The undithered CHECKPOINT must never be published.
    """
    require_input(checkpoint, expected="a checkpoint folder or file")
    _require_outputs(output, checkpoint)

    from whorl.comparison.sealing import draw_key
    from whorl.weights.release_key import commitment_to

    with shown_progress(quiet=quiet) as progress:
        key = draw_key(
            checkpoint,
            dither=dither,
            random_bytes=secrets.token_bytes,
            now=lambda: datetime.now(UTC),
            progress=progress,
        )
    commitment = commitment_to(key)
    output.mkdir(mode=0o700, exist_ok=True)
    _require_outputs(output, checkpoint)
    write_private(output / KEY_FILE, key.model_dump_json(indent=2).encode() + b"\n")
    try:
        write_whole(output / COMMITMENT_FILE, commitment.model_dump_json(indent=2).encode() + b"\n")
    except BaseException:
        (output / KEY_FILE).unlink(missing_ok=True)  # a key without its commitment is worth nothing
        raise
    facts = {
        "commitment": commitment.commitment,
        "model": commitment.model,
        "dither": commitment.dither,
        "key_file": str(output / KEY_FILE),
        "commitment_file": str(output / COMMITMENT_FILE),
    }
    if as_json:
        print_json({"schema": "whorl.commitment-receipt/1"} | facts)
    else:
        from whorl.cli.summary import print_facts, print_lines

        labels = {"Commitment": "commitment", "Model": "model", "Dither": "dither"}
        labels |= {"Keep secret": "key_file", "Publish": "commitment_file"}
        print_facts("Committed", {label: str(facts[name]) for label, name in labels.items()})
        print_lines(
            "",
            "Publish or time-stamp the commitment before the release. Keep the key file and the checkpoint to "
            "yourself: whoever has both can take the mark out, and without the key nobody can test for it.",
        )
    return Exit.DONE


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_name(f".whorl-{secrets.token_hex(8)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _require_outputs(folder: Path, checkpoint: Path) -> None:
    if not folder.is_dir():
        require_output(folder, inputs=(checkpoint,))
        return
    for name in (KEY_FILE, COMMITMENT_FILE):
        require_output(folder / name, inputs=(checkpoint,))
