"""Small bureaus in one process, which mirror and cosign each other, and issuers that write to them."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "entries"))  # small_log

from small_log import counting_bytes

from whorl.entries.composing import compose
from whorl.entries.handling import CLEAR, Handling
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import Body, Bureau, Chamber, Organisation, Policy
from whorl.entries.leaf import NO_HASH
from whorl.log.keys import parse_vkey
from whorl.log.tiles import TileSource
from whorl.log.witnessing import Witness
from whorl.registry.cosigning import Cosigner, LocalWitness
from whorl.registry.local import LocalRegistry, create_registry, entered
from whorl.registry.mirror_witness import MirrorWitness
from whorl.registry.mirroring import Content, Followed, Mirror
from whorl.registry.public_keys import issuer_public
from whorl.registry.sequencer import Outcome, Submission

START = datetime(2026, 11, 1, 9, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that moves when told to."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class SmallBureau:
    """A registry, and what it follows of others."""

    registry: LocalRegistry
    clock: Clock
    folder: Path
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    alarms: list[tuple[str, str]] = field(default_factory=list)
    witness: MirrorWitness | None = None

    @property
    def origin(self) -> str:
        return self.registry.origin

    def as_bureau(self) -> Bureau:
        home = self.registry.home
        return Bureau(
            origin=self.origin,
            jurisdiction="NL",
            log_keys=home.settings.log_keys,
            organisation=home.bureau_key().id.hex(),
        )

    def cosigner(self) -> Cosigner:
        assert self.witness is not None
        answer = self.witness.add_checkpoint
        verifiers = [signer.verifier for signer in self.registry.home.witness_signers()]
        return LocalWitness(self.origin, verifiers, lambda body: answer(body, at=int(self.clock().timestamp())))


@dataclass
class NearPeer:
    """Another bureau in this process, seen as a stranger with an origin sees it."""

    other: SmallBureau
    reader: str

    @property
    def log(self) -> TileSource:
        return self.other.registry.log

    def blob(self, digest: str) -> bytes:
        return self.other.registry.blob(digest)

    def contents(self, start: int, stop: int) -> Sequence[Content | None]:
        return self.other.registry.contents(start, stop, reader=self.reader, is_bureau=True)


def make_bureau(folder: Path, name: str, clock: Clock, *, first_random: int) -> SmallBureau:
    registry = create_registry(
        folder / name,
        origin=f"{name}.example/log",
        bureau_name=f"Bureau {name}",
        jurisdiction="NL",
        now=clock,
        random_bytes=counting_bytes(first_random),
    )
    return SmallBureau(registry=registry, clock=clock, folder=folder / name)


def federate(bureaus: Sequence[SmallBureau], *, chamber: Sequence[IssuerKey] = (), reply_seconds: int = 60) -> None:
    """Let every bureau state the others as peers, mirror them, and ask them to cosign."""
    for bureau in bureaus:
        others = [one for one in bureaus if one is not bureau]
        policy = Policy(
            bureau=bureau.as_bureau(),
            peers=tuple(one.as_bureau() for one in others),
            chamber=Chamber(keys=tuple(key.id.hex() for key in chamber), threshold=max(1, len(chamber))),
            reply_seconds=reply_seconds,
            answer_seconds=120,
        )
        entered(bureau.registry.sequencer.enter_own([policy])[0])
        keys = {one.origin: [parse_vkey(key) for key in one.registry.home.settings.log_keys] for one in others}
        for one in others:
            bureau.mirrors[one.origin] = Mirror(
                bureau.registry.database,
                bureau.folder / "mirrors",
                bureau.registry.blobs,
                origin=one.origin,
                log_keys=keys[one.origin],
                own_origin=bureau.origin,
                now=bureau.clock,
            )
        bureau.witness = MirrorWitness(
            Witness(bureau.folder / "witness", bureau.registry.home.witness_signers(), keys),
            {
                one.origin: Followed(mirror=bureau.mirrors[one.origin], peer=NearPeer(one, bureau.origin))
                for one in others
            },
            alarm=lambda origin, problem, kept=bureau.alarms: kept.append((origin, problem)),
        )
    for bureau in bureaus:
        bureau.registry.ask_witnesses([one.cosigner() for one in bureaus if one is not bureau])


def sync(bureaus: Sequence[SmallBureau]) -> None:
    """Every bureau looks at every other one's published log, twice, as one may wait for another."""
    for _ in range(2):
        for bureau in bureaus:
            for one in bureaus:
                if one is not bureau:
                    bureau.mirrors[one.origin].pull(NearPeer(one, bureau.origin))


@dataclass
class Writer:
    """An organisation that writes to one bureau."""

    bureau: SmallBureau
    key: IssuerKey
    random: Callable[[int], bytes]

    def enter(
        self,
        body: Body,
        *,
        target: bytes = NO_HASH,
        handling: Handling = CLEAR,
        cosigners: Sequence[IssuerKey] = (),
    ) -> bytes:
        return entered(self.offer(body, target=target, handling=handling, cosigners=cosigners)).hash

    def offer(
        self,
        body: Body,
        *,
        target: bytes = NO_HASH,
        handling: Handling = CLEAR,
        cosigners: Sequence[IssuerKey] = (),
    ) -> Outcome:
        registry = self.bureau.registry
        statement = compose(
            body,
            log=registry.origin,
            issuer=self.key.id,
            chain=registry.chain(self.key.id),
            now=self.bureau.clock(),
            target=target,
            handling=handling,
        )
        envelope = statement.sign(self.key, cosigners=cosigners)
        return registry.enter([Submission(envelope=envelope, salt=self.random(32))])[0]


def new_writer(bureau: SmallBureau, name: str, *, first_random: int) -> Writer:
    """An organisation of one root key that is registered at a bureau."""
    random = counting_bytes(first_random)
    writer = Writer(bureau, new_issuer_key(random), random)
    writer.enter(Organisation(name=name, jurisdiction="NL", roots=(issuer_public(writer.key),)))
    return writer
