"""Whether entries stand, and the map of those that do not, which every mirror must be able to make again."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remembered_view import against
from test_notice_laws import moves, played
from test_notices import STATES
from worlds import B, C, Case, case, key_of, model

from whorl.entries.kinds import Status
from whorl.entries.status_map import Absent, Present, StatusMap, verify_status
from whorl.registry.standing import entry_standing

SECOND = timedelta(seconds=1)


def standing(trial: Case, entry: object) -> str:
    return entry_standing(entry, trial.world.view, at=trial.world.now).standing  # type: ignore[arg-type]


def spoken_against(trial: Case) -> dict[bytes, bytes]:
    return against(list(trial.world.view.entries.values()), trial.world.view)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("filed", "good"),
        ("reviewed", "good"),
        ("published", "good"),
        ("upheld", "good"),
        ("blocked", "disputed"),
        ("annulled", "annulled"),
        ("withdrawn", "withdrawn"),
        ("expired", "expired"),
        ("refused", "refused"),
    ],
)
def test_a_notice_stands_as_its_state_says(state: str, expected: str) -> None:
    trial = case()
    STATES[state](trial)  # type: ignore[index]
    found = entry_standing(trial.notice, trial.world.view, at=trial.world.now)
    assert (found.standing, found.by) == (expected, trial.standing().by)


def test_other_entries_stand_until_something_speaks_against_them() -> None:
    trial = case()
    world = trial.world
    assert standing(trial, trial.accused) == "good"
    since = world.sizes[B]
    later = world.enter(key_of("Meridian AI"), "model", model("orion-2", "Meridian AI", None))
    world.revoke("Meridian AI", key_of("Meridian AI"), since=since)
    assert (standing(trial, trial.accused), standing(trial, later)) == ("good", "doubted")
    withdrawn = world.vote("First Examiner", "withdrawn", trial.findings[0])
    found = entry_standing(trial.findings[0], world.view, at=world.now)
    assert (found.standing, found.by) == ("withdrawn", (withdrawn.hash,))
    trial.rule("annulled", trial.findings[0])
    assert standing(trial, trial.findings[0]) == "annulled"


def test_one_judge_annuls_nothing_and_no_judge_in_their_own_case() -> None:
    trial = case()
    trial.world.vote("Judge 0", "annulled", trial.accused)
    assert standing(trial, trial.accused) == "good"
    assert trial.accused.hash not in spoken_against(trial)
    judge = trial.world.view.keys[trial.world.place(key_of("Judge 1"))]
    trial.world.view.keys[trial.world.place(key_of("Judge 1"))] = replace(
        judge, organisation=trial.world.homes["Meridian AI"]
    )
    trial.world.vote("Judge 1", "annulled", trial.accused, slipped=True)
    assert standing(trial, trial.accused) == "good"
    trial.world.vote("Judge 2", "annulled", trial.accused)
    assert standing(trial, trial.accused) == "annulled"
    assert trial.accused.hash in spoken_against(trial)


def test_a_notice_whose_findings_fell_or_whose_key_was_stolen_is_doubted() -> None:
    trial = case()
    stolen = replace(trial, world=trial.world.copy())
    trial.world.vote("First Examiner", "withdrawn", trial.findings[0])
    assert standing(trial, trial.notice) == "doubted"
    stolen.world.revoke("Northwind Labs", key_of("Northwind Labs"), since=stolen.notice.index)
    assert standing(stolen, stolen.notice) == "doubted"


def test_the_map_names_the_gravest_entry_against_each() -> None:
    trial = case()
    assert spoken_against(trial) == {}
    dispute = trial.dispute()
    trial.dispute()
    assert spoken_against(trial) == {trial.notice.hash: dispute.hash}
    refusal = trial.review("refused")
    assert spoken_against(trial) == {trial.notice.hash: refusal.hash}
    since = trial.notice.index
    revocation = trial.world.revoke("Northwind Labs", key_of("Northwind Labs"), since=since)
    assert spoken_against(trial) == {trial.notice.hash: revocation.hash}
    ruling = trial.rule("annulled")
    assert spoken_against(trial) == {trial.notice.hash: ruling.hash}


def test_an_annulment_stays_in_the_map_when_a_judges_key_is_stolen_afterwards() -> None:
    trial = case()
    since = trial.world.sizes[C]
    ruling = trial.rule("annulled")
    trial.world.revoke("Judge 0", key_of("Judge 0"), since=since)
    assert spoken_against(trial)[trial.notice.hash] == ruling.hash


def test_a_stolen_key_takes_back_no_model_and_what_accuses_stays_taken_back() -> None:
    trial = case()
    world = trial.world
    stolen = key_of("stolen from Meridian AI")
    world.add_key("Meridian AI", stolen, "submitter")
    since = world.sizes[B]
    vote = world.enter(stolen, "status", Status(state="withdrawn", reason="Mistake."), target=trial.accused)
    assert standing(trial, trial.accused) == "withdrawn"
    assert trial.accused.hash in spoken_against(trial)
    world.revoke("Meridian AI", stolen, since=since)
    assert (standing(trial, trial.accused), standing(trial, vote)) == ("good", "doubted")
    assert trial.accused.hash not in spoken_against(trial)
    assert vote.hash in spoken_against(trial)

    of_finding = world.vote("First Examiner", "withdrawn", trial.findings[0])
    examiner = key_of("First Examiner")
    world.revoke("First Examiner", examiner, since=of_finding.index)
    assert standing(trial, trial.findings[0]) == "withdrawn"
    assert trial.findings[0].hash in spoken_against(trial)


def test_withdrawn_entries_are_in_the_map_and_a_settled_dispute_stays_in_it() -> None:
    trial = case()
    taken_back = trial.world.vote("First Examiner", "withdrawn", trial.findings[0])
    dispute = trial.dispute()
    trial.rule("dismissed", dispute)
    expected = {trial.findings[0].hash: taken_back.hash, trial.notice.hash: dispute.hash}
    assert spoken_against(trial) == expected
    erased = replace(dispute, statement=None)
    entries = [one for one in trial.world.view.entries.values() if one.hash != dispute.hash]
    assert against([*entries, erased], trial.world.view) == {trial.findings[0].hash: taken_back.hash}


@settings(max_examples=100, deadline=None)
@given(moves, st.randoms(use_true_random=False), st.integers(-400, 400))
def test_every_mirror_makes_the_same_map(drawn: list[object], random: Random, days: int) -> None:
    """In whichever order, and whenever, it saw the entries of the same logs."""
    trial = played(drawn, by_the_rules=True)  # type: ignore[arg-type]
    mine = spoken_against(trial)
    seen = [
        replace(one, seen_at=one.seen_at + timedelta(days=days * random.random()))
        for one in trial.world.view.entries.values()
    ]
    random.shuffle(seen)
    mirrored = trial.world.view.copy()
    mirrored.entries = {one.hash: one for one in seen}
    assert against(seen, mirrored) == mine


@settings(max_examples=100, deadline=None)
@given(moves)
def test_what_is_not_in_the_map_was_never_spoken_against(drawn: list[object]) -> None:
    trial = played(drawn, by_the_rules=True)  # type: ignore[arg-type]
    trial.world.view.keys = {
        key: replace(facts, compromised_since=None) for key, facts in trial.world.view.keys.items()
    }
    mine = spoken_against(trial)
    for entry in trial.world.view.entries.values():
        found = entry_standing(entry, trial.world.view, at=trial.world.now)
        if found.standing in ("annulled", "withdrawn", "disputed", "refused"):
            assert entry.hash in mine


def test_attack_19_a_bureau_that_drops_a_status_is_found_out() -> None:
    """A bureau publishes a map without the annulment: no mirror of the same logs makes that map."""
    trial = case()
    trial.dispute()
    trial.rule("annulled")
    view, entries = trial.world.view, list(trial.world.view.entries.values())
    honest = StatusMap(against(entries, view))
    assert isinstance(_look_up(honest, trial.notice.hash), Present)
    for dropped in ("status", "dispute"):
        kept = [one for one in entries if one.kind != dropped]
        lying = StatusMap(against(kept, view))
        assert (lying.root != honest.root) == (dropped == "status")  # the dispute weighs less than the ruling
    assert StatusMap(against(entries, view)).root == honest.root
    silent = StatusMap({})
    assert isinstance(_look_up(silent, trial.notice.hash), Absent)  # why absence counts only with the mirrors' word
    assert silent.root != honest.root


def _look_up(status_map: StatusMap, entry: bytes) -> object:
    return verify_status(status_map.prove(entry), entry, root=status_map.root, size=status_map.size)
