"""Batch norm's own derivative equals the one that JAX derives from the formula."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads
from same_derivatives import assert_same, normal

from flax_models.batch_norm import normalise

SHAPES = pytest.mark.parametrize("shape", [(6, 3), (4, 5, 2, 3)])


def ours(x, scale, bias, axis_name=None):
    return _together(*normalise(x, scale, bias, 1e-5, axis_name))


def by_the_formula(x, scale, bias):
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    return _together((x - mean) * lax.rsqrt(var + 1e-5) * scale + bias, mean, var)


def _together(outputs, mean, var):
    """One array to which all three matter."""
    return jnp.sin(outputs) + 2 * mean - 3 * var


@SHAPES
def test_its_gradients_are_those_of_the_formula(shape):
    assert_same(ours, by_the_formula, 5 + 3 * normal(*shape), normal(3, seed=2), normal(3, seed=3))


@SHAPES
def test_it_is_differentiable_forwards_and_twice(shape):
    with jax.enable_x64(True):
        arguments = [jnp.asarray(normal(*size, seed=2)) for size in (shape, (3,), (3,))]
        check_grads(ours, arguments, order=2, modes=["fwd", "rev"])


def test_over_a_mapped_axis_the_gradients_are_those_of_the_whole_batch():
    def loss_of_parts(x, scale, bias):
        over_parts = jax.vmap(
            functools.partial(ours, axis_name="data"), (0, None, None), axis_name="data"
        )
        return (over_parts(x, scale, bias) * weights).sum()

    def loss(x, scale, bias):
        whole = by_the_formula(x.reshape(-1, 3), scale, bias)
        return (whole.reshape(weights.shape) * weights).sum()

    with jax.enable_x64(True):
        weights = jnp.asarray(normal(4, 6, 3))
        arguments = [jnp.asarray(normal(*size, seed=2)) for size in ((4, 6, 3), (3,), (3,))]
        got, want = (jax.grad(of, (0, 1, 2))(*arguments) for of in (loss_of_parts, loss))
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
