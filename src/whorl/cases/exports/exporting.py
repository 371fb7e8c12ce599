"""One entry for every export: the format's name in, bytes out. The same case gives the same bytes."""

import json
from typing import Any, Final, Literal, TypeAlias, get_args

from whorl.cases.case import Case
from whorl.cases.exports.bill_of_materials import bill_of_materials
from whorl.cases.exports.case_graph import case_graph
from whorl.cases.exports.declaration import Declaration
from whorl.cases.exports.model_form import model_form
from whorl.cases.exports.standing import standing_of
from whorl.core.errors import InputError

Format: TypeAlias = Literal["eu-form", "cyclonedx", "case-jsonld"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


def export(case: Case, form: Format, *, declaration: Declaration | None = None) -> bytes:
    """Export a case as it stands.

    Parameters
    ----------
    declaration : what is declared of the questioned model; for ``eu-form`` alone

    Returns
    -------
    UTF-8 JSON with sorted keys and a line end

    Raises
    ------
    InputError
        If the format needs what the case does not show yet or shows no more, or the declaration is of no use.
    VerificationError
        If the case or its opinion does not hold.
    """
    if declaration is not None and form != "eu-form":
        raise InputError(f"expected a declaration with the format eu-form only, found one with {form}; leave it out")
    return json_bytes(_document(case, form, declaration))


def _document(case: Case, form: Format, declaration: Declaration | None) -> dict[str, Any]:
    match form:
        case "eu-form":
            return model_form(standing_of(case), declaration).model_dump(mode="json")
        case "cyclonedx":
            return bill_of_materials(standing_of(case))
        case "case-jsonld":
            return case_graph(case.read())


def json_bytes(document: dict[str, Any]) -> bytes:
    """One spelling of a document."""
    return (json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()
