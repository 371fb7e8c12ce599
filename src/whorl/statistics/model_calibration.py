"""From a score of two models to what may be said of it: calibration over models, never over items.

A score's own tail assumes that controls have shown all there is to know about the items, which is never so. What a
score means is told by the same score of pairs that are known to be unrelated. Null: the questioned model is
exchangeable with the controls, given the reference (same era, size, languages, jurisdiction), and the other way round.
Controls exclude every known relative of either. Method page: ``docs/methods/model_calibration.md``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.not_testable import NotTestable

LEAST_CONTROLS: Final = 50
_ROBUST_SHARE: Final = 0.3675  # efficiency of the median absolute deviation for normal scores
_SMALLEST: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFewControls:
    """Why there is no calibrated statement: the population is too small for one.

    Parameters
    ----------
    found, needed : how many
    unit : of what
    detail : for people, with what to do
    """

    found: int
    needed: int
    unit: Literal["models", "families", "items"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A score against the distribution that controls predict for one more unrelated model.

    Parameters
    ----------
    t : standard deviations of prediction above the controls' centre
    degrees_of_freedom : of Student's distribution
    log10_p : one-sided, not below -300
    """

    t: float
    degrees_of_freedom: float
    log10_p: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairScores:
    """One score of a pair, and the same with a control in either place.

    Parameters
    ----------
    value : of the questioned model and the reference
    for_questioned : shape (k,), each control in the questioned model's place
    for_reference : shape (l,), each control in the reference's place
    """

    value: float
    for_questioned: Doubles
    for_reference: Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCalibration:
    """The least favourable of both directions: the pair is remarkable only if it is so for either model.

    Parameters
    ----------
    value : the score
    controls : of the direction that has fewer
    rank_p : conformal, never below 1 / (controls + 1): the one to report
    predicted : by mean and standard deviation; reaches beyond the rank and needs normal scores
    robust : by median and median absolute deviation; far more extreme than ``predicted`` where some controls are
        relatives that nobody knew of, or where scores are skewed

    Both are None where half of the controls have one score.
    """

    value: float
    controls: int
    rank_p: float
    predicted: Predicted | None
    robust: Predicted | None


def conformal_rank(value: float, controls: AnyArray) -> float:
    """(1 + controls with at least this score) / (controls + 1).

    Parameters
    ----------
    controls : shape (k,), the same score with a control in one model's place

    Notes
    -----
    An exact p-value if all k + 1 scores are exchangeable under the null, whatever their distribution.

    References
    ----------
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.
    """
    scores = _checked(value, controls, least=1)
    return (1 + int(np.count_nonzero(scores >= value))) / (scores.size + 1)


def predictive_t(value: float, controls: AnyArray) -> Predicted:
    """(T - mean) / (sd sqrt(1 + 1/k)) on k - 1 degrees of freedom.

    Parameters
    ----------
    controls : shape (k,), k at least 3

    Notes
    -----
    Exact if controls' scores are independent and normal. Tails beyond 1/k rest on normality alone: for exponential
    scores it rejects 4 % at 1 %. Report `conformal_rank`, and this only beside it. Relatives among the controls make it
    too cautious: see `robust_predictive_t`.
    """
    scores = _checked(value, controls, least=3)
    return _predicted(value - float(scores.mean()), float(scores.std(ddof=1)), 1 / scores.size, scores.size - 1)


def robust_predictive_t(value: float, controls: AnyArray) -> Predicted:
    """`predictive_t` by median and 1.4826 times the median absolute deviation.

    A few controls that are relatives of the pair, unknown to whoever chose them, raise mean and standard deviation and
    hide the pair; they hardly move these. On 0.3675 k degrees of freedom: what that deviation is worth for normal
    scores.

    Notes
    -----
    Anti-conservative where unrelated scores have a long upper tail. It is a sign that controls need a second look, and
    never the headline.

    References
    ----------
    Rousseeuw and Croux, Journal of the American Statistical Association 88(424), 1993.
    """
    scores = _checked(value, controls, least=3)
    freedom = max(1.0, _ROBUST_SHARE * scores.size)
    return _predicted(value - float(np.median(scores)), _deviation(scores), math.pi / 2 / scores.size, freedom)


