"""From scores to likelihood ratios: logistic calibration with the family as the independent unit.

A likelihood ratio says how much more probable a score is if the first proposition holds (derived) than under one named
alternative. It is only as good as the population of pairs behind it, and only about the alternative in that population.
Caps belong to every ratio that leaves the laboratory: `whorl.statistics.ratio_caps`. Method page:
``docs/methods/likelihood_ratio.md``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.labelled_pairs import LabelledPairs, jackknife_error, touching
from whorl.statistics.student import student_quantile

RIDGE: Final = 0.02
"""Penalty on slopes: what a normal prior of standard deviation 7 per standard deviation of a score comes to."""

_CHUNK = 2_000_000
_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """ln LR = intercept + sum of slope times score.

    Parameters
    ----------
    intercept : natural logarithm of the ratio at score 0
    slopes : one per score, natural logarithm per unit of the score
    """

    intercept: float
    slopes: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.slopes or not all(map(math.isfinite, (self.intercept, *self.slopes))):
            raise ValueError(f"a calibration needs finite numbers and a slope, got {self.intercept} and {self.slopes}")

    def log10_lr(self, scores: AnyArray) -> Doubles:
        """log10 of the calibrated ratios, without interval and caps: not for a report.

        Parameters
        ----------
        scores : shape (m, k), or (m,) where there is one score

        Returns
        -------
        shape (m,)
        """
        columns = _columns(scores, len(self.slopes))
        return np.asarray((self.intercept + columns @ np.array(self.slopes)) / math.log(10))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Log10Ratios:
    """Calibrated log10 ratios with interval ends, each of shape (m,)."""

    central: Doubles
    lower: Doubles
    upper: Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyJackknife:
    """A calibration and the same fit without each family in turn: enough for an interval at any score.

    Parameters
    ----------
    whole : fitted to every pair
    without : one per family, in the order of `LabelledPairs.labels`, fitted to the pairs that do not touch it
    degrees_of_freedom : number of families, less 1, of the proposition that has fewer
    """

    whole: Calibration
    without: tuple[Calibration, ...]
    degrees_of_freedom: int

    def __post_init__(self) -> None:
        if len(self.without) < 2 or not 1 <= self.degrees_of_freedom < len(self.without):
            raise ValueError(
                f"expected at least 2 families and 1 to families - 1 degrees of freedom, got {len(self.without)} and "
                f"{self.degrees_of_freedom}"
            )
        if any(len(fit.slopes) != len(self.whole.slopes) for fit in self.without):
            raise ValueError("calibrations without a family have other scores than the whole")

    def log10_ratios(self, scores: AnyArray, *, level: float = 0.95) -> Log10Ratios:
        """Ratios with Student's t interval on the delete-one-family jackknife of log10 LR.

        The interval is about which families happen to be in the population. It does not cover the noise of measuring
        the score, nor an alternative that is not in the population. Far from all scores of the population it may widen
        faster than the ratio grows: its end nearer 0 then falls although the score rises.

        Parameters
        ----------
        scores : shape (m, k), or (m,) where there is one score

        References
        ----------
        Miller, The jackknife: a review, Biometrika 61(1), 1974.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
        columns = _columns(scores, len(self.whole.slopes))
        central = self.whole.log10_lr(columns)
        slopes = np.array([fit.slopes for fit in self.without])
        intercepts = np.array([fit.intercept for fit in self.without])
        spread = jackknife_error((intercepts[:, None] + slopes @ columns.T) / math.log(10))
        reach = student_quantile(self.degrees_of_freedom, (1 + level) / 2) * spread
        return Log10Ratios(central=central, lower=central - reach, upper=central + reach)


def fit_calibration(
    pairs: LabelledPairs,
    *,
    ridge: float = RIDGE,
    nonnegative: Sequence[bool] | None = None,
    shrinkage: AnyArray | None = None,
) -> Calibration:
    """Logistic (Platt) calibration, both propositions weighted alike, so that the fitted log odds are ln LR.

    Minimises the mean of ln(1 + exp(-ln LR)) under H1 and of ln(1 + exp(ln LR)) under H2, half each, plus ``ridge``
    / (2 f) times the squared slopes, each multiplied by its score's standard deviation: units of a score do not matter.
    f is the number of families of the proposition that has fewer, so that the penalty fades as families are added.
    Convex, solved by projected Newton steps to the last digits, without randomness.

    Where the scores separate the two kinds of pairs completely, the data do not say how steep the slope is and the
    ridge decides: the ratio then means "beyond the caps" and no more.

    Parameters
    ----------
    ridge : positive
    nonnegative : per score, whether its slope may not be negative; left out, all. A score whose slope would be negative
        then says nothing, rather than speaking against what it was made to show.
    shrinkage : shape (k, k), positive semidefinite; adds 1 / (2 f) times slopes' shrinkage slopes to what is minimised
        In the scores' own units, unlike the ridge: for scores that are comparable with each other.

    Raises
    ------
    ValueError
        If ``ridge`` is not positive, or ``nonnegative`` or ``shrinkage`` do not fit the number of scores.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999. Brummer and du Preez, Computer Speech and Language
    20(2-3), 2006. Bertsekas, Projected Newton methods, SIAM J. Control and Optimization 20(2), 1982.
    """
    return _Fitter(pairs, ridge, nonnegative, shrinkage).whole()


