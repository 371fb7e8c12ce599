"""A case on this machine: read and checked as a whole, and changed by one signed event at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from whorl.cases.store import CaseStore, FolderStore
from whorl.dossiers.custody import Event, Kept, open_chain, sign_event
from whorl.dossiers.events import Body, EventKind
from whorl.dossiers.file_steps import CLOCK_ALLOWANCE, require_past
from whorl.dossiers.proceeding import State, advance, proceed, require_allowed
from whorl.dossiers.state import time_of
from whorl.entries.keys import IssuerKey
from whorl.entries.leaf import SALT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case as it stood when it was read: every signature and every rule holds."""

    kept: tuple[Kept, ...]
    events: tuple[Event, ...]
    state: State

    @property
    def id(self) -> str:
        """Hex id of the case: the hash of its first record."""
        return self.kept[0].record.hash.hex()

    @property
    def head(self) -> str:
        """Hex hash of the last record."""
        return self.kept[-1].record.hash.hex()


class Case:
    """Where a case is kept, a clock and a source of salts.

    Parameters
    ----------
    place : its folder, or a store of another kind
    now, random_bytes : the clock that events are signed with, and where salts come from
    """

    def __init__(
        self, place: Path | CaseStore, *, now: Callable[[], datetime], random_bytes: Callable[[int], bytes]
    ) -> None:
        self.store: CaseStore = FolderStore(place) if isinstance(place, Path) else place
        self.now = now
        self.random_bytes = random_bytes

    @property
    def path(self) -> Path:
        """The folder on this machine, where the manager's line-up lies."""
        return self.store.path

    def read(self) -> CaseView:
        """Read the case and check all of it.

        Raises
        ------
        InputError
            If it cannot be read.
        VerificationError
            If a signature, a hash or a rule does not hold, or its last event lies after this machine's clock: nobody
            shortens a window by dating an event ahead.
        """
        view = view_of(self.store.kept())
        require_past(time_of(view.kept[-1].record.at), now=self.now(), what="the last event was signed at")
        self.store.checked(view.kept)
        return view

    def time_after(self, last: datetime | None) -> datetime:
        """When an event is signed that follows one of then: now.

        Where this clock is behind that event by no more than clocks may differ, it is signed at the same time: nobody
        keeps others out by dating an event ahead.

        Parameters
        ----------
        last : when the last event was signed; None where there is none
        """
        now = self.now()
        return last if last is not None and now < last <= now + CLOCK_ALLOWANCE else now

    def ready_for(self, kind: EventKind, key: IssuerKey) -> State:
        """The state, once it is seen that this person may do this now; asked before long work.

        Raises
        ------
        VerificationError
            If they may not, or the case does not hold.
        """
        state = self.read().state
        require_allowed(state, kind, key.id.hex())
        return state

    def enter(self, body: "Body", key: IssuerKey, *, erase: Sequence[int] = ()) -> CaseView:
        """Sign an event and enter it; it is on the disk when this returns.

        Parameters
        ----------
        erase : events whose content goes in the same moment

        Raises
        ------
        VerificationError
            If it is not allowed; nothing is changed then.
        """
        views = []

        def make(before: tuple[Kept, ...]) -> Kept:
            made = sign_event(
                body,
                case=before[0].record.hash if before else None,
                sequence=len(before),
                previous=before[-1].record.hash if before else None,
                key=key,
                at=self.time_after(time_of(before[-1].record.at) if before else None),
                salt=self.random_bytes(SALT_BYTES),
            )
            views.append(view_after(before, made, erase))
            return made

        self.store.append(make, erase=erase)
        return views[-1]


def view_of(kept: Sequence[Kept]) -> CaseView:
    """Check a chain and its rules."""
    events = open_chain(kept)
    return CaseView(kept=tuple(kept), events=events, state=proceed(events))


def view_after(before: Sequence[Kept], made: Kept, erase: Sequence[int]) -> CaseView:
    """The case with one more event: allowed while all is still there, and whole once the erased is gone.

    Parameters
    ----------
    erase : events whose content goes with it

    Raises
    ------
    VerificationError
        If a signature, a hash or a rule does not hold.
    """
    if not erase:
        return view_of([*before, made])
    *earlier, event = open_chain([*before, made])
    advance(proceed(earlier), event)
    return view_of([*(_erased(one, erase) for one in before), made])


def _erased(one: Kept, erase: Sequence[int]) -> Kept:
    if one.record.sequence not in erase:
        return one
    return Kept(record=one.record, envelope=None, salt=None)
