"""Ratios of documents: small nets by hand, laws, and ranges that may only widen the result."""

from itertools import product
from math import log10

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from whorl.cases.document_net import weigh_documents
from whorl.cases.documents import (
    LEAST_FAILURE,
    Alibi,
    DatedDocument,
    DocumentRatio,
    DocumentsWeight,
    Exhibits,
    Log10Range,
    Range,
    Scenario,
)
from whorl.dossiers.events import ALTERNATIVES

INDEPENDENT: tuple[Scenario, ...] = ("independent",)


def exactly(value: float) -> Range:
    return Range(lower=value, upper=value)


def between(lower: float, upper: float) -> Range:
    return Range(lower=lower, upper=upper)


def log_book(
    code: str = "D-1",
    *,
    party: str = "respondent",
    true_under: tuple[Scenario, ...] = INDEPENDENT,
    otherwise: Range | None = None,
    kept: Range | None = None,
    genuine: Range | None = None,
    attempted: Range | None = None,
    forged: Range | None = None,
) -> DatedDocument:
    """A training log that shows independent development."""
    return DatedDocument(
        code=code,
        kind="training_log",
        filed_by=party,
        says="Meridian AI trained its model from random weights",
        true_under=true_under,
        true_otherwise=otherwise or exactly(0.0),
        kept=kept or exactly(0.8),
        genuine_passes=genuine or exactly(0.95),
        attempted=attempted or exactly(0.5),
        forged_passes=forged or exactly(0.1),
        grounds="made up for the test",
    )


def against(weight: DocumentsWeight, alternative: str = "independent") -> DocumentRatio:
    return next(ratio for ratio in weight.ratios if ratio.against == alternative)


def weighed(*documents: DatedDocument, willing: Range | None = None) -> DocumentRatio:
    parties = {one.filed_by: willing or exactly(0.2) for one in documents}
    return against(weigh_documents(Exhibits(documents=documents, willing=parties)))


def test_one_document_by_hand() -> None:
    # P(D | derived) = willing * attempted * passes = 0.2 * 0.5 * 0.1; P(D | independent) = 0.8 * 0.95.
    assert weighed(log_book()).central == pytest.approx(log10(at_worst(0.2 * 0.5 * 0.1, 0.8 * 0.95)))


def at_worst(forged: float, genuine: float) -> float:
    """P(D | not true) over P(D | true): as forged, or the audit fails and lets it pass as if it were genuine."""
    return ((1 - LEAST_FAILURE) * forged + LEAST_FAILURE * genuine) / genuine


def test_what_is_never_forged_weighs_as_much_as_the_audit_allows() -> None:
    never = log_book(attempted=exactly(0.0))
    assert weighed(never).lower == pytest.approx(-4)
    assert weighed(never, log_book("D-2", attempted=exactly(0.0))).lower == pytest.approx(-4)


def test_a_document_that_may_be_true_all_the_same() -> None:
    ratio = weighed(log_book(otherwise=exactly(0.3)))
    assert ratio.central == pytest.approx(log10(0.3 + 0.7 * at_worst(0.2 * 0.5 * 0.1, 0.8 * 0.95)))


def test_two_documents_of_one_party_share_its_willingness() -> None:
    joint = weighed(log_book("D-1"), log_book("D-2"))
    assert joint.central == pytest.approx(log10(at_worst(0.2 * (0.5 * 0.1) ** 2, (0.8 * 0.95) ** 2)))
    # As if of two parties they weigh more: who forges one forges another.
    apart = weighed(log_book("D-1"), log_book("D-2", party="auditor"))
    assert apart.central == pytest.approx(2 * weighed(log_book()).central)
    assert apart.central < joint.central < 0


