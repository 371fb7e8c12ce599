"""Rules of admission on issuers, chains, targets and votes: for each a refusal with its code, and an acceptance."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from worlds import (
    ACCUSED,
    DAY,
    REFERENCE,
    START,
    A,
    B,
    C,
    World,
    case,
    digest,
    federation,
    finding,
    instant,
    key_of,
    model,
    policy_of,
    public,
)

from whorl.core.errors import InputError
from whorl.entries.envelope import sign_envelope
from whorl.entries.kinds import (
    Commitment,
    Dataset,
    Dispute,
    Fingerprint,
    IssuerPublic,
    Key,
    Opening,
    Organisation,
    Response,
    Status,
    StatusMapHead,
)
from whorl.entries.leaf import SEALED_KIND, Leaf
from whorl.entries.statement import SignedEntry, open_entry
from whorl.registry.admission import admit, admit_sealed
from whorl.registry.refusals import Code, Refusal

NORTHWIND = key_of("Northwind Labs")
MODEL = model("lumen-1", "Northwind Labs", REFERENCE)
SEALED = Commitment(root="ab" * 32, count=8, purpose="alibi", expires=instant(START + 400 * DAY))


@contextmanager
def refused(code: Code) -> Iterator[None]:
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.code == code
    assert "found" in str(caught.value)


def signed_model(world: World) -> SignedEntry:
    return open_entry(world.statement(NORTHWIND, "model", MODEL).sign(NORTHWIND))


def test_a_model_is_admitted_with_who_entered_it() -> None:
    world = federation()
    admitted = world.admit(signed_model(world), origin=A)
    assert admitted.organisation == world.homes["Northwind Labs"]
    assert admitted.signers == {NORTHWIND.id}
    assert issubclass(Refusal, InputError)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 5},
        {"kind": SEALED_KIND, "leaf_class": "sealed"},
        {"issuer": bytes(32)},
        {"target": b"t" * 32},
        {"sequence": 7, "previous": b"p" * 32},
    ],
)
def test_a_leaf_that_says_something_else_is_refused(change: dict[str, object]) -> None:
    world = federation()
    entry = signed_model(world)
    leaf = replace(entry.leaf(world.salt()), **change)  # type: ignore[arg-type]
    with refused("leaf_mismatch"):
        world.admit(entry, origin=A, leaf=leaf)


def test_an_issuer_that_no_organisation_entered_is_refused() -> None:
    world, stranger = federation(), key_of("A stranger")
    with refused("unknown_issuer"):
        world.enter(stranger, "model", MODEL, origin=A)


# Signatures.


def test_every_key_of_the_issuer_signs_and_none_can_be_left_out() -> None:
    world, key = federation(), key_of("Northwind pq", post_quantum=True)
    world.add_key("Northwind Labs", key, "submitter")
    payload = world.statement(key, "model", MODEL).to_payload()
    assert key.mldsa44 is not None
    for half in ([key.ed25519], [key.mldsa44]):
        with refused("missing_signature"):
            world.admit(open_entry(sign_envelope(payload, half)), origin=A)
    assert world.admit(open_entry(sign_envelope(payload, key.private_keys)), origin=A).signers == {key.id}


def test_a_signature_that_is_not_the_issuers_is_refused() -> None:
    world = federation()
    entry = signed_model(world)
    other = replace(entry, statement=entry.statement, envelope=replace(entry.envelope, payload=b"other"))
    with refused("bad_signature"):
        world.admit(other, origin=A)


def test_a_signature_under_another_algorithm_does_not_count() -> None:
    """Attack 8: the id of a key binds its algorithm, so a signature cannot be passed off as another key's."""
    world, key = federation(), key_of("Northwind pq", post_quantum=True)
    payload = world.statement(NORTHWIND, "model", MODEL).to_payload()
    assert key.mldsa44 is not None
    with refused("missing_signature"):
        world.admit(open_entry(sign_envelope(payload, [key.mldsa44])), origin=A)


# Organisations and root keys.


def roots(count: int, *, threshold: int) -> Organisation:
    return Organisation(
        name="Tern Models",
        jurisdiction="NL",
        roots=tuple(public(key_of(f"tern {number}")) for number in range(count)),
        threshold=threshold,
    )


