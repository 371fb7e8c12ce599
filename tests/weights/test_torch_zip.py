"""Files written by `torch.save` read back, without PyTorch and without running anything."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_bytes import TENSORS, read_whole, torch_bytes, torch_records, zip_bytes

from whorl.weights.folder import open_torch_zip
from whorl.weights.stored import StoredSource

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def opened(folder: Path, state: object, **options: object) -> StoredSource:
    (folder / "pytorch_model.bin").write_bytes(torch_bytes(state, **options))
    return open_torch_zip(folder / "pytorch_model.bin")


@pytest.mark.parametrize(("storage", "dtype"), DTYPES.items())
@pytest.mark.parametrize("shape", [(), (5,), (7, 3), (2, 3, 4), (0, 4)])
def test_a_written_tensor_reads_back(tmp_path: Path, storage: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 40).to(dtype)
    source = opened(tmp_path, {"first": torch.ones(3), "tensor": tensor})
    assert (source.meta("tensor").storage, source.meta("tensor").shape) == (storage, shape)
    np.testing.assert_array_equal(read_whole(source, "tensor"), tensor.to(torch.float32).numpy())


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_views_of_one_storage_read_their_own_part(tmp_path: Path, protocol: int) -> None:
    whole = torch.arange(60, dtype=torch.float32).reshape(10, 6)
    state = {"whole": whole, "tied": whole, "part": whole[3:7], "vector": whole[9], "wide": whole[:1].expand(1, 6)}
    source = opened(tmp_path, state, pickle_protocol=protocol)
    for name, tensor in state.items():
        np.testing.assert_array_equal(read_whole(source, name), tensor.numpy())
    assert source.meta("part").nbytes == 4 * 6 * 4


def test_a_module_s_state_reads_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.LayerNorm(4)).state_dict()
    source = opened(tmp_path, state)
    assert source.names() == ("0.bias", "0.weight", "1.bias", "1.weight")
    np.testing.assert_array_equal(read_whole(source, "0.weight"), state["0.weight"].numpy())


def test_parameters_and_plain_numbers_beside_tensors(tmp_path: Path) -> None:
    state = OrderedDict(weight=torch.nn.Parameter(torch.ones(2, 2)), step=7, loss=0.5, tag="x", more=None, ok=True)
    assert opened(tmp_path, state).names() == ("weight",)


def test_headers_of_large_archives_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "large.pt").write_bytes(zip_bytes(torch_records(TENSORS), wide_headers=True))
    source = open_torch_zip(tmp_path / "large.pt")
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read_whole(source, name), tensor.float().numpy())
