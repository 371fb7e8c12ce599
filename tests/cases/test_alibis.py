"""Receipts as alibis: the time that others prove, or none at all."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from whorl.cases.alibis import alibi_of, failure_after
from whorl.cases.documents import Alibi, Range
from whorl.core.errors import VerificationError
from whorl.entries.anchors import Stamps
from whorl.entries.receipt import Standing, VerifiedEntry

NONE: Any = None


def verified(**changes: Any) -> VerifiedEntry:
    """A receipt that passed every step, as far as an alibi looks at it."""
    entry = VerifiedEntry(
        id="a" * 52,
        kind="commitment",
        statement=NONE,
        sealed=False,
        claimant=NONE,
        origin="bureau.example/log",
        index=7,
        not_after=datetime(2025, 3, 1, 12, tzinfo=UTC),
        not_before=None,
        witnesses=("w1", "w2"),
        post_quantum=False,
        stamps=cast(Stamps, None),
        standing=Standing(good=True),
    )
    return replace(entry, **changes)


def alibi(entry: VerifiedEntry) -> Alibi:
    return alibi_of(
        entry,
        code="D-1",
        filed_by="respondent",
        reference_reachable_from="2025-06-01T00:00:00Z",
        early_access=Range(lower=0.0, upper=0.01),
        failure=failure_after(1000),
        grounds="1,000 blind trials",
    )


def test_the_time_is_the_witnesses_not_the_partys() -> None:
    found = alibi(verified())
    assert found.existed_by == "2025-03-01T12:00:00Z"
    assert found.in_time


def test_a_receipt_that_proves_no_time_is_no_alibi() -> None:
    with pytest.raises(VerificationError, match="no quorum of witnesses"):
        alibi(verified(not_after=None))


def test_an_entry_that_is_spoken_against_is_no_alibi() -> None:
    with pytest.raises(VerificationError, match="spoken against by bbb"):
        alibi(verified(standing=Standing(good=False, against="bbb")))


def test_trials_bound_the_failure() -> None:
    assert failure_after(1000).upper == pytest.approx(0.002991, abs=1e-6)
    assert failure_after(10**7).upper == 1e-4
    with pytest.raises(ValueError, match="at least one"):
        failure_after(0)
