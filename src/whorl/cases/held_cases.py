"""Cases that a bureau keeps for the people in them: one folder each, named by the id of the case.

Nobody's word is taken for an event: before it is stored, the whole chain is checked with it, by the rules by which
whoever signed it checked it, and it must follow the very event that is the last one here.
"""

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Final

from whorl.cases.case import CaseView, view_after, view_of
from whorl.cases.erasing import named_exhibits
from whorl.cases.held_desk import Desk
from whorl.cases.showing import exhibit_faults
from whorl.cases.store import DATABASE, FolderStore, create_store
from whorl.core.durable_files import sync_folder
from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.dossiers.custody import Event, Kept, open_chain
from whorl.dossiers.events import Expunged
from whorl.dossiers.file_steps import CLOCK_ALLOWANCE
from whorl.dossiers.references import references
from whorl.dossiers.state import time_of
from whorl.entries.keys import PublicKey, parse_public
from whorl.registry.database_errors import RegistryError

CASES_FOLDER: Final = "cases"
"""Below the folder of a registry."""
MOST_EVENTS: Final = 2000
MOST_CHAIN_BYTES: Final = 23 << 20
"""Of envelopes and records of one case; in a chain file, of at most 32 MiB, they are a third longer."""
MOST_AHEAD: Final = timedelta(seconds=30)
"""How far an event may lie after the bureau's clock: whoever dates one ahead takes time from whoever files next."""
_VIEWS: Final = 64


class UnknownCaseError(InputError):
    """There is no such case here."""


