"""Batch norm by a batch's statistics (Ioffe and Szegedy 2015), with a derivative of two sums."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Channels = Float[Array, "channels"]


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def normalise(
    x: Float[Array, "*axes channels"],
    scale: Channels,
    bias: Channels,
    epsilon: float,
    axis_name: str | None,
) -> tuple[Float[Array, "*axes channels"], Channels, Channels]:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, the mean, and the biased variance.

    The variance takes a second pass, so that data of mean 100 and deviation 0.01 keeps its digits.
    `axis_name` is the mapped axis of pmap to average both over.
    """
    mean = _mean(x, axis_name)
    centred = x - mean
    var = _mean(jnp.square(centred), axis_name)
    return centred * (lax.rsqrt(var + epsilon) * scale) + bias, mean, var


@normalise.defjvp
def _normalise_jvp(
    epsilon: float,
    axis_name: str | None,
    primals: tuple[Array, Array, Array],
    tangents: tuple[Array, Array, Array],
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """A sum of x's tangent, x and a number a channel, each with a factor a channel.

    Its transpose is such a sum too, after two sums over the cotangent. What JAX derives takes four:
    neither it nor XLA knows that deviations from the mean add up to nothing, and that a channel's
    factor can be drawn out of a sum.
    """
    (x, scale, bias), (d_x, d_scale, d_bias) = primals, tangents
    outputs, mean, var = normalise(x, scale, bias, epsilon, axis_name)
    centred = x - mean
    inverse = lax.rsqrt(var + epsilon)
    factor = inverse * scale
    d_mean = _mean(d_x, axis_name)
    d_var = 2 * _mean(d_x * centred, axis_name)
    of_centred = d_scale * inverse - d_var * factor * jnp.square(inverse) / 2
    # Not d_x * factor: a factor used here and in the outputs XLA:CPU writes out for every pixel.
    d_outputs = (d_x * inverse) * scale + centred * of_centred + (d_bias - d_mean * factor)
    return (outputs, mean, var), (d_outputs, d_mean, d_var)


def _mean(x: Array, axis_name: str | None) -> Array:
    """Of each channel."""
    mean = x.mean(tuple(range(x.ndim - 1)))
    return mean if axis_name is None else lax.pmean(mean, axis_name)
