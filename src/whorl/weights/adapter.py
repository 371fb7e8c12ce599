"""LoRA adapters in PEFT's layout, merged into their base while it is read.

A merged row is ``W[i] + scale * B[i] A``, with scale = alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA.

References
----------
Hu et al., LoRA, arXiv:2106.09685; Kalajdzievski, rsLoRA, arXiv:2312.03732. Layout: PEFT's adapter_config.json.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from whorl.core.arrays import AnyArray, Floats
from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.weights.files import read_json_object
from whorl.weights.packed_parts import Kept, whole_floats
from whorl.weights.source import Observer, TensorMeta, TensorSource

MAX_RANK: Final = 4096
MAX_ALPHA: Final = 1_000_000

_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX: Final = "base_model.model."
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.default)?(\.weight)?")
_PLAIN_INITIALISATIONS: Final = (True, False, "gaussian", "orthogonal", "eva")  # the others change the base as well
_UNREAD: Final = (
    "use_dora",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "megatron_config",
    "use_qalora",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """One matrix's update: names of the factors A (rank, in) and B (out, rank) in the adapter, and their scale.

    ``transposed`` where the base stores the matrix as (in, out): GPT-2's Conv1D, and embeddings.
    """

    down: str
    up: str
    scale: float
    transposed: bool


def open_adapter(path: Path, *, open_base: Callable[[Path], TensorSource]) -> TensorSource:
    """Open a LoRA adapter folder and its base as one merged checkpoint.

    Parameters
    ----------
    path : folder with adapter_config.json and adapter_model.safetensors or .bin
    open_base : opens the base checkpoint, and the adapter's own file of tensors

    Raises
    ------
    InputError
        If the base is not at the path that the adapter names; nothing is downloaded.
    UnsupportedError
        If the adapter is no plain LoRA, or its base is an adapter itself.
    CheckpointError
        If settings or tensors are malformed or do not fit the base.
    """
    config = read_json_object(path / _CONFIG)
    _refuse_unread(config, path)
    weights = next((path / name for name in _WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        raise CheckpointError(f"expected {' or '.join(_WEIGHTS)} in the adapter's folder, found neither", file=path)
    base = open_base(_find_base(config, path))
    adapter = open_base(weights)
    updates, replaced = _match(adapter, base, config)
    return MergedSource(path=path, base=base, adapter=adapter, updates=updates, replaced=replaced)


class MergedSource:
    """A `TensorSource` that adds low-rank updates to a base; see `open_adapter`.

    The observer of a merged tensor gets its float32 values (little-endian): they are stored nowhere. Keeps the factors
    of the last matrices, as `whorl.weights.packed_parts.Kept` does.
    """

    def __init__(
        self,
        *,
        path: Path,
        base: TensorSource,
        adapter: TensorSource,
        updates: Mapping[str, LowRank],
        replaced: Mapping[str, str],
    ) -> None:
        self.path = path
        self._base = base
        self._adapter = adapter
        self._updates = updates
        self._replaced = replaced
        self._kept = Kept()

    @property
    def config(self) -> Mapping[str, Any]:
        return self._base.config

    @property
    def vocabulary(self) -> Sequence[str] | None:
        return self._base.vocabulary

    @property
    def description(self) -> str:
        ranks = sorted({self._adapter.meta(update.down).shape[0] for update in self._updates.values()})
        words = f"LoRA rank {', '.join(map(str, ranks))}" if ranks else "LoRA without low-rank updates"
        return f"{words} on {self._base.description}"

    def names(self) -> Sequence[str]:
        return self._base.names()

    def meta(self, name: str) -> TensorMeta:
        if name in self._replaced:
            stored = self._adapter.meta(self._replaced[name])
            return TensorMeta(
                name=name,
                storage=stored.storage,
                shape=stored.shape,
                nbytes=stored.nbytes,
                file=stored.file,
                lossy=stored.lossy,
            )
        return self._base.meta(name)

    def read_rows(self, name: str, start: int, stop: int, observe: Observer | None = None) -> Floats:
        source, stored = (self._adapter, self._replaced[name]) if name in self._replaced else (self._base, name)
        if name not in self._updates:
            return source.read_rows(stored, start, stop, observe)
        values = source.read_rows(stored, start, stop)
        up, down = self._kept.get(name, lambda: self._factors(self._updates[name]))
        with np.errstate(all="ignore"):  # hostile factors overflow; the caller refuses what is not finite
            # In double precision, so that the result does not depend on how the matrix is cut into blocks.
            values += up[start:stop] @ down
        if observe is not None:
            observe(values.reshape(-1).view(np.uint8).data.toreadonly())
        return values

    def _factors(self, update: LowRank) -> tuple[AnyArray, ...]:
        """Both factors of the update of the stored matrix, the scale in the first."""
        down = whole_floats(self._adapter, update.down).astype(np.float64)
        up = whole_floats(self._adapter, update.up).astype(np.float64)
        return (update.scale * down.T, up.T) if update.transposed else (update.scale * up, down)


def _refuse_unread(config: Mapping[str, Any], path: Path) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UnsupportedError(f"{path}: adapter type {kind!r} is not read, only 'LORA'; merge it into its base first")
    for setting in _UNREAD:
        if config.get(setting):
            raise UnsupportedError(f"{path}: LoRA with {setting} is not read; merge the adapter into its base first")
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_INITIALISATIONS:
        raise UnsupportedError(
            f"{path}: LoRA initialised by {start!r} changes its base too and is not read; merge it into its base first"
        )


def _find_base(config: Mapping[str, Any], path: Path) -> Path:
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        problem = f"expected base_model_name_or_path to name the base, found {named!r}"
        raise CheckpointError(problem, file=path / _CONFIG)
    base = path / named  # an absolute path stands for itself
    try:
        found = base.exists()
        is_adapter = (base / _CONFIG).exists()
    except OSError:  # a name longer than the file system allows
        found = is_adapter = False
    if not found:
        raise InputError(
            f"{path}: the adapter's base {named!r} is not at {base}; nothing is downloaded: put the base there, or set "
            f"base_model_name_or_path in {_CONFIG} to where it is"
        )
    if is_adapter:
        raise UnsupportedError(f"{path}: the base {base} is an adapter itself, which is not read; merge that one first")
    return base


def _match(
    adapter: TensorSource, base: TensorSource, config: Mapping[str, Any]
) -> tuple[dict[str, LowRank], dict[str, str]]:
    """Which base tensors are updated, and which are replaced by tensors of the adapter."""
    known = frozenset(base.names())
    factors: dict[str, dict[str, str]] = {}
    replaced: dict[str, str] = {}
    for name in adapter.names():
        found = _FACTOR.fullmatch(name)
        if found is None:
            target = _base_name(name, name.replace(".base_layer.", "."), adapter, known)
            _expect_columns(adapter, name, base.meta(target))
            replaced[target] = name
            continue
        target = _base_name(name, f"{found['module']}.weight", adapter, known)
        sides = factors.setdefault(target, {})
        if found["side"] in sides:
            raise _broken(adapter, name, f"expected one factor {found['side']} per matrix, found two")
        sides[found["side"]] = name
    updates = {}
    for target, sides in factors.items():
        stored = adapter.meta(replaced[target]) if target in replaced else base.meta(target)
        updates[target] = _low_rank(sides, adapter, stored.shape, config)
    return updates, replaced


def _base_name(name: str, logical: str, adapter: TensorSource, known: frozenset[str]) -> str:
    """The base's tensor for an adapter's; bases saved without their head lack the first part of each name."""
    full = logical.removeprefix(_PREFIX)
    for candidate in (full, full.partition(".")[2]):
        if logical.startswith(_PREFIX) and candidate in known:
            return candidate
    raise _broken(adapter, name, f"expected a tensor {full!r} in the base, found none; is this the adapter's base?")


def _expect_columns(adapter: TensorSource, name: str, target: TensorMeta) -> None:
    """A tensor that replaces one of the base may have other rows (a changed vocabulary) but not other columns."""
    shape = adapter.meta(name).shape
    same = shape[1:] == target.shape[1:] if len(target.shape) > 1 else shape == target.shape
    if len(shape) != len(target.shape) or not same:
        raise _broken(adapter, name, f"expected the shape {target.shape} of the base up to rows, found {shape}")


def _low_rank(
    sides: Mapping[str, str], adapter: TensorSource, stored: tuple[int, ...], config: Mapping[str, Any]
) -> LowRank:
    name = next(iter(sides.values()))
    if len(sides) < 2:
        raise _broken(adapter, name, f"expected factors A and B, found only {next(iter(sides))}")
    down, up = adapter.meta(sides["A"]).shape, adapter.meta(sides["B"]).shape
    transposed = "lora_embedding_" in name or config.get("fan_in_fan_out") is True
    if len(down) != 2 or len(up) != 2 or down[0] != up[1] or not 0 < down[0] <= MAX_RANK:
        raise _broken(adapter, name, f"expected factors (rank, in) and (out, rank), found {down} and {up}")
    shape = (down[1], up[0]) if transposed else (up[0], down[1])
    if stored != shape:
        raise _broken(adapter, name, f"expected factors for the base's shape {stored}, found them for {shape}")
    module = name.removeprefix(_PREFIX).partition(".lora_")[0]
    rank = _setting(config, "r", module, adapter)
    if rank != down[0]:
        raise _broken(adapter, name, f"expected rank {rank:g} as configured, found factors {down} and {up}")
    alpha = _setting(config, "alpha", module, adapter)
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return LowRank(down=sides["A"], up=sides["B"], scale=scale, transposed=transposed)


def _setting(config: Mapping[str, Any], kind: str, module: str, adapter: TensorSource) -> float:
    """Rank ("r") or alpha of one module: its own from the first pattern that names it, or the adapter's.

    PEFT takes patterns as regular expressions; here a pattern is the end of a module's name, and others are refused.
    """
    value = config.get("r" if kind == "r" else "lora_alpha")
    patterns = config.get("rank_pattern" if kind == "r" else "alpha_pattern") or {}
    file = adapter.path.parent / _CONFIG
    if not isinstance(patterns, dict):
        raise CheckpointError(f"expected an object of patterns, found {type(patterns).__name__}", file=file)
    for pattern, own in patterns.items():
        if not re.fullmatch(r"\^?[\w.]+\$?", pattern):
            raise UnsupportedError(f"{file}: pattern {pattern[:100]!r} is not read, only ends of module names")
        if f".{module}".endswith(f".{pattern.removeprefix('^').removesuffix('$')}"):
            value = own
            break
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_ALPHA:
        raise CheckpointError(f"expected a rank and an alpha above 0 and up to {MAX_ALPHA}, found another", file=file)
    return float(value)


def _broken(adapter: TensorSource, name: str, problem: str) -> CheckpointError:
    return CheckpointError(problem, file=adapter.meta(name).file, tensor=name)
