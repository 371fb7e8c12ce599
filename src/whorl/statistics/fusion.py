"""Several groups of evidence about one pair of models into one ratio, fitted on pairs that have them all together.

A group is what rests on one mechanism: weights, outputs, memorisation, documents. Its ratios may depend on those of
other groups, so they are never multiplied; how much of each is new is learned from families of known truth. How a case
is weighed with it: `whorl.statistics.weight_of_evidence`. Method page: ``docs/methods/fusion.md``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydantic import Field, model_validator

from whorl.core.arrays import AnyArray, Doubles
from whorl.core.digest import digest_document
from whorl.core.evidence import Alternative, NotComparable, StoredDocument, Tier
from whorl.statistics.calibration import (
    Calibration,
    FamilyJackknife,
    Log10Ratios,
    fit_family_jackknife,
    held_out_log10_lr,
)
from whorl.statistics.labelled_pairs import LabelledPairs, can_be_held_out, family_pair_weights, labelled_pairs
from whorl.statistics.ratio_caps import calibration_caps
from whorl.statistics.ratio_cost import log_ratio_cost
from whorl.statistics.ratio_population import Caps, Fit

SCHEMA: Final = "whorl.fusion/1"
METHOD: Final = "logistic_fusion/1"
LEAST_FAMILIES: Final = 20
"""Families under each proposition below which nothing is fused."""
LEAST_PATTERN: Final = 3
SHRINKAGE: Final = 0.5
"""Penalty on groups' slopes that differ: 25 times the ridge, in the same units."""

_LOG10: Final = math.log(10)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupedPairs:
    """Ratios of several groups for pairs of known truth; made by `grouped_pairs`. The arrays are read-only.

    Parameters
    ----------
    groups : their names
    log10_lr : shape (n, k), 0 where a pair lacks the group
    present : shape (n, k), bool
    pairs : what is fitted: natural logarithms of the ratios, then one indicator for each group that some pair lacks
        Weighted so that a pattern of groups is as frequent under either proposition: that a group is missing says
        nothing.
    """

    groups: tuple[str, ...]
    log10_lr: Doubles
    present: AnyArray
    pairs: LabelledPairs


