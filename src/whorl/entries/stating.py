"""Bodies of entries from what a user gave: what does not fit is the user's to mend, and is said in their words."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from whorl.core.errors import InputError
from whorl.core.evidence import Document

SomeBody = TypeVar("SomeBody", bound=Document)

_NONE: Final[Mapping[str, str]] = {}
_SHOWN: Final = 80
_PATTERNS: Final = {
    r"^[A-Z]{2}$": "two capital letters of ISO 3166-1, such as NL, or ZZ for none",
    r"^[a-z2-7]{51}[aq]$": "the id of an entry, 52 small letters and digits",
    r"^sha256:[0-9a-f]{64}$": "a digest such as sha256:9f86d0...",
}


def stated(
    kind: type[SomeBody], fields: Mapping[str, Any], *, options: Mapping[str, str] = _NONE, where: str | None = None
) -> SomeBody:
    """The body that a user states.

    Parameters
    ----------
    options : how the user named a field, where it is not ``--`` and the field's name
    where : instead, the file from which all fields come

    Raises
    ------
    InputError
        If a field does not fit: which one, what was expected and what was found.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _problem(error.errors()[0], kind, options, where) from None


def require_stated(kind: type[Document], fields: Mapping[str, Any], *, options: Mapping[str, str] = _NONE) -> None:
    """Check some fields of a body before anything is done, as long as the others are not known.

    Raises
    ------
    InputError
        As `stated` does, of these fields.
    """
    try:
        kind.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors():
            if problem["loc"] and problem["loc"][0] in fields:
                raise _problem(problem, kind, options, None) from None


def _problem(problem: Any, kind: type[Document], options: Mapping[str, str], where: str | None) -> InputError:
    if not problem["loc"]:
        return InputError(
            f"{where or kind.__name__.lower()}: expected what it needs together, found otherwise: "
            f"{_plain(problem['msg'])}"
        )
    field = str(problem["loc"][0])
    option = options.get(field, f"--{field.replace('_', '-')}") if where is None else f"{where}: {field}"
    expected, found = _expected(problem)
    return InputError(f"{option}: expected {expected}, found {found}")


def _expected(problem: Any) -> tuple[str, str]:
    """What a field should be, and what it is, in words."""
    value, context = problem["input"], problem.get("ctx", {})
    shown = f"{value[:_SHOWN] if isinstance(value, str) else value!s:.80}"
    match problem["type"]:
        case "string_too_long":
            return f"at most {context['max_length']} characters", f"{len(value)}"
        case "string_pattern_mismatch":
            pattern = str(context["pattern"])
            return _PATTERNS.get(pattern, f"text of the form {pattern}"), f"{shown!a}"
        case "value_error":
            return "text of one spelling that people can see whole", f"{shown!a}, which {_plain(problem['msg'])}"
        case "literal_error":
            return f"{context['expected']}", f"{shown!a}"
        case "too_long":
            return f"at most {context['max_length']} of them", f"{context['actual_length']}"
        case _:
            return f"a fitting value ({_plain(problem['msg'])})", f"{shown!a}"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")[:200]
