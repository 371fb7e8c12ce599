"""An open dossier: its files by their paths in the bag, each read when asked for, within a cap."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from whorl.core.errors import InputError
from whorl.dossiers.archive import Archive, Measured, open_archive
from whorl.dossiers.bag import BASE, PAYLOAD


class Dossier:
    """What is in the file. That it is an archive as Whorl writes them is all that was checked."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.sizes = {name.removeprefix(BASE): entry.size for name, entry in archive.entries.items()}

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """Size, CRC-32 and SHA-256 of each content: one pass over the file, in bounded memory."""
        return {name: self._archive.measure(BASE + name) for name in self.sizes}

    @property
    def payload(self) -> dict[str, Measured]:
        """The part of `measured` under ``data/``."""
        return {name: one for name, one in self.measured.items() if name.startswith(PAYLOAD)}

    def read(self, name: str, *, most: int) -> bytes:
        """A whole file.

        Raises
        ------
        InputError
            If there is none of that name, it is larger than ``most`` bytes, or damaged.
        """
        if name not in self.sizes:
            raise InputError(f"expected the file {name} in the dossier, found none")
        return self._archive.read(BASE + name, most=most)

    def damaged(self) -> list[str]:
        """Files whose content has another CRC-32 than its header says."""
        entries = self._archive.entries
        return [name for name, one in self.measured.items() if one.crc != entries[BASE + name].crc]


@contextmanager
def open_dossier(path: Path) -> Iterator[Dossier]:
    """Open a dossier.

    Raises
    ------
    InputError
        If it is no archive as Whorl writes them, or a file lies outside of the bag's base folder.
    """
    with open_archive(path) as archive:
        outside = next((name for name in archive.entries if not name.startswith(BASE)), None)
        if outside is not None:
            raise InputError(f"expected every file under {BASE}, found {outside!r} outside of it")
        yield Dossier(archive)
