"""Mirrors that read the logs in whatever order come to what the bureaus came to."""

from collections import deque
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_admission import _KEYS, refused
from test_notice_laws import Move, moves, played
from test_notices import STATES
from worlds import START, B, Case, World, case, key_of, model, public

from whorl.entries.kinds import Key
from whorl.entries.leaf import NO_HASH
from whorl.entries.statement import open_entry
from whorl.registry.admission import admit
from whorl.registry.notices import NoticeState, notice_standing
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts


class Reader:
    """Reads the logs of a world in bits, and tries again what may pass later."""

    def __init__(self, trial: Case) -> None:
        self._source = trial.world
        self.mirror = World()
        self.waiting: list[EntryFacts] = []
        entries = sorted(trial.world.view.entries.values(), key=lambda one: one.index)
        self._logs = {origin: deque(one for one in entries if one.origin == origin) for origin in trial.world.sizes}

    def skip(self, facts: EntryFacts) -> None:
        """Never be shown one entry."""
        self._logs[facts.origin].remove(facts)
        self.mirror.view.held.add((facts.origin, facts.hash))

    def read(self, random: Random) -> None:
        """Read all logs to their ends."""
        while unread := [log for log in self._logs.values() if log]:
            self.waiting.append(random.choice(unread).popleft())
            self.mirror.view.held.add((self.waiting[-1].origin, self.waiting[-1].hash))
            if random.random() < 0.5:
                self.try_again()
        for _ in self.waiting[:]:
            self.try_again()

    def try_again(self) -> None:
        self.waiting = [facts for facts in self.waiting if not self._admits(facts)]

    def _admits(self, facts: EntryFacts) -> bool:
        assert facts.statement is not None
        owner = next(key for key in _KEYS if key.id == facts.issuer)
        added = facts.statement.body.public if isinstance(facts.statement.body, Key) else None
        cosigners = [key for key in _KEYS if key.id in facts.signers - {owner.id} or public(key) == added]
        entry, leaf = open_entry(facts.statement.sign(owner, cosigners=cosigners)), self._source.leaves[facts.hash]
        place = {"origin": facts.origin, "index": facts.index}
        try:
            admitted = admit(entry, leaf, self.mirror.view, at=START, replaying=True, **place)  # type: ignore[arg-type]
        except Refusal as refusal:
            if not refusal.may_pass_later:
                raise
            return False
        assert (admitted.organisation, admitted.signers) == (facts.organisation, facts.signers)
        self.mirror.view.insert(facts)
        return True


def agrees(trial: Case, random: Random) -> None:
    reader = Reader(trial)
    reader.read(random)
    assert reader.waiting == []
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


def test_what_a_mirror_is_not_shown_does_not_stop_an_issuers_chain() -> None:
    trial = case()
    trial.dispute()
    hidden = trial.world.enter(key_of("Meridian AI"), "model", model("not shown", "Meridian AI", None))
    response = trial.respond()
    reader = Reader(trial)
    reader.skip(hidden)
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
    mirror.view.held.add((B, b"p" * 32))  # what stands between was not shown
    mirror.admit(later, origin=B, replaying=True)
