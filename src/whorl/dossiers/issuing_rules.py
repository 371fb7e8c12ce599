"""Rules of a case from the unblinding on: the reply, the second analyst, the review, the opinion and what follows it.

As in `whorl.dossiers.preparing_rules`: the state before, the body, the state after or a refusal.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from whorl.core.errors import VerificationError
from whorl.dossiers.custody import Record
from whorl.dossiers.events import (
    CHECKLIST,
    AppealDecided,
    Appealed,
    Closed,
    Expunged,
    Opined,
    Replicated,
    Responded,
    Reviewed,
)
from whorl.dossiers.filing_rules import require_propositions
from whorl.dossiers.state import State, time_of
from whorl.dossiers.wording import require_fair

REPLICATION_FROM: Final = 2.0
"""|log10| of a headline, or of a p-value on the questioned model, above which a second analyst must have come to the
same findings, whatever the verdict."""
_SAYS_NOTHING: Final = frozenset({"inconclusive", "none_found"})
"""Relations of a finding on the questioned model that nobody is harmed by."""
MAX_REPLIES: Final = 10
"""Answers of the respondent's side in one case."""
_AFTER_A_RUN_THAT_COUNTS: Final = frozenset({"responded", "replicated", "reviewed", "opined", "appealed"})


def respond(state: State, body: Responded, record: Record) -> State:
    """Rule 18: within the window; what came before must be reviewed again in its light."""
    assert state.reply_until is not None
    if time_of(record.at) > state.reply_until:
        raise VerificationError(
            f"rule 18: expected a reply until {state.reply_until:%Y-%m-%dT%H:%M:%SZ}, found one at {record.at}; what "
            "is new after that can be a ground of appeal"
        )
    if len(state.responses) >= MAX_REPLIES:
        raise VerificationError(
            f"rule 18: expected at most {MAX_REPLIES} answers, found one more; file what is long as a document"
        )
    if body.declined and (body.alternatives or body.exhibits):
        raise VerificationError("rule 18: expected a reply or a refusal to reply, found both")
    filed = {one.code for one in state.acquired}
    if missing := [code for code in body.exhibits if code not in filed]:
        raise VerificationError(f"rule 18: expected exhibits that were filed, found {missing[0]}; acquire it first")
    if any(proposition.side != "respondent" for proposition in body.alternatives):
        raise VerificationError("rule 18: expected alternatives on the respondent's side, found one on the other")
    require_propositions(state, body.alternatives)
    return replace(state, stage="answered", responses=(*state.responses, body), review=None)


def replicate(state: State, body: Replicated, _record: Record) -> State:
    """Rule 19: every finding is made again, none is left out."""
    made = Counter(one.document for one in state.analysed)
    again = Counter(one.document for one in body.findings)
    if made != again:
        raise VerificationError(
            f"rule 19: expected each of the {made.total()} findings made again once, found "
            f"{len(made & again)} of them and {(again - made).total()} others"
        )
    return replace(state, stage="replicated", replications=(*state.replications, body), review=None)


def review(state: State, body: Reviewed, record: Record) -> State:
    """Rules 20 and 21: after the reply or its window, on every point; a no on one is a no to the file."""
    if state.closed is not None and state.closed.outcome != "completed":
        raise VerificationError(
            f"rule 26: expected nothing more on a case closed as {state.closed.outcome}, found a review; open another"
        )
    assert state.reply_until is not None
    if state.annulled:
        raise VerificationError("rule 25: expected nothing more on an annulled case but its closing, found a review")
    if not state.responses and time_of(record.at) < state.reply_until:
        raise VerificationError(
            f"rule 20: expected the respondent's answer, or the end of their window at "
            f"{state.reply_until:%Y-%m-%dT%H:%M:%SZ}, before the review, found neither"
        )
    points = Counter(one.point for one in body.checklist)
    if points != Counter(CHECKLIST):
        odd = sorted((points - Counter(CHECKLIST)) | (Counter(CHECKLIST) - points))
        raise VerificationError(
            f"rule 21: expected every point of the checklist answered once and no other, found fault with {odd[0]}"
        )
    if refused := [one.point for one in body.checklist if one.answer == "no" and body.accepted]:
        raise VerificationError(f"rule 21: expected a file accepted with no point answered no, found {refused[0]}")
    return replace(state, stage="reviewed", review=body) if body.accepted else replace(state, review=None)


