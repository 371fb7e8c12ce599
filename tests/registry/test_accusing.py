"""Rules on notices: what an accuser must bring, that all tests are counted, and that no claim is made twice."""

from dataclasses import replace

import pytest
from test_admission import SEALED, refused
from worlds import (
    ACCUSED,
    ANSWER,
    REFERENCE,
    RETENTION,
    A,
    B,
    C,
    Examined,
    case,
    digest,
    examined,
    finding,
    key_of,
    model,
    policy_of,
    red,
)

from whorl.entries.kinds import Notice
from whorl.entries.leaf import entry_id
from whorl.registry.notices import strength_after_tests
from whorl.registry.parties import claim_digest
from whorl.registry.refusals import Code, Refusal
from whorl.registry.view import EntryFacts

NORTHWIND = key_of("Northwind Labs")
BLUE = Notice(colour="blue", title="What was it trained on?", text="Please say.")


@pytest.fixture
def unfiled() -> Examined:
    return examined()


def file(trial: Examined, body: Notice, *, by: str = "Northwind Labs", target: EntryFacts | None = None) -> EntryFacts:
    return trial.world.enter(key_of(by), "notice", body, target=target or trial.accused)


def found(trial: Examined, by: str, **said: str) -> EntryFacts:
    return trial.world.enter(key_of(by), "finding", finding(**said), target=trial.accused)


def test_a_red_notice_with_all_it_needs_is_admitted(unfiled: Examined) -> None:
    assert file(unfiled, red(unfiled.reference, unfiled.findings)).kind == "notice"


@pytest.mark.parametrize("field", ["reference", "also_named", "findings"])
def test_what_a_notice_names_is_in_a_log(unfiled: Examined, field: str) -> None:
    unknown = entry_id(b"u" * 32)
    value = unknown if field == "reference" else (unknown, entry_id(unfiled.findings[0].hash))
    with pytest.raises(Refusal) as caught:
        file(unfiled, red(unfiled.reference, unfiled.findings, **{field: value}))
    assert (caught.value.code, caught.value.may_pass_later) == ("unknown_entry", True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"reference": "finding"}, "wrong_target"),
        ({"also_named": "finding"}, "wrong_target"),
        ({"findings": "model"}, "wrong_evidence"),
    ],
)
def test_what_a_notice_names_is_of_a_kind_that_fits(unfiled: Examined, change: dict[str, str], code: Code) -> None:
    ids = {"finding": entry_id(unfiled.findings[0].hash), "model": entry_id(unfiled.reference.hash)}
    (field, kind), *_ = change.items()
    value = ids[kind] if field == "reference" else (ids[kind], entry_id(unfiled.findings[1].hash))
    with refused(code):
        file(unfiled, red(unfiled.reference, unfiled.findings, **{field: value}))


@pytest.mark.parametrize(
    "said",
    [
        {"questioned": digest("another model")},
        {"reference": digest("another model")},
        {"questioned": REFERENCE, "reference": ACCUSED},
        {"relation": "none_found"},
        {"relation": "inconclusive"},
        {"relation": "shared_initialisation"},
    ],
)
def test_findings_say_what_the_notice_says_of_the_same_contents(unfiled: Examined, said: dict[str, str]) -> None:
    questioned = said.get("questioned", ACCUSED)
    target = unfiled.accused
    if questioned != ACCUSED:
        target = unfiled.world.enter(NORTHWIND, "model", model("another", "Northwind Labs", questioned))
    other = unfiled.world.enter(key_of("Third Examiner"), "finding", finding(**said), target=target)
    with refused("wrong_evidence"):
        file(unfiled, red(unfiled.reference, [*unfiled.findings, other], tests_run=3))


