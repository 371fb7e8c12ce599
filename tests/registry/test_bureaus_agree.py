"""Honest bureaus, whatever issuers enter and in whichever order they read each other, cosign each other in the end."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from bureaus import Clock, NearPeer, SmallBureau, Writer, federate, make_bureau
from small_log import counting_bytes

from whorl.entries.handling import CLEAR, Handling
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import (
    Body,
    Commitment,
    Dispute,
    Fingerprint,
    Key,
    Model,
    Notice,
    Opening,
    Organisation,
    Response,
    Status,
)
from whorl.entries.leaf import NO_HASH
from whorl.registry.checking import check_registry
from whorl.registry.database_errors import RegistryError
from whorl.registry.database_view import DatabaseView
from whorl.registry.log_rows import stored_logs
from whorl.registry.mirroring import BehindError
from whorl.registry.public_keys import issuer_public
from whorl.registry.replaying import erase_entry, rebuild_derived
from whorl.registry.sequencer import Entered
from whorl.registry.spoken_against import spoken_against

CONTENTS = tuple(f"sha256:{letters * 32}" for letters in ("1a", "2b"))
MOVES = 80


@dataclass
class Federation:
    """Bureaus, issuers with a key in one or several logs, and what was entered, by kind."""

    bureaus: list[SmallBureau]
    keys: list[IssuerKey]
    judges: list[IssuerKey]
    blob: str
    random: Random
    entered: dict[str, list[tuple[SmallBureau, IssuerKey, bytes]]] = field(default_factory=dict)

    def label(self) -> Handling:
        named = Handling(label="named", recipients=(self.random.choice(self.bureaus).origin,))
        return self.random.choice([CLEAR, CLEAR, CLEAR, Handling(label="own"), Handling(label="bureaus"), named])

    def organisation(self, bureau: SmallBureau, key: IssuerKey) -> bytes | None:
        with bureau.registry.database.reading() as connection:
            facts = DatabaseView(connection).key(key.id, origin=bureau.origin)
        return None if facts is None else facts.organisation

    def offer(
        self, bureau: SmallBureau, key: IssuerKey, body: Body, *, target: bytes = NO_HASH, **more: object
    ) -> bytes | None:
        """Hand an entry in; the rules may refuse it."""
        writer = Writer(bureau, key, self.random.randbytes)
        outcome = writer.offer(body, target=target, **more)  # type: ignore[arg-type]
        if not isinstance(outcome, Entered):
            return None
        kind = type(body).__name__
        self.entered.setdefault(kind, []).append((bureau, key, outcome.hash))
        return outcome.hash

    def some(self, *kinds: str) -> tuple[SmallBureau, IssuerKey, bytes] | None:
        found = [one for kind in kinds for one in self.entered.get(kind, ())]
        return self.random.choice(found) if found else None

    def pull(self) -> None:
        reading, read = self.random.sample(self.bureaus, 2)
        with suppress(BehindError):  # it will be read later
            reading.mirrors[read.origin].pull(NearPeer(read, reading.origin))

    def register(self) -> None:
        bureau, key = self.random.choice(self.bureaus), self.random.choice(self.keys)
        spare = self.random.choice(self.keys)
        roots = (key,) if spare is key else (key, spare)
        body = Organisation(name="Some Labs", jurisdiction="NL", roots=tuple(map(issuer_public, roots)))
        if self.organisation(bureau, key) is None:
            self.offer(bureau, key, body, cosigners=roots[1:])

    def revoke(self) -> None:
        bureau, key = self.random.choice(self.bureaus), self.random.choice(self.keys)
        organisation = self.organisation(bureau, key)
        if organisation is not None:
            since = self.random.choice([None, 0, 8])
            body = Key(action="revoke", public=issuer_public(self.random.choice(self.keys)), compromised_since=since)
            self.offer(bureau, key, body, target=organisation)

    def model(self) -> None:
        body = Model(publisher="Some Labs", name="lumen", content=self.random.choice((*CONTENTS, None)))
        self.offer(self.random.choice(self.bureaus), self.random.choice(self.keys), body, handling=self.label())

    def commit(self) -> None:
        body = Commitment(root="00" * 32, count=1, purpose="alibi", expires="2027-10-01T00:00:00Z")
        self.offer(self.random.choice(self.bureaus), self.random.choice(self.keys), body, handling=self.label())

    def speak(self, body: Body, *kinds: str, handling: Handling = CLEAR) -> None:
        """Somebody says something about an entry, at its bureau or another."""
        found = self.some(*kinds)
        if found is None:
            return
        bureau, key, target = found
        if self.random.random() < 0.5:
            bureau, key = self.random.choice(self.bureaus), self.random.choice(self.keys)
        self.offer(bureau, key, body, target=target, handling=handling)

    def fingerprint(self) -> None:
        content = self.random.choice(CONTENTS)
        self.speak(Fingerprint(method="x/1", model_content=content, blob=self.blob, tool="t"), "Model")

    def open(self) -> None:
        self.speak(Opening(blob=self.blob, members=(0,)), "Commitment")

    def ask(self) -> None:
        self.speak(Notice(colour="blue", title="q", text=self.random.choice("tu")), "Model", handling=self.label())

    def answer(self) -> None:
        self.speak(Response(text="no"), "Notice", "Dispute", handling=self.label())

    def dispute(self) -> None:
        party, notice = self.some("Model"), self.some("Notice")
        if party is not None and notice is not None:
            self.offer(party[0], party[1], Dispute(grounds="no"), target=notice[2])

    def withdraw(self) -> None:
        self.speak(Status(state="withdrawn", reason="r"), "Model", "Notice", "Dispute", "Commitment", "Fingerprint")

    def judge(self) -> None:
        state, kinds = self.random.choice(
            [("annulled", ("Notice", "Model")), ("dismissed", ("Dispute",)), ("upheld", ("Notice",))]
        )
        found = self.some(*kinds)
        if found is not None:
            first, second = self.random.sample(self.judges, 2)
            body = Status(state=state, reason="r")  # type: ignore[arg-type]
            self.offer(self.random.choice(self.bureaus), first, body, target=found[2], cosigners=[second])

    def as_bureau(self) -> None:
        bureau, state = self.random.choice(self.bureaus), self.random.choice(["verified", "refused", "reviewed"])
        found = self.some("Organisation" if state == "verified" else "Notice")
        if found is not None:
            bureau.registry.sequencer.enter_own([Status(state=state, reason="r")], target=found[2])  # type: ignore[arg-type]

    def erase(self) -> None:
        found = self.some("Model", "Notice", "Response", "Fingerprint", "Commitment")
        bureau = self.random.choice(self.bureaus)
        if found is not None:
            with suppress(RegistryError):  # it has not read that entry
                erase_entry(bureau.registry.database, bureau.registry.blobs, found[2], at=bureau.clock())
            bureau.registry.put_blob([b"some blob"])


def made(folder: Path, seed: int) -> Federation:
    clock, random = Clock(), Random(seed)
    names = ("north", "south", "east")
    bureaus = [
        make_bureau(folder, name, clock, first_random=number * 1_000_000) for number, name in enumerate(names, 1)
    ]
    keys = [new_issuer_key(counting_bytes(10_000_000 + 1000 * number)) for number in range(8)]
    federate(bureaus, chamber=keys[:2])
    for bureau in bureaus:
        bureau.registry.ask_witnesses([])
        blob = bureau.registry.put_blob([b"some blob"]).digest
    federation = Federation(bureaus, keys, keys[:2], blob, random)
    for number, key in enumerate(keys):  # each at home somewhere, some in two logs
        for bureau in {number % 3: bureaus[number % 3], (number * 2) % 3: bureaus[(number * 2) % 3]}.values():
            root = issuer_public(key)
            federation.offer(bureau, key, Organisation(name=f"Lab {number}", jurisdiction="NL", roots=(root,)))
    return federation


def played(federation: Federation) -> None:
    moves: list[Callable[[Federation], None]] = [
        *[Federation.pull] * 5,
        *[Federation.model] * 3,
        *[Federation.withdraw, Federation.ask, Federation.dispute, Federation.judge, Federation.answer] * 2,
        *[Federation.as_bureau] * 2,
        Federation.fingerprint,
        Federation.commit,
        Federation.open,
        Federation.register,
        Federation.revoke,
        Federation.erase,
    ]
    for _ in range(MOVES):
        federation.random.choice(moves)(federation)
        federation.bureaus[0].clock.move(seconds=federation.random.choice([0, 1, 30]))


@pytest.mark.parametrize("seed", range(10))
def test_bureaus_that_keep_the_rules_agree(tmp_path: Path, seed: int) -> None:
    federation = made(tmp_path, seed)
    played(federation)
    bureaus = federation.bureaus
    for _ in range(2):
        for reading in bureaus:
            for read in bureaus:
                if read is not reading:
                    with suppress(BehindError):
                        reading.mirrors[read.origin].pull(NearPeer(read, reading.origin))
    for bureau in bureaus:
        bureau.registry.ask_witnesses([one.cosigner() for one in bureaus if one is not bureau])
        bureau.clock.move(seconds=2)
        signatures = bureau.registry.sequencer.refresh().signatures
        assert {one.name.removesuffix("/witness") for one in signatures} == {one.origin for one in bureaus}
    assert [bureau.alarms for bureau in bureaus] == [[], [], []]
    maps = []
    for bureau in bureaus:
        for read in bureaus:
            if read is not bureau:
                bureau.mirrors[read.origin].pull(NearPeer(read, bureau.origin))
    for bureau in bureaus:
        with bureau.registry.database.writing() as connection:
            sizes = {log.origin: log.size for log in stored_logs(connection)}
            maps.append((sizes, spoken_against(connection, until=sizes)))
            assert rebuild_derived(connection) == []
        problems = check_registry(bureau.registry).problems
        assert problems == (), problems
    assert maps[0] == maps[1] == maps[2]
