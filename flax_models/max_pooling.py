"""The maxima of images' windows, [batch, height, width, channels], meaning what torch's do.

On CPU they are taken pixel by pixel: XLA:CPU computes such a maximum in one pass with all that
comes before it, as a bias or a norm; its own reduction over windows is a pass apart.
"""

import functools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from flax_models.apart import computed_once
from flax_models.pooling import pair

MANY_PIXELS = 16
"""Of a window. XLA reduces larger ones, rather than a program going through their pixels."""


class _Windows(NamedTuple):
    size: tuple[int, int]
    stride: tuple[int, int]
    padding: int
    rectified: bool


def max_pool(
    images: Float[Array, "batch height width channels"],
    window: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int = 0,
) -> Float[Array, "batch pooled_height pooled_width channels"]:
    """torch's max_pool2d: the stride is the window unless given; a part of a window is left out.

    The gradient goes to the first maximum of a window, row by row, as torch's does. It is written
    here, four to ten times faster on CPU than XLA's select-and-scatter (docs/performance.md).
    """
    return _max_pool(images, _Windows(pair(window), pair(stride or window), padding, False))


def rectified_max_pool(
    images: Float[Array, "batch height width channels"],
    window: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int = 0,
) -> Float[Array, "batch pooled_height pooled_width channels"]:
    """The maximum of each window where it is above zero, else zero.

    Equal to the pooling of rectified images and to the rectification of pooled ones, with their
    gradient; rectified images are neither written nor kept.
    """
    return _max_pool(images, _Windows(pair(window), pair(stride or window), padding, True))


def _max_pool(images: Array, windows: _Windows) -> Array:
    if math.prod(windows.size) > MANY_PIXELS:
        return _by_windows(images, windows)
    if windows.size == windows.stride and windows.padding == 0:
        return _max_pool_apart(images, windows)
    return lax.platform_dependent(
        images,
        cpu=functools.partial(_max_pool_overlapping, windows=windows),
        default=functools.partial(_by_windows, windows=windows),
    )


def _by_windows(images: Array, windows: _Windows) -> Array:
    """XLA's reduction."""
    sides = (windows.padding, windows.padding)
    maxima = nn.max_pool(images, windows.size, windows.stride, (sides, sides))
    return nn.relu(maxima) if windows.rectified else maxima


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _max_pool_overlapping(images: Array, windows: _Windows) -> Array:
    return _maxima(_pixels(images, windows, -jnp.inf), windows)


@_max_pool_overlapping.defjvp
def _max_pool_overlapping_jvp(
    windows: _Windows, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    """The tangent of each window's first maximum, as a sum over pixels, which transposes well."""
    (images,), (tangent,) = primals, tangents
    maxima, places = _first_maxima(_pixels(images, windows, -jnp.inf), windows, images)
    chosen = [
        jnp.where(places == place, pixel, 0)
        for place, pixel in enumerate(_pixels(tangent, windows, 0))
    ]
    return maxima, functools.reduce(jnp.add, chosen)


def _pixels(images: Array, windows: _Windows, around: float) -> list[Array]:
    """The first pixel of each window, the second, and so on, row by row."""
    (tall, wide), sides = windows.size, (windows.padding, windows.padding)
    padded = jnp.pad(images, ((0, 0), sides, sides, (0, 0)), constant_values=around)

    def of_each_window(images: Array, axis: int, index: int) -> Array:
        size, stride = windows.size[axis - 1], windows.stride[axis - 1]
        last = images.shape[axis] - size + index
        return lax.slice_in_dim(images, index, last + 1, stride, axis)

    rows = [of_each_window(padded, 1, row) for row in range(tall)]
    return [of_each_window(row, 2, column) for row in rows for column in range(wide)]


def _maxima(pixels: list[Array], windows: _Windows) -> Array:
    maxima = functools.reduce(jnp.maximum, pixels)
    return nn.relu(maxima) if windows.rectified else maxima


def _first_maxima(pixels: list[Array], windows: _Windows, images: Array) -> tuple[Array, Array]:
    """Maxima, and where in its window the first one stands, counted row by row; -1 is nowhere."""
    maxima, *others = pixels
    places = jnp.zeros(maxima.shape, jnp.int8)
    for place, pixel in enumerate(others, start=1):
        places = jnp.where(pixel > maxima, jnp.int8(place), places)
        maxima = jnp.maximum(maxima, pixel)
    if windows.rectified:
        places = jnp.where(maxima > 0, places, jnp.int8(-1))
        maxima = nn.relu(maxima)
    # XLA:CPU would find them again, from all that the images come from: the places for each pixel's
    # gradient, the maxima for the gradient of the next kernel.
    return computed_once(maxima, images), computed_once(places, images)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool_apart(images: Array, windows: _Windows) -> Array:
    """Of windows that neither overlap nor leave gaps, whose gradient is a choice, not a sum."""

    def on_cpu(images: Array) -> Array:
        return _maxima(_pixels_apart(images, windows), windows)

    by_windows = functools.partial(_by_windows, windows=windows)
    return lax.platform_dependent(images, cpu=on_cpu, default=by_windows)


def _pixels_apart(images: Array, windows: _Windows) -> list[Array]:
    """`_pixels`, by laying the windows out in axes of their own."""
    (tall, wide), (batch, height, width, channels) = windows.size, images.shape
    rows, columns = height // tall, width // wide
    laid_out = images[:, : rows * tall, : columns * wide]
    laid_out = laid_out.reshape(batch, rows, tall, columns, wide, channels)
    return [laid_out[:, :, row, :, column] for row in range(tall) for column in range(wide)]


def _max_pool_forward(
    images: Array, windows: _Windows
) -> tuple[Array, tuple[Array, tuple[int, ...]]]:
    maxima, places = _first_maxima(_pixels_apart(images, windows), windows, images)
    return maxima, (places, images.shape)


def _max_pool_backward(
    windows: _Windows, residuals: tuple[Array, tuple[int, ...]], gradient: Array
) -> tuple[Array]:
    (tall, wide), (places, shape) = windows.size, residuals
    row, column = (lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (1, 2))
    place_of_pixel = row % tall * wide + column % wide
    is_maximum = _spread(places, windows, shape, -1) == place_of_pixel
    return (jnp.where(is_maximum, _spread(gradient, windows, shape, 0), 0),)


def _spread(pooled: Array, windows: _Windows, shape: tuple[int, ...], left_out: int) -> Array:
    """What each window has, at all of its pixels; ``left_out`` at those of no window."""
    (tall, wide), (batch, rows, columns, channels) = windows.size, pooled.shape
    spread = jnp.broadcast_to(
        pooled[:, :, None, :, None, :], (batch, rows, tall, columns, wide, channels)
    )
    spread = spread.reshape(batch, rows * tall, columns * wide, channels)
    below, beside = shape[1] - rows * tall, shape[2] - columns * wide
    return jnp.pad(spread, ((0, 0), (0, below), (0, beside), (0, 0)), constant_values=left_out)


_max_pool_apart.defvjp(_max_pool_forward, _max_pool_backward)