@pytest.mark.parametrize(
    ("claimed", "relation", "borne_out"),
    [
        ("derived", "identical", True),
        ("shared_initialisation", "derived", True),
        ("same_weights", "identical", True),
        ("same_weights", "derived", False),
        ("learned_from", "identical", False),
    ],
)
def test_a_finding_of_more_bears_out_a_claim_of_less(
    unfiled: Examined, claimed: str, relation: str, borne_out: bool
) -> None:
    findings = [found(unfiled, name, relation=relation) for name in ("First Examiner", "Second Examiner")]
    body = red(unfiled.reference, findings, relation=claimed)
    if borne_out:
        file(unfiled, body)
    else:
        with refused("wrong_evidence"):
            file(unfiled, body)


def test_two_examiners_are_two_organisations(unfiled: Examined) -> None:
    again = found(unfiled, "First Examiner")
    with refused("examiners"):
        file(unfiled, red(unfiled.reference, [unfiled.findings[0], again]))


@pytest.mark.parametrize("party", ["Northwind Labs", "Meridian AI", "Harbour Models"])
def test_no_examiner_is_a_party(unfiled: Examined, party: str) -> None:
    """Neither the accuser, nor the accused, nor who claims the accused content too."""
    world = unfiled.world
    if party == "Harbour Models":
        world.enter(key_of(party), "model", model("tide-2", party, ACCUSED))
    lab = world.view.entry(world.homes[party])
    assert lab is not None
    world.vote(C, "verified", lab)
    world.add_key(party, key_of(f"{party} examining"), "examiner")
    own = found(unfiled, f"{party} examining")
    with refused("examiners"):
        file(unfiled, red(unfiled.reference, [unfiled.findings[0], own], tests_run=5))


def test_an_examiner_whom_no_bureau_verified_does_not_count(unfiled: Examined) -> None:
    """Roles are an organisation's own word: anybody could be two examiners at once."""
    world = unfiled.world
    lab = world.organisation("Self-made Examiner", A, "examiner")
    own = found(unfiled, "Self-made Examiner")
    body = red(unfiled.reference, [unfiled.findings[0], own])
    with pytest.raises(Refusal) as caught:
        file(unfiled, body)
    assert (caught.value.code, caught.value.may_pass_later) == ("examiners", True)
    world.vote(B, "verified", lab)
    file(unfiled, body)


def test_a_finding_that_was_taken_back_does_not_count(unfiled: Examined) -> None:
    unfiled.world.vote("Second Examiner", "withdrawn", unfiled.findings[1])
    with refused("examiners"):
        file(unfiled, red(unfiled.reference, unfiled.findings))


def test_nobody_accuses_their_own_model_or_one_without_content(unfiled: Examined) -> None:
    world, findings = unfiled.world, unfiled.findings
    own = world.enter(NORTHWIND, "model", model("lumen-2", "Northwind Labs", ACCUSED))
    with refused("own_model"):
        file(unfiled, red(unfiled.reference, findings), target=own)
    hollow = world.enter(key_of("Meridian AI"), "model", model("orion-2", "Meridian AI", None))
    with refused("no_content"):
        file(unfiled, red(unfiled.reference, findings), target=hollow)
    with refused("no_content"):
        file(unfiled, red(hollow, findings))
    file(unfiled, red(unfiled.reference, findings))


def test_a_model_can_be_said_to_be_the_very_same_weights(unfiled: Examined) -> None:
    world = unfiled.world
    renamed = world.enter(key_of("Meridian AI"), "model", model("orion-0", "Meridian AI", REFERENCE))
    findings = [
        world.enter(key_of(name), "finding", finding(REFERENCE, REFERENCE, "identical"), target=renamed)
        for name in ("First Examiner", "Second Examiner")
    ]
    file(unfiled, red(unfiled.reference, findings, relation="same_weights"), target=renamed)


@pytest.mark.parametrize(
    "stated", [{"log10_lr_least_favourable": 3.1}, {"log10_lr": 1.9}, {"log10_lr_least_favourable": 9.0}]
)
def test_a_notice_states_no_more_than_its_findings(unfiled: Examined, stated: dict[str, float]) -> None:
    with refused("overstated"):
        file(unfiled, red(unfiled.reference, unfiled.findings, **stated))


