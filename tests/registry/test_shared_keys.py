"""One key in two logs: another organisation's in each, and one person where independence is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from remembered_view import against
from worlds import (
    ACCUSED,
    REFERENCE,
    A,
    B,
    C,
    Case,
    World,
    case,
    examined,
    federation,
    finding,
    key_of,
    model,
    policy_of,
    public,
    red,
)

from whorl.entries.claimants import issuer_keys
from whorl.entries.envelope import sign_envelope
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Body, IssuerPublic, Key, Kind, Organisation, Role, Status
from whorl.entries.leaf import NO_HASH, SEALED_KIND, Leaf
from whorl.entries.statement import SignedEntry, open_entry
from whorl.registry.admission import Admitted, admit_sealed
from whorl.registry.candidate import require_next_in_chain
from whorl.registry.parties import parties_of, persons_beside
from whorl.registry.reading import reader_for, requesting_key
from whorl.registry.refusals import Code, Refusal
from whorl.registry.view import EntryFacts
from whorl.registry.votes import flaw_of, revocations, verified_by

NORTHWIND = key_of("Northwind Labs")
WITHDRAWN = Status(state="withdrawn", reason="Entered by mistake.")


@contextmanager
def refused(code: Code) -> Iterator[None]:
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.code == code
    assert "found" in str(caught.value)


def register(world: World, name: str, origin: str, root: IssuerKey, *spare: IssuerKey) -> EntryFacts:
    """An organisation under keys that another one may have in another log."""
    body = Organisation(name=name, jurisdiction="NL", roots=tuple(map(public, (root, *spare))))
    return world.enter(root, "organisation", body, origin=origin, cosigners=spare)


def add_key(world: World, root: IssuerKey, organisation: EntryFacts, key: IssuerKey, *roles: Role) -> EntryFacts:
    body = Key(action="add", public=public(key), roles=roles)
    return world.enter(root, "key", body, target=organisation, origin=organisation.origin, cosigners=[key])


def same_person(world: World, name: str, origin: str, key: IssuerKey, *roles: Role) -> EntryFacts:
    """An organisation of its own root key in another log, for which a key of another organisation signs too."""
    root = key_of(f"{name} root 0")
    made = register(world, name, origin, root)
    add_key(world, root, made, key, "submitter", *roles)
    return made


def slip_in(world: World, key: IssuerKey, body: Status, *, target: EntryFacts, origin: str) -> None:
    """A vote past the rules, as of a bureau that did not know whose key it is."""
    world._append(*slipped(world, key, "status", body, target=target, origin=origin), origin)


def slipped(
    world: World, key: IssuerKey, kind: Kind, body: Body, *, target: EntryFacts, origin: str = A
) -> tuple[SignedEntry, Leaf, Admitted]:
    facts = world.view.key(key.id, origin=origin)
    assert facts is not None
    entry = open_entry(world.statement(key, kind, body, target=target.hash, origin=origin).sign(key))
    admitted = Admitted(organisation=facts.organisation, signers=frozenset({key.id}))
    return entry, entry.leaf(world.salt()), admitted


def public_id(stated: IssuerPublic) -> str:
    return issuer_keys(stated)[0].id.hex()


def parties(trial: Case) -> frozenset[bytes]:
    assert trial.notice.statement is not None
    return parties_of(trial.notice.organisation, trial.notice.statement, trial.world.view).everyone


def test_a_key_is_new_in_every_log_but_its_own() -> None:
    world = federation()
    northwind = world.view.entry(world.homes["Northwind Labs"])
    assert northwind is not None
    root = key_of("Northwind Labs root 0")
    with refused("key_known"):
        add_key(world, root, northwind, NORTHWIND, "submitter")
    made = register(world, "Tern Models", B, key_of("tern"))
    for key in (NORTHWIND, key_of("Northwind Labs root 0")):
        add_key(world, key_of("tern"), made, key, "submitter")
        assert world.view.logs_of(key.id) == [A, B]
        here, there = (world.view.key(key.id, origin=origin) for origin in (A, B))
        assert here is not None
        assert there is not None
        assert (here.organisation, there.organisation) == (northwind.hash, made.hash)
    with refused("key_known"):
        add_key(world, key_of("tern"), made, NORTHWIND, "submitter")
    for code in ("key_known", "replay", "equivocation", "wrong_previous"):  # its own log alone says so
        assert Refusal(code, "").is_certain  # type: ignore[arg-type]


def test_what_was_signed_for_one_log_fits_no_other() -> None:
    """Nobody can register somebody else elsewhere, or repeat there what they said, with what is public."""
    world = federation()
    key, root = key_of("tern"), key_of("tern root")
    organisations = [register(world, "Tern Models", origin, root) for origin in (A, B)]
    assert organisations[0].hash != organisations[1].hash
    first = organisations[0].statement
    assert first is not None
    with refused("wrong_log"):
        world.admit(open_entry(first.sign(root)), origin=C)
    for made in organisations:
        add_key(world, root, made, key, "submitter")
    signed = open_entry(world.statement(key, "model", model("a", "Tern Models", None), origin=A).sign(key))
    assert signed.statement.sequence == 1  # number 0 is the entry that introduced the key
    for replaying in (False, True):
        with refused("wrong_log"):
            world.admit(signed, origin=B, replaying=replaying)
    # Nor where a bureau told the other's end of the chain for its own.
    end = world.view.chain(key.id, origin=B)
    assert end is not None
    misled = replace(signed.statement, sequence=end[0] + 1, previous=end[1])
    with refused("wrong_log"):
        world.admit(open_entry(misled.sign(key)), origin=B)


def test_a_bureau_that_copies_a_later_entry_of_another_log_is_not_believed() -> None:
    """A mirror lets gaps pass, as it is not shown everything; but what comes before stands in the same log."""
    world = federation()
    key, root = key_of("tern"), key_of("tern root")
    for origin in (A, B):
        add_key(world, root, register(world, "Tern Models", origin, root), key, "submitter")
    for name in ("a", "b"):
        last = world.enter(key, "model", model(name, "Tern Models", None), origin=A)
    assert last.statement is not None
    copied = open_entry(last.statement.sign(key))
    with refused("wrong_log"):
        world.admit(copied, origin=B, leaf=world.leaves[last.hash], replaying=True)
    with refused("wrong_previous"):  # also where its content, which names the log, is not shown
        require_next_in_chain(world.leaves[last.hash], None, world.view, origin=B, replaying=True)


def test_both_withdraw_their_own_and_neither_the_others() -> None:
    world = federation()
    root = key_of("tern root")
    models = {}
    for origin in (A, B):
        register(world, "Tern Models", origin, root)
        models[origin] = world.enter(root, "model", model(f"of {origin}", "Tern Models", None), origin=origin)
    for origin, other in ((A, B), (B, A)):
        with refused("not_own"):
            world.enter(root, "status", WITHDRAWN, target=models[other], origin=origin)
        world.enter(root, "status", WITHDRAWN, target=models[origin], origin=origin)
    spoken = against(list(world.view.entries.values()), world.view)
    assert spoken.keys() >= {one.hash for one in models.values()}


def test_a_key_that_is_revoked_in_one_log_is_in_force_in_the_other() -> None:
    world = federation()
    root, key = key_of("tern root"), key_of("tern")
    made = {origin: register(world, "Tern Models", origin, root) for origin in (A, B)}
    models = {}
    for origin, organisation in made.items():
        add_key(world, root, organisation, key, "submitter")
        models[origin] = world.enter(key, "model", model(f"of {origin}", "Tern Models", None), origin=origin)
    stolen = Key(action="revoke", public=public(key), compromised_since=models[A].index)
    revoked = world.enter(root, "key", stolen, target=made[A], origin=A)
    with refused("key_revoked"):
        world.enter(key, "model", model("more", "Tern Models", None), origin=A)
    later = world.enter(key, "model", model("more", "Tern Models", None), origin=B)
    assert later.index >= models[A].index  # the index is one of the other log
    spoken = against(list(world.view.entries.values()), world.view)
    assert spoken[models[A].hash] == revoked.hash
    assert models[B].hash not in spoken
    assert later.hash not in spoken
    assert revocations(models[A], world.view) == (revoked.hash,)
    assert flaw_of(later, world.view) is None


# Independence: who issues entries under one key in two logs is one person.


def test_two_examiners_with_a_key_in_common_are_one() -> None:
    now = examined()
    world = now.world
    twin = same_person(world, "Fourth Examiner", A, key_of("First Examiner"), "examiner")
    world.vote(A, "verified", twin)
    again = world.enter(key_of("First Examiner"), "finding", finding(), target=now.accused, origin=A)
    body = red(now.reference, (now.findings[0], again))
    with refused("examiners"):
        world.enter(NORTHWIND, "notice", body, target=now.accused)
    # A bureau that had not read the other log may have taken it: that is no breach of the rules.
    entry = open_entry(world.statement(NORTHWIND, "notice", body, target=now.accused.hash).sign(NORTHWIND))
    world.admit(entry, origin=A, replaying=True)
    world.enter(NORTHWIND, "notice", red(now.reference, (*now.findings, again), tests_run=3), target=now.accused)


def test_an_examiner_with_a_key_of_a_party_is_that_party() -> None:
    trial = case()
    same_person(trial.world, "Meridian elsewhere", C, key_of("Meridian AI"))
    assert trial.standing().state == "filed"  # the party's second name is no examiner
    twin = same_person(trial.world, "Examined", B, key_of("First Examiner"))
    assert trial.standing().state == "filed"
    trial.world.enter(key_of("First Examiner"), "model", model("orion-2", "Examined", ACCUSED), origin=B)
    standing = trial.standing()  # now it claims the content of the accused
    assert standing.state == "blocked"
    assert "findings of 1 independent" in standing.because
    assert twin.hash in trial.world.view.sharing(trial.world.homes["First Examiner"])


@pytest.mark.parametrize("name", ["First Examiner", "First Examiner root 0", "Judge 0"])
@pytest.mark.parametrize("replaying", [False, True])
def test_nobody_makes_the_key_of_somebody_else_known(name: str, replaying: bool) -> None:
    """Or an accused could take every examiner's independence by naming their keys."""
    world = federation()
    meridian = world.view.entry(world.homes["Meridian AI"])
    assert meridian is not None
    root, named = key_of("Meridian AI root 0"), public(key_of(name))
    body = Organisation(name="Meridian elsewhere", jurisdiction="NL", roots=(public(root), named))
    added = Key(action="add", public=named, roles=("submitter",))
    registered = world.statement(root, "organisation", body, origin=A)
    for statement, origin in (
        (world.statement(root, "key", added, target=meridian.hash), B),
        (registered, A),
        (replace(registered, issuer=bytes.fromhex(public_id(named))), A),  # not as the first root either
    ):
        envelope = sign_envelope(statement.to_payload(), [root.ed25519])
        with pytest.raises(Refusal) as caught:
            world.admit(open_entry(envelope), origin=origin, replaying=replaying)
        assert caught.value.code in ("missing_signature", "unknown_issuer")
        assert caught.value.is_certain
        assert not caught.value.may_pass_later


