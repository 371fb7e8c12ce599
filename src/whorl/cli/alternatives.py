"""``whorl alternatives``: analyses that either side may make and file, on what else makes two models alike."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from whorl.cases.documents import Alibi, StatedDeposit
    from whorl.core.evidence import StoredDocument
    from whorl.core.progress import Progress

alternatives = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

CHECKPOINT: Final = "a checkpoint folder or a checkpoint file"
_MAX_OPENED_BYTES: Final = 1 << 27
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Also write the document, which can be filed in a case."),
]


@exits
def ancestor(
    named: Annotated[Path, typer.Argument(metavar="ANCESTOR", help="The model that both are said to continue.")],
    questioned: Annotated[Path, typer.Argument(metavar="QUESTIONED", help="The model in question.")],
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="The model it is compared with.")],
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Say whether one model continues the other, or both a common ancestor, by their changes from it.

    Every model is a checkpoint folder or file. Exit status 3: the figures do not tell, or there are none.
    """
    inputs = (named, questioned, reference)
    for path in inputs:
        require_input(path, CHECKPOINT)
    if output is not None:
        require_output(output, inputs=inputs)

    from whorl.comparison.ancestor import ancestor_test

    with shown_progress(quiet=quiet) as progress:
        test = ancestor_test(named, questioned, reference, progress=progress)

    def text() -> None:
        from whorl.cli.alternatives_text import print_ancestor

        print_ancestor(test)

    return _ended(test, test.exit_code, text, output=output, as_json=as_json)


