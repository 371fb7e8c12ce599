"""Whether the respondent was heard, and who signed how much of a chain."""

import re
from dataclasses import replace
from datetime import timedelta

import played_case as played
import pytest
from played_case import Play

from whorl.dossiers.hearing import caveats, hearing_of, hearing_text, signed_by_sides, signed_text
from whorl.dossiers.proceeding import proceed

DAYS = timedelta(days=1)


def unanswered() -> Play:
    case = Play().until("unblinded", outcomes={"M-4": "inconclusive"})
    case.do("reviewer", played.reviewed(), after=31 * DAYS)
    return case.do("analyst", played.opined())


HEARD = [
    (lambda: Play().until("analysing"), 0, "not_asked", "asked for no answer"),
    (lambda: Play().until("unblinded"), 1, "open", "may answer until 2026-12-02"),
    (lambda: Play().until("unblinded"), 31, "not_heard", "was NOT heard"),
    (lambda: Play().until("answered"), 31, "answered", "the respondent answered"),
    (unanswered, 0, "not_heard", "none that it would not, until 2026-12-02"),
    (
        lambda: Play().until("unblinded").do("respondent", played.responded(declined=True, statement="")),
        0,
        "declined",
        "said that no answer would come",
    ),
    (lambda: Play().until("unblinded").do("manager", played.closed("withdrawn")), 0, "not_heard", "NOT heard"),
    (lambda: Play().until("unblinded", outcomes={"M-1": "related"}), 40, "not_asked", "asked for no answer"),
]


@pytest.mark.parametrize(("make", "days", "hearing", "words"), HEARD)
def test_what_came_of_the_window(make, days: int, hearing: str, words: str) -> None:  # type: ignore[no-untyped-def]
    case = make()
    now = case.at + days * DAYS
    assert hearing_of(case.state, now=now) == hearing
    assert words in hearing_text(case.state, now=now)


def test_who_signed_how_far() -> None:
    case = Play().until("answered")
    signed = signed_by_sides(case.events)
    assert {side: (reach.first, reach.last) for side, reach in signed.items() if reach} == {
        "complainant": (1, 1),
        "respondent": (2, len(case.events) - 1),
    }
    assert "the complainant first signed event 1 and last event 1" in signed_text(signed)
    alone = Play().until("opened").do("manager", played.proposed(played.proposition(1), played.theirs(2)))
    assert signed_text(signed_by_sides(alone.events)) == (
        "no event is signed by the complainant, no event is signed by the respondent"
    )


def closed_before_the_unblinding() -> Play:
    return Play().until("analysing", outcomes={"M-3": "not_related"}).do("manager", played.closed("withdrawn"))


def replicated_twice() -> Play:
    """A second analyst who found otherwise, and a third who did not."""
    case = Play().until("answered")
    documents = [one.document for one in case.state.analysed]
    case.do("replicator", played.replicated(documents, difference=0.9))
    return case.do("replicator", played.replicated(documents))


UNSETTLED = [
    (lambda: Play().until("opened"), ()),
    (lambda: Play().until("acquiring"), ()),
    (lambda: Play().until("closed"), ()),
    (lambda: Play().until("acquiring").do("manager", played.closed("unanswerable")), ()),
    (lambda: Play().until("analysing"), ("5 comparisons were made .* the controls were not yet judged",)),
    (closed_before_the_unblinding, ("5 comparisons were made .* the controls were NEVER judged",)),
    (replicated_twice, ("1 of 2 replications found something ELSE than the analyst",)),
]


@pytest.mark.parametrize(("make", "expected"), UNSETTLED)
def test_what_is_unsettled_is_said(make, expected: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    said = caveats(make().state)
    assert len(said) == len(expected)
    assert all(re.search(pattern, one) for pattern, one in zip(expected, said, strict=True))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (closed_before_the_unblinding, "the controls were NEVER judged"),
        (replicated_twice, "what 2 of 2 replications found is not known"),
    ],
)
def test_what_is_unsettled_outlives_whatever_is_erased(make, words: str) -> None:  # type: ignore[no-untyped-def]
    case = make()
    numbers = range(len(case.events))
    case.do("manager", played.expunged(numbers, "court_order"))
    left = [replace(one, body=None) if one.record.sequence in numbers else one for one in case.events]
    assert words in caveats(proceed(left))[0]