def test_a_signature_that_a_key_gave_one_organisation_is_none_for_another() -> None:
    world = federation()
    root, key = key_of("tern root"), key_of("tern")
    made = {origin: register(world, "Tern Models", origin, root) for origin in (A, B)}
    other = register(world, "Stranger", A, key_of("stranger"))
    added = Key(action="add", public=public(key), roles=("submitter",))
    signed = open_entry(world.statement(root, "key", added, target=made[A].hash, origin=A).sign(root, cosigners=[key]))
    for replaying in (False, True):
        with refused("wrong_log"):
            world.admit(signed, origin=B, replaying=replaying)
    with refused("not_own"):  # of the same root, in another log
        moved = replace(signed.statement, log=B, previous=made[B].hash)
        world.admit(open_entry(moved.sign(root, cosigners=[key])), origin=B)
    taken = next(pair for pair in signed.envelope.signatures if pair[0] == key.id.hex())
    statement = world.statement(key_of("stranger"), "key", added, target=other.hash, origin=A)
    entry = open_entry(statement.sign(key_of("stranger")))
    with refused("bad_signature"):
        world.admit(
            replace(entry, envelope=replace(entry.envelope, signatures=(*entry.envelope.signatures, taken))), origin=A
        )
    world.submit(signed, origin=A)
    with refused("key_known"):
        add_key(world, root, made[A], key, "examiner")


