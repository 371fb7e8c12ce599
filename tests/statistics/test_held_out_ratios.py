"""What a population keeps of its held-out ratios gives the figures of the ratios themselves."""

from typing import Any

import numpy as np
import pytest
from pair_worlds import additive_world
from pydantic import ValidationError

from whorl.statistics.calibration import held_out_log10_lr
from whorl.statistics.held_out_ratios import MAX_POINTS, MOST, STEPS, HeldOut, held_out_summary
from whorl.statistics.labelled_pairs import labelled_pairs
from whorl.statistics.ratio_cost import isotonic_log10_lr, log_ratio_cost, tippett_curve

PAIRS = labelled_pairs(*additive_world(3, families=30))
RATIOS = held_out_log10_lr(PAIRS)


def test_costs_and_shares_are_those_of_the_ratios() -> None:
    kept = held_out_summary(PAIRS, RATIOS)
    assert len(kept.log10_lr) < RATIOS.size / 2
    ratios, truth, weights = kept.labelled()
    assert log_ratio_cost(ratios, truth, weights) == pytest.approx(
        log_ratio_cost(RATIOS, PAIRS.is_h1, PAIRS.weights), abs=0.002
    )
    best, true_best = (
        isotonic_log10_lr(*one) for one in ((ratios, truth, weights), (RATIOS, PAIRS.is_h1, PAIRS.weights))
    )
    assert log_ratio_cost(best, truth, weights) == pytest.approx(
        log_ratio_cost(true_best, PAIRS.is_h1, PAIRS.weights), abs=0.01
    )
    curve, whole = tippett_curve(ratios, truth, weights), tippett_curve(RATIOS, PAIRS.is_h1, PAIRS.weights)
    for at in (-1.0, 0.0, 1.0):
        here = int(np.searchsorted(curve.log10_lr, at - 0.5 / STEPS))
        there = int(np.searchsorted(whole.log10_lr, at - 0.5 / STEPS))
        assert curve.share_h1[here] == pytest.approx(whole.share_h1[there], abs=1e-6)
        assert curve.share_h2[here] == pytest.approx(whole.share_h2[there], abs=1e-6)


def test_a_document_keeps_it_and_the_order_of_pairs_does_not_matter() -> None:
    kept = held_out_summary(PAIRS, RATIOS)
    assert HeldOut.model_validate_json(kept.model_dump_json()) == kept
    order = np.random.default_rng(1).permutation(RATIOS.size)
    turned = labelled_pairs(
        PAIRS.scores[order], PAIRS.is_h1[order], PAIRS.families[order], weights=PAIRS.weights[order]
    )
    other = held_out_summary(turned, RATIOS[order])
    assert other.log10_lr == kept.log10_lr
    assert other.share_h1 == pytest.approx(kept.share_h1, abs=2e-9)


def test_ratios_that_are_all_1_are_one_point() -> None:
    kept = held_out_summary(PAIRS, np.full(RATIOS.size, -1e-15))
    assert kept == HeldOut(log10_lr=(0.0,), share_h1=(1.0,), share_h2=(1.0,))
    assert log_ratio_cost(*kept.labelled()) == pytest.approx(1)


def test_no_ratio_is_kept_that_a_report_could_not_reckon_with() -> None:
    kept = held_out_summary(PAIRS, np.where(PAIRS.is_h1, 1e9, -1e9))
    assert kept.log10_lr == (-MOST, MOST)
    assert log_ratio_cost(*kept.labelled()) == pytest.approx(0, abs=1e-12)


GOOD: dict[str, Any] = {"log10_lr": (-1.0, 0.5), "share_h1": (0.25, 0.75), "share_h2": (1.0, 0.0)}


@pytest.mark.parametrize(
    "change",
    [
        {"log10_lr": (0.5, -1.0)},
        {"log10_lr": (0.5, 0.5)},
        {"log10_lr": ()},
        {"log10_lr": (-1.0,)},
        {"log10_lr": (-1.0, float("inf"))},
        {"log10_lr": (-1.0, MOST + 1)},
        {"share_h1": (0.25, 0.7)},
        {"share_h1": (1.25, -0.25)},
        {"share_h2": (1.0,)},
        {"share_h2": (0.0, 0.0)},
        {"more": 1},
        {
            "log10_lr": tuple(map(float, range(MAX_POINTS + 1))),
            "share_h1": (1.0, *[0.0] * MAX_POINTS),
            "share_h2": (1.0, *[0.0] * MAX_POINTS),
        },
    ],
)
def test_what_are_no_two_distributions_is_refused(change: dict[str, Any]) -> None:
    assert HeldOut(**GOOD).labelled()[0].tolist() == [-1.0, 0.5, -1.0]
    with pytest.raises(ValidationError):
        HeldOut(**GOOD | change)
