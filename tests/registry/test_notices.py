"""What becomes of a notice: every state and every event, whole lives, and who cannot change anything."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from worlds import (
    ACCUSED,
    ANSWER,
    DAY,
    REPLY,
    RETENTION,
    A,
    B,
    C,
    Case,
    case,
    digest,
    examined,
    finding,
    key_of,
    model,
    policy_of,
    red,
)

from whorl.entries.kinds import Dispute, Notice, Status
from whorl.entries.leaf import entry_id
from whorl.registry.notices import NoticeState, notice_standing
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts

SECOND = timedelta(seconds=1)
ANNUL = Status(state="annulled", reason="As decided.")


def disputes(trial: Case) -> list[EntryFacts]:
    return [one for one in trial.world.view.about(trial.notice.hash) if one.kind == "dispute"]


def wait(trial: Case, time: timedelta) -> None:
    trial.world.now += time + SECOND


def publish(trial: Case) -> None:
    trial.review()
    wait(trial, REPLY)


def block(trial: Case) -> None:
    publish(trial)
    trial.dispute("Meridian AI", digest("first"))


def uphold(trial: Case) -> None:
    block(trial)
    trial.respond("Northwind Labs", to=disputes(trial)[0])
    trial.rule("upheld", evidence=disputes(trial))


def annul(trial: Case) -> None:
    trial.dispute()
    trial.rule("annulled")


def renew(trial: Case) -> None:
    fresh = trial.world.enter(key_of("First Examiner"), "finding", finding(), target=trial.accused)
    trial.world.vote("Northwind Labs", "renewed", trial.notice, evidence=[fresh])


STATES: dict[NoticeState, Callable[[Case], object]] = {
    "filed": lambda _: None,
    "reviewed": lambda trial: trial.review(),
    "published": publish,
    "blocked": block,
    "upheld": uphold,
    "annulled": annul,
    "withdrawn": lambda trial: trial.world.vote("Northwind Labs", "withdrawn", trial.notice),
    "expired": lambda trial: wait(trial, RETENTION),
    "refused": lambda trial: trial.review("refused"),
}
EVENTS: dict[str, Callable[[Case], object]] = {
    "a bureau passes it": lambda trial: trial.review(),
    "a bureau refuses it": lambda trial: trial.review("refused"),
    "the accused replies": lambda trial: trial.respond(),
    "the time to reply ends": lambda trial: wait(trial, REPLY),
    "the accused disputes it": lambda trial: trial.dispute("Meridian AI", digest("new")),
    "the accuser answers": lambda trial: [trial.respond("Northwind Labs", to=one) for one in disputes(trial)],
    "the time to answer ends": lambda trial: wait(trial, ANSWER),
    "the chamber dismisses": lambda trial: [trial.rule("dismissed", one) for one in disputes(trial)],
    "the chamber upholds": lambda trial: trial.rule("upheld", evidence=disputes(trial)),
    "the chamber annuls": lambda trial: trial.rule("annulled"),
    "the accuser withdraws": lambda trial: trial.world.vote("Northwind Labs", "withdrawn", trial.notice),
    "the accuser renews": renew,
    "retention ends": lambda trial: wait(trial, RETENTION),
}
# One row for each event, in the order above; a dot where nothing changes.
TRANSITIONS = """
                          filed     reviewed  published blocked   upheld    annulled  withdrawn expired   refused