def test_the_net_is_the_enumeration_of_its_tables() -> None:
    """Three documents of two parties and access, summed over every hidden state by hand."""
    first = log_book("D-1", otherwise=exactly(0.25))
    second = log_book("D-2", true_under=("derived",), kept=exactly(0.6), forged=exactly(0.4))
    third = DatedDocument.model_validate(
        log_book("D-3", party="complainant").model_dump() | {"true_under": "access", "kind": "access_record"}
    )
    willing = {"respondent": exactly(0.3), "complainant": exactly(0.15)}
    exhibits = Exhibits(documents=(first, second, third), willing=willing, access=exactly(0.35))

    def chance(scenario: str) -> float:
        total = 0.0
        for access, *states, first_fails, second_fails in product((False, True), repeat=8):
            had = 1.0 if scenario == "derived" else 0.35
            part = had if access else 1 - had
            would = dict(zip(("respondent", "complainant"), states[:2], strict=True))
            for party, yes in would.items():
                part *= willing[party].middle if yes else 1 - willing[party].middle
            fails = {"respondent": first_fails, "complainant": second_fails}
            for failed in fails.values():
                part *= LEAST_FAILURE if failed else 1 - LEAST_FAILURE
            for one, true in zip((first, second, third), states[2:], strict=True):
                sure = access if one.true_under == "access" else scenario in one.true_under
                fact = 1.0 if sure else one.true_otherwise.middle
                part *= fact if true else 1 - fact
                honest = one.kept.middle * one.genuine_passes.middle
                forged = would[one.filed_by] * one.attempted.middle * one.forged_passes.middle
                part *= honest if true or fails[one.filed_by] else forged
            total += part
        return total

    for alternative in ALTERNATIVES:
        expected = log10(chance("derived") / chance(alternative))
        assert against(weigh_documents(exhibits), alternative).central == pytest.approx(expected)


def test_a_deposit_before_the_reference_could_be_reached_weighs_up_to_the_process() -> None:
    alibi = deposit("2025-03-01T00:00:00Z")
    ratio = against(weigh_documents(Exhibits(alibis=(alibi,), willing={})))
    assert ratio.central == pytest.approx(log10(0.01 + 0.99 * 0.003))
    assert ratio.exact


def test_a_deposit_after_it_could_be_reached_says_nothing() -> None:
    weight = weigh_documents(Exhibits(alibis=(deposit("2025-07-01T00:00:00Z"),), willing={}))
    assert {(ratio.lower, ratio.upper) for ratio in weight.ratios} == {(0.0, 0.0)}
    assert "D-9 does not weigh" in weight.remarks[0]


def test_no_process_is_infallible() -> None:
    with pytest.raises(ValidationError, match=r"expected a failure of at least 0\.0001"):
        deposit("2025-03-01T00:00:00Z", failure=exactly(0.0))


def deposit(existed_by: str, *, failure: Range | None = None) -> Alibi:
    return Alibi(
        code="D-9",
        filed_by="respondent",
        existed_by=existed_by,
        reference_reachable_from="2025-06-01T00:00:00Z",
        early_access=exactly(0.01),
        failure=failure or exactly(0.003),
        grounds="1,000 blind trials without a failure",
    )


def test_a_paper_says_nothing_about_weights() -> None:
    paper = log_book("D-4", true_under=("published_idea",), otherwise=between(0.9, 1.0))
    weight = weigh_documents(Exhibits(documents=(paper,), willing={"respondent": between(0.0, 0.2)}))
    assert against(weight).lower == against(weight).upper == 0.0
    assert -0.05 < against(weight, "published_idea").lower < 0.0


def test_similarity_is_added_once_per_alternative() -> None:
    plain = weighed(log_book())
    both = against(
        weigh_documents(
            Exhibits(
                documents=(log_book(),),
                willing={"respondent": exactly(0.2)},
                similarity={"independent": Log10Range(lower=1.0, upper=2.0)},
            )
        )
    )
    assert both.lower == pytest.approx(plain.central + 1)
    assert both.central == pytest.approx(plain.central + 1.5)
    assert both.upper == pytest.approx(plain.central + 2)
    assert both.tornado[0].parameter == "similarity"


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    ends = sorted(draw(st.tuples(*[st.floats(0.05, 0.95)] * 2)))
    return between(*ends)