@pytest.mark.parametrize("signing", [[0], [0, 1], [0, 2], [1, 2]])
@pytest.mark.parametrize("replaying", [False, True])
def test_an_organisation_is_signed_by_all_its_roots(signing: list[int], replaying: bool) -> None:
    """By a threshold alone, whoever registers could name the key of somebody else as one in reserve."""
    world, body = federation(), roots(3, threshold=1)
    payload = world.statement(key_of("tern 0"), "organisation", body, origin=A).to_payload()
    keys = [key_of(f"tern {number}").ed25519 for number in signing]
    with refused("missing_signature"):
        world.admit(open_entry(sign_envelope(payload, keys)), origin=A, replaying=replaying)
    keys = [key_of(f"tern {number}").ed25519 for number in range(3)]
    entry = open_entry(sign_envelope(payload, keys))
    leaf = entry.leaf(world.salt())
    admitted = world.admit(entry, origin=A, leaf=leaf, replaying=replaying)
    assert admitted.organisation == leaf.hash
    assert admitted.signers == {key_of(f"tern {number}").id for number in range(3)}
    forged = [(key.public.id.hex(), key.sign(payload)) for key in keys[:2]] + [(keys[2].public.id.hex(), b"." * 64)]
    with refused("bad_signature"):
        world.admit(replace(entry, envelope=replace(entry.envelope, signatures=tuple(forged))), origin=A)


@pytest.mark.parametrize("by", ["root", "added"])
@pytest.mark.parametrize("replaying", [False, True])
def test_a_key_with_two_algorithms_is_known_only_if_both_signed(by: str, replaying: bool) -> None:
    """Or somebody could put the ML-DSA-44 key of somebody else beside their own Ed25519 key."""
    world, key = federation(), key_of("pq", post_quantum=True)
    owner = world.view.entry(world.homes["Northwind Labs"])
    assert owner is not None
    root = key_of("tern 0") if by == "root" else key_of("Northwind Labs root 0")
    if by == "root":
        body = Organisation(name="Tern", jurisdiction="NL", roots=(public(root), public(key)))
        statement = world.statement(root, "organisation", body, origin=A)
    else:
        added = Key(action="add", public=public(key), roles=("submitter",))
        statement = world.statement(root, "key", added, target=owner.hash)
    assert key.mldsa44 is not None
    for half in ([], [key.ed25519], [key.mldsa44]):
        with refused("missing_signature"):
            signed = open_entry(sign_envelope(statement.to_payload(), [root.ed25519, *half]))
            world.admit(signed, origin=A, replaying=replaying)
    world.admit(open_entry(statement.sign(root, cosigners=[key])), origin=A, replaying=replaying)


def test_sixteen_roots_of_two_algorithms_each_can_add_a_key() -> None:
    """The most that a format allows is no more than an envelope holds."""
    world = federation()
    keys = [key_of(f"tern {number}", post_quantum=True) for number in range(16)]
    body = Organisation(name="Tern", jurisdiction="NL", roots=tuple(map(public, keys)), threshold=16)
    made = world.enter(keys[0], "organisation", body, origin=A, cosigners=keys[1:])
    key = key_of("tern", post_quantum=True)
    added = Key(action="add", public=public(key), roles=("submitter",))
    world.enter(keys[0], "key", added, target=made, origin=A, cosigners=[*keys[1:], key])
    assert world.view.key(key.id, origin=A) is not None


def test_an_organisation_is_issued_by_its_first_root() -> None:
    world, body = federation(), roots(2, threshold=1)
    with refused("unknown_issuer"):
        world.enter(key_of("tern 1"), "organisation", body, origin=A)


def test_a_root_key_belongs_to_one_organisation() -> None:
    world = federation()
    body = Organisation(name="Tern", jurisdiction="NL", roots=(public(key_of("tern 0")), public(NORTHWIND)))
    with refused("missing_signature"):
        world.enter(key_of("tern 0"), "organisation", body, origin=A)
    with refused("key_known"):
        world.enter(key_of("tern 0"), "organisation", body, origin=A, cosigners=[NORTHWIND])


def test_an_organisation_is_not_introduced_twice() -> None:
    world = federation()
    again = Organisation(name="Northwind", jurisdiction="NL", roots=(public(key_of("Northwind Labs root 0")),))
    with refused("key_known"):
        world.enter(key_of("Northwind Labs root 0"), "organisation", again, origin=A)


