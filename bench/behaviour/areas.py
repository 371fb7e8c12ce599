"""How well each score tells related pairs from unrelated ones, beside the naive similarity, with models resampled."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.behaviour.held_out import NAIVE, ScoredPairs
from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.statistics.roc import auc, auc_interval, hit_rate_interval

RESAMPLES: Final = 999
PAIRED_RESAMPLES: Final = 299
MANY_ITEMS: Final = 100
SCORE_OF: Final = {
    "same_weights": "same_weights",
    "derived": "derived",
    "siblings": "line",
    "same_family": "line",
    "distilled": "taught",
}
"""The score that answers for a relation."""
TARGETS: Final = {"same_weights": 0.998, "derived": 0.99, "siblings": 0.92, "same_family": 0.85, "distilled": 0.70}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrast:
    """Pairs of one relation and unrelated pairs, of one or several data sets.

    Parameters
    ----------
    scores : shape (2, n): Whorl's and the naive one
    positive : shape (n,), bool
    units : shape (n, 2), codes of the pairs' models; served variants of one model are one
    """

    scores: Doubles
    positive: AnyArray
    units: Ints

    @property
    def has_both(self) -> bool:
        """Whether there is anything to tell apart."""
        return bool(self.positive.any() and not self.positive.all())

    def areas(self, weights: AnyArray | None = None) -> tuple[float, float]:
        """Area under the curve of both scores; NaN where the weights leave out a kind of pair."""
        heavy = np.ones(self.positive.size) if weights is None else weights
        if not (heavy[self.positive].any() and heavy[~self.positive].any()):
            return np.nan, np.nan
        return auc(self.scores[0], self.positive, heavy), auc(self.scores[1], self.positive, heavy)

    def weights(self, numbers: AnyArray) -> Doubles:
        """How often each pair counts when each model was drawn so many times."""
        left, right = self.units.T
        return np.asarray(numbers[left] * np.where(left == right, 1.0, numbers[right]))


def unit_codes(sets: Iterable[ScoredPairs]) -> dict[str, int]:
    """A number for each model of any set, variants of one model alike."""
    return {name: code for code, name in enumerate(sorted({unit(model) for one in sets for model in one.models}))}


def unit(model: str) -> str:
    """The model of a served variant."""
    return model.split("@")[0]


def units_of(pairs: ScoredPairs, codes: dict[str, int]) -> Ints:
    """Codes of the models of each pair, shape (n, 2)."""
    own = np.array([codes[unit(model)] for model in pairs.models], np.int64)
    return np.column_stack([own[pairs.left], own[pairs.right]])


def contrast(pairs: ScoredPairs, relation: str, score: str, codes: dict[str, int]) -> Contrast:
    """A relation's pairs of one set, and its unrelated ones."""
    used = pairs.chosen(relation, "unrelated")
    return Contrast(
        scores=np.stack([pairs.scores[score][used], pairs.scores[NAIVE][used]]),
        positive=pairs.chosen(relation)[used],
        units=units_of(pairs, codes)[used],
    )


def pooled(contrasts: Sequence[Contrast]) -> Contrast:
    """All pairs of several sets side by side."""
    return Contrast(
        scores=np.concatenate([one.scores for one in contrasts], axis=1),
        positive=np.concatenate([one.positive for one in contrasts]),
        units=np.concatenate([one.units for one in contrasts]),
    )


def area_table(sets: Sequence[ScoredPairs], *, rng: np.random.Generator) -> dict[str, Any]:
    """For each relation: every set, their mean, and all pairs together; each beside the naive similarity."""
    codes = unit_codes(sets)
    return {relation: _relation_rows(sets, relation, codes, rng) for relation in SCORE_OF}


def _relation_rows(
    sets: Sequence[ScoredPairs], relation: str, codes: dict[str, int], rng: np.random.Generator
) -> dict[str, Any]:
    score = SCORE_OF[relation]
    single = {one.dataset: contrast(one, relation, score, codes) for one in sets}
    single = {name: one for name, one in single.items() if one.has_both}
    long = [single[one.dataset] for one in sets if one.items >= MANY_ITEMS and one.dataset in single]
    groups = {**single, "pooled": pooled(list(single.values())), "pooled, 100 items or more": pooled(long)}
    drawn = np.array(list(_drawn(groups, len(codes), rng)))  # (resamples, groups, 2)
    rows = {name: _row(one, drawn[:, place], rng) for place, (name, one) in enumerate(groups.items())}
    means = np.nanmean(drawn[:, : len(single)], axis=1)
    rows["macro mean"] = _mean_row([rows[name] for name in single], means)
    return {"score": score, "rows": rows, "by_every_score": _by_every_score(sets, relation, codes)}


def _drawn(groups: dict[str, Contrast], units: int, rng: np.random.Generator) -> Iterator[list[tuple[float, float]]]:
    for _ in range(PAIRED_RESAMPLES):
        numbers = rng.multinomial(units, np.full(units, 1 / units)).astype(np.float64)
        yield [one.areas(one.weights(numbers)) for one in groups.values()]


