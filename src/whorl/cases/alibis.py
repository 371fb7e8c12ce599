"""From a verified registry receipt to an alibi among the exhibits."""

from datetime import UTC
from typing import Final

from whorl.cases.documents import LEAST_FAILURE, Alibi, Range
from whorl.core.errors import VerificationError
from whorl.entries.receipt import VerifiedEntry

CONFIDENCE: Final = 0.05


def alibi_of(
    verified: VerifiedEntry,
    *,
    code: str,
    filed_by: str,
    reference_reachable_from: str,
    early_access: Range,
    failure: Range,
    grounds: str,
) -> Alibi:
    """The alibi that a receipt gives: its time is the end of the interval that witnesses or time stamps prove.

    That the entry (or a member of its sealed list that was opened) is the questioned model, the caller has checked by
    digests.

    Raises
    ------
    VerificationError
        If the receipt proves no time, or an entry speaks against it.
    """
    if verified.not_after is None:
        raise VerificationError(
            f"{code}: expected a receipt that proves a time, found no quorum of witnesses and no time stamps in it; "
            "get a receipt under a policy whose witnesses cosigned"
        )
    if verified.standing.good is False:
        raise VerificationError(
            f"{code}: expected an entry that nothing speaks against, found one spoken against by "
            f"{verified.standing.against}"
        )
    return Alibi(
        code=code,
        filed_by=filed_by,
        existed_by=f"{verified.not_after.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        reference_reachable_from=reference_reachable_from,
        early_access=early_access,
        failure=failure,
        grounds=grounds,
    )


def failure_after(trials: int) -> Range:
    """Range of a procedure's failure after so many blind trials without one: up to the upper 95 % limit.

    Clopper and Pearson: 1 - 0.05**(1 / trials), about 3 / trials.
    """
    if trials < 1:
        raise ValueError(f"expected at least one blind trial, got {trials}")
    return Range(lower=LEAST_FAILURE, upper=max(LEAST_FAILURE, 1 - CONFIDENCE ** (1 / trials)))
