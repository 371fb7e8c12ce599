"""Rules of a case up to the unblinding: who takes part, what is asked, how, of what, and what came out.

Each function takes the state before an event and the event's body, refuses it or gives the state after it. The numbers
in the messages are those of ``docs/specs/case.md``.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from whorl.core.errors import VerificationError
from whorl.dossiers.codes import require_committed
from whorl.dossiers.custody import Record
from whorl.dossiers.events import (
    ALTERNATIVES,
    LATER_ROLES,
    REQUIRED_ROLES,
    Acquired,
    Analysed,
    CodedMember,
    Frozen,
    Joined,
    MemberRole,
    Opened,
    Party,
    Proposed,
    Proposition,
    Role,
    Unblinded,
    outcome_of,
)
from whorl.dossiers.state import State, time_of
from whorl.dossiers.wording import require_fair

_SIDES: dict[Role, str] = {"complainant": "complainant", "respondent": "respondent"}


def open_case(state: State, body: Opened, record: Record) -> State:
    """Rules 3 to 5: every role that a case needs, one person and one key for each, opened by the manager."""
    roles = Counter(party.role for party in body.parties)
    if missing := [role for role in REQUIRED_ROLES if not roles[role]]:
        raise VerificationError(
            f"rule 3: expected somebody in every role a case needs, found no {missing[0]}; name one"
        )
    if roles["manager"] > 1:
        raise VerificationError(f"rule 3: expected one manager, found {roles['manager']}; choose one")
    _require_one_role_each(body.parties)
    parties = {party.id: party for party in body.parties}
    opener = parties.get(record.actor)
    if opener is None or opener.role != "manager":
        raise VerificationError("rule 5: expected a case opened with the manager's key, found another; use theirs")
    require_fair(body.title, where="rule 8: title")
    require_fair(body.question, where="rule 8: question")
    return replace(state, stage="opened", manager=record.actor, parties=parties, opened=body)


def join(state: State, body: Joined, _record: Record) -> State:
    """Rules 3 and 4, for those who come later."""
    party = body.party
    if party.role not in LATER_ROLES:
        raise VerificationError(
            f"rule 3: expected a {' or '.join(LATER_ROLES)} to join later, found a {party.role}; those in the other "
            "roles are named when the case is opened"
        )
    _require_one_role_each((*state.parties.values(), party))
    return replace(state, parties={**state.parties, party.id: party})


def propose(state: State, body: Proposed, record: Record) -> State:
    """Rules 7 and 8: each side speaks for itself, of sources only, in words that evidence can bear."""
    role = state.parties[record.actor].role
    for proposition in body.propositions:
        if _SIDES.get(role, proposition.side) != proposition.side:
            raise VerificationError(
                f"rule 7: expected propositions of the {role}'s own side, found {proposition.id!r} for the other side"
            )
    require_propositions(state, body.propositions)
    return replace(state, stage="proposed", propositions=(*state.propositions, *body.propositions))


def require_propositions(state: State, new: Iterable[Proposition]) -> None:
    """Rules 7 and 8 for propositions, whoever files them and whenever."""
    taken = {proposition.id for proposition in state.propositions}
    taken |= {proposition.id for response in state.responses for proposition in response.alternatives}
    for proposition in new:
        if proposition.id in taken:
            raise VerificationError(
                f"rule 7: expected a new id for each proposition, found {proposition.id!r} again; choose another"
            )
        taken.add(proposition.id)
        if (proposition.side == "respondent") != (proposition.alternative in ALTERNATIVES):
            raise VerificationError(
                f"rule 7: expected derived or learned_from on the complainant's side and an alternative to them on "
                f"the respondent's, found {proposition.alternative} of the {proposition.side} in {proposition.id!r}"
            )
        require_fair(proposition.statement, where=f"rule 8: proposition {proposition.id!r}")


def freeze(state: State, body: Frozen, record: Record) -> State:
    """Rules 9 and 10: both sides are heard and all seven alternatives named before the protocol is fixed."""
    sides = {proposition.side for proposition in state.propositions}
    for side in ("complainant", "respondent"):
        if side not in sides:
            raise VerificationError(
                f"rule 9: expected a proposition of either side before the protocol is frozen, found none of the "
                f"{side}; the manager can file one for them"
            )
    named = Counter(treatment.alternative for treatment in body.protocol.treatments)
    if missing := [alternative for alternative in ALTERNATIVES if not named[alternative]]:
        raise VerificationError(
            f"rule 10: expected all {len(ALTERNATIVES)} alternatives in the protocol, tested or with the reason why "
            f"not, found nothing about {', '.join(missing)}"
        )
    line_up, methods = body.protocol.line_up, Counter((one.group, one.method) for one in body.protocol.methods)
    if max(methods.values()) > 1:
        raise VerificationError("rule 10: expected each method once in the protocol, found one twice")
    if line_up.reference not in line_up.codes:
        raise VerificationError(
            f"rule 10: expected the reference among M-1 to M-{line_up.members}, found {line_up.reference}"
        )
    frozen = replace(state, stage="frozen", protocol=body.protocol, frozen_at=time_of(record.at))
    if not any(frozen.comparing_methods()):
        raise VerificationError("rule 10: expected a method that compares the line-up, found none; name one")
    return frozen


def acquire(state: State, body: Acquired, record: Record) -> State:
    """Rules 11 and 12: after the freezing, each exhibit once, a model of the line-up under its code alone."""
    assert state.protocol is not None
    assert state.frozen_at is not None
    taken = time_of(body.acquired_at)
    if not state.frozen_at <= taken <= time_of(record.at):
        raise VerificationError(
            f"rule 11: expected an acquisition after the protocol was frozen and before it was recorded, found one at "
            f"{body.acquired_at}"
        )
    if any((one.code, one.access) == (body.code, body.access) for one in state.acquired):
        raise VerificationError(f"rule 12: expected each exhibit once, found {body.code} ({body.access}) again")
    if body.code.startswith("D-"):
        return _acquire_document(state, body, record)
    if state.parties[record.actor].role not in ("manager", "analyst"):
        raise VerificationError("rule 12: expected models acquired by the manager or an analyst, found another person")
    if body.code not in state.protocol.line_up.codes or body.access == "document" or body.title is not None:
        raise VerificationError(
            f"rule 12: expected a model of the line-up under its code and without a title, found {body.code} "
            f"({body.access})"
        )
    if (body.blob is None) != (body.access == "weights"):
        raise VerificationError(
            f"rule 12: expected what was taken of {body.code} to be kept in the case (weights alone stay outside), "
            "found otherwise"
        )
    if state.stage not in ("frozen", "acquiring"):
        raise VerificationError(
            f"rule 12: expected models acquired before the analysis, found {body.code} in the stage {state.stage}"
        )
    return replace(state, stage="acquiring", acquired=(*state.acquired, body))


def _acquire_document(state: State, body: Acquired, record: Record) -> State:
    role = state.parties[record.actor].role
    if role not in ("manager", "complainant", "respondent"):
        raise VerificationError(f"rule 12: expected documents filed by a party or the manager, found a {role}")
    if role in _SIDES and body.filed_by != role:
        raise VerificationError(f"rule 12: expected a document filed by the {role} to say so, found {body.filed_by}")
    if role in _SIDES and state.reply_until is not None and time_of(record.at) > state.reply_until:
        raise VerificationError(
            f"rule 12: expected documents of the parties until {state.reply_until:%Y-%m-%dT%H:%M:%SZ}, found one at "
            f"{record.at}; it can be part of an appeal"
        )
    if body.access != "document" or body.title is None or body.blob != body.digest:
        raise VerificationError(
            f"rule 12: expected the document {body.code} with a title and kept byte for byte, found otherwise"
        )
    return replace(state, acquired=(*state.acquired, body), review=None)


def analyse(state: State, body: Analysed, _record: Record) -> State:
    """Rules 13 and 14: nothing before all is acquired, and each comparison of the protocol once."""
    assert state.protocol is not None
    if missing := state.not_acquired():
        code, access = missing[0]
        raise VerificationError(
            f"rule 13: expected the whole line-up acquired before anything is analysed, found {code} ({access}) "
            f"missing and {len(missing) - 1} more; acquire them first"
        )
    line_up = state.protocol.line_up
    if body.reference != line_up.reference or body.questioned not in line_up.codes:
        raise VerificationError(
            f"rule 14: expected a model of the line-up against the reference {line_up.reference}, found "
            f"{body.questioned} against {body.reference}"
        )
    if body.group == "weights" and body.summary.outcome != outcome_of(body.summary.relation):
        raise VerificationError(
            f"rule 14: expected the outcome that follows from {body.summary.relation}, found {body.summary.outcome}"
        )
    due = {(method.group, method.method, code) for method, code in state.not_analysed()}
    if (body.group, body.method, body.questioned) not in due:
        raise VerificationError(
            f"rule 14: expected a comparison that the protocol names and that was not made yet, found {body.method} "
            f"on {body.questioned}; nothing is tried again until it comes out otherwise"
        )
    if any(one.document == body.document for one in state.analysed):
        raise VerificationError("rule 14: expected a finding of its own for each comparison, found one document twice")
    return replace(state, stage="analysing", analysed=(*state.analysed, body))


def unblind(state: State, body: Unblinded, record: Record) -> State:
    """Rules 15 to 17: after every comparison, with the code key committed to; a failed control makes the run void."""
    assert state.protocol is not None
    if missing := state.not_analysed():
        method, code = missing[0]
        raise VerificationError(
            f"rule 15: expected every comparison of the protocol before the unblinding, found {method.method} on "
            f"{code} missing and {len(missing) - 1} more; analyse them first"
        )
    require_committed(state.protocol.code_key_commitment, salt=bytes.fromhex(body.salt), members=body.members)
    _require_line_up(state, body.members)
    opened = replace(state, unblinded=body, unblinded_at=time_of(record.at))
    failed = _failed_controls(opened)
    return replace(opened, stage="void" if failed else "unblinded", failed_controls=failed)


def _require_line_up(state: State, members: tuple[CodedMember, ...]) -> None:
    """Rule 16: the code key names the models the case is about, and those that were acquired."""
    assert state.protocol is not None
    assert state.opened is not None
    line_up, roles = state.protocol.line_up, Counter(member.role for member in members)
    stated: dict[MemberRole, int] = {
        "questioned": 1,
        "reference": 1,
        "decoy": line_up.decoys,
        "positive_control": line_up.positive_controls,
        "negative_control": line_up.negative_controls,
    }
    by_code = {member.code: member for member in members}
    if (
        set(by_code) != set(line_up.codes)
        or len(by_code) != len(members)
        or any(roles[role] != number for role, number in stated.items())
    ):
        raise VerificationError("rule 16: expected the line-up that the protocol states, found another")
    if by_code[line_up.reference].role != "reference" or len({member.name for member in members}) != len(members):
        raise VerificationError("rule 16: expected the reference under its code and each model once, found otherwise")
    digests = [member.digest for member in members if member.digest is not None]
    if len(set(digests)) != len(digests):
        raise VerificationError(
            "rule 16: expected another content for each model of the line-up, found one twice: a control that is the "
            "reference itself, or one stranger under several names, cannot fail"
        )
    for member in members:
        about = {"questioned": state.opened.questioned, "reference": state.opened.reference}.get(member.role)
        if about is not None and (member.name != about.name or about.digest not in (None, member.digest)):
            raise VerificationError(
                f"rule 16: expected {about.name!r}, which the case is about, as the {member.role} model, found "
                f"{member.name!r} or another content"
            )
        for one in state.acquired:
            if one.code == member.code and one.access in ("weights", "fingerprint") and one.digest != member.digest:
                raise VerificationError(
                    f"rule 16: expected {member.code} with the content that was acquired, found another digest: the "
                    "model was exchanged"
                )


def _failed_controls(state: State) -> tuple[str, ...]:
    """Rule 17: a positive control must come out as related; decoys and negative controls must not."""
    positive, unrelated = state.members_in("positive_control"), state.members_in("decoy", "negative_control")
    failed = []
    for one in state.analysed:
        related = one.summary.outcome == "related"
        if one.questioned in positive and not related:
            failed.append(f"positive control {one.questioned} came out as {one.summary.relation} by {one.method}")
        if one.questioned in unrelated and related:
            failed.append(f"unrelated model {one.questioned} came out as {one.summary.relation} by {one.method}")
    return tuple(failed)


def _require_one_role_each(parties: Iterable[Party]) -> None:
    """Rule 4: one person, one role, one set of keys."""
    names: set[str] = set()
    keys: set[str] = set()
    for party in parties:
        if party.name.casefold() in names or not keys.isdisjoint(party.keys):
            raise VerificationError(
                f"rule 4: expected one role for each person and each key, found {party.name!r} or a key of theirs "
                "twice; an analyst is no manager, party or reviewer of the same case"
            )
        names.add(party.name.casefold())
        keys.update(party.keys)
