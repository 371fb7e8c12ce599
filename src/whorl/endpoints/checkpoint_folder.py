"""What is looked at in a checkpoint folder before any library opens it: sizes, formats, impossible claims."""

import json
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import CheckpointError, InputError, UnsupportedError

MAX_CONFIG_BYTES: Final = 1 << 20
MAX_TOKENIZER_BYTES: Final = 128 << 20
MAX_HEADER_BYTES: Final = 100 << 20
_LAYER_COUNTS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers")
_TOKENIZER_SUFFIXES: Final = (".json", ".jinja", ".txt", ".model", ".tiktoken")
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def short(error: BaseException) -> str:
    """A foreign error in one line of at most 300 characters, for a message of our own."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a checkpoint folder, found {'a file' if folder.exists() else 'nothing'}")
    config = _read_json(folder / "config.json", MAX_CONFIG_BYTES)
    if (folder / "adapter_config.json").exists():
        raise UnsupportedError(f"{folder}: an adapter needs its parent's weights; merge it into them first")
    for section in _sections(config):
        for key, value in section.items():
            if key.endswith("_implementation") and "/" in str(value):
                raise UnsupportedError(f"{folder}: {key} asks for code from elsewhere, {value!r}, which is never run")
    return config


def _sections(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The configuration and those of its parts: text, vision."""
    return [config, *(value for value in config.values() if isinstance(value, dict))]


def _read_json(file: Path, limit: int) -> dict[str, Any]:
    if not file.is_file():
        raise CheckpointError("expected this file, found none; get the whole folder", file=file)
    if (size := file.stat().st_size) > limit:
        raise CheckpointError(f"expected at most {limit} bytes, found {size}", file=file)
    try:
        value = json.loads(file.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"expected a JSON object, found what is none: {short(error)}", file=file) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"expected a JSON object, found {type(value).__name__}", file=file)
    return value


def refuse_unsafe_weights(folder: Path, config: dict[str, Any]) -> None:
    """Refuse pickles, and a configuration that claims more layers than there are tensors: memory without end."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        if any(next(folder.glob(pattern), None) for pattern in _PICKLES):
            advice = "expected safetensors, found pickled weights, which can run code; convert them to safetensors"
            raise UnsupportedError(f"{folder}: {advice}")
        raise CheckpointError("expected weights in *.safetensors, found none; get the whole folder", file=folder)
    tensors = sum(_count_tensors(file) for file in files)
    for section in _sections(config):
        for key in _LAYER_COUNTS:
            layers = section.get(key, 0)
            if not isinstance(layers, int) or layers > tensors:
                problem = f"{key} is {layers!r}, but the weights hold {tensors} tensors; the two do not belong together"
                raise CheckpointError(problem, file=folder / "config.json")


def refuse_large_tokenizer(folder: Path) -> None:
    """Refuse files that a tokenizer may be read from whole, and that are too large or no files."""
    for file in (*folder.iterdir(), *folder.glob("*/*.jinja")):
        if file.suffix not in _TOKENIZER_SUFFIXES or file.is_dir():
            continue
        if not file.is_file():
            raise CheckpointError("expected a regular file", file=file)
        if (size := file.stat().st_size) > MAX_TOKENIZER_BYTES:
            raise CheckpointError(f"expected at most {MAX_TOKENIZER_BYTES} bytes, found {size}", file=file)


def _count_tensors(file: Path) -> int:
    if not file.is_file():
        raise CheckpointError("expected a regular file", file=file)
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, file.stat().st_size - 8):
            raise CheckpointError("expected a safetensors header, found none; get the file again", file=file)
        try:
            return len(dict(json.loads(opened.read(length))).keys() - {"__metadata__"})
        except (ValueError, TypeError, RecursionError) as error:
            problem = f"expected a safetensors header, found what is no JSON object: {short(error)}"
            raise CheckpointError(problem, file=file) from error