@st.composite
def documents(draw: st.DrawFn) -> DatedDocument:
    return log_book(
        draw(st.sampled_from(["D-1", "D-2"])),
        true_under=draw(st.sampled_from([("independent",), ("derived",), ("independent", "derived")])),
        otherwise=draw(ranges()),
        kept=draw(ranges()),
        genuine=draw(ranges()),
        attempted=draw(ranges()),
        forged=draw(ranges()),
    )


@settings(max_examples=15, deadline=None)
@given(documents(), ranges(), st.data())
def test_no_point_of_the_ranges_lies_outside_the_interval(
    document: DatedDocument, willing: Range, data: st.DataObject
) -> None:
    whole = weighed(document, willing=willing)
    assert whole.exact
    names = ("true_otherwise", "kept", "genuine_passes", "attempted", "forged_passes")

    def within(one: Range) -> Range:
        return exactly(one.lower + data.draw(st.floats(0, 1)) * (one.upper - one.lower))

    point = document.model_copy(update={name: within(getattr(document, name)) for name in names})
    ratio = weighed(point, willing=within(willing))
    assert whole.lower - 1e-8 <= ratio.central <= whole.upper + 1e-8


@settings(max_examples=15, deadline=None)
@given(documents(), ranges(), st.data())
def test_narrower_ranges_give_an_interval_inside(document: DatedDocument, willing: Range, data: st.DataObject) -> None:
    def part(one: Range) -> Range:
        shares = sorted(data.draw(st.tuples(*[st.floats(0, 1)] * 2)))
        return between(*(one.lower + share * (one.upper - one.lower) for share in shares))

    names = ("true_otherwise", "kept", "genuine_passes", "attempted", "forged_passes")
    inner = document.model_copy(update={name: part(getattr(document, name)) for name in names})
    wide, narrow = weighed(document, willing=willing), weighed(inner, willing=part(willing))
    assert wide.lower - 1e-8 <= narrow.lower <= narrow.upper <= wide.upper + 1e-8


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 0.9), st.floats(0.01, 0.09))
def test_a_better_audit_makes_an_exculpating_document_weigh_more(passes: float, less: float) -> None:
    weak, strong = weighed(log_book(forged=exactly(passes))), weighed(log_book(forged=exactly(passes * less)))
    assert strong.central < weak.central


def test_a_search_finds_the_ends_that_all_corners_have(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = [
        log_book(f"D-{n}", otherwise=between(0.0, 0.2), attempted=between(0.1, 0.9), kept=between(0.5, 0.9))
        for n in (1, 2)
    ]
    exact = weighed(*wide, willing=between(0.05, 0.5))
    monkeypatch.setattr("whorl.cases.document_net.MOST_CORNERS", 2)
    searched = weighed(*wide, willing=between(0.05, 0.5))
    assert exact.exact
    assert not searched.exact
    assert (searched.lower, searched.upper) == pytest.approx((exact.lower, exact.upper))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kept": {"lower": 0.0, "upper": 1.0}}, "cannot be there"),
        ({"kept": {"lower": 0.6, "upper": 0.5}}, "above the upper end"),
        ({"forged_passes": {"lower": 0.0, "upper": 1.5}}, "less than or equal to 1"),
        ({"code": "../x"}, "match pattern"),
    ],
)
def test_ranges_that_cannot_be_are_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        DatedDocument.model_validate(log_book().model_dump() | change)


def test_every_party_needs_its_willingness() -> None:
    with pytest.raises(ValidationError, match=r"none for .'respondent'"):
        Exhibits(documents=(log_book(),), willing={})
    with pytest.raises(ValidationError, match="code of its own"):
        Exhibits(documents=(log_book(), log_book()), willing={"respondent": exactly(0.1)})
