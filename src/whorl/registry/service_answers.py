"""What a registry's service answers, read with suspicion: fields of the right kind, or no answer at all."""

import base64
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, get_args

from whorl.core.errors import InputError, VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.entries.leaf import parse_entry_id
from whorl.registry.bounded_http import Answer, NoAnswerError
from whorl.registry.leads import Lead
from whorl.registry.mirroring import Content
from whorl.registry.refusals import Code, Refusal
from whorl.registry.sequencer import Entered, Outcome
from whorl.registry.standing import Standing

_CODES: Final[Mapping[str, Code]] = {code: code for code in get_args(Code)}
_NUMBER: Final = (int, float)


class RemoteError(InputError):
    """A service refused what it was asked.

    Parameters
    ----------
    status, code : as it answered
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


def refusal_of(answer: Answer) -> RemoteError:
    """What a service refused, in its own words if they can be read."""
    code, message = "unreadable", f"the service answered {answer.status}"
    try:
        found = object_in(parse_json_object(answer.body, what="answer", max_bytes=1 << 16), "error")
        code, message = text_in(found, "code"), f"{message}: {text_in(found, 'message')[:1000]}"
    except InputError:  # a proxy's page, or nothing
        pass
    return RemoteError(answer.status, code, message)


def outcome_of(result: Any) -> Outcome:
    """What became of one entry."""
    problem = result.get("error") if isinstance(result, dict) else None
    if problem is None:
        return Entered(hash=parse_entry_id(text_in(result, "id")), index=integer_in(result, "index"))
    code, message = text_in(problem, "code"), text_in(problem, "message")
    if code in _CODES:
        return Refusal(_CODES[code], message)
    return VerificationError(message) if code == "verification_failed" else InputError(message)


def body_of(content: Mapping[str, Any]) -> Any:
    """The body of a statement, from how the service shows it."""
    statement = content.get("statement")
    predicate = statement.get("predicate") if isinstance(statement, dict) else None
    return predicate.get("body") if isinstance(predicate, dict) else None


def lead_of(found: Any) -> Lead:
    """One lead of a search."""
    values: dict[str, Any] = {}
    for field in fields(Lead):
        value = found.get(field.name) if isinstance(found, dict) else None
        expected = _NUMBER if field.name in ("level", "score") else str
        fits = isinstance(value, expected) or (field.name in ("content", "taken_by") and value is None)
        if not fits or (field.name.endswith("standing") and value not in get_args(Standing)):
            raise NoAnswerError(f"expected leads in the answer of a search, found {field.name} of another kind")
        values[field.name] = value
    return Lead(**values)


def content_of(found: Any) -> Content | None:
    """Envelope and salt of an entry, where they are shown."""
    if found is None:
        return None
    try:
        envelope = base64.b64decode(text_in(found, "envelope"), validate=True)
        return Content(envelope=envelope, salt=bytes.fromhex(text_in(found, "salt")))
    except ValueError:
        raise NoAnswerError("expected envelope and salt in a service's answer, found something else") from None


def object_in(found: Any, name: str) -> dict[str, Any]:
    """A field that is an object; `NoAnswerError` if it is none. So do the others, each for its kind."""
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, dict):
        raise NoAnswerError(f"expected an object {name} in a service's answer, found something else")
    return value


def list_in(found: Mapping[str, Any], name: str) -> list[Any]:
    """A field that is a list."""
    value = found.get(name)
    if not isinstance(value, list):
        raise NoAnswerError(f"expected a list {name} in a service's answer, found something else")
    return value


def text_in(found: Any, name: str) -> str:
    """A field that is a text."""
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, str):
        raise NoAnswerError(f"expected a text {name} in a service's answer, found something else")
    return value


def integer_in(found: Any, name: str) -> int:
    """A field that is a whole number."""
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise NoAnswerError(f"expected a number {name} in a service's answer, found something else")
    return value
