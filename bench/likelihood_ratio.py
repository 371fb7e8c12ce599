"""Coverage of calibrated ratios in artificial worlds: the tables of docs/methods/likelihood_ratio.md.

python -m bench.likelihood_ratio [WORLDS]
"""

import math
import sys
from typing import Final

import numpy as np

from tests.statistics.pair_worlds import H2_VARIANCE, additive_world, every_two, true_log10_lr, unrelated_scores
from whorl.statistics.calibration import fit_family_jackknife
from whorl.statistics.labelled_pairs import labelled_pairs
from whorl.statistics.ratio_checks import turing_checks
from whorl.statistics.ratio_cost import ratio_performance

QUERY: Final = np.array([2.0])
POPULATIONS: Final = ((12, 12), (15, 15), (30, 30), (60, 60), (60, 20), (60, 10))


def intervals(families: int, with_children: int, worlds: int) -> str:
    """One row of the table of intervals, and E[min(LR, 100) | H2] of what may and may not be reported."""
    truth = float(true_log10_lr(QUERY)[0])
    fresh = np.random.default_rng(10**6).normal(0, math.sqrt(H2_VARIANCE), 40_000)
    lower, central, upper, reported, plain = (np.zeros(worlds) for _ in range(5))
    for seed in range(worlds):
        scores, is_h1, touched = additive_world(seed, families=families)
        kept = ~is_h1 | (touched[:, 0] < with_children)
        fit = fit_family_jackknife(labelled_pairs(scores[kept], is_h1[kept], touched[kept]))
        found = fit.log10_ratios(QUERY)
        lower[seed], central[seed], upper[seed] = found.lower[0], found.central[0], found.upper[0]
        new = fit.log10_ratios(fresh)
        nearer = np.where(new.lower > 0, new.lower, np.minimum(new.upper, 0))
        reported[seed], plain[seed] = ((10 ** np.minimum(ratio, 2)).mean() for ratio in (nearer, new.central))
    return (
        f"{families:3d} families, {with_children} with children:"
        f" covers {np.mean((lower <= truth) & (truth <= upper)):.3f}"
        f" above {np.mean(lower > truth):.3f} width {np.median(upper - lower):.2f} mean {central.mean():.2f}"
        f" | E of nearer end {reported.mean():.2f}, of central {plain.mean():.2f}, above 1 in {np.mean(plain > 1):.2f}"
    )


def costs_and_checks(families: int, worlds: int) -> str:
    """Coverage of Cllr's interval and of the limits in Turing's check, both on true ratios."""
    many = np.random.default_rng(10**6).normal(0, math.sqrt(H2_VARIANCE), 3_000_000)
    expected = {level: (10 ** np.minimum(true_log10_lr(many), np.log10(level))).mean() for level in (10, 100, 1000)}
    pairs, ones = every_two(families), np.ones(families * (families - 1) // 2)
    rows = np.zeros((3, 4))
    performances = []
    for seed in range(worlds):
        world = labelled_pairs(*additive_world(seed, families=families, children=2))
        performances.append(ratio_performance(world, true_log10_lr(world.scores[:, 0])))
        checks = turing_checks(true_log10_lr(unrelated_scores(np.random.default_rng(seed), families)), pairs, ones)
        for row, check in zip(rows, checks, strict=True):
            mean = expected[int(check.level)]
            row += [check.refuted, check.supported, check.upper >= mean, check.upper + check.unseen >= mean]
    cost = np.mean([one.cllr for one in performances])
    covered = np.mean([one.cllr_lower <= cost <= one.cllr_upper for one in performances])
    listed = "; ".join(
        f"c {level}: refuted {row[0]:.3f} supported {row[1]:.2f} limit holds {row[2]:.2f}, with unseen {row[3]:.2f}"
        for level, row in zip(expected, rows / worlds, strict=True)
    )
    return f"{families:3d} families: Cllr interval covers {covered:.3f}; {listed}"


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    for population in POPULATIONS:
        print(intervals(*population, count), flush=True)
    for size in (20, 40, 80):
        print(costs_and_checks(size, count), flush=True)
