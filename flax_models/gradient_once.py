"""What residual streams and transposed convolutions need from their compiler."""

import jax
from jaxtyping import Array, Float

from flax_models.apart import computed_once


@jax.custom_jvp
def gradient_once(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """X itself, whose gradient XLA:CPU computes once.

    The gradient of a residual stream is a sum to which every layer adds. XLA:CPU fuses that whole
    sum into each product that needs a layer's part of it, so that it is computed again for every
    layer, from all the layers after it (docs/performance.md).
    """
    return x


@gradient_once.defjvp
def _gradient_once_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    return x, computed_once(tangent, x)