def test_what_a_root_key_signs_needs_the_organisations_threshold() -> None:
    world = federation()
    world.organisation("Tern Models", A, "submitter", roots=3, threshold=2)
    first, second = (key_of(f"Tern Models root {number}") for number in range(2))
    with refused("too_few_roots"):
        world.enter(first, "model", MODEL)
    entry = open_entry(world.statement(first, "model", MODEL).sign(first, cosigners=[second]))
    assert world.admit(entry, origin=A).signers == {first.id, second.id}


def test_a_revoked_root_does_not_count_towards_the_threshold() -> None:
    world = federation()
    organisation = world.organisation("Tern Models", A, roots=3, threshold=2)
    first, second, third = (key_of(f"Tern Models root {number}") for number in range(3))
    revoke = Key(action="revoke", public=public(third))
    world.enter(first, "key", revoke, target=organisation, cosigners=[second])
    with refused("too_few_roots"):
        world.enter(first, "model", MODEL, cosigners=[third])
    with refused("last_roots"):
        world.enter(first, "key", Key(action="revoke", public=public(second)), target=organisation, cosigners=[second])
    world.enter(first, "model", MODEL, cosigners=[second])


# Keys in force, and their roles.


def test_a_key_is_good_until_it_expires() -> None:
    world, key = federation(), key_of("short-lived")
    world.add_key("Northwind Labs", key, "submitter", not_after=instant(START + DAY))
    world.now = START + DAY
    entry = open_entry(world.statement(key, "model", MODEL).sign(key))
    world.admit(entry, origin=A)
    world.now += timedelta(seconds=1)
    with refused("key_expired"):
        world.admit(entry, origin=A)


def test_a_key_is_good_until_it_is_revoked() -> None:
    world = federation()
    entry = signed_model(world)
    world.admit(entry, origin=A)
    revocation = world.revoke("Northwind Labs", NORTHWIND)
    with refused("key_revoked"):
        world.admit(entry, origin=A)
    admit(entry, entry.leaf(world.salt()), world.view, origin=A, index=revocation.index - 1, at=world.now)


def test_only_roots_of_the_own_organisation_change_keys() -> None:
    world = federation()
    own = world.view.entry(world.homes["Northwind Labs"])
    other = world.view.entry(world.homes["Meridian AI"])
    add = Key(action="add", public=public(key_of("new")), roles=("submitter",))
    with refused("role"):
        world.enter(NORTHWIND, "key", add, target=own)
    with refused("not_own"):
        world.enter(key_of("Northwind Labs root 0"), "key", add, target=other)
    with refused("missing_signature"):
        world.enter(key_of("Northwind Labs root 0"), "key", add, target=own)
    world.enter(key_of("Northwind Labs root 0"), "key", add, target=own, cosigners=[key_of("new")])
    with refused("key_known"):
        world.enter(key_of("Northwind Labs root 0"), "key", add, target=own, cosigners=[key_of("new")])


def test_only_a_key_in_force_of_the_own_organisation_is_revoked() -> None:
    world, root = federation(), key_of("Northwind Labs root 0")
    own = world.view.entry(world.homes["Northwind Labs"])
    for foreign in (key_of("Meridian AI"), key_of("nobody's")):
        with refused("key_unknown"):
            world.enter(root, "key", Key(action="revoke", public=public(foreign)), target=own)
    to_come = Key(action="revoke", public=public(NORTHWIND), compromised_since=world.sizes[A] + 1)
    with refused("wrong_target"):
        world.enter(root, "key", to_come, target=own)
    world.revoke("Northwind Labs", NORTHWIND, since=world.sizes[A])
    with refused("key_unknown"):
        world.revoke("Northwind Labs", NORTHWIND)


