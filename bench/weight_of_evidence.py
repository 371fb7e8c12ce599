"""Fusing, stopping early and screening in artificial worlds: the figures of docs/methods/fusion.md and sequential.md.

python -m bench.weight_of_evidence [WORLDS]
"""

import json
import math
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from bench.reporting import RESULTS, machine
from tests.statistics.group_worlds import (
    cost_of_linear,
    disjoint_world,
    group_log10_lr,
    group_world,
    joint_log10_lr,
)
from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.core.evidence import LikelihoodRatio
from whorl.statistics.calibration import Calibration, fit_calibration, fit_family_jackknife, held_out_log10_lr
from whorl.statistics.fusion import Fusion, fit_fusion, fusion_penalty, grouped_pairs
from whorl.statistics.labelled_pairs import labelled_pairs
from whorl.statistics.ratio_caps import RatioCaps, calibration_caps, headline_log10_lr, rate_upper_limit
from whorl.statistics.ratio_cost import log_ratio_cost
from whorl.statistics.screening import follow_up
from whorl.statistics.sequential import bernoulli_divergence, crossing_chances, log10_e_process
from whorl.statistics.weight_of_evidence import mean_log10_ratio, weigh

CORRELATIONS: Final = (0.0, 0.3, 0.6, 0.9)
FIVE: Final = np.full(5, 1.2)
UNEQUAL: Final = ((np.array([0.6, 1.2, 1.8]), 0.5), (np.array([1.8, 0.2, 0.2, 0.2, 0.2]), 0.3))
CASES: Final = (0.3, 0.8, 1.3)
ROWS: Final = ((0.30, 0.35), (0.30, 0.40), (0.30, 0.50), (0.05, 0.10), (0.05, 0.20))
LOOKS, BATCH = 5_000, 200
World = tuple[Doubles, AnyArray, Ints]


def known_costs() -> list[dict[str, float]]:
    """Cllr where no family has to be learned from, and what the product claims of unrelated pairs."""
    rows = []
    for correlation in CORRELATIONS:
        scores, truth, _ = disjoint_world(1, comparisons=400_000, strengths=FIVE, correlation=correlation)
        ratios = group_log10_lr(scores, FIVE)
        rows.append(
            {
                "correlation": correlation,
                "best_single": cost_of_linear(0.0, np.eye(5)[0], FIVE, correlation),
                "product": cost_of_linear(0.0, np.ones(5), FIVE, correlation),
                "mean": log_ratio_cost(mean_log10_ratio(ratios, np.full(5, 0.2)), truth),
                "true_joint": log_ratio_cost(joint_log10_lr(scores, FIVE, correlation), truth),
                "mean_of_product_unrelated": math.exp(10 * correlation * 1.44),
                "mean_of_mean_unrelated": float((10 ** mean_log10_ratio(ratios[~truth], np.full(5, 0.2))).mean()),
            }
        )
    return rows


def fused_in_worlds(worlds: Iterator[World], strengths: Doubles, correlation: float) -> dict[str, float]:
    """Costs over endless new families, and how often the jackknife interval holds the true joint ratio."""
    one = np.ones((1, strengths.size), bool).repeat(len(CASES), axis=0)
    case = group_log10_lr(np.outer(CASES, strengths), strengths)
    joint = joint_log10_lr(np.outer(CASES, strengths), strengths, correlation)
    names = tuple(f"group {place}" for place in range(strengths.size))
    best = min(cost_of_linear(0.0, row, strengths, correlation) for row in np.eye(strengths.size))
    fused, single, covered, above, widths = [], [], [], [], []
    for scores, truth, families in worlds:
        grouped = grouped_pairs(names, group_log10_lr(scores, strengths), np.ones(scores.shape, bool), truth, families)
        found = fit_family_jackknife(grouped.pairs, shrinkage=fusion_penalty(grouped))
        fused.append(cost_of_linear(found.whole.intercept, np.array(found.whole.slopes), strengths, correlation))
        single.append(_best_single(grouped.pairs.scores, truth, families, strengths, correlation))
        interval = found.log10_ratios(case * one * math.log(10))
        covered.append((interval.lower <= joint) & (joint <= interval.upper))
        above.append(interval.lower > joint)
        widths.append(interval.upper - interval.lower)
    excess, own = np.array(fused) - best, np.array(fused) - np.array(single)
    count = len(fused)
    return {
        "correlation": correlation,
        "worlds": count,
        "fused": float(np.mean(fused)),
        "best_single_true": best,
        "best_single_calibrated": float(np.mean(single)),
        "mean_excess_over_true": float(excess.mean()),
        "mean_excess_upper_95": float(excess.mean() + 1.645 * excess.std() / math.sqrt(count)),
        "worlds_beyond_true": int((excess > 0.02).sum()),
        "worlds_beyond_calibrated": int((own > 0.02).sum()),
        "covered": float(np.mean(covered)),
        "covered_by_case": np.mean(covered, axis=0).round(4).tolist(),
        "interval_above": float(np.mean(above)),
        "width": float(np.median(widths)),
    }


