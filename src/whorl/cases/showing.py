"""A case in one document: where it stands, what was found, and who may do what next."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from whorl.cases.case import CaseView
from whorl.cases.store import CaseStore
from whorl.core.errors import WhorlError
from whorl.dossiers.events import Analysed, CodedMember
from whorl.dossiers.hearing import caveats, hearing_of, hearing_text, signed_by_sides, signed_text
from whorl.dossiers.proceeding import RULES, State
from whorl.dossiers.references import erased_blobs, references

SCHEMA = "whorl.case/1"


def case_document(view: CaseView, *, now: datetime, exhibit_faults: Sequence[str] | None = None) -> dict[str, Any]:
    """What ``whorl case show --json`` prints.

    Names of the line-up show once they were shown in the case, and never before.

    Parameters
    ----------
    now : the reader's clock
    exhibit_faults : what `exhibit_faults` found; None where nobody looked
    """
    state, signed = view.state, signed_by_sides(view.events)
    return {
        "schema": SCHEMA,
        "case": view.id,
        "head": view.head,
        "stage": state.stage,
        "title": None if state.opened is None else state.opened.title,
        "question": None if state.opened is None else state.opened.question,
        "parties": [{"name": one.name, "role": one.role, "id": one.id} for one in state.parties.values()],
        "reply_until": _instant(state.reply_until),
        "hearing": hearing_of(state, now=now),
        "hearing_text": hearing_text(state, now=now),
        "caveats": list(caveats(state)),
        "signed": {
            side: None if reach is None else {"first": reach.first, "last": reach.last}
            for side, reach in signed.items()
        },
        "signed_text": signed_text(signed),
        "void": state.void,
        "failed_controls": list(state.failed_controls),
        "exhibit_faults": None if exhibit_faults is None else list(exhibit_faults),
        "propositions": [one.model_dump(mode="json") for one in state.propositions],
        "findings": findings_of(state),
        "opinions": [one.model_dump(mode="json") for one in state.opinions],
        "next": [{"event": kind, "by": sorted(roles)} for kind, roles in allowed_next(state).items()],
        "events": [
            {
                "sequence": event.record.sequence,
                "at": event.record.at,
                "kind": event.record.kind,
                "by": _role(state, event.record.actor),
                "erased": event.body is None,
                "record": event.record.hash.hex(),
            }
            for event in view.events
        ],
    }


def exhibit_faults(view: CaseView, store: CaseStore) -> tuple[str, ...]:
    """Exhibits that an event names and that are missing or altered; every one of them is read and hashed."""
    erased, faults = erased_blobs(view.events), []
    for digest in sorted({one.digest for one in references(view.events) if one.required} - set(erased)):
        try:
            store.get(f"sha256:{digest}")
        except WhorlError as error:
            faults.append(str(error))
    return tuple(faults)


def findings_of(state: State) -> list[dict[str, Any]]:
    """Every finding, with the names that its codes stand for once they were shown."""
    named = {one.code: one for one in state.unblinded.members} if state.unblinded is not None else {}
    return [_finding(one, named.get(one.questioned)) for one in state.analysed]


def allowed_next(state: State) -> Mapping[str, frozenset[str]]:
    """Kinds of event that the stage allows, each with the roles that may enter it; what else must hold is not asked."""
    return {
        kind: frozenset(rule.roles)
        for kind, rule in RULES.items()
        if not state.possible.isdisjoint(rule.after)
        and (kind != "analysed" or (state.not_analysed() and not state.not_acquired()))
        and (kind != "unblinded" or not state.not_analysed())
    }


def _finding(one: Analysed, member: CodedMember | None) -> dict[str, Any]:
    return {
        "code": one.questioned,
        "role": None if member is None else member.role,
        "name": None if member is None else member.name,
        "method": one.method,
        "document": one.document,
        **one.summary.model_dump(mode="json"),
    }


def _role(state: State, actor: str) -> str:
    party = state.parties.get(actor)
    return f"key {actor[:16]}..." if party is None else party.role


def _instant(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