def test_a_key_under_the_wrong_algorithm_is_refused() -> None:
    world = federation()
    swapped = IssuerPublic(ed25519=str(public(key_of("pq", post_quantum=True)).mldsa44))
    add = Key(action="add", public=swapped, roles=("submitter",))
    with refused("malformed_key"):
        world.enter(key_of("Northwind Labs root 0"), "key", add, target=world.view.entry(world.homes["Northwind Labs"]))


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("submitter", "model", "finding"),
        ("examiner", "finding", "model"),
        ("reviewer", None, "model"),
        ("chamber", None, "finding"),
        ("bureau", "fingerprint", "finding"),
    ],
)
def test_a_key_signs_for_its_roles_only(role: str, may: str | None, may_not: str) -> None:
    world = federation()
    target = world.enter(NORTHWIND, "model", model("lumen-1", "Northwind Labs", ACCUSED))
    key = key_of(f"a key for {role}")
    world.add_key("Northwind Labs", key, role)  # type: ignore[arg-type]
    bodies = {"model": MODEL, "finding": finding(), "fingerprint": fingerprint(ACCUSED)}
    targets = {"finding": target, "fingerprint": target}
    with refused("role"):
        world.enter(key, may_not, bodies[may_not], target=targets.get(may_not))  # type: ignore[arg-type]
    if may is not None:
        world.enter(key, may, bodies[may], target=targets.get(may))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["verified", "reviewed", "refused", "dismissed", "upheld", "annulled"])
def test_votes_need_their_own_role(state: str) -> None:
    trial = case()
    targets = {"verified": trial.world.view.entry(trial.world.homes["Meridian AI"]), "dismissed": trial.dispute()}
    target = targets.get(state, trial.notice)
    assert target is not None
    with refused("role"):
        trial.world.vote("Harbour Models", state, target)  # type: ignore[arg-type]


# Home log, chain and clock.


def test_an_issuer_writes_into_its_home_log_only() -> None:
    world = federation()
    entry = signed_model(world)
    for other in (B, C):
        with refused("wrong_log"):
            world.admit(entry, origin=other)
    world.submit(entry, origin=A)


def test_entries_of_an_issuer_come_one_after_the_other() -> None:
    world = federation()
    first = world.statement(NORTHWIND, "model", MODEL)
    later = replace(first, sequence=2, previous=b"p" * 32)
    with refused("gap"):
        world.admit(open_entry(later.sign(NORTHWIND)), origin=A)
    entered = world.submit(open_entry(first.sign(NORTHWIND)), origin=A)
    with refused("wrong_previous"):
        world.admit(open_entry(later.sign(NORTHWIND)), origin=A)
    world.admit(open_entry(replace(later, previous=entered.hash).sign(NORTHWIND)), origin=A)


def test_two_entries_of_one_number_are_equivocation_and_the_same_again_is_a_replay() -> None:
    world = federation()
    first = world.statement(NORTHWIND, "model", MODEL)
    other = world.statement(NORTHWIND, "model", model("lumen-2", "Northwind Labs", None))
    world.submit(open_entry(first.sign(NORTHWIND)), origin=A)
    with refused("replay"):
        world.admit(open_entry(first.sign(NORTHWIND)), origin=A)
    with refused("equivocation"):
        world.admit(open_entry(other.sign(NORTHWIND)), origin=A)


def test_an_erased_entry_cannot_be_told_from_another_so_it_is_no_accusation_of_equivocation() -> None:
    world = federation()
    entered = world.submit(signed_model(world), origin=A)
    taken = entered.statement
    assert taken is not None
    other = world.statement(NORTHWIND, "model", model("lumen-2", "Northwind Labs", None))
    world.view.entries[entered.hash] = replace(entered, statement=None)
    with refused("replay"):
        world.admit(open_entry(replace(other, sequence=1, previous=taken.previous).sign(NORTHWIND)), origin=A)


def test_attack_9_every_kind_of_entry_is_refused_when_it_comes_again() -> None:
    """Resubmitted after anything else happened, and under another salt, as after a restart."""
    trial = case()
    trial.review()
    dispute = trial.dispute()
    trial.respond("Northwind Labs", to=dispute)
    trial.rule("dismissed", dispute)
    world = trial.world
    seen = set()
    for facts in list(world.view.entries.values()):
        assert facts.statement is not None
        owner = next(key for key in _KEYS if key.id == facts.issuer)
        cosigners = [key for key in _KEYS if key.id in facts.signers and key is not owner]
        again = open_entry(facts.statement.sign(owner, cosigners=cosigners))
        with refused("replay"):
            world.admit(again, origin=facts.origin)
        seen.add(facts.kind)
    assert seen >= {"organisation", "key", "policy", "model", "finding", "notice", "dispute", "response", "status"}


