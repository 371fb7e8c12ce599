"""Scores of every pair of models from their answers, and what unrelated pairs of a control population make of them.

All measures are put in units of the spread of unrelated reference pairs on the same items, so that scores of different
data sets can be read side by side. Method page: ``docs/methods/answer_agreement.md``.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from whorl.comparison.agreement import Agreement, groups_of
from whorl.comparison.documented_lineage import SHARING_WEIGHTS, Lineage
from whorl.core.arrays import AnyArray, Doubles
from whorl.fingerprints.answer_kernels import KERNELS, MARKS
from whorl.statistics.labelled_pairs import MIN_FAMILIES, labelled_pairs
from whorl.statistics.model_calibration import LEAST_CONTROLS, TooFewControls, too_few_controls
from whorl.statistics.score_ratios import ScoreCalibration, calibrate_scores, capped_ratio

Question: TypeAlias = Literal["same_weights", "derived", "line", "taught"]
QUESTIONS: Final[tuple[Question, ...]] = get_args(Question)
Truth: TypeAlias = Literal["shares_weights", "learned", "unrelated"]
Alternative: TypeAlias = Literal["learned", "unrelated"]

_AGREEING: Final = tuple(f"{kernel}.{kind}" for kernel in KERNELS for kind in ("centred", "surprise"))
_WORDING: Final = tuple(name for name in _AGREEING if not name.startswith("characters"))
_PROFILE_WEIGHT: Final = 0.5
_LOWEST, _HIGHEST = -8.0, 30.0  # a standardised measure beyond counts as its end: one odd measure is no verdict
_MARK_ENDS: Final = (-3.0, 8.0)
_PRIOR_MODELS: Final = 10
_LEAST_ITEMS_SHARE: Final = 0.7
"""Common items that a ratio needs, of the median of unrelated control pairs."""
SPOKEN_ALTERNATIVES: Final[Mapping[Alternative, str]] = {
    "learned": "of teachers and students",
    "unrelated": "of unrelated models",
}
LEAST_NULL: Final = 20
"""Unrelated reference pairs that a p-value needs."""
LEAST_MODELS_OF_A_SET: Final = 20
"""Models that a data set needs for its pairs to take part in a calibration."""
MOST_PER_FAMILIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairScores:
    """Scores of all pairs of one data set.

    Parameters
    ----------
    agreement : what they are made of
    scores : question -> shape (n, n), symmetric, NaN where a pair has too few common items
    unrelated : shape (n, n), bool: pairs of reference models of known, different descent, which are the yardstick
    families : family of each model, None where unknown
    """

    agreement: Agreement
    scores: dict[Question, Doubles]
    unrelated: NDArray[np.bool_]
    families: tuple[str | None, ...]


def score_pairs(
    found: Agreement, lineage: Lineage, *, known_as: Mapping[str, str] = MappingProxyType({})
) -> PairScores:
    """The four scores of every pair.

    ``same_weights``: all kernels, centred and as surprise. ``derived``: the same without characters. ``line``: that of
    same weights, and half as much how alike the two models' agreement with all other models is. ``taught``: first
    and last sentences in common, and phrases nearer than other models have them, whoever the models are.

    Parameters
    ----------
    known_as : name in the lineage of models that go by another name here
    """
    families = tuple(lineage.family(known_as.get(model, model)) for model in found.models)
    unrelated = _unrelated(found, lineage)
    yardstick = unrelated if np.count_nonzero(unrelated) >= 2 * LEAST_NULL else _all_pairs(found)
    units = {name: _standardised(values, yardstick) for name, values in found.means.items()}
    kernels = np.mean([np.clip(units[name], _LOWEST, _HIGHEST) for name in _AGREEING], axis=0)
    centred = np.mean([units[f"{kernel}.centred"] for kernel in KERNELS], axis=0)
    profile = _standardised(_profiles(centred, groups_of(found.models, lineage, known_as=known_as)), yardstick)
    marks = [np.clip(units[name], *_MARK_ENDS) for name in (*MARKS, "fourgrams.surprise")]
    return PairScores(
        agreement=found,
        scores={
            "same_weights": kernels,
            "derived": np.mean([np.clip(units[name], _LOWEST, _HIGHEST) for name in _WORDING], axis=0),
            "line": kernels + _PROFILE_WEIGHT * np.nan_to_num(profile),
            "taught": np.mean(marks, axis=0),
        },
        unrelated=unrelated,
        families=families,
    )


def _all_pairs(found: Agreement) -> NDArray[np.bool_]:
    return np.asarray(found.reference[:, None] & found.reference[None] & ~np.eye(len(found.models), dtype=bool))


def _unrelated(found: Agreement, lineage: Lineage) -> NDArray[np.bool_]:
    size = len(found.models)
    unrelated = np.zeros((size, size), dtype=bool)
    for one in range(size):
        for other in range(one):
            if found.reference[one] and found.reference[other] and found.items[one, other]:
                known = lineage.relation(found.models[one], found.models[other]) == "unrelated"
                unrelated[one, other] = unrelated[other, one] = known
    return unrelated


def _standardised(values: Doubles, yardstick: NDArray[np.bool_]) -> Doubles:
    known = values[yardstick & ~np.isnan(values)]
    if known.size == 0:
        return np.full_like(values, np.nan)
    middle = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - middle))
    # Where more than half of the pairs are alike, as with rare marks, the plain deviation is the measure of spread.
    spread = spread if spread > 1e-9 else known.std()
    return np.asarray((values - middle) / spread) if spread > 1e-9 else np.where(np.isnan(values), np.nan, 0.0)


def _profiles(measure: Doubles, groups: NDArray[np.int64]) -> Doubles:
    """Correlation of two models' rows over the models of other groups, NaN where fewer than 4 are common."""
    size = len(measure)
    found = np.full((size, size), np.nan)
    rows = np.clip(measure, _LOWEST, _HIGHEST)
    known = ~np.isnan(rows) & (groups[:, None] != groups[None])
    for one in range(size):
        for other in range(one):
            both = known[one] & known[other]
            if np.count_nonzero(both) >= 4:
                left, right = rows[one, both], rows[other, both]
                left, right = left - left.mean(), right - right.mean()
                length = float(np.sqrt((left @ left) * (right @ right)))
                found[one, other] = found[other, one] = left @ right / length if length > 1e-12 else 0.0
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What the population makes of one pair.

    Parameters
    ----------
    p : share of unrelated pairs of reference models with at least this score, the pair's own families left out
        None where there are too few of them.
    controls : reference models that stand in no documented relation to either
    ratio : capped log10 ratio of "trained weights are shared" against the alternative; or why there is none
    """

    p: float | None
    controls: int
    ratio: "Ratio | TooFewControls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A capped ratio with its interval, and how many families stand behind either side."""

    log10_lr: float
    central: float
    lower: float
    upper: float
    caps: tuple[float, float]
    families: tuple[int, int]


