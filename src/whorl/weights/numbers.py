"""Stored number formats and their decoding to float32.

One table, `FORMATS`, says how each format's codes lie on disk (always little-endian). Every decoding is exact except
F64 and 32- and 64-bit integers, which round to the nearest float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from whorl.core.arrays import AnyArray, Floats

CHUNK_VALUES: Final = 1 << 17  # codes and float32 values of one chunk stay in the second-level cache


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormat:
    """How one value is stored.

    ``codes`` is the numpy type of the stored codes: the value's own type, or an unsigned integer of the same width
    where numpy has no such type (BF16 and the 8-bit floats).
    """

    codes: np.dtype[Any]

    @property
    def bytes_per_value(self) -> int:
        return self.codes.itemsize

    @property
    def lossy(self) -> bool:
        """Whether this is a quantised storage: fewer than 16 bits per value."""
        return self.codes.itemsize < 2


FORMATS: Final[Mapping[str, NumberFormat]] = {
    name: NumberFormat(codes=np.dtype(codes))
    for name, codes in {
        "F64": "<f8",
        "F32": "<f4",
        "F16": "<f2",
        "BF16": "<u2",
        "F8_E4M3": "u1",
        "F8_E5M2": "u1",
        "F8_E4M3FNUZ": "u1",
        "F8_E5M2FNUZ": "u1",
        "F8_E8M0": "u1",
        "I64": "<i8",
        "I32": "<i4",
        "I16": "<i2",
        "I8": "i1",
        "U64": "<u8",
        "U32": "<u4",
        "U16": "<u2",
        "U8": "u1",
        "BOOL": "u1",  # not numpy's bool: a stored byte other than 0 and 1 must not become undefined behaviour
    }.items()
}


def decode(name: str, codes: AnyArray, out: Floats) -> None:
    """Decode stored codes into ``out``; both are flat and of the same length.

    Values that float32 cannot hold become infinities, as the format's own NaN and infinity codes stay what they are.
    """
    if name == "BF16":  # a bfloat16 is the upper half of a float32
        bits = out.view(np.uint32)
        np.copyto(bits, codes)
        np.left_shift(bits, 16, out=bits)
    elif name == "F16" or name.startswith("F8_"):
        np.take(decoding_table(name), codes.view(f"<u{codes.itemsize}"), out=out, mode="wrap")
    else:
        with np.errstate(over="ignore"):
            np.copyto(out, codes, casting="unsafe")


@cache
def decoding_table(name: str) -> Floats:
    """The value of every code of an 8-bit or half-precision float, shape (256,) or (65536,).

    References
    ----------
    Micikevicius et al., FP8 Formats for Deep Learning, arXiv:2209.05433 (E4M3 without infinities, E5M2 with them);
    Noune et al., 8-bit Numerical Formats for Deep Neural Networks, arXiv:2206.02915 (the FNUZ variants);
    OCP Microscaling Formats specification 1.0 (E8M0).
    """
    if name == "F16":
        return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    codes = np.arange(256)
    if name == "F8_E5M2":  # the upper byte of a half-precision number
        return (codes << 8).astype(np.uint16).view(np.float16).astype(np.float32)
    if name == "F8_E8M0":
        return np.where(codes == 255, np.nan, np.ldexp(1.0, codes - 127)).astype(np.float32)
    mantissa_bits, bias, not_a_number = {
        "F8_E4M3": (3, 7, (0x7F, 0xFF)),
        "F8_E4M3FNUZ": (3, 8, (0x80,)),
        "F8_E5M2FNUZ": (2, 16, (0x80,)),
    }[name]
    exponent = (codes & 0x7F) >> mantissa_bits
    fraction = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    magnitude = np.ldexp(fraction + (exponent > 0), np.maximum(exponent, 1) - bias)
    values: Floats = np.where(codes < 0x80, magnitude, -magnitude).astype(np.float32)
    values[list(not_a_number)] = np.nan
    return values