_KEYS = [
    key_of(name)
    for person in (
        *(A, B, C, "Northwind Labs", "Meridian AI", "Harbour Models"),
        *("First Examiner", "Second Examiner", "Third Examiner", "Judge 0", "Judge 1", "Judge 2"),
    )
    for name in (person, f"{person} root 0")
]


def test_attack_4_an_issuers_clock_gains_nothing() -> None:
    """A year back: admitted, and what counts is when the bureau saw it. Ahead: refused beyond ten minutes."""
    world = federation()
    statement = world.statement(NORTHWIND, "model", MODEL)
    backdated = open_entry(replace(statement, issued_at=START - 365 * DAY).sign(NORTHWIND))
    assert world.copy().submit(backdated, origin=A).seen_at == START
    on_time = open_entry(replace(statement, issued_at=START + timedelta(minutes=10)).sign(NORTHWIND))
    world.admit(on_time, origin=A)
    ahead = open_entry(replace(statement, issued_at=START + timedelta(minutes=10, seconds=1)).sign(NORTHWIND))
    with refused("from_the_future"):
        world.admit(ahead, origin=A)
    world.admit(ahead, origin=A, replaying=True)


# The bureau's own entries.


def test_nothing_but_organisations_keys_and_a_policy_comes_before_the_policy() -> None:
    world = World()
    world.organisation(A, A, "bureau")
    world.organisation("Northwind Labs", A, "submitter")
    with refused("no_policy"):
        world.enter(NORTHWIND, "model", MODEL)
    with refused("not_the_bureau"):
        other = policy_of(A).model_copy(
            update={
                "bureau": policy_of(A).bureau.model_copy(
                    update={"organisation": key_of("Northwind Labs root 0").id.hex()}
                )
            }
        )
        world.enter(key_of("Northwind Labs root 0"), "policy", other)
    world.enter(key_of(f"{A} root 0"), "policy", policy_of(A))
    world.enter(NORTHWIND, "model", MODEL)


def test_a_policy_is_the_bureaus_own_and_signed_by_its_roots() -> None:
    world, root = federation(), key_of(f"{A} root 0")
    for wrong in (policy_of(B), policy_of(A, A), policy_of(A).model_copy(update={"bureau": policy_of(B).bureau})):
        with refused("wrong_policy"):
            world.enter(root, "policy", wrong)
    with refused("role"):
        world.enter(key_of(A), "policy", policy_of(A))
    with refused("not_the_bureau"):
        world.enter(key_of("Northwind Labs root 0"), "policy", policy_of(A))
    world.enter(root, "policy", policy_of(A, B))


def test_a_status_map_is_the_bureaus_and_of_entries_before_it() -> None:
    world = federation()
    head = StatusMapHead(root="ab" * 32, size=2, log_size=world.sizes[A])
    world.add_key("Northwind Labs", key_of("would-be bureau"), "bureau")
    with refused("not_the_bureau"):
        world.enter(key_of("would-be bureau"), "statusmap", head)
    head = head.model_copy(update={"log_size": world.sizes[A], "covers": {B: 3}})
    for wrong in ({"log_size": world.sizes[A] + 1}, {"covers": {A: 1}}):
        with refused("wrong_status_map"):
            world.enter(key_of(A), "statusmap", head.model_copy(update=wrong))
    world.enter(key_of(A), "statusmap", head)


# Targets.


def fingerprint(content: str) -> Fingerprint:
    return Fingerprint(method="weights/1", model_content=content, blob=digest("print"), tool="whorl 0.2.0")


def test_a_target_is_known_and_of_a_kind_that_fits() -> None:
    world = federation()
    statement = world.statement(NORTHWIND, "fingerprint", fingerprint(REFERENCE), target=b"t" * 32)
    with pytest.raises(Refusal) as caught:
        world.admit(open_entry(statement.sign(NORTHWIND)), origin=A)
    assert (caught.value.code, caught.value.may_pass_later) == ("unknown_target", True)
    model_entry = world.enter(NORTHWIND, "model", MODEL)
    taken = world.enter(NORTHWIND, "fingerprint", fingerprint(REFERENCE), target=model_entry)
    for kind, body, target in (
        ("fingerprint", fingerprint(REFERENCE), taken),
        ("opening", Opening(blob=digest("opened")), model_entry),
        ("response", Response(text="No."), model_entry),
        ("dispute", Dispute(grounds="No."), model_entry),
        ("status", Status(state="withdrawn", reason="Wrong."), world.view.entry(world.homes["Northwind Labs"])),
    ):
        with refused("wrong_target"):
            world.enter(NORTHWIND, kind, body, target=target)  # type: ignore[arg-type]


