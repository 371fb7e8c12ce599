"""Mirrors that read the logs in whatever order come to what the bureaus came to."""

from collections import deque
from collections.abc import Collection
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remembered_view import RememberedLeaves, against
from test_admission import _KEYS, refused
from test_notice_laws import Move, moves, played
from test_notices import STATES
from worlds import START, B, Case, World, case, key_of, model, public

from whorl.entries.kinds import Key
from whorl.entries.leaf import NO_HASH
from whorl.entries.statement import open_entry
from whorl.registry.admission import place, require_fitting
from whorl.registry.candidate import Candidate
from whorl.registry.notices import NoticeState, notice_standing
from whorl.registry.refusals import Refusal
from whorl.registry.standing import not_in_good_standing
from whorl.registry.view import EntryFacts


class Reader:
    """Reads the logs of a world in bits, is not shown some entries, and tries again what may pass later."""

    def __init__(self, trial: Case, *, hidden: Collection[bytes] = ()) -> None:
        self._source = trial.world
        self._hidden = hidden
        self.mirror = World()
        self.placed: list[EntryFacts] = []
        self.waiting: list[tuple[EntryFacts, Candidate]] = []
        self.refused: list[Refusal] = []
        entries = sorted(trial.world.view.entries.values(), key=lambda one: one.index)
        self._logs = {origin: deque(one for one in entries if one.origin == origin) for origin in trial.world.sizes}

    def read(self, random: Random) -> None:
        """Read all logs to their ends."""
        while unread := [log for log in self._logs.values() if log]:
            self._take(random.choice(unread).popleft())
            if random.random() < 0.5:
                self.try_again()
        for _ in self.waiting[:]:
            self.try_again()

    def try_again(self) -> None:
        self.waiting = [one for one in self.waiting if not self._fits(*one)]

    def map(self) -> dict[bytes, bytes]:
        """The status map of all that was read."""
        leaves = RememberedLeaves([*self.mirror.view.held.values(), *self.mirror.view.entries.values()])
        return not_in_good_standing(self.placed, leaves, self.mirror.view)

    def _take(self, facts: EntryFacts) -> None:
        if facts.hash in self._hidden:
            self.mirror.view.hold(facts)
            return
        assert facts.statement is not None
        owner = next(key for key in _KEYS if key.id == facts.issuer)
        added = facts.statement.body.public if isinstance(facts.statement.body, Key) else None
        cosigners = [key for key in _KEYS if key.id in facts.signers - {owner.id} or public(key) == added]
        entry, leaf = open_entry(facts.statement.sign(owner, cosigners=cosigners)), self._source.leaves[facts.hash]
        found = place(entry, leaf, self.mirror.view, origin=facts.origin, index=facts.index, at=START, replaying=True)
        assert (found.admitted.organisation, found.admitted.signers) == (facts.organisation, facts.signers)
        self.placed.append(facts)
        if found.candidate is None:
            self.mirror.view.insert(facts)
            return
        self.mirror.view.hold(facts, waits=True)
        self.waiting.append((facts, found.candidate))
        self.try_again()

    def _fits(self, facts: EntryFacts, candidate: Candidate) -> bool:
        try:
            require_fitting(candidate)
        except Refusal as refusal:
            if refusal.may_pass_later:
                return False
            self.refused.append(refusal)
            self.mirror.view.hold(facts)
            return True
        self.mirror.view.insert(facts)
        return True


def agrees(trial: Case, random: Random) -> None:
    reader = Reader(trial)
    reader.read(random)
    assert (reader.waiting, reader.refused) == ([], [])
    assert reader.map() == against(trial.world.view.entries.values(), trial.world.view)
    assert reader.mirror.view.entries.keys() == trial.world.view.entries.keys()
    assert notice_standing(trial.notice, reader.mirror.view, at=trial.world.now) == trial.standing()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("seed", range(3))
def test_each_life_of_a_notice_is_replayed(state: NoticeState, seed: int) -> None:
    trial = case()
    STATES[state](trial)
    agrees(trial, Random(seed))


@settings(max_examples=60, deadline=None)
@given(moves, st.randoms(use_true_random=False))
def test_small_worlds_are_replayed(drawn: list[Move], random: Random) -> None:
    agrees(played([move for move in drawn if move.what != "steal"], by_the_rules=True), random)


MAY_BE_HIDDEN = ("model", "finding", "notice", "response")


@settings(max_examples=60, deadline=None)
@given(moves, st.randoms(use_true_random=False), st.sampled_from([1, 4]))
def test_whatever_a_mirror_is_not_shown_no_bureau_seems_to_cheat_and_the_map_is_the_same(
    drawn: list[Move], random: Random, one_in: int
) -> None:
    trial = played([move for move in drawn if move.what != "steal"], by_the_rules=True)
    entries = trial.world.view.entries.values()
    hidden = {one.hash for one in entries if one.kind in MAY_BE_HIDDEN and random.randrange(one_in) == 0}
    reader = Reader(trial, hidden=hidden)
    reader.read(random)
    assert not any(refusal.is_certain for refusal in reader.refused)
    for _, candidate in reader.waiting:
        with pytest.raises(Refusal) as caught:
            require_fitting(candidate)
        assert not caught.value.is_certain
    assert reader.map() == against(entries, trial.world.view)


def test_what_a_mirror_is_not_shown_does_not_stop_an_issuers_chain() -> None:
    trial = case()
    trial.dispute()
    hidden = trial.world.enter(key_of("Meridian AI"), "model", model("not shown", "Meridian AI", None))
    response = trial.respond()
    reader = Reader(trial, hidden={hidden.hash})
    reader.read(Random(1))
    assert reader.waiting == []
    assert reader.mirror.view.entry(response.hash) is not None


def test_a_mirror_refuses_a_used_number_and_a_chain_that_does_not_join() -> None:
    trial = case()
    reader = Reader(trial)
    reader.read(Random(1))
    mirror, key = reader.mirror, key_of("Meridian AI")
    mirror.sizes = trial.world.sizes
    last = mirror.statement(key, "model", model("next", "Meridian AI", None))
    begun = mirror.view.link(key.id, 0, origin=B)
    assert begun is not None
    used = replace(last, sequence=1, previous=begun)
    with refused("equivocation"):
        mirror.admit(open_entry(used.sign(key)), origin=B, replaying=True)
    with refused("wrong_previous"):  # a chain begins with the entry that introduced its key, and with no other
        mirror.admit(open_entry(replace(last, sequence=0, previous=NO_HASH).sign(key)), origin=B, replaying=True)
    with refused("wrong_previous"):
        mirror.admit(open_entry(replace(last, previous=b"p" * 32).sign(key)), origin=B, replaying=True)
    mirror.admit(open_entry(last.sign(key)), origin=B, replaying=True)
    later = open_entry(replace(last, sequence=9, previous=b"p" * 32).sign(key))
    with refused("wrong_previous"):
        mirror.admit(later, origin=B, replaying=True)
    mirror.view.held[b"p" * 32] = replace(trial.accused, hash=b"p" * 32)  # it stands in this log
    mirror.admit(later, origin=B, replaying=True)
