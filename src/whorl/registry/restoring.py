"""Making a registry's folder again from a backup, and from what the backup is not: trusted, or new.

A backup is a file from somewhere. Only members with known names are taken, only rows go into the new database, and what
the rows give must be the tree that the log signed. Everything is made beside the place it will have and moved there at
the end, so what an error or a crash leaves is no registry.

A registry that was put back does not know what it signed since the backup. It is marked, and signs nothing before every
witness was asked (`whorl.registry.sequencer`).
"""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import ValidationError
from sqlalchemy import Connection, func, select

from whorl.core.durable_files import sync_folder, write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.core.faults import first_fault
from whorl.core.progress import Progress, silent
from whorl.core.strict_json import parse_json_object
from whorl.log.files import read_file
from whorl.log.folder import create_log
from whorl.log.tree_heads import open_tree_head
from whorl.registry.backup import (
    COPIED,
    FORK,
    KEYS,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MAX_SMALL_BYTES,
    ROWS,
    SETTINGS,
    Manifest,
    Member,
    table_pages,
)
from whorl.registry.bulk import insert_rows
from whorl.registry.database import Database, open_database, sqlite_url
from whorl.registry.database_errors import RegistryError
from whorl.registry.database_view import DatabaseView
from whorl.registry.home import (
    Home,
    HomeFile,
    log_verifiers,
    make_folders,
    parse_settings,
    require_own_keys,
    write_note_key,
    write_settings,
)
from whorl.registry.log_making import append_rows
from whorl.registry.log_rows import stored_log
from whorl.registry.registry_reader import MAX_BLOB_BYTES
from whorl.registry.replaying import rebuild_derived
from whorl.registry.restored_mark import RestoredMark
from whorl.registry.rollback import require_contained
from whorl.registry.ustar import tar_members

