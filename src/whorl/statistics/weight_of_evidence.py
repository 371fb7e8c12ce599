"""What several groups of evidence say together about one case: fused, their mean, and the best alone; never a product.

Ratios of one case depend on each other. Multiplying them claims what nobody has shown, and no type here can do it.
Method page: ``docs/methods/fusion.md``.
"""

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
from pydantic import model_validator

from whorl.core.arrays import AnyArray, Doubles
from whorl.core.digest import digest_document
from whorl.core.evidence import Document, LikelihoodRatio, NotComparable, Tier
from whorl.statistics.fusion import METHOD, Fusion
from whorl.statistics.ratio_caps import headline_log10_lr

MEAN_METHOD: Final = "mean_of_ratios/1"
POPULATIONS: Final = "whorl.populations/1"

GroupRatios: TypeAlias = Mapping[str, LikelihoodRatio | NotComparable]
"""One ratio, or why there is none, for every group that was planned."""


class WeightOfEvidence(Document):
    """The evidence of one case against one alternative. All of it is shown together."""

    groups: dict[str, LikelihoodRatio | NotComparable]
    weights: dict[str, float]
    fused: LikelihoodRatio | NotComparable
    emerged: LikelihoodRatio
    best_group: str

    @model_validator(mode="after")
    def _belongs_together(self) -> "WeightOfEvidence":
        if self.emerged != emerge(self.groups, self.weights):
            raise ValueError("expected the mean of these ratios with these weights")
        if not isinstance(self.groups.get(self.best_group), LikelihoodRatio):
            raise ValueError(f"expected the best group to have a ratio, found {self.best_group!a}")
        if isinstance(self.fused, LikelihoodRatio) and self.fused.alternative != self.emerged.alternative:
            raise ValueError(f"fused against {self.fused.alternative}, but the groups against another alternative")
        return self

    @property
    def best_single(self) -> LikelihoodRatio:
        """The ratio of the group that is best in the population, not of the one that says most here."""
        best = self.groups[self.best_group]
        assert isinstance(best, LikelihoodRatio)
        return best


def weigh(ratios: GroupRatios, *, weights: Mapping[str, float], fusion: Fusion | NotComparable) -> WeightOfEvidence:
    """Fuse and emerge, side by side.

    Parameters
    ----------
    ratios : for every planned group
    weights : of the mean, `emerge`
    fusion : fitted on joint families, or why there is none; the best single group is then the one with most weight

    Raises
    ------
    ValueError
        As `emerge` and `fuse`.
    """
    emerged = emerge(ratios, weights)
    if isinstance(fusion, Fusion):
        order, fused = fusion.best_first(), fuse(fusion, ratios)
    else:
        order, fused = tuple(sorted(weights, key=lambda group: (-weights[group], group))), fusion
    return WeightOfEvidence(
        groups=dict(ratios),
        weights=dict(weights),
        fused=fused,
        emerged=emerged,
        best_group=next(group for group in order if isinstance(ratios[group], LikelihoodRatio)),
    )


def fuse(fusion: Fusion, ratios: GroupRatios) -> LikelihoodRatio | NotComparable:
    """The fused ratio of one case, with the jackknife interval and the caps of the fusion's families.

    The groups' central values go in. Their own intervals and caps do not: the fusion was fitted to central values, and
    its own families limit what comes out.

    Parameters
    ----------
    ratios : one for each of the fusion's groups

    Raises
    ------
    ValueError
        If the groups are others than the fusion's, or a ratio is against another alternative.
    """
    if set(ratios) != set(fusion.groups):
        raise ValueError(f"expected the groups {sorted(fusion.groups)}, found {sorted(ratios)}")
    given = _given(ratios)
    present = tuple(group for group in fusion.groups if group in given)
    if any(ratio.alternative != fusion.alternative for ratio in given.values()):
        raise ValueError(f"expected ratios against {fusion.alternative}: a fusion is about one alternative")
    if present not in fusion.patterns:
        return NotComparable(
            tier=_tier(ratios),
            method=METHOD,
            reason="not_validated",
            detail=f"the population {fusion.name} has no pairs with just these groups: {', '.join(present) or 'none'}",
        )
    row = np.array([[given[group].central if group in given else 0.0 for group in fusion.groups]])
    found = fusion.log10_ratios(row, np.array([[group in given for group in fusion.groups]]))
    # + 0.0: no minus zero, and no sign from the last digits of a fusion that says nothing.
    central, lower, upper = (round(float(part[0]), 12) + 0.0 for part in (found.central, found.lower, found.upper))
    caps = fusion.supporting if central >= 0 else fusion.opposing
    return LikelihoodRatio(
        tier=_tier(ratios),
        method=METHOD,
        alternative=fusion.alternative,
        log10_lr=headline_log10_lr(
            lower, upper, supporting=fusion.supporting.ratio_caps(), opposing=fusion.opposing.ratio_caps()
        ),
        central=central,
        lower=lower,
        upper=upper,
        caps={"sampling": caps.sampling, "process": caps.process},
        families=fusion.families,
        population=fusion.digest,
        statistic={group: given[group].central for group in present},
        detail=f"{', '.join(present)} fused on {fusion.families[0]} families with descendants against "
        f"{fusion.families[1]} families of this alternative ({fusion.pairs[0]} and {fusion.pairs[1]} pairs)",
    )