def test_the_lowest_finding_binds_whether_it_stands_or_not(unfiled: Examined) -> None:
    """Bureaus that have not read the same logs differ in what stands; nobody is to seem to cheat for that."""
    low = finding().model_copy(update={"log10_lr": 1.0})
    third = unfiled.world.enter(key_of("Third Examiner"), "finding", low, target=unfiled.accused)
    cited = (*unfiled.findings, third)
    with refused("overstated"):
        file(unfiled, red(unfiled.reference, cited, tests_run=3))
    unfiled.world.vote("Third Examiner", "withdrawn", third)
    with refused("overstated"):
        file(unfiled, red(unfiled.reference, cited, tests_run=3))
    file(unfiled, red(unfiled.reference, cited, log10_lr_least_favourable=1.0, tests_run=3))


def test_only_an_independent_finding_that_states_a_ratio_bears_out_a_notice(unfiled: Examined) -> None:
    silent = finding().model_copy(update={"log10_lr": None})
    unfiled.world.organisation("Unverified", A, "examiner")
    findings = [
        unfiled.world.enter(key_of(name), "finding", body, target=unfiled.accused)
        for name, body in (("First Examiner", silent), ("Second Examiner", silent), ("Unverified", finding()))
    ]
    with refused("examiners"):
        file(unfiled, red(unfiled.reference, findings, tests_run=3))


def test_a_ratio_that_no_finding_gives_is_not_stated(unfiled: Examined) -> None:
    silent = finding().model_copy(update={"log10_lr": None})
    findings = [
        unfiled.world.enter(key_of(name), "finding", silent, target=unfiled.accused)
        for name in ("First Examiner", "Second Examiner")
    ]
    with refused("overstated"):
        file(unfiled, red(unfiled.reference, findings))


def test_attack_6_all_tests_behind_a_notice_are_counted(unfiled: Examined) -> None:
    """A thousand commitments, the best one opened: the notice must say a thousand, and weighs that much less."""
    world = unfiled.world
    world.enter(key_of(f"{A} root 0"), "policy", policy_of(A, B, C, commitments_per_month=1000))
    for _ in range(1000):
        world.enter(NORTHWIND, "commitment", SEALED)
    few, all_of_them = (red(unfiled.reference, unfiled.findings, tests_run=number) for number in (1001, 1002))
    with refused("multiplicity"):
        file(unfiled, few)
    file(unfiled, all_of_them)
    one, many = strength_after_tests(red(unfiled.reference, unfiled.findings, tests_run=1)), strength_after_tests(few)
    assert one is not None
    assert many is not None
    assert (one.log10_lr, one.false_positive_bound) == (2.0, 0.001)
    assert (many.log10_lr, many.false_positive_bound) == (0.0, 1.0)
    assert strength_after_tests(BLUE) is None


@pytest.mark.parametrize("tests", [1, 2, 10, 99, 100])
def test_strength_falls_with_every_test_and_never_turns_against_the_claim(unfiled: Examined, tests: int) -> None:
    body = red(unfiled.reference, unfiled.findings, tests_run=tests)
    weaker, weak = strength_after_tests(body.model_copy(update={"tests_run": tests + 1})), strength_after_tests(body)
    assert weak is not None
    assert weaker is not None
    assert 0 <= weaker.log10_lr <= weak.log10_lr <= 2.0
    assert weaker.false_positive_bound > weak.false_positive_bound
    against = strength_after_tests(body.model_copy(update={"log10_lr_least_favourable": -1.0}))
    assert against is not None
    assert against.log10_lr == -1.0


