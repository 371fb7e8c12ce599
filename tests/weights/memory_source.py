"""A checkpoint that is a dictionary, for tests of everything above the readers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whorl.core.arrays import AnyArray, Floats
from whorl.weights.source import Observer, TensorMeta


class MemorySource:
    """`TensorSource` over arrays; remembers the rows that were asked for."""

    def __init__(
        self,
        tensors: Mapping[str, AnyArray],
        config: Mapping[str, Any],
        vocabulary: Sequence[str] | None = None,
        path: Path = Path("model.safetensors"),
    ) -> None:
        self.tensors = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
        self.config = config
        self.vocabulary = vocabulary
        self.path = path
        self.description = "in memory"
        self.reads: list[tuple[str, int, int]] = []

    def names(self) -> Sequence[str]:
        return sorted(self.tensors)

    def meta(self, name: str) -> TensorMeta:
        value = self.tensors[name]
        return TensorMeta(name=name, storage="F32", shape=value.shape, nbytes=value.nbytes, file=self.path)

    def read_rows(self, name: str, start: int, stop: int, observe: Observer | None = None) -> Floats:
        meta = self.meta(name)
        assert 0 <= start < stop <= meta.rows
        self.reads.append((name, start, stop))
        rows = self.tensors[name].reshape(meta.rows, meta.columns)[start:stop].copy()
        if observe is not None:
            observe(memoryview(rows.tobytes()))
        return rows
