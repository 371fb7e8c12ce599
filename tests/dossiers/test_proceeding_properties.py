"""Random sequences of events: no state that can be reached breaks what a case promises.

What is promised is asked of the list of accepted events itself, not of the state that the rules keep. Each case is a
random walk from a seed: half of its steps fit the stage, the others are anything by anybody.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import played_case as played
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_case import Play

from whorl.core.errors import VerificationError
from whorl.dossiers.custody import Record
from whorl.dossiers.events import (
    ALTERNATIVES,
    Acquired,
    Analysed,
    AppealDecided,
    Appealed,
    Body,
    Closed,
    Expunged,
    Frozen,
    Joined,
    Opened,
    Opined,
    Outcome,
    Proposed,
    Replicated,
    Responded,
    Reviewed,
    Unblinded,
)
from whorl.dossiers.proceeding import RULES, proceed

STEPS = 40
OUTCOMES: tuple[Outcome, ...] = ("related", "not_related", "inconclusive")
DELAYS = (timedelta(0), timedelta(seconds=-1), timedelta(minutes=1), timedelta(days=3), timedelta(days=31))
ACTORS = {
    "opened": "manager",
    "proposed": "manager",
    "frozen": "manager",
    "acquired": "respondent",
    "analysed": "analyst",
    "unblinded": "manager",
    "responded": "respondent",
    "replicated": "replicator",
    "reviewed": "reviewer",
    "opined": "analyst",
    "closed": "manager",
    "appealed": "complainant",
    "appeal_decided": "appeal_reviewer",
    "expunged": "manager",
}
ANYTHING = [*sorted(set(ACTORS) - {"closed", "expunged"}) * 3, "closed", "expunged"]  # these two end it all
FITTING = {
    "new": ["opened"],
    "opened": ["proposed"],
    "proposed": ["frozen"],
    "unblinded": ["responded", "reviewed"],
    "answered": ["replicated", "reviewed"],
    "replicated": ["reviewed", "reviewed", "responded"],
    "reviewed": ["opined", "opined", "responded"],
    "opined": ["appealed", "reviewed", "closed"],
    "void": ["closed"],
    "closed": ["appealed", "reviewed", "expunged"],
    "appealed": ["appeal_decided"],
    "decided": ["reviewed", "closed"],
    "expunged": ["expunged"],
}


def body_of(kind: str, case: Play, random: Random) -> Body:
    """An event of this kind: often one that fits, often not."""
    state = case.state
    code = f"M-{random.randint(1, 6)}"
    documents = [one.document for one in state.analysed]
    match kind:
        case "opened":
            return played.opened()
        case "proposed":
            return played.proposed(*random.choice([(), (), (played.theirs(9),)]))
        case "frozen":
            named = ALTERNATIVES[: random.choice([6, 7, 7, 7])]
            return played.frozen(treatments=tuple(map(played.treatment, named)))
        case "acquired":
            return played.acquired(random.choice([code, f"D-{len(state.acquired) + 1}"]), case.at)
        case "analysed":
            return played.analysed(code, random.choice([None, None, *OUTCOMES]))
        case "unblinded":
            return played.unblinded(salt=random.choice([played.SALT, played.SALT, bytes(32)]))
        case "responded":
            return played.responded(declined=random.random() < 0.3)
        case "replicated":
            again = documents[: random.choice([5, 5, 5, 4])] or [played.digest("none")]
            return played.replicated(again, difference=random.choice([0.0, 0.0, 1e-3]))
        case "reviewed":
            return played.reviewed(accepted=random.random() < 0.7)
        case "opined":
            version = len(state.opinions) + random.choice([1, 1, 1, 2])
            verdict = random.choice(["inconclusive", "supports_claim", "supports_alternative"])
            return played.opined(version, headline_log10=random.choice([None, 0.2, 3.0, -3.0]), verdict=verdict)
        case "closed":
            return played.closed(random.choice(["completed", "completed", "void", "withdrawn", "unanswerable"]))
        case "appealed":
            return played.appealed()
        case "appeal_decided":
            return played.decided(random.choice(["upheld", "varied", "annulled"]))
        case _:
            ground = random.choice(["annulment", "withdrawal", "retention", "court_order"])
            void = random.choice([state.void, state.void, not state.void])
            return played.expunged(sorted({0, *range(state.events)}), ground, void=void)


def walk(random: Random) -> Play:
    """A case in which people try all sorts of things; every accepted event is asked about at once."""
    case = Play()
    for _ in range(STEPS):
        after = random.choice(DELAYS)
        if random.random() < 0.4:
            body = body_of(random.choice(ANYTHING), case, random)
            role = random.choice([ACTORS[body.kind], random.choice(played.ROLES), "ab" * 32])
            attempt(case, role, body, after)
        elif case.state.stage in FITTING:
            body = body_of(random.choice(FITTING[case.state.stage]), case, random)
            attempt(case, ACTORS[body.kind], body, after)
        else:
            examine(case, random)
    return case


def examine(case: Play, random: Random) -> None:
    """What is missing of the line-up, or of the comparisons; one control in ten fails."""
    if missing := case.state.not_acquired():
        for code, _ in missing:
            if random.random() < 0.8:
                attempt(case, "manager", played.acquired(code, case.at), timedelta(0))
        if random.random() < 0.5:
            return
    for _, code in case.state.not_analysed():
        outcome = random.choice(OUTCOMES) if random.random() < 0.1 else None
        attempt(case, "analyst", played.analysed(code, outcome), timedelta(0))
    attempt(case, "manager", played.unblinded(), timedelta(0))


def attempt(case: Play, role: str, body: Body, after: timedelta) -> None:
    before, number = case.state, len(case.events)
    try:
        case.do(role, body, after=after)
    except VerificationError:
        assert case.state is before
        assert len(case.events) == number
        return
    bodies = [event.body for event in case.events]
    records = [event.record for event in case.events]
    if number:
        assert records[-1].at >= records[-2].at
    roles = {one.id: one.role for one in bodies[0].parties}  # type: ignore[union-attr]
    require(roles[records[-1].actor], body, bodies[:-1], records)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_no_reachable_state_breaks_a_promise(seed: int) -> None:
    case = walk(Random(seed))
    alive = [event for event in case.events if event.record.kind != "expunged"]
    if alive and len(alive) == len(case.events):  # a tombstone needs its events erased
        assert proceed(alive) == case.state


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_left_of_a_case_still_holds(seed: int) -> None:
    """Whatever was erased with a tombstone, the rest is accepted; without one, or with another one, it is not."""
    random = Random(seed)
    case = walk(random)
    if case.state.stage in ("new", "expunged"):
        return
    some = sorted(random.sample(range(1, len(case.events)), random.randint(0, len(case.events) - 1)))
    numbers = random.choice([some or [0], list(range(len(case.events)))])
    try:
        case.do("manager", played.expunged(numbers, "court_order", void=case.state.void))
    except VerificationError:
        assert numbers == [0]
        return
    left = [replace(one, body=None) if one.record.sequence in numbers else one for one in case.events]
    state = proceed(left)
    assert (state.stage, state.unseen) == ("expunged", True)
    other = random.choice(numbers)
    back = [one if one.record.sequence != other else case.events[other] for one in left]
    for wrong in (back, left[:-1]):
        with pytest.raises(VerificationError, match="rule 30"):
            proceed(wrong)


def test_the_walks_come_far() -> None:
    reached = Counter(event.record.kind for seed in range(60) for event in walk(Random(seed)).events)
    assert set(reached) == set(ACTORS)
    assert reached["opined"] > 10
    assert reached["appeal_decided"] > 3


def require(role: str, body: Body, before: list[Body | None], records: list[Record]) -> None:
    """What must hold when an event was accepted, given those before it."""

    def some(kind: type) -> list:  # type: ignore[type-arg]
        return [one for one in before if isinstance(one, kind)]

    def last(kind: type) -> int:
        return max((place for place, one in enumerate(before) if isinstance(one, kind)), default=-1)

    assert role in RULES[body.kind].roles
    assert isinstance(body, Expunged) or not some(Expunged)
    findings = {one.questioned: one.summary.outcome for one in some(Analysed)}
    failed = findings and (
        findings.get("M-3", "related") != "related"
        or any(findings.get(code) == "related" for code in ("M-1", "M-5", "M-6"))
        or all(findings.get(code, "not_related") == "inconclusive" for code in ("M-1", "M-5", "M-6"))
    )
    match body:
        case Frozen(protocol=protocol):
            assert {one.alternative for one in protocol.treatments} == set(ALTERNATIVES)
            sides = {one.side for filed in some(Proposed) for one in filed.propositions}
            assert sides == {"complainant", "respondent"}
            assert not some(Frozen)
        case Proposed():
            assert not some(Frozen)
        case Acquired():
            assert some(Frozen)
            assert not some(Analysed) or body.access == "document"
        case Analysed():
            assert {one.code for one in some(Acquired)} >= set(played.LINE_UP.codes)
            assert not some(Unblinded)
            assert body.questioned not in findings
            assert role == "analyst"
        case Unblinded():
            assert set(findings) == set(played.TRUTH)
            assert body == played.unblinded()
            assert role == "manager"
        case Responded() | Replicated() | Reviewed() | Opined():
            assert some(Unblinded)
            assert not failed
            if isinstance(body, Replicated):
                assert {one.document for one in body.findings} == {one.document for one in some(Analysed)}
            if isinstance(body, Reviewed):
                since, at = (datetime.fromisoformat(one.at) for one in (records[last(Unblinded)], records[-1]))
                assert some(Responded) or at - since >= timedelta(days=30)
            if isinstance(body, Opined):
                reviews = [place for place, one in enumerate(before) if isinstance(one, Reviewed) and one.accepted]
                assert max(reviews, default=-1) > max(last(Responded), last(Replicated), last(Opined), last(Acquired))
                assert not any(one.result == "annulled" for one in some(AppealDecided))
                replications = some(Replicated)
                assert not replications or replications[-1].agrees
                if not replications or not all(one.agrees for one in replications):
                    assert abs(body.headline_log10 or 0) <= 2
                    assert not body.verdict.startswith("supports_")
                    assert findings["M-4"] != "related"
        case Appealed():
            assert role in ("complainant", "respondent")
            assert some(Opined)
        case AppealDecided():
            assert role == "appeal_reviewer"
            assert len(some(Appealed)) == len(some(AppealDecided)) + 1
        case Closed(outcome="completed"):
            assert some(Opined)
        case Closed(outcome="void"):
            assert failed
        case Closed(outcome="unanswerable"):
            assert some(Unblinded) or set(findings) != set(played.TRUTH)
        case Expunged():
            assert body.void == bool(failed and some(Unblinded))
        case Opened() | Joined() | Closed():
            pass
        case _:
            raise AssertionError(body)
