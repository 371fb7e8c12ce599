"""The rules of a case: which event is allowed when, and from whom. Pure, and run again by whoever verifies a dossier.

Time is what the events say; there is no clock here. The rules are numbered in ``docs/specs/case.md``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from whorl.core.errors import VerificationError
from whorl.dossiers import filing_rules, issuing_rules, people_rules, preparing_rules
from whorl.dossiers.custody import Event, Record
from whorl.dossiers.events import Closed, EventKind, Role
from whorl.dossiers.state import START, Stage, State, time_of

__all__ = ["RULES", "START", "Rule", "Stage", "State", "advance", "proceed", "require_allowed"]

Apply: TypeAlias = Callable[[State, Any, Record], State]

_ENDED: Final[frozenset[Stage]] = frozenset({"closed", "decided", "void", "expunged"})
_RUNNING: Final[frozenset[Stage]] = frozenset(
    {"opened", "proposed", "frozen", "acquiring", "analysing", "unblinded", "answered", "replicated", "reviewed"}
)
_AFTER_FREEZING: Final[frozenset[Stage]] = _RUNNING - {"opened", "proposed"}
_TO_BE_ANSWERED: Final[frozenset[Stage]] = frozenset({"unblinded", "answered", "replicated", "reviewed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may do it, in which stages, where it may lead, and what else must hold.

    Parameters
    ----------
    leads : stages that may follow; empty where the stage may also stay as it is
    stays : whether the stage may stay as it is
    """

    roles: frozenset[Role]
    after: frozenset[Stage]
    leads: frozenset[Stage]
    apply: Apply
    stays: bool = False


def _rule(roles: str, after: frozenset[Stage], leads: str, apply: Apply, *, stays: bool = False) -> Rule:
    return Rule(
        roles=frozenset(roles.split()),  # type: ignore[arg-type]
        after=after,
        leads=frozenset(leads.split()),  # type: ignore[arg-type]
        apply=apply,
        stays=stays,
    )


RULES: Final[dict[EventKind, Rule]] = {
    "opened": _rule("manager", frozenset({"new"}), "opened", people_rules.open_case),
    "joined": _rule(
        "manager", _RUNNING | {"opined", "closed", "appealed", "decided"}, "", people_rules.join, stays=True
    ),
    "proposed": _rule(
        "complainant respondent manager", frozenset({"opened", "proposed"}), "proposed", filing_rules.propose
    ),
    "frozen": _rule("manager", frozenset({"proposed"}), "frozen", preparing_rules.freeze),
    "acquired": _rule(
        "manager analyst complainant respondent", _AFTER_FREEZING, "acquiring", preparing_rules.acquire, stays=True
    ),
    "analysed": _rule("analyst", frozenset({"acquiring", "analysing"}), "analysing", preparing_rules.analyse),
    "unblinded": _rule("manager", frozenset({"analysing"}), "unblinded void", preparing_rules.unblind),
    "responded": _rule("respondent", _TO_BE_ANSWERED, "answered", issuing_rules.respond),
    "replicated": _rule("replicator", _TO_BE_ANSWERED, "replicated", issuing_rules.replicate),
    "reviewed": _rule(
        "reviewer", _TO_BE_ANSWERED | {"opined", "closed", "decided"}, "reviewed", issuing_rules.review, stays=True
    ),
    "opined": _rule("analyst", frozenset({"reviewed"}), "opined", issuing_rules.opine),
    "closed": _rule("manager", _RUNNING | {"void", "opined", "decided"}, "closed", issuing_rules.close),
    "appealed": _rule("complainant respondent", frozenset({"opined", "closed"}), "appealed", issuing_rules.appeal),
    "appeal_decided": _rule("appeal_reviewer", frozenset({"appealed"}), "decided", issuing_rules.decide),
    "expunged": _rule("manager", _RUNNING | _ENDED | {"opined", "appealed"}, "expunged", issuing_rules.expunge),
}


def proceed(events: Sequence[Event]) -> State:
    """The state that the events lead to.

    Parameters
    ----------
    events : of a whole chain, as `open_chain` gives them

    Raises
    ------
    VerificationError
        If one was not allowed, or was erased without a tombstone that says so.
    """
    state = START
    for event in events:
        state = advance(state, event)
    erased = {event.record.sequence for event in events if event.body is None}
    named = {number for tombstone in state.tombstones for number in tombstone.events}
    if erased != named:
        first = min(erased ^ named)
        wrong = "was erased and no tombstone says so" if first in erased else "is called erased and is still there"
        raise VerificationError(f"rule 30: event {first} {wrong}; an event is there, or its tombstone is")
    if any(isinstance(event.body, Closed) and event.body.outcome == "void" for event in events) and not state.void:
        raise VerificationError("rule 29: expected a tombstone that says that the run was void, as its closing does")
    return state


def advance(state: State, event: Event) -> State:
    """The state after one more event.

    Raises
    ------
    VerificationError
        If the event is not allowed; the state before it stands.
    """
    record = event.record
    rule = RULES[record.kind]
    try:
        _require_order(state, record)
        _require_person(state, record.actor, rule)
        _require_stage(state, record.kind, rule)
        # A tombstone stands on its own; everything else is only as good as what is left of the events before it.
        if event.body is None or (state.unseen and record.kind != "expunged"):
            after = _unseen(state, record, rule)
        else:
            after = rule.apply(state, event.body, record)
            after = replace(after, possible=frozenset({after.stage}))
    except VerificationError as error:
        raise VerificationError(f"event {record.sequence} ({record.kind}): {error}") from None
    return replace(after, events=state.events + 1, at=time_of(record.at), kinds=(*state.kinds, record.kind))


def require_allowed(state: State, kind: EventKind, actor: str) -> None:
    """Check person and stage before any work is done for an event; what it says is checked once it is there.

    Parameters
    ----------
    actor : hex id of the Ed25519 key

    Raises
    ------
    VerificationError
        If this person may not do this, or not now.
    """
    _require_person(state, actor, RULES[kind])
    _require_stage(state, kind, RULES[kind])


def _require_order(state: State, record: Record) -> None:
    if record.sequence != state.events:
        raise VerificationError(f"rule 1: expected event number {state.events}, found {record.sequence}")
    if state.at is not None and time_of(record.at) < state.at:
        raise VerificationError(
            f"rule 1: expected a time not before the last event's, {state.at:%Y-%m-%dT%H:%M:%SZ}, found {record.at}; "
            "set your clock"
        )


def _require_person(state: State, actor: str, rule: Rule) -> None:
    """Rule 2. The opening is asked by its own rule; after it was erased, nobody's role is known any more."""
    if not state.parties:
        return
    party = state.parties.get(actor)
    if party is None:
        raise VerificationError(f"rule 2: expected a person of this case, found the key {actor[:16]}...")
    if party.role not in rule.roles:
        allowed = " or ".join(sorted(rule.roles))
        raise VerificationError(f"rule 2: expected this done by the {allowed}, found the {party.role}")


def _require_stage(state: State, kind: EventKind, rule: Rule) -> None:
    if state.possible.isdisjoint(rule.after):
        stages = " or ".join(sorted(state.possible))
        raise VerificationError(
            f"rule 6: expected {kind} in the stages {', '.join(sorted(rule.after))}, found the stage {stages}"
        )


def _unseen(state: State, record: Record, rule: Rule) -> State:
    """What an event does of which only kind, person and time are known, or which rests on such a one."""
    possible = rule.leads | (state.possible & rule.after if rule.stays else frozenset())
    manager = record.actor if record.sequence == 0 else state.manager
    return replace(state, possible=possible, unseen=True, manager=manager)