def test_fingerprints_and_findings_are_of_the_content_that_their_target_claims() -> None:
    world = federation()
    claimed = world.enter(NORTHWIND, "model", MODEL)
    unclaimed = world.enter(NORTHWIND, "model", model("lumen-0", "Northwind Labs", None))
    with refused("other_content"):
        world.enter(NORTHWIND, "fingerprint", fingerprint(ACCUSED), target=claimed)
    with refused("other_content"):
        world.enter(key_of("First Examiner"), "finding", finding(), target=claimed)
    world.enter(NORTHWIND, "fingerprint", fingerprint(REFERENCE), target=claimed)
    with refused("no_content"):
        world.enter(NORTHWIND, "fingerprint", fingerprint(ACCUSED), target=unclaimed)
    world.view.entries[unclaimed.hash] = replace(unclaimed, statement=None)  # erased, or not shown
    for key, kind, body in (
        (NORTHWIND, "fingerprint", fingerprint(ACCUSED)),
        (key_of("First Examiner"), "finding", finding()),
    ):
        with refused("not_readable"):
            world.enter(key, kind, body, target=unclaimed)
        # Its bureau, which could read it, took it: that is for that bureau to judge.
        origin = world.home(key)
        signed = world.statement(key, kind, body, target=unclaimed.hash, origin=origin).sign(key)
        world.admit(open_entry(signed), origin=origin, replaying=True)


def test_commitments_are_opened_by_who_sealed_them_and_in_time() -> None:
    world = federation()
    sealed = world.enter(NORTHWIND, "commitment", SEALED)
    opening = Opening(blob=digest("opened"), members=(7,))
    with refused("not_own"):
        world.enter(key_of("Meridian AI"), "opening", opening, target=sealed)
    with refused("wrong_members"):
        world.enter(NORTHWIND, "opening", opening.model_copy(update={"members": (8,)}), target=sealed)
    world.now = START + 400 * DAY
    world.enter(NORTHWIND, "opening", opening, target=sealed)
    world.now += timedelta(seconds=1)
    with refused("expired"):
        world.enter(NORTHWIND, "opening", opening, target=sealed)


def test_an_erased_commitment_cannot_be_opened_and_a_sealed_entry_can() -> None:
    world = federation()
    sealed = world.enter(NORTHWIND, "commitment", SEALED)
    opening = Opening(blob=digest("opened"))
    world.view.entries[sealed.hash] = replace(sealed, statement=None)
    with refused("not_readable"):
        world.enter(NORTHWIND, "opening", opening, target=sealed)
    world.view.entries[sealed.hash] = replace(sealed, statement=None, kind=None)
    world.enter(NORTHWIND, "opening", opening, target=sealed)


def test_attack_6_commitments_of_a_month_are_capped() -> None:
    world = federation()
    world.enter(key_of(f"{A} root 0"), "policy", policy_of(A, B, C, commitments_per_month=3))
    for _ in range(3):
        world.enter(NORTHWIND, "commitment", SEALED)
    with refused("too_many_commitments"):
        world.enter(NORTHWIND, "commitment", SEALED)
    entry = open_entry(world.statement(NORTHWIND, "commitment", SEALED).sign(NORTHWIND))
    world.admit(entry, origin=A, replaying=True)
    world.now += 30 * DAY + timedelta(seconds=1)
    world.admit(entry, origin=A)


def test_only_parties_respond_and_only_who_is_named_disputes() -> None:
    trial = case()
    with refused("not_a_party"):
        trial.respond("Harbour Models")
    with refused("not_a_party"):
        trial.dispute("Harbour Models")
    with refused("not_a_party"):
        trial.dispute("Northwind Labs")
    dispute = trial.dispute()
    for name in ("Northwind Labs", "Meridian AI"):
        trial.respond(name)
        trial.respond(name, to=dispute)
    with refused("not_a_party"):
        trial.respond("Harbour Models", to=dispute)