def opine(state: State, body: Opined, _record: Record) -> State:
    """Rules 22 to 24: after a review of all that happened, replicated where it matters, versions in order."""
    if state.annulled:
        raise VerificationError("rule 25: expected no opinion after an annulment, found one; open a new case")
    if state.review is None:
        raise VerificationError(
            "rule 22: expected a review that accepts the file as it is now, found none; have it reviewed first"
        )
    _require_replicated(state, body)
    before = state.opinions[-1].document if state.opinions else None
    if (body.version, body.supersedes) != (len(state.opinions) + 1, before) or body.document == before:
        raise VerificationError(
            f"rule 24: expected version {len(state.opinions) + 1}, superseding the one before it, found version "
            f"{body.version} or another predecessor"
        )
    varied = bool(state.decisions) and state.decisions[-1].result == "varied"
    if (body.cause == "first") != (before is None) or (body.cause == "appeal" and not varied):
        raise VerificationError(f"rule 24: expected the cause of this version, found {body.cause}")
    require_fair(body.text, where="rule 8: text of the opinion's version")
    return replace(state, stage="opined", opinions=(*state.opinions, body), review=None)


def _require_replicated(state: State, body: Opined) -> None:
    """Rule 23: nothing is said by findings that one person alone made, or on which two did not agree."""
    last = state.replications[-1] if state.replications else None
    if last is not None and not last.agrees:
        raise VerificationError("rule 23: expected a second analyst with the same findings, found other ones")
    why = _what_is_said(state, body)
    if why is None:
        return
    if last is None:
        raise VerificationError(
            f"rule 23: expected every finding made again by a second analyst before an opinion {why}, found no "
            "replication: nobody but the analyst has seen that the findings follow from the exhibits; have a "
            "replicator make them again, or close the case as unanswerable"
        )
    if state.differing:
        raise VerificationError(
            f"rule 23: expected no replication with other findings before an opinion {why}, found {state.differing} of "
            f"{len(state.replications)}: that a later one agrees does not undo it; close the case as unanswerable, and "
            "open another"
        )


def _what_is_said(state: State, body: Opined) -> str | None:
    """What an opinion says that others must have found too; None where it says nothing of the kind."""
    if body.verdict.startswith("supports_"):
        return f"that says {body.verdict}"
    if abs(body.headline_log10 or 0.0) > REPLICATION_FROM:
        return f"that has a headline beyond {10**REPLICATION_FROM:.0f}"
    questioned = state.members_in("questioned")
    for one in state.analysed:
        if one.questioned not in questioned:
            continue
        if one.summary.relation not in _SAYS_NOTHING:
            return f"that reports {one.summary.relation} by {one.method}"
        if (one.summary.log10_p or 0.0) < -REPLICATION_FROM:
            return f"that reports a p-value under 1 in {10**REPLICATION_FROM:.0f} by {one.method}"
    return None


