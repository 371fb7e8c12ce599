"""Seven alternatives, one headline: the least favourable, and never a mixture that nobody asked for."""

from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from whorl.cases.alternatives import (
    Alternatives,
    NotTested,
    RatioAgainst,
    least_favourable,
    mixture,
    ratio_against,
    toward_zero,
    treat,
    with_documents,
)
from whorl.cases.document_net import weigh_documents
from whorl.cases.documents import Alibi, Exhibits, Log10Range, Range
from whorl.core.errors import InputError
from whorl.core.evidence import LikelihoodRatio
from whorl.dossiers.events import ALTERNATIVES, Alternative

REASON = "no population of models with a common teacher was at hand"


def against(alternative: Alternative, lower: float, upper: float, *, cap: float = 2.0) -> RatioAgainst:
    nearer = toward_zero(lower, upper)
    return RatioAgainst(
        alternative=alternative,
        log10_lr=min(cap, max(-cap, nearer)),
        lower=lower,
        central=(lower + upper) / 2,
        upper=upper,
        caps={"sampling": cap, "process": cap + 1},
        method="ancestor/1",
        finding=None,
        population=None,
    )


def seven(*tested: RatioAgainst) -> Alternatives:
    named = {one.alternative for one in tested}
    rest = [NotTested(alternative=name, reason=REASON) for name in ALTERNATIVES if name not in named]
    return treat([*rest, *tested])


def test_the_headline_is_the_least_favourable() -> None:
    found = seven(
        against("independent", 1.5, 3.0), against("common_ancestor", 0.4, 1.2), against("same_seed", 1.0, 2.0)
    )
    assert found.headline is not None
    assert (found.headline.against, found.headline.log10_lr) == ("common_ancestor", 0.4)
    assert found.headline.not_covered == ("shared_data", "shared_teacher", "reverse_direction", "published_idea")
    assert {one.alternative: one.log10_lr for one in found.without} == {
        "independent": 0.4,
        "common_ancestor": 1.0,
        "same_seed": 0.4,
    }


def test_nothing_tested_gives_no_headline() -> None:
    assert seven().headline is None
    assert seven().without == ()


@pytest.mark.parametrize("dropped", ["published_idea", "independent"])
def test_silence_about_an_alternative_is_refused(dropped: str) -> None:
    treatments = [NotTested(alternative=name, reason=REASON) for name in ALTERNATIVES if name != dropped]
    with pytest.raises(InputError, match=f"none for \\['{dropped}'\\]"):
        treat(treatments)
    with pytest.raises(InputError, match="more than one for"):
        treat([*treatments, treatments[0]])


def test_a_reason_is_more_than_a_word() -> None:
    with pytest.raises(ValidationError, match="at least 20 characters"):
        NotTested(alternative="same_seed", reason="n/a")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"log10_lr": 2.5}, "beyond its caps"),
        ({"central": 9.0}, "outside its interval"),
        ({"log10_lr": 1.5}, "farther from 0"),
        ({"caps": {}}, "at least 1 item"),
    ],
)
def test_an_unbounded_ratio_cannot_be_entered(change: dict[str, object], problem: str) -> None:
    whole = against("independent", 1.0, 3.0).model_dump() | change
    with pytest.raises(ValidationError, match=problem):
        RatioAgainst.model_validate(whole)


tested_ones = st.lists(
    st.tuples(st.sampled_from(ALTERNATIVES), st.floats(-3, 3), st.floats(0, 2)), unique_by=lambda one: one[0]
).map(lambda rows: [against(name, low, low + width) for name, low, width in rows])


@given(tested_ones)
def test_no_tested_alternative_has_a_smaller_ratio_than_the_headline(tested: list[RatioAgainst]) -> None:
    found = least_favourable(tested)
    assert (found is None) == (not tested)
    if found is not None:
        assert found.log10_lr == min(one.log10_lr for one in tested)


@given(tested_ones.filter(bool), st.data())
def test_a_readers_mixture_lies_between_the_ratios(tested: list[RatioAgainst], data: st.DataObject) -> None:
    shares = [data.draw(st.floats(0.01, 1)) for _ in tested]
    weights = {one.alternative: share / sum(shares) for one, share in zip(tested, shares, strict=True)}
    found = mixture(seven(*tested), weights, supplied_by="the court")
    ratios = [one.log10_lr for one in tested]
    assert min(ratios) - 1e-9 <= found.log10_lr <= max(ratios) + 1e-9


def test_a_mixture_by_hand_and_what_it_needs() -> None:
    found = seven(against("independent", 1.0, 2.0), against("common_ancestor", 0.0, 1.0))
    mixed = mixture(found, {"independent": 0.8, "common_ancestor": 0.2}, supplied_by="the court")
    assert mixed.log10_lr == pytest.approx(-log10(0.8 / 10 + 0.2))
    with pytest.raises(InputError, match="tested alternatives only, found some for same_seed"):
        mixture(found, {"same_seed": 1.0}, supplied_by="the court")
    for weights in ({}, {"independent": 0.5}, {"independent": 1.2, "common_ancestor": -0.2}):
        with pytest.raises(InputError, match="sum to 1"):
            mixture(found, weights, supplied_by="the court")  # type: ignore[arg-type]


def deposit(failure: float) -> Alibi:
    return Alibi(
        code="D-1",
        filed_by="respondent",
        existed_by="2025-03-01T00:00:00Z",
        reference_reachable_from="2025-06-01T00:00:00Z",
        early_access=Range(lower=0.0, upper=0.02),
        failure=Range(lower=failure, upper=failure),
        grounds="made up for the test",
    )


def test_a_deposit_turns_a_similarity_round() -> None:
    similar = against("independent", 3.0, 6.0)  # capped at 2
    similarity = {"independent": Log10Range(lower=3.0, upper=6.0)}
    for given_similarity in ({}, similarity):  # counted once, whether or not the net was given it
        weight = weigh_documents(Exhibits(alibis=(deposit(0.003),), willing={}, similarity=given_similarity))
        (moved,) = with_documents([similar], weight)
        assert isinstance(moved, RatioAgainst)
        assert moved.lower == pytest.approx(2 + log10(0.003))
        assert moved.upper == pytest.approx(2 + log10(0.02 + 0.98 * 0.003))
        assert moved.log10_lr == pytest.approx(0.0) or moved.log10_lr == pytest.approx(
            toward_zero(moved.lower, moved.upper)
        )


def test_documents_never_make_an_accusation_stronger_than_cap_and_documents() -> None:
    weight = weigh_documents(Exhibits(alibis=(deposit(0.01),), willing={}))
    for lower, upper in ((3.0, 6.0), (-6.0, -3.0), (-1.0, 4.0)):
        similar = against("independent", lower, upper)
        (moved,) = with_documents([similar], weight)
        assert isinstance(moved, RatioAgainst)
        assert moved.log10_lr <= max(0.0, similar.log10_lr)
    untested = NotTested(alternative="same_seed", reason=REASON)
    assert with_documents([untested], weight) == [untested]


def test_findings_become_treatments() -> None:
    ratio = LikelihoodRatio(
        tier="T4",
        method="ancestor/1",
        alternative="same_data",
        log10_lr=0.5,
        central=2.0,
        lower=1.0,
        upper=3.0,
        caps={"sampling": 0.6, "process": 0.6},
        families=(20, 20),
        population="sha256:" + "0" * 64,
        statistic={},
        detail="made up for the test",
    )
    treated = ratio_against(ratio, finding="sha256:" + "1" * 64)
    assert (treated.alternative, treated.log10_lr, treated.population) == ("shared_data", 0.5, ratio.population)
