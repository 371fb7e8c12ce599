"""One broken or lying weight file per refusal: a clear error naming file and tensor, and nothing is ever run."""

import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_bytes import TENSORS, entry, safetensors_bytes, torch_bytes, torch_records, zip_bytes

from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.weights.opening import open_checkpoint
from whorl.weights.torch_pickle import read_state_dict

EIGHT = b"\0" * 8
DEEP = b'{"a":' * 100_000
HEADERS: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "found a file of 0 bytes"),
    "cut in the length": (b"\x10\0\0", "found a file of 3 bytes"),
    "cut in the header": (safetensors_bytes({"a": entry()})[:20], "bytes of header, found 12: the file is cut short"),
    "huge header length": (b"\xff" * 8 + b"{}", "at most 100000000 bytes, found a claim of 18446744073709551615"),
    "no brace": (safetensors_bytes(b" {}"), "starts with {"),
    "no header": (safetensors_bytes(b""), "starts with {"),
    "no JSON": (safetensors_bytes(b"{a}"), "expected JSON in UTF-8"),
    "no UTF-8": (safetensors_bytes(b'{"\xff":1}'), "expected JSON in UTF-8"),
    "half a surrogate pair": (safetensors_bytes(b'{"\\ud83d":1}'), "expected JSON in UTF-8"),
    "nested": (safetensors_bytes(DEEP), "nested too deeply"),
    "many values": (safetensors_bytes(b"{" + b"," * 3_000_001), "at most 3000000 JSON values"),
    "huge number": (safetensors_bytes(b'{"a":' + b"9" * 5000 + b"}"), "expected JSON in UTF-8"),
    "tensor twice": (safetensors_bytes(b'{"a":1,"b":2,"a":1}'), "the key 'a' more than once"),
    "dtype twice": (safetensors_bytes(b'{"a":{"dtype":"F32","dtype":"F16"}}'), "the key 'dtype' more than once"),
    "metadata not text": (safetensors_bytes({"__metadata__": {"a": 1}}), "__metadata__ to map text to text"),
    "metadata a list": (safetensors_bytes({"__metadata__": []}), "__metadata__ to map text to text"),
    "no entry": (safetensors_bytes({"a": 3}), "tensor 'a': expected dtype, shape and data_offsets"),
    "entry without offsets": (safetensors_bytes({"a": {"dtype": "F32", "shape": []}}), "tensor 'a': expected dtype"),
    "name of controls": (safetensors_bytes({"a\x1b[2J": entry()}, EIGHT), "printable characters"),
    "endless name": (safetensors_bytes({"a" * 5000: entry()}, EIGHT), "at most 1024 characters, found 5000"),
    "unknown dtype": (safetensors_bytes({"a": entry("F7")}, EIGHT), "tensor 'a': expected one of the number formats"),
    "dtype a list": (safetensors_bytes({"a": entry(["F32"])}, EIGHT), "expected one of the number formats"),
    "shape no list": (safetensors_bytes({"a": entry(shape=2)}, EIGHT), "expected a shape of at most 16"),
    "shape too long": (safetensors_bytes({"a": entry(shape=[1] * 17)}, EIGHT), "expected a shape of at most 16"),
    "negative size": (safetensors_bytes({"a": entry(shape=[-1, -2])}, EIGHT), "whole numbers from 0 up"),
    "size a truth value": (safetensors_bytes({"a": entry(shape=[True, 2])}, EIGHT), "whole numbers from 0 up"),
    "size a fraction": (safetensors_bytes({"a": entry(shape=[2.0])}, EIGHT), "whole numbers from 0 up"),
    "empty but endless": (safetensors_bytes({"a": entry(shape=[1 << 40, 0], offsets=[0, 0])}), "span at most"),
    "overflowing shape": (safetensors_bytes({"a": entry(shape=[1 << 32] * 4)}, EIGHT), "found a range of 8"),
    "shape too large": (safetensors_bytes({"a": entry(shape=[3])}, EIGHT), "the shape's 12 bytes, found a range of 8"),
    "three offsets": (safetensors_bytes({"a": entry(offsets=[0, 8, 8])}, EIGHT), "data_offsets of two whole numbers"),
    "offsets of text": (safetensors_bytes({"a": entry(offsets=["0", "8"])}, EIGHT), "data_offsets of two whole"),
    "offsets reversed": (safetensors_bytes({"a": entry(offsets=[8, 0])}, EIGHT), "data_offsets in rising order"),
    "negative offset": (safetensors_bytes({"a": entry(offsets=[-8, 0])}, EIGHT), "data_offsets in rising order"),
    "far offset": (safetensors_bytes({"a": entry(offsets=[1 << 62, 8 + (1 << 62)])}, EIGHT), "in rising order"),
    "outside the file": (safetensors_bytes({"a": entry()}, EIGHT[:5]), "the file is cut short"),
    "trailing bytes": (safetensors_bytes({"a": entry()}, EIGHT + b"x"), "has bytes that no tensor owns"),
    "hole": (safetensors_bytes({"a": entry(offsets=[8, 16])}, EIGHT * 2), "tensor 'a': .* found a hole before it"),
    "overlap": (
        safetensors_bytes({"a": entry(), "b": entry(offsets=[4, 12])}, EIGHT + EIGHT[:4]),
        "tensor 'b': .* overlapping another",
    ),
    "same bytes twice": (safetensors_bytes({"a": entry(), "b": entry()}, EIGHT), "tensor 'b': .* overlapping another"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_lying_safetensors_header_is_refused(tmp_path: Path, case: str) -> None:
    content, match = HEADERS[case]
    path = tmp_path / "one.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"one.safetensors: .*{match}"):
        open_checkpoint(path)


@pytest.mark.parametrize("storage", ["C64", "F4", "F6_E2M3", "F6_E3M2"])
def test_numbers_of_another_kind_are_refused_by_name(tmp_path: Path, storage: str) -> None:
    path = tmp_path / "one.safetensors"
    path.write_bytes(safetensors_bytes({"a": entry(storage)}, EIGHT))
    with pytest.raises(UnsupportedError, match=f"tensor 'a': {storage} numbers are not read"):
        open_checkpoint(path)


class Runs:
    """Pickles to a call; the file it would make shows whether anything ran."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.target),)


def edited(name: str, edit: Callable[[bytes], bytes], state: Any = TENSORS) -> bytes:
    """What `torch.save` writes, with one record changed."""
    records = torch_records(state)
    return zip_bytes(records | {name: edit(records[name])})


def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replace what must be there."""

    def swap(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new)

    return swap


def without(name: str) -> bytes:
    records = torch_records(TENSORS)
    del records[name]
    return zip_bytes(records)


def twice(name: str) -> bytes:
    buffer = io.BytesIO(zip_bytes(torch_records(TENSORS)))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(f"archive/{name}", b"other")
    return buffer.getvalue()


def directory_edit(offset: int, value: int, entry_index: int = 1) -> bytes:
    """Overwrite two bytes in one entry of the archive's directory."""
    content = bytearray(zip_bytes(torch_records(TENSORS)))
    at = -1
    for _ in range(entry_index + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    struct.pack_into("<H", content, at + offset, value)
    return bytes(content)


FLAGS, METHOD, LOCAL_HEADER = 8, 10, 42  # places in a directory entry
ARCHIVES: dict[str, tuple[Callable[[], bytes], type[InputError], str]] = {
    "another format": (lambda: b"GGUF" + EIGHT, CheckpointError, "expected a PyTorch zip file, found another format"),
    "cut short": (lambda: torch_bytes(TENSORS)[:-30], CheckpointError, "expected a PyTorch zip file"),
    "a plain zip": (lambda: zip_bytes({"a.txt": b""}), CheckpointError, "expected one record data.pkl, found 0"),
    "two models": (lambda: zip_bytes({"data.pkl": b"", "x/data.pkl": b""}), CheckpointError, "data.pkl, found 2"),
    "zip bomb": (
        lambda: zip_bytes(torch_records(TENSORS), zipfile.ZIP_DEFLATED),
        CheckpointError,
        "expected record .* to be stored plainly",
    ),
    "encrypted": (lambda: directory_edit(FLAGS, 1), CheckpointError, "to be stored plainly"),
    "unknown compression": (lambda: directory_edit(METHOD, 99), CheckpointError, "to be stored plainly"),
    "overlapping records": (lambda: directory_edit(LOCAL_HEADER, 0), CheckpointError, "overlapping another"),
    "record elsewhere": (lambda: directory_edit(LOCAL_HEADER, 3), CheckpointError, "broken or overlapping"),
    "record twice": (lambda: twice("data/0"), CheckpointError, "expected one record 'archive/data/0', found two"),
    "before 1.6": (
        lambda: torch_bytes(TENSORS, _use_new_zipfile_serialization=False),
        UnsupportedError,
        "before version 1.6 is not read; .*convert it to safetensors",
    ),
    "before 0.1.10": (lambda: b"\0" * 257 + b"ustar" + b"\0" * 300, UnsupportedError, "before version 1.6"),
    "TorchScript": (
        lambda: zip_bytes(torch_records(TENSORS) | {"constants.pkl": b""}),
        UnsupportedError,
        "TorchScript program is not read",
    ),
    "big-endian": (lambda: edited("byteorder", lambda _: b"big"), UnsupportedError, "only little-endian"),
    "storage missing": (lambda: without("data/0"), CheckpointError, "tensor 'embed.weight': .* data/0, found none"),
    "storage too short": (
        lambda: edited("data/0", lambda data: data[:-2]),
        CheckpointError,
        "tensor 'embed.weight': expected its storage's 48 bytes, found a record of 46",
    ),
    "more rows than stored": (
        lambda: edited("data.pkl", swapped(b"K\x06K\x04\x86", b"K\x07K\x04\x86")),
        CheckpointError,
        "tensor 'embed.weight': .* found it reaching outside",
    ),
    "negative size": (
        lambda: edited("data.pkl", swapped(b"K\x06K\x04\x86", b"J\xff\xff\xff\xffK\x04\x86")),
        CheckpointError,
        "tensor 'embed.weight': expected a shape of whole numbers",
    ),
    "offset behind the end": (
        lambda: edited("data.pkl", swapped(b"QK\x00K\x06", b"QK\x01K\x06")),
        CheckpointError,
        "found it reaching outside",
    ),
    "offset no number": (
        lambda: edited("data.pkl", swapped(b"QK\x00K\x06", b"Q\x89K\x06")),
        CheckpointError,
        "found it reaching outside",
    ),
    "transposed": (
        lambda: torch_bytes({"w": torch.ones(3, 4).T}),
        UnsupportedError,
        "tensor 'w' is a transposed or strided view",
    ),
    "expanded": (lambda: torch_bytes({"w": torch.ones(1).expand(99)}), CheckpointError, "found it reaching outside"),
    "strided": (lambda: torch_bytes({"w": torch.ones(8)[::2]}), UnsupportedError, "strided view"),
    "negated": (
        lambda: torch_bytes({"w": torch.complex(torch.ones(2), torch.ones(2)).conj().imag}),
        CheckpointError,
        "described in an unknown way",
    ),
    "complex": (
        lambda: torch_bytes({"w": torch.ones(2, dtype=torch.complex64)}),
        CheckpointError,
        "'torch ComplexFloatStorage', which is code",
    ),
    "sparse": (lambda: torch_bytes({"w": torch.eye(3).to_sparse()}), CheckpointError, "_rebuild_sparse_tensor"),
    "a training checkpoint": (
        lambda: torch_bytes({"model": TENSORS, "step": 1}),
        UnsupportedError,
        "found a dict under 'model'; save the model's state dict alone",
    ),
    "a whole module": (lambda: torch_bytes(torch.nn.Linear(2, 2)), CheckpointError, "'torch.nn.modules.linear Linear'"),
    "a lone tensor": (lambda: torch_bytes(torch.ones(2)), CheckpointError, "a state dict, found PickledTensor"),
    "no tensors": (lambda: torch_bytes({"step": 1}), CheckpointError, "expected at least one tensor"),
    "name of controls": (lambda: torch_bytes({"\x1b": torch.ones(2)}), CheckpointError, "printable characters"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_lying_archive_is_refused(tmp_path: Path, case: str) -> None:
    make, error, match = ARCHIVES[case]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(make())
    with pytest.raises(error, match=f"pytorch_model.bin: .*{match}") as refusal:
        open_checkpoint(path)
    assert type(refusal.value) is error


def test_an_archive_with_a_huge_directory_is_refused_unread(tmp_path: Path) -> None:
    path, size = tmp_path / "pytorch_model.bin", 1 << 32
    with path.open("wb") as file:  # mostly a hole: no disk is used
        file.write(b"PK\x03\x04")
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 1 << 31, size - (1 << 31), 0))
    with pytest.raises(CheckpointError, match="a directory of more than 16777216 bytes"):
        open_checkpoint(path)


PROTO, STOP, MARK = b"\x80\x02", b".", b"("
NESTED = b")" + b"\x85" * 300_000
PICKLES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "expected a plain state dict"),
    "no end": (PROTO + b"}", "expected a plain state dict"),
    "nothing left": (PROTO + STOP, "an instruction without its operands"),
    "operands behind a mark": (PROTO + b"}" + MARK + b"K\x01s" + STOP, "an instruction without its operands"),
    "tuple without mark": (PROTO + b"t" + STOP, "an instruction without its mark"),
    "entry of no dictionary": (PROTO + b"K\x01K\x01K\x01s" + STOP, "entries that belong to no dictionary"),
    "odd entries": (PROTO + b"}" + MARK + b"K\x01u" + STOP, "entries that belong to no dictionary"),
    "key twice": (PROTO + b"}" + MARK + b"K\x01K\x01K\x01K\x01u" + STOP, "the key 1 twice"),
    "key a tuple": (PROTO + b"}" + NESTED + b"K\x01s" + STOP, "a key of type tuple"),
    "nested": (PROTO + NESTED + STOP, "found tuple"),
    "unknown memory": (PROTO + b"h\x07" + STOP, "expected a plain state dict, found: a value that was never kept"),
    "text longer than the file": (PROTO + b"X\xff\xff\xff\xff" + b"a" * 9 + STOP, "expected a plain state dict"),
    "text of nonsense": (PROTO + b"X\x01\0\0\0\xff" + STOP, "expected a plain state dict"),
    "unknown byte": (PROTO + b"\xff" + STOP, "expected a plain state dict"),
    "too many": (PROTO + b")" * 2_000_001 + STOP, "more than 2000000 instructions"),
    "old import": (PROTO + b"(S'x'\nios\nsystem\n" + STOP, "the instruction STRING, which no state dict needs"),
    "import": (PROTO + b"cbuiltins\neval\n" + STOP, "a call for 'builtins eval', which is code and never run"),
    "new import": (b"\x80\x04\x8c\x02os\x8c\x06system\x93" + STOP, "a call for 'os system'"),
    "import of no text": (b"\x80\x04K\x01K\x01\x93" + STOP, "a call for ''"),
    "call of no name": (PROTO + b"K\x01)R" + STOP, "a call that builds no tensor"),
    "call with arguments": (PROTO + b"ccollections\nOrderedDict\nK\x01\x85R" + STOP, "a call that builds no tensor"),
    "call with a thousand arguments": (
        PROTO + b"ctorch._utils\n_rebuild_tensor_v2\n" + MARK + b"N" * 1000 + b"tR" + STOP,
        "a call with other arguments than a tensor's",
    ),
    "storage as text": (PROTO + b"X\x01\0\0\0aQ" + STOP, "a stored object that is no tensor storage"),
    "attributes of a number": (PROTO + b"K\x01}b" + STOP, "attributes set on something other"),
}  # fmt: skip


