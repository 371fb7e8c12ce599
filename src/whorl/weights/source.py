"""What every reader offers: named tensors, read in row blocks, never a whole checkpoint.

A tensor of shape ``(..., c)`` is seen as a matrix of ``prod(leading)`` rows and ``c`` columns; a vector is one row.
Readers decode every storage (bf16, fp8, block quantisation) to float32 and hand the stored bytes to an observer, so
that digests and values come out of one pass over the file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

from whorl.core.arrays import Floats

Observer = Callable[[memoryview], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMeta:
    """What is known of a tensor without reading it.

    ``storage`` is the stored number format in upper case ("BF16", "F8_E4M3", "Q4_K", "GPTQ-INT4"); ``shape`` is the
    logical shape after unpacking; ``nbytes`` the bytes on disk that hold it; ``lossy`` whether the storage is a
    quantised one (fewer than 16 bits per value, or block-scaled).
    """

    name: str
    storage: str
    shape: tuple[int, ...]
    nbytes: int
    file: Path
    lossy: bool = False

    @property
    def rows(self) -> int:
        return prod(self.shape[:-1]) if self.shape else 1

    @property
    def columns(self) -> int:
        return self.shape[-1] if self.shape else 1


class TensorSource(Protocol):
    """A checkpoint's tensors. Opening reads headers only; the object holds no tensor data.

    Two threads may read different tensors (or the same) at once: readers use positional reads, not a shared cursor.
    """

    @property
    def path(self) -> Path:
        """What the user named: a folder or a file."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The model configuration under Hugging Face names, without the reader trusting any of it ({} where absent)."""

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """Token strings by id as the tokenizer stores them ("\u0120the", "\u2581the"), or None where there is no
        tokenizer.
        """

    @property
    def description(self) -> str:
        """Format in a few words for people: "safetensors, 3 shards", "GGUF v3"."""

    def names(self) -> Sequence[str]:
        """Tensor names, sorted."""

    def meta(self, name: str) -> TensorMeta:
        """Raises KeyError for a name not in `names()`."""

    def read_rows(self, name: str, start: int, stop: int, observe: Observer | None = None) -> Floats:
        """Rows ``start:stop`` as a new C-contiguous float32 array of shape (stop - start, columns).

        Non-finite values are passed through: `whorl.weights.anatomy.Matrix` refuses them by name. ``observe`` is called
        with the stored bytes of exactly these rows, in file order.

        Raises
        ------
        CheckpointError
            If the file ends early, cannot be read, or no longer has the size it had when it was opened.
        """