def _best_single(natural: Doubles, truth: AnyArray, families: Ints, strengths: Doubles, correlation: float) -> float:
    """Cost over new families of the group whose calibration costs least on these."""
    found = []
    for place, unit in enumerate(np.eye(strengths.size)):
        pairs = labelled_pairs(natural[:, place], truth, families)
        fit = fit_calibration(pairs)
        here = log_ratio_cost(fit.log10_lr(pairs.scores), pairs.is_h1, pairs.weights)
        found.append((here, cost_of_linear(fit.intercept, unit * fit.slopes[0], strengths, correlation)))
    return min(found)[1]


def from_scores_to_weight(families: int, correlation: float, worlds: int) -> dict[str, float]:
    """Everything from raw scores on: groups held out and calibrated, fused, capped; then new unrelated pairs."""
    strengths, names = np.array([1.2, 1.2, 1.2]), ("weights", "outputs", "documents")
    fused, emerged, costs, twice, exact = [], [], [], [], []
    for seed in range(worlds):
        scores, truth, touched = group_world(seed, families=families, strengths=strengths, correlation=correlation)
        columns = [labelled_pairs(column, truth, touched) for column in scores.T]
        held_out = [held_out_log10_lr(pairs) for pairs in columns]
        groups = [
            (fit_family_jackknife(pairs), calibration_caps(pairs, ratios))
            for pairs, ratios in zip(columns, held_out, strict=True)
        ]
        plain = [jackknife.whole.log10_lr(column) for (jackknife, _), column in zip(groups, scores.T, strict=True)]
        fusion, other = (_fusion(names, np.column_stack(ratios), truth, touched) for ratios in (plain, held_out))
        costs.append(fusion.cost)
        twice.append(other.cost)
        exact.append(_exact_cost(fusion.whole.calibration(), [jackknife.whole for jackknife, _ in groups], correlation))
        fresh, new, _ = group_world(10**6 + seed, families=12, strengths=strengths, correlation=correlation)
        intervals = [jackknife.log10_ratios(fresh[~new, place]) for place, (jackknife, _) in enumerate(groups)]
        for row in range(np.count_nonzero(~new)):
            ratios = {
                name: _ratio(float(found.central[row]), float(found.lower[row]), float(found.upper[row]), *caps)
                for name, found, (_, caps) in zip(names, intervals, groups, strict=True)
            }
            together = weigh(ratios, weights=dict.fromkeys(names, 1 / 3), fusion=fusion)
            assert isinstance(together.fused, LikelihoodRatio)
            fused.append(10**together.fused.log10_lr)
            emerged.append(10**together.emerged.log10_lr)
    return {
        "families": families,
        "correlation": correlation,
        "worlds": worlds,
        "cost_held_out": float(np.mean(costs)),
        "cost_of_held_out_groups": float(np.mean(twice)),
        "cost_new_families": float(np.mean(exact)),
        "mean_fused_unrelated": float(np.mean(fused)),
        "mean_emerged_unrelated": float(np.mean(emerged)),
        "unrelated_pairs": len(fused),
    }


def _fusion(names: tuple[str, ...], ratios: Doubles, truth: AnyArray, families: Ints) -> Fusion:
    grouped = grouped_pairs(names, ratios, np.ones(ratios.shape, bool), truth, families)
    found = fit_fusion(grouped, name="made up", alternative="independent", tier="T3")
    assert isinstance(found, Fusion)
    return found


def _exact_cost(fused: Calibration, groups: list[Calibration], correlation: float) -> float:
    """Of a fusion of calibrations of scores of strength 1.2, in terms of the groups' true ratios."""
    strengths = np.full(len(groups), 1.2)
    slopes = np.array(fused.slopes)
    # A score is (ln LR + 0.72) / 1.2.
    per_ratio = slopes * [group.slopes[0] / 1.2 for group in groups]
    intercept = fused.intercept + slopes @ [group.intercept + group.slopes[0] * 0.6 for group in groups]
    return cost_of_linear(float(intercept), per_ratio, strengths, correlation)


def _ratio(central: float, lower: float, upper: float, supporting: RatioCaps, opposing: RatioCaps) -> LikelihoodRatio:
    caps = supporting if central >= 0 else opposing
    return LikelihoodRatio(
        tier="T3",
        method="made_up/1",
        alternative="independent",
        log10_lr=headline_log10_lr(lower, upper, supporting=supporting, opposing=opposing),
        central=central,
        lower=lower,
        upper=upper,
        caps={"sampling": caps.sampling, "process": caps.process},
        families=(1, 1),
        population="sha256:00",
        statistic={},
        detail="made up",
    )