def test_the_accusers_own_findings_are_counted_on_whichever_entry_they_stand(unfiled: Examined) -> None:
    world = unfiled.world
    world.add_key("Northwind Labs", key_of("Northwind examining"), "examiner")
    elsewhere = world.enter(NORTHWIND, "model", model("a copy", "Northwind Labs", ACCUSED))
    for said, target in (
        (finding(relation="none_found"), unfiled.accused),
        (finding(relation="inconclusive"), elsewhere),
        (finding(REFERENCE, ACCUSED), unfiled.reference),
    ):
        world.enter(key_of("Northwind examining"), "finding", said, target=target)
    other = digest("other")
    unrelated = world.enter(NORTHWIND, "model", model("other", "Northwind Labs", other))
    world.enter(key_of("Northwind examining"), "finding", finding(other, REFERENCE), target=unrelated)
    with refused("multiplicity"):
        file(unfiled, red(unfiled.reference, unfiled.findings, tests_run=4))
    file(unfiled, red(unfiled.reference, unfiled.findings, tests_run=5))


def test_one_claim_has_one_open_notice(unfiled: Examined) -> None:
    first = file(unfiled, red(unfiled.reference, unfiled.findings))
    body = red(unfiled.reference, unfiled.findings, title="Once more")
    with pytest.raises(Refusal) as caught:
        file(unfiled, body)
    assert (caught.value.code, caught.value.may_pass_later) == ("claim_stands", True)
    unfiled.world.vote("Northwind Labs", "withdrawn", first)
    with refused("claim_made_before"):
        file(unfiled, body)


@pytest.mark.parametrize("end", ["annulled", "silence", "withdrawn", "refused", "expired"])
def test_attack_18_a_claim_that_is_over_is_not_made_again_as_if_new(end: str) -> None:
    """However it ended: naming the earlier notice is not enough without a finding that it did not have, nor the other
    way round. This closes the way of withdrawing before a ruling and filing again."""
    trial = case()
    world = trial.world
    match end:
        case "annulled":
            trial.dispute()
            trial.rule("annulled")
        case "silence":
            trial.dispute()
            world.now += 2 * ANSWER
        case "withdrawn":
            trial.dispute()
            world.vote("Northwind Labs", "withdrawn", trial.notice)
        case "refused":
            trial.review("refused")
        case "expired":
            world.now += RETENTION + ANSWER
    cites = entry_id(trial.notice.hash)
    again = red(trial.reference, trial.findings, cites_annulled=cites)
    with refused("claim_made_before"):
        file(trial, again)
    third = found(trial, "Third Examiner")
    fresh = [*trial.findings, third]
    with refused("claim_made_before"):
        file(trial, red(trial.reference, fresh, tests_run=3))
    with refused("claim_made_before"):
        file(trial, red(trial.reference, fresh, tests_run=3, cites_annulled=entry_id(third.hash)))
    refiled = file(trial, red(trial.reference, fresh, tests_run=3, cites_annulled=cites))
    world.vote("Northwind Labs", "withdrawn", refiled)
    with refused("claim_made_before"):  # what the second one brought is spent as well
        file(trial, red(trial.reference, fresh, tests_run=3, cites_annulled=cites))


def test_a_claim_whose_notice_was_erased_needs_a_finding_that_came_later() -> None:
    trial = case()
    before = found(trial, "Third Examiner")
    trial.rule("annulled")
    trial.world.view.entries[trial.notice.hash] = replace(trial.notice, statement=None)
    cites = entry_id(trial.notice.hash)
    with refused("claim_made_before"):
        file(trial, red(trial.reference, [*trial.findings, before], tests_run=3, cites_annulled=cites))
    trial.world.now += ANSWER
    after = found(trial, "Third Examiner")
    file(trial, red(trial.reference, [*trial.findings, after], tests_run=3, cites_annulled=cites))


