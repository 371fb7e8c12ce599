"""Keyed dither: signs that follow from a secret key, and how strongly an array leans towards them.

Null hypothesis of everything here: the array was made without the key. Then the key's signs are fair coins to it, and
Hoeffding's inequality bounds how far it leans towards them, whatever the array is. The proof and the conditions are in
``docs/methods/keyed_dither.md``.

Signs, orders and rounding draws all come from SHAKE-256 of a purpose, the key and a place, so that anyone who holds
the key gets the same ones in any language, for any row on its own.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Doubles, Floats, Ints

Uint16s = NDArray[np.uint16]

_METHOD: Final = b"whorl.keyed_dither/1\n"
NORMAL_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedSum:
    """What is left of comparing an array Y with a key's signs k.

    Sums of two disjoint arrays add up with ``+``; an entry of k may be used once only.

    Parameters
    ----------
    dot : sum of k * Y
    square : sum of Y ** 2
    expected : what ``dot`` comes to, on average, where the whole dither is in Y
    entries : how many entries of Y are not zero
    """

    dot: float
    square: float
    expected: float
    entries: int

    def __add__(self, other: "KeyedSum") -> "KeyedSum":
        return KeyedSum(
            dot=self.dot + other.dot,
            square=self.square + other.square,
            expected=self.expected + other.expected,
            entries=self.entries + other.entries,
        )

    @property
    def z(self) -> float:
        """Standard score: mean 0 and variance 1 under the null; 0 where Y is zero."""
        return self.dot / math.sqrt(self.square) if self.square > 0 else 0.0

    @property
    def log10_p(self) -> float:
        """log10 of Hoeffding's bound on P(score >= z): ``exp(-z**2 / 2)`` for positive z, else 1.

        Null: the signs are independent fair coins and Y does not depend on them. Exact for every Y, in any number of
        entries. Invalid where Y was chosen in view of the key.

        References
        ----------
        Hoeffding, Probability inequalities for sums of bounded random variables, JASA 58(301), 1963, theorem 2.
        """
        return -(max(self.z, 0.0) ** 2) / 2 / math.log(10)

    def share(self) -> tuple[float, float, float]:
        """Share of the dither that is in Y, with a 95 % interval; not cut to [0, 1].

        The interval is that of a sum of many independent signs, with all of Y counted as noise: too wide where the
        dither is most of Y. It does not cover a loss in the alignment.

        Raises
        ------
        ValueError
            If nothing was expected: Y is empty or zero.
        """
        if not self.expected > 0:
            raise ValueError(f"a share needs a positive expected sum, got {self.expected}")
        spread = NORMAL_95 * math.sqrt(self.square) / self.expected
        value = self.dot / self.expected
        return value, value - spread, value + spread


NOTHING: Final = KeyedSum(dot=0.0, square=0.0, expected=0.0, entries=0)


def keyed_sum(signs: Floats, array: Doubles, expected: float) -> KeyedSum:
    """Compare an array with signs of the same shape."""
    flat = array.ravel()
    return KeyedSum(
        dot=float(signs.ravel() @ flat),
        square=float(flat @ flat),
        expected=expected,
        entries=int(np.count_nonzero(flat)),
    )


def keyed_signs(key: bytes, role: str, rows: Ints, width: int) -> Floats:
    """Signs +1 and -1 of shape (len(rows), width) of the given rows of one matrix.

    Row i is the first ``width`` bits of the key's stream for purpose "signs", ``role`` and i, highest bit first, with
    1 as +1.
    """
    count = -(-width // 8)
    packed = b"".join(_stream(key, "signs", role, int(row), count) for row in rows)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8).reshape(len(rows), count), axis=1, count=width)
    return bits.astype(np.float32) * 2 - 1


def keyed_order(key: bytes, purpose: str, place: str, count: int) -> Ints:
    """A uniform order of ``count`` things: what stands at i afterwards stood at ``order[i]``.

    The stable order of ``count`` big-endian 64-bit numbers; two alike among 100,000 have probability 3e-10.
    """
    return np.argsort(np.frombuffer(_stream(key, purpose, place, 0, 8 * count), ">u8"), kind="stable").astype(np.int64)


def keyed_coins(key: bytes, purpose: str, place: str, count: int) -> Doubles:
    """Fair signs +1 and -1 of shape (count,)."""
    bits = np.unpackbits(np.frombuffer(_stream(key, purpose, place, 0, -(-count // 8)), np.uint8), count=count)
    return bits.astype(np.float64) * 2 - 1


def keyed_draws(key: bytes, purpose: str, place: str, rows: range, width: int) -> Uint16s:
    """Uniform 16-bit numbers of shape (len(rows), width), row by row."""
    data = b"".join(_stream(key, purpose, place, row, 2 * width) for row in rows)
    return np.frombuffer(data, "<u2").reshape(len(rows), width).astype(np.uint16, copy=False)


def _stream(key: bytes, purpose: str, place: str, number: int, count: int) -> bytes:
    # Purpose and place are separated by line ends, which no role or purpose holds, and the key has a fixed length: no
    # two streams share an input.
    if len(key) != 32 or "\n" in purpose or "\n" in place:
        raise ValueError(f"expected a key of 32 bytes and one-line names, got {len(key)} bytes, {purpose!r}, {place!r}")
    named = f"{purpose}\n{place}\n{number}\n".encode()
    return hashlib.shake_256(_METHOD + key + named).digest(count)
