"""The same networks as they would be in plain Flax: XLA's own operations, no compiler option."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from flax_models import cnn, crnn, layers, resnet, unet, vgg, vit
from flax_models.pooling import pair


def _max_pool(images: Array, window: int | tuple[int, int], stride=None, padding: int = 0) -> Array:
    sides = (padding, padding)
    return nn.max_pool(images, pair(window), pair(stride or window), (sides, sides))


def _rectified_max_pool(
    images: Array, window: int | tuple[int, int], stride=None, padding: int = 0
) -> Array:
    return _max_pool(nn.relu(images), window, stride, padding)


# Written out: the library's own has derivatives of its own.
def _convolve(images: Array, kernel: Array, stride: tuple[int, int], padding: int) -> Array:
    return lax.conv_general_dilated(
        images,
        kernel,
        stride,
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _convolve_transposed(images: Array, kernel: Array, stride: int, padding: int) -> Array:
    side = kernel.shape[0] - 1 - padding
    return lax.conv_transpose(
        images,
        kernel,
        (stride, stride),
        ((side, side), (side, side)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        transpose_kernel=True,
    )


def _normalise(
    x: Array, scale: Array, bias: Array, epsilon: float, axis_name: str | None
) -> tuple[Array, Array, Array]:
    """As nn.BatchNorm computes it by default, on one device."""
    axes = tuple(range(x.ndim - 1))
    mean, mean_of_squares = x.mean(axes), lax.square(x).mean(axes)
    var = jnp.maximum(mean_of_squares - lax.square(mean), 0)
    return (x - mean) * (lax.rsqrt(var + epsilon) * scale) + bias, mean, var


@contextlib.contextmanager
def plain_flax() -> Iterator[None]:
    """What is traced in here has none of this library's levers for networks with images."""
    plain = [
        (layers, "convolve", _convolve),
        (layers, "convolve_transposed", _convolve_transposed),
        (layers, "normalise", _normalise),
        (vit, "gradient_once", lambda x: x),
        *((module, "max_pool", _max_pool) for module in (crnn, unet)),
        *(
            (module, "rectified_max_pool", _rectified_max_pool)
            for module in (cnn, crnn, resnet, vgg)
        ),
    ]
    with contextlib.ExitStack() as patches:
        for module, name, own in plain:
            patches.enter_context(mock.patch.object(module, name, own))
        yield
