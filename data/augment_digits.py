"""Augmentation of digits, inside jit."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt8


def random_shift(key: Array, images: UInt8[Array, "B H W C"], most: int) -> UInt8[Array, "B H W C"]:
    """Move each image by up to ``most`` pixels each way, with zeros where it leaves."""
    batch, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    offsets = jax.random.randint(key, (batch, 2), 0, 2 * most + 1)

    def crop(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (*offset, 0), (height, width, channels))

    return jax.vmap(crop)(padded, offsets)
