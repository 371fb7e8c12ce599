"""Copying indices: exact where the chances are right, powerful on copies, and the traps where they are not."""

import math

import numpy as np
import pytest
from answer_worlds import option_world
from null_levels import exceeds_level, holds_levels

from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.statistics.answer_model import answer_chances, fit_answer_model, right_or_wrong
from whorl.statistics.copying_indices import (
    MatchTest,
    answer_matches,
    both_wrong_test,
    copied_log10_ratio,
    gbt_test,
    match_score_matrix,
    omega_test,
    rare_match_test,
)
from whorl.statistics.intervals import binomial_log10_tail
from whorl.statistics.model_calibration import conformal_rank
from whorl.statistics.not_testable import NotTestable

DRAWS = 1_000


def drawn(rng: np.random.Generator, chances: Doubles) -> Ints:
    """One answer per item from its chances."""
    return np.asarray((rng.random((len(chances), 1)) > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1))


def result(found: MatchTest | NotTestable) -> MatchTest:
    assert isinstance(found, MatchTest)
    return found


def two_models(seed: int) -> tuple[Doubles, Doubles]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet([2.0, 0.7, 0.5, 0.3], size=150), rng.dirichlet([1.5, 0.5, 0.5, 0.5], size=150)


def test_fair_coins_are_binomial() -> None:
    coins, answers = np.full((40, 2), 0.5), np.tile([0, 1], 20)
    other = answers.copy()
    other[:9] = 1 - other[:9]
    for found in (gbt_test(answers, other, coins, coins), omega_test(answers, other, coins)):
        test = result(found)
        assert (test.items, test.matches, test.expected) == (40, 31, pytest.approx(20))
        assert test.z == pytest.approx(11 / math.sqrt(10))
        assert test.log10_p == pytest.approx(binomial_log10_tail(31, 40, 0.5))
    rare = result(rare_match_test(answers, other, coins))
    assert rare.z == pytest.approx(11 / math.sqrt(10))
    assert rare.matches == pytest.approx(31 * math.log(2))
    assert binomial_log10_tail(31, 40, 0.5) <= rare.log10_p <= binomial_log10_tail(31, 40, 0.5) + 1


def test_chances_by_hand() -> None:
    ours, theirs = np.tile([0.7, 0.2, 0.1], (12, 1)), np.tile([0.5, 0.3, 0.2], (12, 1))
    key, one, other = np.zeros(12, int), np.tile([0, 1, 1], 4), np.tile([0, 1, 2], 4)
    assert result(gbt_test(one, other, ours, theirs)).expected == pytest.approx(12 * (0.35 + 0.06 + 0.02))
    assert result(omega_test(one, other, ours)).expected == pytest.approx(4 * (0.7 + 0.2 + 0.1))
    wrong = both_wrong_test(
        np.tile(one, 2), np.tile(other, 2), np.tile(ours, (2, 1)), np.tile(theirs, (2, 1)), np.tile(key, 2)
    )
    test = result(wrong)
    assert (test.items, test.matches) == (16, 8)
    assert test.expected == pytest.approx(16 * (0.06 + 0.02) / (0.3 * 0.5))
    matched, chances = answer_matches(one, other, ours)
    by_hand = np.log10(np.where(matched, 1 - 0.2 + 0.2 / chances, 1 - 0.2)).sum()
    assert copied_log10_ratio(matched, chances, shares=(0.2,)) == pytest.approx(by_hand)


def test_levels_hold_where_the_chances_are_right() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = two_models(2)
    key = np.zeros(150, int)
    log10_p = np.zeros((DRAWS, 5))
    ratios, scores = np.zeros(DRAWS), np.zeros((DRAWS, 2))
    for row in range(DRAWS):
        one, other = drawn(rng, ours), drawn(rng, theirs)
        tests = [
            result(found)
            for found in (
                gbt_test(one, other, ours, theirs),
                omega_test(one, other, ours),
                omega_test(one, other, ours, items=other != key),
                both_wrong_test(one, other, ours, theirs, key),
                rare_match_test(one, other, ours),
            )
        ]
        log10_p[row] = [test.log10_p for test in tests]
        scores[row] = tests[0].z, tests[4].z
        ratios[row] = copied_log10_ratio(*answer_matches(one, other, ours))
    for column in log10_p.T:
        assert holds_levels(10**column)
    assert not exceeds_level(10.0 ** np.minimum(0, -ratios), 0.05), "an e-value beyond 20 in at most 1 of 20"
    assert np.mean(10**ratios) < 1.5
    assert scores.mean(axis=0) == pytest.approx([0, 0], abs=0.1)
    assert scores.std(axis=0) == pytest.approx([1, 1], abs=0.08)
    assert np.mean(log10_p[:, 0] <= math.log10(0.05)) > 0.02, "not uselessly cautious either"


