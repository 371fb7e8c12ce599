"""A registry in a folder, opened: what the command line and the service do with it.

One process writes; any number read. Whoever opens it to write finishes what a crash interrupted first.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from whorl.core.errors import InputError, VerificationError
from whorl.entries.handling import may_see
from whorl.entries.kinds import Bureau, Model, Organisation, Policy
from whorl.entries.leaf import entry_id
from whorl.entries.statement import open_entry
from whorl.log.folder import LogFolder, create_log
from whorl.registry.blobs import Blob, BlobFolder
from whorl.registry.cosigning import Cosigner, Cosigning
from whorl.registry.database import Database, open_database
from whorl.registry.database_view import DatabaseView
from whorl.registry.entry_rows import entries_of_log, find_entry
from whorl.registry.home import Home, create_home, open_home
from whorl.registry.mirroring import Content
from whorl.registry.public_keys import issuer_public
from whorl.registry.receipts import make_receipt
from whorl.registry.sequencer import Entered, Outcome, Sequencer, Submission
from whorl.registry.stored_entry import StoredEntry

MAX_BLOB_BYTES: Final = 1 << 26
WITNESS_SECONDS: Final = 5.0
CONTENTS: Final = 256  # entries whose content is given at once
_WITNESS_THREADS: Final = 8

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class LocalRegistry:
    """An open registry folder; a context manager.

    Parameters
    ----------
    home : the folder
    cosigners : the witnesses to ask for each tree head
    now, random_bytes : the clock, and where salts come from
    """

    def __init__(
        self,
        home: Home,
        *,
        cosigners: Sequence[Cosigner] = (),
        now: Clock = system_clock,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        create: bool = False,
    ) -> None:
        self.home = home
        self.now = now
        self.blobs = BlobFolder(home.blobs)
        self.database: Database = open_database(home.database_url, create=create)
        try:
            self.log = (create_log if create else LogFolder)(home.log, origin=home.origin)
            self._executor = ThreadPoolExecutor(_WITNESS_THREADS, thread_name_prefix="witness")
            self.sequencer = Sequencer(
                home,
                self.database,
                self.log,
                signers=home.log_signers(),
                bureau=home.bureau_key(),
                cosigning=Cosigning(cosigners, self._executor, seconds=WITNESS_SECONDS),
                now=now,
                random_bytes=random_bytes,
            )
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
        self._executor.shutdown(wait=False, cancel_futures=True)
        self.database.close()

    def ask_witnesses(self, cosigners: Sequence[Cosigner]) -> None:
        """From now on, ask these for each tree head."""
        self.sequencer.cosigning = Cosigning(cosigners, self._executor, seconds=WITNESS_SECONDS)

    @property
    def origin(self) -> str:
        """Origin of the registry's log."""
        return self.home.origin

    def enter(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Enter signed envelopes; see `Sequencer.enter`."""
        return self.sequencer.enter(submissions)

    def chain(self, issuer: bytes) -> tuple[int, bytes] | None:
        """Sequence number and leaf hash of an issuer's last entry."""
        with self.database.reading() as connection:
            return DatabaseView(connection).chain(issuer)

    def organisation_of(self, issuer: bytes) -> bytes | None:
        """Leaf hash of the organisation that an issuer's key belongs to."""
        with self.database.reading() as connection:
            key = DatabaseView(connection).key(issuer)
        return None if key is None else key.organisation

    def same_entry(self, body: Model, *, issuer: bytes) -> bytes | None:
        """Leaf hash of the entry by which a key made the same claim about a model already."""
        if body.content is None:
            return None
        with self.database.reading() as connection:
            for known in DatabaseView(connection).models(body.content):
                if known.issuer == issuer and known.statement is not None and known.statement.body == body:
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
        """The receipt of an entry; see `whorl.registry.receipts.make_receipt`."""
        with self.database.reading() as connection:
            return make_receipt(connection, self.log, digest, with_content=with_content)

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

    def put_blob(self, pieces: Iterable[bytes], *, expected: str | None = None) -> Blob:
        """Store what an entry will point to, before it is entered."""
        return self.blobs.put(pieces, max_bytes=MAX_BLOB_BYTES, expected=expected)

    def blob(self, digest: str) -> bytes:
        """What an entry points to, by its ``sha256:`` digest."""
        return self.blobs.get(digest, max_bytes=MAX_BLOB_BYTES)


def _content(stored: StoredEntry, *, reader: str | None, is_bureau: bool) -> Content | None:
    if stored.envelope is None or stored.salt is None or stored.kind is None:
        return None
    statement = open_entry(stored.envelope).statement
    if not may_see(statement.handling, reader=reader, issuer=statement.issuer.hex(), is_bureau=is_bureau):
        return None
    return Content(envelope=stored.envelope, salt=stored.salt)


def create_registry(
    path: Path,
    *,
    origin: str,
    bureau_name: str,
    jurisdiction: str,
    database: str | None = None,
    now: Clock = system_clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> LocalRegistry:
    """Make a registry: keys, database, log, and the first entries, which say whose it is and by which rules.

    Parameters
    ----------
    origin : the log's name, a schemeless URL
    bureau_name, jurisdiction : of the organisation that runs it
    database : URL of a server's database; None for a SQLite file in the folder

    Raises
    ------
    RegistryError
        If something is there already, or the database cannot be made.
    """
    home = create_home(
        path, origin=origin, database=database, random_bytes=random_bytes, witness_name=f"{origin}/witness"
    )
    registry = LocalRegistry(home, now=now, random_bytes=random_bytes, create=True)
    try:
        registry.sequencer.catch_up()
        key = home.bureau_key()
        public = issuer_public(key)
        policy = Policy(
            bureau=Bureau(
                origin=origin,
                jurisdiction=jurisdiction,
                log_keys=home.settings.log_keys,
                organisation=key.id.hex(),
            )
        )
        bodies = (Organisation(name=bureau_name, jurisdiction=jurisdiction, roots=(public,)), policy)
        for outcome in registry.sequencer.enter_own(bodies):
            entered(outcome)
    except BaseException:
        registry.close()
        raise
    return registry


def open_registry(path: Path, *, cosigners: Sequence[Cosigner] = (), now: Clock = system_clock) -> LocalRegistry:
    """Open an existing registry to read and write, after finishing what a crash interrupted.

    Raises
    ------
    RegistryError
        If there is none, or it is damaged.
    VerificationError
        If log, database and the last signed tree head contradict each other.
    """
    registry = LocalRegistry(open_home(path), cosigners=cosigners, now=now)
    try:
        registry.sequencer.catch_up()
    except BaseException:
        registry.close()
        raise
    return registry


def entered(outcome: Outcome) -> Entered:
    """The entry, or raise what was wrong with it."""
    if isinstance(outcome, InputError | VerificationError):
        raise outcome
    return outcome
