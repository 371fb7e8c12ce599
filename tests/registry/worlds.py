"""Small federations: bureaus with policies, organisations with keys, and a dispute about a model between two of them.

Everything is really signed and really admitted, unless a test asks to slip something past the rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from remembered_view import RememberedView

from whorl.entries.handling import CLEAR
from whorl.entries.keys import IssuerKey, encode_public, new_issuer_key
from whorl.entries.kinds import (
    Body,
    Bureau,
    Chamber,
    Dispute,
    FindingEntry,
    IssuerPublic,
    Key,
    Kind,
    Model,
    Notice,
    Organisation,
    Policy,
    Response,
    Role,
    State,
    Status,
)
from whorl.entries.leaf import NO_HASH, Leaf, entry_id
from whorl.entries.statement import SignedEntry, Statement, open_entry
from whorl.entries.subject import subject_of
from whorl.registry.admission import Admitted, admit
from whorl.registry.notices import NoticeStanding, notice_standing
from whorl.registry.view import EntryFacts

A, B, C = "bureau.example/a", "bureau.example/b", "bureau.example/c"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
REPLY, ANSWER, RETENTION = 14 * DAY, 30 * DAY, 5 * 365 * DAY
REFERENCE, ACCUSED = ("sha256:" + letters * 32 for letters in ("1a", "2b"))
COMMITTEE = 3


def digest(text: str) -> str:
    return "sha256:" + text.encode().hex().ljust(64, "0")[:64]


@cache
def key_of(name: str, *, post_quantum: bool = False) -> IssuerKey:
    """The same key for the same name in every run."""
    return new_issuer_key(
        lambda length: f"{name}/{post_quantum}".encode().ljust(length, b".")[:length], post_quantum=post_quantum
    )


def public(key: IssuerKey) -> IssuerPublic:
    texts = [encode_public(half) for half in key.public_keys]
    return IssuerPublic(ed25519=texts[0], mldsa44=texts[1] if len(texts) > 1 else None)


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class World:
    """Logs in memory and a clock; `enter` is what a bureau does with a submission."""

    view: RememberedView = field(default_factory=RememberedView)
    now: datetime = START
    sizes: dict[str, int] = field(default_factory=dict)
    homes: dict[str, bytes] = field(default_factory=dict)
    salts: int = 0
    leaves: dict[bytes, Leaf] = field(default_factory=dict)

    def copy(self) -> "World":
        return World(self.view.copy(), self.now, dict(self.sizes), dict(self.homes), self.salts, dict(self.leaves))

    def salt(self) -> bytes:
        self.salts += 1
        return self.salts.to_bytes(32, "big")

    def statement(
        self, key: IssuerKey, kind: Kind, body: Body, *, target: bytes = NO_HASH, origin: str | None = None
    ) -> Statement:
        """What the issuer would sign next, in its home log if no other is given."""
        homes = self.view.logs_of(key.id)
        place = origin or (homes[0] if homes else "")
        last = self.view.chain(key.id, origin=place)
        name, digest = subject_of(body, body.model_dump(mode="json"))
        return Statement(
            kind=kind,
            name=name,
            digest=digest,
            log=place,
            issuer=key.id,
            sequence=0 if last is None else last[0] + 1,
            previous=NO_HASH if last is None else last[1],
            target=target,
            issued_at=self.now,
            handling=CLEAR,
            after=None,
            body=body,
        )

    def admit(self, entry: SignedEntry, *, origin: str, leaf: Leaf | None = None, replaying: bool = False) -> Admitted:
        return admit(
            entry,
            leaf or entry.leaf(self.salt()),
            self.view,
            origin=origin,
            index=self.sizes.get(origin, 0),
            at=self.now,
            replaying=replaying,
        )

    def submit(self, entry: SignedEntry, *, origin: str) -> EntryFacts:
        """Admit a signed entry and append it."""
        leaf = entry.leaf(self.salt())
        return self._append(entry, leaf, self.admit(entry, origin=origin, leaf=leaf), origin)

    def enter(
        self,
        key: IssuerKey,
        kind: Kind,
        body: Body,
        *,
        target: EntryFacts | None = None,
        origin: str | None = None,
        cosigners: Sequence[IssuerKey] = (),
    ) -> EntryFacts:
        """Sign, admit and append an entry in the issuer's home log."""
        origin = self.home(key) if origin is None else origin
        statement = self.statement(key, kind, body, target=NO_HASH if target is None else target.hash, origin=origin)
        return self.submit(open_entry(statement.sign(key, cosigners=cosigners)), origin=origin)

    def slip_in(
        self, key: IssuerKey, kind: Kind, body: Body, *, target: EntryFacts, signers: Sequence[IssuerKey] = ()
    ) -> EntryFacts:
        """Append an entry past the rules, as if a bureau had not asked them."""
        facts = self.view.key(key.id, origin=self.home(key))
        assert facts is not None
        entry = open_entry(self.statement(key, kind, body, target=target.hash).sign(key))
        admitted = Admitted(
            organisation=facts.organisation, signers=frozenset({key.id, *(signer.id for signer in signers)})
        )
        return self._append(entry, entry.leaf(self.salt()), admitted, self.home(key))

    def _append(self, entry: SignedEntry, leaf: Leaf, admitted: Admitted, origin: str) -> EntryFacts:
        facts = EntryFacts(
            hash=leaf.hash,
            origin=origin,
            index=self.sizes.get(origin, 0),
            kind=entry.statement.kind,
            issuer=entry.statement.issuer,
            organisation=admitted.organisation,
            statement=entry.statement,
            seen_at=self.now,
            signers=admitted.signers,
        )
        self.sizes[origin] = facts.index + 1
        self.leaves[facts.hash] = leaf
        self.view.insert(facts)
        return facts

    def home(self, key: IssuerKey) -> str:
        """The log in which a key is known; the first of several."""
        return self.view.logs_of(key.id)[0]

    def place(self, key: IssuerKey) -> tuple[str, bytes]:
        """Where the view in memory has a key."""
        return self.home(key), key.id

    def organisation(self, name: str, origin: str, *roles: Role, roots: int = 1, threshold: int = 1) -> EntryFacts:
        """Register an organisation with root keys `NAME root 0...` and, given roles, one signing key `NAME`."""
        root_keys = [key_of(f"{name} root {number}") for number in range(roots)]
        body = Organisation(name=name, jurisdiction="NL", roots=tuple(map(public, root_keys)), threshold=threshold)
        entered = self.enter(root_keys[0], "organisation", body, origin=origin, cosigners=root_keys[1:])
        if roles:
            self.add_key(name, key_of(name), *roles, cosigners=root_keys[1:])
        self.homes[name] = entered.hash
        return entered

    def add_key(
        self, name: str, key: IssuerKey, *roles: Role, cosigners: Sequence[IssuerKey] = (), not_after: str | None = None
    ) -> EntryFacts:
        root = key_of(f"{name} root 0")
        owner = self.view.key(root.id, origin=self.home(root))
        assert owner is not None
        organisation = self.view.entry(owner.organisation)
        body = Key(action="add", public=public(key), roles=roles, not_after=not_after)
        return self.enter(root, "key", body, target=organisation, cosigners=[*cosigners, key])

    def revoke(self, name: str, key: IssuerKey, *, since: int | None = None) -> EntryFacts:
        root = key_of(f"{name} root 0")
        body = Key(action="revoke", public=public(key), compromised_since=since)
        return self.enter(root, "key", body, target=self.view.entry(self.homes[name]))

    def vote(
        self,
        name: str,
        state: State,
        target: EntryFacts,
        *,
        evidence: Sequence[EntryFacts] = (),
        cosigners: Sequence[str] = (),
        slipped: bool = False,
    ) -> EntryFacts:
        body = Status(state=state, reason="As decided.", evidence=tuple(entry_id(one.hash) for one in evidence))
        if slipped:
            return self.slip_in(key_of(name), "status", body, target=target)
        return self.enter(key_of(name), "status", body, target=target, cosigners=list(map(key_of, cosigners)))