def close(state: State, body: Closed, _record: Record) -> State:
    """Rule 26: completed with an opinion, void where a control failed, or given up before there is an opinion."""
    if body.outcome == "unanswerable" and state.all_analysed and state.unblinded is None:
        raise VerificationError(
            "rule 26: expected the unblinding before a case is called unanswerable, for every comparison was made; "
            "found it not done: whether a control failed must be seen first; unblind, or close it as withdrawn"
        )
    fitting = {
        # Where a replication differs after an opinion there is no next version: only closing leads on to an appeal.
        "completed": bool(state.opinions) and (state.stage in ("opined", "decided") or state.differing > 0),
        "void": state.stage == "void",
        "withdrawn": not state.opinions and state.stage != "void",
        "unanswerable": not state.opinions and state.stage != "void",
    }
    if not fitting[body.outcome]:
        raise VerificationError(
            f"rule 26: expected a closing that fits what happened, found {body.outcome} in the stage {state.stage} "
            f"with {len(state.opinions)} opinions"
        )
    return replace(state, stage="closed", closed=body)


def appeal(state: State, body: Appealed, record: Record) -> State:
    """Rule 27: against an opinion, by a party, once against each version."""
    if not state.opinions or state.annulled:
        raise VerificationError("rule 27: expected an opinion in force to appeal against, found none")
    version = state.opinions[-1].version
    if (record.actor, version) in state.appealed:
        raise VerificationError(
            f"rule 27: expected one appeal of a party against version {version} of the opinion, found a second one; "
            "say all grounds in one"
        )
    return replace(
        state,
        stage="appealed",
        appeals=(*state.appeals, body),
        appealed=state.appealed | {(record.actor, version)},
    )


def decide(state: State, body: AppealDecided, _record: Record) -> State:
    """Rule 28: by somebody who had no other role, which rule 4 ensures."""
    return replace(state, stage="decided", decisions=(*state.decisions, body))


def expunge(state: State, body: Expunged, record: Record) -> State:
    """Rule 29: earlier events only, on a ground that the case, or what is left of it, shows, by its manager."""
    party = state.parties.get(record.actor)
    if record.actor != state.manager or (party is not None and party.keys != body.keys):
        raise VerificationError("rule 29: expected a tombstone of the manager, with the keys they signed with")
    numbers = body.events
    if list(numbers) != sorted(set(numbers)) or numbers[-1] >= record.sequence:
        raise VerificationError("rule 29: expected earlier events in their order, each once, found otherwise")
    _require_people_kept(state, numbers)
    ended = not state.possible.isdisjoint({"closed", "decided", "void", "expunged"})
    shown = {
        "annulment": "appeal_decided" in state.kinds if state.unseen else state.annulled,
        "withdrawal": "closed" in state.kinds and (state.closed is None or state.closed.outcome == "withdrawn"),
        "retention": ended,
        "court_order": True,
    }
    if not shown[body.ground]:
        raise VerificationError(
            f"rule 29: expected a ground that the case shows, found {body.ground} in the stage {state.stage}"
        )
    _require_void_kept(state, body)
    return replace(state, stage="expunged", tombstones=(*state.tombstones, body))


def _require_void_kept(state: State, body: Expunged) -> None:
    """Rule 29: that a run was void stays known; a tombstone that would hide it, or make one up, is refused."""
    known = bool(state.tombstones) or not state.unseen
    if known and body.void != state.void:
        raise VerificationError(
            f"rule 29: expected a tombstone that says whether the run was void ({state.void}), found one that says "
            f"{body.void}"
        )
    if body.void and not _AFTER_A_RUN_THAT_COUNTS.isdisjoint(state.kinds):
        raise VerificationError("rule 29: expected a void run to end with its unblinding, found more done in the case")


def _require_people_kept(state: State, numbers: Sequence[int]) -> None:
    """Whoever signed what is left must be known: an event that names people goes with all that came after it."""
    gone = {*numbers, *(number for tombstone in state.tombstones for number in tombstone.events)}
    naming = [number for number in numbers if state.kinds[number] in ("opened", "joined")]
    for number in range(naming[0], state.events) if naming else ():
        if number not in gone and state.kinds[number] != "expunged":
            raise VerificationError(
                f"rule 29: expected event {naming[0]}, which names who signs, erased with all that came after it, "
                f"found event {number} left; erase it too, or none of them"
            )
