"""Fréchet distance, coverage and spread, worked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from data import load_digits
from train.generation import (
    collapse_in_words,
    distance_of_images,
    frechet_distance,
    judged,
    moment_sums,
    shares,
    spread,
    train_judge,
)

RNG = np.random.default_rng(0)


def moments(name, mean, covariance):
    mean = np.asarray(mean, float)
    return {f"{name}_mean": mean, f"{name}_products": covariance + np.outer(mean, mean)}


def distance(one, other):
    return frechet_distance({**moments("a", *one), **moments("b", *other)}, "a", "b")


def some_covariance(rank=4):
    factor = RNG.normal(size=(4, rank))
    return factor @ factor.T


def test_equal_distributions_are_at_distance_zero():
    one = ([1, 2, 3, 4], some_covariance())
    assert distance(one, one) == pytest.approx(0, abs=1e-9)


def test_a_shift_costs_its_square():
    covariance = some_covariance()
    shifted = distance(([0, 0, 0, 0], covariance), ([1, -2, 0, 3], covariance))
    assert shifted == pytest.approx(1 + 4 + 9)


def test_deviations_along_the_axes_differ_by_their_squares():
    """(2 - 1)^2 + (5 - 3)^2; a feature that never varies adds the other's variance, 4."""
    one, other = np.diag([4.0, 25.0, 0.0]), np.diag([1.0, 9.0, 4.0])
    assert distance((np.zeros(3), one), (np.zeros(3), other)) == pytest.approx(1 + 4 + 4)


@pytest.mark.parametrize("rank", [4, 2])
def test_covariances_that_do_not_commute(rank):
    one, other = some_covariance(), some_covariance(rank)
    expected = np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert distance((np.zeros(4), one), (np.zeros(4), other)) == pytest.approx(expected, abs=1e-5)


def test_moments_leave_filled_rows_out():
    features = jnp.array([[1.0, 2.0], [3.0, -1.0], [jnp.inf, jnp.nan]])
    sums = moment_sums(features, jnp.array([1.0, 1.0, 0.0]), "real")
    np.testing.assert_array_equal(sums["real_mean"], [4, 1])
    np.testing.assert_array_equal(sums["real_products"], [[10, -1], [-1, 5]])


def test_shares_name_digits_that_never_appear():
    np.testing.assert_array_equal(
        shares(np.array([0, 0, 9, 3])), [0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.25]
    )


def test_spread_by_hand():
    """Of digit 1: distances 9, 16 and 1 squared pixels; of digit 2: 8; digit 3 stands alone."""
    images = np.array([[0, 0], [3, 0], [4, 0], [0, 0], [2, 2], [90, 90]], float)
    labels = np.array([1, 1, 1, 2, 2, 3])
    expected = ((9 + 16 + 1) / 3 + 8) / 2
    assert spread(images.reshape(6, 1, 2, 1), labels) == pytest.approx(expected)
    assert spread(images[:1].reshape(1, 1, 2, 1), labels[:1]) == 0


def test_a_collapse_is_said_in_words():
    fair, unfair = np.full(10, 0.1), np.array([0.029, 0.371, *[0.075] * 6, 0.03, 0.12])
    assert collapse_in_words(fair, 0.9).startswith("no collapse: each digit has 10.0%")
    assert collapse_in_words(unfair, 0.9) == "collapsed: under 3% of the samples are 0"
    words = collapse_in_words(unfair, 0.4)
    assert words.startswith("collapsed: ")
    assert "two samples of one digit differ by 0.40" in words


def test_the_judge_knows_digits_and_finds_noise_far_away():
    digits = load_digits()
    judge = train_judge(digits.train, 200, seed=0, epochs=5)
    images, labels = (digits.test[name] for name in ("inputs", "targets"))
    assert np.mean(judged(judge, images) == labels) > 0.85
    noise = RNG.integers(0, 256, images.shape).astype(np.uint8)
    real = distance_of_images(judge, images, digits.validation["inputs"])
    assert 0 < 10 * real < distance_of_images(judge, images, noise)
