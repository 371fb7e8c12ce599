"""Whether the respondent was heard, whether the controls were judged and a second analyst found the same, and how far
either side's signatures reach: said beside every verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from whorl.dossiers.custody import Event
from whorl.dossiers.events import Opened, Side
from whorl.dossiers.state import State

Hearing: TypeAlias = Literal["not_asked", "answered", "declined", "open", "not_heard", "unknown"]
SIDES: Final[tuple[Side, ...]] = ("complainant", "respondent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The first and the last event that somebody of a side signed; each pins every event before it."""

    first: int
    last: int


def hearing_of(state: State, *, now: datetime) -> Hearing:
    """What came of the respondent's window.

    Parameters
    ----------
    now : the reader's clock
    """
    if state.unseen:
        return "unknown"
    if state.responses:
        return "declined" if all(one.declined for one in state.responses) else "answered"
    if state.reply_until is None or state.void:
        return "not_asked"
    return "open" if state.closed is None and now <= state.reply_until else "not_heard"


def hearing_text(state: State, *, now: datetime) -> str:
    """The same in a sentence's part."""
    match hearing_of(state, now=now):
        case "unknown":
            return "whether the respondent was heard is not known, for events were erased"
        case "answered":
            return "the respondent answered"
        case "declined":
            return "the respondent said that no answer would come"
        case "not_asked":
            return "the respondent was asked for no answer"
        case "open":
            return f"the respondent may answer until {state.reply_until:%Y-%m-%dT%H:%M:%SZ} and did not yet"
        case "not_heard":
            return (
                "the respondent was NOT heard: no answer came, and none that it would not, until "
                f"{state.reply_until:%Y-%m-%dT%H:%M:%SZ}"
            )


def controls_judged(state: State) -> bool:
    """Whether the controls were judged as soon as there was something to judge: no comparison without an unblinding."""
    return "analysed" not in state.kinds or "unblinded" in state.kinds


def caveats(state: State) -> tuple[str, ...]:
    """What is unsettled of the examination, a sentence's part each; empty where nothing is.

    Asked of the kinds of event, so that what is erased cannot hide it.
    """
    said, made = [], state.kinds.count("analysed")
    if not controls_judged(state):
        ended = not {"closed", "expunged"}.isdisjoint(state.kinds)
        said.append(
            f"{made} comparisons were made and the code key was {'never' if ended else 'not yet'} shown: the controls "
            f"were {'NEVER' if ended else 'not yet'} judged"
        )
    replicated = state.kinds.count("replicated")
    if state.differing:
        said.append(f"{state.differing} of {replicated} replications found something ELSE than the analyst")
    if unknown := replicated - len(state.replications):
        said.append(f"what {unknown} of {replicated} replications found is not known, for events were erased")
    return tuple(said)


def signed_by_sides(events: Sequence[Event]) -> dict[Side, Signed | None]:
    """How far either side's own signatures reach; None for a side that signed nothing. Empty once the opening is gone.

    Whoever makes another chain from before an event of a side needs a key of that side, or leaves the event out.
    """
    opened = events[0].body if events else None
    if not isinstance(opened, Opened):
        return {}
    found: dict[Side, Signed | None] = {}
    for side in SIDES:
        people = {party.id for party in opened.parties if party.role == side}
        places = [event.record.sequence for event in events if event.record.actor in people]
        found[side] = Signed(first=places[0], last=places[-1]) if places else None
    return found


def signed_text(signed: dict[Side, Signed | None]) -> str:
    """The same in a sentence's part."""
    return ", ".join(
        f"no event is signed by the {side}"
        if reach is None
        else f"the {side} first signed event {reach.first} and last event {reach.last}"
        for side, reach in signed.items()
    )
