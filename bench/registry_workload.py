"""A small registry that is made and written to, step by step: what faults are injected into.

Everything is drawn from a counter, so each run does the same. A step that fails is tried once more, as a service would:
what was begun must then be finished.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.entries.composing import compose
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import Body, Fingerprint, Model, Organisation, Status
from whorl.entries.leaf import NO_HASH
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.entries.statement import open_entry
from whorl.registry.checking import check_registry
from whorl.registry.local import LocalRegistry, create_registry, open_registry
from whorl.registry.public_keys import issuer_public
from whorl.registry.sequencer import Entered, Submission

ORIGIN = "bureau.example/north"
BATCH = 20
START = datetime(2026, 11, 1, 9, tzinfo=UTC)
Acknowledge = Callable[[bytes], None]
"""Told the leaf hash of every entry that was acknowledged; 32 zeros once the registry itself was made."""


class Clock:
    """A clock that goes on by a second each time it is looked at."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


def counting_bytes(start: int) -> Callable[[int], bytes]:
    """Bytes that are different at each call and the same in every run."""
    numbers = iter(range(start, start + 1_000_000))
    return lambda length: hashlib.shake_256(b"%d" % next(numbers)).digest(length)


class Writer:
    """An organisation of one key that writes to a registry."""

    def __init__(self, registry: LocalRegistry, acknowledge: Acknowledge, *, first_random: int = 500_000) -> None:
        self._registry = registry
        self._acknowledge = acknowledge
        self._random = counting_bytes(first_random)
        self.key: IssuerKey = new_issuer_key(self._random, post_quantum=False)

    def introduce(self) -> None:
        """Register the organisation, unless a first try did."""
        if self._registry.organisation_of(self.key.id) is None:
            body = Organisation(name="Northwind Labs", jurisdiction="NL", roots=(issuer_public(self.key),))
            self.enter([body])

    def sealed(self, body: Body) -> bytes:
        """Enter something sealed, which stands in no chain; its leaf hash."""
        statement = compose(body, log=ORIGIN, issuer=self.key.id, chain=None, now=self._registry.now())
        submission = Submission(envelope=statement.sign(self.key), salt=self._random(32), sealed=True)
        (outcome,) = self._registry.enter([submission])
        if isinstance(outcome, InputError | VerificationError):
            raise outcome
        return outcome.hash

    def enter(
        self, bodies: Sequence[Body], *, target: bytes = NO_HASH, cosigners: Sequence[IssuerKey] = ()
    ) -> list[bytes]:
        """Sign and enter, at the end of the chain as the registry knows it; leaf hashes."""
        chain = self._registry.chain(self.key.id)
        submissions = []
        for body in bodies:
            statement = compose(
                body, log=ORIGIN, issuer=self.key.id, chain=chain, now=self._registry.now(), target=target
            )
            envelope, salt = statement.sign(self.key, cosigners=cosigners), self._random(32)
            chain = (statement.sequence, open_entry(envelope).leaf(salt).hash)
            submissions.append(Submission(envelope=envelope, salt=salt))
        hashes = []
        for outcome in self._registry.enter(submissions):
            if isinstance(outcome, InputError | VerificationError):
                raise outcome
            assert isinstance(outcome, Entered)
            self._acknowledge(outcome.hash)
            hashes.append(outcome.hash)
        return hashes


def model(name: str) -> Model:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Model(publisher="Northwind Labs", name=name, content=f"sha256:{digest}")


def work(folder: Path, acknowledge: Acknowledge, *, batch: int = BATCH) -> int:
    """Make a registry and write to it, a batch among other things; how many steps had to be tried twice."""
    made: list[LocalRegistry] = []
    failures = _tried(lambda: made.append(_create(folder)))
    acknowledge(NO_HASH)
    with made[0] as registry:
        return failures + sum(map(_tried, _steps(registry, Writer(registry, acknowledge), batch)))


def _create(folder: Path) -> LocalRegistry:
    return create_registry(
        folder,
        origin=ORIGIN,
        bureau_name="Harbour Bureau",
        jurisdiction="NL",
        now=Clock(),
        random_bytes=counting_bytes(1),
    )


def _steps(registry: LocalRegistry, writer: Writer, batch: int) -> Iterator[Callable[[], object]]:
    first = model("lumen-1")
    blob = b"a fingerprint" * 5000
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    known: list[bytes] = []
    fingerprint = Fingerprint(
        method="whorl.weight-fingerprint/1", model_content=str(first.content), blob=digest, tool="whorl"
    )
    yield writer.introduce
    yield lambda: known.extend(writer.enter([first]))
    yield lambda: registry.put_blob([blob], expected=digest)
    yield lambda: writer.enter([fingerprint], target=known[0])
    yield lambda: writer.enter([model(f"lumen-{number}") for number in range(2, 2 + batch)])
    yield lambda: writer.enter([Status(state="withdrawn", reason="Entered by mistake.")], target=known[0])
    yield registry.sequencer.refresh


def _tried(step: Callable[[], object]) -> int:
    try:
        step()
    except (WhorlError, OSError):
        step()
        return 1
    return 0


def problems_after(folder: Path, acknowledged: Sequence[bytes]) -> list[str]:
    """What is wrong after a restart: damage, acknowledged entries without a receipt that holds, or no going on.

    Parameters
    ----------
    acknowledged : what was acknowledged before; a registry whose making was not may be none
    """
    if NO_HASH not in acknowledged and not (folder / "registry.json").exists():
        return []
    with open_registry(folder, now=Clock()) as registry:
        report = check_registry(registry)
        found = list(report.problems)
        if report.counted["waiting"]:
            found.append(f"{report.counted['waiting']} entries did not get into the log")
        policy = registry.home.policy()
        more = Writer(registry, lambda _: None, first_random=700_000)
        more.introduce()
        for digest in [*acknowledged, *more.enter([model("afterwards")])]:
            if digest != NO_HASH:
                verified = verify_receipt(parse_receipt(registry.receipt(digest), origin="receipt"), policy)
                assert verified.origin == ORIGIN
    return found
