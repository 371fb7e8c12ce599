"""Levels, power and coverage of the behavioural statistics in artificial worlds: the figures of their method pages.

python -m bench.behaviour_statistics [WORLDS]
"""

import math
import sys
import time
from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.special import ndtr

from tests.statistics.answer_worlds import failures, latent_world, option_world
from tests.statistics.pair_worlds import additive_world
from whorl.core.arrays import Doubles
from whorl.statistics.answer_model import answer_chances, fit_answer_model, right_or_wrong
from whorl.statistics.cell_choices import CellTest, cell_test
from whorl.statistics.copying_indices import MatchTest, both_wrong_test, gbt_test, omega_test, rare_match_test
from whorl.statistics.model_calibration import PairScores, pair_scores, predictive_t, robust_predictive_t
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.poisson_binomial import poisson_binomial_log10_tail
from whorl.statistics.residual_agreement import ResidualAgreement, item_features, residual_agreement, residuals
from whorl.statistics.roc import auc, auc_interval, hit_rate, hit_rate_interval
from whorl.statistics.stratified_permutation import StratifiedPermutation, rate_strata, stratified_permutation
from whorl.statistics.two_sample import PromptGram, TwoSampleTest, two_sample_test

LEVELS: Final = (0.05, 0.01, 0.001)


def rejected(p_values: Doubles) -> str:
    """Shares at or below the levels."""
    return "/".join(f"{np.mean(np.asarray(p_values) <= level):.3f}" for level in LEVELS)


def residual_z(questioned: Doubles, reference: Doubles, controls: Doubles) -> float | NotTestable:
    """z with all features, for `pair_scores`."""
    left = residuals(np.stack([questioned, reference]), item_features(controls))
    found = residual_agreement(left[0], left[1])
    return found.z if isinstance(found, ResidualAgreement) else found


def residual_world(seed: int, items: int, controls: int, shared: float) -> tuple[float, ...]:
    """p-values of one pair: plain correlation, strata, difficulty, factors, and the less favourable predictive t."""
    outcomes = failures(latent_world(np.random.default_rng(seed), models=controls + 2, items=items, shared=shared))
    one, other, others = outcomes[0], outcomes[1], outcomes[2:]
    plain = float(np.corrcoef(one, other)[0, 1]) * math.sqrt(items)
    dealt = stratified_permutation(
        one.astype(np.int64),
        other.astype(np.int64),
        rate_strata(others, 10),
        permutations=999,
        rng=np.random.default_rng(seed),
    )
    left = residuals(outcomes[:2], item_features(others, factors=0))
    difficulty = residual_agreement(left[0], left[1])
    scores = pair_scores(residual_z, questioned=one, reference=other, controls=others)
    assert isinstance(dealt, StratifiedPermutation)
    assert isinstance(difficulty, ResidualAgreement)
    assert isinstance(scores, PairScores)
    one_side, other_side = (
        10 ** predictive_t(scores.value, side).log10_p for side in (scores.for_questioned, scores.for_reference)
    )
    tails = [1 - float(ndtr(z)) for z in (plain, difficulty.z, scores.value)]
    return tails[0], dealt.p, tails[1], tails[2], one_side, max(one_side, other_side)


