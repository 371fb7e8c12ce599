"""JSON from strangers: one object, each key once, no value that two parsers could read differently (RFC 8259, I-JSON).

What is signed is read by several programs; a document that they read differently is a way to show each of them
something else. Hence no duplicate keys, no NaN, no integer beyond 2**53, no half of a surrogate pair.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from whorl.core.errors import InputError

LARGEST_INTEGER: Final = 2**53
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json_object(data: bytes, *, what: str, max_bytes: int, max_depth: int = 16) -> dict[str, Any]:
    """Parse one JSON object.

    Parameters
    ----------
    what : what the bytes should be, for the message
    max_bytes, max_depth : caps, in bytes and in levels of nesting

    Raises
    ------
    InputError
        If it is too long, too deep, no JSON object in UTF-8, or ambiguous.
    """
    if len(data) > max_bytes:
        raise InputError(f"{what}: expected at most {max_bytes} bytes of JSON, found {len(data)}")
    try:
        document = _DECODER.decode(data.decode())
        if _SURROGATE_ESCAPE.search(data):
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise InputError(f"{what}: expected JSON of at most {max_depth} levels, found more") from None
    except ValueError as error:
        raise InputError(f"{what}: expected JSON in UTF-8, found: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{what}: expected a JSON object, found {type(document).__name__}")
    # Nothing is deeper than it has opening brackets; counting those costs little.
    if data.count(b"{") + data.count(b"[") > max_depth and _deeper_than(document, max_depth):
        raise InputError(f"{what}: expected JSON of at most {max_depth} levels, found more")
    return document


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:100]!r} more than once in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > LARGEST_INTEGER:
        raise ValueError(f"an integer beyond 2**53 ({digits[:20]}...)")
    return int(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_each_once, parse_int=_integer, parse_constant=_refuse_constant)


def _deeper_than(document: Mapping[str, Any], levels: int) -> bool:
    layer: list[Any] = [document]
    for _ in range(levels):
        layer = [
            member
            for value in layer
            for member in (value.values() if isinstance(value, dict) else value)
            if isinstance(member, dict | list)
        ]
        if not layer:
            return False
    return True
