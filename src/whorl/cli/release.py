"""``whorl release``: the copy of a model that carries a key's mark, to be published instead of the original."""

from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input, require_output
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress


def release(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="The very model that `whorl commit` was given.")
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The key file that `whorl commit` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the released copy goes.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Write the copy of a model that is to be released: neurons and heads reordered, gate weights dithered by the key.

    The copy computes the same up to the stated dither. Publish the copy; keep CHECKPOINT and the key file.
    """
    require_input(checkpoint, expected="a checkpoint folder or file")
    require_input(key, expected="the key file that `whorl commit` wrote")
    require_output(output, inputs=(checkpoint,))

    from whorl.comparison.sealing import release as make_release
    from whorl.weights.release_key import commitment_to, read_key

    secret = read_key(key)
    with shown_progress(quiet=quiet) as progress:
        made = make_release(checkpoint, secret, output, progress=progress)
    if as_json:
        receipt = {
            "folder": str(output),
            "commitment": commitment_to(secret).commitment,
            "files": made.files,
            "dither": secret.dither,
            "dithered_weights": made.dithered,
            "dither_kept": made.kept,
            "relative_change": made.relative_change,
            "reordered_neurons": made.neurons,
            "reordered_heads": made.heads,
            "left_out": list(made.left_out),
        }
        print_json({"schema": "whorl.release-receipt/1"} | receipt)
        return Exit.DONE
    from whorl.cli.summary import print_facts, print_lines

    facts = {
        "Folder": str(output),
        "Commitment": commitment_to(secret).commitment,
        "Dither": f"{secret.dither:g} of each matrix's deviation, on {made.dithered:,} weights",
        "Kept": f"{made.kept:.4f} of it after rounding",
        "Change": f"{made.relative_change:.2%} of the dithered weights' size",
        "Reordered": f"{made.neurons:,} neurons, {made.heads:,} heads",
    }
    print_facts("Released copy written", facts)
    if made.left_out:
        print_lines("", f"Not copied, look whether the release needs them: {', '.join(made.left_out)}")
    return Exit.DONE
