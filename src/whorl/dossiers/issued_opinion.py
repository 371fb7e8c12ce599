"""The opinion in force, and whether it is the one that follows: asked by whoever checks, reports or exports it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from whorl.core.errors import InputError, VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.composing import CaseDocuments, compose_opinion
from whorl.dossiers.custody import Event
from whorl.dossiers.differences import differences
from whorl.dossiers.events import Opined, Verdict
from whorl.dossiers.opinion import MAX_DEPTH, Opinion, parse_opinion
from whorl.dossiers.proceeding import proceed
from whorl.dossiers.ratios_again import TOLERANCE
from whorl.dossiers.references import opinion_in_force
from whorl.dossiers.state import State

MAX_OPINION_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """The event that issued the opinion in force.

    Parameters
    ----------
    place : number of the event
    unfounded : whether an event before it was erased, so that nobody can compose the opinion again
    """

    place: int
    event: Opined
    unfounded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """An opinion that came out the same when it was composed again.

    Parameters
    ----------
    state : the case as it stood when the opinion was issued
    largest : largest relative difference of a number
    """

    opinion: Opinion
    event: Opined
    state: State
    documents: CaseDocuments
    largest: float


def issued_opinion(events: Sequence[Event]) -> Issued | None:
    """The opinion in force; None where none is."""
    digest = opinion_in_force(events)
    for place in reversed(range(len(events))):
        body = events[place].body
        if isinstance(body, Opined) and body.document == f"sha256:{digest}":
            return Issued(place=place, event=body, unfounded=any(one.body is None for one in events[:place]))
    return None


def frozen_at(events: Sequence[Event]) -> int:
    """Number of the event that fixed the protocol; there is one in a case that has an opinion."""
    return [event.record.kind for event in events].index("frozen")


def verdict_of(opinion: bytes) -> Verdict:
    """The verdict in an opinion's bytes, of which nothing else is looked at.

    Raises
    ------
    InputError
        If there is none that this release knows.
    """
    stated = parse_json_object(opinion, what="opinion", max_bytes=MAX_OPINION_BYTES, max_depth=MAX_DEPTH)
    known: tuple[Verdict, ...] = get_args(Verdict)
    for verdict in known:
        if stated.get("verdict") == verdict:
            return verdict
    raise InputError(f"expected an opinion with one of the verdicts {', '.join(known)}, found none of them in it")


def require_stated(opinion: Opinion, event: Opined) -> None:
    """Check that the chain states the opinion's own headline and verdict, by which the rules let it be issued.

    Raises
    ------
    VerificationError
        If it states others.
    """
    headline = None if opinion.headline is None else opinion.headline.log10_lr
    if headline != event.headline_log10:
        raise VerificationError(
            f"expected the headline that the chain states ({event.headline_log10}), found {headline} in the opinion"
        )
    if opinion.verdict != event.verdict:
        raise VerificationError(
            f"expected the verdict that the chain states ({event.verdict}), found {opinion.verdict} in the opinion: "
            "the rules were asked about another one"
        )


def confirm_opinion(
    data: bytes, events: Sequence[Event], issued: Issued, *, documents_of: Callable[[State], CaseDocuments]
) -> Confirmed:
    """Compose the opinion in force again, from a case as it stood when it was issued.

    Parameters
    ----------
    data : the opinion's bytes
    documents_of : findings and populations of the case in that state

    Raises
    ------
    InputError
        If the opinion, a finding or a population is malformed or missing.
    VerificationError
        If a finding says something else than the chain does, the event states another headline or verdict, or the
        opinion is not the one that follows.
    """
    opinion = parse_opinion(data, what="opinion", most=MAX_OPINION_BYTES)
    require_stated(opinion, issued.event)
    if issued.unfounded:
        raise VerificationError(
            "expected an opinion whose numbers can be made again, found one that rests on events that were erased: it "
            "must be erased with them"
        )
    state = proceed(events[: issued.place])
    documents = documents_of(state)
    again = compose_opinion(
        state,
        documents,
        case=events[0].record.hash.hex(),
        protocol_sequence=frozen_at(events),
        remarks=opinion.remarks,
    )
    largest, places = differences(opinion.model_dump(mode="json"), again.model_dump(mode="json"), where="opinion")
    if places:
        raise VerificationError(
            f"expected the opinion that follows from the findings, found something else: {places[0][:400]}"
        )
    if largest > TOLERANCE:
        raise VerificationError(
            f"expected the numbers that follow from the findings within {TOLERANCE:g}, found one that differs by "
            f"{largest:.3g}"
        )
    return Confirmed(opinion=opinion, event=issued.event, state=state, documents=documents, largest=largest)