a bureau passes it        reviewed  .         .         .         .         .         .         .         .
a bureau refuses it       refused   refused   refused   refused   refused   .         .         .         .
the accused replies       .         published .         .         .         .         .         .         .
the time to reply ends    .         published .         .         .         .         .         .         .
the accused disputes it   blocked   blocked   blocked   .         blocked   .         .         .         .
the accuser answers       .         .         .         .         .         .         .         .         .
the time to answer ends   .         published .         annulled  .         .         .         .         .
the chamber dismisses     .         .         .         published .         .         .         .         .
the chamber upholds       .         .         upheld    upheld    .         .         .         .         .
the chamber annuls        annulled  annulled  annulled  annulled  annulled  .         annulled  annulled  annulled
the accuser withdraws     withdrawn withdrawn withdrawn withdrawn withdrawn .         .         withdrawn withdrawn
the accuser renews        .         .         .         .         .         .         .         .         .
retention ends            expired   expired   expired   annulled  expired   .         .         .         expired
"""


def rows() -> list[tuple[NoticeState, str, NoticeState]]:
    lines = TRANSITIONS.strip("\n").splitlines()
    table = []
    for line in lines[1:]:
        event, cells = line[:26].strip(), line[26:].split()
        for state, cell in zip(STATES, cells, strict=True):
            table.append((state, event, state if cell == "." else cell))
    return table  # type: ignore[return-value]


def test_the_table_has_every_state_and_every_event() -> None:
    assert TRANSITIONS.strip("\n").splitlines()[0].split() == list(STATES)
    assert {(state, event) for state, event, _ in rows()} == {(state, event) for state in STATES for event in EVENTS}


@pytest.mark.parametrize("state", STATES)
def test_each_state_can_be_reached_and_only_two_show_the_text(state: NoticeState) -> None:
    trial = case()
    STATES[state](trial)
    found = trial.standing()
    assert found.state == state
    assert found.may_show_text == (state in ("published", "upheld"))
    assert found.because


@pytest.mark.parametrize(("state", "event", "after"), rows())
def test_transitions(state: NoticeState, event: str, after: NoticeState) -> None:
    trial = case()
    STATES[state](trial)
    EVENTS[event](trial)
    assert trial.standing().state == after


# Whole lives.


def test_the_life_of_a_notice_that_stands() -> None:
    trial = case()
    filed = trial.standing()
    assert (filed.state, filed.until) == ("filed", trial.world.now + RETENTION)
    review = trial.review()
    waiting = trial.standing()
    assert (waiting.state, waiting.by, waiting.until) == ("reviewed", (review.hash,), trial.world.now + REPLY)
    wait(trial, REPLY)
    assert trial.standing().state == "published"
    dispute = trial.dispute()
    blocked = trial.standing()
    assert (blocked.state, blocked.by, blocked.until) == ("blocked", (dispute.hash,), trial.world.now + ANSWER)
    trial.respond("Northwind Labs", to=dispute)
    assert trial.standing().until == trial.notice.seen_at + RETENTION
    wait(trial, ANSWER)
    assert trial.standing().state == "blocked"
    ruling = trial.rule("upheld", evidence=[dispute])
    upheld = trial.standing()
    assert (upheld.state, upheld.by, upheld.may_show_text) == ("upheld", (ruling.hash,), True)
    wait(trial, RETENTION)
    assert trial.standing().state == "expired"


def test_attack_18_a_campaign_of_false_accusations_ends_with_the_first() -> None:
    """Filed, disputed, not answered: annulled by silence, never shown; filed again: refused; as another: refused."""
    trial = case()
    trial.review()
    dispute = trial.dispute()
    assert not trial.standing().may_show_text
    trial.world.now += ANSWER
    assert trial.standing().state == "blocked"
    trial.world.now += SECOND
    gone = trial.standing()
    assert (gone.state, gone.by, gone.until) == ("annulled", (dispute.hash,), None)
    trial.respond("Northwind Labs", to=dispute)
    assert trial.standing() == gone
    trial.rule("upheld", evidence=[dispute])
    trial.rule("dismissed", dispute)
    assert trial.standing() == gone
    for body in (
        red(trial.reference, trial.findings),
        red(trial.reference, trial.findings, cites_annulled=entry_id(trial.notice.hash)),
        red(trial.reference, trial.findings, also_named=(entry_id(trial.reference.hash),)),
    ):
        with pytest.raises(Refusal, match="earlier notice"):
            trial.world.enter(key_of("Northwind Labs"), "notice", body, target=trial.accused)


def test_withdrawing_in_time_is_no_silence_and_withdrawing_too_late_is() -> None:
    for late, state in ((timedelta(0), "withdrawn"), (SECOND, "annulled")):
        trial = case()
        trial.dispute()
        trial.world.now += ANSWER + late
        trial.world.vote("Northwind Labs", "withdrawn", trial.notice)
        wait(trial, ANSWER)
        assert trial.standing().state == state


@pytest.mark.parametrize("late", [False, True])
def test_a_dispute_that_is_over_in_time_needs_no_answer(late: bool) -> None:
    for end in ("dismissed", "withdrawn", "upheld"):
        trial = case()
        publish(trial)
        dispute = trial.dispute()
        trial.world.now += ANSWER + (SECOND if late else timedelta(0))
        match end:
            case "dismissed":
                trial.rule("dismissed", dispute)
            case "withdrawn":
                trial.world.vote("Meridian AI", "withdrawn", dispute)
            case "upheld":
                trial.rule("upheld")
        wait(trial, ANSWER)
        assert trial.standing().state == ("annulled" if late else "upheld" if end == "upheld" else "published")


def test_a_dispute_is_over_with_the_first_thing_that_ends_it() -> None:
    trial = case()
    publish(trial)
    dispute = trial.dispute()
    trial.rule("dismissed", dispute)
    wait(trial, ANSWER)
    trial.world.vote("Meridian AI", "withdrawn", dispute)
    assert trial.standing().state == "published"


def test_a_judge_who_claims_the_accused_content_upholds_nothing() -> None:
    trial = case()
    publish(trial)
    trial.rule("upheld")
    assert trial.standing().state == "upheld"
    judge = trial.world.view.keys[trial.world.place(key_of("Judge 1"))]
    trial.world.enter(key_of("Harbour Models"), "model", model("tide-2", "Harbour Models", ACCUSED))
    lab = trial.world.homes["Harbour Models"]
    trial.world.view.keys[trial.world.place(key_of("Judge 1"))] = replace(judge, organisation=lab)
    assert trial.standing().state == "published"


def test_after_a_ruling_only_new_evidence_blocks_again() -> None:
    trial = case()
    uphold(trial)
    trial.dispute("Meridian AI")
    trial.dispute("Meridian AI", digest("first"))
    assert trial.standing().state == "upheld"
    new = trial.dispute("Meridian AI", digest("first"), digest("second"))
    assert (trial.standing().state, trial.standing().by) == ("blocked", (new.hash,))
    trial.rule("dismissed", new)
    assert trial.standing().state == "upheld"


def test_a_dispute_that_the_ruling_does_not_list_stays_open() -> None:
    trial = case()
    publish(trial)
    listed, other = (trial.dispute("Meridian AI", digest(blob)) for blob in ("one", "two"))
    trial.rule("upheld", evidence=[listed])
    assert (trial.standing().state, trial.standing().by) == ("blocked", (other.hash,))


def test_an_upheld_notice_still_needs_a_review_from_outside() -> None:
    """The chamber is named by the log in which the accuser is at home."""
    trial = case()
    dispute = trial.dispute()
    trial.rule("upheld", evidence=[dispute])
    wait(trial, REPLY)
    assert trial.standing().state == "filed"
    trial.review()
    assert trial.standing().state == "upheld"


def test_judges_vote_in_one_envelope_or_one_by_one() -> None:
    trial = case()
    trial.world.vote("Judge 0", "annulled", trial.notice)
    trial.world.vote("Judge 0", "annulled", trial.notice)
    assert trial.standing().state == "filed"
    trial.world.vote("Judge 2", "annulled", trial.notice)
    assert trial.standing().state == "annulled"
    assert len(trial.standing().by) == 2


def test_judges_of_a_case_are_those_of_the_day_on_which_it_was_filed() -> None:
    trial = case()
    friendly = policy_of(A).chamber.model_copy(update={"keys": (key_of("Judge 2").id.hex(),), "threshold": 1})
    changed = policy_of(A, B, C, chamber=friendly, reply_seconds=0, answer_seconds=10**8)
    trial.world.enter(key_of(f"{A} root 0"), "policy", changed)
    dispute = trial.dispute()
    trial.world.vote("Judge 2", "dismissed", dispute)
    trial.review()
    wait(trial, timedelta(0))
    assert trial.standing().state == "blocked"
    wait(trial, ANSWER)
    assert trial.standing().state == "annulled"


def test_everybody_accused_has_replied_or_the_time_is_over() -> None:
    trial = case()
    trial.world.enter(key_of("Harbour Models"), "model", model("tide-2", "Harbour Models", ACCUSED))
    trial.review()
    trial.respond("Northwind Labs")
    trial.respond("Meridian AI")
    assert trial.standing().state == "reviewed"
    trial.respond("Harbour Models")
    assert trial.standing().state == "published"


def test_the_wait_ends_after_its_last_second() -> None:
    trial = case()
    trial.review()
    trial.world.now += REPLY
    assert trial.standing().state == "reviewed"
    trial.world.now += SECOND
    assert trial.standing().state == "published"


def test_reviewing_bureaus_outvote_each_other_and_a_tie_refuses() -> None:
    fourth, fifth = "bureau.example/d", "bureau.example/e"
    now = examined()
    for origin in (fourth, fifth):
        now.world.organisation(origin, origin)
        now.world.add_key(origin, key_of(origin), "reviewer")
        now.world.enter(key_of(f"{origin} root 0"), "policy", policy_of(origin, A))
    now.world.enter(key_of(f"{A} root 0"), "policy", policy_of(A, B, C, fourth, fifth))
    body = red(now.reference, now.findings)
    notice = now.world.enter(key_of("Northwind Labs"), "notice", body, target=now.accused)
    trial = Case(now.world, now.reference, now.accused, now.findings, notice)
    trial.world.vote(C, "reviewed", notice)
    trial.world.vote(fourth, "refused", notice)
    assert trial.standing().state == "refused"
    trial.world.vote(fifth, "reviewed", notice)
    assert trial.standing().state == "reviewed"
    trial.world.vote(fifth, "refused", notice)
    assert trial.standing().state == "refused"


def test_renewal_keeps_a_notice_and_comes_too_late_after_its_end() -> None:
    trial = case()
    publish(trial)
    trial.world.now = trial.notice.seen_at + RETENTION
    late = replace(trial, world=trial.world.copy())
    renew(trial)
    wait(trial, RETENTION - SECOND)
    assert trial.standing().state == "published"
    wait(trial, timedelta(0))
    assert trial.standing().state == "expired"
    wait(late, timedelta(0))
    renew(late)
    assert late.standing().state == "expired"


@pytest.mark.parametrize("how", ["old", "party", "nothing"])
def test_a_renewal_past_the_rules_does_not_count(how: str) -> None:
    trial = case()
    world = trial.world
    evidence = {"old": trial.findings[:1], "nothing": ()}.get(how)
    world.now = trial.notice.seen_at + RETENTION
    if evidence is None:
        world.add_key("Northwind Labs", key_of("Northwind examining"), "examiner")
        evidence = (world.enter(key_of("Northwind examining"), "finding", finding(), target=trial.accused),)
    body = Status(state="renewed", reason="Still so.", evidence=tuple(entry_id(one.hash) for one in evidence))
    world.slip_in(key_of("Northwind Labs"), "status", body, target=trial.notice)
    wait(trial, timedelta(0))
    assert trial.standing().state == "expired"


def test_a_notice_stands_no_longer_than_the_findings_it_rests_on() -> None:
    trial = case()
    publish(trial)
    trial.world.vote("Second Examiner", "withdrawn", trial.findings[1])
    found = trial.standing()
    assert (found.state, found.may_show_text) == ("blocked", False)
    assert "findings of 1 independent" in found.because


@pytest.mark.parametrize("colour", ["blue", "orange"])
def test_other_colours_go_the_same_way(colour: str) -> None:
    trial = case()
    body = Notice(colour=colour, title="A question", text="Please say.")  # type: ignore[arg-type]
    trial.notice = trial.world.enter(key_of("Northwind Labs"), "notice", body, target=trial.accused)
    assert trial.standing().state == "filed"
    trial.review()
    assert trial.standing().state == "reviewed"
    trial.respond()
    assert trial.standing().state == "published"
    trial.dispute()
    assert trial.standing().state == "blocked"
    wait(trial, ANSWER)
    assert trial.standing().state == "annulled"


def test_an_orange_notice_on_the_own_model_needs_review_and_nobodys_reply() -> None:
    trial = case()
    body = Notice(colour="orange", title="Ignores refusals", text="And so may its descendants.")
    trial.notice = trial.world.enter(key_of("Northwind Labs"), "notice", body, target=trial.reference)
    assert trial.standing().state == "filed"
    trial.review()
    assert trial.standing().state == "published"


def test_an_accused_whom_nobody_knows_is_given_the_time_to_reply() -> None:
    trial = case()
    trial.review()
    trial.world.view.entries[trial.accused.hash] = replace(trial.accused, organisation=None)
    assert trial.standing().state == "reviewed"


# What is missing hides, and does not show.


def test_a_notice_that_cannot_be_read_or_has_no_policy_is_not_shown() -> None:
    trial = case()
    publish(trial)
    erased = replace(trial.notice, statement=None)
    found = notice_standing(erased, trial.world.view, at=trial.world.now)
    assert (found.state, found.because) == ("blocked", "what it says is not here")
    lawless = replace(trial.notice, index=0)
    assert notice_standing(lawless, trial.world.view, at=trial.world.now).state == "blocked"


@pytest.mark.parametrize("state", ["blocked", "annulled", "withdrawn", "expired", "refused"])
def test_an_erased_notice_keeps_the_state_that_it_had(state: NoticeState) -> None:
    """What was annulled is what courts order erased: the tombstone stays."""
    trial = case()
    STATES[state](trial)
    erased = replace(trial.notice, statement=None)
    assert notice_standing(erased, trial.world.view, at=trial.world.now) == trial.standing()
    if state == "blocked":
        wait(trial, ANSWER)
        assert notice_standing(erased, trial.world.view, at=trial.world.now).state == "annulled"


def test_an_erased_notice_can_still_be_annulled() -> None:
    trial = case()
    trial.notice = replace(trial.notice, statement=None)
    trial.world.view.entries[trial.notice.hash] = trial.notice
    trial.rule("annulled")
    assert trial.standing().state == "annulled"


@pytest.mark.parametrize("what", ["dispute", "status"])
def test_what_was_erased_still_blocks(what: str) -> None:
    trial = case()
    publish(trial)
    entry = trial.dispute() if what == "dispute" else trial.rule("annulled")
    entries = trial.world.view.about(trial.notice.hash)
    view = trial.world.view.copy()
    erased = [replace(one, statement=None) if one.hash == entry.hash else one for one in entries]
    as_it_is = trial.world.view.about
    view.about = lambda target, *kinds: erased if target == trial.notice.hash else as_it_is(target, *kinds)  # type: ignore[method-assign]
    found = notice_standing(trial.notice, view, at=trial.world.now)
    assert (found.state, found.by) == ("blocked", (entry.hash,))


# Stolen keys and clocks.


def test_attack_10_a_stolen_key_accuses_until_it_is_revoked_and_nobody_is_shown_it_then() -> None:
    now = examined()
    stolen_at = now.world.sizes[A]
    body = red(now.reference, now.findings)
    notice = now.world.enter(key_of("Northwind Labs"), "notice", body, target=now.accused)
    trial = Case(now.world, now.reference, now.accused, now.findings, notice)
    publish(trial)
    assert trial.standing().may_show_text
    revocation = trial.world.revoke("Northwind Labs", key_of("Northwind Labs"), since=stolen_at)
    found = trial.standing()
    assert (found.state, found.by) == ("blocked", (revocation.hash,))
    with pytest.raises(Refusal, match="revoked at index") as caught:
        trial.world.enter(key_of("Northwind Labs"), "notice", body, target=trial.accused)
    assert caught.value.code == "key_revoked"


def test_attack_10_an_independent_time_before_the_theft_clears_an_entry() -> None:
    trial = case()
    publish(trial)
    trial.world.revoke("Northwind Labs", key_of("Northwind Labs"), since=trial.notice.index)
    assert trial.standing().state == "blocked"
    trusted = trial.world.view.keys[trial.world.place(key_of("Northwind Labs"))].trusted_until
    assert trusted is not None
    for stamped, state in ((trusted, "published"), (trusted + SECOND, "blocked")):
        trial.notice = replace(trial.notice, stamped_at=stamped)
        assert trial.standing().state == state


@pytest.mark.parametrize(
    ("state", "name", "home", "before", "after"),
    [
        ("reviewed", C, C, "published", "filed"),
        ("refused", C, C, "refused", "refused"),
        ("withdrawn", "Northwind Labs", A, "withdrawn", "withdrawn"),
        ("annulled", "Judge 0", C, "annulled", "annulled"),
        ("dismissed", "Judge 0", C, "published", "blocked"),
        ("upheld", "Judge 0", C, "upheld", "blocked"),
    ],
)
def test_attack_10_a_doubted_vote_hides_and_does_not_show(
    state: str, name: str, home: str, before: str, after: str
) -> None:
    trial = case()
    if state in ("dismissed", "upheld"):
        publish(trial)
        dispute = trial.dispute()
    since = trial.world.sizes[home]
    match state:
        case "dismissed":
            trial.rule("dismissed", dispute)
        case "upheld" | "annulled":
            trial.rule(state)  # type: ignore[arg-type]
        case _:
            trial.world.vote(name, state, trial.notice)  # type: ignore[arg-type]
            wait(trial, REPLY)
    assert trial.standing().state == before
    trial.world.homes[name] = trial.world.view.keys[trial.world.place(key_of(name))].organisation
    trial.world.revoke(name, key_of(name), since=since)
    assert trial.standing().state == after


def test_attack_10_a_doubted_reply_does_not_end_the_wait() -> None:
    trial = case()
    trial.review()
    since = trial.world.sizes[B]
    trial.respond()
    assert trial.standing().state == "published"
    trial.world.revoke("Meridian AI", key_of("Meridian AI"), since=since)
    assert trial.standing().state == "reviewed"


@pytest.mark.parametrize("state", STATES)
def test_attack_4_a_clock_set_back_shows_nothing_that_an_entry_hid(state: NoticeState) -> None:
    trial = case()
    STATES[state](trial)
    shown = [trial.standing(at=trial.world.now - days * DAY).may_show_text for days in (1, 365, 3650)]
    assert not any(shown) or state in ("published", "upheld", "expired")
    if state == "published":  # the wait is not over by such a clock
        assert not any(shown[1:])


def test_attack_4_a_clock_set_back_does_not_undo_a_silence_or_an_end_that_later_entries_show() -> None:
    trial = case()
    publish(trial)
    dispute = trial.dispute()
    wait(trial, ANSWER)
    trial.rule("dismissed", dispute)
    assert trial.standing(at=dispute.seen_at).state == "annulled"
    other = case()
    publish(other)
    wait(other, RETENTION)
    other.respond()
    assert other.standing(at=other.notice.seen_at + REPLY + SECOND).state == "expired"


def test_attack_4_an_accusers_clock_is_not_asked() -> None:
    trial = case()
    statement = trial.notice.statement
    assert statement is not None
    trial.review()
    backdated = replace(trial.notice, statement=replace(statement, issued_at=statement.issued_at - 365 * DAY))
    assert notice_standing(backdated, trial.world.view, at=trial.world.now) == trial.standing()


def test_the_accuser_disputes_nothing_and_what_a_bureau_let_in_of_others_blocks() -> None:
    """Whether somebody is a party their bureau checks: the claim that makes them one may be hidden from others."""
    trial = case()
    publish(trial)
    body = Dispute(grounds="I do not like it.")
    trial.world.slip_in(key_of("Northwind Labs"), "dispute", body, target=trial.notice)
    assert trial.standing().state == "published"
    dispute = trial.world.slip_in(key_of("Harbour Models"), "dispute", body, target=trial.notice)
    assert (trial.standing().state, trial.standing().by) == ("blocked", (dispute.hash,))


def set_aside(trial: Case, *entries: EntryFacts) -> None:
    """Let entries count for their own bureaus and not here, where they keep the rules of their logs alone."""
    for entry in entries:
        trial.world.view.aside.append(trial.world.view.entries.pop(entry.hash))


@pytest.mark.parametrize(
    ("state", "hides"),
    [
        ("reviewed", False),
        ("upheld", False),
        ("refused", True),
        ("withdrawn", True),
        ("annulled", True),
        ("dispute", True),
    ],
)
def test_what_does_not_count_here_hides_and_does_not_show(state: str, hides: bool) -> None:
    trial = case()
    if state != "reviewed":
        publish(trial)
    match state:
        case "dispute":
            entry = trial.dispute()
        case "upheld" | "annulled":
            entry = trial.rule(state)  # type: ignore[arg-type]
        case _:
            entry = trial.world.vote("Northwind Labs" if state == "withdrawn" else C, state, trial.notice)  # type: ignore[arg-type]
    wait(trial, REPLY)
    counted = trial.standing()
    set_aside(trial, entry)
    here = trial.standing()
    assert (here == counted) is hides
    if not hides:
        assert here.state == {"reviewed": "filed", "upheld": "published"}[state]


@pytest.mark.parametrize("state", ["dismissed", "withdrawn"])
def test_what_does_not_count_here_ends_no_dispute(state: str) -> None:
    trial = case()
    publish(trial)
    dispute = trial.dispute()
    ends = (
        trial.rule("dismissed", dispute)
        if state == "dismissed"
        else trial.world.vote("Meridian AI", "withdrawn", dispute)
    )
    assert trial.standing().state == "published"
    set_aside(trial, ends)
    assert trial.standing().state == "blocked"


def test_what_does_not_count_here_annuls_by_the_votes_of_judges_alone() -> None:
    trial = case()
    publish(trial)
    trial.world.add_key("Harbour Models", key_of("no judge"), "chamber")
    votes = [
        trial.world.slip_in(key_of(name), "status", ANNUL, target=trial.notice) for name in ("no judge", "Judge 0")
    ]
    set_aside(trial, *votes)
    assert trial.standing().state == "published"
    set_aside(trial, trial.world.vote("Judge 1", "annulled", trial.notice))
    assert trial.standing().state == "annulled"


def test_a_claim_entered_later_undoes_no_refusal() -> None:
    trial = case()
    trial.review("refused")
    trial.world.enter(key_of(f"{C} root 0"), "model", model("orion-2", "Bureau", ACCUSED), origin=C)
    assert trial.standing().state == "refused"
