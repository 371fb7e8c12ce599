"""Steps 5 to 7: the chain of events, the rules of the proceeding, and that nothing is left out or slipped in."""

from collections.abc import Mapping, Sequence
from typing import Final

from whorl.core.errors import VerificationError
from whorl.dossiers.archive import Measured
from whorl.dossiers.custody import Event, open_chain, parse_chain
from whorl.dossiers.events import Acquired
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed
from whorl.dossiers.file_steps import require_past
from whorl.dossiers.hearing import caveats, hearing_text, signed_by_sides, signed_text
from whorl.dossiers.layout import CUSTODY, FileKind, address_of, place_of
from whorl.dossiers.proceeding import proceed
from whorl.dossiers.references import (
    Reference,
    erased_blobs,
    opinion_in_force,
    references,
)
from whorl.entries.kinds import parse_instant

MAX_CUSTODY_BYTES: Final = 32 << 20
_NAMED_KINDS: Final[tuple[FileKind, ...]] = ("exhibit", "finding", "population", "opinion")
"""Kinds of file of which every one must be named by an event. Receipts are asked about in step 10."""


def custody_step(examination: Examination) -> Found:
    """The chain holds, and is that of the case that the root and the reader name."""
    kept = parse_chain(examination.dossier.read(CUSTODY, most=MAX_CUSTODY_BYTES))
    events = open_chain(kept)
    case, head = kept[0].record.hash.hex(), kept[-1].record.hash.hex()
    if examination.case not in (None, case):
        raise VerificationError(
            f"expected a dossier of the case {examination.case}, found one of the case {case}: it is of something else"
        )
    if examination.root is not None:
        stated = examination.root.predicate
        if (stated.case, stated.head, stated.events) != (case, head, len(events)):
            raise VerificationError(
                f"expected the chain that the root states (case {stated.case[:16]}..., {stated.events} events, head "
                f"{stated.head[:16]}...), found case {case[:16]}..., {len(events)} events, head {head[:16]}...: events "
                "were left out or added, or the chain is of another case"
            )
    examination.kept, examination.events = kept, events
    whose = "" if examination.case is None else ", which you expect"
    signed = signed_by_sides(events)
    reach = f"; {signed_text(signed)}" if signed else ""
    return Passed(
        f"{len(events)} events of case {case}{whose}, each signed by its actor and bound to the one before{reach}"
    )


def proceeding_step(examination: Examination) -> Found:
    """Every event was allowed when it came, by whom it came from; the times are possible; the manager issued it."""
    events = examination.events
    if events is None:
        return NotChecked("the chain could not be read, see step 5")
    last = events[-1].record.at
    require_past(parse_instant(last), now=examination.now, what="the last event was signed at")
    examination.state = proceed(events)
    unsettled = "".join(f"; {one}" for one in caveats(examination.state))
    root = examination.root
    if root is None:
        return NotChecked(
            f"every event was allowed when it came, stage {examination.state.stage}{unsettled}; who issued the dossier "
            "is not established, see step 4"
        )
    if root.predicate.built_at < last:  # one spelling of UTC: they compare as text
        raise VerificationError(
            f"expected a dossier that was built after its last event ({last}), found one built at "
            f"{root.predicate.built_at}: a clock was turned back"
        )
    if root.issuer.hex() != examination.state.manager:
        raise VerificationError(
            f"expected a dossier signed by the manager of the case, found one signed by key "
            f"{root.issuer.hex()[:16]}...: it was signed anew by somebody else"
        )
    if root.predicate.opinion != opinion_in_force(events):
        raise VerificationError(
            f"expected a root that names the opinion in force ({opinion_in_force(events)}), found it name "
            f"{root.predicate.opinion}"
        )
    state = examination.state
    failed = state.failed_controls
    void = f"; the run is void, nothing in it counts: {failed[0] if failed else 'a tombstone says so'}"
    return Passed(
        f"every event was allowed when it came; stage {state.stage}; issued by the case's manager"
        f"{void if state.void else ''}{unsettled}; {hearing_text(state, now=examination.now)}"
    )


def completeness_step(examination: Examination) -> Found:
    """Every file that an event names is here or was erased, every file here is named, and no erased one is back."""
    events = examination.events
    if events is None:
        return NotChecked("the chain could not be read, see step 5")
    payload = examination.dossier.payload
    _require_addresses(payload)
    blobs = erased_blobs(events)
    named = tuple(references(events))
    for path in sorted(payload):
        if payload[path].digest in blobs:
            raise VerificationError(
                f"expected what event {blobs[payload[path].digest]} erased to be gone, found it again as {path!r}"
            )
    for reference in named:
        _require_present(reference, payload, blobs, events)
    wanted = {reference.path for reference in named}
    _require_sizes(events, payload)
    for path in sorted(payload):
        place = place_of(path)
        if place is not None and place.kind in _NAMED_KINDS and path not in wanted:
            raise VerificationError(f"expected only files that an event names, found {path!r}, which none does")
    gone = sum(event.body is None for event in events)
    erased = f"; {gone} events and {len(blobs)} files were erased, and say so" if gone or blobs else ""
    findings = sum(reference.kind == "finding" and reference.required for reference in named)
    return Passed(f"all {len(named)} files that events name are here, {findings} findings among them{erased}")


def _require_sizes(events: Sequence[Event], payload: Mapping[str, Measured]) -> None:
    """The sizes by which the rules counted what was filed are those of the files."""
    for event in events:
        if not isinstance(event.body, Acquired) or event.body.size is None:
            continue
        path = f"data/exhibits/{event.body.digest.removeprefix('sha256:')}"
        if path in payload and payload[path].size != event.body.size:
            raise VerificationError(
                f"expected the document of event {event.record.sequence} with {event.body.size} bytes, as it says, "
                f"found {payload[path].size}"
            )


def _require_addresses(payload: Mapping[str, Measured]) -> None:
    for path, measured in payload.items():
        promised = address_of(path)
        if promised not in (None, measured.digest):
            raise VerificationError(
                f"expected {path!r} to hold what its name promises, found content with SHA-256 {measured.digest}: it "
                "was exchanged"
            )


def _require_present(
    reference: Reference, payload: Mapping[str, Measured], blobs: Mapping[str, int], events: Sequence[Event]
) -> None:
    """One file that an event names."""
    if reference.digest in blobs:
        return
    what = f"{reference.kind} {reference.digest} that event {reference.event} ({events[reference.event].record.kind})"
    if reference.path is None:
        if all(one.digest != reference.digest for one in payload.values()):
            raise VerificationError(f"expected the {what} names, found none: it was left out")
        return
    found = payload.get(reference.path)
    if found is None:
        if reference.required:
            raise VerificationError(f"expected the {what} names, found no {reference.path!r}: it was left out")
        return
    if found.digest != reference.digest:
        raise VerificationError(
            f"expected the {what} names, found {reference.path!r} with SHA-256 {found.digest}: it was exchanged"
        )