class Weighing:
    """p-values and ratios for the pairs of one data set. Nulls for the same families left out are sorted once."""

    def __init__(self, pairs: PairScores, labelled: "LabelledScores") -> None:
        self._pairs = pairs
        self._labelled = labelled
        self._spread = _spreads(pairs)
        self._nulls: dict[frozenset[str], Doubles] = {}
        self._fits: dict[tuple[frozenset[str], Alternative], ScoreCalibration | TooFewControls] = {}
        self._left, self._right = np.nonzero(np.tril(pairs.unrelated, -1))
        usual = pairs.agreement.items[self._left, self._right]
        self._items = math.ceil(_LEAST_ITEMS_SHARE * float(np.median(usual))) if usual.size else 0

    def weigh(self, one: int, other: int, *, against: Alternative = "unrelated") -> Weighed:
        """What the population makes of the pair at two places; families of either are left out of everything."""
        score = self._pairs.scores["same_weights"][one, other]
        items = self._pairs.agreement.items[one, other]
        left_out = frozenset(name for place in (one, other) if (name := self._pairs.families[place]) is not None)
        null, controls = self._null(left_out), self._controls(left_out)
        above = null.size - int(np.searchsorted(null, self._firmness(one, other), "left"))
        few = too_few_controls(controls) if controls < LEAST_CONTROLS else self._too_few_items(int(items))
        return Weighed(
            p=(1 + above) / (null.size + 1) if null.size >= LEAST_NULL else None,
            controls=controls,
            ratio=few or self._ratio(left_out, against, float(score)),
        )

    def _firmness(self, one: AnyArray | int, other: AnyArray | int) -> Doubles:
        """What p-values compare: the score over the two models' spread, weighed by the root of their common items.

        Over fewer items a score scatters more. Where the scatter is between models and not between items, the root
        makes pairs with few items count for too little, which errs on the side of saying nothing.
        """
        scores = self._pairs.scores["same_weights"][one, other]
        items = self._pairs.agreement.items[one, other]
        return np.asarray(scores * np.sqrt(items) / (self._spread[one] * self._spread[other]))

    def _too_few_items(self, items: int) -> TooFewControls | None:
        """Ratios were calibrated on pairs with many common items; they say nothing of pairs with few."""
        if items >= self._items:
            return None
        return TooFewControls(
            found=items,
            needed=self._items,
            unit="items",
            detail=f"expected at least {self._items} questions that both answered, as control pairs have, found "
            f"{items}; ask more",
        )

    def _kept(self, left_out: frozenset[str]) -> NDArray[np.bool_]:
        out = np.array([family in left_out for family in self._pairs.families])
        return np.asarray(~(out[self._left] | out[self._right]))

    def _null(self, left_out: frozenset[str]) -> Doubles:
        if left_out not in self._nulls:
            kept = self._kept(left_out)
            left, right = self._left[kept], self._right[kept]
            scores = self._firmness(left, right)
            self._nulls[left_out] = np.sort(scores[~np.isnan(scores)])
        return self._nulls[left_out]

    def _controls(self, left_out: frozenset[str]) -> int:
        kept = self._kept(left_out)
        return len({*self._left[kept].tolist(), *self._right[kept].tolist()})

    def _ratio(self, left_out: frozenset[str], against: Alternative, score: float) -> Ratio | TooFewControls:
        if (left_out, against) not in self._fits:
            self._fits[left_out, against] = self._labelled.calibration(left_out, against)
        fit = self._fits[left_out, against]
        if isinstance(fit, TooFewControls):
            return fit
        found = capped_ratio(fit, np.array([score]))
        caps = fit.supporting if found.central >= 0 else fit.opposing
        return Ratio(
            log10_lr=found.log10_lr + 0.0,
            central=found.central,
            lower=found.lower,
            upper=found.upper,
            caps=(caps.sampling, caps.process),
            families=fit.families,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScore:
    """One reference pair of known truth: its score for the same weights, in units of its own data set's spread."""

    score: float
    truth: Truth
    families: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScores:
    """Reference pairs of known truth from all data sets of a population.

    Parameters
    ----------
    pairs : at most `MOST_PER_FAMILIES` for two families under each proposition
    controls : models behind the unrelated ones
    """

    pairs: tuple[LabelledScore, ...]
    controls: int

    def calibration(self, left_out: frozenset[str], against: Alternative) -> ScoreCalibration | TooFewControls:
        """From a score to a capped ratio of shared weights, without any pair that touches one of the families."""
        kept = [
            pair
            for pair in self.pairs
            if pair.truth in ("shares_weights", against) and not left_out.intersection(pair.families)
        ]
        names = sorted({name for pair in kept for name in pair.families})
        places = {name: place for place, name in enumerate(names)}
        truth = np.array([pair.truth == "shares_weights" for pair in kept], dtype=bool)
        behind = [
            {name for pair in kept if (pair.truth == against) == other for name in pair.families} for other in (0, 1)
        ]
        if min(map(len, behind)) < MIN_FAMILIES:
            kinds = "that share weights" if len(behind[0]) < MIN_FAMILIES else SPOKEN_ALTERNATIVES[against]
            return TooFewControls(
                found=min(map(len, behind)),
                needed=MIN_FAMILIES,
                unit="families",
                detail=f"expected pairs {kinds} from at least {MIN_FAMILIES} families in the population, found "
                f"{min(map(len, behind))}; add models whose descent is documented",
            )
        codes = np.array([[places[name] for name in pair.families] for pair in kept], dtype=np.int64)
        pairs = labelled_pairs(np.array([pair.score for pair in kept]), truth, codes)
        return calibrate_scores(pairs, controls=self.controls)


def labelled_scores(found: Iterable[PairScores], lineage: Lineage) -> LabelledScores:
    """Reference pairs that share weights or are unrelated, from data sets with enough models to tell what is usual."""
    groups: dict[tuple[str, str, Truth], list[float]] = {}
    controls: set[str] = set()
    for pairs in found:
        models, scores = pairs.agreement.models, pairs.scores["same_weights"]
        if np.count_nonzero(pairs.agreement.reference) < LEAST_MODELS_OF_A_SET:
            continue
        for one, other in zip(*np.nonzero(np.tril(~np.isnan(scores), -1)), strict=True):
            left, right = pairs.families[one], pairs.families[other]
            truth = _truth(lineage, models[one], models[other])
            if left is None or right is None or truth is None:
                continue
            groups.setdefault((min(left, right), max(left, right), truth), []).append(float(scores[one, other]))
            controls |= {models[one], models[other]} if truth == "unrelated" else set()
    rows = [
        LabelledScore(score=score, truth=truth, families=(left, right))
        for (left, right, truth), values in sorted(groups.items())
        for score in _thinned(values)
    ]
    return LabelledScores(pairs=tuple(rows), controls=len(controls))


def _truth(lineage: Lineage, one: str, other: str) -> Truth | None:
    relation = lineage.relation(one, other)
    if relation in SHARING_WEIGHTS:
        return "shares_weights"
    return "learned" if relation == "distilled" else ("unrelated" if relation == "unrelated" else None)


def _thinned(values: list[float]) -> list[float]:
    """Evenly spaced order statistics: two families count once, however many of their pairs stand for it."""
    ranked = sorted(values)
    if len(ranked) <= MOST_PER_FAMILIES:
        return ranked
    return [ranked[round(place)] for place in np.linspace(0, len(ranked) - 1, MOST_PER_FAMILIES)]


def _spreads(pairs: PairScores) -> Doubles:
    """Spread of each model's scores with unrelated reference models, drawn towards 1 where there are few, at least 1.

    Some models' scores scatter more than others'. Where they scatter less, as those of a model that answers nothing,
    a small score is no larger for it. Square roots, so that the product of two is a pair's spread.
    """
    scores = pairs.scores["same_weights"]
    size = len(scores)
    spread = np.ones(size)
    for place in range(size):
        others = pairs.unrelated[place] if pairs.unrelated[place].any() else pairs.agreement.reference.copy()
        others[place] = False
        known = scores[place, others & ~np.isnan(scores[place])]
        if known.size:
            deviation = 1.4826 * float(np.median(np.abs(known - np.median(known))))
            spread[place] = max(1.0, (known.size * deviation + _PRIOR_MODELS) / (known.size + _PRIOR_MODELS))
    return np.sqrt(spread)