class Fusion(StoredDocument):
    """A fitted fusion, as stored; its digest is the population digest of what is fused with it."""

    schema_: Literal["whorl.fusion/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    alternative: Alternative
    groups: tuple[str, ...] = Field(min_length=1)
    patterns: tuple[tuple[str, ...], ...] = Field(
        description="which groups were present together, each time under both propositions"
    )
    whole: Fit = Field(description="natural log ratio from natural log ratios, then indicators of what is missing")
    without: tuple[Fit, ...] = Field(description="the same fit without each family in turn")
    degrees_of_freedom: int
    families: tuple[int, int] = Field(description="families under the first proposition and under the alternative")
    pairs: tuple[int, int]
    ranges: tuple[tuple[float, float], ...] = Field(description="least and largest log10 ratio of each group")
    costs: tuple[float, ...] = Field(description="Cllr of each group alone, over the pairs that have it")
    cost: float = Field(description="Cllr of the fused ratios, held out by family")
    supporting: Caps
    opposing: Caps

    @model_validator(mode="after")
    def _fits(self) -> "Fusion":
        if not self.patterns or any(set(pattern) - set(self.groups) for pattern in self.patterns):
            raise ValueError("expected patterns of the named groups")
        count = len(self.groups)
        columns = {count + len(self.optional), *(len(fit.slopes) for fit in (self.whole, *self.without))}
        if len(columns) != 1 or {count} != {len(set(self.groups)), len(self.ranges), len(self.costs)}:
            raise ValueError(f"expected one slope, range and cost for each of {count} groups of different names")
        if not all(low <= high for low, high in self.ranges):
            raise ValueError("expected ranges of which the first number is the smaller")
        if any(slope < 0 for fit in (self.whole, *self.without) for slope in fit.slopes[:count]):
            raise ValueError("expected no negative slope: a group may not speak against what it shows")
        self.jackknife()  # refuses too few families
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical document."""
        return digest_document(SCHEMA, self.model_dump(mode="json"))

    @property
    def optional(self) -> tuple[str, ...]:
        """Groups that some pairs of the population lack."""
        return tuple(group for group in self.groups if not all(group in pattern for pattern in self.patterns))

    def jackknife(self) -> FamilyJackknife:
        """The value that computes."""
        return FamilyJackknife(
            whole=self.whole.calibration(),
            without=tuple(fit.calibration() for fit in self.without),
            degrees_of_freedom=self.degrees_of_freedom,
        )

    def best_first(self) -> tuple[str, ...]:
        """Groups by what each alone costs in the population, the cheapest first: decided before any case is seen."""
        return tuple(group for _, group in sorted(zip(self.costs, self.groups, strict=True)))

    def log10_ratios(self, log10_lr: AnyArray, present: AnyArray) -> Log10Ratios:
        """Fused ratios with intervals, without caps: not for a report.

        A ratio outside what the population showed of its group counts as the nearest that it did show.

        Parameters
        ----------
        log10_lr : shape (m, k), in the order of ``groups``; what stands where a group is missing is not read
        present : shape (m, k), bool; rows of patterns that the population has
        """
        ratios, there = np.asarray(log10_lr, np.float64), np.asarray(present)
        known = np.array([[group in pattern for group in self.groups] for pattern in self.patterns])
        if not (there[:, None] == known).all(axis=2).any(axis=1).all():
            raise ValueError(f"expected groups present as in the population, {self.patterns}")
        low, high = np.array(self.ranges).T
        held = np.where(there, np.clip(ratios, low, high), 0.0)
        optional = [group in self.optional for group in self.groups]
        return self.jackknife().log10_ratios(_columns(held, there, np.array(optional)))


def grouped_pairs(
    groups: Sequence[str], log10_lr: AnyArray, present: AnyArray, is_h1: AnyArray, families: AnyArray
) -> GroupedPairs:
    """Check ratios of several groups and bring them into one form.

    Parameters
    ----------
    groups : k different names
    log10_lr : shape (n, k), finite where present
        Of a group with one score: from the calibration of all pairs that the case will be given, whose two numbers are
        fitted anew here and are held out with the rest. Of several scores, whose slopes have seen the truth: held out
        (`whorl.statistics.calibration.held_out_log10_lr`), which makes the fusion look worse than it is.
    present : shape (n, k), bool; each pair has at least one group
    is_h1, families : as in `labelled_pairs`

    Raises
    ------
    ValueError
        As `labelled_pairs`; or if shapes do not fit, a pair has no group, or a pattern of groups is not seen in at
        least 3 families under each proposition: it would speak for one of them.
    """
    ratios, there = np.array(log10_lr, np.float64), np.array(present)
    truth, touched, count = np.asarray(is_h1), np.asarray(families), len(groups)
    if count == 0 or len(set(groups)) != count or ratios.shape != (len(truth), count) or there.shape != ratios.shape:
        raise ValueError(
            f"expected n ratios of {count} groups of different names, got {ratios.shape} and {there.shape}"
        )
    if there.dtype != np.bool_ or truth.dtype != np.bool_ or not there.any(axis=1).all():
        raise ValueError("expected bool arrays and at least one group for each pair: leave out pairs without any")
    ratios = np.where(there, ratios, 0.0)
    columns = _columns(ratios, there, np.asarray(~there.all(axis=0)))
    weights = labelled_pairs(columns, truth, touched).weights * _evened(groups, there, truth, touched)
    for array in (ratios, there):
        array.flags.writeable = False
    return GroupedPairs(
        groups=tuple(groups),
        log10_lr=ratios,
        present=there,
        pairs=labelled_pairs(columns, truth, touched, weights),
    )


def fit_fusion(grouped: GroupedPairs, *, name: str, alternative: Alternative, tier: Tier) -> Fusion | NotComparable:
    """Logistic fusion with the family as the unit: ln LR = a + sum of b_k ln LR_k, no b_k negative.

    What `whorl.statistics.calibration.fit_calibration` minimises, plus `SHRINKAGE` / (2 f) times the sum of squared
    distances of the b_k from their mean, each multiplied by the variance of ln LR_k, which also weights the mean.
    Ratios of groups are in one unit, so that where families do not say which group deserves more, all get the same
    share; groups that say little have little say in it. Held out and jackknifed by family; caps from
    `whorl.statistics.ratio_caps.calibration_caps`.

    Parameters
    ----------
    name : of the population
    alternative : the one that holds where the first proposition does not
    tier : of the refusal

    Returns
    -------
    `NotComparable` where there are fewer than `LEAST_FAMILIES` under either proposition, or none are left without two

    References
    ----------
    Brummer and du Preez, Computer Speech and Language 20(2-3), 2006. Morrison, Australian Journal of Forensic Sciences
    45(2), 2013.
    """
    pairs, count = grouped.pairs, len(grouped.groups)
    sides = (pairs.is_h1, ~pairs.is_h1)
    families = (np.unique(pairs.families[sides[0]]).size, np.unique(pairs.families[sides[1]]).size)
    if min(families) < LEAST_FAMILIES or not can_be_held_out(pairs):
        return NotComparable(
            tier=tier,
            method=METHOD,
            reason="too_little_data",
            detail=f"expected at least {LEAST_FAMILIES} families under each proposition that have the groups "
            f"{', '.join(grouped.groups)} together, found {families[0]} and {families[1]}; give their mean ratio",
        )
    nonnegative = tuple(place < count for place in range(pairs.scores.shape[1]))
    shrinkage = fusion_penalty(grouped)
    fitted = fit_family_jackknife(pairs, nonnegative=nonnegative, shrinkage=shrinkage)
    held_out = held_out_log10_lr(pairs, nonnegative=nonnegative, shrinkage=shrinkage)
    supporting, opposing = calibration_caps(pairs, held_out)
    return Fusion(
        name=name,
        alternative=alternative,
        groups=grouped.groups,
        patterns=_patterns(grouped.groups, grouped.present),
        whole=_stored(fitted.whole),
        without=tuple(_stored(fit) for fit in fitted.without),
        degrees_of_freedom=fitted.degrees_of_freedom,
        families=families,
        pairs=(int(sides[0].sum()), int(sides[1].sum())),
        ranges=tuple(
            (float(ratios[there].min()), float(ratios[there].max()))
            for ratios, there in zip(grouped.log10_lr.T, grouped.present.T, strict=True)
        ),
        costs=tuple(
            log_ratio_cost(ratios[there], pairs.is_h1[there], pairs.weights[there])
            for ratios, there in zip(grouped.log10_lr.T, grouped.present.T, strict=True)
        ),
        cost=log_ratio_cost(held_out, pairs.is_h1, pairs.weights),
        supporting=Caps(sampling=supporting.sampling, process=supporting.process),
        opposing=Caps(sampling=opposing.sampling, process=opposing.process),
    )


def fusion_penalty(grouped: GroupedPairs) -> Doubles:
    """The quadratic form of slopes that `fit_fusion` adds: 0 where all groups have the same slope.

    Returns
    -------
    shape (columns, columns), for ``shrinkage`` of `whorl.statistics.calibration.fit_calibration`
    """
    pairs, count = grouped.pairs, len(grouped.groups)
    sizes = np.where(pairs.is_h1, *(pairs.weights[side].sum() for side in (pairs.is_h1, ~pairs.is_h1)))
    share = pairs.weights / sizes / 2
    variance = (share @ pairs.scores**2 - (share @ pairs.scores) ** 2)[:count]
    found = np.zeros((pairs.scores.shape[1],) * 2)
    if variance.sum() > 0:
        found[:count, :count] = SHRINKAGE * (np.diag(variance) - np.outer(variance, variance) / variance.sum())
    return found


def _columns(log10_lr: Doubles, present: AnyArray, optional: AnyArray) -> Doubles:
    return np.column_stack([log10_lr * _LOG10, ~present[:, optional]])


def _evened(groups: Sequence[str], present: AnyArray, truth: AnyArray, families: AnyArray) -> Doubles:
    """Factors that make each pattern of groups as frequent under either proposition as it is on average."""
    base = family_pair_weights(truth, families)
    rows, place = np.unique(present, axis=0, return_inverse=True)
    shares = np.zeros((2, len(rows)))
    for number in range(len(rows)):
        for row, side in enumerate((truth, ~truth)):
            here = (place.ravel() == number) & side
            found = np.unique(families[here]).size
            if found < LEAST_PATTERN:
                names = [group for group, there in zip(groups, rows[number], strict=True) if there]
                raise ValueError(
                    f"expected pairs with the groups {names} and no others in at least {LEAST_PATTERN} families under "
                    f"each proposition, found {found} under {'the alternative' if row else 'the first'}: leave them out"
                )
            shares[row, number] = base[here].sum() / base[side].sum()
    factors = shares.mean(axis=0) / shares
    return np.asarray(np.where(truth, factors[0, place.ravel()], factors[1, place.ravel()]))


def _patterns(groups: tuple[str, ...], present: AnyArray) -> tuple[tuple[str, ...], ...]:
    rows = np.unique(present, axis=0)
    return tuple(tuple(group for group, there in zip(groups, row, strict=True) if there) for row in rows)


def _stored(fit: Calibration) -> Fit:
    return Fit(intercept=fit.intercept, slopes=fit.slopes)