def test_copied_answers_are_found() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = two_models(4)
    found = []
    for _ in range(100):
        one, other = drawn(rng, ours), drawn(rng, theirs)
        copied = rng.random(150) < 0.4
        one[copied] = other[copied]
        found.append(
            (
                result(gbt_test(one, other, ours, theirs)).log10_p,
                result(omega_test(one, other, ours)).log10_p,
                result(rare_match_test(one, other, ours)).log10_p,
                -copied_log10_ratio(*answer_matches(one, other, ours)),
            )
        )
    power = (np.array(found) <= -2).mean(axis=0)
    assert (power > 0.8).all()
    assert power[1] >= power[0], "knowing the source's answers helps"


def test_sharing_a_rare_answer_counts_more_than_a_usual_one() -> None:
    chances = np.tile([0.9, 0.08, 0.02], (60, 1))
    usual, rare = np.zeros(60, int), np.zeros(60, int)
    rare[:3] = 2
    assert result(rare_match_test(rare, rare, chances)).z > result(rare_match_test(usual, usual, chances)).z + 3
    assert result(omega_test(rare, rare, chances)).z > result(omega_test(usual, usual, chances)).z


def test_known_trap_naive_agreement_and_few_controls() -> None:
    # Independent models that find the same items hard: chance matches from answer frequencies are rejected always; with
    # chances learned per item a bias stays, larger the fewer controls; only the wrong-answer test is near its level.
    rng = np.random.default_rng(5)
    naive, few, many, wrong = [], [], [], []
    for _ in range(60):
        codes, key = option_world(rng, models=62, items=400)
        one, other = codes[:2]
        usual = sum(float((one == code).mean() * (other == code).mean()) for code in range(4))
        naive.append(binomial_log10_tail(int((one == other).sum()), 400, usual))
        for controls, tails in ((8, few), (60, many)):
            model = fit_answer_model(codes[2 : 2 + controls], categories=4, kinds=right_or_wrong(key, 4))
            ours, theirs = answer_chances(model, one), answer_chances(model, other)
            tails.append(result(gbt_test(one, other, ours, theirs)).log10_p)
        wrong.append(result(both_wrong_test(one, other, ours, theirs, key)).log10_p)
    shares = [np.mean(np.array(tails) <= math.log10(0.05)) for tails in (naive, few, many, wrong)]
    assert np.mean(np.array(naive) <= -6) > 0.95
    assert shares[1] > 0.6
    assert 0.1 < shares[2] < shares[1]
    assert shares[3] < 0.15


def test_the_score_calibrated_over_models_holds_its_level() -> None:
    # Chances fitted to all models alike make scores exchangeable: the rank is exact however wrong the chances are.
    rng = np.random.default_rng(6)
    ranks = np.zeros(1_000)
    for row in range(ranks.size):
        codes, key = option_world(rng, models=11, items=60)
        model = fit_answer_model(codes, categories=4, kinds=right_or_wrong(key, 4), concentration=3.0)
        scores = match_score_matrix(codes, np.array([answer_chances(model, answers) for answers in codes]))
        ranks[row] = conformal_rank(scores[0, 1], scores[2:, 1])
    assert holds_levels(ranks, (0.1, 0.2, 0.5))
    assert np.mean(ranks <= 0.1) == pytest.approx(0.1, abs=0.03), "exact, not only bounded"