def bureau_of(origin: str) -> Bureau:
    return Bureau(
        origin=origin,
        jurisdiction="NL",
        log_keys=("a verifier key",),
        organisation=key_of(f"{origin} root 0").id.hex(),
    )


def policy_of(origin: str, *others: str, **changes: object) -> Policy:
    chamber = Chamber(keys=tuple(key_of(f"Judge {number}").id.hex() for number in range(COMMITTEE)), threshold=2)
    policy = Policy(bureau=bureau_of(origin), peers=tuple(map(bureau_of, others)), chamber=chamber)
    return policy.model_copy(update=changes)


@cache
def _federation() -> World:
    world = World()
    origins = (A, B, C)
    for origin in origins:
        world.organisation(origin, origin)
        world.add_key(origin, key_of(origin), "bureau", "reviewer")
        policy = policy_of(origin, *(other for other in origins if other != origin))
        world.enter(key_of(f"{origin} root 0"), "policy", policy)
    for number in range(COMMITTEE):
        world.organisation(f"Judge {number}", C, "chamber")
    for name, origin in (("Northwind Labs", A), ("Meridian AI", B), ("Harbour Models", C)):
        world.organisation(name, origin, "submitter")
    for name, origin in (("First Examiner", C), ("Second Examiner", B), ("Third Examiner", A)):
        world.vote(origin, "verified", world.organisation(name, origin, "examiner"))
    return world


