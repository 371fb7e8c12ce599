"""Levels of claimants: what lifts a claim, what does not, and that competing claims stand side by side."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from test_admission import fingerprint, refused
from worlds import ACCUSED, DAY, REFERENCE, START, A, B, C, World, digest, federation, instant, key_of, model

from whorl.entries.kinds import Commitment, Opening
from whorl.registry.levels import claimant_level, competing_claims
from whorl.registry.view import EntryFacts

NORTHWIND = key_of("Northwind Labs")
RELEASE = START + 30 * DAY


@pytest.fixture
def world() -> World:
    return federation()


def claim(world: World, by: str = "Northwind Labs", **more: object) -> EntryFacts:
    return world.enter(key_of(by), "model", model("lumen-1", "Northwind Labs", REFERENCE, **more))


def level(world: World, entry: EntryFacts) -> int:
    return claimant_level(entry, world.view).level


def take(world: World, by: str, entry: EntryFacts, content: str = REFERENCE) -> EntryFacts:
    return world.enter(key_of(by), "fingerprint", fingerprint(content), target=entry)


def verify(world: World, name: str, *, by: str = A) -> EntryFacts:
    lab = world.view.entry(world.homes[name])
    assert lab is not None
    return world.vote(by, "verified", lab)


def seal(world: World, by: str = "Northwind Labs") -> EntryFacts:
    body = Commitment(root="ab" * 32, count=4, purpose="alibi", expires=instant(START + 900 * DAY))
    return world.enter(key_of(by), "commitment", body)


def open_up(world: World, sealed: EntryFacts, shown: str = REFERENCE, *, by: str = "Northwind Labs") -> EntryFacts:
    """An opening whose blob this bureau has and checked."""
    entry = world.enter(key_of(by), "opening", Opening(blob=digest("opened"), members=(1,)), target=sealed)
    checked = replace(entry, shown=frozenset({shown}))
    world.view.entries[entry.hash] = checked
    return checked


def test_l0_what_somebody_says(world: World) -> None:
    entry = claim(world)
    found = claimant_level(entry, world.view)
    assert (found.level, found.claimant, found.earliest) == (0, world.homes["Northwind Labs"], START)
    assert [ground.by for ground in found.grounds] == [(entry.hash,)]


def test_l1_a_bureau_verified_the_organisation(world: World) -> None:
    entry = claim(world)
    world.add_key("Northwind Labs", key_of("would-be bureau"), "bureau")
    lab = world.view.entry(world.homes["Northwind Labs"])
    assert lab is not None
    world.add_key("Harbour Models", key_of("another would-be bureau"), "bureau")
    for name in ("would-be bureau", "another would-be bureau"):
        world.vote(name, "verified", lab, slipped=True)
    assert level(world, entry) == 0
    vote = verify(world, "Northwind Labs", by=B)
    found = claimant_level(entry, world.view)
    assert (found.level, found.grounds[-1].by) == (1, (vote.hash,))


def test_l2_somebody_else_took_the_fingerprint(world: World) -> None:
    entry = claim(world)
    take(world, "Northwind Labs", entry)
    take(world, "Harbour Models", entry)
    assert level(world, entry) == 0  # the claimant's own, and one of nobody whom a bureau verified
    taken = take(world, "First Examiner", entry)
    found = claimant_level(entry, world.view)
    assert (found.level, found.grounds[-1].by) == (2, (taken.hash,))
    take(world, "First Examiner", entry)
    assert level(world, entry) == 2
    world.vote("First Examiner", "withdrawn", taken)
    assert level(world, entry) == 2


def test_a_submitter_of_a_verified_lab_recomputes_nothing(world: World) -> None:
    entry = claim(world)
    verify(world, "Harbour Models")
    take(world, "Harbour Models", entry)
    assert level(world, entry) == 0


def test_a_fingerprint_of_something_else_lifts_nothing(world: World) -> None:
    hollow = world.enter(NORTHWIND, "model", model("lumen-0", "Northwind Labs", None))
    with refused("no_content"):
        take(world, "First Examiner", hollow, ACCUSED)
    taken = take(world, "First Examiner", entry := claim(world))
    assert level(world, entry) == 2
    world.vote("First Examiner", "withdrawn", taken)
    assert level(world, entry) == 0


def test_l3_two_organisations_at_home_with_different_bureaus(world: World) -> None:
    entry = claim(world)
    take(world, "First Examiner", entry)
    take(world, C, entry)
    assert level(world, entry) == 2  # two organisations, one bureau
    take(world, B, entry)
    assert level(world, entry) == 3
    assert len(claimant_level(entry, world.view).grounds[-1].by) == 3


def test_an_examiner_whose_key_was_stolen_lifts_nothing(world: World) -> None:
    entry, since = claim(world), world.sizes[C]
    take(world, "First Examiner", entry)
    world.revoke("First Examiner", key_of("First Examiner"), since=since)
    assert level(world, entry) == 0


def test_l4_sealed_before_the_release_and_opened_later(world: World) -> None:
    sealed = seal(world)
    world.now = RELEASE
    entry = claim(world, released=instant(RELEASE))
    assert level(world, entry) == 0
    opened = open_up(world, sealed)
    found = claimant_level(entry, world.view)
    assert (found.level, found.earliest, found.grounds[-1].by) == (4, START, (sealed.hash, opened.hash))


@pytest.mark.parametrize("fault", ["too late", "another content", "not checked", "withdrawn", "no release", "claimed"])
def test_what_is_no_l4(world: World, fault: str) -> None:
    released: datetime | None = RELEASE
    if fault == "claimed":
        claim(world, "Harbour Models")
        world.now += timedelta(seconds=1)
    if fault == "too late":
        world.now = RELEASE
    if fault == "no release":
        released = None
    sealed = seal(world)
    entry = claim(world, released=None if released is None else instant(released))
    opened = open_up(world, sealed, ACCUSED if fault == "another content" else REFERENCE)
    if fault == "not checked":
        world.view.entries[opened.hash] = replace(opened, shown=frozenset())
    if fault == "withdrawn":
        world.vote("Northwind Labs", "withdrawn", sealed)
    assert level(world, entry) == 0


def test_the_first_of_several_seals_counts(world: World) -> None:
    first = seal(world)
    world.now += DAY
    second = seal(world)
    entry = claim(world, released=instant(RELEASE))
    open_up(world, second)
    assert claimant_level(entry, world.view).earliest == START + DAY
    open_up(world, first)
    assert claimant_level(entry, world.view).earliest == START


def test_attack_5_a_squatter_on_open_weights_stands_beside_the_maker_and_below(world: World) -> None:
    """Harbour Models registers Northwind Labs' open weights first. Both claims are shown, the sealed one first."""
    sealed = seal(world)
    world.now = RELEASE
    squat = claim(world, "Harbour Models", released=instant(START - 100 * DAY))
    squatter_seal = seal(world, "Harbour Models")
    open_up(world, squatter_seal, by="Harbour Models")
    world.now += DAY
    verify(world, "Northwind Labs")
    made = claim(world, released=instant(RELEASE))
    open_up(world, sealed)
    take(world, "First Examiner", made)
    claims = competing_claims(world.view.models(REFERENCE), world.view)
    assert [(one.model, one.level) for one in claims] == [(made.hash, 4), (squat.hash, 0)]
    assert [ground.level for ground in claims[0].grounds] == [0, 1, 2, 4]
    assert claims[0].earliest < claims[1].earliest
    said = " ".join(ground.because for one in claims for ground in one.grounds)
    assert "owner" not in said


def test_a_squatter_who_seals_what_is_out_already_gains_no_level(world: World) -> None:
    """Even with a later release date of its own making."""
    claim(world, released=instant(START))
    world.now += DAY
    sealed = seal(world, "Harbour Models")
    squat = claim(world, "Harbour Models", released=instant(RELEASE))
    open_up(world, sealed, by="Harbour Models")
    assert level(world, squat) == 0


def test_claims_of_one_name_are_listed_in_the_order_of_their_evidence(world: World) -> None:
    entries = []
    for by in ("Meridian AI", "Northwind Labs", "Harbour Models"):
        entries.append(claim(world, by))
        world.now += DAY
    found = competing_claims(reversed(entries), world.view)
    assert [one.model for one in found] == [one.hash for one in entries]


def test_an_erased_claim_keeps_its_place_and_has_no_level(world: World) -> None:
    entry = claim(world)
    take(world, "First Examiner", entry)
    erased = replace(entry, statement=None, organisation=None)
    found = claimant_level(erased, world.view)
    assert (found.level, found.claimant) == (0, None)