def test_a_stolen_key_ties_its_owner_to_nobody_and_the_owner_says_so() -> None:
    """Whoever stole it could otherwise make its owner a party for good, whatever key the owner takes next."""
    trial = case()
    world = trial.world
    thief = same_person(world, "Thief", B, key_of("First Examiner"))
    world.enter(key_of("Thief root 0"), "model", model("orion-2", "Thief", ACCUSED), origin=B)
    examiner = world.homes["First Examiner"]
    assert world.view.sharing(examiner) == {thief.hash}
    assert trial.standing().state == "blocked"
    world.revoke("First Examiner", key_of("First Examiner"), since=world.sizes[C])
    assert not world.view.sharing(examiner)
    assert trial.standing().state == "blocked"  # what that very key signed is still by whoever has it
    world.add_key("First Examiner", key_of("next"), "examiner")
    again = world.enter(key_of("next"), "finding", finding(), target=trial.accused)
    assert persons_beside([again, trial.findings[1]], parties(trial), world.view) == 2


@pytest.mark.parametrize("where", [A, C])
def test_findings_by_one_key_are_one_persons_whatever_is_said_of_it(where: str) -> None:
    """Whoever has it could say that it is stolen from now on: that doubts no finding, and would make them two."""
    now = examined()
    world, key = now.world, key_of("First Examiner")
    twin = same_person(world, "Fourth Examiner", A, key, "examiner")
    world.vote(A, "verified", twin)
    again = world.enter(key, "finding", finding(), target=now.accused, origin=A)
    body = red(now.reference, (now.findings[0], again))
    name, organisation = (
        ("Fourth Examiner", twin.hash) if where == A else ("First Examiner", world.homes["First Examiner"])
    )
    stolen = Key(action="revoke", public=public(key), compromised_since=world.sizes[where])
    world.enter(key_of(f"{name} root 0"), "key", stolen, target=world.view.entry(organisation), origin=where)
    assert not world.view.sharing(twin.hash)
    with refused("examiners"):
        world.enter(NORTHWIND, "notice", body, target=now.accused)
    notice = world._append(*slipped(world, NORTHWIND, "notice", body, target=now.accused), A)
    trial = Case(world=world, reference=now.reference, accused=now.accused, findings=now.findings, notice=notice)
    trial.review()
    trial.respond()
    assert trial.standing().state == "blocked"
    assert "findings of 1 independent" in trial.standing().because


