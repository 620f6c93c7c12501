"""Padding and pooling of images [batch, height, width, channels], meaning what torch's do."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flax_models.checks import check_choice

# torch's names of the course's padding modes, and jnp.pad's.
PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


def at_least_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """bfloat16 and float16 as float32; float64, which parity is proven in, stays."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """The same number for height and width unless two are given."""
    return (value, value) if isinstance(value, int) else value


def pad_images(
    images: Float[Array, "batch height width channels"], amount: int, mode: str = "zeros"
) -> Float[Array, "batch padded_height padded_width channels"]:
    """Add `amount` rows and columns on every side: zeros, a reflection, or the edge replicated."""
    check_choice("padding_mode", mode, tuple(PADDING_MODES))
    if amount == 0:
        return images
    if mode == "reflect" and min(images.shape[1:3]) <= amount:
        raise ValueError(
            f"images: expected height and width above {amount} to reflect {amount} pixels, "
            f"got {tuple(images.shape)}"
        )
    sides = (amount, amount)
    return jnp.pad(images, ((0, 0), sides, sides, (0, 0)), mode=PADDING_MODES[mode])


def max_pool(
    images: Float[Array, "batch height width channels"],
    window: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int = 0,
) -> Float[Array, "batch pooled_height pooled_width channels"]:
    """torch's max_pool2d: the stride is the window unless given; a part of a window is left out.

    The gradient goes to the first maximum of a window, row by row, as torch's does. For windows
    that do not overlap it is written here, ten times faster on CPU than XLA's select-and-scatter.
    """
    window, stride = pair(window), pair(stride or window)
    if window == stride and padding == 0:
        return _max_pool_apart(images, window)
    sides = (padding, padding)
    return nn.max_pool(images, window, stride, (sides, sides))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool_apart(images: Array, window: tuple[int, int]) -> Array:
    return nn.max_pool(images, window, window)


def _max_pool_forward(
    images: Array, window: tuple[int, int]
) -> tuple[Array, tuple[Array, tuple[int, ...]]]:
    """Maxima, and where in its window the first one stands, counted row by row.

    Without the barriers XLA may compute the images anew for the comparison, with another rounding,
    and then no pixel equals its maximum.
    """
    images = jax.lax.optimization_barrier(images)
    maximum = jax.lax.optimization_barrier(nn.max_pool(images, window, window))
    batch, rows, columns, channels = maximum.shape
    tall, wide = window
    windows = images[:, : rows * tall, : columns * wide]
    windows = windows.reshape(batch, rows, tall, columns, wide, channels)
    place = jnp.full(maximum.shape, tall * wide - 1, jnp.int8)
    for index in reversed(range(tall * wide - 1)):
        pixel = windows[:, :, index // wide, :, index % wide]
        place = jnp.where(pixel == maximum, index, place).astype(jnp.int8)
    return maximum, (place, images.shape)


def _max_pool_backward(
    window: tuple[int, int], residuals: tuple[Array, tuple[int, ...]], gradient: Array
) -> tuple[Array]:
    place, (batch, height, width, channels) = residuals
    (tall, wide), (rows, columns) = window, place.shape[1:3]
    places = jnp.arange(tall * wide, dtype=jnp.int8).reshape(tall, 1, wide, 1)
    is_maximum = place[:, :, None, :, None, :] == places
    scattered = jnp.where(is_maximum, gradient[:, :, None, :, None, :], 0)
    scattered = scattered.reshape(batch, rows * tall, columns * wide, channels)
    left_out = ((0, 0), (0, height - rows * tall), (0, width - columns * wide), (0, 0))
    return (jnp.pad(scattered, left_out),)


_max_pool_apart.defvjp(_max_pool_forward, _max_pool_backward)


def avg_pool(
    images: Float[Array, "batch height width channels"],
    window: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int = 0,
) -> Float[Array, "batch pooled_height pooled_width channels"]:
    """torch's avg_pool2d: as `max_pool`; padded zeros count in the average."""
    sides = (padding, padding)
    return nn.avg_pool(images, pair(window), pair(stride or window), (sides, sides))


def adaptive_avg_pool(
    images: Float[Array, "batch height width channels"], size: tuple[int, int]
) -> Float[Array, "batch pooled_height pooled_width channels"]:
    """torch's adaptive_avg_pool2d: averages over bins, which overlap if sizes do not divide."""
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    rows = jnp.asarray(_bin_weights(images.shape[1], size[0]), images.dtype)
    columns = jnp.asarray(_bin_weights(images.shape[2], size[1]), images.dtype)
    return jnp.einsum("bhwc,ih,jw->bijc", images, rows, columns, precision="highest")


def _bin_weights(size: int, bins: int) -> np.ndarray:
    """[bins, size] averaging weights; bin i covers floor(i size/bins) to ceil((i+1) size/bins)."""
    weights = np.zeros((bins, size), np.float32)
    for index in range(bins):
        start, stop = index * size // bins, -((index + 1) * size // -bins)
        weights[index, start:stop] = 1 / (stop - start)
    return weights


def global_avg_pool(
    images: Float[Array, "batch height width channels"],
) -> Float[Array, "batch channels"]:
    """The mean over height and width, taken in float32 or better."""
    return at_least_float32(images).mean((1, 2)).astype(images.dtype)
