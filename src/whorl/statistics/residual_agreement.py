"""Do the outcomes of two models go together beyond what every unrelated model reveals about the items?

From each model's outcomes everything is removed that controls predict about an item: its difficulty, public factors,
its stratum. What is left is correlated. Null: the outcomes are independent given these features. With few controls the
features are noisy, difficulty stays in both residuals, and the normal tail is far too small: `log10_p` is a screening
figure, and `z` is what is calibrated over models. Method page: ``docs/methods/residual_agreement.md``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.statistics.answer_model import checked_codes
from whorl.statistics.not_testable import NotTestable

LEAST_ITEMS: Final = 30
FACTORS: Final = 4
_SAME: Final = 1e-9
_NOTHING: Final = 1e-12  # a product of residuals that are rounding errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualAgreement:
    """Residuals of two models that go together, or not.

    Parameters
    ----------
    items : items with an outcome of both
    correlation : of the residuals, Yen's Q3; classes summed
    z : generalised covariance measure, standard normal under the null with perfect features
    log10_p : one-sided normal tail of ``z``: exact only with very many controls
    """

    items: int
    correlation: float
    z: float
    log10_p: float


def item_features(
    controls: AnyArray, *, strata: AnyArray | None = None, factors: int = FACTORS, shares: bool = True
) -> Doubles:
    """What controls reveal about each item: Z of the test, with an intercept.

    Parameters
    ----------
    controls : shape (models, items), outcomes; NaN where missing
    strata : shape (items,), integers, one column each
    factors : leading item factors of the double-centred control matrix
        At most half of the controls: more would be noise.
    shares : outcomes are between 0 and 1; features are then the smoothed mean, its logit and the logit's square.
        Otherwise the mean and its square.

    Returns
    -------
    shape (items, features)
    """
    outcomes = np.asarray(controls, np.float64)
    if outcomes.ndim != 2 or min(outcomes.shape) < 1:
        raise ValueError(f"expected outcomes of shape (models, items), got {outcomes.shape}")
    seen = ~np.isnan(outcomes)
    filled = np.where(seen, outcomes, 0.0)
    if not np.isfinite(filled).all() or (shares and not ((filled >= 0) & (filled <= 1)).all()):
        raise ValueError("expected finite outcomes, between 0 and 1 unless said otherwise")
    count, items = seen.sum(axis=0), outcomes.shape[1]
    columns = [np.ones(items)]
    if shares:
        mean = (filled.sum(axis=0) + 0.5) / (count + 1)
        logit = np.log(mean / (1 - mean))
        columns += [mean, logit, logit**2]
    else:
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        columns += [mean, mean**2]
    columns += list(_leading_factors(filled, seen, min(factors, len(outcomes) // 2)))
    if strata is not None:
        place = np.unique(np.asarray(strata), return_inverse=True)[1]
        columns += [(place == stratum).astype(np.float64) for stratum in range(1, place.max() + 1)]
    return np.column_stack(columns)


def residuals(outcomes: AnyArray, features: Doubles) -> Doubles:
    """What is left of outcomes after a linear fit that never saw the item itself (leave-one-out, in closed form).

    Parameters
    ----------
    outcomes : shape (models, items); NaN where missing
    features : shape (items, features), from `item_features`

    Returns
    -------
    shape (models, items); NaN where missing
    """
    rows = np.atleast_2d(np.asarray(outcomes, np.float64))
    if features.ndim != 2 or rows.shape[1] != len(features):
        raise ValueError(f"expected outcomes of {len(features)} items, got shape {rows.shape}")
    left = np.full(rows.shape, np.nan)
    seen = ~np.isnan(rows)
    alike: dict[bytes, list[int]] = {}
    for row, pattern in enumerate(seen):
        alike.setdefault(pattern.tobytes(), []).append(row)
    for members in alike.values():
        pattern = seen[members[0]]
        basis = _basis(features[pattern])
        here = rows[np.ix_(members, pattern)]
        kept = 1 - (basis**2).sum(axis=1)
        plain = here - (here @ basis) @ basis.T
        # An item that the features describe alone has no residual that was not fitted to it.
        left[np.ix_(members, pattern)] = np.where(kept > _SAME, plain / np.maximum(kept, _SAME), 0.0)
    return left


def residual_agreement(questioned: Doubles, reference: Doubles) -> ResidualAgreement | NotTestable:
    """Generalised covariance measure of two models' residuals.

    z = sqrt(n) mean(e u) / sd(e u). For several classes e u is summed over classes.

    Parameters
    ----------
    questioned, reference : shape (items,), or (classes, items), from `residuals`; NaN where missing

    References
    ----------
    Shah and Peters, Annals of Statistics 48(3), 2020. Yen, Applied Psychological Measurement 8(2), 1984.
    """
    from scipy.special import log_ndtr

    ours, theirs = np.atleast_2d(questioned), np.atleast_2d(reference)
    if ours.shape != theirs.shape:
        raise ValueError(f"expected residuals of the same items, got shapes {ours.shape} and {theirs.shape}")
    used = ~(np.isnan(ours) | np.isnan(theirs)).any(axis=0)
    count = int(np.count_nonzero(used))
    if count < LEAST_ITEMS:
        return NotTestable(
            reason="too_few_items",
            detail=f"expected at least {LEAST_ITEMS} items that both models answered, found {count}; ask more",
        )
    ours, theirs = ours[:, used], theirs[:, used]
    products = (ours * theirs).sum(axis=0)
    spread = float(products.std())
    size = math.sqrt(float((ours**2).sum() * (theirs**2).sum()))
    if min(spread, size) <= _NOTHING:
        return NotTestable(
            reason="no_variation",
            detail=f"controls predict all {count} outcomes wholly; use items that models answer apart",
        )
    z = math.sqrt(count) * float(products.mean()) / spread
    return ResidualAgreement(
        items=count,
        correlation=float(products.sum()) / size,
        z=z,
        log10_p=min(0.0, float(log_ndtr(-z)) / math.log(10)),
    )


def class_residuals(
    answers: AnyArray,
    controls: AnyArray,
    *,
    categories: int,
    strata: AnyArray | None = None,
    factors: int = FACTORS,
) -> Doubles:
    """`residuals` of every class's indicator, each with the features of that class.

    Parameters
    ----------
    answers : shape (models, items), codes from 0, -1 where missing
    controls : shape (controls, items), likewise

    Returns
    -------
    shape (models, classes, items); NaN where missing
    """
    given, known = checked_codes(np.atleast_2d(answers), categories), checked_codes(controls, categories)
    if known.ndim != 2 or given.shape[1:] != known.shape[1:]:
        raise ValueError(f"expected answers and controls on the same items, got {given.shape} and {known.shape}")
    return np.stack(
        [
            residuals(_indicator(given, one), item_features(_indicator(known, one), strata=strata, factors=factors))
            for one in range(categories)
        ],
        axis=1,
    )


def agreement_matrix(left: Doubles) -> Doubles:
    """z of every two models at once; NaN where two models have too few items in common or nothing is left.

    Parameters
    ----------
    left : shape (models, items), from `residuals`, or (models, classes, items)

    Returns
    -------
    shape (models, models), symmetric
    """
    classes = left[:, None] if left.ndim == 2 else left
    models = len(classes)
    seen = np.asarray(~np.isnan(classes).any(axis=1))
    filled = np.where(seen[:, None], classes, 0.0)
    count, total, squares = seen.astype(np.float64) @ seen.T, np.zeros((models, models)), np.zeros((models, models))
    for one in range(filled.shape[1]):
        total += filled[:, one] @ filled[:, one].T
        for other in range(one, filled.shape[1]):
            product = filled[:, one] * filled[:, other]
            squares += (1 if one == other else 2) * (product @ product.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        usable = (count >= LEAST_ITEMS) & (deviation > _NOTHING)
        return np.where(usable, np.sqrt(count) * mean / deviation, np.nan)


def _leading_factors(filled: Doubles, seen: AnyArray, count: int) -> Sequence[Doubles]:
    """Leading item factors of the matrix without model and item means; a missing outcome counts as expected."""
    if count < 1:
        return []
    total = max(1, int(seen.sum()))
    grand = filled.sum() / total
    items = np.where(seen.any(axis=0), filled.sum(axis=0) / np.maximum(seen.sum(axis=0), 1), grand)
    models = np.where(seen.any(axis=1), filled.sum(axis=1) / np.maximum(seen.sum(axis=1), 1), grand)
    centred = np.where(seen, filled - items - models[:, None] + grand, 0.0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    return [
        np.asarray(vectors[:, -place] @ centred / math.sqrt(values[-place]))
        for place in range(1, count + 1)
        if values[-place] > _SAME
    ]


def _basis(features: Doubles) -> Doubles:
    """Orthonormal columns of the same span; columns that add nothing are dropped."""
    if not features.size:
        return features[:, :0]
    scale = np.sqrt((features**2).mean(axis=0))
    left, sizes, _ = np.linalg.svd(features[:, scale > 0] / scale[scale > 0], full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * sizes.max(initial=0.0)])


def _indicator(codes: Ints, one: int) -> Doubles:
    return np.where(codes >= 0, (codes == one).astype(np.float64), np.nan)
