"""The hand-derived gradient against a value worked by hand, autodiff, and a PyTorch loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from flax_models import cubic, squared_errors_gradient

X = np.linspace(-np.pi, np.pi, 1000, dtype=np.float32)
Y = np.sin(X)


def test_a_case_worked_by_hand():
    # p(2) = 1 + 2 + 4 + 8 = 15, residual 15 - 5 = 10, gradient 2 * 10 * (1, 2, 4, 8)
    gradient = squared_errors_gradient(jnp.ones(4), jnp.array([2.0]), jnp.array([5.0]), jnp.ones(1))
    np.testing.assert_array_equal(gradient, [20, 40, 80, 160])


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_autodiff(seed):
    coefficients = jax.random.normal(jax.random.PRNGKey(seed), (4,))
    weight = (np.arange(1000) % 3 > 0).astype(np.float32)
    by_hand = squared_errors_gradient(coefficients, X, Y, weight)
    by_autodiff = jax.grad(lambda c: jnp.sum(weight * (cubic(c, X) - Y) ** 2))(coefficients)
    np.testing.assert_allclose(by_hand, by_autodiff, rtol=1e-5)


def test_two_hundred_steps_equal_a_torch_loop_step_by_step():
    """The course's loop: gradients by hand on tensors, learning rate 1e-6, no autograd."""
    start = np.asarray(jax.random.normal(jax.random.PRNGKey(0), (4,)))
    x, y = torch.tensor(X), torch.tensor(Y)
    a, b, c, d = (torch.tensor(value) for value in start)
    step = jax.jit(lambda p: p - 1e-6 * squared_errors_gradient(p, X, Y, jnp.ones(1000)))
    coefficients = jnp.asarray(start)
    for _ in range(200):
        residual = a + b * x + c * x**2 + d * x**3 - y
        gradient = 2.0 * residual
        a = a - 1e-6 * gradient.sum()
        b = b - 1e-6 * (gradient * x).sum()
        c = c - 1e-6 * (gradient * x**2).sum()
        d = d - 1e-6 * (gradient * x**3).sum()
        coefficients = step(coefficients)
        np.testing.assert_allclose(coefficients, torch.stack([a, b, c, d]), rtol=1e-5, atol=1e-6)