def federation() -> World:
    """Three bureaus, a chamber of three, three labs and three verified examiners, nothing entered yet."""
    return _federation().copy()


@dataclass
class Examined:
    """Two examiners found that Meridian AI's model comes from Northwind Labs'; Harbour Models is a bystander."""

    world: World
    reference: EntryFacts
    accused: EntryFacts
    findings: tuple[EntryFacts, ...]


@dataclass
class Case(Examined):
    """Northwind Labs has filed a notice."""

    notice: EntryFacts

    def standing(self, *, at: datetime | None = None) -> NoticeStanding:
        return notice_standing(self.notice, self.world.view, at=at or self.world.now)

    def respond(self, name: str = "Meridian AI", to: EntryFacts | None = None) -> EntryFacts:
        body = Response(text="We trained it ourselves.")
        return self.world.enter(key_of(name), "response", body, target=to or self.notice)

    def dispute(self, name: str = "Meridian AI", *blobs: str) -> EntryFacts:
        body = Dispute(grounds="The finding is wrong.", blobs=blobs)
        return self.world.enter(key_of(name), "dispute", body, target=self.notice)

    def review(self, state: State = "reviewed") -> EntryFacts:
        return self.world.vote(C, state, self.notice)

    def rule(self, state: State, target: EntryFacts | None = None, **options: object) -> EntryFacts:
        """Two judges, of whom two are enough, in one envelope."""
        return self.world.vote("Judge 0", state, target or self.notice, cosigners=["Judge 1"], **options)  # type: ignore[arg-type]


def model(name: str, publisher: str, content: str | None, **more: object) -> Model:
    return Model(publisher=publisher, name=name, content=content, **more)  # type: ignore[arg-type]


def finding(questioned: str = ACCUSED, reference: str = REFERENCE, relation: str = "derived") -> FindingEntry:
    return FindingEntry(
        questioned=questioned,
        reference=reference,
        relation=relation,  # type: ignore[arg-type]
        log10_lr=3.0,
        blob=digest("finding"),
        tool="whorl 0.2.0",
    )


def red(reference: EntryFacts, findings: Sequence[EntryFacts], /, **changes: object) -> Notice:
    body = Notice(
        colour="red",
        title="Orion comes from Lumen",
        text="See the findings.",
        relation="derived",
        reference=entry_id(reference.hash),
        findings=tuple(entry_id(one.hash) for one in findings),
        log10_lr=3.5,
        log10_lr_least_favourable=2.0,
        false_positive_bound=0.001,
        tests_run=2,
    )
    return body.model_copy(update=changes)


@cache
def _examined() -> Examined:
    world = federation()
    reference = world.enter(key_of("Northwind Labs"), "model", model("lumen-1", "Northwind Labs", REFERENCE))
    accused = world.enter(key_of("Meridian AI"), "model", model("orion-1", "Meridian AI", ACCUSED))
    world.enter(key_of("Harbour Models"), "model", model("tide-1", "Harbour Models", digest("tide")))
    findings = tuple(
        world.enter(key_of(name), "finding", finding(), target=accused)
        for name in ("First Examiner", "Second Examiner")
    )
    return Examined(world=world, reference=reference, accused=accused, findings=findings)


def examined() -> Examined:
    """The notice is not filed yet."""
    return replace(_examined(), world=_examined().world.copy())


def case() -> Case:
    """The notice is filed, and nobody has said anything about it yet."""
    now = examined()
    body = red(now.reference, now.findings)
    notice = now.world.enter(key_of("Northwind Labs"), "notice", body, target=now.accused)
    return Case(world=now.world, reference=now.reference, accused=now.accused, findings=now.findings, notice=notice)
