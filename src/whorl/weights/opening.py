"""Open whatever checkpoint lies at a path.

Readers are imported only when chosen: opening a folder of safetensors does not import the GGUF reader.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import InputError
from whorl.weights.source import TensorSource

FILE_READERS: Final = {
    ".safetensors": "whorl.weights.folder:open_safetensors",
    ".bin": "whorl.weights.folder:open_torch_zip",
    ".pt": "whorl.weights.folder:open_torch_zip",
    ".pth": "whorl.weights.folder:open_torch_zip",
    ".gguf": "whorl.weights.gguf:open_gguf",
}
_ACCEPTED: Final = (
    "a Hugging Face model folder (safetensors or pytorch_model.bin), a LoRA adapter folder, or one file ending in "
    + ", ".join(FILE_READERS)
)
_NAMES_SHOWN: Final = 8


def open_checkpoint(path: Path) -> TensorSource:
    """Open a checkpoint of any kind that Whorl reads, without reading its tensors; packed quantisation is undone.

    Raises
    ------
    InputError
        If nothing is there, it cannot be read, or it is no checkpoint; the message says what was seen and what is
        accepted. Broken checkpoints raise `CheckpointError`, known but unread ones `UnsupportedError`.
    """
    try:
        names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else None
        path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected {_ACCEPTED}") from error
    except ValueError as error:  # a zero byte in the path
        raise InputError(f"{str(path)!r}: cannot be read: {error}") from error
    if names is not None:
        return _open_folder(path, names)
    reader = FILE_READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected {_ACCEPTED}; found a file ending in {path.suffix!r}")
    source: TensorSource = _load(reader)(path)
    return source if path.suffix.lower() == ".gguf" else _unpacked(source)


def _open_folder(path: Path, names: list[str]) -> TensorSource:
    if "adapter_config.json" in names:
        adapter: TensorSource = _load("whorl.weights.adapter:open_adapter")(path, open_base=open_checkpoint)
        return adapter
    if _load("whorl.weights.folder:has_weights")(path):
        return _unpacked(_load("whorl.weights.folder:open_folder")(path))
    gguf = [name for name in names if name.lower().endswith(".gguf")]
    if len(gguf) == 1:
        return open_checkpoint(path / gguf[0])
    if gguf:
        raise InputError(f"{path}: expected one checkpoint, found {len(gguf)} GGUF files; name the one you mean")
    seen = ", ".join(names[:_NAMES_SHOWN]) + (f" and {len(names) - _NAMES_SHOWN} more" if names[_NAMES_SHOWN:] else "")
    raise InputError(f"{path}: expected {_ACCEPTED}; found a folder with {seen or 'nothing in it'}")


def _unpacked(source: TensorSource) -> TensorSource:
    # Always: packed integers that no configuration mentions must be refused, not read as weights.
    unpacked: TensorSource = _load("whorl.weights.packed:unpack")(source)
    return unpacked


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
