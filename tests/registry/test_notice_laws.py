"""Laws of notices, over small worlds drawn at random: order, own cases, what stays hidden, what shows at all."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import ACCUSED, DAY, A, B, C, Case, case, digest, finding, key_of, model

from whorl.entries.kinds import Body, Dispute, Kind, Response, State, Status
from whorl.entries.leaf import entry_id
from whorl.registry.notices import notice_standing
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts

PARTIES = ("Northwind Labs", "Meridian AI")
ACTORS = (*PARTIES, "Harbour Models", "First Examiner", A, B, C, "Judge 0", "Judge 1", "Judge 2")
VOTES: tuple[State, ...] = ("reviewed", "refused", "dismissed", "upheld", "annulled", "withdrawn", "renewed")
RULINGS: tuple[State, ...] = ("reviewed", "refused", "dismissed", "upheld", "annulled")
SETTINGS = settings(max_examples=150, deadline=None)


@dataclass(frozen=True)
class Move:
    """Somebody does something after some days; on a dispute of the notice, if `on` is one, else on the notice."""

    actor: str
    what: str
    days: int
    on: int | None
    blob: int


WHATS = (*VOTES, "dispute", "response", "claim", "steal", "find")
SENSIBLE = (
    (C, "reviewed"),
    ("Meridian AI", "dispute"),
    ("Meridian AI", "response"),
    ("Northwind Labs", "response"),
    *((f"Judge {number}", state) for number in range(3) for state in ("dismissed", "upheld", "annulled")),
)
single = st.builds(
    lambda who, days, on, blob: Move(*who, days, on, blob),
    st.one_of(st.sampled_from(SENSIBLE), st.tuples(st.sampled_from(ACTORS), st.sampled_from(WHATS))),
    st.sampled_from([0, 0, 0, 1, 15, 31, 400]),
    st.sampled_from([None, None, 0, 1]),
    st.integers(0, 2),
)
published = [Move(C, "reviewed", 0, None, 0), Move("Meridian AI", "response", 0, None, 0)]
moves = st.builds(
    lambda start, drawn: [*start, *drawn], st.sampled_from([[], published]), st.lists(single, max_size=14)
)


def make(trial: Case, move: Move, *, by_the_rules: bool) -> EntryFacts | None:
    """Make a move, past the rules or as far as they allow it."""
    world = trial.world
    world.now += move.days * DAY
    disputes = [one for one in world.view.about(trial.notice.hash) if one.kind == "dispute"]
    target = trial.notice if move.on is None or move.on >= len(disputes) else disputes[move.on]
    key = key_of(move.actor)
    if move.what == "steal":
        steal(trial, move.actor, since=move.blob)
        return None
    evidence = tuple(entry_id(one.hash) for one in (*disputes[: move.blob], *trial.findings))
    kind, body = _said(move, evidence)
    if kind in ("model", "finding", "dispute"):
        target = trial.notice if kind == "dispute" else trial.accused
    try:
        if by_the_rules:
            return world.enter(key, kind, body, target=None if kind == "model" else target)
        if kind == "model":
            return None
        return world.slip_in(key, kind, body, target=target)
    except Refusal:
        return None


def _said(move: Move, evidence: tuple[str, ...]) -> tuple[Kind, Body]:
    match move.what:
        case "dispute":
            return "dispute", Dispute(grounds="No.", blobs=tuple(digest(str(n)) for n in range(move.blob)))
        case "response":
            return "response", Response(text="So it is.")
        case "claim":
            return "model", model("claimed too", move.actor, ACCUSED)
        case "find":
            return "finding", finding()
        case state:
            return "status", Status(state=state, reason="So it is.", evidence=evidence)  # type: ignore[arg-type]


def steal(trial: Case, actor: str, *, since: int) -> None:
    """The organisation says that the key was not its own any more from some index on."""
    key = trial.world.view.keys[trial.world.place(key_of(actor))]
    trial.world.view.keys[trial.world.place(key_of(actor))] = replace(key, compromised_since=since, revoked_at=10**6)


def played(drawn: list[Move], *, by_the_rules: bool, judges: tuple[str, ...] = ()) -> Case:
    """A case after some moves.

    Parameters
    ----------
    judges : further members of the chamber
    """
    trial = case()
    policies = trial.world.view._policies
    (index, policy), *_ = policies[A]
    keys = (*policy.chamber.keys, *(key_of(name).id.hex() for name in judges))
    chamber = policy.chamber.model_copy(update={"keys": keys})
    policies[A] = [(index, policy.model_copy(update={"chamber": chamber}))]
    for move in drawn:
        make(trial, move, by_the_rules=by_the_rules)
    return trial


@SETTINGS
@given(moves, st.randoms(use_true_random=False), st.booleans())
def test_the_order_in_which_entries_are_known_does_not_matter(drawn: list[Move], random: Random, ruled: bool) -> None:
    trial = played(drawn, by_the_rules=ruled)
    found = trial.standing()
    shuffled = trial.world.view.copy()
    order = list(shuffled.entries.items())
    random.shuffle(order)
    shuffled.entries = dict(order)
    assert notice_standing(trial.notice, shuffled, at=trial.world.now) == found


@SETTINGS
@given(moves)
def test_no_party_ever_votes_in_its_own_case(drawn: list[Move]) -> None:
    """Neither does a rule let it, nor does it change anything past the rules, even if the chamber has it as a judge."""
    trial = played(drawn, by_the_rules=True, judges=PARTIES)
    view = trial.world.view
    own = {view.keys[trial.world.place(key_of(name))].organisation for name in PARTIES}
    for one in view.entries.values():
        if one.statement is not None and isinstance(one.statement.body, Status) and one.organisation in own:
            assert one.statement.body.state not in RULINGS
    before = trial.standing()
    for name in PARTIES:
        place = trial.world.place(key_of(name))
        view.keys[place] = replace(view.keys[place], is_root=True)  # every role
        for state in RULINGS:
            for target in (trial.notice, *(one for one in view.about(trial.notice.hash) if one.kind == "dispute")):
                body = Status(state=state, reason="Because I say so.")
                judges = [key_of(judge) for judge in PARTIES]
                trial.world.slip_in(key_of(name), "status", body, target=target, signers=judges)
    assert trial.standing() == before


@SETTINGS
@given(moves)
def test_what_is_shown_was_reviewed_from_outside_and_is_not_contested(drawn: list[Move]) -> None:
    trial = played(drawn, by_the_rules=False)
    if not trial.standing().may_show_text:
        return
    view = trial.world.view
    said = [(one, one.statement.body) for one in view.about(trial.notice.hash) if one.statement is not None]
    states = {(one.issuer, body.state) for one, body in said if isinstance(body, Status)}
    judges = {key_of(f"Judge {number}").id for number in range(3)}
    assert (key_of(C).id, "reviewed") in states
    assert (key_of(C).id, "refused") not in states
    assert (key_of("Northwind Labs").id, "withdrawn") not in states
    assert len({issuer for issuer, state in states if state == "annulled"} & judges) < 2
    for dispute, body in said:
        if not isinstance(body, Dispute) or dispute.issuer != key_of("Meridian AI").id:
            continue
        about = [(one.issuer, one.statement.body) for one in view.about(dispute.hash) if one.statement is not None]
        ended = {(issuer, vote.state) for issuer, vote in about if isinstance(vote, Status)}
        dismissed = {issuer for issuer, state in ended if state == "dismissed"} & judges
        upheld = {issuer for issuer, state in states if state == "upheld"} & judges
        assert len(dismissed) >= 2 or len(upheld) >= 2 or (dispute.issuer, "withdrawn") in ended


@SETTINGS
@given(moves, st.booleans())
def test_what_is_annulled_or_withdrawn_stays_so(drawn: list[Move], ruled: bool) -> None:
    """Through every later entry, every stolen key and every claim, as time goes on."""
    trial = case()
    worst = 0
    for move in drawn:
        make(trial, move, by_the_rules=ruled)
        rank = {"withdrawn": 1, "annulled": 2}.get(trial.standing().state, 0)
        assert rank >= worst
        worst = rank


@SETTINGS
@given(moves, st.integers(-4000, 4000))
def test_no_clock_shows_what_an_entry_hides(drawn: list[Move], days: int) -> None:
    trial = played(drawn, by_the_rules=False)
    if trial.standing().state in ("annulled", "withdrawn", "refused", "blocked"):
        assert not trial.standing(at=trial.world.now + timedelta(days=days)).may_show_text


@SETTINGS
@given(moves)
def test_states_change_by_time_alone_when_they_say(drawn: list[Move]) -> None:
    """Up to and at `until` nothing changes; where it is None, nothing ever does."""
    trial = played(drawn, by_the_rules=False)
    found = trial.standing()
    last = datetime.max.replace(tzinfo=trial.world.now.tzinfo) if found.until is None else found.until
    if last >= trial.world.now:
        assert trial.standing(at=last).state == found.state
    if found.until is not None and last >= trial.world.now and last < datetime.max.replace(tzinfo=last.tzinfo):
        assert trial.standing(at=last + timedelta(seconds=1)).state != found.state