def test_who_claims_the_accused_content_is_a_party_even_if_the_notice_names_another_entry() -> None:
    trial = case()
    with refused("not_a_party"):
        trial.dispute("Harbour Models")
    trial.world.enter(key_of("Harbour Models"), "model", model("tide-2", "Harbour Models", ACCUSED))
    trial.dispute("Harbour Models")


def test_an_erased_notice_or_dispute_cannot_be_answered() -> None:
    trial = case()
    dispute = trial.dispute()
    for erased, ask in (
        (dispute, lambda: trial.respond("Northwind Labs", to=dispute)),
        (dispute, lambda: trial.rule("dismissed", dispute)),
        (trial.notice, trial.dispute),
        (trial.notice, trial.review),
    ):
        world = trial.world.view
        before = world.entries[erased.hash]
        world.entries[erased.hash] = replace(before, statement=None)
        with refused("not_readable"):
            ask()
        world.entries[erased.hash] = before


# Votes.


def test_bureaus_verify_organisations_and_not_themselves() -> None:
    world = federation()
    lab = world.view.entry(world.homes["Meridian AI"])
    itself = world.view.entry(world.homes[A])
    assert lab is not None
    assert itself is not None
    world.add_key("Northwind Labs", key_of("would-be bureau"), "bureau")
    with refused("not_the_bureau"):
        world.vote("would-be bureau", "verified", lab)
    with refused("own_case"):
        world.vote(A, "verified", itself)
    world.vote(A, "verified", lab)


def test_only_who_entered_it_takes_an_entry_back() -> None:
    world = federation()
    entered = world.enter(NORTHWIND, "model", MODEL)
    with refused("not_own"):
        world.vote("Meridian AI", "withdrawn", entered)
    world.vote("Northwind Labs", "withdrawn", entered)


@pytest.mark.parametrize("state", ["reviewed", "refused"])
def test_a_reviewer_is_a_bureau_of_the_federation_at_home_with_neither_side(state: str) -> None:
    trial = case()
    for origin in (A, B):
        with refused("not_eligible"):
            trial.world.vote(origin, state, trial.notice)  # type: ignore[arg-type]
    trial.world.add_key("Harbour Models", key_of("self-made reviewer"), "reviewer")
    with refused("not_eligible"):
        trial.world.vote("self-made reviewer", state, trial.notice)  # type: ignore[arg-type]
    trial.world.vote(C, state, trial.notice)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Northwind Labs", "Meridian AI"])
def test_nobody_files_and_reviews_or_judges_the_same_case(name: str) -> None:
    trial = case()
    key = key_of(f"{name}'s own judge")
    trial.world.add_key(name, key, "reviewer", "chamber")
    with refused("own_case"):
        trial.world.vote(f"{name}'s own judge", "reviewed", trial.notice)
    dispute = trial.dispute()
    chamber = policy_of(A).chamber.model_copy(update={"keys": (key.id.hex(),), "threshold": 1})
    # Even a bureau that appoints them: the notice is judged under the policy of the day on which it was filed.
    trial.world.enter(key_of(f"{A} root 0"), "policy", policy_of(A, B, C, chamber=chamber))
    with refused("not_eligible"):
        trial.world.vote(f"{name}'s own judge", "dismissed", dispute)


@pytest.mark.parametrize("name", ["Northwind Labs", "Meridian AI"])
@pytest.mark.parametrize("state", ["upheld", "annulled", "dismissed"])
def test_a_judge_who_is_a_party_is_refused(name: str, state: str) -> None:
    key = key_of("Judge 0")
    trial = case()
    facts = trial.world.view.keys[trial.world.place(key)]
    trial.world.view.keys[trial.world.place(key)] = replace(facts, organisation=trial.world.homes[name])
    target = trial.dispute() if state == "dismissed" else trial.notice
    with refused("own_case"):
        trial.world.enter(
            key, "status", Status(state=state, reason="As decided."), target=target, origin=trial.world.home(key)
        )  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "barred"), [("upheld", True), ("dismissed", True), ("annulled", False)])
