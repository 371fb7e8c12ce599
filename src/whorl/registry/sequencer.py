"""The one writer: takes signed entries in batches, and gives them back once a published tree head has them.

Order of durability: blobs (before anybody hands in the entry), rows, bundle, tiles, state, signature, cosignatures,
publication. A crash between any two leaves either nothing or something that `Sequencer.catch_up` finishes: rows that
the log does not have yet are appended again, a log that is not signed yet is signed. Nothing is acknowledged before the
end.

Every batch ends with a `statusmap` entry by the bureau, so every receipt can say what speaks against its entry.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from whorl.core.errors import InputError, VerificationError
from whorl.entries.composing import compose, following
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Body, StatusMapHead
from whorl.entries.leaf import NO_HASH, SALT_BYTES, SEALED_KIND, Leaf, sealed_target
from whorl.entries.statement import SignedEntry, Statement, open_entry
from whorl.entries.status_map import StatusMap
from whorl.log.folder import LogFolder
from whorl.log.keys import Signer
from whorl.log.notes import Note, parse_note
from whorl.log.signing import sign_next
from whorl.registry.admission import admit, admit_sealed, require_sealable
from whorl.registry.blob_contents import require_brought
from whorl.registry.blobs import BlobFolder
from whorl.registry.cosigning import Cosigning, signed_size
from whorl.registry.database import Database
from whorl.registry.database_errors import RegistryError
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import PAGE, insert_entries, latest_entries
from whorl.registry.heads import record_head
from whorl.registry.home import Home
from whorl.registry.log_making import append_rows
from whorl.registry.log_rows import StoredLog, add_log, stored_log, stored_logs
from whorl.registry.parties import claim_digest
from whorl.registry.pending_view import HELD_BACK, PendingView
from whorl.registry.replaying import replay
from whorl.registry.restored_mark import RestoredMark
from whorl.registry.rollback import RollbackError, require_nothing_newer
from whorl.registry.spoken_against import spoken_against
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.submissions import Opened, opened
from whorl.registry.submissions import Submission as Submission
from whorl.registry.view import View

BATCH: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """An entry that is in the log under a published tree head."""

    hash: bytes
    index: int


Outcome = Entered | InputError | VerificationError
"""What became of a submission: entered, or the reason why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accepted:
    place: int
    stored: StoredEntry
    entry: SignedEntry