class HeadMovedError(VerificationError):
    """An event was made to follow another than the last one.

    Parameters
    ----------
    head : hex hash of the record that is the last one
    """

    def __init__(self, head: str, *, number: int) -> None:
        self.head = head
        super().__init__(
            f"expected an event after {head[:16]}..., number {number}, which is the last one of the case, found one "
            "after another: somebody else entered an event since; look at the case again, then give your command again"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCase:
    """A case as it stands, where its exhibits lie, and who was given a link to it."""

    view: CaseView
    store: FolderStore
    desk: Desk

    @property
    def people(self) -> Mapping[str, PublicKey]:
        """Everybody's Ed25519 key, by its hex id; after the opening was erased, the manager's alone."""
        found = {one.id: one.public_keys[0] for one in self.view.state.parties.values()}
        for tombstone in self.view.state.tombstones:
            key = parse_public(tombstone.keys[0])
            found.setdefault(key.id.hex(), key)
        return found


class HeldCases:
    """The cases of one bureau, for one process.

    Parameters
    ----------
    path : their folder; made with the first case
    now : the bureau's clock
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        self.path = path
        self._now = now
        self._writing = Lock()
        self._remembering = Lock()
        self._views: OrderedDict[str, CaseView] = OrderedDict()
        for left in path.glob(".*.partial") if path.is_dir() else ():
            shutil.rmtree(left)  # a case that was being opened at a crash, and that nobody was told of

    def open(self, first: Kept) -> HeldCase:
        """Open a case by its first event; the same event again is the same case.

        Raises
        ------
        VerificationError
            If the event does not hold, a rule refuses it, or it is not of now.
        """
        view = view_after((), first, ())
        with self._writing:
            if (self.path / view.id).exists():
                held = self.held(view.id)
                if held.view.kept[0] != first:
                    raise VerificationError("expected a new case, found one whose opening was erased; open another")
                return held
            self._require_now(first)
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = self.path / f".{token_hex(8)}.partial"
            with _storage_errors():
                create_store(partial).append(lambda _: first)
            partial.rename(self.path / view.id)
            sync_folder(self.path)
        return self.held(view.id)

    def held(self, case: str) -> HeldCase:
        """A case as it stands.

        Raises
        ------
        UnknownCaseError
            If there is none.
        VerificationError, RegistryError
            If what is kept of it was damaged, or cannot be read.
        """
        folder = self.path / case
        if len(case) != 64 or not case.isalnum() or not (folder / DATABASE).is_file():
            raise UnknownCaseError("expected a case that is kept here, found none with this id; check the address")
        store = FolderStore(folder)
        with _storage_errors():
            kept = store.kept()
        view = self._views.get(case)
        if view is not None and view.kept == kept:
            return HeldCase(view=view, store=store, desk=Desk(folder))
        held = HeldCase(view=view_of(kept), store=store, desk=Desk(folder))
        finish_erasing(held)
        self._remember(case, held.view)
        return held

    def append(self, case: str, made: Kept) -> HeldCase:
        """Add one event to a case; the same event again changes nothing.

        Raises
        ------
        HeadMovedError
            If it does not follow the last event.
        VerificationError
            If a signature, a hash or a rule does not hold, or it is not of now.
        InputError
            If it names an exhibit that is not here, or the case has no room for it.
        """
        with self._writing:
            held = self.held(case)
            before = held.view.kept
            if made in before[made.record.sequence : made.record.sequence + 1]:
                return held
            last = before[-1].record.hash.hex()
            if (made.record.sequence, made.record.previous) != (len(before), last):
                raise HeadMovedError(last, number=len(before) - 1)
            self._require_now(made, window_ends=held.view.state.reply_until)
            _require_room(before, made)
            event = open_chain([*before, made])[-1]
            erase = event.body.events if isinstance(event.body, Expunged) else ()
            view = view_after(before, made, erase)
            _require_exhibits(held, event)
            if isinstance(event.body, Expunged):
                _require_unnamed(event.body.blobs, view)

            def place(found: tuple[Kept, ...]) -> Kept:
                if found != before:
                    raise HeadMovedError(found[-1].record.hash.hex(), number=len(found) - 1)
                return made

            with _storage_errors():
                held.store.append(place, erase=erase)
        return self.held(case)

    def _remember(self, case: str, view: CaseView) -> None:
        with self._remembering:
            self._views[case] = view
            self._views.move_to_end(case)
            while len(self._views) > _VIEWS:
                self._views.popitem(last=False)

    def _require_now(self, made: Kept, *, window_ends: datetime | None = None) -> None:
        """Nobody gains or takes time by a clock of their own: what is entered here was signed now."""
        now, at = self._now(), time_of(made.record.at)
        if not -CLOCK_ALLOWANCE <= at - now <= MOST_AHEAD:
            raise VerificationError(
                f"expected an event signed at most {CLOCK_ALLOWANCE.seconds // 60} minutes before and "
                f"{MOST_AHEAD.seconds} seconds after this service's clock ({now:%Y-%m-%dT%H:%M:%SZ}), found one of "
                f"{made.record.at}; set your clock and sign it again"
            )
        if window_ends is not None and now <= window_ends < at:
            raise VerificationError(
                f"expected no event dated after the reply window, which ends at {window_ends:%Y-%m-%dT%H:%M:%SZ}, "
                f"while it lasts by this service's clock ({now:%Y-%m-%dT%H:%M:%SZ}), found one of {made.record.at}: no "
                "reply could follow it; set your clock, or wait until the window ended, and sign it again"
            )


def _require_room(before: Sequence[Kept], made: Kept) -> None:
    size = sum(len(one.envelope or b"") + 400 for one in (*before, made))
    if len(before) >= MOST_EVENTS or size > MOST_CHAIN_BYTES:
        raise InputError(
            f"expected a case of at most {MOST_EVENTS} events and {MOST_CHAIN_BYTES >> 20} MiB, found no room for "
            "another; file what is long as an exhibit"
        )


def _require_exhibits(held: HeldCase, event: Event) -> None:
    """What an event points to is there before it."""
    for one in references([event]):
        if one.required and not held.store.holds(f"sha256:{one.digest}"):
            raise InputError(f"expected the exhibit sha256:{one.digest} before the event that names it, found none")


def _require_unnamed(blobs: Sequence[str], view: CaseView) -> None:
    if kept := named_exhibits(view).intersection(blobs):
        raise InputError(f"expected only exhibits that no other event names, found {min(kept)}; leave it")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCases:
    """What a check of a bureau's cases found: where they lie, how many there are, and what is wrong with them."""

    path: Path
    counted: int
    problems: tuple[str, ...]


def check_cases(path: Path) -> CheckedCases:
    """Read every case below a bureau's folder: signatures, rules, and the exhibits that events name.

    Nothing is changed; the bureau may go on running.
    """
    folders = sorted(one for one in path.iterdir() if one.is_dir() and len(one.name) == 64) if path.is_dir() else []
    problems: list[str] = []
    for folder in folders:
        store = FolderStore(folder)
        try:
            view = view_of(store.kept())
        except WhorlError as error:
            problems.append(f"case {folder.name}: {error}")
            continue
        if view.id != folder.name:
            problems.append(f"case {folder.name}: expected that case, found {view.id} in its folder; put them back")
        problems += [f"case {folder.name}: {fault}" for fault in exhibit_faults(view, store)]
    return CheckedCases(path=path, counted=len(folders), problems=tuple(problems))


def finish_erasing(held: HeldCase) -> None:
    """Once there is a tombstone, remove what no event names: what is erased, what a crash left, what was for nothing.

    No event that names an exhibit can follow a tombstone.
    """
    tombstones = held.view.state.tombstones
    for digest in held.store.keep_only(named_exhibits(held.view)) if tombstones else ():
        held.desk.release(digest)
    if any(0 in tombstone.events for tombstone in tombstones):
        held.desk.forget()


@contextmanager
def _storage_errors() -> Iterator[None]:
    """What is wrong with the disk here is no fault of whoever asks."""
    try:
        yield
    except InputError as error:
        raise RegistryError(str(error)) from error
