"""Two forms of a function compared, with their gradients."""

import jax
import jax.numpy as jnp
import numpy as np


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def assert_same(ours, reference, *arguments):
    """In double precision, where two right forms differ by rounding alone."""
    with jax.enable_x64(True):
        arguments = tuple(map(jnp.asarray, arguments))
        got, back = jax.vjp(jax.jit(ours), *arguments)
        want, reference_back = jax.vjp(jax.jit(reference), *arguments)
        np.testing.assert_allclose(got, want, atol=1e-12)
        gradient = jnp.asarray(normal(*want.shape, seed=1))
        for one, other in zip(back(gradient), reference_back(gradient), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