def test_a_judge_who_claims_the_accused_content_may_annul_and_nothing_else(state: str, barred: bool) -> None:
    """Or else a judge could unmake an annulment by entering a claim."""
    trial = case()
    trial.world.organisation("Judging lab", C, "submitter")
    trial.world.enter(key_of("Judging lab"), "model", model("tide-2", "Judging lab", ACCUSED))
    judge = trial.world.view.keys[trial.world.place(key_of("Judge 0"))]
    trial.world.view.keys[trial.world.place(key_of("Judge 0"))] = replace(
        judge, organisation=trial.world.homes["Judging lab"]
    )
    target = trial.dispute() if state == "dismissed" else trial.notice
    if barred:
        with refused("own_case"):
            trial.world.vote("Judge 0", state, target)  # type: ignore[arg-type]
    else:
        trial.world.vote("Judge 0", state, target)  # type: ignore[arg-type]


def test_cosigners_count_if_they_are_judges_at_home_in_this_log() -> None:
    trial = case()
    vote = trial.world.vote("Judge 0", "upheld", trial.notice, cosigners=["Judge 1", "Harbour Models"])
    assert vote.signers == {key_of("Judge 0").id, key_of("Judge 1").id}
    keys = trial.world.view.keys
    elsewhere = keys.pop((C, key_of("Judge 1").id))
    keys[B, key_of("Judge 1").id] = replace(elsewhere, organisation=trial.world.homes[B])
    alone = trial.world.vote("Judge 0", "upheld", trial.notice, cosigners=["Judge 1"])
    assert alone.signers == {key_of("Judge 0").id}


def test_a_renewal_cites_a_finding_of_the_last_year() -> None:
    trial = case()
    trial.world.now += 366 * DAY
    trial.world.vote("Northwind Labs", "renewed", trial.notice, evidence=trial.findings)
    trial.world.now += timedelta(seconds=1)
    with refused("old_evidence"):
        trial.world.vote("Northwind Labs", "renewed", trial.notice, evidence=trial.findings)
    with refused("old_evidence"):
        trial.world.vote("Northwind Labs", "renewed", trial.notice)
    again = trial.world.enter(key_of("First Examiner"), "finding", finding(), target=trial.accused)
    trial.world.vote("Northwind Labs", "renewed", trial.notice, evidence=[*trial.findings, again])
    with refused("not_own"):
        trial.world.vote("Meridian AI", "renewed", trial.notice, evidence=[again])


# Sealed leaves.


def test_a_sealed_leaf_stands_in_the_chain_of_the_bureau_that_took_it() -> None:
    world = federation()

    def sealed(name: str, sequence: int, previous: bytes) -> Leaf:
        issuer = key_of(name).id
        return Leaf(
            leaf_class="sealed",
            kind=SEALED_KIND,
            issuer=issuer,
            sequence=sequence,
            previous=previous,
            target=bytes(32),
            commit=b"c" * 32,
        )

    def ask(leaf: Leaf, origin: str = A) -> bytes:
        return admit_sealed(leaf, world.view, origin=origin, index=world.sizes[origin], at=world.now).organisation

    last = world.view.chain(key_of(A).id, origin=A)
    assert last is not None
    good = sealed(A, last[0] + 1, last[1])
    assert ask(good) == world.homes[A]
    with refused("wrong_previous"):
        ask(sealed(A, last[0] + 1, b"x" * 32))
    begun = world.view.link(key_of(A).id, 0, origin=A)
    assert begun is not None
    world.enter(key_of(A), "statusmap", StatusMapHead(root="ab" * 32, size=2, log_size=1))
    with refused("replay"):
        ask(sealed(A, 1, begun))
    with refused("wrong_log"):
        ask(good, B)
    with refused("not_the_bureau"):
        ask(sealed("Northwind Labs", 0, bytes(32)))
    with refused("unknown_issuer"):
        ask(sealed("A stranger", 0, bytes(32)))
    with refused("leaf_mismatch"):
        ask(replace(good, leaf_class="public", kind=4))


def test_a_data_set_is_admitted_and_can_be_spoken_of() -> None:
    world = federation()
    body = Dataset(publisher="Northwind Labs", name="letters", content=digest("letters"))
    assert world.enter(NORTHWIND, "dataset", body).kind == "dataset"
