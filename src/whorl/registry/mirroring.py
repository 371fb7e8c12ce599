"""A bureau's mirror of another's log: every leaf and all content it may see, every rule checked again.

A mirror cosigns a tree head only after it holds what the tree head covers and found that it keeps the rules: that the
leaves give the root, that entries were admissible, and that the status map names everything that speaks against an
entry. So a cosignature by a mirror says more than "this log only grows", and a bureau that drops an annulment finds
nobody who cosigns its next tree head.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Final, Protocol, TypedDict

from sqlalchemy import Connection, bindparam, select

from whorl.core.errors import InputError, VerificationError
from whorl.entries.handling import may_see
from whorl.entries.kinds import KINDS, Fingerprint, StatusMapHead
from whorl.entries.leaf import Leaf, parse_leaf, require_commitment
from whorl.entries.statement import SignedEntry, Statement, open_entry
from whorl.entries.status_map import StatusMap
from whorl.fingerprints.container import MAX_BYTES
from whorl.log.files import origin_hash
from whorl.log.folder import LogFolder, create_log
from whorl.log.keys import Verifier
from whorl.log.tiles import TILE_WIDTH, TileSource, parse_bundle
from whorl.log.tree_heads import SignedTreeHead, open_tree_head
from whorl.registry.admission import (
    PUBLIC_NUMBERS,
    admit_sealed,
    candidate_of,
    place,
    require_fitting,
    require_timely,
)
from whorl.registry.blobs import BlobFolder
from whorl.registry.candidate import Candidate, standing_organisation
from whorl.registry.database import Database
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import count_of_faults, entries_of_log, faults_of_log, insert_entries
from whorl.registry.heads import newest_head, record_head
from whorl.registry.log_making import append_rows
from whorl.registry.log_rows import add_log, stored_log, stored_logs
from whorl.registry.parties import claim_digest
from whorl.registry.refusals import BREAKS, WAITS, Refusal
from whorl.registry.remembering_view import RememberingView
from whorl.registry.replaying import complete_entry, replay
from whorl.registry.spoken_against import covered_sizes, spoken_against
from whorl.registry.stored_entry import StoredEntry, visible
from whorl.registry.tables import Instant, entries
from whorl.registry.view import SPEAKING

PAGE: Final = 256
STALE: Final = timedelta(hours=1)
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOG: Final = logging.getLogger(__name__)
_NOT_FOR_HERE: Final = "it came to this bureau, which is not among those who may see it,"
NOT_SHOWN: Final = "its content was erased, or is not shown to this bureau"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an entry says, as a peer gives it: the envelope and the salt of its leaf."""

    envelope: bytes
    salt: bytes


class Peer(Protocol):
    """Another bureau: its log, and the content of its entries as far as this bureau may see it."""

    @property
    def log(self) -> TileSource:
        """Its log, as it is served."""

    def blob(self, digest: str) -> bytes:
        """What an entry points to. Raises `InputError` where there is none, or it is not shown."""

    def contents(self, start: int, stop: int) -> Sequence[Content | None]:
        """Contents of entries ``start`` to ``stop`` - 1; None where there is none or it is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A log that this bureau mirrors, and the bureau it is fetched from."""

    mirror: "Mirror"
    peer: Peer


class _Where(TypedDict):
    """Where and when an entry is judged."""

    origin: str
    index: int
    at: datetime
    replaying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """How much was read: as long as this stays the same, what waits waits on.

    Parameters
    ----------
    sizes : of all logs, by their numbers
    waiting : how many entries wait, in all of them: fewer, once one counts for which others may wait
    """

    sizes: tuple[tuple[int, int], ...]
    waiting: int


class MirrorError(VerificationError):
    """Another bureau's log breaks a rule that its mirrors check; it is not cosigned."""


class _NotForHereError(InputError):
    """An entry came here that this bureau may not see."""


class BehindError(InputError):
    """A status map covers more of a third log than this bureau holds; it is checked once that is here."""

    def __init__(self, problem: str, *, origin: str) -> None:
        self.origin = origin
        super().__init__(problem)


