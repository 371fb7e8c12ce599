"""The models whose lineage is asked: what lies in a folder, or what a registry holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whorl.comparison.subjects import CheckpointSubject, as_fingerprint, open_subject
from whorl.core.errors import InputError
from whorl.core.progress import Progress, silent
from whorl.fingerprints.weight_fingerprint import SUFFIX, WeightFingerprint
from whorl.weights.anatomy import Anatomy

FILES: Final = (SUFFIX, ".gguf", ".safetensors", ".bin", ".pt", ".pth")
_OF_ONE_CHECKPOINT: Final = ("config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """One model: its fingerprint always, its weights where they are at hand; ``remark`` is for people."""

    name: str
    fingerprint: WeightFingerprint
    path: Path | None
    anatomy: Anatomy | None
    remark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Something that should be a model and could not be read."""

    name: str
    problem: str


def members_of_folder(folder: Path, *, progress: Progress) -> tuple[list[Member], list[Unread]]:
    """Every model in a folder: its sub-folders as checkpoints, its files as checkpoints or stored fingerprints.

    Hidden entries and files of other kinds are none. What is broken is named with the reason.

    Raises
    ------
    InputError
        If the folder is a checkpoint itself, or holds nothing that could be a model.
    """
    if any((folder / name).exists() for name in _OF_ONE_CHECKPOINT):
        raise InputError(
            f"{folder}: expected a folder that holds several models, found a checkpoint; name the folder above it"
        )
    entries = sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and (path.is_dir() or path.suffix in FILES)
    )
    if not entries:
        raise InputError(
            f"{folder}: expected sub-folders with checkpoints, or files ending in {', '.join(FILES)}; found none"
        )
    members: list[Member] = []
    unread: list[Unread] = []
    names = _distinct_names(entries)
    for done, (path, name) in enumerate(zip(entries, names, strict=True), 1):
        try:
            members.append(_read(path, name))
        except InputError as error:
            unread.append(Unread(name=name, problem=str(error)))
        progress("reading models", done, len(entries))
    return members, unread


def _read(path: Path, name: str) -> Member:
    subject = open_subject(path)
    fingerprint = as_fingerprint(subject, progress=silent)
    anatomy = subject.anatomy if isinstance(subject, CheckpointSubject) else None
    return Member(name=name, fingerprint=fingerprint, path=None if anatomy is None else path, anatomy=anatomy)


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """A fingerprint goes by its name without the suffix, unless another entry has that name."""
    plain = [path.stem if path.suffix == SUFFIX and path.is_file() else path.name for path in paths]
    shown = [path.name if plain.count(name) > 1 else name for path, name in zip(paths, plain, strict=True)]
    return [name.encode("utf-8", "backslashreplace").decode() for name in shown]
