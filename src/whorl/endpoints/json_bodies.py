"""JSON from strangers, read once into values that cannot be wrong.

What a field may be is decided by whoever reads it: missing and null are alike, any other type than the promised one
makes the body malformed. Two members of one name are refused too: two readers would read such a body differently, and
it is kept as evidence.
"""

import json
import math
from typing import Any, NoReturn, TypeAlias, TypeVar

from whorl.endpoints.exchange import EndpointError
from whorl.endpoints.quoting import excerpt, shown

JsonObject: TypeAlias = dict[str, Any]
Kind = TypeVar("Kind", str, list[Any], dict[str, Any])

_NAMES = {str: "a text", list: "a list", dict: "an object"}
_MEMBERS_SHOWN = 8
_LARGEST_COUNT = 2**53  # beyond, a count has no canonical JSON form


def json_object(body: bytes) -> JsonObject:
    """The JSON object that a body holds.

    Raises
    ------
    EndpointError
        ``malformed``, with an excerpt, if the body is not UTF-8, not JSON (NaN and infinities are none), nested too
        deep, has two members of one name, or is no object.
    """
    try:
        document = json.loads(
            body.decode("utf-8"), parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        problem = "nested too deep" if isinstance(error, RecursionError) else shown(str(error))
        raise malformed(f"expected JSON, found {excerpt(body)} ({problem})") from None
    if not isinstance(document, dict):
        raise malformed(f"expected a JSON object, found {excerpt(body)}")
    return document


def malformed(detail: str) -> EndpointError:
    """The error for a body that is not what was promised."""
    return EndpointError("malformed", detail)


def member(document: JsonObject, name: str, kind: type[Kind]) -> Kind | None:
    """A member of an object; None where it is missing or null.

    Raises
    ------
    EndpointError
        ``malformed`` if it is of another type, or a text that has no UTF-8 form (a lone surrogate).
    """
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, kind):
        raise malformed(f"expected {name!r} to be {_NAMES[kind]}, found {_described(value)}")
    if isinstance(value, str) and not _encodable(value):
        raise malformed(f"expected {name!r} to be a text, found one with half a character: '{shown(value)}'")
    return value


def required(document: JsonObject, name: str, kind: type[Kind]) -> Kind:
    """A member that must be there, else ``malformed``."""
    value = member(document, name, kind)
    if value is None:
        raise malformed(f"expected a member {name!r}, found {_described(document)}")
    return value


def count(document: JsonObject, name: str) -> int | None:
    """A non-negative whole number, also one written as 12.0; None where it is missing or null."""
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise malformed(f"expected {name!r} to be a whole number, found {_described(value)}")
    if not 0 <= value <= _LARGEST_COUNT:
        raise malformed(f"expected {name!r} to be a count, found {_described(value)}")
    return int(value)


def number(value: object, what: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST_COUNT:
        raise malformed(f"expected {what} to be a number, found {_described(value)}")
    return float(value)


def texts(values: list[Any], what: str) -> list[str]:
    """A list that holds only texts."""
    if not all(isinstance(value, str) and _encodable(value) for value in values):
        raise malformed(f"expected {what} to be texts, found {_described(values)}")
    return values


def objects(values: list[Any], what: str) -> list[JsonObject]:
    """A list that holds only objects."""
    if not all(isinstance(value, dict) for value in values):
        raise malformed(f"expected {what} to be objects, found {_described(values)}")
    return values


def _described(value: object) -> str:
    """What a value is, without looking deep into it: it may be nested as deep as the stack allows."""
    match value:
        case dict():
            names = ", ".join(shown(repr(name), limit=40) for name in list(value)[:_MEMBERS_SHOWN])
            return f"an object with {len(value)} members" + (f" ({names})" if names else "")
        case list():
            return f"a list of {len(value)}"
        case _:
            return shown(repr(value))


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("two members of one object have the same name")
    return document
