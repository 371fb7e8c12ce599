"""A registry in a folder, open for reading: nothing is changed, and neither lock nor private keys are needed."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from whorl.core.errors import InputError
from whorl.entries.handling import may_see
from whorl.entries.kinds import Model
from whorl.entries.leaf import entry_id
from whorl.entries.statement import open_entry
from whorl.log.folder import LogFolder, create_log
from whorl.log.tree_heads import open_tree_head
from whorl.registry.blobs import BlobFolder
from whorl.registry.database import Database, open_database
from whorl.registry.database_view import DatabaseView
from whorl.registry.entry_rows import entries_of_log, find_entry
from whorl.registry.home import Home, log_verifiers, open_home, witness_verifiers
from whorl.registry.mirroring import Content
from whorl.registry.receipts import make_receipt
from whorl.registry.standing import entry_standing
from whorl.registry.stored_entry import StoredEntry

MAX_BLOB_BYTES: Final = 1 << 26
_OPENED_HEADS: Final = 64
CONTENTS: Final = 256  # entries whose content is given at once

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class RegistryReader:
    """A registry folder that is open for reading; a context manager. Another process may write it meanwhile.

    Parameters
    ----------
    home : the folder
    now : the clock
    """

    def __init__(self, home: Home, *, now: Clock = system_clock, create: bool = False) -> None:
        self.home = home
        self.now = now
        witnesses = [key for witness in home.settings.witnesses for key in witness_verifiers(witness)]
        self._open_head = lru_cache(_OPENED_HEADS)(
            partial(open_tree_head, origin=home.origin, log_keys=log_verifiers(home), cosigners=witnesses)
        )
        self.blobs = BlobFolder(home.blobs)
        self.database: Database = open_database(home.database_url, create=create)
        try:
            self.log = (create_log if create else LogFolder)(home.log, origin=home.origin)
        except BaseException:
            self.database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; what was acknowledged is safe."""
        self.database.close()

    @property
    def origin(self) -> str:
        """Origin of the registry's log."""
        return self.home.origin

    def chain(self, issuer: bytes) -> tuple[int, bytes] | None:
        """Sequence number and leaf hash of an issuer's last entry in this log."""
        with self.database.reading() as connection:
            return DatabaseView(connection).chain(issuer, origin=self.origin)

    def organisation_of(self, issuer: bytes) -> bytes | None:
        """Leaf hash of the organisation that an issuer's key belongs to in this log."""
        with self.database.reading() as connection:
            key = DatabaseView(connection).key(issuer, origin=self.origin)
        return None if key is None else key.organisation

    def claimant_of(self, issuer: bytes) -> str | None:
        """Name of the organisation that an issuer's key belongs to in this log."""
        with self.database.reading() as connection:
            view = DatabaseView(connection)
            key = view.key(issuer, origin=self.origin)
            organisation = None if key is None else view.organisation(key.organisation)
        return None if organisation is None else organisation.name

    def same_entry(self, body: Model, *, issuer: bytes) -> bytes | None:
        """Leaf hash of the entry by which a key made the same claim about a model already, and which still stands."""
        if body.content is None:
            return None
        with self.database.reading() as connection:
            view = DatabaseView(connection)
            for known in view.models(body.content):
                same = (
                    (known.origin, known.issuer) == (self.origin, issuer)
                    and known.statement is not None
                    and known.statement.body == body
                )
                if same and entry_standing(known, view, at=self.now()).standing == "good":
                    return known.hash
        return None

    def entry(self, digest: bytes) -> StoredEntry:
        """An entry by its leaf hash.

        Raises
        ------
        InputError
            If there is none.
        """
        with self.database.reading() as connection:
            found = find_entry(connection, digest)
        if found is None:
            raise InputError(
                f"expected an entry of {self.home.origin}, found {entry_id(digest)}, which is none; check the id"
            )
        return found

    def receipt(self, digest: bytes, *, with_content: bool = True) -> bytes:
        """The receipt of an entry of the own log; see `whorl.registry.receipts.make_receipt`."""
        with self.database.reading() as connection:
            stored = find_entry(connection, digest)
            if stored is not None and stored.origin != self.origin:
                raise InputError(
                    f"expected an entry of {self.origin}, found one of {stored.origin}, which is mirrored here; ask "
                    "the bureau of that log for its receipt"
                )
            return make_receipt(connection, self.log, digest, with_content=with_content, open_head=self._open_head)

    def contents(self, start: int, stop: int, *, reader: str | None, is_bureau: bool) -> list[Content | None]:
        """What entries ``start`` to ``stop`` - 1 of the own log say, as far as a reader may see it.

        Parameters
        ----------
        reader : the reader's origin or the id of its root key; None for somebody unknown
        """
        shown: list[Content | None] = []
        with self.database.reading() as connection:
            for stored in entries_of_log(connection, self.origin, start=start, stop=min(stop, start + CONTENTS)):
                shown.append(_content(stored, reader=reader, is_bureau=is_bureau))
        return shown

    def blob(self, digest: str) -> bytes:
        """What an entry points to, by its ``sha256:`` digest."""
        return self.blobs.get(digest, max_bytes=MAX_BLOB_BYTES)


def read_registry(path: Path, *, now: Clock = system_clock) -> RegistryReader:
    """Open an existing registry to read it, as it is: what a crash interrupted stays so.

    Raises
    ------
    RegistryError
        If there is none, or it is damaged.
    """
    return RegistryReader(open_home(path), now=now)


def _content(stored: StoredEntry, *, reader: str | None, is_bureau: bool) -> Content | None:
    if stored.envelope is None or stored.salt is None or stored.kind is None:
        return None
    statement = open_entry(stored.envelope).statement
    if not may_see(statement.handling, reader=reader, issuer=statement.issuer.hex(), is_bureau=is_bureau):
        return None
    return Content(envelope=stored.envelope, salt=stored.salt)