@exits
def filtration(
    questioned: Annotated[Path, typer.Argument(metavar="QUESTIONED", help="The model in question.")],
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="The model it is compared with.")],
    ancestors: Annotated[
        list[Path] | None,
        typer.Option("--ancestor", metavar="MODEL", help="A public ancestor; what it has alike is filtered. Repeat."),
    ] = None,
    stated: Annotated[
        list[Path] | None,
        typer.Option("--filters", metavar="FILE", help="What a side enters, filters and contests. Repeat."),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="ROLE", help="Who names the ancestors and the panel.")] = "analyst",
    answers: Annotated[
        list[Path] | None,
        typer.Option("--prompts", metavar="TABLE", help="Answers of all models: tables or transcripts. Repeat."),
    ] = None,
    panel: Annotated[
        list[str] | None,
        typer.Option("--panel", metavar="NAME", help="A model of the answers that neither side made. Repeat."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Which data set, where the answers have several.")
    ] = None,
    called: Annotated[
        list[str] | None,
        typer.Option("--called", metavar="MODEL=NAME", help="What the answers call a checkpoint. Repeat."),
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Take two models apart, leave out what something else explains, and compare the rest.

    `whorl alternatives template filters` prints an example of --filters FILE. With --prompts, also ask how often the
    models agree where no ancestor and none of the panel does. Exit status 3: nothing is left to compare.
    """
    models, files, tables = (questioned, reference, *(ancestors or ())), stated or [], answers or []
    for path in models:
        require_input(path, CHECKPOINT)
    for path in (*files, *tables):
        require_input(path, expected="a file")
    if output is not None:
        require_output(output, inputs=(*models, *files, *tables))
    if not tables and (panel or dataset or called):
        raise InputError("--panel, --dataset and --called: expected --prompts TABLE as well, which they are about")

    from whorl.cases.alternative_files import read_filters
    from whorl.cases.filtered_models import Answers, filtered_models

    read = [read_filters(path) for path in files]
    with shown_progress(quiet=quiet) as progress:
        found = filtered_models(
            models,
            read,
            by=by,
            at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            answers=Answers(files=tables, dataset=dataset, panel=panel or [], called=called or []) if tables else None,
            progress=progress,
        )

    def text() -> None:
        from whorl.cli.alternatives_text import print_filtration

        print_filtration(found)

    return _ended(found, found.exit_code, text, output=output, as_json=as_json)


@exits
def documents(
    exhibits: Annotated[Path, typer.Argument(metavar="EXHIBITS", help="Documents and alibis, with their ranges.")],
    receipt: Annotated[
        Path | None, typer.Option("--receipt", metavar="FILE", help="Receipt of the deposit that EXHIBITS states.")
    ] = None,
    opened: Annotated[
        Path | None, typer.Option("--opened", metavar="FILE", help="Its opened members, by `whorl alibi show`.")
    ] = None,
    questioned: Annotated[
        Path | None, typer.Option("--questioned", metavar="MODEL", help="The model that must be among them.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", "-p", metavar="FILE", envvar="WHORL_POLICY", help="Logs and witnesses you trust."),
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Weigh dated documents and deposits against every alternative, over the ranges in which they are relied on.

    `whorl alternatives template documents` prints an example of EXHIBITS. Exit status 1: the deposit does not hold;
    3: the least favourable ratio may be 1.
    """
    require_input(exhibits, expected="exhibits")
    proof = {"--receipt": receipt, "--opened": opened, "--questioned": questioned}
    given = [path for path in proof.values() if path is not None]
    for path in given:
        require_input(path, expected="a file or a model")
    if output is not None:
        require_output(output, inputs=(exhibits, *given))

    from whorl.cases.alternative_files import read_exhibits

    stated = read_exhibits(exhibits)
    missing = [name for name, path in {**proof, "--policy": policy}.items() if path is None]
    if stated.deposit is None and given:
        raise InputError(f"{exhibits}: expected a deposit that the receipt is of, found none; state it in the file")
    if stated.deposit is not None and missing:
        raise InputError(f"{exhibits}: it states a deposit: expected {', '.join(missing)} as well, to check it")

    from whorl.cases.document_net import weigh_documents

    weighed = stated.exhibits
    with shown_progress(quiet=quiet) as progress:
        if stated.deposit and receipt and opened and questioned and policy:
            weighed = weighed.with_alibi(_alibi(stated.deposit, receipt, opened, questioned, policy, progress))
        weight = weigh_documents(weighed, progress=progress)

    def text() -> None:
        from whorl.cli.alternatives_text import print_documents

        print_documents(weight)

    return _ended(weight, weight.exit_code, text, output=output, as_json=as_json)


@exits
def template(
    kind: Annotated[Literal["filters", "documents"], typer.Argument(metavar="KIND", help="filters or documents")],
) -> Exit:
    """Print an example of a file that the other commands read, to be edited."""
    from whorl.cases.alternative_files import example

    print_json(example(kind))
    return Exit.DONE


def _alibi(
    stated: "StatedDeposit", receipt: Path, opened: Path, questioned: Path, policy: Path, progress: "Progress"
) -> "Alibi":
    from whorl.cases.alibis import deposited_alibi
    from whorl.comparison.subjects import content_digest, fingerprint_of
    from whorl.entries.receipt import MAX_RECEIPT_BYTES, parse_receipt, verify_receipt
    from whorl.entries.sealed_list import parse_opened
    from whorl.log.policy import MAX_POLICY_BYTES, parse_policy
    from whorl.weights.files import read_bounded

    verified = verify_receipt(
        parse_receipt(read_bounded(receipt, MAX_RECEIPT_BYTES), origin=str(receipt)),
        parse_policy(read_bounded(policy, MAX_POLICY_BYTES)),
    )
    members = parse_opened(read_bounded(opened, _MAX_OPENED_BYTES), origin=str(opened))
    content = content_digest(fingerprint_of(questioned, progress=progress).view())
    return deposited_alibi(stated, verified, members, content=content)


def _ended(
    document: "StoredDocument", status: int, text: "Callable[[], None]", *, output: Path | None, as_json: bool
) -> Exit:
    """Write the document, print it or what it says, and end with its status."""
    written = document.model_dump_json(indent=2)
    if output is not None:
        write_whole(output, written.encode() + b"\n")
    if as_json:
        print_json(written)
    else:
        text()
        if output is not None:
            from whorl.cli.summary import print_facts, print_lines

            print_lines("")
            print_facts("Written, to be filed with `whorl case acquire CASE --document FILE`", {"File": str(output)})
    return Exit(status)


for _name, _command, _help in (
    ("ancestor", ancestor, "Tell a child from two children of one ancestor."),
    ("filtration", filtration, "Leave out what else explains; compare the rest."),
    ("documents", documents, "Weigh dated documents and deposits."),
    ("template", template, "Print an example of a file to fill in."),
):
    alternatives.command(_name, short_help=_help)(_command)
