"""Broken and hostile fingerprint files: every one ends in one clear error, and none in a traceback later on."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whorl.comparison.comparing import compare_fingerprints
from whorl.core.arrays import AnyArray
from whorl.core.digest import canonical_json
from whorl.core.errors import FingerprintError, InputError
from whorl.fingerprints.container import METADATA_KEY, pack, unpack
from whorl.fingerprints.weight_fingerprint import WeightFingerprint, parse_fingerprint, read_fingerprint

FUZZED = 500

Arrays = dict[str, AnyArray]


def refusal(data: bytes) -> str:
    """What the refusal of these bytes says."""
    with pytest.raises(FingerprintError) as caught:
        parse_fingerprint(data, origin="model.whorl")
    message = str(caught.value)
    assert message.startswith("model.whorl: expected ")
    assert "found" in message
    return message


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Outer header and body of a fingerprint's bytes."""
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: Any, body: bytes) -> bytes:
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def with_document(fingerprint: WeightFingerprint, **changes: Any) -> bytes:
    """The bytes with entries of the header document replaced, canonical again."""
    document, arrays = unpack(fingerprint.to_bytes(), origin="memory")
    return pack(canonical_json({**json.loads(document), **changes}).decode(), arrays)


def with_arrays(fingerprint: WeightFingerprint, **changes: AnyArray) -> bytes:
    return replace(fingerprint, arrays={**fingerprint.arrays, **changes}).to_bytes()


def replaced(array: AnyArray, value: Any) -> AnyArray:
    changed = np.array(array)
    changed.flat[0] = value
    return changed


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda data: data[:0], "error"),
        (lambda data: data[:7], "error"),
        (lambda data: data[:-1], ""),
        (lambda data: data[: len(data) // 2], ""),
        (lambda data: data + b"\0", "not in canonical form"),
        (lambda data: b"\0" * 8 + data, ""),
        (lambda data: struct.pack("<Q", 1 << 62) + data[8:], ""),
        (lambda data: struct.pack("<Q", 0) + data[8:], ""),
        (lambda data: b"\x80\x04\x95" + data, ""),
        (lambda data: b"GGUF" + data, ""),
        (lambda data: data.replace(b"whorl.fingerprint", b"whorl.fingerprinT"), "KeyError"),
        (lambda data: data.replace(b"weight_fingerprint/1", b"weight_fingerprint/2"), "schema"),
    ],
    ids=[
        "empty", "seven bytes", "one byte short", "half", "one byte more", "zeros before", "huge header length",
        "no header", "a pickle", "another format", "another metadata key", "another version",
    ],
)  # fmt: skip
def test_bytes_that_are_no_fingerprint_are_refused(
    fingerprint: WeightFingerprint, damage: Callable[[bytes], bytes], found: str
) -> None:
    assert found in refusal(damage(fingerprint.to_bytes()))


def deep(levels: int) -> bytes:
    text = b"[" * levels + b"]" * levels
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "header",
    [[], "text", 7, {}, {"__metadata__": {}}, {"__metadata__": {METADATA_KEY: "{}"}, "gains": None}],
    ids=str,
)
def test_headers_of_the_wrong_kind_are_refused(header: Any) -> None:
    refusal(joined(header, b""))


def test_a_header_nested_beyond_reason_is_refused() -> None:
    refusal(deep(100_000))


@pytest.mark.parametrize(
    "entry",
    [
        {"data_offsets": [0]},
        {"data_offsets": [0, -8]},
        {"data_offsets": [0, 1 << 50]},
        {"data_offsets": [0.5, 8]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [-1]},
        {"shape": [True]},
        {"shape": None},
        {"dtype": "F64"},
        {"dtype": "O"},
        {"dtype": ["F16"]},
        {"surplus": 1},
    ],
    ids=str,
)
def test_an_array_entry_that_lies_is_refused(fingerprint: WeightFingerprint, entry: dict[str, Any]) -> None:
    header, body = parts(fingerprint.to_bytes())
    refusal(joined({**header, "gains": {**header["gains"], **entry}}, body))


