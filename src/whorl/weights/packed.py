"""Packed quantisations behind the ordinary tensor names: GPTQ, AWQ, compressed-tensors, bitsandbytes, FP8, MXFP4.

Everything else that stores integers for weights is refused by name: an integer code is never taken for a weight.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from whorl.core.arrays import Floats
from whorl.core.errors import CheckpointError, UnsupportedError
from whorl.weights.packed_bitsandbytes import find_bitsandbytes
from whorl.weights.packed_integers import compressed_integers, find_awq, find_gptq
from whorl.weights.packed_parts import Kept, PackedTensor, present
from whorl.weights.packed_scaled import find_fp8, find_mxfp4, scaled_tensor
from whorl.weights.source import Observer, TensorMeta, TensorSource
from whorl.weights.stored import RawTensorSource

_CODE_SUFFIXES: Final = (
    ".qweight",
    ".qzeros",
    ".SCB",
    ".absmax",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    ".W_q",
    "._data",
)
_COMPRESSED_LAYOUTS: Final = frozenset(
    {"dense", "float-quantized", "int-quantized", "mixed-precision", "naive-quantized", "pack-quantized"}
)


def unpack(source: RawTensorSource) -> TensorSource:
    """Show a quantised checkpoint as (outputs, inputs) matrices of float32 under their ordinary names.

    A checkpoint without packed tensors comes back as it is. Scales and other auxiliary tensors disappear. The observer
    of an unpacked tensor gets its float32 values (little-endian), since the stored bytes of a row are spread over
    several tensors.

    Raises
    ------
    UnsupportedError
        If the quantisation, or a variant of it, is not read.
    CheckpointError
        If parts of a packed tensor are missing or do not fit one another.
    """
    packed: dict[str, PackedTensor] = {}
    for name, tensor in _find(source):
        if name in packed or (present(source, name) and name not in tensor.parts):
            problem = "expected the weight packed or plain, found it twice; get the checkpoint again"
            raise CheckpointError(problem, file=source.path, tensor=name)
        packed[name] = tensor
    unpacked = UnpackedSource(source, packed) if packed else source
    _refuse_codes(unpacked, packed)
    return unpacked


class UnpackedSource:
    """A `TensorSource` that dequantises some tensors of another; see `unpack`.

    Keeps the auxiliary tensors of the last matrices, at most `whorl.weights.packed_parts.KEPT_BYTES` beyond one.
    """

    def __init__(self, source: RawTensorSource, packed: Mapping[str, PackedTensor]) -> None:
        self._source = source
        self._packed = packed
        self._kept = Kept()
        hidden = {part for tensor in packed.values() for part in tensor.parts}
        self._names = tuple(sorted(packed.keys() | (set(source.names()) - hidden)))
        self._plain = frozenset(self._names) - packed.keys()

    @property
    def path(self) -> Path:
        return self._source.path

    @property
    def config(self) -> Mapping[str, Any]:
        return self._source.config

    @property
    def vocabulary(self) -> Sequence[str] | None:
        return self._source.vocabulary

    @property
    def description(self) -> str:
        storages = sorted({tensor.storage for tensor in self._packed.values()})
        return f"{self._source.description}, {' and '.join(storages)} unpacked"

    def names(self) -> Sequence[str]:
        return self._names

    def meta(self, name: str) -> TensorMeta:
        if name in self._plain:
            return self._source.meta(name)
        tensor = self._packed[name]
        return TensorMeta(
            name=name,
            storage=tensor.storage,
            shape=tensor.shape,
            nbytes=sum(self._source.meta(part).nbytes for part in tensor.parts),
            file=self._source.meta(tensor.parts[0]).file,
            lossy=True,
        )

    def read_rows(self, name: str, start: int, stop: int, observe: Observer | None = None) -> Floats:
        if name in self._plain:
            return self._source.read_rows(name, start, stop, observe)
        tensor, meta = self._packed[name], self.meta(name)
        if not 0 <= start <= stop <= meta.rows:
            raise ValueError(f"rows {start}:{stop} outside 0:{meta.rows} of {name!r}")
        if start == stop:
            return np.empty((0, meta.columns), dtype=np.float32)
        with np.errstate(all="ignore"):  # hostile scales overflow; the caller refuses what is not finite
            loaded = self._kept.get(name, tensor.load)
            values = np.ascontiguousarray(tensor.rows(loaded, start, stop), dtype="<f4")
        if observe is not None:
            observe(values.reshape(-1).view(np.uint8).data.toreadonly())
        return values


def _find(source: RawTensorSource) -> Iterator[tuple[str, PackedTensor]]:
    settings = source.config.get("quantization_config", source.config.get("compression_config"))
    if settings is None:
        return
    if not isinstance(settings, dict):
        problem = f"expected quantization_config to be an object, found {type(settings).__name__}"
        raise CheckpointError(problem, file=source.path)
    method = settings.get("quant_method")
    if method is None and ("load_in_4bit" in settings or "load_in_8bit" in settings):
        method = "bitsandbytes"
    find = _METHODS.get(method) if isinstance(method, str) else None
    if find is None:
        raise UnsupportedError(
            f"{source.path}: quantisation {method!r} is not read, only {', '.join(sorted(_METHODS))}; dequantise the "
            "model with the tool that quantised it"
        )
    yield from find(source, settings)


def _find_compressed(source: RawTensorSource, settings: Mapping[str, Any]) -> Iterator[tuple[str, PackedTensor]]:
    groups = settings.get("config_groups")
    groups = [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []
    schemes = [group["weights"] for group in groups if isinstance(group.get("weights"), dict)]
    sparsity = settings.get("sparsity_config")
    layouts = [settings.get("format"), *(group.get("format") for group in groups)]
    layouts.append(sparsity.get("format") if isinstance(sparsity, dict) else None)
    for layout in layouts:
        if layout is not None and layout not in _COMPRESSED_LAYOUTS:
            raise UnsupportedError(
                f"{source.path}: compressed-tensors layout {layout!r} is not read, only "
                f"{', '.join(sorted(_COMPRESSED_LAYOUTS))}"
            )
    widths = frozenset(scheme["num_bits"] for scheme in schemes if type(scheme.get("num_bits")) is int)
    block = next((scheme["block_structure"] for scheme in schemes if scheme.get("block_structure")), None)
    for name in source.names():
        stem, _, suffix = name.rpartition(".")
        if suffix == "weight_packed":
            yield f"{stem}.weight", compressed_integers(source, stem, widths)
        elif suffix == "weight" and source.meta(name).storage in ("I8", "F8_E4M3", "F8_E5M2"):
            yield name, scaled_tensor(source, name, f"{stem}.weight_scale", block)


_METHODS: Final[Mapping[str, Callable[[RawTensorSource, Mapping[str, Any]], Iterator[tuple[str, PackedTensor]]]]] = {
    "awq": find_awq,
    "bitsandbytes": find_bitsandbytes,
    "compressed-tensors": _find_compressed,
    "fbgemm_fp8": find_fp8,
    "fp8": find_fp8,
    "gptq": find_gptq,
    "mxfp4": find_mxfp4,
}


def _refuse_codes(source: TensorSource, packed: Mapping[str, PackedTensor]) -> None:
    """Raise if a tensor that was not unpacked holds codes rather than weights."""
    for name in source.names():
        meta = source.meta(name)
        is_integer_matrix = meta.storage.startswith(("I", "U")) and len(meta.shape) > 1
        if name not in packed and (
            name.endswith(_CODE_SUFFIXES) or (is_integer_matrix and name.endswith((".weight", "_blocks")))
        ):
            raise UnsupportedError(
                f"{meta.file}: tensor {name!r} ({meta.storage}) belongs to a packed quantisation that the configuration"
                " does not describe; put the config.json with its quantization_config beside it, or dequantise it"
            )
