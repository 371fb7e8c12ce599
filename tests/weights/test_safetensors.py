"""Files written by the safetensors library read back value by value, in any cut, from any thread."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_bytes import TENSORS, entry, read_whole, safetensors_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from whorl.core.errors import CheckpointError
from whorl.weights.folder import open_safetensors
from whorl.weights.numbers import CHUNK_VALUES

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@pytest.mark.parametrize(("storage", "dtype"), DTYPES.items())
@pytest.mark.parametrize("shape", [(), (5,), (7, 3), (2, 3, 4), (0, 4), (4, 0)])
def test_a_written_tensor_reads_back(tmp_path: Path, storage: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 40).to(dtype)
    save_file({"first": torch.ones(3), "tensor": tensor}, tmp_path / "one.safetensors")
    source = open_safetensors(tmp_path / "one.safetensors")
    meta = source.meta("tensor")
    assert (meta.storage, meta.shape, meta.nbytes) == (storage, shape, tensor.nbytes)
    np.testing.assert_array_equal(read_whole(source, "tensor"), tensor.to(torch.float32).numpy())


def test_headers_alone_are_described(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "one.safetensors", metadata={"format": "pt"})
    source = open_safetensors(tmp_path / "one.safetensors")
    assert source.names() == ("embed.weight", "norm.weight", "scale")
    assert (source.path, source.description) == (tmp_path / "one.safetensors", "safetensors")
    assert (source.config, source.vocabulary) == ({}, None)
    with pytest.raises(KeyError):
        source.meta("no such tensor")
    with pytest.raises(ValueError, match="rows 4:7 outside 0:6"):
        source.read_rows("embed.weight", 4, 7)


@settings(max_examples=40, deadline=None)
@given(cut=st.lists(st.integers(0, 700), max_size=4))
def test_any_cut_into_blocks_gives_the_same_values(tmp_path_factory: pytest.TempPathFactory, cut: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    tensor = torch.randn(700, 401, generator=torch.Generator().manual_seed(2)).to(torch.bfloat16)
    assert tensor.numel() > 2 * CHUNK_VALUES
    if not path.exists():
        save_file({"tensor": tensor}, path)
    source, digest = open_safetensors(path), hashlib.sha256()
    bounds = [0, *sorted(cut), 700]
    blocks = [source.read_rows("tensor", a, b, digest.update) for a, b in pairwise(bounds)]
    np.testing.assert_array_equal(np.concatenate(blocks), tensor.float().numpy())
    assert digest.digest() == hashlib.sha256(tensor.view(torch.uint8).numpy().tobytes()).digest()


def test_raw_codes_are_those_in_the_file(tmp_path: Path) -> None:
    packed = torch.randint(-(2**31), 2**31 - 1, (6, 5), dtype=torch.int32, generator=torch.Generator().manual_seed(3))
    save_file({"packed": packed, "half": TENSORS["embed.weight"]}, tmp_path / "one.safetensors")
    source, seen = open_safetensors(tmp_path / "one.safetensors"), []
    raw = source.read_raw("packed", 2, 5, lambda stored: seen.append(bytes(stored)))
    assert raw.dtype == np.int32
    np.testing.assert_array_equal(raw, packed[2:5].numpy())
    assert b"".join(seen) == raw.tobytes()
    assert source.read_raw("half", 0, 6).dtype == np.uint16


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    tensors = {str(i): torch.randn(300, 64, generator=torch.Generator().manual_seed(i)) for i in range(4)}
    save_file(tensors, tmp_path / "one.safetensors")
    source = open_safetensors(tmp_path / "one.safetensors")
    with ThreadPoolExecutor(4) as pool:
        for name, values in pool.map(lambda i: (str(i % 4), read_whole(source, str(i % 4))), range(32)):
            np.testing.assert_array_equal(values, tensors[name].numpy())


@pytest.mark.parametrize("change", ["truncate", "rewrite", "remove", "pipe"])
def test_a_file_that_changes_after_opening_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "one.safetensors"
    content = safetensors_bytes({"a": entry()}, b"\0" * 8)
    path.write_bytes(content)
    source = open_safetensors(path)
    if change == "truncate":
        path.write_bytes(content[:-1])
    elif change == "rewrite":
        os.utime(path, ns=(0, 0))
    else:
        path.unlink()
        if change == "pipe":
            os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"one\.safetensors: tensor 'a': "):
        source.read_rows("a", 0, 1)
