"""Checking everything that a registry holds: ``whorl registry fsck``.

Nothing is changed and no lock is taken, so a registry that is in use, or that refuses to be opened, can be checked.
What is written goes through the registry in one order (rows, log, signature, publication, row of the tree head). It is
read in the opposite order, so that what another process writes meanwhile cannot look like damage. Each part is checked
as far as it can be read; one that cannot is one problem. What is checked: ``docs/specs/registry-backup.md``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.core.progress import Progress, silent
from whorl.entries.kinds import Policy
from whorl.log.auditing import verify_folder
from whorl.log.files import read_file
from whorl.log.folder import LogFolder
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.keys import Verifier, parse_vkey
from whorl.log.merkle import tree_root
from whorl.log.policy import MAX_POLICY_BYTES, check_tree_head
from whorl.log.tiles import TILE_WIDTH, hash_reader, parse_bundle, tile_width
from whorl.log.tree_heads import SignedTreeHead, TreeHead, open_tree_head
from whorl.registry.blob_checks import check_blobs
from whorl.registry.blobs import BlobFolder
from whorl.registry.database import Database, open_database
from whorl.registry.database_view import DatabaseView
from whorl.registry.entry_rows import latest_entries
from whorl.registry.heads import newest_head
from whorl.registry.history import History
from whorl.registry.home import Home, log_verifiers, open_home, require_own_keys
from whorl.registry.log_rows import stored_log
from whorl.registry.registry_reader import RegistryReader
from whorl.registry.scratch_database import first_object_difference, scratch_database
from whorl.registry.tree_head_checks import TreeHeadChecks

SCHEMA: Final = "whorl.registry-check/1"
MAX_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was looked at, and what is wrong.

    Parameters
    ----------
    counted : how many of each there are; ``waiting`` are rows that a crash, or a batch under way, kept from the log
    problems : each with its place, what is wrong there and what to do; at most `MAX_PROBLEMS`
    """

    origin: str
    counted: Mapping[str, int]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of schema ``whorl.registry-check/1``."""
        return {
            "schema": SCHEMA,
            "origin": self.origin,
            "counted": dict(self.counted),
            "problems": list(self.problems),
        }


def check_registry(registry: RegistryReader, *, progress: Progress = silent) -> Report:
    """Check a registry that is open."""
    check = _Check(registry.home, progress)
    check.run(registry.database, registry.log, registry.blobs)
    return check.report()


def check_folder(path: Path, *, progress: Progress = silent) -> Report:
    """Check a registry's folder, of which database or log may be too damaged to be opened.

    Raises
    ------
    RegistryError
        If it is no registry's folder, or its settings cannot be read.
    """
    home = open_home(path)
    check = _Check(home, progress)
    database: Database | None = None
    log: LogFolder | None = None
    with check.part("registry"):
        database = open_database(home.database_url, create=False)
    try:
        with check.part("log"):
            log = LogFolder(home.log, origin=home.origin)
        check.run(database, log, BlobFolder(home.blobs))
    finally:
        if database is not None:
            database.close()
    return check.report()


@dataclass(slots=True)
class _Signed:
    """What is known to be signed, read from the last to be written to the first, and the state that must hold it."""

    recorded: bytes | None = None
    published: bytes | None = None
    last: bytes | None = None
    state: TreeHead | None = None


@dataclass(slots=True)
class _Check:
    home: Home
    progress: Progress
    counted: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def report(self) -> Report:
        return Report(origin=self.home.origin, counted=dict(self.counted), problems=tuple(self.problems))

    def note(self, place: str, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem if problem.startswith(place) else f"{place}: {problem}")

    @contextmanager
    def part(self, place: str) -> Iterator[None]:
        """Check a part as far as it goes; what stops it is one more problem."""
        try:
            yield
        except WhorlError as error:
            self.note(place, str(error))
        except OSError as error:
            self.note(place, f"{error.filename or 'a file'} cannot be read: {error.strerror}; check the disk")

    def run(self, database: Database | None, log: LogFolder | None, blobs: BlobFolder) -> None:
        """All parts that can be read."""
        self._check_settings()
        signed = self._read_signed(database, log)
        if log is not None and signed.state is not None:
            self._check_log(log, signed)
        if database is not None:
            with self.part("registry"):
                for problem in database.problems():
                    self.note("registry", f"{problem}; restore the database from a backup")
            with self.part("registry"), database.reading() as connection:
                self._check_database(connection, log, signed.state, blobs)
        else:
            with self.part("blobs"):
                self.counted["blobs"] = check_blobs(blobs, None, note=self.note, progress=self.progress).blobs

    def _check_settings(self) -> None:
        with self.part("keys"):
            require_own_keys(self.home)
        with self.part("keys"):
            self.home.bureau_key()
        with self.part("policy.txt"):
            found = read_file(self.home.policy_file, max_bytes=MAX_POLICY_BYTES)
            if found != self.home.policy().to_text().encode():
                self.note(
                    "policy.txt",
                    "is not the policy that follows from registry.json; one of the two was altered, or a change of "
                    "the settings was interrupted. Restore the one that is wrong",
                )

    def _read_signed(self, database: Database | None, log: LogFolder | None) -> _Signed:
        signed = _Signed()
        if database is not None:
            with self.part("registry"), database.reading() as connection:
                signed.recorded = newest_head(connection, self.home.origin)
        if log is not None:
            with self.part("log"):
                signed.published = log.tree_head() if log.published() is not None else None
        with self.part("signed"):
            if self.home.last_signed.exists():
                signed.last = read_file(self.home.last_signed, max_bytes=MAX_NOTE_BYTES)
            elif signed.published is not None:
                self.note(
                    f"{self.home.last_signed}",
                    "expected the tree head that was signed last, found none; copy log/checkpoint there, or the "
                    "largest tree head that a witness has",
                )
        if log is not None:
            with self.part("log"):
                signed.state = log.state()
        return signed

    def _check_log(self, log: LogFolder, signed: _Signed) -> None:
        assert signed.state is not None
        known = _Pinned(log, signed.state, signed.published)
        if signed.published is not None or signed.state.size:
            with self.part("log"):
                report = verify_folder(known, open_head=self._opened, progress=self.progress)
                for problem in report.problems:
                    self.note("log", f"{problem}; restore the file from a backup or a mirror")
                if report.head is not None:
                    self._check_quorum(known.tree_head())
        with self.part("log"):
            self._check_order(known, signed)

    def _check_quorum(self, note: bytes) -> None:
        try:
            check_tree_head(note, self.home.policy())
        except (InputError, VerificationError) as error:
            self.note("log/checkpoint", f"{error}. When its witnesses answer again, `whorl serve` signs it anew")

    def _check_order(self, log: "_Pinned", signed: _Signed) -> None:
        """Each was written after the one before it was on the disk, so none is of more entries than that."""
        places = (
            ("the newest tree head in the database", signed.recorded),
            ("log/checkpoint", signed.published),
            ("signed/tree-head", signed.last),
        )
        before: tuple[str, int] | None = None
        for place, note in places:
            if note is None:
                continue
            with self.part(place):
                try:
                    head = self._opened(note).head
                except (InputError, VerificationError) as error:
                    self.note(place, f"{error}; restore it from a backup, or copy there one of the other two")
                    continue
                if before is not None and before[1] > head.size:
                    self.note(
                        place, f"is of {head.size} entries, {before[0]} of {before[1]}: an older one was put back"
                    )
                before = (place, head.size)
                state = log.state()
                if head.size > state.size:
                    self.note(
                        "log/state",
                        f"says {state.size} entries, though {place} is of {head.size}: {head.size - state.size} "
                        "entries are missing. Restore the newest backup; a bureau that mirrors this log has them",
                    )
                elif head.size and tree_root(hash_reader(log, state.size), head.size) != head.root:
                    self.note(place, "is of other entries than those in the log. Restore the newest backup")

    def _opened(self, note: bytes) -> SignedTreeHead:
        return open_tree_head(note, origin=self.home.origin, log_keys=log_verifiers(self.home))

    def _check_database(
        self, connection: Connection, log: LogFolder | None, state: TreeHead | None, blobs: BlobFolder
    ) -> None:
        held = stored_log(connection, self.home.origin)
        if held is None or not held.own:
            self.note("table logs", f"does not name {self.home.origin} as the own log; restore a backup")
            return
        if state is not None and state.size > held.size:
            self.note(
                "registry",
                f"has {held.size} entries, though the log has {state.size}: an older database was put back. Restore "
                "the newest backup of both",
            )
        if state is not None:
            self.counted["waiting"] = max(0, held.size - state.size)
        checks = TreeHeadChecks(connection, self._log_keys(connection), log, self.note)
        with scratch_database() as scratch:
            if connection.dialect.name == "sqlite" and (odd := first_object_difference(connection, scratch)):
                self.note(f"table or index {odd}", "is not defined as this version defines it; restore a backup")
            history = History(
                connection,
                scratch,
                own=self.home.origin,
                leaves=iter(()) if log is None or state is None else _leaves(log, state.size),
                last_map=_last_map(connection, self.home.origin),
                saw=checks.saw,
                note=self.note,
                progress=self.progress,
            )
            whole = history.tell()
            self._count(history, checks)
            if whole:
                checks.finish()
                history.compare_derived()
            with self.part("blobs"):
                found = check_blobs(blobs, scratch if whole else None, note=self.note, progress=self.progress)
                self.counted |= {"blobs": found.blobs, "unreferenced": found.unreferenced}

    def _count(self, history: History, checks: TreeHeadChecks) -> None:
        told = history.told
        self.counted |= {
            "entries": told.own,
            "mirrored": told.mirrored,
            "sealed": told.sealed,
            "erased": told.erased,
            "unjudged": told.unjudged,
            "status_maps": told.maps,
            "maps_skipped": told.maps_skipped,
            "tree_heads": checks.checked,
        }

    def _log_keys(self, connection: Connection) -> dict[str, tuple[Verifier, ...]]:
        """Keys of the own log, and of those that the policy in force names as peers."""
        keys: dict[str, tuple[Verifier, ...]] = {}
        with self.part("policy"):
            held = stored_log(connection, self.home.origin)
            policy: Policy | None = DatabaseView(connection).policy(self.home.origin, held.size if held else 0)
            for peer in () if policy is None else policy.peers:
                keys[peer.origin] = tuple(parse_vkey(key) for key in peer.log_keys)
        return keys | {self.home.origin: log_verifiers(self.home)}


class _Pinned(LogFolder):
    """A log as it was when the check began, whatever is appended meanwhile."""

    def __init__(self, log: LogFolder, state: TreeHead, published: bytes | None) -> None:
        self._pinned = state
        self._note = published
        super().__init__(log.path, origin=log.origin)

    def state(self) -> TreeHead:
        return self._pinned

    def tree_head(self) -> bytes:
        if self._note is None:
            raise InputError("expected a signed tree head, found none; open the registry to sign one")
        return self._note


def _leaves(log: LogFolder, size: int) -> Iterator[bytes | None]:
    for index in range(-(-size // TILE_WIDTH)):
        width = tile_width(size, 0, index)
        try:
            yield from parse_bundle(log.bundle(index, width), width=width)
        except (InputError, VerificationError):  # the audit has told of it
            yield from [None] * width


def _last_map(connection: Connection, origin: str) -> int | None:
    before = None
    while page := latest_entries(connection, "statusmap", most=MAX_PROBLEMS, before=before):
        for _, entry in page:
            if entry.origin == origin:
                return entry.index
        before = page[-1][0]
    return None