def test_a_finding_by_a_key_of_the_accuser_is_theirs_even_if_they_say_that_it_was_stolen() -> None:
    now = examined()
    world = now.world
    world.add_key("Northwind Labs", key_of("First Examiner"), "submitter")
    world.revoke("Northwind Labs", key_of("First Examiner"), since=world.sizes[A])
    with refused("examiners"):
        world.enter(NORTHWIND, "notice", red(now.reference, now.findings), target=now.accused)


def test_who_is_tied_by_a_third_organisation_is_one_person() -> None:
    now = examined()
    world, findings = now.world, now.findings
    assert persons_beside(findings, frozenset(), world.view) == 2
    third = same_person(world, "Fourth", A, key_of("First Examiner"))
    add_key(world, key_of("Fourth root 0"), third, key_of("Second Examiner"), "submitter")
    assert persons_beside(findings, frozenset(), world.view) == 1
    assert persons_beside(findings, frozenset({third.hash}), world.view) == 0


def test_an_examiner_tied_to_a_party_by_a_third_organisation_is_that_party() -> None:
    now = examined()
    world = now.world
    between = same_person(world, "Go-between", B, key_of("First Examiner"))
    add_key(world, key_of("Go-between root 0"), between, NORTHWIND, "submitter")
    northwind = frozenset({world.homes["Northwind Labs"]})
    assert persons_beside(now.findings, northwind, world.view) == 1
    with refused("examiners"):
        world.enter(NORTHWIND, "notice", red(now.reference, now.findings), target=now.accused)
    # And whoever is one person with that examiner is left out with it.
    other = same_person(world, "Another between", A, key_of("First Examiner"))
    add_key(world, key_of("Another between root 0"), other, key_of("Second Examiner"), "submitter")
    for findings in (now.findings, now.findings[::-1]):
        assert persons_beside(findings, northwind, world.view) == 0