def test_a_claim_is_the_same_on_another_entry_of_the_model_and_hidden_behind_another_target() -> None:
    trial = case()
    trial.world.vote("Northwind Labs", "withdrawn", trial.notice)
    twin = trial.world.enter(key_of("Harbour Models"), "model", model("tide-2", "Harbour Models", ACCUSED))
    with refused("claim_made_before"):
        file(trial, red(trial.reference, trial.findings), target=twin)
    decoy = trial.world.enter(key_of("Harbour Models"), "model", model("decoy", "Harbour Models", digest("decoy")))
    said = finding(questioned=digest("decoy"))
    findings = [
        trial.world.enter(key_of(name), "finding", said, target=decoy) for name in ("First Examiner", "Second Examiner")
    ]
    with refused("claim_made_before"):
        body = red(trial.reference, findings, also_named=(entry_id(trial.accused.hash),))
        file(trial, body, target=decoy)
    file(trial, red(trial.reference, findings), target=decoy)


@pytest.mark.parametrize("end", ["annulled", "erased", "withdrawn"])
def test_an_annulled_claim_does_not_come_back_under_another_key(end: str) -> None:
    """A new key under the accuser's name, or a straw man's, is another accuser: the same findings bring nothing new."""
    trial = case()
    world = trial.world
    puppet = world.organisation("Northwind Labs again", A, "submitter")
    assert puppet.hash != trial.notice.organisation
    again = red(trial.reference, trial.findings)
    file(
        replace(trial, world=world.copy()), again, by="Northwind Labs again"
    )  # two may accuse alike as long as neither was overruled
    if end == "withdrawn":
        world.vote("Northwind Labs", "withdrawn", trial.notice)
        file(trial, again, by="Northwind Labs again")
        return
    trial.rule("annulled")
    if end == "erased":
        world.view.entries[trial.notice.hash] = replace(trial.notice, statement=None)
    cites = entry_id(trial.notice.hash)
    for body in (again, again.model_copy(update={"cites_annulled": cites})):
        with refused("claim_made_before"):
            file(trial, body, by="Northwind Labs again")
    world.now += ANSWER
    fresh = [*trial.findings, found(trial, "Third Examiner")]
    file(trial, red(trial.reference, fresh, tests_run=3, cites_annulled=cites), by="Northwind Labs again")


def test_of_questions_only_the_same_words_are_the_same_claim(unfiled: Examined) -> None:
    asked = file(unfiled, BLUE)
    unfiled.world.vote("Judge 0", "annulled", asked, cosigners=["Judge 1"])
    with refused("claim_made_before"):
        file(unfiled, BLUE, by="Harbour Models")
    file(unfiled, BLUE.model_copy(update={"text": "Something else."}), by="Harbour Models")


def test_another_relation_and_another_model_are_other_claims_and_another_accuser_is_none() -> None:
    trial = case()
    view, notice = trial.world.view, trial.notice
    assert notice.statement is not None
    mine = claim_digest(notice, view)
    body = notice.statement.body
    assert isinstance(body, Notice)
    assert claim_digest(replace(notice, organisation=trial.world.homes["Harbour Models"]), view) == mine
    others = [
        replace(notice, statement=replace(notice.statement, target=trial.reference.hash)),
        replace(notice, statement=replace(notice.statement, body=body.model_copy(update={"relation": "same_weights"}))),
    ]
    assert len({mine, *(claim_digest(other, view) for other in others)}) == 3
    reworded = body.model_copy(update={"title": "Reworded", "reference": entry_id(b"r" * 32), "findings": ()})
    assert claim_digest(replace(notice, statement=replace(notice.statement, body=reworded)), view) == mine


def test_blue_and_orange_notices_need_no_findings_and_may_be_on_the_own_model(unfiled: Examined) -> None:
    file(unfiled, BLUE)
    orange = Notice(colour="orange", title="Ignores refusals", text="And so may what was made from it.")
    file(unfiled, orange, target=unfiled.reference)
    with refused("claim_stands"):
        file(unfiled, BLUE)
    off_topic = unfiled.world.enter(key_of("First Examiner"), "finding", finding(), target=unfiled.accused)
    tide = next(one for one in unfiled.world.view.models(digest("tide")))
    with refused("wrong_evidence"):
        file(unfiled, BLUE.model_copy(update={"findings": (entry_id(off_topic.hash),)}), target=tide)
