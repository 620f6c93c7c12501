"""A cubic fitted to data with gradients derived by hand: a network before there are networks."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def cubic(coefficients: Float[Array, "4"], x: Float[Array, "points"]) -> Float[Array, "points"]:
    """``a + b x + c x**2 + d x**3`` for ``coefficients`` (a, b, c, d), by Horner's rule."""
    a, b, c, d = coefficients
    return a + x * (b + x * (c + x * d))


def squared_errors_gradient(
    coefficients: Float[Array, "4"],
    x: Float[Array, "points"],
    y: Float[Array, "points"],
    weight: Float[Array, "points"],
) -> Float[Array, "4"]:
    """Gradient of the sum of squared errors by the coefficients, derived by hand.

    With the residual ``r = p(x) - y`` and the loss ``L = sum(weight * r**2)``, the chain rule gives
    ``dL/dp = 2 weight r``, and as ``dp`` by the k-th coefficient is ``x**k``,

        dL/da = sum(2 weight r),      dL/db = sum(2 weight r x),
        dL/dc = sum(2 weight r x**2), dL/dd = sum(2 weight r x**3).

    Args:
        coefficients: (a, b, c, d).
        x, y: the points.
        weight: 1 for a point that counts, 0 for one that does not.
    """
    gradient_of_prediction = 2.0 * weight * (cubic(coefficients, x) - y)
    powers = jnp.stack([jnp.ones_like(x), x, x**2, x**3])
    return powers @ gradient_of_prediction
