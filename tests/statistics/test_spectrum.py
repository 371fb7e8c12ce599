"""Structure in a matrix: noise has none, whatever its rows' sizes, and a few strong directions show."""

import numpy as np
import pytest

from whorl.core.arrays import Floats
from whorl.statistics.spectrum import largest_over_noise, structured_share

SHAPES = [(192, 64), (64, 192), (160, 160), (300, 40)]


def noise(seed: int, shape: tuple[int, int]) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def low_rank(seed: int, shape: tuple[int, int], rank: int = 2) -> Floats:
    """A product of thin matrices whose entries have variance 1."""
    left, right = noise(seed, (shape[0], rank)), noise(seed + 1, (rank, shape[1]))
    return left @ right / np.float32(np.sqrt(rank))


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_stays_near_one_and_never_reaches_the_level_of_training(shape: tuple[int, int]) -> None:
    found = [largest_over_noise(noise(seed, shape)) for seed in range(30)]
    assert np.mean(found) == pytest.approx(1, abs=0.06)
    assert max(found) < 1.2


@pytest.mark.parametrize("kind", ["uniform", "signs", "rounding"])
def test_it_does_not_matter_how_noise_is_distributed(kind: str) -> None:
    rng = np.random.default_rng(1)
    plain = noise(2, (192, 64))
    drawn = {
        "uniform": rng.uniform(-1, 1, plain.shape),
        "signs": rng.choice([-1.0, 1.0], plain.shape),
        "rounding": np.rint(plain * 8) / 8 - plain,
    }[kind]
    assert largest_over_noise(drawn.astype(np.float32)) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("function", [largest_over_noise, structured_share])
def test_the_size_of_each_row_does_not_matter(function: object) -> None:
    assert callable(function)
    matrix = noise(3, (192, 64)) + low_rank(4, (192, 64))
    scale = np.exp(np.random.default_rng(5).normal(size=(192, 1))).astype(np.float32)
    assert function(matrix * scale) == pytest.approx(function(matrix), rel=1e-4)
    assert function(1e-6 * matrix) == pytest.approx(function(matrix), rel=1e-4)


@pytest.mark.parametrize("function", [largest_over_noise, structured_share])
def test_order_and_basis_do_not_matter(function: object) -> None:
    assert callable(function)
    matrix = noise(6, (192, 64)) + low_rank(7, (192, 64))
    rng = np.random.default_rng(8)
    rotation = np.linalg.qr(rng.standard_normal((64, 64)))[0].astype(np.float32)
    assert function((matrix @ rotation)[rng.permutation(192)]) == pytest.approx(function(matrix), rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.5, 1.0, 10.0])
def test_a_few_strong_directions_show(shape: tuple[int, int], size: float) -> None:
    assert largest_over_noise(noise(9, shape) + np.float32(size) * low_rank(10, shape)) > 1.4


@pytest.mark.parametrize("shape", [(256, 64), (256, 512), (256, 1024)])
def test_the_structured_share_of_noise_is_next_to_nothing(shape: tuple[int, int]) -> None:
    found = [structured_share(noise(seed, shape)) for seed in range(20)]
    assert np.abs(found).max() < 0.03


@pytest.mark.parametrize("shape", [(256, 64), (256, 512)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_the_structured_share_is_the_share_of_energy_that_was_put_in(shape: tuple[int, int], share: float) -> None:
    mixed = np.sqrt(1 - share) * noise(11, shape) + np.sqrt(share) * low_rank(12, shape, rank=4)
    assert structured_share(mixed.astype(np.float32)) == pytest.approx(share, abs=0.12)


def test_too_little_to_say_anything() -> None:
    for matrix in (np.zeros((5, 4), np.float32), np.eye(1, 4, dtype=np.float32), np.zeros((0, 4), np.float32)):
        assert largest_over_noise(matrix) == 0.0
        assert structured_share(matrix) == 0.0


def test_zero_rows_are_left_out() -> None:
    matrix = noise(13, (100, 40))
    padded = np.concatenate([matrix, np.zeros((60, 40), np.float32)])
    assert largest_over_noise(padded) == pytest.approx(largest_over_noise(matrix), rel=1e-5)
    assert structured_share(padded) == pytest.approx(structured_share(matrix), rel=1e-4)


def test_a_matrix_of_one_direction_is_all_structure() -> None:
    one = np.outer(noise(14, (50, 1)), noise(15, (1, 30))).astype(np.float32)
    assert largest_over_noise(one) > 100
    assert structured_share(one) == pytest.approx(1, abs=1e-3)