def _row(one: Contrast, drawn: Doubles, rng: np.random.Generator) -> dict[str, Any]:
    figure = auc_interval(one.scores[0], one.positive, one.units, resamples=RESAMPLES, rng=rng)
    return {
        "auc": figure.value,
        "lower": figure.lower,
        "upper": figure.upper,
        "naive": one.areas()[1],
        **_difference(drawn),
        "related": figure.positives,
        "unrelated": figure.negatives,
        "models": int(np.unique(one.units[one.positive]).size),
    }


def _difference(drawn: Doubles) -> dict[str, float]:
    low, high = np.nanquantile(drawn[:, 0] - drawn[:, 1], (0.025, 0.975))
    return {"gain_lower": float(low), "gain_upper": float(high)}


def _by_every_score(sets: Sequence[ScoredPairs], relation: str, codes: dict[str, int]) -> dict[str, dict[str, float]]:
    """Mean over sets, and all pairs together, by each of the scores: which one answers best for the relation."""
    found = {}
    for score in (*dict.fromkeys(SCORE_OF.values()), NAIVE):
        single = [one for pairs in sets if (one := contrast(pairs, relation, score, codes)).has_both]
        found[score] = {
            "macro": float(np.mean([one.areas()[0] for one in single])),
            "pooled": pooled(single).areas()[0],
        }
    return found


def split_table(splits: Sequence[Sequence[ScoredPairs]], *, rng: np.random.Generator) -> dict[str, Any]:
    """For each relation: area within halves of the families, mean over the halves in which a set has such pairs.

    Parameters
    ----------
    splits : for each data set, one entry for each half
    """
    codes = unit_codes(one for runs in splits for one in runs)
    found: dict[str, Any] = {}
    for relation, score in SCORE_OF.items():
        runs = {
            runs[0].dataset: both
            for runs in splits
            if (both := [part for one in runs if (part := contrast(one, relation, score, codes)).has_both])
        }
        drawn = np.array(
            [
                [_mean_areas(parts, numbers) for parts in runs.values()]
                for numbers in rng.multinomial(len(codes), np.full(len(codes), 1 / len(codes)), size=PAIRED_RESAMPLES)
            ]
        )
        rows = {name: _split_row(parts, drawn[:, place]) for place, (name, parts) in enumerate(runs.items())}
        rows["macro mean"] = _mean_row(rows.values(), np.nanmean(drawn, axis=1))
        found[relation] = {"score": score, "rows": rows}
    return found


def _mean_areas(parts: Sequence[Contrast], numbers: AnyArray | None = None) -> AnyArray:
    """Areas of both scores, mean over runs by their related pairs; NaN where no run has both kinds of pairs."""
    areas = np.array([one.areas(None if numbers is None else one.weights(numbers)) for one in parts])
    heavy = np.array([np.count_nonzero(one.positive) for one in parts]) * ~np.isnan(areas[:, 0])
    return np.nansum(areas * heavy[:, None], axis=0) / heavy.sum() if heavy.any() else np.full(2, np.nan)


def _split_row(parts: Sequence[Contrast], drawn: Doubles) -> dict[str, Any]:
    value, naive = _mean_areas(parts)
    low, high = np.nanquantile(drawn[:, 0], (0.025, 0.975))
    return {
        "auc": float(value),
        "lower": float(low),
        "upper": float(high),
        "naive": float(naive),
        **_difference(drawn),
        "halves": len(parts),
        "related": sum(int(np.count_nonzero(one.positive)) for one in parts),
        "unrelated": sum(int(np.count_nonzero(~one.positive)) for one in parts),
    }


def _mean_row(rows: Iterable[dict[str, Any]], drawn: Doubles) -> dict[str, Any]:
    values = np.array([[row["auc"], row["naive"]] for row in rows])
    low, high = np.nanquantile(drawn[:, 0], (0.025, 0.975))
    return {
        "auc": float(values[:, 0].mean()),
        "lower": float(low),
        "upper": float(high),
        "naive": float(values[:, 1].mean()),
        **_difference(drawn),
        "sets": len(values),
    }


def hit_table(sets: Sequence[ScoredPairs], *, rng: np.random.Generator) -> dict[str, Any]:
    """Share of each relation found where 1 % of unrelated pairs are, all sets together and their mean."""
    codes = unit_codes(sets)
    found = {}
    for relation, score in SCORE_OF.items():
        single = [one for pairs in sets if (one := contrast(pairs, relation, score, codes)).has_both]
        both = pooled(single)
        rows = []
        for scores in both.scores:
            figure = hit_rate_interval(
                scores, both.positive, both.units, false_alarms=0.01, resamples=RESAMPLES, rng=rng
            )
            rows.append({"value": figure.value, "lower": figure.lower, "upper": figure.upper})
        found[relation] = {"score": score, "related": int(both.positive.sum()), "whorl": rows[0], "naive": rows[1]}
    return found
