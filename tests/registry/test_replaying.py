"""Mirrors replay the logs in whatever order they read them, and come to what the bureaus came to."""

from collections import deque
from dataclasses import replace
from random import Random

from test_admission import _KEYS
from worlds import START, Case, World

from whorl.entries.statement import open_entry
from whorl.registry.admission import admit
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts


def envelope_of(facts: EntryFacts) -> bytes:
    assert facts.statement is not None
    owner = next(key for key in _KEYS if key.id == facts.issuer)
    return facts.statement.sign(owner, cosigners=[key for key in _KEYS if key.id in facts.signers - {owner.id}])


def replayed(trial: Case, random: Random) -> World:
    """A mirror that reads the three logs in bits and tries again what may pass later."""
    envelopes = {facts.hash: envelope_of(facts) for facts in trial.world.view.entries.values()}
    logs = {
        origin: deque(
            sorted((one for one in trial.world.view.entries.values() if one.origin == origin), key=lambda one: one.index)
        )
        for origin in trial.world.sizes
    }
    mirror, waiting = World(), []
    while any(logs.values()) or waiting:
        origin = random.choice([name for name, log in logs.items() if log] or [""])
        waiting.append(logs[origin].popleft() if origin else waiting.pop(0))
        if origin and random.random() < 0.5:
            continue
        held = []
        for facts in sorted(waiting, key=lambda one: one.index):
            if not _take(mirror, facts, envelopes[facts.hash]):
                held.append(facts)
        assert origin or len(held) < len(waiting), "an entry is refused for good"
        waiting = held
    return mirror


def _take(mirror: World, facts: EntryFacts, envelope: bytes) -> bool:
    entry = open_entry(envelope)
    leaf = _Leaf(entry.leaf(bytes(32)), facts.hash)
    try:
        admitted = admit(
            entry, leaf, mirror.view, origin=facts.origin, index=facts.index, at=START, replaying=True
        )
    except Refusal as refusal:
        assert refusal.may_pass_later or refusal.code == "unknown_issuer", refusal
        return False
    assert admitted.signers == facts.signers
    mirror.view.insert(replace(facts, organisation=admitted.organisation, signers=admitted.signers))
    return True
