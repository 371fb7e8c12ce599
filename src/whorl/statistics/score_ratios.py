"""From scores of labelled pairs to one capped likelihood ratio; refused where the population is too small.

Joins `whorl.statistics.calibration` and `whorl.statistics.ratio_caps` for behavioural scores, with the family as the
unit. Method page: ``docs/methods/model_calibration.md``.
"""

from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.calibration import FamilyJackknife, fit_family_jackknife, held_out_log10_lr
from whorl.statistics.labelled_pairs import MIN_FAMILIES, LabelledPairs, can_be_held_out
from whorl.statistics.model_calibration import LEAST_CONTROLS, TooFewControls, too_few_controls
from whorl.statistics.ratio_caps import RatioCaps, calibration_caps, headline_log10_lr


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreCalibration:
    """What turns a score into a capped ratio.

    Parameters
    ----------
    jackknife : calibrations with and without each family
    supporting, opposing : caps for positive and for negative log10 ratios
    lowest, highest : shape (scores,), range of the labelled pairs; a score beyond it counts as its end
    families : under the first proposition, and under the alternative
    """

    jackknife: FamilyJackknife
    supporting: RatioCaps
    opposing: RatioCaps
    lowest: Doubles
    highest: Doubles
    families: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedRatio:
    """A calibrated log10 ratio: what may be reported, and what it was made of.

    Parameters
    ----------
    log10_lr : the interval's end nearer 0, after the caps; 0 where the interval spans 0
    central, lower, upper : before the caps, 95 % delete-one-family jackknife
    """

    log10_lr: float
    central: float
    lower: float
    upper: float


def calibrate_scores(pairs: LabelledPairs, *, controls: int) -> ScoreCalibration | TooFewControls:
    """Calibration and caps from pairs of known truth.

    The sampling cap is what so many families can show; the process cap counts as failed trials the held-out unrelated
    pairs whose ratio reaches it.

    Parameters
    ----------
    pairs : `is_h1` where the models are related in the way that is asked; elsewhere the named alternative holds
    controls : models among the pairs for which the alternative holds
    """
    if controls < LEAST_CONTROLS:
        return too_few_controls(controls)
    sides = (pairs.is_h1, ~pairs.is_h1)
    families = (np.unique(pairs.families[sides[0]]).size, np.unique(pairs.families[sides[1]]).size)
    if min(families) < MIN_FAMILIES or not can_be_held_out(pairs):
        return TooFewControls(
            found=min(families),
            needed=MIN_FAMILIES,
            unit="families",
            detail=f"expected related and unrelated pairs of {MIN_FAMILIES} families each, and both kinds left "
            f"without any two of them; found {families[0]} and {families[1]}; add families to the population",
        )
    supporting, opposing = calibration_caps(pairs, held_out_log10_lr(pairs))
    return ScoreCalibration(
        jackknife=fit_family_jackknife(pairs),
        supporting=supporting,
        opposing=opposing,
        lowest=pairs.scores.min(axis=0),
        highest=pairs.scores.max(axis=0),
        families=families,
    )


def capped_ratio(calibration: ScoreCalibration, scores: AnyArray) -> CappedRatio:
    """The ratio of one case, of which no more may be reported than `CappedRatio.log10_lr`.

    Parameters
    ----------
    scores : shape (k,), finite, in the order of the labelled pairs' columns
    """
    given = np.atleast_1d(np.asarray(scores, np.float64))
    if given.shape != calibration.lowest.shape:
        raise ValueError(f"expected scores of shape {calibration.lowest.shape}, got {given.shape}")
    held = np.clip(given, calibration.lowest, calibration.highest)
    found = calibration.jackknife.log10_ratios(held[None])
    # + 0.0: no minus zero, and no sign from the last digits of a calibration that says nothing.
    central, lower, upper = (round(float(part[0]), 12) + 0.0 for part in (found.central, found.lower, found.upper))
    return CappedRatio(
        log10_lr=headline_log10_lr(lower, upper, supporting=calibration.supporting, opposing=calibration.opposing),
        central=central,
        lower=lower,
        upper=upper,
    )
