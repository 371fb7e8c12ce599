"""The chain's figures of a finding are the finding's own: nobody records another outcome than was found."""

import json
from collections.abc import Callable

import pytest
from small_case import Steps

from whorl.cases import casework
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.recorded import require_recorded
from whorl.dossiers.state import State

CaseAfter = Callable[[str], Steps]


@pytest.fixture
def findings(case_after: CaseAfter) -> tuple[State, dict[str, bytes]]:
    case = case_after("analyse").case
    state = case.read().state
    return state, {one.document: case.store.get(one.document) for one in state.analysed}


def test_what_was_found_was_recorded(findings: tuple[State, dict[str, bytes]]) -> None:
    state, stored = findings
    assert len(state.analysed) == 5
    for one in state.analysed:
        require_recorded(state, one, stored[one.document])


def test_another_outcome_than_was_found(findings: tuple[State, dict[str, bytes]]) -> None:
    state, stored = findings
    related, *_ = (one for one in state.analysed if one.summary.outcome == "related")
    for changes in (
        {"outcome": "not_related", "relation": "none_found"},
        {"log10_lr": 3.0},
        {"outcome": "inconclusive"},
    ):
        lying = related.model_copy(update={"summary": related.summary.model_copy(update=changes)})
        with pytest.raises(VerificationError, match="expected it to say what the chain says"):
            require_recorded(state, lying, stored[related.document])


def test_a_finding_on_another_exhibit(findings: tuple[State, dict[str, bytes]]) -> None:
    state, stored = findings
    first, second = state.analysed[:2]
    with pytest.raises(VerificationError, match=f"expected it to be about {first.questioned}"):
        require_recorded(state, first, stored[second.document])


@pytest.mark.parametrize("side", ["questioned", "reference"])
@pytest.mark.parametrize(("field", "value"), [("digest", "sha256:" + "0" * 64), ("name", "Lark")])
def test_a_finding_on_other_content(
    findings: tuple[State, dict[str, bytes]], side: str, field: str, value: str
) -> None:
    state, stored = findings
    one = state.analysed[0]
    document = json.loads(stored[one.document])
    document[side][field] = value
    with pytest.raises(VerificationError, match="as it was acquired"):
        require_recorded(state, one, json.dumps(document).encode())


def test_something_that_is_no_finding(findings: tuple[State, dict[str, bytes]]) -> None:
    state, _ = findings
    one = state.analysed[0]
    for data in (b"{}", b"[]", b'{"schema":"whorl.finding/1"}', b""):
        with pytest.raises(InputError):
            require_recorded(state, one, data)
    other = one.model_copy(update={"schema_name": "whorl.finding/2"})
    with pytest.raises(InputError, match=r"expected whorl\.finding/1"):
        require_recorded(state, other, b'{"schema":"whorl.finding/2"}')


def test_the_manager_does_not_unblind_what_was_not_found(case_after: CaseAfter) -> None:
    steps = case_after("acquire")
    real = casework.event_of

    def lying(*arguments: object) -> object:
        made = real(*arguments)  # type: ignore[arg-type]
        summary = made.summary.model_copy(update={"outcome": "not_related", "relation": "none_found"})
        return made.model_copy(update={"summary": summary})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(casework, "event_of", lying)
        steps.analyse()
    with pytest.raises(VerificationError, match="expected it to say what the chain says"):
        steps.unblind()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"null": "Lark was made without the trained weights of Harrow"}, "exact test that this release knows"),
        ({"method": "sure_thing/1"}, "exact test that this release knows"),
        ({"log10_p": -3000.0}, "expected a bound over all"),
    ],
)
def test_an_exact_test_says_nothing_that_the_chain_does_not(
    findings: tuple[State, dict[str, bytes]], changes: dict[str, object], message: str
) -> None:
    """What an opinion lists as exact is bounded by the chain's own figure, and worded by the release."""
    state, stored = findings
    stranger = next(one for one in state.analysed if one.summary.relation == "none_found")
    document = json.loads(stored[stranger.document])
    test = next(item for item in document["evidence"] if item["outcome"] == "p_value")
    test |= changes
    with pytest.raises(VerificationError, match=message):
        require_recorded(state, stranger, json.dumps(document).encode())
