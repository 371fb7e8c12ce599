"""Rules of a case from the protocol to the unblinding: how it is examined, of what, and what came out.

Each function takes the state before an event and the event's body, refuses it or gives the state after it. The numbers
in the messages are those of ``docs/specs/case.md``.
"""

from collections import Counter
from dataclasses import replace

from whorl.core.errors import VerificationError
from whorl.dossiers.codes import require_committed
from whorl.dossiers.custody import Record
from whorl.dossiers.events import (
    ALTERNATIVES,
    Acquired,
    Analysed,
    CodedMember,
    Frozen,
    MemberRole,
    Protocol,
    Unblinded,
    outcome_of,
)
from whorl.dossiers.filing_rules import acquire_document
from whorl.dossiers.naming import require_plain
from whorl.dossiers.state import NEEDED_ACCESS, State, time_of
from whorl.dossiers.wording import require_fair


def freeze(state: State, body: Frozen, record: Record) -> State:
    """Rules 9 and 10: both sides are heard and all seven alternatives named before the protocol is fixed."""
    require_freezable(state, body.protocol)
    return replace(state, stage="frozen", protocol=body.protocol, frozen_at=time_of(record.at))


def require_freezable(state: State, protocol: Protocol) -> None:
    """Rules 8 to 10, asked of a protocol before anybody is told of it."""
    sides = {proposition.side for proposition in state.propositions}
    for side in ("complainant", "respondent"):
        if side not in sides:
            raise VerificationError(
                f"rule 9: expected a proposition of either side before the protocol is frozen, found none of the "
                f"{side}; the manager can file one for them"
            )
    named = Counter(treatment.alternative for treatment in protocol.treatments)
    if missing := [alternative for alternative in ALTERNATIVES if not named[alternative]]:
        raise VerificationError(
            f"rule 10: expected all {len(ALTERNATIVES)} alternatives in the protocol, tested or with the reason why "
            f"not, found nothing about {', '.join(missing)}"
        )
    _require_fair_protocol(protocol)
    line_up, methods = protocol.line_up, Counter((one.group, one.method) for one in protocol.methods)
    if max(methods.values()) > 1:
        raise VerificationError("rule 10: expected each method once in the protocol, found one twice")
    if line_up.reference not in line_up.codes:
        raise VerificationError(
            f"rule 10: expected the reference among M-1 to M-{line_up.members}, found {line_up.reference}"
        )
    if not any(replace(state, protocol=protocol).comparing_methods()):
        raise VerificationError("rule 10: expected a method that compares the line-up, found none; name one")


def _require_fair_protocol(protocol: Protocol) -> None:
    """Rule 8 for the words of a protocol: they come to stand in the opinion, where nobody can change them any more."""
    for one in protocol.treatments:
        require_fair(one.how, where=f"rule 8: how {one.alternative} is treated")
    for method in protocol.methods:
        require_fair(method.method, where="rule 8: name of a method")
    require_fair(protocol.stop_rule, where="rule 8: stop rule")
    require_fair(protocol.exclusions, where="rule 8: exclusions")


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
        return acquire_document(state, body, record)
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
    _require_recording(state, body)
    if state.stage not in ("frozen", "acquiring"):
        raise VerificationError(
            f"rule 12: expected models acquired before the analysis, found {body.code} in the stage {state.stage}"
        )
    return replace(state, stage="acquiring", acquired=(*state.acquired, body))


def _require_recording(state: State, body: Acquired) -> None:
    """Rule 12: of answers it is said what was recorded, of whom none was recorded twice, to the same questions."""
    if (body.recording is not None) != (body.access == "api"):
        raise VerificationError(
            f"rule 12: expected the recording of {body.code} to be named if answers are acquired, and only then"
        )
    if body.recording is None:
        return
    others = [one.recording for one in state.acquired if one.recording is not None]
    if any(one.digest == body.recording.digest for one in others):
        raise VerificationError(
            f"rule 12: expected a recording of its own for each model, found that of {body.code} under another code"
        )
    if any(one.battery != body.recording.battery for one in others):
        raise VerificationError(
            f"rule 12: expected every model to be asked the same questions, found another battery for {body.code}"
        )
    if time_of(body.recording.started) > time_of(body.acquired_at):
        raise VerificationError(
            f"rule 12: expected a recording that began before it was acquired, found one at {body.recording.started}"
        )


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
    if body.group in ("weights", "behaviour") and body.summary.outcome != outcome_of(body.summary.relation):
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
    _require_endpoints(state, members)
    for member in members:
        require_plain(member.name, where=f"rule 8: name of {member.code}")
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


def _require_endpoints(state: State, members: tuple[CodedMember, ...]) -> None:
    """Rule 16: where answers were compared, the code key says who was asked, and nobody stands in it twice."""
    if not any(NEEDED_ACCESS[method.group] == "api" for method in state.comparing_methods()):
        return
    asked = [member.endpoint for member in members if member.endpoint is not None]
    if len(asked) != len(members) or len({one.place for one in asked}) != len(asked):
        raise VerificationError(
            "rule 16: expected an endpoint of its own for each model of the line-up, for their answers were compared; "
            "found one missing or twice"
        )


def _failed_controls(state: State) -> tuple[str, ...]:
    """Rule 17: a positive control must come out as related; decoys and negative controls must not.

    Nor may a ratio speak against the known truth: then the scale by which the questioned model is weighed is wrong. And
    one of the unrelated models at least must come out as such, not only as undecided: a method that never says so would
    pass every control and tell nobody apart.
    """
    positive, unrelated = state.members_in("positive_control"), state.members_in("decoy", "negative_control")
    failed = []
    for one in state.analysed:
        related, ratio = one.summary.outcome == "related", one.summary.log10_lr or 0.0
        if one.questioned in positive and not related:
            failed.append(f"positive control {one.questioned} came out as {one.summary.relation} by {one.method}")
        if one.questioned in unrelated and related:
            failed.append(f"unrelated model {one.questioned} came out as {one.summary.relation} by {one.method}")
        if one.questioned in positive and related and ratio < 0:
            failed.append(f"positive control {one.questioned} has a ratio against the claim by {one.method}")
        if one.questioned in unrelated and not related and ratio > 0:
            failed.append(f"unrelated model {one.questioned} has a ratio for the claim by {one.method}")
    for method in state.comparing_methods():
        made = [one for one in state.analysed if (one.group, one.method) == (method.group, method.method)]
        if not any(one.questioned in unrelated and one.summary.outcome == "not_related" for one in made):
            failed.append(f"none of the unrelated models came out as unrelated by {method.method}")
    return tuple(failed)