class Sequencer:
    """Writes one registry; there is one at a time, which `whorl.registry.writer_lock` sees to.

    Parameters
    ----------
    home : the registry's folder
    signers : keys of the log
    bureau : key under which the bureau makes its own entries
    now : the bureau's clock
    random_bytes : gives that many unpredictable bytes, for salts
    """

    def __init__(
        self,
        home: Home,
        database: Database,
        log: LogFolder,
        *,
        signers: Sequence[Signer],
        bureau: IssuerKey,
        cosigning: Cosigning,
        now: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._home = home
        self._origin = home.origin
        self._database = database
        self._log = log
        self._signers = tuple(signers)
        self._bureau = bureau
        self.cosigning = cosigning
        self._now = now
        self._random_bytes = random_bytes
        self._blobs = BlobFolder(home.blobs)
        self._restored = RestoredMark(home)
        self._asked: Cosigning | None = None
        self._is_behind = False

    def catch_up(self) -> None:
        """Finish what a crash or an error interrupted, before anything new is taken.

        Raises
        ------
        VerificationError
            If log and database contradict each other, or one of them is older than what was signed.
        RegistryError
            If the disk does not take what is to be written.
        """
        with _on_disk(self._home):
            self._log.recover()
            with self._database.writing() as connection:
                held = _own_log(connection, self._home)
            if self._log.size > held.size:
                raise RollbackError(
                    f"{self._home.path}: the log has {self._log.size} entries and the database {held.size}: an older "
                    "database was put back. Nothing was signed. Restore the newest backup of both; a bureau that "
                    "mirrors this log has what is missing"
                )
            self._append_rows()
            require_nothing_newer(self._home, self._log, held.head)
            if self._asked is not self.cosigning:
                self._ask_witnesses()
            published = self._log.published()
            if self._log.size and (published is None or published.size < self._log.size):
                self._publish()
            elif published is not None and (held.head is None or signed_size(held.head) < published.size):
                self._record(self._log.tree_head())
        self._is_behind = False

    def enter(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Enter a batch; every accepted entry is published when this returns.

        Returns
        -------
        for each submission what became of it, in their order

        Raises
        ------
        VerificationError
            If the log refuses to sign; nothing of the batch is acknowledged then.
        RegistryError
            If the disk or the database does not take it; nothing of the batch is acknowledged then either. What was
            written of it is finished by the next call, which then finds its entries in the log.
        """
        return self.enter_opened([opened(submission) for submission in submissions])

    def enter_opened(self, handed: Sequence[Opened]) -> list[Outcome]:
        """`enter`, where envelopes were parsed, and perhaps signatures checked, before."""
        if self._is_behind:
            self.catch_up()
        with _on_disk(self._home):
            self._require_witnesses_asked()
            return self._enter(handed)

    def _enter(self, handed: Sequence[Opened]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(handed)
        self._is_behind = True
        with self._database.writing() as connection:
            accepted = self._admit_all(connection, handed, outcomes)
            if accepted:
                self._enter_status_map(connection)
        if accepted:
            self._append_rows()
            self._publish()
        self._is_behind = False
        for one in accepted:
            outcomes[one.place] = Entered(hash=one.stored.hash, index=one.stored.index)
        return [outcome for outcome in outcomes if outcome is not None]

    def enter_own(self, bodies: Sequence[Body], *, target: bytes = NO_HASH) -> list[Outcome]:
        """Enter entries of the bureau itself, one after the other; they speak of ``target``."""
        outcomes: list[Outcome] = []
        for body in bodies:
            with self._database.reading() as connection:
                chain = DatabaseView(connection).chain(self._bureau.id, origin=self._origin)
            statement = compose(
                body, log=self._origin, issuer=self._bureau.id, chain=chain, now=self._now(), target=target
            )
            outcomes.extend(self.enter([self._own(statement)]))
        return outcomes

    def _admit_all(
        self, connection: Connection, handed: Sequence[Opened], outcomes: list[Outcome | None]
    ) -> list[_Accepted]:
        at = self._now()
        log = stored_log(connection, self._origin)
        assert log is not None
        index = log.size
        held = frozenset(held for one in handed for held in one.held)
        view = PendingView(DatabaseView(connection), origin=self._origin, start=index, held=held)
        accepted: list[_Accepted] = []
        pending: list[_Accepted] = []
        view.prime(connection, {one.entry.statement.issuer for one in handed if isinstance(one.entry, SignedEntry)})
        for place, asked in enumerate(handed):
            try:
                if not isinstance(asked.entry, SignedEntry):
                    raise asked.entry
                one = self._admitted(asked, asked.entry, view, place=place, index=index, at=at)
            except (InputError, VerificationError) as problem:
                outcomes[place] = problem.with_traceback(None)  # which would hold the whole batch
                continue
            index += 1
            accepted.append(one)
            pending.append(one)
            if one.stored.kind in HELD_BACK:
                view.add(facts_of(one.stored, one.entry.statement), sequence=one.entry.statement.sequence)
            else:
                self._write(connection, pending)
                pending = []
                view.clear(start=index, last=one.stored.read_leaf())
        self._write(connection, pending)
        return accepted

    def _admitted(
        self, asked: Opened, entry: SignedEntry, view: View, *, place: int, index: int, at: datetime
    ) -> _Accepted:
        if asked.submission.sealed:
            return self._sealed(asked, entry, view, place=place, index=index, at=at)
        leaf = entry.leaf_of(asked.commit)
        admitted = admit(entry, leaf, view, origin=self._origin, index=index, at=at)
        require_brought(entry.statement, self._blobs)
        stored = StoredEntry(
            origin=self._origin,
            index=index,
            leaf=leaf.to_bytes(),
            kind=entry.statement.kind,
            organisation=admitted.organisation,
            envelope=entry.envelope_bytes,
            salt=asked.submission.salt,
            seen_at=at,
            signers=admitted.signers,
        )
        if stored.kind == "notice":
            stored = replace(stored, claim=claim_digest(facts_of(stored, entry.statement), view))
        return _Accepted(place=place, entry=entry, stored=stored)

    def _sealed(
        self, asked: Opened, entry: SignedEntry, view: View, *, place: int, index: int, at: datetime
    ) -> _Accepted:
        """A leaf under the bureau's own chain, of which nobody can tell what it stands for."""
        sequence, previous = following(view.chain(self._bureau.id, origin=self._origin))
        leaf = Leaf(
            leaf_class="sealed",
            kind=SEALED_KIND,
            issuer=self._bureau.id,
            sequence=sequence,
            previous=previous,
            target=sealed_target(entry.statement.target, salt=asked.submission.salt),
            commit=asked.commit,
        )
        require_sealable(entry, view, origin=self._origin, index=index, at=at)
        admitted = admit_sealed(leaf, view, origin=self._origin, index=index, at=at)
        require_brought(entry.statement, self._blobs)
        stored = StoredEntry(
            origin=self._origin,
            index=index,
            leaf=leaf.to_bytes(),
            kind=None,
            organisation=admitted.organisation,
            envelope=asked.submission.envelope,
            salt=asked.submission.salt,
            seen_at=at,
        )
        return _Accepted(place=place, entry=entry, stored=stored)

    def _write(self, connection: Connection, pending: Sequence[_Accepted]) -> None:
        if pending:
            rows = insert_entries(connection, [one.stored for one in pending])
            replay(connection, [(row, one.stored, one.entry.statement) for row, one in zip(rows, pending, strict=True)])

    def _enter_status_map(self, connection: Connection) -> None:
        log = stored_log(connection, self._origin)
        assert log is not None
        view = DatabaseView(connection)
        if view.policy(self._origin, log.size) is None:  # the first entries of a log
            return
        sizes = {held.origin: held.size for held in stored_logs(connection)}
        status_map = StatusMap(spoken_against(connection, until=sizes))
        body = StatusMapHead(
            root=status_map.root.hex(),
            size=status_map.size,
            log_size=log.size,
            covers={origin: size for origin, size in sorted(sizes.items()) if origin != self._origin},
        )
        chain = view.chain(self._bureau.id, origin=self._origin)
        statement = compose(body, log=self._origin, issuer=self._bureau.id, chain=chain, now=self._now())
        own = opened(self._own(statement))
        assert isinstance(own.entry, SignedEntry)
        one = self._admitted(own, own.entry, view, place=-1, index=log.size, at=self._now())
        self._write(connection, [one])

    def _own(self, statement: Statement) -> Submission:
        return Submission(envelope=statement.sign(self._bureau), salt=self._random_bytes(SALT_BYTES))

    def _append_rows(self) -> None:
        with self._database.reading() as connection:
            append_rows(connection, self._log)

    def _publish(self) -> None:
        self._require_witnesses_asked()
        note = sign_next(self._log, self._signers, last_signed=self._home.last_signed, now=int(self._now().timestamp()))
        cosigned = self.cosigning.gather(note, self._log)
        self._log.publish(cosigned.note.to_bytes())
        self._record(cosigned.note.to_bytes())

    def _record(self, note: bytes) -> None:
        with self._database.writing() as connection:
            record_head(connection, self._origin, note)

    def _ask_witnesses(self) -> None:
        """Ask what they cosigned last. One that does not answer keeps nobody waiting: it would not cosign a fork."""
        answered = self.cosigning.require_nothing_newer(self._log)
        self._asked = self.cosigning
        self._restored.lift(answered)

    def _require_witnesses_asked(self) -> None:
        if self._asked is not self.cosigning or self._restored.is_there:
            self._ask_witnesses()
        self._restored.require_lifted()

    def refresh(self) -> Note:
        """Sign anew, with new times: shows readers that this log is alive. Enters a new status map if others grew.

        Raises
        ------
        VerificationError
            If the log refuses to sign.
        """
        if self._is_behind:
            self.catch_up()
        with _on_disk(self._home):
            self._require_witnesses_asked()
            self._is_behind = True
            with self._database.writing() as connection:
                if self._others_grew(connection):
                    self._enter_status_map(connection)
            self._append_rows()
            self._publish()
            self._is_behind = False
        return parse_note(self._log.tree_head())

    def _others_grew(self, connection: Connection) -> bool:
        """Whether mirrored logs have more than the newest status map covers."""
        newest = latest_entries(connection, "statusmap", most=PAGE)
        own = next((entry for _, entry in newest if entry.origin == self._origin), None)
        body = None if own is None or own.envelope is None else open_entry(own.envelope).statement.body
        covered = body.covers if isinstance(body, StatusMapHead) else {}
        others = [held for held in stored_logs(connection) if held.origin != self._origin]
        return any(held.size > covered.get(held.origin, 0) for held in others)


def _own_log(connection: Connection, home: Home) -> StoredLog:
    """The row of the registry's own log, made if there is none."""
    for held in stored_logs(connection):
        if held.own != (held.origin == home.origin):
            raise RegistryError(
                f"{home.path}: expected the database of {home.origin}, found one in which {held.origin} is "
                f"{'the own log' if held.own else 'the log of another bureau'}; check the database in registry.json, "
                "or restore it from a backup"
            )
    return add_log(connection, home.origin, own=True)


@contextmanager
def _on_disk(home: Home) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryError(
            f"{error.filename or home.path}: the disk does not take it ({error.strerror}). Nothing of this was "
            "acknowledged; check the disk and its free space, then try again: what was begun is finished first"
        ) from error