_COPY: Final = "rows.sqlite"
_ORDER: Final = ("settings", "peers", "keys", "forks", "rows", "blobs", "manifest")
_BLOB: Final = re.compile(r"blobs/([0-9a-f]{64})")
_LIMITS: Final = {
    "settings": MAX_SMALL_BYTES,
    "peers": MAX_SMALL_BYTES,
    "keys": MAX_SMALL_BYTES,
    "forks": MAX_SMALL_BYTES,
    "rows": 1 << 62,  # it cannot be larger than the file that holds it: nothing is compressed
    "blobs": MAX_BLOB_BYTES,
    "manifest": MAX_MANIFEST_BYTES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back.

    Parameters
    ----------
    size : entries of the own log
    witnesses : names of those that are asked before it signs again
    """

    origin: str
    size: int
    witnesses: tuple[str, ...]


def restore_backup(
    source: Path,
    folder: Path,
    *,
    keys: Path | None,
    database: str | None = None,
    nobody_saw_more: bool = False,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    progress: Progress = silent,
) -> Restored:
    """Make a registry's folder from a backup.

    Its witness gets new keys: one that was put back has forgotten what it promised under the old ones.

    Parameters
    ----------
    folder : new or empty
    keys : folder with ``log.json`` and ``bureau.json``, for a backup without keys
    database : URL of an empty database; None for a SQLite file in the folder
    nobody_saw_more : the operator's word that no tree head was signed since the backup, where no witness can be asked

    Raises
    ------
    InputError
        If there is something already, the file is no whole backup, or keys are missing.
    VerificationError
        If the content is not what the manifest says, or its entries are not those that the log signed.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RegistryError(f"{folder}: expected a new or empty folder for the registry, found something in it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name}-{secrets.token_hex(8)}.partial")
    try:
        make_folders(made)
        restoring = _Restoring(source, made, database, progress)
        # (1) nothing but known members, each of them what the manifest says
        restoring.extract()
        # (2) somebody can be asked what was signed since
        settings = restoring.settings()
        if not settings.witnesses and not nobody_saw_more:
            raise InputError(
                f"{source}: this registry has no witnesses that could be asked whether it signed more than the backup "
                "holds. If you know that it did not, say so with --nobody-saw-more; signing twice would be a fork"
            )
        # (3) the keys are those of this log
        home = restoring.take_keys(keys, settings, random_bytes)
        # (4) the entries are those that the log signed
        restoring.take_rows(home)
        if settings.witnesses and not nobody_saw_more:
            RestoredMark(home).put()
        write_settings(home)
        os.sync()
        made.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise RegistryError(
            f"{error.filename or folder}: the backup cannot be restored ({error.strerror}); check the disk and its "
            "free space"
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Restored(
        origin=home.origin,
        size=restoring.manifest.size,
        witnesses=() if nobody_saw_more else tuple(one.name for one in settings.witnesses),
    )


@dataclass(slots=True)
class _Restoring:
    source: Path
    made: Path
    database: str | None
    progress: Progress
    _manifest: Manifest | None = None
    _small: dict[str, bytes] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        assert self._manifest is not None
        return self._manifest

    def extract(self) -> None:
        """Take the members, and hold them against the manifest, which comes last."""
        with self.source.open("rb") as file:
            members, blobs = self._take_members(file)
        manifest = self._read_manifest()
        if tuple(members) != manifest.members or blobs != (manifest.blobs.count, manifest.blobs.size):
            raise VerificationError(
                f"{self.source}: its members are not those of its manifest: the file was damaged or put together from "
                "several. Copy it again, or take another backup"
            )
        self._manifest = manifest

    def settings(self) -> HomeFile:
        """The settings, with the database that they are to have here."""
        settings = parse_settings(self._small.get(SETTINGS, b""), what=f"{self.source}, {SETTINGS}")
        if settings.origin != self.manifest.origin:
            raise VerificationError(
                f"{self.source}: expected the settings of {self.manifest.origin!a}, found those of {settings.origin!a}"
            )
        return settings.model_copy(update={"database": self.database})

    def take_keys(self, keys: Path | None, settings: HomeFile, random_bytes: Callable[[int], bytes]) -> Home:
        """Put the private keys in their place: those given, else those of the backup."""
        home = Home(path=self.made, settings=settings)
        for name in KEYS:
            if keys is not None:
                data = read_file(keys / Path(name).name, max_bytes=MAX_SMALL_BYTES)
            elif name in self._small:
                data = self._small[name]
            else:
                raise InputError(
                    f"{self.source}: holds no private keys; name the folder with log.json and bureau.json with --keys"
                )
            write_durably(self.made / name, data, mode=0o600)
        write_note_key(self.made / "keys" / "witness.json", f"{settings.origin}/witness", random_bytes)
        require_own_keys(home)
        return home

    def take_rows(self, home: Home) -> None:
        """Copy the rows, derive what follows from them, and make the log again; all of it or nothing stays."""
        copy = open_database(sqlite_url(self.made / _COPY), create=False)
        try:
            target = open_database(home.database_url, create=True)
            try:
                with copy.reading() as rows, target.writing() as connection:
                    _require_empty(connection, target)
                    for table in COPIED:
                        for count, page in enumerate(table_pages(rows, table)):
                            insert_rows(connection, table, page)
                            self.progress(f"{table.name} restored", count, 0)
                    rebuild_derived(connection)
                    self._make_log(connection, home)
            finally:
                target.close()
        finally:
            copy.close()
        for leftover in self.made.glob(f"{_COPY}*"):
            leftover.unlink()

    def _make_log(self, connection: Connection, home: Home) -> None:
        held = stored_log(connection, home.origin)
        stated = None if self.manifest.tree_head is None else self.manifest.tree_head.encode()
        if held is None or not held.own or (held.size, held.head) != (self.manifest.size, stated):
            raise VerificationError(f"{self.source}: its rows are not those that its manifest speaks of; it is damaged")
        if held.size and DatabaseView(connection).key(home.bureau_key().id, origin=home.origin) is None:
            raise InputError("keys/bureau.json: expected the key of this registry's bureau, found one it does not know")
        log = create_log(home.log, origin=home.origin, write=_write_plainly)
        append_rows(connection, log, progress=self.progress)
        if held.head is not None:
            head = open_tree_head(held.head, origin=home.origin, log_keys=log_verifiers(home)).head
            require_contained(log, head, known_to="the backup")
            log.publish(held.head)
            write_durably(home.last_signed, held.head)

    def _take_members(self, file: BinaryIO) -> tuple[list[Member], tuple[int, int]]:
        members: list[Member] = []
        blobs = size_of_blobs = 0
        before = (-1, "")
        for name, size, pieces in tar_members(file, what=str(self.source)):
            kind = _kind(name)
            place = (-1 if kind is None else _ORDER.index(kind), name)
            if kind is None or place <= before or size > _LIMITS[kind]:
                raise InputError(
                    f"{self.source}: expected the members of a backup in their order and of possible sizes, found "
                    f"{name[:100]!a} of {size} bytes; nothing was taken"
                )
            before = place
            if kind == "blobs":
                self._take_blob(name, pieces)
                blobs, size_of_blobs = blobs + 1, size_of_blobs + size
                self.progress("blobs restored", blobs, 0)
            elif kind in ("rows", "peers", "forks"):
                path = self.made / (_COPY if kind == "rows" else name)
                path.parent.mkdir(exist_ok=True)
                members.append(Member(name=name, size=size, sha256=_into(path, pieces)))
            else:
                data = self._small[name] = b"".join(pieces)
                if kind != "manifest":
                    members.append(Member(name=name, size=size, sha256=hashlib.sha256(data).hexdigest()))
        return members, (blobs, size_of_blobs)

    def _take_blob(self, name: str, pieces: Iterator[bytes]) -> None:
        digest = name.removeprefix("blobs/")
        place = self.made / "blobs" / digest[:2] / digest[2:]
        place.parent.mkdir(exist_ok=True)
        if _into(place, pieces) != digest:
            raise VerificationError(f"{self.source}: {name} has another digest than its name; the file is damaged")

    def _read_manifest(self) -> Manifest:
        data = self._small.get(MANIFEST)
        if data is None:
            raise InputError(f"{self.source}: expected a whole backup, found one without its manifest; copy it again")
        parse_json_object(data, what=f"{self.source}, {MANIFEST}", max_bytes=MAX_MANIFEST_BYTES)
        try:
            return Manifest.model_validate_json(data)
        except ValidationError as error:
            raise InputError(
                f"{self.source}: expected the manifest of a backup of schema whorl.registry-backup/1, found fault with "
                f"{first_fault(error)}; a newer whorl may read it"
            ) from None


def _kind(name: str) -> str | None:
    """What a member is, by its name; None for a name that no backup has."""
    fixed = {SETTINGS: "settings", "peers.json": "peers", ROWS: "rows", MANIFEST: "manifest"}
    if name in fixed:
        return fixed[name]
    if name in KEYS:
        return "keys"
    if FORK.fullmatch(name):
        return "forks"
    return "blobs" if _BLOB.fullmatch(name) else None


def _require_empty(connection: Connection, target: Database) -> None:
    if any(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in COPIED):
        raise RegistryError(
            f"{target.where}: expected an empty database, found a registry in it; make a new one. If a restoration was "
            "interrupted here, drop the database first"
        )


def _into(path: Path, pieces: Iterator[bytes]) -> str:
    """Write a new file, which is flushed with all others at the end; its SHA-256."""
    running = hashlib.sha256()
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
            running.update(piece)
    return running.hexdigest()


def _write_plainly(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
