"""The events of a case, one line each, for its report."""

from typing import Final

from whorl.cases import report_wording as words
from whorl.cases.case import CaseView
from whorl.cases.report_document import EventLine
from whorl.dossiers.custody import Event
from whorl.dossiers.events import (
    Acquired,
    Analysed,
    AppealDecided,
    Appealed,
    Body,
    Closed,
    Expunged,
    Frozen,
    Joined,
    Opined,
    Proposed,
    Replicated,
    Responded,
    Reviewed,
)
from whorl.dossiers.state import State

_KEY_LETTERS: Final = 16
_HASH_LETTERS: Final = 16


def event_lines(view: CaseView, *, outcomes: bool) -> tuple[EventLine, ...]:
    """Every event in its order, with the record's hash abbreviated.

    Parameters
    ----------
    outcomes : whether to say what each comparison gave; not where no opinion is in force, lest a reader take it for one
    """
    return tuple(_line(event, view.state, outcomes=outcomes) for event in view.events)


def _line(event: Event, state: State, *, outcomes: bool) -> EventLine:
    record = event.record
    party = state.parties.get(record.actor)
    return EventLine(
        number=record.sequence,
        at=words.day_and_time(record.at),
        what=words.EVENTS[record.kind],
        detail="" if event.body is None else _detail(event.body, outcomes=outcomes),
        who=f"key {record.actor[:_KEY_LETTERS]}" if party is None else party.name,
        role="" if party is None else words.ROLES[party.role],
        hash=record.hash.hex()[:_HASH_LETTERS],
        erased=event.body is None,
    )


def _detail(body: "Body", *, outcomes: bool) -> str:
    match body:
        case Joined(party=party):
            return f"{party.name}, {words.ROLES[party.role].lower()}"
        case Proposed(propositions=filed):
            return ", ".join(one.id for one in filed)
        case Frozen(receipt=receipt):
            return "" if receipt is None else "with a registry's receipt"
        case Acquired(code=code, title=title):
            return code if title is None else f"{code}: {title}"
        case Analysed(questioned=code, reference=reference, summary=summary):
            found = f": {words.RELATIONS.get(summary.relation, summary.relation)}" if outcomes else ""
            return f"{code} with {reference}{found}"
        case Responded(declined=declined):
            return "declined" if declined else ""
        case Replicated() as made:
            return f"{len(made.findings)}, {'all the same' if made.agrees else 'some differ'}"
        case Reviewed(accepted=accepted):
            return "accepted" if accepted else "not accepted"
        case Opined(version=version):
            return f"version {version}"
        case Closed(outcome=outcome):
            return outcome
        case Appealed(grounds=grounds):
            return ", ".join(words.GROUNDS[one] for one in grounds)
        case AppealDecided(result=result):
            return result
        case Expunged(events=events):
            return f"events {', '.join(map(str, events))}"
        case _:
            return ""