def emerge(ratios: GroupRatios, weights: Mapping[str, float]) -> LikelihoodRatio:
    """The weighted mean of a case's ratios: right whatever their dependence.

    Null hypothesis: the alternative. If every ratio has mean at most 1 under it, so has their mean, however they depend
    on each other: expectation is linear. One over the mean is at most the mean of one over each, so that it may be held
    against the first proposition likewise.

    Each end of the interval is the mean of the groups' ends; of supporting ratios the headlines are averaged. That
    is cautious, as an error of a sum is at most the sum of errors. A group that is missing counts as 1, but as 0
    in the lower end: whatever the reason for leaving it out, no support comes of it.

    Parameters
    ----------
    ratios : for every planned group, at least one of them a ratio, all against one alternative
    weights : positive, summing to 1, for the same groups; decided before any ratio was seen

    Notes
    -----
    An opposing mean is only right if what is missing was not withheld by somebody who knew what it would show.

    Raises
    ------
    ValueError
        If weights do not fit, no group has a ratio, or ratios are against different alternatives.

    References
    ----------
    Vovk and Wang, E-values: calibration, combination and applications, Annals of Statistics 49(3), 2021.
    """
    if set(weights) != set(ratios) or not all(math.isfinite(w) and w > 0 for w in weights.values()):
        raise ValueError(f"expected a positive weight for each of {sorted(ratios)}, found {dict(weights)}")
    if abs(math.fsum(weights.values()) - 1) > 1e-9:
        raise ValueError(f"expected weights that sum to 1, found {math.fsum(weights.values())}")
    given = _given(ratios)
    if not given or len({ratio.alternative for ratio in given.values()}) != 1:
        raise ValueError("expected at least one ratio, and all against one alternative")
    names = sorted(ratios)
    shares = np.array([weights[name] for name in names])

    def mean(values: Mapping[str, float], missing: float) -> float:
        row = np.array([values.get(name, missing) for name in names])
        return round(float(mean_log10_ratio(row[None], shares)[0]), 12) + 0.0

    supporting = mean({name: one.log10_lr if one.lower > 0 else one.lower for name, one in given.items()}, -math.inf)
    opposing = mean({name: one.log10_lr if one.upper < 0 else one.upper for name, one in given.items()}, 0.0)
    central = mean({name: one.central for name, one in given.items()}, 0.0)
    headline = supporting if supporting > 0 else min(opposing, 0.0)
    sign = 1 if (headline or central) >= 0 else -1
    kinds = sorted({kind for one in given.values() for kind in one.caps})
    digests = sorted({one.population for one in given.values()})
    return LikelihoodRatio(
        tier=_tier(ratios),
        method=MEAN_METHOD,
        alternative=next(iter(given.values())).alternative,
        log10_lr=headline,
        central=central,
        lower=mean({name: one.lower for name, one in given.items()}, -math.inf),
        upper=mean({name: one.upper for name, one in given.items()}, 0.0),
        caps={kind: abs(mean(_capped(given, kind, sign), 0.0)) for kind in kinds},
        families=(min(one.families[0] for one in given.values()), min(one.families[1] for one in given.values())),
        population=digests[0] if len(digests) == 1 else digest_document(POPULATIONS, {"digests": digests}),
        statistic={name: one.central for name, one in given.items()},
        detail=f"mean of {len(given)} of {len(names)} planned groups: "
        + ", ".join(f"{name} {weights[name]:.3g}" for name in names),
    )


def mean_log10_ratio(log10_lr: AnyArray, weights: AnyArray) -> Doubles:
    """log10 of weighted means of ratios, without interval and caps: not for a report.

    Parameters
    ----------
    log10_lr : shape (n, k); minus infinity where a ratio is 0
    weights : shape (k,), summing to 1
    """
    ratios = np.asarray(log10_lr, np.float64)
    top = ratios.max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log10(10 ** (ratios - top) @ np.asarray(weights, np.float64)))


def _capped(given: Mapping[str, LikelihoodRatio], kind: str, sign: int) -> dict[str, float]:
    """What a cap leaves of each group at most: its cap where it points the headline's way, and 1 elsewhere."""
    return {
        name: sign * one.caps.get(kind, min(one.caps.values())) if sign * one.log10_lr > 0 else 0.0
        for name, one in given.items()
    }


def _given(ratios: GroupRatios) -> dict[str, LikelihoodRatio]:
    return {group: ratio for group, ratio in ratios.items() if isinstance(ratio, LikelihoodRatio)}


def _tier(ratios: GroupRatios) -> Tier:
    """That of the group with the least exact null."""
    return max(ratio.tier for ratio in ratios.values())
