"""What a residual stream needs from its compiler."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


@jax.custom_jvp
def gradient_once(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """X itself, whose gradient XLA:CPU computes once.

    The gradient of a residual stream is a sum to which every layer adds. XLA:CPU fuses that whole
    sum into each product that needs a layer's part of it, so that it is computed again for every
    layer, from all the layers after it (docs/performance.md). Nothing is fused over a conditional.
    """
    return x


@gradient_once.defjvp
def _gradient_once_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents

    def apart(tangent: Array) -> Array:
        # XLA would see through branches that do the same. Where one number is NaN, the gradient of
        # the parameters is NaN in any case.
        is_nan = jnp.isnan(x[(0,) * x.ndim])
        return lax.cond(is_nan, lambda t: t * jnp.nan, lambda t: t, tangent)

    return x, lax.platform_dependent(tangent, cpu=apart, default=lambda tangent: tangent)
