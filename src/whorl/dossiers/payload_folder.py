"""A folder laid out as a dossier's payload: ``custody.jsonl``, ``exhibits/``, ``findings/`` and so on."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from whorl.core.errors import InputError
from whorl.dossiers.archive import MAX_ENTRIES
from whorl.dossiers.bag import PAYLOAD, ROOT
from whorl.dossiers.crate import require_place
from whorl.dossiers.layout import CRATE

_DEEPEST: Final = 2


def payload_files(folder: Path) -> dict[str, Path]:
    """Every file of the folder by its path in the bag, without a catalogue or root of an earlier build.

    Raises
    ------
    InputError
        If there is no such folder, or something in it has no place in a dossier: another file, a link, a device.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected the folder of a case, found none; check the path")
    files: dict[str, Path] = {}
    for path in _walk(folder, _DEEPEST):
        name = PAYLOAD + path.relative_to(folder).as_posix()
        if name in (CRATE, PAYLOAD + ROOT):
            continue
        require_place(name)
        files[name] = path
        if len(files) > MAX_ENTRIES:
            raise InputError(f"{folder}: expected at most {MAX_ENTRIES} files, found more")
    return files


def _walk(folder: Path, levels: int) -> Iterator[Path]:
    with os.scandir(folder) as found:
        for one in sorted(found, key=lambda entry: entry.name):
            mode = one.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) and levels:
                yield from _walk(Path(one.path), levels - 1)
            elif stat.S_ISREG(mode):
                yield Path(one.path)
            else:
                raise InputError(f"{one.path}: expected a plain file, found a link, a device or a folder too deep")