def test_any_spelling_but_the_canonical_one_is_refused(fingerprint: WeightFingerprint) -> None:
    data = fingerprint.to_bytes()
    header, body = parts(data)
    spaced = json.dumps(header).encode()
    shuffled = json.dumps(dict(reversed(header.items())), separators=(",", ":")).encode()
    for text in (spaced, shuffled, canonical_json(header) + b" " * 16):
        refusal(struct.pack("<Q", len(text)) + text + body)
    repeated = data[8:].replace(b'"anchors":', b'"anchors":0,"anchors":', 1)
    assert "canonical" in refusal(struct.pack("<Q", struct.unpack_from("<Q", data)[0] + 12) + repeated)


def test_a_header_document_in_another_spelling_is_refused(fingerprint: WeightFingerprint) -> None:
    document, arrays = unpack(fingerprint.to_bytes(), origin="memory")
    assert "another spelling" in refusal(pack(json.dumps(json.loads(document)), arrays))
    assert "another spelling" in refusal(pack(document.replace('"gated":[true', '"gated":[ true'), arrays))


@pytest.mark.parametrize(
    "change",
    [
        {"surplus": 1},
        {"schema": "whorl.weight_fingerprint/2"},
        {"width": -1},
        {"width": "32"},
        {"width": 1.5},
        {"width": 1 << 40},
        {"name": "n" * 513},
        {"neurons": [64, 64]},
        {"neurons": [64, 64, 63]},
        {"neurons": []},
        {"blocks": [[64], [64]]},
        {"gated": [True]},
        {"structure": []},
        {"heads": [[4, 8], None]},
        {"heads": [[4, 9], [4, 8], [4, 8]]},
        {"gains": {}},
        {"matrices": [{}]},
        {"vocabulary": None},
    ],
    ids=str,
)
def test_a_document_that_does_not_fit_its_arrays_or_the_schema_is_refused(
    fingerprint: WeightFingerprint, change: dict[str, Any]
) -> None:
    assert "schema" in refusal(with_document(fingerprint, **change))


def test_gains_out_of_order_are_refused(fingerprint: WeightFingerprint) -> None:
    # Canonical JSON sorts keys by UTF-16 units: only names beyond the basic plane can be canonical and out of order.
    gains = dict(fingerprint.header.gains)
    (first, count) = gains.popitem()
    assert "order" in refusal(with_document(fingerprint, gains={**gains, "\U0001f600": count, "\ufb33": 0}))
    assert first


@pytest.mark.parametrize("array", ["gains", "neuron_norms"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(fingerprint: WeightFingerprint, array: str, value: float) -> None:
    data = with_arrays(fingerprint, **{array: replaced(fingerprint.arrays[array], value)})
    assert "NaN or infinity" in refusal(data)


@pytest.mark.parametrize("name", ["anchors", "gains", "head_query_key", "neuron_bits", "neuron_index", "search"])
def test_arrays_of_another_shape_or_type_are_refused(fingerprint: WeightFingerprint, name: str) -> None:
    array = fingerprint.arrays[name]
    other = np.int8 if array.dtype != np.int8 else np.uint8
    for changed in (array[:-1] if name != "anchors" else array[:, :3], array[None], array.view(other)):
        assert "expected arrays" in refusal(with_arrays(fingerprint, **{name: np.ascontiguousarray(changed)}))


def test_missing_and_surplus_arrays_are_refused(fingerprint: WeightFingerprint) -> None:
    document, arrays = unpack(fingerprint.to_bytes(), origin="memory")
    assert "expected arrays" in refusal(pack(document, {**arrays, "surplus": arrays["gains"]}))
    for name in arrays:
        refusal(pack(document, {kept: array for kept, array in arrays.items() if kept != name}))


@pytest.mark.parametrize("position", [-1, 64, np.iinfo(np.int32).max])
def test_neurons_that_stand_outside_their_layer_are_refused(fingerprint: WeightFingerprint, position: int) -> None:
    refusal(with_arrays(fingerprint, neuron_index=replaced(fingerprint.arrays["neuron_index"], position)))


def test_neurons_listed_out_of_order_or_twice_are_refused(fingerprint: WeightFingerprint) -> None:
    index = fingerprint.arrays["neuron_index"]
    for first in (index[1], index[2]):
        refusal(with_arrays(fingerprint, neuron_index=replaced(index, first)))


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": [[0], [0], [0]]},
        {"blocks": [[32], [32], [32]]},
        {"blocks": [[], [], []]},
        {"structure": [None, None, None]},
        {"heads": [[0, 0], [0, 0], [0, 0]]},
    ],
    ids=str,
)
def test_documents_that_no_model_gives_are_refused_or_compared_without_a_traceback(
    fingerprint: WeightFingerprint, change: dict[str, Any]
) -> None:
    arrays = dict(fingerprint.arrays)
    if "heads" in change:
        arrays |= {name: arrays[name][:0] for name in ("head_query_key", "head_output_value")}
    assert_handled(with_document(replace(fingerprint, arrays=arrays), **change), fingerprint)


