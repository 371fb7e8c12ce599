"""The keyed dither's sum: its bound holds for every array, its signs are fair, and its share is what was mixed in."""

import hashlib
import itertools
import math

import numpy as np
import pytest

from whorl.core.arrays import Doubles
from whorl.statistics.keyed_dither import (
    NOTHING,
    KeyedSum,
    keyed_coins,
    keyed_draws,
    keyed_order,
    keyed_signs,
    keyed_sum,
)

KEY = bytes(range(32))
ROLE = "layers.0.mlp.0.opening"


def key(seed: int) -> bytes:
    return np.random.default_rng([seed, 77]).bytes(32)


def test_signs_are_the_bits_that_the_specification_names() -> None:
    stream = hashlib.shake_256(b"whorl.keyed_dither/1\n" + KEY + f"signs\n{ROLE}\n5\n".encode()).digest(2)
    bits = f"{int.from_bytes(stream, 'big'):016b}"[:11]
    assert keyed_signs(KEY, ROLE, np.array([5]), 11).tolist() == [[1.0 if bit == "1" else -1.0 for bit in bits]]


def test_a_row_has_its_signs_whatever_rows_are_asked_for_with_it() -> None:
    rows = np.array([7, 0, 3])
    together = keyed_signs(KEY, ROLE, rows, 37)
    for row, signs in zip(rows, together, strict=True):
        np.testing.assert_array_equal(keyed_signs(KEY, ROLE, np.array([row]), 37)[0], signs)


def test_keys_roles_and_purposes_have_signs_of_their_own() -> None:
    rows = np.arange(64)
    streams = [keyed_signs(k, role, rows, 64) for k in (KEY, key(1)) for role in (ROLE, "layers.1.mlp.0.opening")]
    streams.append(keyed_coins(KEY, "up signs", ROLE, 4096).reshape(64, 64).astype(np.float32))
    for one, other in itertools.combinations(streams, 2):
        assert abs(np.vdot(one, other)) < 5 * 64  # five standard deviations of 4096 coins


def test_an_order_is_a_permutation_and_every_place_is_as_likely() -> None:
    orders = np.array([keyed_order(key(seed), "neurons", ROLE, 5) for seed in range(4000)])
    assert (np.sort(orders, axis=1) == np.arange(5)).all()
    counts = np.array([[np.count_nonzero(orders[:, place] == thing) for thing in range(5)] for place in range(5)])
    assert np.abs(counts - 800).max() < 5 * math.sqrt(4000 * 0.16)


def test_rounding_draws_are_uniform_and_addressed_by_row() -> None:
    draws = keyed_draws(KEY, "rounding", "w", range(40), 100)
    np.testing.assert_array_equal(keyed_draws(KEY, "rounding", "w", range(17, 19), 100), draws[17:19])
    assert abs(draws.mean() / 65535 - 0.5) < 5 / math.sqrt(12 * draws.size)


@pytest.mark.parametrize(("secret", "purpose"), [(b"short", "signs"), (KEY, "two\nlines")])
def test_a_stream_refuses_names_that_could_meet(secret: bytes, purpose: str) -> None:
    with pytest.raises(ValueError, match="one-line names"):
        keyed_coins(secret, purpose, ROLE, 8)


@pytest.mark.parametrize("array", [np.ones(14), 2.0 ** -np.arange(14), np.r_[np.zeros(6), np.ones(8)]])
def test_the_bound_holds_over_all_sign_patterns(array: Doubles) -> None:
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=14)))
    scores = signs @ array / np.linalg.norm(array)
    for t in np.unique(scores.round(9)):
        bound = KeyedSum(dot=float(t), square=1.0, expected=1.0, entries=14).log10_p
        assert np.mean(scores >= t - 1e-9) <= 10**bound + 1e-12


def test_the_bound_is_not_idle() -> None:
    """Known value: z = 3 gives exp(-4.5); a score of 0 or below says nothing."""
    assert KeyedSum(dot=6.0, square=4.0, expected=1.0, entries=9).log10_p == pytest.approx(-4.5 / math.log(10))
    assert KeyedSum(dot=-6.0, square=4.0, expected=1.0, entries=9).log10_p == 0.0
    assert NOTHING.log10_p == 0.0


def test_sums_of_disjoint_parts_add_up() -> None:
    rng = np.random.default_rng(0)
    signs, array = keyed_signs(KEY, ROLE, np.arange(6), 50), rng.normal(size=(6, 50))
    whole = keyed_sum(signs, array, 6.0)
    parts = keyed_sum(signs[:2], array[:2], 2.0) + keyed_sum(signs[2:], array[2:], 4.0)
    assert parts.z == pytest.approx(whole.z)
    assert (parts.expected, parts.entries) == (whole.expected, whole.entries)


def test_the_share_is_unbiased_and_its_interval_covers() -> None:
    rng = np.random.default_rng(1)
    rows, step, drift, left = np.arange(20), 0.1, 1.0, 0.5
    values, covered = [], 0
    for seed in range(1000):
        signs = keyed_signs(key(seed), ROLE, rows, 50)
        array = left * step * signs + drift * rng.standard_normal(signs.shape)
        value, lower, upper = keyed_sum(signs, array * step, step**2 * signs.size).share()
        values.append(value)
        covered += lower <= left <= upper
    spread = np.std(values) / math.sqrt(1000)
    assert abs(np.mean(values) - left) < 4 * spread
    assert 930 <= covered <= 970


def test_nothing_has_no_share() -> None:
    with pytest.raises(ValueError, match="positive expected"):
        NOTHING.share()