def test_nobody_accuses_a_model_that_is_theirs_by_a_third_organisation() -> None:
    now = examined()
    between = same_person(now.world, "Go-between", C, key_of("Meridian AI"))
    add_key(now.world, key_of("Go-between root 0"), between, NORTHWIND, "submitter")
    with refused("own_model"):
        now.world.enter(NORTHWIND, "notice", red(now.reference, now.findings), target=now.accused)


def test_nobody_accuses_a_model_of_their_own_from_another_log() -> None:
    now = examined()
    same_person(now.world, "Meridian elsewhere", A, key_of("Meridian AI"))
    body = red(now.reference, now.findings)
    with refused("own_model"):
        now.world.enter(key_of("Meridian AI"), "notice", body, target=now.accused, origin=A)


def test_a_bureau_does_not_verify_an_organisation_with_its_key() -> None:
    world = federation()
    own = same_person(world, "Of the bureau", B, key_of(A))
    with refused("own_case"):
        world.vote(A, "verified", own)
    assert verified_by(own.hash, world.view) == ()
    world.vote(C, "verified", own)


def test_a_reviewer_with_a_key_of_a_party_reviews_nothing() -> None:
    """Nor does their bureau take a refusal. If it did, that would hide: who is a party not everybody can tell."""
    trial = case()
    same_person(trial.world, "Of the bureau", B, key_of(C))
    trial.world.enter(key_of(C), "model", model("orion-2", "Of the bureau", ACCUSED), origin=B)
    for state in ("reviewed", "refused"):
        body = Status(state=state, reason="As decided.")  # type: ignore[arg-type]
        with refused("own_case"):
            trial.world.enter(key_of(C), "status", body, target=trial.notice, origin=C)
        slip_in(trial.world, key_of(C), body, target=trial.notice, origin=C)
        assert trial.standing().state == ("filed" if state == "reviewed" else "refused")


# The chamber.


def test_a_key_has_one_vote_in_however_many_logs() -> None:
    trial = case()
    judge = key_of("Judge 0")
    made = register(trial.world, "Judge elsewhere", B, key_of("judge elsewhere"))
    add_key(trial.world, key_of("judge elsewhere"), made, judge, "chamber")
    annul = Status(state="annulled", reason="As decided.")
    for origin in (B, C):
        trial.world.enter(judge, "status", annul, target=trial.notice, origin=origin)
    assert trial.standing().state == "filed"
    trial.world.vote("Judge 1", "annulled", trial.notice)
    assert trial.standing().state == "annulled"


@pytest.mark.parametrize(("state", "barred"), [("upheld", True), ("annulled", False)])
def test_a_judge_with_a_key_of_a_party_upholds_nothing_and_undoes_no_annulment(state: str, barred: bool) -> None:
    trial = case()
    for judge in ("Judge 0", "Judge 1"):  # who say so of themselves after the ruling, or before it
        same_person(trial.world, f"{judge} elsewhere", B, key_of(judge))
        if judge == "Judge 0":
            claimed = model("orion-2", f"{judge} elsewhere", ACCUSED)
            trial.world.enter(key_of(judge), "model", claimed, origin=B)
    body = Status(state=state, reason="As decided.")  # type: ignore[arg-type]
    judge, other = key_of("Judge 0"), key_of("Judge 1")
    if barred:
        with refused("own_case"):
            trial.world.enter(judge, "status", body, target=trial.notice, origin=C, cosigners=[other])
        return
    vote = trial.world.enter(judge, "status", body, target=trial.notice, origin=C, cosigners=[other])
    assert vote.signers == {judge.id, other.id}
    assert trial.standing().state == "annulled"