def assert_handled(data: bytes, other: WeightFingerprint) -> bool:
    """Whether the bytes are accepted; if so, they compare, also with themselves, without any error but our own."""
    try:
        accepted = parse_fingerprint(data, origin="model.whorl")
        for questioned, reference in ((accepted, other), (other, accepted), (accepted, accepted)):
            compare_fingerprints(questioned, reference)
    except InputError:
        return False
    return True


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One seeded act of vandalism."""
    changed = bytearray(data)
    header_end = 8 + struct.unpack_from("<Q", data)[0]
    where = int(rng.integers(0, header_end if rng.random() < 0.7 else len(data)))
    match rng.integers(0, 5):
        case 0:
            changed[where] ^= 1 << int(rng.integers(0, 8))
        case 1:
            changed[where : where + int(rng.integers(1, 40))] = rng.bytes(int(rng.integers(0, 40)))
        case 2:
            del changed[where:]
        case 3:
            stop = int(rng.integers(0, len(data)))
            changed[where:where] = data[min(where, stop) : min(where, stop) + 64]
        case _:
            changed[where] = rng.choice(np.frombuffer(b'0123456789-e"[]{},:', np.uint8))
    return bytes(changed)


def test_no_mutation_of_the_bytes_raises_anything_but_our_own_error(fingerprint: WeightFingerprint) -> None:
    rng, data = np.random.default_rng(20261123), fingerprint.to_bytes()
    accepted = 0
    for _ in range(FUZZED):
        damaged = mutated(data, rng)
        try:
            parse_fingerprint(damaged, origin="model.whorl")
        except FingerprintError:
            continue
        accepted += 1
    # Bits of the arrays carry no redundancy: a flip there gives another fingerprint, and another digest.
    assert 0 < accepted < FUZZED / 3


def test_no_mutation_of_the_numbers_in_the_document_breaks_a_comparison(fingerprint: WeightFingerprint) -> None:
    rng, document = np.random.default_rng(7), json.loads(unpack(fingerprint.to_bytes(), origin="memory")[0])
    accepted = 0
    for _ in range(60):
        damaged = json.loads(json.dumps(document))
        numbers = list(numbers_in(damaged))
        holder, key = numbers[int(rng.integers(0, len(numbers)))]
        holder[key] = [0, 1, holder[key] + 1, 1 << 31, -1, 0.5, None][int(rng.integers(0, 7))]
        accepted += assert_handled(with_document(fingerprint, **damaged), fingerprint)
    assert accepted > 0


def numbers_in(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value that holds a number or a boolean, as container and key."""
    entries = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else [])
    here = [(value, key) for key, inner in entries if isinstance(inner, int | float)]
    return here + [place for _, inner in entries for place in numbers_in(inner)]


def test_a_file_that_is_too_large_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.whorl"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(InputError, match="at most 67108864 bytes, found 68157440") as caught:
        read_fingerprint(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a regular file"):
        read_fingerprint(tmp_path)
