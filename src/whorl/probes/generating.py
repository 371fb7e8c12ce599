"""How items are drawn from a seed, and the word lists that they are made of.

The bits come from numpy's PCG64, whose stream is fixed for good; what is made of them is written here, as numpy may
change its distributions from one version to the next (NEP 19) and a committed battery must not change with them.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

T = TypeVar("T")
Size: TypeAlias = Literal["quick", "standard", "alone"]


class Draws:
    """Random choices that depend on a seed and a place only, e.g. ``Draws(7, "style", 12)``.

    Each item has a place of its own, so an item does not depend on which others are drawn.
    """

    def __init__(self, seed: int, *place: str | int) -> None:
        name = json.dumps([seed, *place]).encode()
        self._bits = np.random.PCG64(int.from_bytes(hashlib.sha256(name).digest(), "big"))

    def below(self, bound: int) -> int:
        """A number of 0 .. ``bound`` - 1, for bounds far below 2**64: the bias is below bound / 2**64."""
        return int(self._bits.random_raw()) * bound >> 64

    def between(self, first: int, last: int) -> int:
        """A number of ``first`` .. ``last``, both included."""
        return first + self.below(last - first + 1)

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """``count`` different places of ``options``, in random order."""
        return self.shuffled(options)[:count]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """The options in random order. (Fisher and Yates.)"""
        order = list(options)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order


@cache
def words(name: str) -> Any:
    """The content of ``words/NAME.json``. Shared: not to be changed."""
    return json.loads((files("whorl.probes") / "words" / f"{name}.json").read_text(encoding="utf-8"))
