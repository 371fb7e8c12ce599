"""``whorl fingerprint``: what is remembered of one model, as a small file."""

from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress


def fingerprint(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint folder or file.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the fingerprint goes.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Take a model's weight fingerprint: one pass over the checkpoint, one small file.

    The file is enough for `whorl compare`, `whorl register` and `whorl identify`. The same checkpoint always gives the
    same bytes.
    """
    require_input(checkpoint)
    require_output(output, inputs=(checkpoint,), replace=force)

    from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint

    with shown_progress(quiet=quiet) as progress:
        taken = fingerprint_checkpoint(checkpoint, progress=progress)
    data = taken.to_bytes()
    require_output(output, inputs=(checkpoint,), replace=force)
    write_whole(output, data)
    if as_json:
        receipt = {"name": taken.name, "digest": taken.digest, "bytes": len(data), "file": str(output)}
        print_json({"schema": "whorl.fingerprint-receipt/1"} | receipt)
    else:
        from whorl.cli.summary import print_facts

        facts = {"Model": taken.name, "Digest": taken.digest, "Size": f"{len(data):,} bytes", "File": str(output)}
        print_facts("Fingerprint written", facts)
    return Exit.DONE
