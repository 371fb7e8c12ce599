"""Hugging Face folders and single weight files: which files hold the weights, and the configuration beside them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import CheckpointError, InputError
from whorl.weights.files import read_json_object, shown
from whorl.weights.safetensors import read_safetensors
from whorl.weights.stored import StoredSource, StoredTensor
from whorl.weights.torch_zip import read_torch_zip
from whorl.weights.vocabulary import read_vocabulary

_PART_OF_SEVERAL: Final = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})(?P<suffix>\.\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """One way to lay weights out in a folder. ``patterns`` are tried in order where there is neither file nor index."""

    label: str
    single: str
    index: str
    patterns: tuple[str, ...]
    read: Callable[[Path], dict[str, StoredTensor]]


_SAFETENSORS: Final = _Format(
    label="safetensors",
    single="model.safetensors",
    index="model.safetensors.index.json",
    patterns=("model*.safetensors", "*.safetensors"),
    read=read_safetensors,
)
_TORCH: Final = _Format(
    label="PyTorch zip",
    single="pytorch_model.bin",
    index="pytorch_model.bin.index.json",
    patterns=("pytorch_model*.bin", "*.pt", "*.pth"),
    read=read_torch_zip,
)
# Where both are present they hold the same model, and safetensors is what loaders take.
_FORMATS: Final = (_SAFETENSORS, _TORCH)

# Quantisation tools that write a file of their own instead of a section of config.json: file, method.
_QUANTISATION_FILES: Final = (
    ("quantize_config.json", "gptq"),
    ("quant_config.json", "awq"),
    ("hf_quant_config.json", "modelopt"),
)


def open_folder(path: Path) -> StoredSource:
    """Open a folder of safetensors or PyTorch files with its config.json and tokenizer, where present.

    The files are, in this order: ``model.safetensors``; the shards of its index; all other safetensors files; then the
    same for ``pytorch_model.bin``.

    Raises
    ------
    CheckpointError
        If a file, shard or index is missing, broken or contradicts another.
    InputError
        If the folder has no weights.
    """
    for layout in _FORMATS:
        if _exists(path / layout.single):
            return _source(path, path, layout, layout.read(path / layout.single), files=1)
        if _exists(path / layout.index):
            return _open_index(path, layout)
        files = next(filter(None, (sorted(path.glob(pattern)) for pattern in layout.patterns)), [])
        if files:
            _refuse_missing_parts(files)
            return _source(path, path, layout, _merge(layout, files), files=len(files))
    raise InputError(f"{path}: expected weights, found none")


def open_safetensors(path: Path) -> StoredSource:
    """Open one safetensors file, with the configuration and tokenizer of the folder it lies in."""
    return _source(path, path.parent, _SAFETENSORS, read_safetensors(path), files=1)


def open_torch_zip(path: Path) -> StoredSource:
    """Open one PyTorch file, with the configuration and tokenizer of the folder it lies in."""
    return _source(path, path.parent, _TORCH, read_torch_zip(path), files=1)


def has_weights(path: Path) -> bool:
    """Whether `open_folder` would find files to read."""
    return any(
        _exists(path / layout.single)
        or _exists(path / layout.index)
        or any(next(path.glob(pattern), None) for pattern in layout.patterns)
        for layout in _FORMATS
    )


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()  # a dangling link is a missing shard, to be named, not to be passed over


def _source(
    path: Path, folder: Path, layout: _Format, tensors: Mapping[str, StoredTensor], *, files: int
) -> StoredSource:
    if not tensors:
        raise CheckpointError("expected at least one tensor, found none", file=path)
    return StoredSource(
        path=path,
        tensors=tensors,
        config=_read_config(folder),
        description=layout.label if files == 1 else f"{layout.label}, {files} shards",
        read_vocabulary=partial(read_vocabulary, folder),
    )


def _open_index(folder: Path, layout: _Format) -> StoredSource:
    index = folder / layout.index
    weight_map = read_json_object(index, unique_keys=True).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError("expected a weight_map from tensor to file, found none", file=index)
    for name, file in weight_map.items():
        _refuse_escape(file, name, index)
    shards = [folder / file for file in sorted(set(weight_map.values()))]
    for shard in shards:
        if not shard.exists():
            raise CheckpointError(f"expected the shard {shard.name}, found no such file; get it again", file=index)
    tensors = _merge(layout, shards)
    for name, file in weight_map.items():
        if name not in tensors or tensors[name].meta.file.name != file:
            raise CheckpointError(f"expected it in {file} as the index says, found it absent", file=index, tensor=name)
    return _source(folder, folder, layout, tensors, files=len(shards))


def _refuse_escape(file: object, tensor: str, index: Path) -> None:
    """A shard is a plain file name in the index's own folder. It may be a link, as in Hugging Face's cache."""
    if not isinstance(file, str) or not file.isprintable() or file in {"", ".", ".."} or set(file) & set("/\\:"):
        problem = f"expected the plain name of a file in the same folder, found {shown(file)}"
        raise CheckpointError(problem, file=index, tensor=tensor[:100])


def _merge(layout: _Format, files: Iterable[Path]) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        found = layout.read(file)
        twice = min(found.keys() & tensors.keys(), default=None)
        if twice is not None:
            problem = f"expected one tensor of this name, found a second in {tensors[twice].meta.file.name}"
            raise CheckpointError(f"{problem}; leave only one model's files in the folder", file=file, tensor=twice)
        tensors |= found
    return tensors


def _refuse_missing_parts(files: list[Path]) -> None:
    """Without an index, the numbered names themselves say how many shards there are."""
    names = {file.name for file in files}
    for file in files:
        numbered = _PART_OF_SEVERAL.fullmatch(file.name)
        if numbered is None:
            continue
        for part in range(1, int(numbered["parts"]) + 1):
            expected = f"{numbered['stem']}-{part:05}-of-{numbered['parts']}{numbered['suffix']}"
            if expected not in names:
                raise CheckpointError(f"expected the shard {expected} beside it, found none; get it again", file=file)


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_json_object(folder / "config.json") if _exists(folder / "config.json") else {}
    if "quantization_config" in config or "compression_config" in config:
        return config
    for name, method in _QUANTISATION_FILES:
        if _exists(folder / name):
            settings = read_json_object(folder / name)
            return config | {"quantization_config": {"quant_method": method} | settings}
    return config
