"""Padding and pooling of images [batch, height, width, channels], meaning what torch's do."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flax_models.apart import computed_once
from flax_models.checks import check_choice

# torch's names of the course's padding modes, and jnp.pad's.
PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}

MANY_PIXELS = 16
"""Of a window. XLA reduces larger ones, rather than a program going through their pixels."""


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
    if window == stride and padding == 0 and math.prod(window) <= MANY_PIXELS:
        return _max_pool_apart(images, window, False)
    sides = (padding, padding)
    return nn.max_pool(images, window, stride, (sides, sides))


def rectified_max_pool(
    images: Float[Array, "batch height width channels"], window: int | tuple[int, int]
) -> Float[Array, "batch pooled_height pooled_width channels"]:
    """The maximum of each window where it is above zero, else zero; the windows do not overlap.

    Equal to the pooling of rectified images and to the rectification of pooled ones, with their
    gradient; rectified images are neither written nor kept.
    """
    window = pair(window)
    if math.prod(window) <= MANY_PIXELS:
        return _max_pool_apart(images, window, True)
    return nn.relu(max_pool(images, window))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool_apart(images: Array, window: tuple[int, int], rectified: bool) -> Array:
    def pixel_by_pixel(images: Array) -> Array:
        return functools.reduce(jnp.maximum, _pixels(images, window))

    def by_windows(images: Array) -> Array:
        return nn.max_pool(images, window, window)

    maximum = jax.lax.platform_dependent(images, cpu=pixel_by_pixel, default=by_windows)
    return nn.relu(maximum) if rectified else maximum


def _pixels(images: Array, window: tuple[int, int]) -> list[Array]:
    """The first pixel of each window, the second, and so on, row by row.

    XLA:CPU takes their maximum in one pass with all that comes before it, as a bias; a reduction
    over windows is a pass of its own.
    """
    (tall, wide), (batch, height, width, channels) = window, images.shape
    rows, columns = height // tall, width // wide
    windows = images[:, : rows * tall, : columns * wide]
    windows = windows.reshape(batch, rows, tall, columns, wide, channels)
    return [windows[:, :, row, :, column] for row in range(tall) for column in range(wide)]


def _max_pool_forward(
    images: Array, window: tuple[int, int], rectified: bool
) -> tuple[Array, tuple[Array, tuple[int, ...]]]:
    """Maxima, and where in its window the first one stands, counted row by row; -1 is nowhere."""
    maximum, *others = _pixels(images, window)
    place = jnp.zeros(maximum.shape, jnp.int8)
    for index, pixel in enumerate(others, start=1):
        place = jnp.where(pixel > maximum, jnp.int8(index), place)
        maximum = jnp.maximum(maximum, pixel)
    if rectified:
        place = jnp.where(maximum > 0, place, jnp.int8(-1))
        maximum = nn.relu(maximum)
    # XLA:CPU would find them again, from all that the images come from: the places for each pixel's
    # gradient, the maxima for the gradient of the next kernel.
    kept = computed_once(place, images), images.shape
    return computed_once(maximum, images), kept


def _max_pool_backward(
    window: tuple[int, int],
    rectified: bool,
    residuals: tuple[Array, tuple[int, ...]],
    gradient: Array,
) -> tuple[Array]:
    del rectified  # no place is then the maximum's
    place, shape = residuals
    row, column = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (1, 2))
    place_of_pixel = row % window[0] * window[1] + column % window[1]
    is_maximum = _spread(place, window, shape, -1) == place_of_pixel
    return (jnp.where(is_maximum, _spread(gradient, window, shape, 0), 0),)


def _spread(pooled: Array, window: tuple[int, int], shape: tuple[int, ...], left_out: int) -> Array:
    """What each window has, at all of its pixels; ``left_out`` at those of no window."""
    (tall, wide), (batch, rows, columns, channels) = window, pooled.shape
    spread = jnp.broadcast_to(
        pooled[:, :, None, :, None, :], (batch, rows, tall, columns, wide, channels)
    )
    spread = spread.reshape(batch, rows * tall, columns * wide, channels)
    below, beside = shape[1] - rows * tall, shape[2] - columns * wide
    return jnp.pad(spread, ((0, 0), (0, below), (0, beside), (0, 0)), constant_values=left_out)


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