def questions() -> list[dict[str, float]]:
    """Exact numbers of questions, and exact false alarms over 5,000 looks."""
    rows = []
    for low, high in ROWS:
        price = math.log(100) / bernoulli_divergence(high, low)
        reached = {
            target: np.cumsum(crossing_chances(high, at_most=low, target=target, budget=LOOKS))
            for target in (20, 100, 1000)
        }
        medians = {target: int(np.searchsorted(chances, 0.5)) + 1 for target, chances in reached.items()}
        alarms = {a: float(crossing_chances(low, at_most=low, target=1 / a, budget=LOOKS).sum()) for a in (0.05, 0.01)}
        rows.append(
            {
                "unrelated": low,
                "related": high,
                **{f"median_{target}": median for target, median in medians.items()},
                "ninetieth_1000": int(np.searchsorted(reached[1000], 0.9)) + 1,
                "price_100": price,
                "median_over_price_100": medians[100] / price,
                "false_alarms_0.05": alarms[0.05],
                "false_alarms_0.01": alarms[0.01],
            }
        )
    return rows


def false_alarms() -> list[dict[str, Any]]:
    """Simulated over 5,000 looks at alpha = 0.01: independent, dependent on the past, in between, and from a pool."""
    rng, at_most = np.random.default_rng(5), 0.3
    made: dict[str, tuple[int, int | None, Callable[[], Doubles]]] = {
        "alike or not, always 0.3": (6_000, None, lambda: (rng.random((BATCH, LOOKS)) < at_most).astype(float)),
        "mean falls to 0.2 after luck": (1_000, None, lambda: _after_luck(rng)),
        "beta(3, 7)": (4_000, None, lambda: rng.beta(3, 7, (BATCH, LOOKS))),
        "pool of 20,000, 6,000 alike": (6_000, 20_000, lambda: _from_pool(rng)),
    }
    rows = []
    for name, (streams, pool, draw) in made.items():
        count = sum(
            int((log10_e_process(draw(), at_most=at_most, pool=pool) >= 2).any(axis=1).sum())
            for _ in range(streams // BATCH)
        )
        upper = rate_upper_limit(count / streams, streams)
        rows.append({"answers": name, "alarms": count, "streams": streams, "upper_95": upper})
    return rows


def _after_luck(rng: np.random.Generator) -> Doubles:
    answers, ahead, ups = np.zeros((BATCH, LOOKS)), np.zeros(BATCH), rng.random((LOOKS, BATCH))
    for place in range(LOOKS):
        answers[:, place] = ups[place] < np.where(ahead > 0.02 * place, 0.2, 0.3)
        ahead += answers[:, place] - 0.3
    return answers


def _from_pool(rng: np.random.Generator) -> Doubles:
    pool = np.repeat([1.0, 0.0], [6_000, 14_000])
    return np.stack([rng.permutation(pool)[:LOOKS] for _ in range(BATCH)])


def false_leads() -> list[dict[str, float]]:
    """e-BH among 1,000 at alpha = 0.05, ten of them related."""
    rng, rows = np.random.default_rng(6), []
    for correlation in (0.0, 0.5, 0.9):
        shares, hits = [], 0
        for _ in range(4_000):
            scores = math.sqrt(correlation) * rng.normal() + math.sqrt(1 - correlation) * rng.normal(size=1000)
            scores[:10] += 5
            leads = follow_up((5 * scores - 12.5) / math.log(10)).places
            shares.append(np.count_nonzero(leads >= 10) / max(1, leads.size))
            hits += int(np.count_nonzero(leads < 10))
        error = float(np.std(shares) / math.sqrt(len(shares)))
        rows.append(
            {
                "correlation": correlation,
                "false_share": float(np.mean(shares)),
                "upper_95": float(np.mean(shares)) + 1.645 * error,
                "found": hits / 40_000,
            }
        )
    return rows


def main(worlds: int) -> None:
    facts = machine()
    figures: dict[str, Any] = {"costs": known_costs()}
    for families in (30, 60):
        figures[f"families_{families}"] = [
            fused_in_worlds(
                (group_world(seed, families=families, strengths=FIVE, correlation=r) for seed in range(worlds)), FIVE, r
            )
            for r in CORRELATIONS
        ]
    figures["comparisons_60"] = [
        fused_in_worlds(
            (disjoint_world(seed, comparisons=60, strengths=FIVE, correlation=r) for seed in range(worlds)), FIVE, r
        )
        for r in CORRELATIONS
    ]
    figures["unequal_groups_30"] = [
        {"strengths": strengths.tolist()}
        | fused_in_worlds(
            (group_world(seed, families=30, strengths=strengths, correlation=r) for seed in range(worlds)), strengths, r
        )
        for strengths, r in UNEQUAL
    ]
    figures["from_scores"] = [from_scores_to_weight(24, r, max(2, worlds // 20)) for r in CORRELATIONS]
    figures |= {"questions": questions(), "false_alarms": false_alarms(), "false_leads": false_leads()}
    document = {
        "command": f"python -m bench.weight_of_evidence {worlds}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": facts,
        "figures": figures,
    }
    text = json.dumps(document, indent=1, allow_nan=False)
    (RESULTS / "weight_of_evidence.json").write_text(text + "\n")
    for name, rows in figures.items():
        print(name)
        for row in rows:
            print(
                "  "
                + ", ".join(
                    f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
                )
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
