"""Every code decodes to the value that PyTorch, an implementation that is not ours, gives it."""

import numpy as np
import pytest
import torch

from whorl.weights.numbers import FORMATS, decode

EIGHT_BITS = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I8": torch.int8,
    "U8": torch.uint8,
}
SIXTEEN_BITS = {"BF16": torch.bfloat16, "F16": torch.float16, "I16": torch.int16, "U16": torch.uint16}


@pytest.mark.parametrize(("name", "dtype", "width"), [
    *((name, dtype, 1) for name, dtype in EIGHT_BITS.items()),
    *((name, dtype, 2) for name, dtype in SIXTEEN_BITS.items()),
])  # fmt: skip
def test_all_codes_decode_as_in_torch(name: str, dtype: torch.dtype, width: int) -> None:
    codes = np.arange(1 << 8 * width, dtype=f"<u{width}")
    expected = torch.from_numpy(codes.view(f"<i{width}")).view(dtype).to(torch.float32).numpy()
    values = np.empty(codes.size, np.float32)
    decode(name, codes.view(FORMATS[name].codes), values)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(np.signbit(values[values == 0]), np.signbit(expected[expected == 0]))


@pytest.mark.parametrize("name", ["F64", "I64", "I32", "U64", "U32"])
def test_wide_numbers_round_to_the_nearest_float(name: str) -> None:
    stored = np.random.default_rng(7).integers(0, 256, 8000, dtype=np.uint8).view(FORMATS[name].codes)
    values = np.empty(stored.size, np.float32)
    decode(name, stored, values)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(values, stored.astype(np.float32))
    assert name != "F64" or np.isinf(values).any()  # beyond float32, passed on for `Matrix` to refuse


def test_fewer_than_sixteen_bits_are_lossy() -> None:
    assert {name for name, number in FORMATS.items() if number.lossy} == {*EIGHT_BITS, "BOOL"}
