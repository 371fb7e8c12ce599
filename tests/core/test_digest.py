"""Identity: one byte string for one value, and digests that tell different values apart."""

import hashlib
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whorl.core.arrays import AnyArray
from whorl.core.digest import canonical_json, digest_array, digest_bytes, digest_document

# RFC 8785, section 3.2.2 (input) and 3.2.3 (sorted, as it must come out).
RFC_INPUT = r"""{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"""
RFC_OUTPUT = (
    r'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
    r'"string":"€$\u000f\nA' + "'" + r'B\"\\\\\"/"}'
)
# RFC 8785, section 3.2.3: property names sort by UTF-16 code units, so U+1F600 comes before U+FB33.
RFC_NAMES = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\U0001f600": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
}
RFC_ORDER = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
# RFC 8785, appendix B: IEEE 754 bits and their JSON form.
RFC_NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("41b3de4355555555", "333333333.3333333"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
]

LARGEST = 2**53 - 1  # beyond it, a float is written like an integer that has no exact form
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | st.floats(-LARGEST, LARGEST) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_canonical_json_gives_the_examples_of_rfc_8785() -> None:
    assert canonical_json(json.loads(RFC_INPUT)).decode() == RFC_OUTPUT
    assert list(json.loads(canonical_json(RFC_NAMES))) == RFC_ORDER


@pytest.mark.parametrize(("bits", "expected"), RFC_NUMBERS)
def test_canonical_numbers_are_those_of_rfc_8785(bits: str, expected: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(value).decode() == expected


@given(json_values)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_canonical_json_says_the_same_and_is_its_own_canonical_form(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


def test_the_order_of_keys_does_not_matter() -> None:
    assert canonical_json({"b": 1, "a": [2, {"d": 3, "c": 4}]}) == b'{"a":[2,{"c":4,"d":3}],"b":1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2**53, {"deep": [float("nan")]}])
def test_a_value_without_a_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="no canonical JSON form"):
        canonical_json(value)


def test_digests_of_bytes_name_their_function() -> None:
    # FIPS 180-2, appendix B.1: SHA-256 of "abc".
    expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_bytes(b"abc") == expected
    assert digest_bytes(memoryview(b"abc")) == expected


def test_the_digest_of_an_array_can_be_recomputed_by_hand() -> None:
    array = np.array([[1, -2, 3]], dtype="<i2")
    written_out = b'{"dtype":"<i2","shape":[1,3]}\n' + bytes([1, 0, 0xFE, 0xFF, 3, 0])
    assert digest_array(array) == f"sha256:{hashlib.sha256(written_out).hexdigest()}"


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5)))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_the_digest_of_an_array_does_not_depend_on_how_it_lies_in_memory(array: AnyArray) -> None:
    expected = digest_array(array)
    assert digest_array(np.asfortranarray(array)) == expected
    assert digest_array(array.astype(">f4")) == expected
    assert digest_array(np.repeat(array, 2, axis=0)[::2]) == expected


@pytest.mark.parametrize(
    "other",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.arange(6, dtype=np.uint32).reshape(2, 3),
        np.arange(6, dtype=np.int32).reshape(3, 2),
        np.arange(6, dtype=np.int32),
        np.arange(6, dtype=np.int32).reshape(2, 3).T,
        np.arange(6, dtype=np.int32).reshape(2, 3)[::-1],
        np.arange(6, dtype=">i4").view("<i4").reshape(2, 3),
    ],
    ids=["wider", "unsigned", "turned shape", "flat", "transposed", "reversed", "bytes swapped"],
)
def test_arrays_that_differ_have_different_digests(other: AnyArray) -> None:
    assert digest_array(other) != digest_array(np.arange(6, dtype=np.int32).reshape(2, 3))


def test_documents_of_different_kinds_never_share_a_digest() -> None:
    document = {"a": 1}
    assert digest_document("whorl.x/1", document) == digest_bytes(b'{"kind":"whorl.x/1","value":{"a":1}}')
    assert digest_document("whorl.x/1", document) != digest_document("whorl.x/2", document)
    assert digest_document("whorl.x/1", {"b": 2, "a": 1}) == digest_document("whorl.x/1", {"a": 1, "b": 2})