def fit_family_jackknife(
    pairs: LabelledPairs,
    *,
    ridge: float = RIDGE,
    nonnegative: Sequence[bool] | None = None,
    shrinkage: AnyArray | None = None,
) -> FamilyJackknife:
    """`fit_calibration` on all pairs, and once more without each family.

    Raises
    ------
    ValueError
        As `fit_calibration`; or if the pairs left after removing one family lack one of the propositions.
    """
    fitter = _Fitter(pairs, ridge, nonnegative, shrinkage)
    alone = np.repeat(np.arange(pairs.labels.size)[:, None], 2, axis=1)
    without = fitter.without(alone, np.repeat(fitter.whole_parameters[None], len(alone), axis=0))
    return FamilyJackknife(
        whole=fitter.whole(),
        without=tuple(fitter.calibration(parameters) for parameters in without),
        degrees_of_freedom=pairs.smaller_side - 1,
    )


def held_out_log10_lr(
    pairs: LabelledPairs,
    *,
    ridge: float = RIDGE,
    nonnegative: Sequence[bool] | None = None,
    shrinkage: AnyArray | None = None,
) -> Doubles:
    """log10 ratio of every pair, from a calibration that has seen neither of its two families.

    Leave-one-family-out for pairs within a family, leave-two-families-out for pairs across. Random folds would be
    optimistic: a family's other pairs give it away.

    Returns
    -------
    shape (n,), in the order of ``pairs``

    Raises
    ------
    ValueError
        As `fit_calibration`; or if the pairs that touch neither family lack one of the propositions.
    """
    fitter = _Fitter(pairs, ridge, nonnegative, shrinkage)
    left_out, place = np.unique(pairs.families, axis=0, return_inverse=True)
    singles = np.unique(left_out)
    alone = fitter.without(
        np.repeat(singles[:, None], 2, axis=1), np.repeat(fitter.whole_parameters[None], singles.size, axis=0)
    )
    # The effects of two families nearly add up, which leaves a step or two to do for each of up to F**2 / 2 fits.
    both = alone[left_out[:, 0]] + alone[left_out[:, 1]] - fitter.whole_parameters
    same = left_out[:, 0] == left_out[:, 1]
    parameters = alone[left_out[:, 0]]
    parameters[~same] = fitter.without(left_out[~same], both[~same])
    natural = parameters[place.ravel(), 0] + (fitter.design[:, 1:] * parameters[place.ravel(), 1:]).sum(axis=1)
    return np.asarray(natural / math.log(10))


