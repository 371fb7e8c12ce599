"""One key in two logs: another organisation's in each, and one person where independence is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from remembered_view import against
from worlds import (
    ACCUSED,
    A,
    B,
    C,
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

from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Key, Organisation, Role, Status
from whorl.entries.leaf import NO_HASH, SEALED_KIND, Leaf
from whorl.entries.statement import open_entry
from whorl.registry.admission import Admitted, admit_sealed
from whorl.registry.parties import persons_beside
from whorl.registry.reading import requesting_key
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
    body = Organisation(name=name, home=origin, jurisdiction="NL", roots=tuple(map(public, (root, *spare))))
    return world.enter(root, "organisation", body, origin=origin)


def add_key(world: World, root: IssuerKey, organisation: EntryFacts, key: IssuerKey, *roles: Role) -> EntryFacts:
    body = Key(action="add", public=public(key), roles=roles)
    return world.enter(root, "key", body, target=organisation, origin=organisation.origin)


def same_person(world: World, name: str, origin: str, key: IssuerKey, *roles: Role) -> EntryFacts:
    """An organisation of its own root key in another log, for which a key of another organisation signs too."""
    root = key_of(f"{name} root 0")
    made = register(world, name, origin, root)
    add_key(world, root, made, key, "submitter", *roles)
    world.enter(key, "model", model(f"of {name}", name, None), origin=origin)
    return made


def slip_in(world: World, key: IssuerKey, body: Status, *, target: EntryFacts, origin: str) -> None:
    """A vote past the rules, as of a bureau that did not know whose key it is."""
    facts = world.view.key(key.id, origin=origin)
    assert facts is not None
    entry = open_entry(world.statement(key, "status", body, target=target.hash, origin=origin).sign(key))
    admitted = Admitted(organisation=facts.organisation, signers=frozenset({key.id}))
    world._append(entry, entry.leaf(world.salt()), admitted, origin)


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
        with refused("wrong_previous"):
            world.admit(signed, origin=B, replaying=replaying)
    for number, origin in enumerate((B, B, A)):  # number 1 of one log is no second number 1 of the other
        added = world.enter(key, "model", model(f"{number}", "Tern Models", None), origin=origin)
    with refused("wrong_previous"):
        world.admit(signed, origin=B)
    assert added.statement is not None
    assert added.statement.sequence == 1
    unbound = replace(signed.statement, sequence=0, previous=NO_HASH)
    for replaying in (False, True):
        with refused("wrong_previous"):
            world.admit(open_entry(unbound.sign(key)), origin=B, replaying=replaying)


def test_a_bureau_that_copies_a_later_entry_of_another_log_is_not_believed() -> None:
    """A mirror lets gaps pass, as it is not shown everything; but what comes before stands in the same log."""
    world = federation()
    key, root = key_of("tern"), key_of("tern root")
    for origin in (A, B):
        add_key(world, root, register(world, "Tern Models", origin, root), key, "submitter")
    for name in ("a", "b"):
        last = world.enter(key, "model", model(name, "Tern Models", None), origin=A)
    assert last.statement is not None
    with refused("wrong_previous"):
        world.admit(open_entry(last.statement.sign(key)), origin=B, leaf=world.leaves[last.hash], replaying=True)


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


def test_a_key_that_is_only_named_makes_nobody_the_same() -> None:
    """Or an accused could take every examiner's independence by naming their keys."""
    trial = case()
    meridian = trial.world.view.entry(trial.world.homes["Meridian AI"])
    assert meridian is not None
    root = key_of("Meridian AI root 0")
    add_key(trial.world, root, meridian, key_of("First Examiner"), "submitter")
    register(trial.world, "Meridian elsewhere", A, root, key_of("First Examiner"), key_of("Judge 0"))
    assert not trial.world.view.sharing(trial.world.homes["First Examiner"])
    assert trial.standing().state == "filed"
    assert trial.world.view.sharing(meridian.hash)  # its own root signed for both


def test_a_stolen_key_makes_nobody_the_same() -> None:
    trial = case()
    same_person(trial.world, "Thief", B, key_of("First Examiner"))
    examiner = trial.world.homes["First Examiner"]
    assert len(trial.world.view.sharing(examiner)) == 1
    size = trial.world.sizes[C]
    trial.world.revoke("First Examiner", key_of("First Examiner"), since=size)
    assert not trial.world.view.sharing(examiner)
    assert trial.standing().state == "filed"


def test_who_is_tied_by_a_third_organisation_is_one_person() -> None:
    world = examined().world
    first, second = (world.homes[f"{name} Examiner"] for name in ("First", "Second"))
    assert persons_beside([first, second], frozenset(), world.view) == 2
    third = same_person(world, "Fourth", A, key_of("First Examiner"))
    add_key(world, key_of("Fourth root 0"), third, key_of("Second Examiner"), "submitter")
    world.enter(key_of("Second Examiner"), "model", model("x", "Fourth", None), origin=A)
    assert persons_beside([first, second], frozenset(), world.view) == 1
    assert persons_beside([first, second], frozenset({third.hash}), world.view) == 0


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
    trial = case()
    same_person(trial.world, "Of the bureau", B, key_of(C))
    trial.world.enter(key_of(C), "model", model("orion-2", "Of the bureau", ACCUSED), origin=B)
    for state in ("reviewed", "refused"):
        body = Status(state=state, reason="As decided.")  # type: ignore[arg-type]
        with refused("own_case"):
            trial.world.enter(key_of(C), "status", body, target=trial.notice, origin=C)
        slip_in(trial.world, key_of(C), body, target=trial.notice, origin=C)
    assert trial.standing().state == "filed"


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


@pytest.mark.parametrize("state", ["upheld", "annulled", "dismissed"])
def test_the_first_root_key_of_a_party_judges_nothing_in_another_log(state: str) -> None:
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
    world.enter(key, "model", model("x", "Tern Models", None), origin=C)
    assert asked(world, key, A) == made[C].hash  # it signed there, and is only named elsewhere
    own = register(world, "Tern Models", A, root)
    add_key(world, root, own, key, "submitter")
    assert asked(world, key, A) == made[C].hash
    world.enter(key, "model", model("y", "Tern Models", None), origin=A)
    assert asked(world, key, A) == own.hash  # the own log before others
    revoke = Key(action="revoke", public=public(key))
    world.enter(root, "key", revoke, target=own, origin=A)
    found = requesting_key(key.id, world.view, origin=A)
    assert found is not None
    assert (found.organisation, found.revoked_at is None) == (own.hash, False)  # and it gives no access any more


def test_naming_the_key_of_somebody_else_takes_no_request_from_them() -> None:
    world = federation()
    northwind = world.view.entry(world.homes["Northwind Labs"])
    assert northwind is not None
    for name in (B, f"{B} root 0", "Second Examiner root 0"):
        add_key(world, key_of("Northwind Labs root 0"), northwind, key_of(name), "submitter")
    bureau = world.homes[B]
    assert asked(world, key_of(f"{B} root 0"), A) == bureau
    assert asked(world, key_of("Second Examiner root 0"), A) == world.homes["Second Examiner"]


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
