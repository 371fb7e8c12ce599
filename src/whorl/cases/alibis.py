"""From a verified registry receipt to an alibi among the exhibits."""

from datetime import UTC
from typing import Final, Literal

from whorl.cases.documents import LEAST_FAILURE, Alibi, Attested, Range, StatedDeposit
from whorl.core.errors import InputError, VerificationError
from whorl.entries.kinds import Commitment
from whorl.entries.receipt import VerifiedEntry
from whorl.entries.sealed_item import parse_item
from whorl.entries.sealed_list import OpenedListFile, verify_opened

CONFIDENCE: Final = 0.05


def deposited_alibi(stated: StatedDeposit, verified: VerifiedEntry, opened: OpenedListFile, *, content: str) -> Alibi:
    """The alibi of a sealed deposit among whose opened members the questioned model is.

    Parameters
    ----------
    content : digest of the questioned model's content

    Raises
    ------
    InputError
        If the receipt is of something else than a deposit.
    VerificationError
        If the members were not sealed in it, the questioned model is not among them, the receipt proves no time, or an
        entry speaks against it.
    """
    body = verified.statement.body
    if not isinstance(body, Commitment):
        raise InputError(f"{stated.code}: expected the receipt of a deposit, found one of kind {verified.kind}")
    shown = verify_opened(opened, root=bytes.fromhex(body.root), count=body.count)
    if all(parse_item(secret).content != content for secret in shown.values()):
        raise VerificationError(
            f"{stated.code}: expected the questioned model among the {len(shown)} opened members, found no member with "
            f"its digest {content}; open the member that is this model"
        )
    alibi = alibi_of(
        verified,
        code=stated.code,
        filed_by=stated.filed_by,
        reference_reachable_from=stated.reference_reachable_from,
        early_access=stated.early_access,
        failure=stated.failure,
        grounds=stated.grounds,
    )
    assert alibi.attested is not None
    attested = alibi.attested.model_copy(update={"content": content, "members": body.count})
    return alibi.model_copy(update={"attested": attested})


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
    digests, as `deposited_alibi` does.

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
    standing: Literal["good", "unknown"] = "good" if verified.standing.good else "unknown"
    return Alibi(
        code=code,
        filed_by=filed_by,
        existed_by=f"{verified.not_after.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        reference_reachable_from=reference_reachable_from,
        early_access=early_access,
        failure=failure,
        grounds=grounds,
        attested=Attested(entry=verified.id, log=verified.origin, index=verified.index, standing=standing),
    )


def failure_after(trials: int) -> Range:
    """Range of a procedure's failure after so many blind trials without one: up to the upper 95 % limit.

    Clopper and Pearson: 1 - 0.05**(1 / trials), about 3 / trials.
    """
    if trials < 1:
        raise ValueError(f"expected at least one blind trial, got {trials}")
    return Range(lower=LEAST_FAILURE, upper=max(LEAST_FAILURE, 1 - CONFIDENCE ** (1 / trials)))