@pytest.mark.parametrize(("shared", "least"), [(0.5, 0.75), (0.8, 0.95)])
def test_the_calibrated_score_finds_relatives(shared: float, least: float) -> None:
    rng = np.random.default_rng(7)
    ranks = []
    for _ in range(20):
        codes, key = option_world(rng, models=62, items=400, shared=shared)
        model = fit_answer_model(codes, categories=4, kinds=right_or_wrong(key, 4), concentration=3.0)
        scores = match_score_matrix(codes, np.array([answer_chances(model, answers) for answers in codes]))
        ranks.append(max(conformal_rank(scores[0, 1], scores[2:, 1]), conformal_rank(scores[0, 1], scores[0, 2:])))
    assert np.mean(np.array(ranks) <= 0.05) >= least


def test_all_pairs_at_once_are_the_pairs_one_by_one() -> None:
    rng = np.random.default_rng(8)
    codes, key = option_world(rng, models=12, items=80)
    codes[rng.random(codes.shape) < 0.2] = -1
    model = fit_answer_model(codes, categories=4, kinds=right_or_wrong(key, 4))
    chances = np.array([answer_chances(model, answers) for answers in codes])
    scores = match_score_matrix(codes, chances)
    for one, other in ((0, 1), (4, 9), (11, 3)):
        assert scores[one, other] == pytest.approx(
            result(gbt_test(codes[one], codes[other], chances[one], chances[other])).z
        )
    codes[2] = -1
    assert np.isnan(match_score_matrix(codes, chances)[2]).all()


def test_missing_answers_are_left_out_on_either_side() -> None:
    rng = np.random.default_rng(9)
    ours, theirs = two_models(10)
    one, other = drawn(rng, ours), drawn(rng, theirs)
    kept = rng.random(150) < 0.6
    left = one.copy(), other.copy()
    left[0][~kept & (np.arange(150) % 2 == 0)] = -1
    left[1][~kept & (np.arange(150) % 2 == 1)] = -1
    assert gbt_test(*left, ours, theirs) == gbt_test(one[kept], other[kept], ours[kept], theirs[kept])
    assert gbt_test(*left, ours, theirs) == gbt_test(one, other, ours, theirs, items=kept)
    assert rare_match_test(*left, ours) == rare_match_test(one[kept], other[kept], ours[kept])
    assert gbt_test(one, other, ours, theirs) == gbt_test(other, one, theirs, ours)


def test_what_cannot_be_tested_has_a_reason() -> None:
    certain, answers = np.tile([1.0, 0.0], (30, 1)), np.zeros(30, int)
    for found, reason in (
        (gbt_test(answers, answers, certain, certain), "no_variation"),
        (rare_match_test(answers, answers, certain), "no_variation"),
        (omega_test(answers, np.full(30, -1), certain), "too_few_items"),
        (both_wrong_test(answers, answers, certain, certain, answers), "too_few_items"),
    ):
        assert isinstance(found, NotTestable)
        assert found.reason == reason
        assert "expected" in found.detail or "use" in found.detail


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"questioned": np.zeros(5, int)}, "one answer of each model"),
        ({"reference": np.full(40, 2)}, "codes from -1"),
        ({"questioned_chances": np.ones((40, 3)) / 3}, "items, categories"),
        ({"items": np.ones(40, int)}, "one bool"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: dict[str, AnyArray], named: str) -> None:
    coins = np.full((40, 2), 0.5)
    fitting = {"questioned": np.zeros(40, int), "reference": np.zeros(40, int)}
    with pytest.raises(ValueError, match=named):
        gbt_test(**{**fitting, "questioned_chances": coins, "reference_chances": coins, **arguments})


def test_ratio_of_copying_refuses_what_is_no_chance() -> None:
    with pytest.raises(ValueError, match="positive chance"):
        copied_log10_ratio(np.ones(3, bool), np.array([0.5, 0.0, 0.5]))
    with pytest.raises(ValueError, match="shares"):
        copied_log10_ratio(np.ones(3, bool), np.full(3, 0.5), shares=(1.0,))
    with pytest.raises(ValueError, match="answers of shape"):
        match_score_matrix(np.zeros((2, 3), int), np.full((2, 4, 2), 0.5))
