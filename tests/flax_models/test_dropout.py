"""Dropout keeps what it says, scales it, and takes its key as Flax's does."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_models.dropout import Dropout


def dropped(x, rate, seed=0, **options):
    rngs = {"dropout": jax.random.key(seed)}
    return Dropout(rate, deterministic=False, **options).apply({}, x, rngs=rngs)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(100_001,), (40, 25, 101), (500, 100, 2), (9, 11_111, 1)])
def test_the_share_that_is_kept_and_its_scale(rate, shape):
    out = np.asarray(dropped(jnp.ones(shape), rate))
    assert out.shape == shape
    kept = out != 0
    np.testing.assert_allclose(out[kept], 1 / (1 - rate), rtol=2e-4)
    sigma = np.sqrt(rate * (1 - rate) / out.size)
    assert abs(kept.mean() - (1 - rate)) < 4 * sigma + 1e-5


def test_values_are_dropped_independently_of_their_neighbours():
    kept = np.asarray(dropped(jnp.ones((300, 400)), 0.5)) != 0
    signs = np.where(kept, 1.0, -1.0)
    # columns k and k + 200 come from one word
    for pairs in (
        signs[:, :200] * signs[:, 200:],
        signs[:, 1:] * signs[:, :-1],
        signs[1:] * signs[:-1],
    ):
        assert abs(pairs.mean()) < 4 / np.sqrt(pairs.size)


def test_seeds_give_other_masks_and_the_same_seed_the_same():
    x = jnp.ones((50, 60))
    np.testing.assert_array_equal(dropped(x, 0.3), dropped(x, 0.3))
    assert (dropped(x, 0.3) != dropped(x, 0.3, seed=1)).any()


def test_the_gradient_is_the_mask_and_its_scale():
    x = jax.random.normal(jax.random.key(1), (30, 7)) + 5
    gradient = jax.grad(lambda x: dropped(x, 0.4).sum())(x)
    np.testing.assert_allclose(gradient, dropped(x, 0.4) / x, rtol=1e-6)


def test_whole_axes_are_dropped_together():
    out = np.asarray(dropped(jnp.ones((20, 9, 40)), 0.5, broadcast_dims=(1,)))
    assert (out == out[:, :1]).all()
    assert 0.4 < (out != 0).mean() < 0.6
    out = np.asarray(dropped(jnp.ones((200, 8)), 0.5, broadcast_dims=(-1,)))
    assert (out == out[:, :1]).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_rates_of_none_and_all_and_outside_training(dtype):
    x = jax.random.normal(jax.random.key(0), (6, 5), dtype)
    assert dropped(x, 0.5).dtype == dtype
    np.testing.assert_array_equal(dropped(x, 0.0), x)
    np.testing.assert_array_equal(dropped(x, 1.0), jnp.zeros_like(x))
    np.testing.assert_array_equal(Dropout(0.5, deterministic=True).apply({}, x), x)
    np.testing.assert_array_equal(Dropout(0.5).apply({}, x, deterministic=True), x)


def test_no_key_and_a_wrong_rate_are_refused():
    with pytest.raises(ValueError, match=r"rate: expected 0 to 1, got 1\.5"):
        dropped(jnp.ones((3, 4)), 1.5)
    with pytest.raises(Exception, match="dropout"):
        Dropout(0.5, deterministic=False).apply({}, jnp.ones((3, 4)))


def test_fewer_random_words_than_flax_draws():
    def drawn(module):
        def apply(x):
            return module.apply({}, x, rngs={"dropout": jax.random.key(0)})

        shapes = re.findall(
            r"random_bits\[[^\]]*shape=\((\d+), (\d+)\)",
            str(jax.make_jaxpr(apply)(jnp.ones((8, 128)))),
        )
        return [tuple(map(int, shape)) for shape in shapes]

    assert drawn(nn.Dropout(0.5, deterministic=False)) == [(8, 128)]
    assert drawn(Dropout(0.5, deterministic=False)) == [(8, 64)]
