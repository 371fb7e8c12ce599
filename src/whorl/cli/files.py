"""Files that a command names: inputs that must be there, outputs that appear whole or not at all."""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import InputError

_PAGE_HEAD_BYTES: Final = 4096


MODEL: Final = "a checkpoint folder, a checkpoint file or a stored fingerprint"


def require_input(path: Path, expected: str = MODEL) -> None:
    """Raise `InputError` unless something is at ``path``, before any work is done."""
    if not path.exists():
        raise InputError(f"{path}: expected {expected}, found nothing there; check the path")


def require_output(path: Path, *, inputs: tuple[Path, ...] = (), replace: bool = False) -> None:
    """Raise `InputError` unless a file may be written at ``path``, before any work is done.

    Parameters
    ----------
    inputs : files that must not be overwritten even when ``replace`` is set
    replace : an existing regular file may be replaced
    """
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path}: the folder {folder} cannot be written to; choose another place")
    if any(_inside(path, source) for source in inputs):
        raise InputError(f"{path}: lies in the input itself, which is only read; choose another place")
    if path.exists():
        if not path.is_file():
            raise InputError(f"{path}: is not a regular file; choose another place")
        if not replace:
            raise InputError(f"{path}: exists already and was left alone; choose another place or remove it first")


def _inside(path: Path, source: Path) -> bool:
    """Whether writing to ``path`` could change the input: it is the input, or lies in its folder."""
    target, origin = path.resolve(), source.resolve()
    return (
        target == origin
        or (source.is_dir() and target.is_relative_to(origin))
        or (path.exists() and source.exists() and path.samefile(source))
    )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing, even after a crash or Ctrl-C."""
    partial = path.with_name(f".whorl-{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_whorl_page(path: Path) -> bool:
    """Whether the file is a report that an earlier run wrote, which may be replaced."""
    from whorl.comparison.report import GENERATOR

    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_PAGE_HEAD_BYTES)


def print_json(document: str | Mapping[str, Any]) -> None:
    """Print one JSON document in UTF-8, whatever the terminal's own encoding is."""
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False, indent=2)
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")  # a stray surrogate becomes a JSON escape
    sys.stdout.buffer.flush()


def lineage_beside(given: Path | None, table: Path) -> Path | None:
    """The file of documented descent: the one that was given, else ``lineage.csv`` beside a table, else none."""
    beside = table.parent / "lineage.csv"
    found = given if given is not None else (beside if beside.is_file() else None)
    if found is not None:
        require_input(found, expected="a CSV table with the columns model, family, base, relation")
    return found
