"""Answer-copying indices: do two models give the same answers oftener than unrelated models would, item by item?

Null of every test here: the two models' answers are independent given their chances, and the chances of
`whorl.statistics.answer_model` are right. The second half is never exactly true: what the chances leave out, because
controls are few or because models differ in more than their tendencies, makes tails too small. A tail is a screening
figure; what may be reported is the score ``z`` calibrated over models (`whorl.statistics.model_calibration`). Method
page: ``docs/methods/answer_copying.md``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.statistics.answer_model import checked_codes
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.poisson_binomial import poisson_binomial_log10_tail, weighted_log10_tail_bound

LEAST_ITEMS: Final = 10
COPIED_SHARES: Final = (0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchTest:
    """Matching answers against their expected number.

    Parameters
    ----------
    items : items with an answer of both
    matches : how many are the same; for rare matches their summed weight
    expected, deviation : mean and standard deviation under the null
    z : (matches - expected) / deviation, the score to calibrate over models
    log10_p : exact tail; for rare matches an upper bound on it
    """

    items: int
    matches: float
    expected: float
    deviation: float
    z: float
    log10_p: float


def gbt_test(
    questioned: AnyArray,
    reference: AnyArray,
    questioned_chances: Doubles,
    reference_chances: Doubles,
    *,
    items: AnyArray | None = None,
) -> MatchTest | NotTestable:
    """Generalised binomial test: matches against a Poisson binomial with chances sum_c P_q(i, c) P_r(i, c).

    Parameters
    ----------
    questioned, reference : shape (items,), codes, -1 where missing
    questioned_chances, reference_chances : shape (items, categories), from `answer_chances`
    items : shape (items,), bool, which items to use; may not depend on the answers

    References
    ----------
    van der Linden and Sotaridona, Journal of Educational and Behavioral Statistics 31(3), 2006.
    """
    ours, theirs, used = _answered(questioned, reference, questioned_chances, reference_chances, items)
    chances = (questioned_chances * reference_chances).sum(axis=1)
    return _counted(ours[used] == theirs[used], chances[used])


def omega_test(
    questioned: AnyArray, reference: AnyArray, questioned_chances: Doubles, *, items: AnyArray | None = None
) -> MatchTest | NotTestable:
    """Wollack's omega with an exact tail: matches given the reference's answers, with chances P_q(i, that answer).

    Not symmetric: the questioned model is the one that may have copied.

    Parameters
    ----------
    items : shape (items,), bool, which items to use; may depend on the reference's answers, so that those which it got
        wrong can be tested alone

    References
    ----------
    Wollack, Applied Psychological Measurement 21(4), 1997.
    """
    matched, chances = answer_matches(questioned, reference, questioned_chances, items=items)
    return _counted(matched, chances)


def both_wrong_test(
    questioned: AnyArray,
    reference: AnyArray,
    questioned_chances: Doubles,
    reference_chances: Doubles,
    key: AnyArray,
) -> MatchTest | NotTestable:
    """`gbt_test` on the items that both got wrong, given that they did: is it the *same* wrong answer?

    Parameters
    ----------
    key : shape (items,), code of the right answer
    """
    ours, theirs, used = _answered(questioned, reference, questioned_chances, reference_chances, None)
    right = np.asarray(key)
    used &= (ours != right) & (theirs != right)
    wrong = right[:, None] != np.arange(questioned_chances.shape[1])
    left, other = np.where(wrong, questioned_chances, 0.0)[used], np.where(wrong, reference_chances, 0.0)[used]
    chances = (left * other).sum(axis=1) / (left.sum(axis=1) * other.sum(axis=1))
    return _counted(ours[used] == theirs[used], chances)


def rare_match_test(
    questioned: AnyArray, reference: AnyArray, questioned_chances: Doubles, *, items: AnyArray | None = None
) -> MatchTest | NotTestable:
    """`omega_test` with each match weighted by ln(1 / chance): sharing a rare answer counts more than a usual one.

    Parameters
    ----------
    items : as in `omega_test`
    """
    matched, chances = answer_matches(questioned, reference, questioned_chances, items=items)
    surprise = -np.log(np.maximum(chances, 1e-300))
    refused = _refused(chances, surprise)
    if refused is not None:
        return refused
    total, expected = float(matched @ surprise), float(chances @ surprise)
    deviation = math.sqrt(float((chances * (1 - chances)) @ surprise**2))
    return MatchTest(
        items=chances.size,
        matches=total,
        expected=expected,
        deviation=deviation,
        z=(total - expected) / deviation,
        log10_p=weighted_log10_tail_bound(total, chances, surprise),
    )


def copied_log10_ratio(matched: AnyArray, chances: AnyArray, *, shares: Sequence[float] = COPIED_SHARES) -> float:
    """log10 ratio of "each answer was copied with probability lambda" to "answered by itself", averaged over lambda.

    The product over items of 1 + lambda (match / chance - 1). Its expectation under the null is 1, so it is an e-value
    if the chances are right; they are learned, so it is a score to calibrate and not a ratio to report.

    Parameters
    ----------
    matched, chances : shape (items,), from `answer_matches`
    shares : values of lambda, each between 0 and 1, alike in weight
    """
    same, rates, copied = np.asarray(matched, bool), np.asarray(chances, np.float64), np.array(shares, np.float64)
    if same.shape != rates.shape or not ((rates > 0) & (rates <= 1)).all():
        raise ValueError("expected one positive chance of at most 1 per match")
    if not copied.size or not ((copied >= 0) & (copied < 1)).all():
        raise ValueError(f"shares lie between 0 and 1, got {tuple(shares)}")
    gains = np.log1p(copied[:, None] * (np.where(same, 1 / rates, 0.0) - 1)).sum(axis=1)
    return float(np.logaddexp.reduce(gains) - math.log(copied.size)) / math.log(10)


def answer_matches(
    questioned: AnyArray, reference: AnyArray, questioned_chances: Doubles, *, items: AnyArray | None = None
) -> tuple[AnyArray, Doubles]:
    """Which answers match, and the chance of each given the reference's answer, on the items that both answered.

    Returns
    -------
    matched : shape (used,), bool
    chances : shape (used,)
    """
    ours, theirs, used = _answered(questioned, reference, questioned_chances, questioned_chances, items)
    return ours[used] == theirs[used], questioned_chances[np.flatnonzero(used), theirs[used]]


def match_score_matrix(answers: AnyArray, chances: Doubles) -> Doubles:
    """`gbt_test`'s z of every two models at once; NaN where two models have no common item or every match is certain.

    Parameters
    ----------
    answers : shape (models, items), codes, -1 where missing
    chances : shape (models, items, categories)

    Returns
    -------
    shape (models, models), symmetric
    """
    models, items, categories = chances.shape
    codes = checked_codes(answers, categories)
    if codes.shape != (models, items):
        raise ValueError(f"expected answers of shape {(models, items)}, got {codes.shape}")
    given = np.where((codes >= 0)[:, :, None], chances, 0.0)
    matches, expected, squares = (np.zeros((models, models)) for _ in range(3))
    for one in range(categories):
        same = (codes == one).astype(np.float64)
        matches += same @ same.T
        expected += given[:, :, one] @ given[:, :, one].T
        for other in range(one, categories):
            product = given[:, :, one] * given[:, :, other]
            squares += (1 if one == other else 2) * (product @ product.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > squares, (matches - expected) / np.sqrt(expected - squares), np.nan)


def _answered(
    questioned: AnyArray, reference: AnyArray, ours: Doubles, theirs: Doubles, items: AnyArray | None
) -> tuple[Ints, Ints, AnyArray]:
    if ours.ndim != 2 or ours.shape != theirs.shape:
        raise ValueError(f"expected chances of shape (items, categories), got {ours.shape} and {theirs.shape}")
    left, right = (checked_codes(answers, ours.shape[1]) for answers in (questioned, reference))
    used = np.ones(len(ours), bool) if items is None else np.array(items)
    if not left.shape == right.shape == used.shape == (len(ours),) or used.dtype != np.bool_:
        raise ValueError(f"expected one answer of each model and one bool for each of {len(ours)} items")
    return left, right, used & (left >= 0) & (right >= 0)


def _counted(matched: AnyArray, chances: Doubles) -> MatchTest | NotTestable:
    refused = _refused(chances, np.ones_like(chances))
    if refused is not None:
        return refused
    chances = np.minimum(chances, 1.0)
    matches, expected = int(np.count_nonzero(matched)), float(chances.sum())
    deviation = math.sqrt(float((chances * (1 - chances)).sum()))
    return MatchTest(
        items=chances.size,
        matches=matches,
        expected=expected,
        deviation=deviation,
        z=(matches - expected) / deviation,
        log10_p=poisson_binomial_log10_tail(matches, chances),
    )


def _refused(chances: Doubles, weights: Doubles) -> NotTestable | None:
    if chances.size < LEAST_ITEMS:
        return NotTestable(
            reason="too_few_items",
            detail=f"expected at least {LEAST_ITEMS} items that both models answered, found {chances.size}; ask more",
        )
    if float((chances * (1 - chances)) @ weights**2) <= 1e-12 * chances.size:
        return NotTestable(
            reason="no_variation",
            detail=f"every match on {chances.size} items was certain or impossible; use items that models answer apart",
        )
    return None
