"""JSON with one reading: what two parsers could read differently is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import InputError
from whorl.core.strict_json import parse_json_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), VALUES, max_size=4))
def test_ordinary_objects_are_read_as_they_are(document: dict[str, object]) -> None:
    text = json.dumps(document, ensure_ascii=False).encode()
    assert parse_json_object(text, what="x", max_bytes=1 << 20, max_depth=40) == document


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"a":1,"a":2}', "more than once"),
        (b'{"b":{"a":1,"a":1}}', "more than once"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":9007199254740993}', "2\\*\\*53"),
        (b'{"a":"\\ud800"}', "UTF-8"),
        (b'{"a":"\xc3"}', "UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "UTF-8"),
        (b'{"a":1} {"a":2}', "UTF-8"),
        (b"[1]", "list"),
        (b"", "UTF-8"),
        (b'{"a":' * 5 + b"1" + b"}" * 5, "levels"),
        (b"[" * 100_000, "levels"),
        (b'{"a":"' + b"x" * 200 + b'"}', "at most 100 bytes"),
    ],
)
def test_what_has_two_readings_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_json_object(data, what="x", max_bytes=200_000 if data[:1] == b"[" else 100, max_depth=4)


@given(VALUES, st.integers(1, 8))
def test_depth_is_counted_in_levels_and_not_in_brackets(value: object, levels: int) -> None:
    """Few opening brackets are a short answer; brackets in texts, and side by side, are no levels."""
    text = json.dumps({"a": value, "b": "[{" * 20}).encode()
    if _levels({"a": value}) <= levels:
        assert parse_json_object(text, what="x", max_bytes=1 << 20, max_depth=levels)
    else:
        with pytest.raises(InputError, match="levels"):
            parse_json_object(text, what="x", max_bytes=1 << 20, max_depth=levels)


def _levels(value: object) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if members is None else 1 + max(map(_levels, members), default=0)