@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_that_describes_no_state_dict_is_refused(case: str) -> None:
    content, match = PICKLES[case]
    started = time.process_time()
    with pytest.raises(CheckpointError, match=f"^data.pkl: .*{match}"):
        read_state_dict(content, Path("data.pkl"))
    assert time.process_time() - started < 30


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path, protocol: int) -> None:
    target, path = tmp_path / "was run", tmp_path / "pytorch_model.bin"
    content = pickle.dumps({"a": Runs(target)}, protocol)
    path.write_bytes(zip_bytes(torch_records(TENSORS) | {"data.pkl": content}))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: expected a plain state dict, found: "):
        open_checkpoint(path)
    assert not target.exists()
    pickle.loads(content)
    assert target.exists()  # the same bytes do run in Python's own unpickler


def test_the_largest_accepted_json_stays_within_memory(tmp_path: Path) -> None:
    members = ",".join(f'"{i}":{i}' for i in range(100_000))
    path = tmp_path / "one.safetensors"
    path.write_bytes(safetensors_bytes(b'{"__metadata__":{' + members.encode() + b"}}"))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="__metadata__ to map text to text"):
            open_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / 100_000 < 500  # bytes per value: the 3 million accepted ones stay under 1.5 GB


def test_overflowing_doubles_become_infinities_not_warnings(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    path.write_bytes(safetensors_bytes({"a": entry("F64", [1], [0, 8])}, np.float64(1e300).tobytes()))
    assert np.isinf(open_checkpoint(path).read_rows("a", 0, 1)).all()