class _Fitter:
    """One population in standard units, from which calibrations on parts of it are fitted many at a time."""

    def __init__(
        self, pairs: LabelledPairs, ridge: float, nonnegative: Sequence[bool] | None, shrinkage: AnyArray | None
    ) -> None:
        count = pairs.scores.shape[1]
        if not 0 < ridge < math.inf:
            raise ValueError(f"ridge must be positive and finite, got {ridge}: without it separated data have no fit")
        bounded = (True,) * count if nonnegative is None else tuple(nonnegative)
        if len(bounded) != count:
            raise ValueError(f"expected {count} entries of nonnegative, one per score, got {len(bounded)}")
        given = np.zeros((count, count)) if shrinkage is None else np.asarray(shrinkage, np.float64)
        if given.shape != (count, count) or not np.array_equal(given, given.T) or np.linalg.eigvalsh(given)[0] < -1e-9:
            raise ValueError(f"expected a positive semidefinite shrinkage of shape {(count, count)}, got {given}")
        self._pairs = pairs
        self._ridge = ridge / pairs.smaller_side
        self._bounded = np.array((False, *bounded))
        self._touching = touching(pairs.families, pairs.labels.size)
        self._centre = pairs.scores.mean(axis=0)
        scale = pairs.scores.std(axis=0)
        self._scale = np.where(scale > 1e-12 * np.abs(pairs.scores).max(axis=0), scale, np.inf)
        self.design = np.column_stack([np.ones(len(pairs.scores)), (pairs.scores - self._centre) / self._scale])
        self._shared = np.pad(given / self._scale / self._scale[:, None], (1, 0)) / pairs.smaller_side
        everything = np.ones((1, len(pairs.scores)), dtype=bool)
        self.whole_parameters = self._fit(everything, np.zeros((1, count + 1)))[0]

    def whole(self) -> Calibration:
        return self.calibration(self.whole_parameters)

    def calibration(self, parameters: Doubles) -> Calibration:
        slopes = parameters[1:] / self._scale
        return Calibration(
            intercept=float(parameters[0] - slopes @ self._centre), slopes=tuple(float(slope) for slope in slopes)
        )

    def without(self, families: AnyArray, start: Doubles) -> Doubles:
        """Fits without the pairs that touch either of two families; shapes (fits, 2) and (fits, k + 1)."""
        rows = max(1, _CHUNK // len(self.design))
        fits = np.empty_like(start)
        for first in range(0, len(families), rows):
            part = slice(first, first + rows)
            left, right = families[part].T
            fits[part] = self._fit(~(self._touching[left] | self._touching[right]), start[part], families[part])
        return fits

    def _fit(self, kept: AnyArray, start: Doubles, families: AnyArray | None = None) -> Doubles:
        truth = self._pairs.is_h1
        weights = np.where(kept, self._pairs.weights, 0.0)
        for side in (truth, ~truth):
            total = weights[:, side].sum(axis=1)
            if families is not None and (total == 0).any():
                names = self._pairs.labels[families[np.flatnonzero(total == 0)[0]]]
                which = "the first proposition" if side is truth else "the alternative"
                raise ValueError(
                    f"without families {sorted({int(name) for name in names})} no pair under {which} is left: "
                    "add families that have such pairs"
                )
            weights[:, side] *= (0.5 / total)[:, None]
        mean = weights @ self.design
        variance = weights @ self.design**2 - mean**2
        penalty = self._ridge * np.where(variance > 1e-12, variance, 1.0)
        penalty[:, 0] = 0.0
        return _newton(self.design, truth, weights, _Penalty(penalty, self._shared), self._bounded, start)


class _Penalty(NamedTuple):
    """Half of it times parameters squared is added to the loss: ``own`` (fits, p) each, ``shared`` (p, p) by all."""

    own: Doubles
    shared: Doubles

    def slope(self, parameters: Doubles) -> Doubles:
        return self.own * parameters + parameters @ self.shared


def _newton(
    design: Doubles, truth: AnyArray, weights: Doubles, penalty: _Penalty, bounded: AnyArray, start: Doubles
) -> Doubles:
    """Weighted logistic regressions with ridge and lower bounds of 0, all of them at once.

    Parameters
    ----------
    design : shape (n, p)
    truth : shape (n,), bool
    weights : shape (fits, n)
    bounded : shape (p,), bool
    start : shape (fits, p)
    """
    size = design.shape[1]
    rows, columns = np.triu_indices(size)
    products = design[:, rows] * design[:, columns]
    signed = np.where(truth, -1.0, 1.0)
    parameters = np.where(bounded, np.maximum(start, 0.0), start)
    open_fits = np.arange(len(parameters))
    for _ in range(_ROUNDS):
        here, heavy = parameters[open_fits], weights[open_fits]
        ridge = penalty._replace(own=penalty.own[open_fits])
        value, error, curvature = _loss(design, signed, heavy, ridge, here)
        gradient = error @ design + ridge.slope(here)
        hessian = np.zeros((len(here), size, size))
        hessian[:, rows, columns] = hessian[:, columns, rows] = curvature @ products
        diagonal = np.arange(size)
        # Where p (1 - p) underflows, what is left of the curvature must still be invertible.
        hessian[:, diagonal, diagonal] += ridge.own + 1e-12
        hessian += ridge.shared
        held = bounded & (here <= 1e-9) & (gradient > 0)
        coupled = ~(held[:, :, None] | held[:, None, :]) | np.eye(size, dtype=bool)
        step = np.linalg.solve(np.where(coupled, hessian, 0.0), gradient[:, :, None])[:, :, 0]
        length = np.ones(len(here))
        for _ in range(60):
            moved = here - length[:, None] * step
            moved = np.where(bounded, np.maximum(moved, 0.0), moved)
            promised = (gradient * (here - moved)).sum(axis=1)
            reached = _loss(design, signed, heavy, ridge, moved)[0]
            # Rounding of the loss itself is forgiven, or a fit that has converged could not stop.
            short = reached > value - 1e-4 * promised + 1e-13
            if not short.any():
                break
            length[short] /= 2
        parameters[open_fits] = moved
        open_fits = open_fits[promised > 1e-12]
        if open_fits.size == 0:
            return parameters
    raise ValueError(f"calibration did not converge in {_ROUNDS} rounds: scores differ too much in size")


def _loss(
    design: Doubles, signed: Doubles, weights: Doubles, ridge: _Penalty, parameters: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """Penalised mean loss, and per fit and pair the weighted error p - y and the weighted p (1 - p)."""
    against = signed * (parameters @ design.T)
    small = np.exp(-np.abs(against))
    loss = np.log1p(small) + np.maximum(against, 0.0)
    wrong = np.where(against > 0, 1.0, small) / (1.0 + small)
    value = np.einsum("fn,fn->f", weights, loss) + 0.5 * (ridge.slope(parameters) * parameters).sum(axis=1)
    weighted = weights * wrong
    return value, weighted * signed, weighted * (1.0 - wrong)


def _columns(scores: AnyArray, count: int) -> Doubles:
    columns = np.asarray(scores, np.float64)
    columns = columns[:, None] if columns.ndim == 1 and count == 1 else columns
    if columns.ndim != 2 or columns.shape[1] != count:
        raise ValueError(f"expected scores of shape (m, {count}), got {columns.shape}")
    if not np.isfinite(columns).all():
        raise ValueError("scores must be finite: a missing score has no ratio")
    return columns