def residual_rows(worlds: int) -> Iterator[str]:
    """The table of docs/methods/residual_agreement.md."""
    for shared, items, controls in ((0, 500, 40), (0, 500, 10), (0, 2000, 40), (0.5, 500, 60), (0.8, 500, 60)):
        count = worlds if items == 500 else max(1, worlds // 4)
        columns = np.array([residual_world(seed, items, controls, shared) for seed in range(count)]).T
        names = ("plain", "strata", "difficulty", "factors", "t one side", "t less favourable")
        cells = "; ".join(f"{name} {rejected(column)}" for name, column in zip(names, columns, strict=True))
        yield f"residuals, shared {shared}, {items} items, {controls} controls, {count} worlds: {cells}"


def copying_rows(worlds: int) -> Iterator[str]:
    """The table of docs/methods/answer_copying.md."""
    for shared, items, controls in ((0, 400, 10), (0, 400, 60), (0, 400, 200), (0.5, 400, 60), (0.8, 400, 60)):
        rows, scores = [], []
        for seed in range(worlds):
            codes, key = option_world(np.random.default_rng(seed), models=controls + 2, items=items, shared=shared)
            model = fit_answer_model(codes[2:], categories=4, kinds=right_or_wrong(key, 4))
            ours, theirs = (answer_chances(model, answers) for answers in codes[:2])
            tests = (
                gbt_test(codes[0], codes[1], ours, theirs),
                omega_test(codes[0], codes[1], ours),
                omega_test(codes[0], codes[1], ours, items=codes[1] != key),
                both_wrong_test(codes[0], codes[1], ours, theirs, key),
                rare_match_test(codes[0], codes[1], ours),
            )
            rows.append([10**test.log10_p for test in tests if isinstance(test, MatchTest)])
            scores.append([test.z for test in tests if isinstance(test, MatchTest)])
        names = ("GBT", "omega", "omega on wrong", "both wrong", "rare")
        means, deviations = np.mean(scores, axis=0), np.std(scores, axis=0)
        cells = "; ".join(
            f"{name} {rejected(column)} z {mean:.2f} sd {deviation:.2f}"
            for name, column, mean, deviation in zip(names, np.array(rows).T, means, deviations, strict=True)
        )
        yield f"copying, shared {shared}, {items} items, {controls} controls, {worlds} worlds: {cells}"


def cell_rows(worlds: int) -> Iterator[str]:
    """The table of docs/methods/low_entropy_choices.md: mixtures of one distribution with another."""
    for mixed in (0.0, 0.1, 0.2, 0.4, 1.0):
        for cells, draws in ((40, 30), (10, 10)):
            p_values, divergences, chance = [], [], []
            for seed in range(worlds):
                rng = np.random.default_rng(seed)
                rates = rng.dirichlet(np.full(8, 0.4), size=(2, cells))
                other = (1 - mixed) * rates[0] + mixed * rates[1]
                first, second = (
                    np.array([rng.multinomial(draws, rate) for rate in sample]) for sample in (rates[0], other)
                )
                found = cell_test(first, second, permutations=999, rng=rng)
                assert isinstance(found, CellTest)
                p_values.append(found.p)
                divergences.append(found.divergence)
                chance.append(found.divergence_by_chance)
            yield (
                f"cells {cells} x {draws}, mixed {mixed}, {worlds} worlds: {rejected(np.array(p_values))}; "
                f"divergence {np.mean(divergences):.3f}, by chance {np.mean(chance):.3f}"
            )


def two_sample_rows(worlds: int) -> Iterator[str]:
    """The table of docs/methods/same_endpoint.md: answers as points, one endpoint's shifted."""
    for prompts, answers in ((25, 10), (25, 4), (6, 10)):
        for shift in (0.0, 0.2, 0.4, 0.8):
            p_values = []
            for seed in range(worlds):
                rng = np.random.default_rng(seed)
                points = rng.normal(size=(prompts, 2 * answers))
                points[:, answers:] += shift
                grams = np.exp(-((points[:, :, None] - points[:, None]) ** 2) / 2)
                found = two_sample_test(
                    [PromptGram(gram=gram, reference=answers) for gram in grams], permutations=999, rng=rng
                )
                assert isinstance(found, TwoSampleTest)
                p_values.append(found.p)
            yield f"same endpoint {prompts} x {answers}, shift {shift}, {worlds} worlds: {rejected(np.array(p_values))}"


def prediction_rows() -> Iterator[str]:
    """Levels of the predictive tails, 20,000 draws each."""
    rng = np.random.default_rng(1)
    for shape in ("normal", "exponential"):
        for controls in (20, 50, 100):
            scores = rng.normal(size=(20_000, controls + 1))
            scores = scores if shape == "normal" else -np.log(ndtr(scores))
            for test in (predictive_t, robust_predictive_t):
                p_values = np.array([10 ** test(row[0], row[1:]).log10_p for row in scores])
                yield f"{test.__name__}, {shape}, {controls} controls: {rejected(p_values)}"


def coverage_rows(worlds: int) -> Iterator[str]:
    """Coverage of the intervals of `whorl.statistics.roc`, and of pairs resampled as if independent."""
    for apart, families, children in (
        (1.0, 25, 8),
        (2.0, 25, 8),
        (3.0, 25, 8),
        (1.0, 60, 3),
        (2.0, 60, 3),
        (3.0, 60, 3),
    ):
        many = [moved(additive_world(10**6 + seed, families=150, children=2), apart) for seed in range(40)]
        truths = (
            np.mean([auc(scores, truth) for scores, truth, _ in many]),
            np.mean([hit_rate(scores, truth, false_alarms=0.05) for scores, truth, _ in many]),
        )
        covered = np.zeros(3)
        for seed in range(worlds):
            scores, truth, units = moved(additive_world(seed, families=families, children=children), apart)
            rng = np.random.default_rng(seed)
            one = auc_interval(scores, truth, units, resamples=400, rng=rng)
            other = hit_rate_interval(scores, truth, units, false_alarms=0.05, resamples=400, rng=rng)
            rows = (rng.integers(0, truth.size, truth.size) for _ in range(200))
            low, high = np.quantile([auc(scores[row], truth[row]) for row in rows], (0.025, 0.975))
            covered += [
                one.lower <= truths[0] <= one.upper,
                other.lower <= truths[1] <= other.upper,
                low <= truths[0] <= high,
            ]
        yield (
            f"coverage, {families} families, AUC {truths[0]:.3f}, hits at 5 % {truths[1]:.2f}, {worlds} worlds: "
            f"AUC {covered[0] / worlds:.3f}, hits {covered[1] / worlds:.3f}, AUC by pairs {covered[2] / worlds:.3f}"
        )


def moved(world: tuple[Doubles, Doubles, Doubles], apart: float) -> tuple[Doubles, Doubles, Doubles]:
    """The same world with related pairs this far above unrelated ones."""
    scores, truth, units = world
    return scores + np.where(truth, apart - 3.0, 0.0), truth, units


def speed_rows() -> Iterator[str]:
    """Seconds of the exact tail."""
    for trials in (2_000, 20_000):
        chances = np.random.default_rng(1).beta(1, 3, trials)
        start = time.perf_counter()
        found = poisson_binomial_log10_tail(trials // 2, chances)
        yield f"tail of {trials} trials: log10 {found:.1f}, {time.perf_counter() - start:.4f} s"


def main() -> None:
    """Print every table."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    tables = (
        speed_rows(),
        prediction_rows(),
        cell_rows(worlds),
        two_sample_rows(worlds),
        copying_rows(worlds),
        residual_rows(worlds),
        coverage_rows(worlds),
    )
    for table in tables:
        for row in table:
            print(row, flush=True)


if __name__ == "__main__":
    main()
