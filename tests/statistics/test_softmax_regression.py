"""Multinomial logistic regression: at its optimum, and where the answer is known."""

import numpy as np
import pytest

from whorl.statistics.softmax_regression import fit_softmax


def test_the_slope_vanishes_at_the_optimum() -> None:
    rng = np.random.default_rng(0)
    vectors, classes = rng.normal(size=(300, 4)), rng.integers(3, size=300)
    found = fit_softmax(vectors, classes, count=3, penalty=5.0, most_steps=500)
    scores = vectors @ found.weights + found.offsets
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    error = chances - np.eye(3)[classes]
    assert np.abs(vectors.T @ error + 5.0 * found.weights).max() < 0.05
    assert np.abs(error.sum(axis=0)).max() < 0.05


def test_offsets_alone_give_the_shares_of_the_classes() -> None:
    found = fit_softmax(np.zeros((100, 1)), np.array([0] * 80 + [1] * 20), count=2, penalty=1.0, most_steps=200)
    assert found.offsets[0] - found.offsets[1] == pytest.approx(np.log(4), abs=0.01)


def test_the_direction_of_two_normal_classes_is_found() -> None:
    rng = np.random.default_rng(1)
    means = np.array([[1.0, 0.0], [-1.0, 0.0]])
    classes = rng.integers(2, size=4000)
    found = fit_softmax(means[classes] + rng.normal(size=(4000, 2)), classes, count=2, penalty=0.1, most_steps=200)
    direction = found.weights[:, 0] - found.weights[:, 1]
    # Equal covariances: the log odds are linear with slope (difference of the means) / variance = (2, 0).
    assert direction == pytest.approx([2.0, 0.0], abs=0.2)