def pair_scores(
    score: Callable[[AnyArray, AnyArray, AnyArray], float | NotTestable],
    *,
    questioned: AnyArray,
    reference: AnyArray,
    controls: AnyArray,
) -> PairScores | NotTestable:
    """The score of a pair, and of every control with either model, all learned from equally many other models.

    With a control in the questioned model's place, the questioned model takes the control's place among those from
    which item features are learned. All k + 1 scores are then made alike, and exchangeable under the null.

    Parameters
    ----------
    score : of two models' answers, given others': (items,), (items,) and (k, items)
    questioned, reference : shape (items,)
    controls : shape (k, items)

    Returns
    -------
    controls without a score are left out; `NotTestable` where the pair itself has none
    """
    value = score(questioned, reference, controls)
    if isinstance(value, NotTestable):
        return value
    sides: tuple[list[float], list[float]] = ([], [])
    for number, control in enumerate(controls):
        others = np.array(controls, np.result_type(questioned, reference, controls))
        for side, (replaced, pair) in zip(
            sides, ((questioned, (control, reference)), (reference, (questioned, control))), strict=True
        ):
            others[number] = replaced
            found = score(*pair, others)
            if not isinstance(found, NotTestable):
                side.append(found)
    return PairScores(value=value, for_questioned=np.array(sides[0]), for_reference=np.array(sides[1]))


def calibrate_pair(scores: PairScores) -> PairCalibration | TooFewControls:
    """Rank and predictive tails of a pair, in each case the larger of both directions."""
    directions = (scores.for_questioned, scores.for_reference)
    fewest = min(len(controls) for controls in directions)
    if fewest < LEAST_CONTROLS:
        return too_few_controls(fewest)
    # Scores of which half are the same: the rank is as good as ever, but there is no spread to predict from.
    spread = all(_deviation(controls) > 0 for controls in directions)

    def least_favourable(test: Callable[[float, AnyArray], Predicted]) -> Predicted | None:
        found = [test(scores.value, controls) for controls in directions] if spread else []
        return max(found, key=lambda one: one.log10_p, default=None)

    return PairCalibration(
        value=scores.value,
        controls=fewest,
        rank_p=max(conformal_rank(scores.value, controls) for controls in directions),
        predicted=least_favourable(predictive_t),
        robust=least_favourable(robust_predictive_t),
    )


def too_few_controls(found: int) -> TooFewControls:
    """The refusal for this number of control models."""
    return TooFewControls(
        found=found,
        needed=LEAST_CONTROLS,
        unit="models",
        detail=f"expected at least {LEAST_CONTROLS} unrelated control models with the same items, found {found}; "
        "add models to the population: no lineage statement rests on fewer",
    )


def _deviation(scores: Doubles) -> float:
    """Standard deviation of normal scores, from their median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(scores - np.median(scores))))


def _predicted(distance: float, spread: float, extra: float, freedom: float) -> Predicted:
    from scipy.special import stdtr

    if spread <= 0:
        raise ValueError("all controls have the same score: it cannot be calibrated")
    t = distance / (spread * math.sqrt(1 + extra))
    tail = max(_SMALLEST, float(stdtr(freedom, -t)))
    return Predicted(t=t, degrees_of_freedom=freedom, log10_p=math.log10(tail))


def _checked(value: float, controls: AnyArray, *, least: int) -> Doubles:
    scores = np.asarray(controls, np.float64)
    if scores.ndim != 1 or scores.size < least:
        raise ValueError(f"expected scores of at least {least} controls, got shape {scores.shape}")
    if not (math.isfinite(value) and np.isfinite(scores).all()):
        raise ValueError("scores must be finite: leave out controls without one, and say how many")
    return scores
