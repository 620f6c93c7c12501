"""Padding and pooling of images [batch, height, width, channels], meaning what torch's do."""

import flax.linen as nn
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
