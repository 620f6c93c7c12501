"""The gradient of a residual stream is what it was, forward and backward."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from flax_models.gradient_once import gradient_once


def _stream(mark, x, weights):
    for weight in weights:
        x = mark(x + jnp.tanh(x @ weight))
    return jnp.sum(x**2)


def test_it_changes_neither_values_nor_derivatives():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3, 4))
    weights = generator.normal(size=(5, 4, 4)) / 2
    for transform in (jax.jit, lambda f: jax.vmap(f, in_axes=(0, None))):
        inputs = x if transform is jax.jit else x[:, None]
        marked, plain = (
            transform(jax.value_and_grad(lambda x, w, mark=mark: _stream(mark, x, w), (0, 1)))(
                inputs, weights
            )
            for mark in (gradient_once, lambda x: x)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), marked, plain)

    def directional(mark):
        return jax.jvp(lambda w: _stream(mark, x, w), (weights,), (np.ones_like(weights),))

    np.testing.assert_allclose(directional(gradient_once), directional(lambda x: x), rtol=1e-5)


def test_on_a_cpu_nothing_is_fused_over_it():
    """A conditional a layer stays in the compiled program; without them XLA fuses the chain."""
    x, weights = np.ones((3, 4), np.float32), np.ones((5, 4, 4), np.float32)
    gradient = jax.jit(jax.grad(lambda w: _stream(gradient_once, x, w)))
    text = gradient.lower(weights).compile().as_text()
    of_the_stream = re.findall(r"\(f32\[3,4\]\S*\) conditional\(", text)
    assert len(of_the_stream) == (5 if jax.default_backend() == "cpu" else 0)


def test_a_number_that_is_not_one_gives_gradients_that_are_none():
    x, weights = np.full((3, 4), np.nan), np.ones((2, 4, 4))
    gradient = jax.grad(lambda w: _stream(gradient_once, x, w))(weights)
    assert np.isnan(gradient).all()
