"""What is refused in a case, rule by rule, and what is allowed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import played_case as played
import pytest
from played_case import Play

from whorl.core.errors import VerificationError
from whorl.dossiers.codes import code_key_commitment
from whorl.dossiers.custody import Event
from whorl.dossiers.events import ALTERNATIVES, Body, Joined, Outcome, Verdict, outcome_of
from whorl.dossiers.proceeding import proceed, require_allowed

UNDECIDED: dict[str, Outcome] = {"M-4": "inconclusive"}


def refused(case: Play, role: str, body: Body, *, rule: int, after: timedelta = timedelta(minutes=1)) -> None:
    before = case.state
    with pytest.raises(VerificationError, match=f"rule {rule}:"):
        case.do(role, body, after=after)
    assert case.state is before


def test_a_case_comes_to_its_end() -> None:
    case = Play().until("decided")
    assert (case.state.stage, len(case.state.analysed), len(case.state.opinions)) == ("decided", 5, 1)
    assert proceed(case.events) == case.state
    assert case.do("manager", played.closed()).state.stage == "closed"


def test_events_have_their_numbers_and_times_never_run_backwards() -> None:
    case = Play().until("frozen")
    refused(case, "manager", played.acquired("M-1", case.at), rule=1, after=-timedelta(seconds=1))
    case.do("manager", played.acquired("M-1", case.at), after=timedelta(0))
    event = case.event("manager", played.acquired("M-2", case.at))
    moved = Event(record=event.record.model_copy(update={"sequence": 7}), body=event.body)
    with pytest.raises(VerificationError, match="rule 1: expected event number"):
        proceed([*case.events, moved])


def test_an_unknown_person() -> None:
    refused(Play().until("opened"), "ab" * 32, played.proposed(), rule=2)


@pytest.mark.parametrize("missing", ["complainant", "respondent", "manager", "analyst", "reviewer"])
def test_every_role_is_filled(missing: str) -> None:
    parties = [one for role, one in played.PARTIES.items() if role != missing]
    refused(Play(), "manager" if missing != "manager" else "analyst", played.opened(parties), rule=3)


def test_one_manager_and_no_late_analyst() -> None:
    second = played.party("manager", name="Another manager", key="another")
    refused(Play(), "manager", played.opened([*played.PARTIES.values(), second]), rule=3)
    late = played.party("analyst", name="Late", key="late")
    refused(Play().until("frozen"), "manager", Joined(party=late), rule=3)


@pytest.mark.parametrize("role", ["manager", "complainant", "respondent", "reviewer", "replicator", "appeal_reviewer"])
@pytest.mark.parametrize("same", ["key", "name"])
def test_an_analyst_has_no_other_role(role: str, same: str) -> None:
    other = played.PARTIES[role]  # type: ignore[index]
    also = (
        played.party("analyst", name="Somebody", key=role)
        if same == "key"
        else played.party("analyst", name=other.name.upper(), key="own")
    )
    rest = [one for one in played.PARTIES.values() if one.role != "analyst"]
    refused(Play(), "manager", played.opened([*rest, also]), rule=4)


def test_an_appeal_is_not_decided_by_anybody_who_had_a_role() -> None:
    case = Play().until("appealed")
    for role in played.ROLES:
        if role != "appeal_reviewer":
            refused(case, role, played.decided(), rule=2)
    judge = played.party("appeal_reviewer", name="The second judge", key="analyst")
    refused(case, "manager", Joined(party=judge), rule=4)
    fresh = played.party("appeal_reviewer", name="The second judge", key="fresh")
    case.do("manager", Joined(party=fresh)).do(fresh.id, played.decided("varied"))


def test_the_manager_opens() -> None:
    refused(Play(), "complainant", played.opened(), rule=5)


def test_a_second_opening() -> None:
    refused(Play().until("opened"), "manager", played.opened(), rule=6)


SIDES = [
    ("complainant", played.theirs(2)),
    ("respondent", played.proposition(1)),
    ("manager", played.proposition(1, alternative="independent")),
    ("manager", played.proposition(1, side="respondent")),
]


@pytest.mark.parametrize(("role", "proposition"), SIDES)
def test_each_side_speaks_for_itself(role: str, proposition: object) -> None:
    refused(Play().until("opened"), role, played.proposed(proposition), rule=7)  # type: ignore[arg-type]


def test_a_proposition_has_an_id_of_its_own() -> None:
    case = Play().until("proposed")
    refused(case, "complainant", played.proposed(played.proposition(2)), rule=7)


def test_a_proposition_names_no_offence() -> None:
    unfair = played.proposition(1, statement="Lark was stolen from Northwind Labs.")
    refused(Play().until("opened"), "complainant", played.proposed(unfair), rule=8)


@pytest.mark.parametrize("where", ["title", "question"])
def test_title_and_question_are_fair(where: str) -> None:
    with pytest.raises(VerificationError, match=f"{where}: expected words"):
        Play().do("manager", played.opened(**{where: "The theft of Harrow"}))


@pytest.mark.parametrize("side", ["complainant", "respondent"])
def test_both_sides_are_heard_before_the_freezing(side: str) -> None:
    case = Play().until("opened")
    only = played.proposition(1) if side == "respondent" else played.theirs(1)
    case.do("manager", played.proposed(only))
    refused(case, "manager", played.frozen(), rule=9)


@pytest.mark.parametrize("left_out", ALTERNATIVES)
def test_all_seven_alternatives_are_named_before_the_freezing(left_out: str) -> None:
    named = tuple(played.treatment(one) for one in ALTERNATIVES if one != left_out)
    refused(Play().until("proposed"), "manager", played.frozen(treatments=named), rule=10)


UNFAIR = "Harrow was stolen, and 90 % of it is in Lark."
UNFAIR_PROTOCOLS: dict[str, dict[str, object]] = {
    "stop rule": {"stop_rule": UNFAIR},
    "exclusions": {"exclusions": UNFAIR},
    "how published_idea is treated": {
        "treatments": tuple(
            played.treatment(one).model_copy(update={"how": UNFAIR} if one == "published_idea" else {})
            for one in ALTERNATIVES
        )
    },
    "name of a method": {"methods": (played.METHOD, played.METHOD.model_copy(update={"method": "stolen/1"}))},
}


@pytest.mark.parametrize("where", UNFAIR_PROTOCOLS)
def test_the_words_of_a_protocol_are_fair(where: str) -> None:
    """They come to stand in the opinion; refused there, no dossier of the case would hold for ever."""
    with pytest.raises(VerificationError, match=f"rule 8: {where}: expected words"):
        Play().until("proposed").do("manager", played.frozen(**UNFAIR_PROTOCOLS[where]))


@pytest.mark.parametrize("role", ["complainant", "respondent", "manager"])
@pytest.mark.parametrize("stage", ["frozen", "unblinded"])
def test_the_title_of_a_document_is_fair(role: str, stage: str) -> None:
    case = Play().until(stage)
    unfair = played.acquired("D-1", case.at, filed_by=role, title="Proof of the theft")
    with pytest.raises(VerificationError, match="rule 8: title of D-1: expected words"):
        case.do(role, unfair)


def test_a_protocol_can_be_followed() -> None:
    case = Play().until("proposed")
    refused(case, "manager", played.frozen(methods=(played.METHOD, played.METHOD)), rule=10)
    documents = played.METHOD.model_copy(update={"group": "documents"})
    refused(case, "manager", played.frozen(methods=(documents,)), rule=10)
    elsewhere = played.LINE_UP.model_copy(update={"reference": "M-7"})
    refused(case, "manager", played.frozen(line_up=elsewhere), rule=10)


def test_nothing_is_acquired_before_the_freezing() -> None:
    for stage in ("opened", "proposed"):
        case = Play().until(stage)
        refused(case, "manager", played.acquired("M-1", case.at), rule=6)
        refused(case, "respondent", played.acquired("D-1", case.at), rule=6)
    case = Play().until("frozen")
    refused(case, "manager", played.acquired("M-1", case.at - timedelta(seconds=1)), rule=11)
    refused(case, "manager", played.acquired("M-1", case.at + timedelta(hours=1)), rule=11)


BAD_EXHIBITS = [
    ("complainant", "M-1", {}),
    ("manager", "M-7", {}),
    ("manager", "M-1", {"title": "Lark"}),
    ("manager", "M-1", {"blob": None}),
    ("manager", "M-1", {"access": "document"}),
    ("analyst", "D-1", {}),
    ("complainant", "D-1", {}),
    ("respondent", "D-1", {"title": None}),
    ("respondent", "D-1", {"blob": played.digest("another")}),
]


@pytest.mark.parametrize(("role", "code", "changed"), BAD_EXHIBITS)
def test_exhibits_that_are_not_taken(role: str, code: str, changed: dict[str, object]) -> None:
    case = Play().until("frozen")
    refused(case, role, played.acquired(code, case.at, **changed), rule=12)


def test_an_exhibit_is_acquired_once_and_no_model_after_the_analysis_began() -> None:
    case = Play().until("acquiring")
    refused(case, "manager", played.acquired("M-3", case.at), rule=12)
    case.do("analyst", played.analysed("M-1"))
    refused(case, "manager", played.acquired("M-3", case.at, access="api"), rule=12)
    case.do("respondent", played.acquired("D-1", case.at))
    assert case.state.stage == "analysing"


def test_a_document_is_filed_once_whoever_files_it() -> None:
    case = Play().until("unblinded").do("respondent", played.acquired("D-1", played.BEGIN + timedelta(minutes=15)))
    same = {"digest": played.digest("D-1"), "blob": played.digest("D-1")}
    refused(case, "respondent", played.acquired("D-2", case.at, **same), rule=12)
    refused(case, "complainant", played.acquired("D-2", case.at, filed_by="complainant", **same), rule=12)
    case.do("respondent", played.acquired("D-2", case.at))


def test_a_document_asks_for_a_new_review_and_comes_within_the_window() -> None:
    case = Play().until("reviewed").do("respondent", played.acquired("D-1", played.BEGIN + timedelta(minutes=15)))
    refused(case, "analyst", played.opined(), rule=22)
    late = played.acquired("D-2", case.at)
    refused(case, "respondent", late, rule=12, after=timedelta(days=31))
    case.do("manager", played.acquired("D-2", case.at, filed_by="manager"), after=timedelta(days=31))
    case.do("reviewer", played.reviewed()).do("analyst", played.opined())


def test_nothing_is_analysed_before_all_is_acquired() -> None:
    case = Play().until("frozen")
    refused(case, "analyst", played.analysed("M-1"), rule=6)
    for number in range(1, 6):
        case.do("manager", played.acquired(f"M-{number}", case.at))
    refused(case, "analyst", played.analysed("M-1"), rule=13)
    case.do("manager", played.acquired("M-6", case.at)).do("analyst", played.analysed("M-1"))


def test_only_an_analyst_analyses() -> None:
    for role in played.ROLES:
        if role != "analyst":
            refused(Play().until("acquiring"), role, played.analysed("M-1"), rule=2)


def test_only_comparisons_of_the_protocol_and_each_once() -> None:
    case = Play().until("acquiring")
    refused(case, "analyst", played.analysed("M-1", reference="M-3"), rule=14)
    refused(case, "analyst", played.analysed("M-7"), rule=14)
    refused(case, "analyst", played.analysed("M-2"), rule=14)
    refused(case, "analyst", played.analysed("M-1", method="another/1"), rule=14)
    lying = played.Summary(outcome="not_related", relation="derived")
    refused(case, "analyst", played.analysed("M-1", summary=lying), rule=14)
    case.do("analyst", played.analysed("M-1"))
    refused(case, "analyst", played.analysed("M-1", "related"), rule=14)
    refused(case, "analyst", played.analysed("M-3", document=case.state.analysed[0].document), rule=14)


def test_no_finding_can_be_left_out() -> None:
    case = Play().until("acquiring")
    for code in list(played.TRUTH)[:-1]:
        case.do("analyst", played.analysed(code))
        if code != "M-5":
            refused(case, "manager", played.unblinded(), rule=15)


def test_the_analyst_cannot_unblind() -> None:
    refused(Play().until("analysing"), "analyst", played.unblinded(), rule=2)


def test_the_code_key_is_the_one_committed_to() -> None:
    case = Play().until("analysing")
    swapped = [
        one.model_copy(update={"role": {"questioned": "decoy", "decoy": "questioned"}.get(one.role, one.role)})
        for one in played.MEMBERS
        if one.code != "M-6"
    ]
    for members, salt in ((played.MEMBERS, bytes(32)), (swapped, played.SALT), (played.MEMBERS[1:], played.SALT)):
        with pytest.raises(VerificationError, match="expected the code key that was committed to"):
            case.do("manager", played.unblinded(members, salt=salt))


def changed_member(code: str, **changed: object) -> Callable[[], list[object]]:
    return lambda: [one.model_copy(update=changed if one.code == code else {}) for one in played.MEMBERS]


BAD_LINE_UPS = {
    "another questioned model": changed_member("M-4", name="lark two"),
    "another reference": changed_member("M-2", name="harrow two"),
    "other content": changed_member("M-4", digest=played.digest("other")),
    "an exchanged decoy": changed_member("M-1", digest=played.digest("other")),
    "no positive control": changed_member("M-3", role="decoy"),
    "the reference elsewhere": lambda: [
        one.model_copy(update={"code": {"M-2": "M-1", "M-1": "M-2"}.get(one.code, one.code)}) for one in played.MEMBERS
    ],
    "one model twice": changed_member("M-6", name="decoy 1"),
}


@pytest.mark.parametrize("wrong", BAD_LINE_UPS)
def test_the_code_key_names_what_the_case_is_about(wrong: str) -> None:
    members = BAD_LINE_UPS[wrong]()
    case = Play().until("proposed")
    case.do("manager", played.frozen(code_key_commitment=code_key_commitment(played.SALT, members)))  # type: ignore[arg-type]
    for number in range(1, 7):
        case.do("manager", played.acquired(f"M-{number}", case.at))
    for code in played.TRUTH:
        case.do("analyst", played.analysed(code))
    refused(case, "manager", played.unblinded(members), rule=16)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("M-3", "not_related"), ("M-3", "inconclusive"), ("M-5", "related"), ("M-1", "related"), ("M-6", "related")],
)
def test_a_failing_control_voids_the_run(code: str, outcome: str) -> None:
    case = Play().until("unblinded", outcomes={code: outcome})  # type: ignore[dict-item]
    assert case.state.stage == "void"
    assert code in case.state.failed_controls[0]
    refused(case, "respondent", played.responded(), rule=6)
    refused(case, "reviewer", played.reviewed(), rule=6, after=timedelta(days=40))
    refused(case, "analyst", played.opined(), rule=6)
    refused(case, "manager", played.closed(), rule=26)
    refused(case, "manager", played.closed("withdrawn"), rule=26)
    assert case.do("manager", played.closed("void")).state.stage == "closed"
    refused(case, "respondent", played.appealed(), rule=27)
    refused(case, "reviewer", played.reviewed(), rule=26, after=timedelta(days=40))


RATIOS = [("M-1", 0.3, True), ("M-5", 0.01, True), ("M-6", -2.0, False), ("M-3", -0.3, True), ("M-3", 0.4, False)]


@pytest.mark.parametrize(("code", "ratio", "void"), RATIOS)
def test_a_ratio_against_the_known_truth_voids_the_run(code: str, ratio: float, void: bool) -> None:
    """By its words alone a decoy may be inconclusive; its ratio must not speak for the claim all the same."""
    case = Play().until("acquiring")
    for one, outcome in played.TRUTH.items():
        figures = played.Summary(
            outcome=outcome, relation=played.RELATIONS[outcome], log10_lr=ratio if one == code else None
        )
        case.do("analyst", played.analysed(one, summary=figures))
    case.do("manager", played.unblinded())
    assert (case.state.stage == "void", bool(case.state.failed_controls)) == (void, void)
    if void:
        assert f"{code} has a ratio" in case.state.failed_controls[0]


def test_the_outcome_of_the_questioned_model_voids_nothing() -> None:
    case = Play().until("unblinded", outcomes={"M-4": "not_related"})
    assert (case.state.stage, case.state.failed_controls) == ("unblinded", ())


@pytest.mark.parametrize(
    ("outcomes", "void"),
    [
        ({"M-1": "inconclusive", "M-6": "inconclusive"}, True),
        ({"M-1": "inconclusive"}, False),
        ({"M-1": "inconclusive", "M-6": "inconclusive", "M-5": "not_related"}, False),
    ],
)
def test_a_method_that_calls_nobody_a_stranger_tells_nobody_apart(outcomes: dict[str, str], void: bool) -> None:
    case = Play().until("unblinded", outcomes=outcomes)  # type: ignore[arg-type]
    assert case.state.stage == ("void" if void else "unblinded")
    assert all("none of the unrelated models" in one for one in case.state.failed_controls)


def test_each_method_must_tell_strangers_apart() -> None:
    second = played.METHOD.model_copy(update={"method": "another/1"})
    case = Play().until("proposed").do("manager", played.frozen(methods=(played.METHOD, second)))
    for number in range(1, 7):
        case.do("manager", played.acquired(f"M-{number}", case.at))
    for code, truth in played.TRUTH.items():
        case.do("analyst", played.analysed(code))
        outcome = "related" if truth == "related" else "inconclusive"
        again = {"method": second.method, "document": played.digest(f"second {code}")}
        case.do("analyst", played.analysed(code, outcome, **again))  # type: ignore[arg-type]
    case.do("manager", played.unblinded())
    assert case.state.failed_controls == ("none of the unrelated models came out as unrelated by another/1",)


def test_a_reply_within_the_window() -> None:
    case = Play().until("unblinded")
    refused(case, "complainant", played.responded(), rule=2)
    refused(case, "respondent", played.responded(exhibits=("D-1",)), rule=18)
    refused(case, "respondent", played.responded(declined=True, alternatives=(played.theirs(3),)), rule=18)
    refused(case, "respondent", played.responded(alternatives=(played.proposition(3),)), rule=18)
    refused(case, "respondent", played.responded(alternatives=(played.theirs(2),)), rule=7)
    refused(case, "respondent", played.responded(), rule=18, after=timedelta(days=30, seconds=1))
    case.do("respondent", played.acquired("D-1", case.at), after=timedelta(days=1))
    case.do(
        "respondent", played.responded(exhibits=("D-1",), alternatives=(played.theirs(3),)), after=timedelta(days=28)
    )
    assert case.state.stage == "answered"


def test_a_reply_asks_for_a_new_review() -> None:
    case = Play().until("reviewed")
    case.do("respondent", played.responded())
    refused(case, "analyst", played.opined(), rule=6)
    case.do("reviewer", played.reviewed()).do("analyst", played.opined())


def test_every_finding_is_replicated() -> None:
    case = Play().until("answered")
    documents = [one.document for one in case.state.analysed]
    refused(case, "replicator", played.replicated(documents[1:]), rule=19)
    refused(case, "replicator", played.replicated([*documents, documents[0]]), rule=19)
    refused(case, "replicator", played.replicated([*documents[1:], played.digest("other")]), rule=19)
    refused(case, "analyst", played.replicated(documents), rule=2)


def test_no_review_while_the_respondent_may_still_answer() -> None:
    case = Play().until("unblinded", outcomes=UNDECIDED)
    refused(case, "reviewer", played.reviewed(), rule=20, after=timedelta(days=29))
    refused(case, "analyst", played.opined(), rule=6)
    case.do("reviewer", played.reviewed(), after=timedelta(days=30))
    case.do("analyst", played.opined())
    assert case.state.stage == "opined"


def test_a_refusal_to_answer_ends_the_window() -> None:
    case = Play().until("unblinded").do("respondent", played.responded(declined=True, statement=""))
    assert case.do("reviewer", played.reviewed()).state.stage == "reviewed"


def test_a_review_answers_every_point() -> None:
    case = Play().until("answered")
    refused(case, "reviewer", played.reviewed(points=played.CHECKLIST[1:]), rule=21)
    refused(case, "reviewer", played.reviewed(points=(*played.CHECKLIST, "weather")), rule=21)
    refused(case, "reviewer", played.reviewed(answer="no"), rule=21)
    refused(case, "manager", played.reviewed(), rule=2)


def test_no_opinion_before_a_review_that_accepts() -> None:
    for stage in ("acquiring", "analysing", "unblinded", "answered", "replicated"):
        refused(Play().until(stage), "analyst", played.opined(), rule=6)
    case = Play().until("replicated").do("reviewer", played.reviewed(accepted=False, answer="no"))
    assert case.state.stage == "replicated"
    refused(case, "analyst", played.opined(), rule=6)
    refused(Play().until("reviewed"), "manager", played.opined(), rule=2)


@pytest.mark.parametrize("verdict", [one for one in get_args(Verdict) if one.startswith("supports_")])
def test_nothing_is_supported_by_findings_that_one_person_alone_made(verdict: str) -> None:
    case = Play().until("answered").do("reviewer", played.reviewed())
    refused(case, "analyst", played.opined(headline_log10=0.1, verdict=verdict), rule=23)
    refused(case, "analyst", played.opined(headline_log10=None, verdict=verdict), rule=23)
    done = Play().until("reviewed").do("analyst", played.opined(headline_log10=0.1, verdict=verdict))
    assert done.state.stage == "opined"


@pytest.mark.parametrize("verdict", ["inconclusive", "not_answerable"])
def test_a_case_without_a_replicator_can_still_end(verdict: str) -> None:
    case = Play().until("answered", outcomes=UNDECIDED).do("reviewer", played.reviewed())
    assert case.do("analyst", played.opined(headline_log10=None, verdict=verdict)).state.stage == "opined"
    alone = Play().until("answered").do("reviewer", played.reviewed())
    assert alone.do("manager", played.closed("unanswerable")).state.stage == "closed"


def test_a_strong_headline_needs_a_second_analyst() -> None:
    case = Play().until("answered", outcomes=UNDECIDED).do("reviewer", played.reviewed())
    refused(case, "analyst", played.opined(headline_log10=2.01), rule=23)
    refused(case, "analyst", played.opined(headline_log10=-2.01), rule=23)
    case.do("analyst", played.opined(headline_log10=2.0))
    assert Play().until("reviewed").do("analyst", played.opined(headline_log10=4.0)).state.stage == "opined"


@pytest.mark.parametrize("verdict", ["inconclusive", "not_answerable"])
@pytest.mark.parametrize(
    ("relation", "log10_p", "alone"),
    [
        ("derived", None, False),
        ("shared_initialisation", None, False),
        ("supported", None, False),
        ("not_independent", None, False),
        ("inconclusive", -2.01, False),
        ("none_found", -3.0, False),
        ("inconclusive", -2.0, True),
        ("none_found", None, True),
    ],
)
def test_what_an_undecided_opinion_reports_needs_a_second_analyst(
    verdict: str, relation: str, log10_p: float | None, alone: bool
) -> None:
    """An opinion states relations and p-values of the questioned model, whatever its verdict."""
    case = Play().until("acquiring")
    figures = played.Summary(outcome=outcome_of(relation), relation=relation, log10_p=log10_p)
    for code in played.TRUTH:
        case.do("analyst", played.analysed(code, summary=figures) if code == "M-4" else played.analysed(code))
    case.do("manager", played.unblinded()).do("respondent", played.responded()).do("reviewer", played.reviewed())
    opinion = played.opined(headline_log10=None, verdict=verdict)
    if not alone:
        refused(case, "analyst", opinion, rule=23)
        case.do("replicator", played.replicated([one.document for one in case.state.analysed]))
        case.do("reviewer", played.reviewed())
    assert case.do("analyst", opinion).state.stage == "opined"


def test_what_is_found_of_a_control_asks_for_no_second_analyst() -> None:
    case = Play().until("answered", outcomes=UNDECIDED).do("reviewer", played.reviewed())
    assert "related" in {one.summary.outcome for one in case.state.analysed}
    case.do("analyst", played.opined())


def test_a_second_analyst_who_found_otherwise() -> None:
    case = Play().until("answered", outcomes=UNDECIDED)
    documents = [one.document for one in case.state.analysed]
    case.do("replicator", played.replicated(documents, difference=1e-3)).do("reviewer", played.reviewed())
    refused(case, "analyst", played.opined(), rule=23)
    case.do("replicator", played.replicated(documents)).do("reviewer", played.reviewed()).do("analyst", played.opined())


@pytest.mark.parametrize("opinion", [{"verdict": "supports_claim"}, {"verdict": "inconclusive"}])
def test_a_third_analyst_does_not_outweigh_the_second(opinion: dict[str, str]) -> None:
    case = Play().until("answered")
    documents = [one.document for one in case.state.analysed]
    case.do("replicator", played.replicated(documents, difference=0.9))
    third = played.party("replicator", name="The friend", key="friend")
    case.do("manager", Joined(party=third)).do(third.id, played.replicated(documents))
    case.do("reviewer", played.reviewed())
    refused(case, "analyst", played.opined(**opinion), rule=23)
    assert case.do("manager", played.closed("unanswerable")).state.stage == "closed"


def test_a_second_analyst_who_finds_otherwise_after_the_opinion_leaves_a_way_to_appeal() -> None:
    case = Play().until("opined").do("reviewer", played.reviewed())
    refused(case, "manager", played.closed(), rule=26)
    documents = [one.document for one in case.state.analysed]
    case.do("replicator", played.replicated(documents, difference=0.9)).do("reviewer", played.reviewed())
    refused(case, "analyst", played.opined(2), rule=23)
    case.do("manager", played.closed()).do("respondent", played.appealed())
    assert case.do("appeal_reviewer", played.decided("annulled")).state.annulled


def test_versions_of_an_opinion() -> None:
    case = Play().until("reviewed")
    refused(case, "analyst", played.opined(2), rule=24)
    refused(case, "analyst", played.opined(cause="correction"), rule=24)
    refused(case, "analyst", played.opined(text="Certainly a copy."), rule=8)
    case.do("analyst", played.opined())
    refused(case, "analyst", played.opined(2), rule=6)
    case.do("reviewer", played.reviewed())
    refused(case, "analyst", played.opined(2, supersedes=None), rule=24)
    refused(case, "analyst", played.opined(2, document=played.digest("opinion 1")), rule=24)
    refused(case, "analyst", played.opined(2, cause="appeal"), rule=24)
    case.do("analyst", played.opined(2, cause="calibration"))
    assert [one.version for one in case.state.opinions] == [1, 2]


def test_a_varied_opinion_has_a_new_version() -> None:
    case = Play().until("appealed").do("appeal_reviewer", played.decided("varied"))
    case.do("reviewer", played.reviewed()).do("analyst", played.opined(2, cause="appeal"))
    assert case.state.stage == "opined"


def test_nothing_more_is_said_after_an_annulment() -> None:
    case = Play().until("appealed").do("appeal_reviewer", played.decided("annulled"))
    refused(case, "reviewer", played.reviewed(), rule=25)
    case.do("manager", played.closed())
    refused(case, "complainant", played.appealed(), rule=27)


def test_closings_fit_what_happened() -> None:
    case = Play().until("answered")
    for outcome in ("completed", "void"):
        refused(case, "manager", played.closed(outcome), rule=26)
    refused(Play().until("opined"), "manager", played.closed("withdrawn"), rule=26)
    refused(case, "complainant", played.closed("withdrawn"), rule=2)
    assert case.do("manager", played.closed("withdrawn")).state.stage == "closed"
    refused(case, "reviewer", played.reviewed(), rule=26)
    early = Play().until("opened").do("manager", played.closed("unanswerable"))
    refused(early, "reviewer", played.reviewed(), rule=26)


def test_a_failed_control_is_not_hidden_by_closing_before_the_unblinding() -> None:
    failed = Play().until("analysing", outcomes={"M-3": "not_related"})
    refused(failed, "manager", played.closed("unanswerable"), rule=26)
    assert failed.do("manager", played.unblinded()).state.stage == "void"
    good = Play().until("unblinded").do("manager", played.closed("unanswerable"))
    early = Play().until("acquiring").do("analyst", played.analysed("M-1")).do("manager", played.closed("unanswerable"))
    withdrawn = Play().until("analysing").do("manager", played.closed("withdrawn"))
    assert {one.state.stage for one in (good, early, withdrawn)} == {"closed"}


def test_only_a_party_appeals_and_only_against_an_opinion() -> None:
    case = Play().until("opined")
    for role in ("manager", "analyst", "reviewer", "replicator", "appeal_reviewer"):
        refused(case, role, played.appealed(), rule=2)
    refused(Play().until("reviewed"), "respondent", played.appealed(), rule=6)
    case.do("complainant", played.appealed())
    refused(case, "respondent", played.appealed(), rule=6)


def test_one_appeal_of_each_party_against_each_version() -> None:
    case = Play().until("appealed").do("appeal_reviewer", played.decided())
    case.do("manager", played.closed())
    refused(case, "respondent", played.appealed(), rule=27)
    case.do("complainant", played.appealed()).do("appeal_reviewer", played.decided("varied"))
    case.do("reviewer", played.reviewed()).do("analyst", played.opined(2, cause="appeal"))
    assert case.do("respondent", played.appealed()).state.stage == "appealed"


def erased(case: Play, numbers: list[int]) -> list[Event]:
    return [replace(one, body=None) if one.record.sequence in numbers else one for one in case.events]


VOID = {"M-1": "related"}


@pytest.mark.parametrize("numbers", [[15], [5, 15], list(range(17))])
def test_that_a_run_was_void_outlives_whatever_is_erased(numbers: list[int]) -> None:
    """Event 15 is the unblinding, from which alone the fact follows; event 16 closes the case."""
    case = Play().until("unblinded", outcomes=VOID).do("manager", played.closed("void"))  # type: ignore[arg-type]
    refused(case, "manager", played.expunged(numbers, "court_order"), rule=29)
    case.do("manager", played.expunged(numbers, "court_order", void=True))
    left = erased(case, numbers)
    assert proceed(left).void
    lying = [*left[:-1], replace(left[-1], body=played.expunged(numbers, "court_order"))]
    if numbers[-1] < 16:  # the closing is left, and says it too
        with pytest.raises(VerificationError, match="rule 29: expected a tombstone that says that the run was void"):
            proceed(lying)


def test_no_run_is_called_void_that_was_not() -> None:
    case = Play().until("closed")
    numbers = list(range(len(case.events)))
    refused(case, "manager", played.expunged(numbers, void=True), rule=29)
    case.do("manager", played.expunged(numbers))
    left = erased(case, numbers)
    with pytest.raises(VerificationError, match="rule 29: expected a void run to end with its unblinding"):
        proceed([*left[:-1], replace(left[-1], body=played.expunged(numbers, void=True))])


def test_a_later_tombstone_says_what_the_first_one_said() -> None:
    case = Play().until("unblinded", outcomes=VOID)  # type: ignore[arg-type]
    case.do("manager", played.expunged([15], "court_order", void=True))
    refused(case, "manager", played.expunged([3], "court_order"), rule=29)
    case.do("manager", played.expunged([3], "court_order", void=True))
    assert proceed(erased(case, [3, 15])).void


GROUNDS = [
    ("closed", "retention", True),
    ("closed", "annulment", False),
    ("closed", "withdrawal", False),
    ("answered", "retention", False),
    ("answered", "court_order", True),
]


@pytest.mark.parametrize(("stage", "ground", "allowed"), GROUNDS)
def test_a_ground_that_the_case_shows(stage: str, ground: str, allowed: bool) -> None:
    case = Play().until(stage)
    if allowed:
        case.do("manager", played.expunged(range(len(case.events)), ground))
        assert case.state.stage == "expunged"
        refused(case, "respondent", played.responded(), rule=6)
    else:
        refused(case, "manager", played.expunged([1], ground), rule=29)


def test_tombstones_that_are_not_allowed() -> None:
    case = Play().until("closed")
    number = len(case.events)
    refused(case, "respondent", played.expunged([1]), rule=2)
    refused(case, "manager", played.expunged([number]), rule=29)
    refused(case, "manager", played.expunged([2, 1]), rule=29)
    refused(case, "manager", played.expunged([1, 1]), rule=29)
    refused(case, "manager", played.expunged(range(number - 1)), rule=29)
    refused(case, "manager", played.expunged([0]), rule=29)
    refused(case, "manager", played.expunged([1], keys=played.PARTIES["analyst"].keys), rule=29)


def test_what_is_left_of_an_expunged_case_still_holds() -> None:
    case = Play().until("closed")
    numbers = list(range(len(case.events)))
    case.do("manager", played.expunged(numbers))
    left = erased(case, numbers)
    state = proceed(left)
    assert (state.stage, state.unseen, state.opened) == ("expunged", True, None)
    with pytest.raises(VerificationError, match="rule 30: event 3 is called erased and is still there"):
        proceed([*left[:3], case.events[3], *left[4:]])
    with pytest.raises(VerificationError, match="rule 30: event 0 was erased and no tombstone says so"):
        proceed(left[:-1])
    other = replace(left[-1], record=left[-1].record.model_copy(update={"actor": played.IDS["analyst"]}))
    with pytest.raises(VerificationError, match="rule 29"):
        proceed([*left[:-1], other])
    stage = replace(left[4], record=left[4].record.model_copy(update={"kind": "opined"}))
    with pytest.raises(VerificationError, match="rule 6"):
        proceed([*left[:4], stage, *left[5:]])


@pytest.mark.parametrize("ground", ["annulment", "withdrawal"])
def test_what_is_left_must_have_room_for_the_ground(ground: str) -> None:
    case = Play().until("opined")
    numbers = list(range(len(case.events)))
    case.do("manager", played.expunged(numbers, "court_order"))
    left = erased(case, numbers)
    assert proceed(left).stage == "expunged"
    tombstone = replace(left[-1], body=played.expunged(numbers, ground))
    with pytest.raises(VerificationError, match="rule 29: expected a ground"):
        proceed([*left[:-1], tombstone])


def test_who_signed_what_is_left_stays_known() -> None:
    case = Play().until("appealed")
    fresh = played.party("appeal_reviewer", name="The second judge", key="fresh")
    case.do("manager", Joined(party=fresh)).do(fresh.id, played.decided())
    joined = len(case.events) - 2
    refused(case, "manager", played.expunged([joined]), rule=29)
    case.do("manager", played.expunged([joined, joined + 1]))
    case.do("manager", played.expunged(range(joined)))
    assert proceed(erased(case, list(range(joined + 2)))).stage == "expunged"


def test_one_erased_exhibit() -> None:
    case = Play().until("closed").do("manager", played.expunged([5]))
    state = proceed(erased(case, [5]))
    assert state.opened is not None
    wrong = [*case.events]
    wrong[8] = replace(wrong[8], record=wrong[8].record.model_copy(update={"actor": played.IDS["reviewer"]}))
    play = Play()
    play.events = wrong
    with pytest.raises(VerificationError, match="rule 2"):
        proceed(erased(play, [5]))


def test_asked_before_long_work() -> None:
    case = Play().until("frozen")
    require_allowed(case.state, "acquired", played.IDS["manager"])
    with pytest.raises(VerificationError, match="rule 6"):
        require_allowed(case.state, "analysed", played.IDS["analyst"])
    with pytest.raises(VerificationError, match="rule 2"):
        require_allowed(case.state, "acquired", played.IDS["reviewer"])
