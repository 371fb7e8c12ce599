"""The few numbers that tensor shapes do not tell, taken out of an untrusted model configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whorl.core.errors import CheckpointError
from whorl.weights.files import shown
from whorl.weights.role_schema import Layout

LARGEST = 1 << 24  # no width, count or head number of a real model comes near: anything above is a lie


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What a configuration says, None where it is silent. Tensor shapes decide; these are checked against them."""

    file: Path
    layers: int
    width: int | None
    heads: int | None
    kv_heads: int | None
    head_size: int | None
    experts: int | None
    rotary_share: float

    def refuse(self, problem: str) -> CheckpointError:
        return CheckpointError(problem, file=self.file)


def config_file(path: Path, layout: Layout) -> Path:
    """Where the configuration of the checkpoint at ``path`` lives: in its folder's config.json, or in a GGUF itself."""
    if layout.container == "gguf":
        return path
    return (path if path.is_dir() else path.parent) / "config.json"


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of the text model: multimodal checkpoints nest it under ``text_config``."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, Mapping) else config


def read_numbers(config: Mapping[str, Any], layout: Layout, file: Path) -> Numbers:
    """Read and bound every number that the layout names.

    Raises
    ------
    CheckpointError
        If a number is missing that only the configuration can give, is no integer, or is absurd.
    """
    names = layout.config

    def integer(keys: tuple[str, ...]) -> int | None:
        key, value = _first(config, keys)
        if value is None:
            return next((names.defaults[key] for key in keys if key in names.defaults), None)
        if type(value) is not int or not 0 < value <= LARGEST:
            raise CheckpointError(
                f"expected {key} to be an integer from 1 to {LARGEST}, found {shown(value)}; get the file again",
                file=file,
            )
        return value

    layers = integer(names.layers)
    heads = integer(names.heads)
    missing = names.layers if layers is None else names.heads if heads is None and layout.attention else ()
    if layers is None or missing:
        raise CheckpointError(
            f"expected the configuration to give {missing[0]}, found nothing; add it (tensor shapes do not tell it)",
            file=file,
        )
    return Numbers(
        file=file,
        layers=layers,
        width=integer(names.width),
        heads=heads,
        kv_heads=integer(names.kv_heads),
        head_size=integer(names.head_size),
        experts=integer(names.experts),
        rotary_share=_rotary_share(config, layout, file),
    )


def _rotary_share(config: Mapping[str, Any], layout: Layout, file: Path) -> float:
    if layout.rotary.pairs == "none" or (layout.rotary.absent_if and config.get(layout.rotary.absent_if) is True):
        return 0.0
    nested = config.get("rope_parameters")  # where transformers 5 keeps what version 4 kept on top
    key, value = _first({**config, **nested} if isinstance(nested, Mapping) else config, layout.config.rotary_share)
    if value is None:
        return layout.rotary.share
    if type(value) not in (int, float) or not 0 < value <= 1:
        raise CheckpointError(
            f"expected {key} to be a number above 0 and at most 1, found {shown(value)}; get the file again", file=file
        )
    return float(value)


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, Any]:
    return next(((key, config[key]) for key in keys if config.get(key) is not None), ("", None))
