"""What a registry holds, entered once more from the first entry on into a database of its own, and compared.

Whoever checks a registry trusts nothing that was derived: neither the tables of keys and names, nor the columns that
say who signed. So every entry is admitted again by the rules, under what was known before it, and all that follows is
made anew. The database for that is SQLite's private kind: one file without a name, gone when it is closed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress
from whorl.entries.kinds import KINDS, StatusMapHead
from whorl.entries.leaf import parse_leaf, sealed_target
from whorl.entries.statement import SignedEntry, open_entry
from whorl.registry.admission import admit, admit_sealed, require_sealable
from whorl.registry.candidate import require_next_in_chain
from whorl.registry.database_errors import translated
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import PAGE, insert_entries
from whorl.registry.log_rows import add_log, stored_logs
from whorl.registry.parties import claim_digest
from whorl.registry.pending_view import HELD_BACK, PendingView
from whorl.registry.refusals import Code, Refusal
from whorl.registry.replaying import replay
from whorl.registry.scratch_database import first_difference
from whorl.registry.status_maps_again import StatusMapsAgain
from whorl.registry.stored_entry import StoredEntry, read_row
from whorl.registry.tables import DERIVED, entries, logs

Note = Callable[[str, str], None]
"""Takes a place and what is wrong there."""

_BATCH: Final = 256
_ALL: Final = (
    select(entries, logs.c.origin)
    .join_from(entries, logs)
    .where(entries.c.id > bindparam("after"))
    .order_by(entries.c.id)
    .limit(PAGE)
)
_OF_ITSELF: Final[frozenset[Code]] = frozenset(
    {
        "leaf_mismatch",
        "unknown_issuer",
        "malformed_key",
        "bad_signature",
        "missing_signature",
        "too_few_roots",
        "key_expired",
        "key_revoked",
        "role",
        "wrong_log",
        "replay",
        "equivocation",
        "wrong_previous",
        "gap",
        "from_the_future",
        "no_policy",
        "not_the_bureau",
        "wrong_policy",
        "wrong_status_map",
        "sealed_chain",
        "sealed_kind",
    }
)
"""Refusals for what the entry, its issuer and the own log say, none of which can be erased or come late."""
_RESTORE: Final = "restore the database from a backup, or take the entry from a bureau that mirrors this log"


class _StopError(Exception):
    """What comes after cannot be told again."""


@dataclass(slots=True)
class Told:
    """How much was told again.

    Parameters
    ----------
    unjudged : entries that now look inadmissible for what other entries say, some of which were erased, or came from
        other logs and perhaps late
    maps, maps_skipped : status maps that were compared, and those that were not: too much work, or as above
    """

    own: int = 0
    mirrored: int = 0
    sealed: int = 0
    erased: int = 0
    unjudged: int = 0
    maps: int = 0
    maps_skipped: int = 0

    @property
    def is_as_it_was(self) -> bool:
        """Whether all that was known when an entry was admitted is known now, and nothing else."""
        return not self.erased and not self.mirrored


class History:
    """Tells the entries of a registry again.

    Parameters
    ----------
    stored : the registry's database, in a reading transaction
    own : origin of the registry's own log
    leaves : the leaves of the own log, from the first on; None where one cannot be read
    last_map : index of the newest status map in the own log; None where there is none
    saw : told of each row's origin and leaf, in order
    note : told what is wrong
    """

    def __init__(
        self,
        stored: Connection,
        scratch: Connection,
        *,
        own: str,
        leaves: Iterator[bytes | None],
        last_map: int | None,
        saw: Callable[[str, bytes], None],
        note: Note,
        progress: Progress,
    ) -> None:
        self.told = Told()
        self._stored = stored
        self._scratch = scratch
        self._own = own
        self._leaves = leaves
        self._last_map = last_map
        self._saw = saw
        self._note = note
        self._progress = progress
        self._view = PendingView(DatabaseView(scratch), origin=own, start=0)
        self._pending: list[tuple[int, StoredEntry, SignedEntry | None]] = []
        self._sizes: dict[str, int] = {}
        self._count = 0
        self._maps = StatusMapsAgain(scratch, own)

    def tell(self) -> bool:
        """Tell all entries again; whether it came to the end, so that `compare_derived` makes sense."""
        held = stored_logs(self._stored)
        for log in held:
            add_log(self._scratch, log.origin, own=log.own)
            self._sizes[log.origin] = 0
        total = sum(log.size for log in held)
        try:
            for row in _rows(self._stored):
                self._take(row)
                self._progress("entries checked", self._count, total)
            self._write()
        except _StopError:
            return False
        for log in held:
            if self._sizes[log.origin] != log.size:
                self._note(
                    f"table logs, {log.origin}",
                    f"says that {log.size} entries are stored, found {self._sizes[log.origin]}; {_RESTORE}",
                )
        return True

    def compare_derived(self) -> None:
        """Hold the derived tables against those that followed now."""
        for table in DERIVED:
            difference = first_difference(self._stored, self._scratch, table)
            if difference is not None:
                self._note(
                    f"table {table.name}",
                    f"is not what follows from the entries, first at {difference}; restore a backup, which makes it "
                    "anew",
                )

    def _take(self, row: Row[Any]) -> None:
        place = f"entry {row.idx} of {row.origin}"
        if row.idx != self._sizes.get(row.origin) or row.id != self._count + 1:
            self._note(
                place,
                f"is not the next one: rows are missing or were renumbered, and no later one was looked at; {_RESTORE}",
            )
            raise _StopError
        leaf = next(self._leaves, None) if row.origin == self._own else None
        if leaf is not None and leaf != row.leaf:
            self._note(place, f"has another leaf in the database than in the log; {_RESTORE}")
        try:
            entry = read_row(row)
            signed = None if entry.envelope is None else open_entry(entry.envelope)
        except InputError as error:
            self._note(place, str(error))
            entry, signed = _bare(row, leaf), None
            self._count_row(entry)
        else:
            self._count_row(entry)
            if row.origin == self._own:
                self._check_own(entry, signed, place)
        self._hold(row.id, entry, signed)

    def _count_row(self, entry: StoredEntry) -> None:
        self._sizes[entry.origin] += 1
        self._count += 1
        if entry.origin == self._own:
            self.told.own += 1
        else:
            self.told.mirrored += 1
        self._saw(entry.origin, entry.leaf)

    def _check_own(self, entry: StoredEntry, signed: SignedEntry | None, place: str) -> None:
        """Admit an entry again, and compare what the row says of it."""
        if entry.fault is not None:
            self._note(place, f"counts for nothing, though this bureau took it ({entry.fault}); {_RESTORE}")
            return
        try:
            expected = self._admitted(entry, signed)
        except (InputError, VerificationError) as problem:
            if isinstance(problem, Refusal) and problem.code not in _OF_ITSELF and not self.told.is_as_it_was:
                self.told.unjudged += 1
            else:
                self._note(place, f"breaks a rule of admission: {problem}")
            return
        if expected != entry:
            names = [
                name for name in ("organisation", "signers", "claim") if getattr(expected, name) != getattr(entry, name)
            ]
            self._note(place, f"has another {' and '.join(names)} than follows from its envelope; {_RESTORE}")
        if signed is not None and isinstance(signed.statement.body, StatusMapHead) and entry.kind == "statusmap":
            self._check_map(entry.index, signed.statement.body, place)

    def _admitted(self, entry: StoredEntry, signed: SignedEntry | None) -> StoredEntry:
        leaf = entry.read_leaf()
        where: Any = {"origin": entry.origin, "index": entry.index, "at": entry.seen_at}
        if signed is None and entry.erased_at is None:
            raise VerificationError(f"its content is missing, though it was not erased; {_RESTORE}")
        self.told.erased += signed is None
        if leaf.leaf_class == "sealed":
            self.told.sealed += 1
            if signed is not None:
                require_sealable(signed, self._view, **where)
                if entry.salt is None or leaf.target != sealed_target(signed.statement.target, salt=entry.salt):
                    raise VerificationError(f"its leaf speaks of another entry than what is sealed; {_RESTORE}")
            admitted = admit_sealed(leaf, self._view, **where)
            return replace(entry, organisation=admitted.organisation) if entry.kind is None else entry
        if signed is None:
            require_next_in_chain(leaf, None, self._view, origin=entry.origin, replaying=False)
            return entry
        admitted = admit(signed, leaf, self._view, **where)
        expected = replace(entry, organisation=admitted.organisation, signers=admitted.signers)
        accused = self._view.entry(leaf.target) if entry.kind == "notice" else None
        if accused is not None and accused.statement is not None:  # or it was erased since: the claim stays
            claim = claim_digest(facts_of(expected, signed.statement), self._view)
            expected = replace(expected, claim=claim)
        return expected

    def _check_map(self, index: int, body: StatusMapHead, place: str) -> None:
        self._write()
        if body.log_size != index:
            self._note(place, f"is a status map of {body.log_size} entries; expected all {index} before it")
        found = self._maps.made_again(body, self._sizes | {self._own: index}, must=index == self._last_map)
        differs = found != (body.root, body.size)
        if found is None or (differs and index != self._last_map and not self.told.is_as_it_was):
            self.told.maps_skipped += 1
            return
        self.told.maps += 1
        if differs:
            self._note(
                place,
                "is a status map that does not follow from the entries before it: one of them was "
                "altered, or the map was wrong when it was signed; compare with a mirror of this log",
            )

    def _hold(self, number: int, entry: StoredEntry, signed: SignedEntry | None) -> None:
        self._maps.watch(entry, signed)
        self._pending.append((number, entry, signed))
        if entry.kind not in HELD_BACK or signed is None or entry.fault is not None or len(self._pending) >= _BATCH:
            self._write()
        else:
            self._view.add(facts_of(entry, signed.statement), sequence=signed.statement.sequence)

    def _write(self) -> None:
        counting = [
            (number, entry, signed.statement)
            for number, entry, signed in self._pending
            if signed is not None and entry.fault is None
        ]
        try:
            with translated("it"):
                insert_entries(self._scratch, [entry for _, entry, _ in self._pending])
                replay(self._scratch, counting)
        except (InputError, ValueError) as error:
            last = self._pending[-1][1]
            self._note(
                f"entry {last.index} of {last.origin}",
                f"or one shortly before contradicts the entries before it ({error}); no later one was looked at",
            )
            raise _StopError from error
        self._pending = []
        self._view.clear(start=self._sizes[self._own])


def _bare(row: Row[Any], leaf: bytes | None) -> StoredEntry:
    """An entry whose row cannot be read, with nothing but its leaf as the log has it."""
    if leaf is None:
        raise _StopError
    return StoredEntry(
        origin=row.origin,
        index=row.idx,
        leaf=leaf,
        kind=KINDS.get(parse_leaf(leaf).kind),
        organisation=None,
        envelope=None,
        salt=None,
        seen_at=row.seen_at,
    )


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    after = 0
    while rows := connection.execute(_ALL, {"after": after}).all():
        yield from rows
        after = rows[-1].id
