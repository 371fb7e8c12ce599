"""The two-covariance model against normal densities written out, and on data drawn from it."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from whorl.statistics.two_covariance import INFLATION, fit_two_covariance, fits, log_ratios

SIZE, ENROLLED = 10, 120


def drawn(rng: np.random.Generator, classes: int, dimension: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise covariance, class means as enrolled, and the means themselves."""
    mixing = rng.normal(size=(dimension, dimension))
    within = mixing @ mixing.T + np.eye(dimension)
    spread = np.diag(np.linspace(0.2, 3.0, dimension))
    true = rng.multivariate_normal(np.zeros(dimension), spread, size=classes)
    noise = INFLATION * within / ENROLLED
    return within, true + rng.multivariate_normal(np.zeros(dimension), noise, size=classes), true


def test_log_ratios_are_those_of_joint_normal_densities() -> None:
    rng = np.random.default_rng(0)
    within, means, _ = drawn(rng, 40)
    model = fit_two_covariance(within, means, enrolled=ENROLLED)
    sample, mean = rng.normal(size=6), means[3] @ model.transform
    between, one, many = np.diag(model.between), INFLATION / SIZE * np.eye(6), INFLATION / ENROLLED * np.eye(6)
    together = np.block([[between + one, between], [between, between + many]])
    expected = (
        multivariate_normal(np.zeros(12), together).logpdf(np.concatenate([sample, mean]))
        - multivariate_normal(np.zeros(6), between + one).logpdf(sample)
        - multivariate_normal(np.zeros(6), between + many).logpdf(mean)
    )
    found = log_ratios(model, sample[None], mean[None], size=SIZE, enrolled=ENROLLED)
    assert found[0, 0] == pytest.approx(expected, rel=1e-9)


def test_coordinates_whiten_the_noise_and_part_the_classes() -> None:
    within, means, _ = drawn(np.random.default_rng(1), 40)
    model = fit_two_covariance(within, means, enrolled=ENROLLED, shrinkage=0.0)
    assert np.allclose(model.transform.T @ within @ model.transform, np.eye(6))
    between = (means @ model.transform).T @ (means @ model.transform) / 40 - np.eye(6) / ENROLLED
    assert np.allclose(between, np.diag(np.diag(between)), atol=1e-9)
    assert np.allclose(model.between, np.maximum(np.diag(between), 0))


def test_own_samples_are_told_from_strangers_and_paired_scores_are_the_diagonal() -> None:
    rng = np.random.default_rng(2)
    within, means, true = drawn(rng, 60)
    model = fit_two_covariance(within, means, enrolled=ENROLLED)
    samples = true + rng.multivariate_normal(np.zeros(6), INFLATION * within / SIZE, size=60)
    samples, means = samples @ model.transform, means @ model.transform
    found = log_ratios(model, samples, means, size=SIZE, enrolled=ENROLLED)
    own, strange = np.diag(found), found[~np.eye(60, dtype=bool)]
    assert own.mean() > 1.0
    assert strange.mean() < -1.0
    # The mean of a ratio under the alternative is 1; heavy in the tail, so that only its order is asked.
    assert np.exp(strange).mean() < 3
    assert np.allclose(own, log_ratios(model, samples, means, size=SIZE, enrolled=ENROLLED, paired=True))
    each = fits(samples, means, size=SIZE, enrolled=ENROLLED)
    assert np.allclose(np.diag(each), fits(samples, means, size=SIZE, enrolled=ENROLLED, paired=True))


def test_fit_is_chi_squared_for_own_samples_and_notices_a_direction_that_no_class_takes() -> None:
    rng = np.random.default_rng(3)
    scale = INFLATION / SIZE + INFLATION / ENROLLED
    mean = np.zeros((1, 6))
    own = fits(rng.normal(size=(4000, 6)) * np.sqrt(scale), mean, size=SIZE, enrolled=ENROLLED)
    assert -2 * own.mean() == pytest.approx(6, rel=0.05)
    # Classes differ along the first axis alone; a stranger off that axis gains nothing by the ratio, and loses by fit.
    means = np.zeros((30, 2))
    means[:, 0] = rng.normal(size=30) * 5
    model = fit_two_covariance(np.eye(2), means, enrolled=1e9, shrinkage=0.0)
    home, away = means[:1] @ model.transform, (means[:1] + np.array([[0.0, 4.0]])) @ model.transform
    ratio = [log_ratios(model, place, home, size=SIZE, enrolled=1e9)[0, 0] for place in (home, away)]
    fit = [fits(place, home, size=SIZE, enrolled=1e9)[0, 0] for place in (home, away)]
    assert ratio[0] == pytest.approx(ratio[1], abs=1e-6)
    assert fit[1] < fit[0] - 30


def test_vectors_without_any_noise_are_refused() -> None:
    with pytest.raises(ValueError, match="do not vary"):
        fit_two_covariance(np.zeros((3, 3)), np.zeros((4, 3)), enrolled=5)
