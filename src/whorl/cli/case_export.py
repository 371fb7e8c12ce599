"""``whorl case export``: a case in the formats of others."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from whorl.cli.case_access import CaseKey, CasePlace, case_at, folder_of
from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input, require_output, write_whole
from whorl.cli.options import AsJson


@exits
def export(
    place: CasePlace,
    form: Annotated[
        Literal["eu-form", "cyclonedx", "case-jsonld"],
        typer.Option(
            "--format",
            help="eu-form: fields of the EU's Model Documentation Form; cyclonedx: a bill of materials (1.6); "
            "case-jsonld: the custody as a CASE/UCO graph.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the export goes.")],
    declared: Annotated[
        Path | None,
        typer.Option(
            "--declared",
            metavar="FILE",
            help="With eu-form: what is declared of the questioned model, to be compared with what was found; a file "
            "of schema whorl.declared-lineage/1, or the body of a registered model entry.",
        ),
    ] = None,
    key: CaseKey = None,
    as_json: AsJson = False,
) -> Exit:
    """Write a case in another format. An export says no more than the opinion in force; nothing is entered.

    The same case gives the same bytes. What neither the case nor a declaration says is null, with the reason.
    """
    require_output(output, inputs=(*folder_of(place), *(() if declared is None else (declared,))))
    if declared is not None:
        require_input(declared, expected="a declaration of the questioned model")

    from whorl.cases.exports.declaration import read_declaration
    from whorl.cases.exports.exporting import export as exported
    from whorl.core.digest import digest_bytes

    declaration = None if declared is None else read_declaration(declared)
    data = exported(case_at(place, key), form, declaration=declaration)
    write_whole(output, data)
    facts = {"file": str(output), "format": form, "digest": digest_bytes(data)}
    if as_json:
        print_json({"schema": "whorl.case-export/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts("Exported", {label.capitalize(): value for label, value in facts.items()})
    return Exit.DONE