class Mirror:
    """Follows one log of another bureau.

    Parameters
    ----------
    folder : where the mirrored log is kept
    blobs : where the fingerprints are kept that its entries point to
    origin, log_keys : the log and the keys of its tree heads
    own_origin : this bureau's own log, by which handling labels name it
    now : this bureau's clock
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        blobs: BlobFolder,
        *,
        origin: str,
        log_keys: Sequence[Verifier],
        own_origin: str,
        now: Callable[[], datetime],
    ) -> None:
        self._looked_at = _LONG_AGO
        self._tried: _Read | None = None
        self._lock = Lock()  # requests of witnesses and the regular look come at the same time
        self._database = database
        self._blobs = blobs
        self._origin = origin
        self._log_keys = tuple(log_keys)
        self._own_origin = own_origin
        self._now = now
        place = folder / origin_hash(origin)[:32]
        with database.writing() as connection:
            add_log(connection, origin, own=False)
        self.log = LogFolder(place, origin=origin) if (place / "state").exists() else create_log(place, origin=origin)
        self._catch_up()

    def pull(self, peer: Peer, *, note: bytes | None = None) -> SignedTreeHead:
        """Fetch what is new under a tree head, check it, and hold it.

        Parameters
        ----------
        note : a tree head that the log asks to be cosigned; None for the one it publishes

        Raises
        ------
        MirrorError
            If the log breaks a rule; what was fetched is held, and the tree head is not recorded.
        BehindError
            If a third log has to be looked at first.
        VerificationError, InputError
            If the tree head is not the log's, or something cannot be had.
        """
        with self._lock:
            begun = self._now()
            head = self._pull(peer, note)
            self._looked_at = begun
            return head

    def _pull(self, peer: Peer, note: bytes | None) -> SignedTreeHead:
        head = open_tree_head(note or peer.log.tree_head(), origin=self._origin, log_keys=self._log_keys)
        size = self._size()
        grown = size < head.head.size
        while size < head.head.size:
            stop = min(head.head.size, size - size % PAGE + PAGE)
            leaves = self._leaves(peer.log, size, stop, head.head.size)
            if stop == head.head.size:
                self._require_root(head, self.log.root_with(leaves))
            wanted = self._take(leaves, peer.contents(size, stop), start=size)
            self._fetch(wanted, peer)
            size = stop
        state = self.log.state()
        if state.size == head.head.size:
            self._require_root(head, state.root)
        self._try_again()
        self._require_honest_map(head, asked=note is not None and grown)
        self._record(head.note.to_bytes())
        if note is None:
            self.log.publish(head.note.to_bytes())
        return head

    def _record(self, note: bytes) -> None:
        """Store the tree head, unless it is the newest one already: nobody waits for a look that finds nothing new."""
        with self._database.reading() as connection:
            known = newest_head(connection, self._origin)
        if known != note:
            with self._database.writing() as connection:
                record_head(connection, self._origin, note)

    def _catch_up(self) -> None:
        """Rows are written before the log: after a crash, the log gets those that it lacks."""
        self.log.recover()
        with self._database.reading() as connection:
            append_rows(connection, self.log)

    def _size(self) -> int:
        with self._database.reading() as connection:
            log = stored_log(connection, self._origin)
        assert log is not None
        return log.size

    def _leaves(self, source: TileSource, start: int, stop: int, size: int) -> list[bytes]:
        index = start // TILE_WIDTH
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        leaves = parse_bundle(source.bundle(index, width), width=width)
        return list(leaves[start - index * TILE_WIDTH : stop - index * TILE_WIDTH])

    def _fetch(self, wanted: Sequence[str], peer: Peer) -> None:
        """Hold the fingerprints that entries point to, for search here; one that cannot be had holds up nothing."""
        for digest in wanted:
            if self._blobs.holds(digest):
                continue
            try:
                self._blobs.put([peer.blob(digest)], max_bytes=MAX_BYTES, expected=digest)
            except (InputError, VerificationError, OSError) as problem:
                _LOG.warning("%s: blob %s was not mirrored: %s", self._origin, digest, problem)

    def _take(self, leaves: Sequence[bytes], contents: Sequence[Content | None], *, start: int) -> list[str]:
        if len(contents) != len(leaves):
            raise InputError(f"{self._origin}: expected the content of {len(leaves)} entries, found {len(contents)}")
        wanted: list[str] = []
        with self._database.writing() as connection:
            for index, (data, content) in enumerate(zip(leaves, contents, strict=True), start):
                stored, entry = self._checked(connection, data, content, index)
                (row,) = insert_entries(connection, [stored])
                if entry is not None and stored.fault is None:
                    replay(connection, [(row, stored, entry.statement)])
                    if isinstance(entry.statement.body, Fingerprint):
                        wanted.append(entry.statement.body.blob)
        self.log.append(leaves)
        return wanted

    def _checked(
        self, connection: Connection, data: bytes, content: Content | None, index: int
    ) -> tuple[StoredEntry, SignedEntry | None]:
        """An entry with what is wrong with it; one that breaks the rules is held, and counts for nothing."""
        # By the look before this one, the entry was surely not there: no key had expired later than that.
        where: _Where = {"origin": self._origin, "index": index, "at": self._looked_at, "replaying": True}
        stored = StoredEntry(
            origin=self._origin,
            index=index,
            leaf=data,
            kind=None,
            organisation=None,
            envelope=None,
            salt=None,
            seen_at=self._now(),
        )
        view = DatabaseView(connection)
        try:
            leaf = parse_leaf(data)
            if leaf.leaf_class == "sealed":
                return self._sealed(stored, leaf, view, where), None
            if content is None:
                self._require_may_be_hidden(leaf, index)
                return self._hidden(stored, leaf, view, NOT_SHOWN), None
            entry = self._opened(leaf, content)
            placed = place(entry, leaf, view, **where)
        except _NotForHereError as problem:
            return self._hidden(stored, parse_leaf(data), view, str(problem)), None
        except InputError as problem:
            return replace(self._by_leaf(stored, view), fault=f"{BREAKS}{problem}"[:500]), None
        stored = replace(
            stored,
            kind=entry.statement.kind,
            organisation=placed.admitted.organisation,
            signers=placed.admitted.signers,
        )
        if placed.candidate is not None:
            try:
                require_timely(placed.candidate)
            except Refusal as problem:
                return self._faulty(stored, content, problem), None
        return self._judged(stored, content, entry, placed.candidate, view)

    def _judged(
        self, stored: StoredEntry, content: Content, entry: SignedEntry, candidate: Candidate | None, view: DatabaseView
    ) -> tuple[StoredEntry, SignedEntry | None]:
        """An entry that keeps the rules of its own log, by the rules that look at other entries."""
        try:
            if candidate is not None:
                require_fitting(candidate)
        except Refusal as problem:
            return self._faulty(stored, content, problem), entry
        stored = replace(stored, envelope=content.envelope, salt=content.salt, fault=None)
        if stored.kind == "notice":
            stored = replace(stored, claim=claim_digest(facts_of(stored, entry.statement), view))
        return stored, entry

    def _faulty(self, stored: StoredEntry, content: Content, problem: Refusal) -> StoredEntry:
        """An entry that does not count; with its content, where that is asked for later or the status map needs it."""
        if problem.may_pass_later:
            fault = f"{WAITS}: {problem}" if problem.is_certain else f"{WAITS}, or is not admissible: {problem}"
        else:
            fault = f"{BREAKS}{problem}" if problem.is_certain else str(problem)
        kept = problem.may_pass_later or stored.kind in SPEAKING
        return replace(
            stored,
            envelope=content.envelope if kept else None,
            salt=content.salt if kept else None,
            fault=fault[:500],
        )

    def _try_again(self) -> None:
        """Look again at entries that spoke of others which were not here yet, if something was read since.

        The rules of its own log an entry has kept: they are not asked again, for keys may have been revoked since.
        """
        with self._database.reading() as connection:
            held = stored_logs(connection)
            read = _Read(
                sizes=tuple((log.id, log.size) for log in held),
                waiting=sum(count_of_faults(connection, log.id, WAITS) for log in held),
            )
            if read == self._tried:
                return
            (number,) = (log.id for log in held if log.origin == self._origin)
            waiting = sorted(faults_of_log(connection, number, WAITS))
        for first in range(0, len(waiting), PAGE):
            page = waiting[first : first + PAGE]
            with self._database.reading() as connection:
                view = RememberingView(connection)
                changed = (index for index in page if self._tried_again(connection, index, view) is not None)
                start = next(changed, None)
            if start is not None:
                self._complete(index for index in page if index >= start)
        self._tried = read

    def _complete(self, waiting: Iterable[int]) -> None:
        with self._database.writing() as connection:
            view = DatabaseView(connection)
            for index in waiting:
                found = self._tried_again(connection, index, view)
                if found is not None:
                    complete_entry(connection, *found)

    def _tried_again(
        self, connection: Connection, index: int, view: DatabaseView
    ) -> tuple[StoredEntry, Statement] | None:
        """What an entry that waits is found to be now; None if nothing about it changed, or it was erased."""
        (held,) = entries_of_log(connection, self._origin, start=index, stop=index + 1)
        if held.envelope is None or held.salt is None:
            return None
        where: _Where = {"origin": self._origin, "index": index, "at": self._looked_at, "replaying": True}
        content, entry = Content(envelope=held.envelope, salt=held.salt), open_entry(held.envelope)
        candidate = candidate_of(entry, held.read_leaf(), view, **where)
        stored, _ = self._judged(held, content, entry, candidate, view)
        same = held.fault is not None and stored.fault is not None and visible(stored.fault) == held.fault
        return None if same else (stored, entry.statement)

    def _sealed(self, stored: StoredEntry, leaf: Leaf, view: DatabaseView, where: _Where) -> StoredEntry:
        try:
            return replace(stored, organisation=admit_sealed(leaf, view, **where).organisation)
        except Refusal as problem:
            if problem.is_certain:
                return replace(stored, fault=f"{BREAKS}{problem}"[:500])
            return self._hidden(stored, leaf, view, str(problem))

    def _hidden(self, stored: StoredEntry, leaf: Leaf, view: DatabaseView, fault: str) -> StoredEntry:
        """An entry that does not count here, though no rule shows that its bureau broke one.

        Its leaf alone shows that it stands in the chain of a key of this log; if it does not, that is the fault.
        """
        found = self._by_leaf(stored, view)
        if found.organisation is None:
            problem = (
                f"expected a leaf in the chain of a key in force of this log, found number {leaf.sequence} of another"
            )
            return replace(stored, fault=f"{BREAKS}{problem}")
        return replace(found, fault=fault[:500])

    def _by_leaf(self, stored: StoredEntry, view: DatabaseView) -> StoredEntry:
        """With what the leaf shows, if it stands in the log: then it can be spoken of, whatever it says."""
        try:
            leaf = stored.read_leaf()
        except InputError:
            return stored
        kind = KINDS.get(leaf.kind)
        if kind is None and leaf.leaf_class == "public":
            return stored
        organisation = standing_organisation(leaf, view, origin=self._origin, index=stored.index)
        return stored if organisation is None else replace(stored, kind=kind, organisation=organisation)

    def _require_may_be_hidden(self, leaf: Leaf, index: int) -> None:
        """Nothing of the page is held then, so that the content can come at a later look."""
        if leaf.kind in PUBLIC_NUMBERS:
            raise MirrorError(
                f"{self._origin}: it does not show the content of entry {index}, of kind {KINDS[leaf.kind]}, by which "
                "others are judged; expected that everybody may see it. No tree head that has it is cosigned"
            )

    def _opened(self, leaf: Leaf, content: Content) -> SignedEntry:
        try:
            require_commitment(leaf, content.envelope, salt=content.salt)
        except VerificationError as problem:  # nothing of the page is held: the right content may come later
            raise MirrorError(f"{self._origin}: {problem}") from problem
        entry = open_entry(content.envelope)
        handling = entry.statement.handling
        if not may_see(handling, reader=self._own_origin, issuer=entry.statement.issuer.hex(), is_bureau=True):
            raise _NotForHereError(f"{_NOT_FOR_HERE} and was not kept")
        return entry

    def _require_root(self, head: SignedTreeHead, root: bytes) -> None:
        if root != head.head.root:
            raise MirrorError(
                f"{self._origin}: the entries that it serves do not give the root of its tree head of size "
                f"{head.head.size}: it shows this bureau another log than it signs"
            )

    def _require_honest_map(self, head: SignedTreeHead, *, asked: bool) -> None:
        """The newest status map names all that speaks against an entry, in as much of the logs as it must cover.

        Parameters
        ----------
        asked : whether the log asks for a cosignature on new entries, so that the map must be of now
        """
        with self._database.reading() as connection:
            found = _last_map(connection, self._origin, head.head.size)
            if found is None:
                if DatabaseView(connection).policy(self._origin, head.head.size) is None:
                    return  # the first entries of a log; what has no status map proves nobody's standing
                raise MirrorError(
                    f"{self._origin}: expected a status map as the last of the {head.head.size} entries of its tree "
                    "head, found none that counts; it is not cosigned"
                )
            index, body, stated = found
            if asked and self._now() - stated > STALE:
                raise MirrorError(
                    f"{self._origin}: its newest status map states the time {stated:%Y-%m-%d %H:%M:%S} UTC; expected "
                    "one of the last hour: it may leave out what others entered since"
                )
            if body.log_size != index:
                raise MirrorError(
                    f"{self._origin}: its status map at index {index} covers {body.log_size} entries; expected all "
                    "before it"
                )
            sizes = covered_sizes(self._origin, body)
            for origin, size in self._due(connection, stated).items():
                if sizes.get(origin, 0) < size:
                    raise MirrorError(
                        f"{self._origin}: its status map covers {sizes.get(origin, 0)} entries of {origin}; expected "
                        f"at least {size}, which were there an hour before: it leaves out what others entered"
                    )
            for origin, size in sizes.items():
                log = stored_log(connection, origin)
                if log is None or log.size < size:
                    raise BehindError(
                        f"{self._origin}: its status map covers {size} entries of {origin}, of which this bureau holds "
                        f"{0 if log is None else log.size}; it is cosigned once they are here",
                        origin=origin,
                    )
            self._require_admissible(connection, head.head.size)
            expected = StatusMap(spoken_against(connection, until=sizes))
        if (expected.root.hex(), expected.size) != (body.root, body.size):
            raise MirrorError(
                f"{self._origin}: the status map at index {index} is not the one that follows from the entries: "
                f"expected {expected.size - 2} entries that something speaks against, found {body.size - 2} or others. "
                "It hides an annulment or a dispute, or invents one; its tree head is not cosigned"
            )

    def _require_admissible(self, connection: Connection, size: int) -> None:
        """No entry breaks a rule, now that as much of the other logs is here as the bureau had itself."""
        log = stored_log(connection, self._origin)
        assert log is not None
        for begins in (BREAKS, f"{WAITS}:"):
            faults = faults_of_log(connection, log.id, begins)
            index = min((one for one in faults if one < size), default=None)
            if index is not None:
                raise MirrorError(
                    f"{self._origin}: entry {index} of its log is not admissible ({faults[index]}); no bureau that "
                    "keeps the rules enters it, and no tree head that has it is cosigned"
                )

    def _due(self, connection: Connection, stated: datetime) -> dict[str, int]:
        """Sizes of this bureau's own log that the other bureau could not but know: entered an hour before its map."""
        log = stored_log(connection, self._own_origin)
        if log is None:
            return {}
        sought = {"log": log.id, "at": stated - STALE}
        row = connection.execute(_LAST_SEEN_BY, sought).first()
        return {} if row is None else {self._own_origin: row.idx + 1}