@pytest.mark.parametrize("stolen", [False, True])
def test_a_key_of_a_party_upholds_nothing_as_a_cosigner_either(stolen: bool) -> None:
    """The judge who issues the vote is nobody's; the one beside is the accuser's signing key under another name."""
    trial = case()
    chamber = policy_of(A).chamber.model_copy(update={"keys": (key_of("Judge 0").id.hex(), NORTHWIND.id.hex())})
    trial.world.view._policies[A].append((0, policy_of(A, B, C, chamber=chamber)))
    stooge = register(trial.world, "Stooge", C, key_of("stooge"))
    add_key(trial.world, key_of("stooge"), stooge, NORTHWIND, "chamber")
    trial.review()
    trial.respond()
    body = Status(state="upheld", reason="As decided.")
    vote = trial.world.enter(key_of("Judge 0"), "status", body, target=trial.notice, cosigners=[NORTHWIND])
    assert NORTHWIND.id in vote.signers
    if stolen:  # whatever is said of it
        gone = Key(action="revoke", public=public(NORTHWIND), compromised_since=trial.world.sizes[C])
        trial.world.enter(key_of("stooge"), "key", gone, target=stooge, origin=C)
    assert trial.standing().state == "published"


@pytest.mark.parametrize("stolen", [False, True])
def test_who_registers_the_key_of_a_bureau_that_refused_does_not_undo_the_refusal(stolen: bool) -> None:
    """A bureau shares no key with a party of its own will; a thief can make it, until the bureau says so."""
    trial = case()
    trial.review("refused")
    assert trial.standing().state == "refused"
    trial.world.add_key("Northwind Labs", key_of(C), "submitter")
    assert trial.standing().state == "filed"
    if stolen:
        trial.world.revoke(C, key_of(C), since=trial.world.sizes[C])
        assert trial.standing().state == "refused"


@pytest.mark.parametrize("state", ["upheld", "annulled"])
def test_a_root_key_in_reserve_of_a_party_judges_nothing_either(state: str) -> None:
    now = examined()
    world, spare = now.world, key_of("Tern Models root 1")
    world.organisation("Tern Models", A, "submitter", roots=2)
    reference = world.enter(key_of("Tern Models"), "model", model("tern-1", "Tern Models", REFERENCE))
    chamber = policy_of(A).chamber.model_copy(update={"keys": (spare.id.hex(),), "threshold": 1})
    world.view._policies[A].append((0, policy_of(A, B, C, chamber=chamber)))
    notice = world.enter(NORTHWIND, "notice", red(reference, now.findings), target=now.accused)
    made = register(world, "Judge elsewhere", C, key_of("judge elsewhere"))
    add_key(world, key_of("judge elsewhere"), made, spare, "chamber")
    body = Status(state=state, reason="As decided.")  # type: ignore[arg-type]
    with refused("own_case"):
        world.enter(spare, "status", body, target=notice, origin=C)
    slip_in(world, spare, body, target=notice, origin=C)
    assert Case(world=world, reference=reference, accused=now.accused, findings=(), notice=notice).standing().state == (
        "filed"
    )


@pytest.mark.parametrize("state", ["upheld", "annulled", "dismissed"])
def test_a_root_key_of_a_party_judges_nothing_in_another_log(state: str) -> None:
    trial = case()
    root = key_of("Northwind Labs root 0")
    made = register(trial.world, "Judge elsewhere", C, key_of("judge elsewhere"))
    add_key(trial.world, key_of("judge elsewhere"), made, root, "chamber")
    chamber = policy_of(A).chamber.model_copy(update={"keys": (root.id.hex(),), "threshold": 1})
    trial.world.view._policies[A].append((0, policy_of(A, B, C, chamber=chamber)))
    target = trial.dispute() if state == "dismissed" else trial.notice
    body = Status(state=state, reason="As decided.")  # type: ignore[arg-type]
    with refused("own_case"):
        trial.world.enter(root, "status", body, target=target, origin=C)
    before = trial.standing()
    slip_in(trial.world, root, body, target=target, origin=C)
    assert trial.standing() == before


