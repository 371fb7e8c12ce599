"""``whorl case report``: a case as one page to be read, and as a document to be printed."""

from pathlib import Path
from typing import Annotated

import typer

from whorl.cli.case_access import CaseKey, CasePlace, case_at, folder_of
from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_output, write_whole
from whorl.cli.options import AsJson


@exits
def report(
    place: CasePlace,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", help="Where the page goes: one file, no network.")
    ],
    pdf: Annotated[
        Path | None, typer.Option("--pdf", metavar="FILE.pdf", help="Where a tagged PDF for print goes.")
    ] = None,
    key: CaseKey = None,
    as_json: AsJson = False,
) -> Exit:
    """Check the whole case and write what a reader must know of it; the same case gives the same bytes.

    Figures are shown for an opinion in force alone, and only once they were made again from the findings. A void or
    annulled case gets a page that says so and shows no ratio.
    """
    require_output(output, inputs=folder_of(place))
    if pdf is not None:
        require_output(pdf, inputs=folder_of(place))

    from whorl.cases.report import read_report, render_html, render_pdf

    found = read_report(case_at(place, key))
    page = render_html(found).encode()
    printed = None if pdf is None else render_pdf(found)
    write_whole(output, page)
    if pdf is not None and printed is not None:
        write_whole(pdf, printed)
    facts = {
        "case": found.case,
        "standing": found.standing,
        "page": str(output),
        "pdf": None if pdf is None else str(pdf),
    }
    if as_json:
        print_json({"schema": "whorl.case-report/1"} | facts)
    else:
        from whorl.cli.summary import print_facts

        print_facts(found.verdict, {label.capitalize(): value for label, value in facts.items() if value is not None})
    return Exit.DONE
