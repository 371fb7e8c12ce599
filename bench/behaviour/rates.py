"""False alarms of calibrated p-values and ratios on unrelated pairs of families that the population never held."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from bench.behaviour.areas import RESAMPLES, unit_codes, units_of
from bench.behaviour.held_out import ScoredPairs
from whorl.core.arrays import AnyArray, Ints
from whorl.statistics.ratio_caps import effective_comparisons, rate_upper_limit
from whorl.statistics.ratio_cost import log_ratio_cost

LEVELS: Final = (0.05, 0.01)
RELATED: Final = ("same_weights", "derived", "siblings", "same_family", "distilled")


def rate_table(sets: Sequence[ScoredPairs], *, rng: np.random.Generator) -> dict[str, Any]:
    """Shares of unrelated pairs at or below each level, by set and all together; shares of related ones beside.

    Parameters
    ----------
    sets : several of one data set count together
    """
    codes = unit_codes(sets)
    found: dict[str, Any] = {"sets": {}, "related": {}}
    p_values: dict[str, list[AnyArray]] = {}
    units: dict[str, list[Ints]] = {}
    for one in sets:
        strangers = one.chosen("unrelated")
        used = strangers & ~np.isnan(one.p)
        row = found["sets"].setdefault(one.dataset, {"pairs": 0, "without_p": 0})
        row["pairs"] += int(used.sum())
        row["without_p"] += int(np.count_nonzero(strangers & ~used))
        p_values.setdefault(one.dataset, []).append(one.p[used])
        units.setdefault(one.dataset, []).append(units_of(one, codes)[used])
    for name, parts in p_values.items():
        if found["sets"][name]["pairs"]:
            found["sets"][name] |= _rates(np.concatenate(parts), np.concatenate(units[name]), rng)
    everything = [np.concatenate([part for parts in side.values() for part in parts]) for side in (p_values, units)]
    found["pooled"] = {"pairs": len(everything[0]), **_rates(everything[0], everything[1], rng)}
    for relation in RELATED:
        values = np.concatenate([one.p[one.chosen(relation) & ~np.isnan(one.p)] for one in sets])
        found["related"][relation] = {
            "pairs": values.size,
            **{f"{level:g}": float((values <= level).mean()) for level in LEVELS if values.size},
        }
    return found


def _rates(p: AnyArray, units: Ints, rng: np.random.Generator) -> dict[str, Any]:
    return {f"{level:g}": share(p <= level, units, rng) for level in LEVELS}


def share(hits: AnyArray, units: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """Share of pairs with a property, with an interval over resampled models.

    Where no pair has it, resampling shows nothing: the upper end is then what so many independent comparisons exclude.
    """
    codes, places = np.unique(units, return_inverse=True)
    left, right = places.reshape(-1, 2).T
    drawn = []
    for _ in range(RESAMPLES):
        numbers = rng.multinomial(codes.size, np.full(codes.size, 1 / codes.size)).astype(np.float64)
        weights = numbers[left] * np.where(left == right, 1.0, numbers[right])
        if weights.any():
            drawn.append(float(weights @ hits / weights.sum()))
    low, high = np.quantile(drawn, (0.025, 0.975))
    count = int(np.count_nonzero(hits))
    if count == 0:
        high = rate_upper_limit(0.0, effective_comparisons(units, rho=None))
    return {"count": count, "rate": count / len(hits), "lower": float(low), "upper": float(high)}


def ratio_table(sets: Sequence[ScoredPairs], *, rng: np.random.Generator) -> dict[str, Any]:
    """Ratios of shared weights against unrelated, where 50 controls were left: of which pairs they speak, and how."""
    codes = unit_codes(sets)
    found: dict[str, Any] = {}
    for name, chosen in (
        *((one.dataset, [one]) for one in sets if not np.isnan(one.log10_lr).all()),
        ("pooled", list(sets)),
    ):
        rows: dict[str, Any] = {}
        for relation in (*RELATED, "unrelated"):
            values = np.concatenate([one.log10_lr[one.chosen(relation)] for one in chosen])
            central = np.concatenate([one.central[one.chosen(relation)] for one in chosen])
            units = np.concatenate([units_of(one, codes)[one.chosen(relation)] for one in chosen])
            known = ~np.isnan(values)
            if known.any():
                rows[relation] = _ratios(values[known], central[known], units[known], rng)
                rows[relation]["without_ratio"] = int(np.count_nonzero(~known))
        if "unrelated" in rows:
            found[name] = {"relations": rows, **_costs(chosen)}
    return found


def _ratios(values: AnyArray, central: AnyArray, units: Ints, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "pairs": values.size,
        "mean": float((10.0**values).mean()),
        "mean_central": float((10.0**central).mean()),
        "median_log10": float(np.median(values)),
        "above_1": share(values > 0, units, rng),
        "above_10": share(values >= 1, units, rng),
        "largest_log10": float(values.max()),
    }


def _costs(sets: Sequence[ScoredPairs]) -> dict[str, float]:
    """Cllr of the ratios as reported and before shrinking and caps, related pairs being those that share weights."""
    parts = [(one.chosen("same_weights", "derived"), one.chosen("unrelated"), one) for one in sets]
    costs = {}
    for name in ("log10_lr", "central"):
        ratios = [getattr(one, name)[related | other] for related, other, one in parts]
        truth = [related[related | other] for related, other, one in parts]
        values, same = np.concatenate(ratios), np.concatenate(truth)
        known = ~np.isnan(values)
        if same[known].any() and not same[known].all():
            costs["cllr" if name == "log10_lr" else "cllr_central"] = log_ratio_cost(values[known], same[known])
    return costs
