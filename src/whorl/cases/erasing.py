"""Expungement: the content of events is erased, their records stay, and a tombstone says so.

What was said is gone once envelope and salt are: the record's commitment tells nobody anything without the salt. SQLite
overwrites what it deletes and the file is written anew; what a disk or a backup still holds is beyond this program.
"""

from collections.abc import Sequence
from typing import Final

from whorl.cases.case import Case, CaseView
from whorl.cases.line_up import forget_dealt
from whorl.core.errors import InputError
from whorl.dossiers.events import Acquired, Analysed, ErasureGround, EventKind, Expunged, Frozen, Opined, Replicated
from whorl.entries.keys import IssuerKey, encode_public

_NAMING_THE_LINE_UP: Final[frozenset[EventKind]] = frozenset({"opened", "frozen", "unblinded"})
"""Whoever wants one of these forgotten wants the file forgotten that says the same."""


def expunge(case: Case, key: IssuerKey, *, ground: ErasureGround, events: Sequence[int] | None = None) -> CaseView:
    """Erase events for good: their envelopes and salts, and the exhibits that no other event names or none ever named.

    A tombstone says so. With the opening, the protocol or the code key the manager's file of the line-up goes too.

    Parameters
    ----------
    events : their numbers; left out, all that are there but tombstones
    """
    view = case.read()
    _finish(case, view)
    there = [event for event in view.events if event.body is not None and event.record.kind != "expunged"]
    numbers = [event.record.sequence for event in there] if events is None else sorted(set(events))
    if unknown := set(numbers) - {event.record.sequence for event in there}:
        raise InputError(f"expected events that are still there and no tombstones, found number {min(unknown)}")
    if not numbers:
        raise InputError(f"{case.path}: expected something to erase, found nothing left")
    staying = {blob for event in there if event.record.sequence not in numbers for blob in _blobs(event.body)}
    going = {blob for event in there if event.record.sequence in numbers for blob in _blobs(event.body)} - staying
    body = Expunged(
        events=tuple(numbers),
        blobs=tuple(sorted(going)),
        ground=ground,
        void=view.state.void,
        keys=tuple(map(encode_public, key.public_keys)),
    )
    after = case.enter(body, key, erase=numbers)
    _finish(case, after)
    return after


def _finish(case: Case, view: CaseView) -> None:
    """Remove what tombstones say is gone; what a crash left is removed when somebody next erases."""
    state = view.state
    if state.tombstones:
        case.store.keep_only(named_exhibits(view))
    for tombstone in state.tombstones:
        if any(state.kinds[number] in _NAMING_THE_LINE_UP for number in tombstone.events):
            forget_dealt(case.path)


def named_exhibits(view: CaseView) -> frozenset[str]:
    """Digests of all exhibits that an event names which is still there."""
    return frozenset(blob for event in view.events for blob in _blobs(event.body))


def _blobs(body: object) -> set[str]:
    """Exhibits that an event names."""
    match body:
        case Acquired(blob=str(blob)):
            return {blob}
        case Frozen(protocol=protocol, receipt=receipt):
            return {*protocol.populations} | ({receipt} if receipt is not None else set())
        case Replicated(findings=findings):
            return {digest for one in findings for digest in (one.document, one.recomputed)}
        case Analysed(document=document) | Opined(document=document):
            return {document}
        case _:
            return set()