_LAST_SEEN_BY: Final = (
    select(entries.c.idx)
    .where(entries.c.log == bindparam("log"), entries.c.seen_at <= bindparam("at", type_=Instant))
    .order_by(entries.c.idx.desc())
    .limit(1)
)


def pull_all(origin: str, followed: "Mapping[str, Followed]", *, note: bytes | None = None) -> SignedTreeHead:
    """`Mirror.pull`, after looking at other logs as far as its status map covers more of them than is held.

    Raises
    ------
    MirrorError, VerificationError, InputError
        As `Mirror.pull`.
    """
    one = followed[origin]
    for _ in followed:
        try:
            return one.mirror.pull(one.peer, note=note)
        except BehindError as problem:
            other = followed.get(problem.origin)
            if other is None or other is one:
                raise
            try:
                other.mirror.pull(other.peer)
            except BehindError:
                _LOG.debug("%s is behind too", problem.origin)
    return one.mirror.pull(one.peer, note=note)


def _last_map(connection: Connection, origin: str, size: int) -> tuple[int, StatusMapHead, datetime] | None:
    """The newest status map of a log below a size: its index, what it says, and the time that it states."""
    last = next(iter(entries_of_log(connection, origin, start=size - 1, stop=size)), None) if size else None
    if last is None or last.envelope is None or last.fault is not None or last.kind != "statusmap":
        return None
    statement = open_entry(last.envelope).statement
    if not isinstance(statement.body, StatusMapHead):
        return None
    return last.index, statement.body, statement.issued_at
