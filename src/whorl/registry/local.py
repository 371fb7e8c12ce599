"""A registry in a folder, open for writing: what the command line and the service do with it.

One process writes; any number read (`whorl.registry.registry_reader`). Whoever opens it to write finishes what a crash
interrupted first.
"""

import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.entries.kinds import Bureau, Organisation, Policy
from whorl.entries.stating import require_stated
from whorl.registry.blobs import Blob
from whorl.registry.cosigning import Cosigner, Cosigning
from whorl.registry.database_errors import RegistryError
from whorl.registry.home import (
    Home,
    clear_unfinished,
    create_home,
    log_verifiers,
    open_home,
    require_own_keys,
    write_settings,
)
from whorl.registry.log_rows import require_whole, stored_logs
from whorl.registry.public_keys import issuer_public
from whorl.registry.registry_reader import MAX_BLOB_BYTES as MAX_BLOB_BYTES
from whorl.registry.registry_reader import Clock, RegistryReader
from whorl.registry.registry_reader import system_clock as system_clock
from whorl.registry.sealed_once import SealedOnce
from whorl.registry.sequencer import Entered, Outcome, Sequencer, Submission
from whorl.registry.writer_lock import WriterLock

WITNESS_SECONDS: Final = 5.0
_WITNESS_THREADS: Final = 8


class LocalRegistry(RegistryReader):
    """A registry folder that is open for reading and writing, which one process at a time may.

    Parameters
    ----------
    home : the folder
    cosigners : the witnesses to ask for each tree head
    now, random_bytes : the clock, and where salts come from

    Raises
    ------
    RegistryError
        If another process writes it, or it is damaged.
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
        self._lock = WriterLock(home.path)
        try:
            require_own_keys(home)
            super().__init__(home, now=now, create=create)
        except BaseException:
            self._lock.release()
            raise
        self._executor = ThreadPoolExecutor(_WITNESS_THREADS, thread_name_prefix="witness")
        try:
            self.sequencer = Sequencer(
                home,
                self.database,
                self.log,
                signers=home.log_signers(),
                bureau=home.bureau_key(),
                cosigning=self._cosigning(cosigners),
                now=now,
                random_bytes=random_bytes,
            )
        except BaseException:
            self.close()
            raise
        self._once = SealedOnce(self.database, self.log, self.sequencer)

    def close(self) -> None:
        """Close the database and let others write; what was acknowledged is safe."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        super().close()
        self._lock.release()

    def ask_witnesses(self, cosigners: Sequence[Cosigner]) -> None:
        """From now on, ask these for each tree head."""
        self.sequencer.cosigning = self._cosigning(cosigners)

    def enter(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Enter signed envelopes; see `Sequencer.enter`. A sealed one that is in the log already is entered once."""
        return self._once.enter(submissions)

    def put_blob(self, pieces: Iterable[bytes], *, expected: str | None = None) -> Blob:
        """Store what an entry will point to, before it is entered."""
        return self.blobs.put(pieces, max_bytes=MAX_BLOB_BYTES, expected=expected)

    def _cosigning(self, cosigners: Sequence[Cosigner]) -> Cosigning:
        return Cosigning(cosigners, self._executor, seconds=WITNESS_SECONDS, log_keys=log_verifiers(self.home))


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
    InputError
        If name or jurisdiction do not fit; nothing is made then.
    RegistryError
        If something is there already, or the database cannot be made; nothing is left then.
    """
    require_stated(Organisation, {"name": bureau_name, "jurisdiction": jurisdiction})
    require_stated(Bureau, {"origin": origin})
    try:
        home = create_home(
            path, origin=origin, database=database, random_bytes=random_bytes, witness_name=f"{origin}/witness"
        )
    except OSError as error:
        raise _not_made(path, error) from error
    try:
        return _begin(LocalRegistry(home, now=now, random_bytes=random_bytes, create=True), bureau_name, jurisdiction)
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)  # it was made here; without it, the same command can be given again
        if isinstance(error.__cause__, OSError):
            raise _not_made(path, error.__cause__) from error
        raise


def _not_made(path: Path, error: OSError) -> RegistryError:
    return RegistryError(
        f"{path}: no registry was made and nothing of it is left, as the disk does not take it "
        f"({error.strerror or error}); check the disk, its free space and the permissions, then give the command again"
    )


def _begin(registry: LocalRegistry, bureau_name: str, jurisdiction: str) -> LocalRegistry:
    """Make the first entries, and then the settings that make the folder a registry."""
    home, origin = registry.home, registry.origin
    try:
        with registry.database.reading() as connection:
            if held := stored_logs(connection):
                raise RegistryError(
                    f"{registry.database.where}: expected an empty database for the new registry, found one of "
                    f"{held[0].origin}; one database holds one registry. Choose another one"
                )
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
        write_settings(home)
    except BaseException:
        registry.close()
        raise
    return registry


def open_registry(path: Path, *, cosigners: Sequence[Cosigner] = (), now: Clock = system_clock) -> LocalRegistry:
    """Open an existing registry to read and write, after finishing what a crash interrupted.

    Raises
    ------
    RegistryError
        If there is none, it is damaged or lacks entries that it had, or another process writes it.
    VerificationError
        If log, database, the last signed tree head and what witnesses know contradict each other.
    """
    registry = LocalRegistry(open_home(path), cosigners=cosigners, now=now)
    try:
        clear_unfinished(registry.home)
        registry.blobs.clear_partial()
        with registry.database.reading() as connection:
            for log in stored_logs(connection):
                require_whole(connection, log)
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