# Signed requests.


def test_a_request_is_asked_for_one_organisation_alone() -> None:
    world = federation()
    key, root = key_of("tern"), key_of("tern root")
    assert requesting_key(key.id, world.view, origin=A) is None
    made = {origin: register(world, "Tern Models", origin, root) for origin in (C, B)}
    add_key(world, root, made[C], key, "submitter")
    assert asked(world, key, A) == made[C].hash  # known by a log that is mirrored
    add_key(world, root, made[B], key, "submitter")
    assert asked(world, key, A) == made[B].hash  # of several, by the first
    own = register(world, "Tern Models", A, root)
    add_key(world, root, own, key, "submitter")
    assert asked(world, key, A) == own.hash  # the own log before others
    revoke = Key(action="revoke", public=public(key))
    world.enter(root, "key", revoke, target=own, origin=A)
    found = requesting_key(key.id, world.view, origin=A)
    assert found is not None
    assert (found.organisation, found.revoked_at is None) == (own.hash, False)  # and it gives no access any more


def test_a_bureau_asks_as_a_bureau_wherever_else_its_key_is_known() -> None:
    world = federation()
    northwind = world.view.entry(world.homes["Northwind Labs"])
    assert northwind is not None
    for name in (B, f"{B} root 0"):
        add_key(world, key_of("Northwind Labs root 0"), northwind, key_of(name), "submitter")
    assert asked(world, key_of(f"{B} root 0"), A) == world.homes[B]


def test_a_label_names_an_organisation_by_every_root_key() -> None:
    world = federation()
    made = world.organisation("Tern Models", B, roots=3)
    roots = {key_of(f"Tern Models root {number}").id.hex() for number in range(3)}
    assert reader_for(made.hash, world.view, origin=A).names == roots


def test_who_stole_a_root_key_reads_nothing_that_is_for_its_owner() -> None:
    world = federation()
    root = key_of("Tern Models root 0")
    made = world.organisation("Tern Models", A, roots=2)
    thief = register(world, "Thief", B, key_of("thief"), root)
    names = {key.id.hex() for key in (root, key_of("Tern Models root 1"))}
    assert reader_for(thief.hash, world.view, origin=A).names == {root.id.hex(), key_of("thief").id.hex()}
    world.revoke("Tern Models", root, since=0)
    assert reader_for(thief.hash, world.view, origin=A).names == {key_of("thief").id.hex()}
    assert reader_for(made.hash, world.view, origin=A).names == names


def test_a_peers_key_asks_for_the_peer_before_its_log_is_mirrored() -> None:
    world = World()
    world.organisation(A, A)
    world.enter(key_of(f"{A} root 0"), "policy", policy_of(A, B))
    made = world.organisation("Northwind Labs", A)
    peer = key_of(f"{B} root 0")
    add_key(world, key_of("Northwind Labs root 0"), made, peer, "submitter")
    assert requesting_key(peer.id, world.view, origin=A) is None  # then the policy alone says who it is


def asked(world: World, key: IssuerKey, origin: str) -> bytes:
    found = requesting_key(key.id, world.view, origin=origin)
    assert found is not None
    return found.organisation


def test_a_sealed_leaf_is_under_a_key_of_the_bureau_in_its_own_log() -> None:
    world = federation()
    made = register(world, "Of the bureau", B, key_of("elsewhere"))
    add_key(world, key_of("elsewhere"), made, key_of(A), "bureau")
    last = world.view.chain(key_of(A).id, origin=B)
    assert last is not None
    leaf = Leaf(
        leaf_class="sealed",
        kind=SEALED_KIND,
        issuer=key_of(A).id,
        sequence=last[0] + 1,
        previous=last[1],
        target=NO_HASH,
        commit=b"c" * 32,
    )
    with refused("not_the_bureau"):
        admit_sealed(leaf, world.view, origin=B, index=world.sizes[B], at=world.now)
