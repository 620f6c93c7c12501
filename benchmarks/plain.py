"""The same networks as they would be in plain Flax: XLA's own operations, no compiler option."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from unittest import mock

import flax.linen as nn
from jax import lax
from jaxtyping import Array

from flax_models import cnn, crnn, layers, resnet, unet, vgg
from flax_models.convolution import convolve_directly
from flax_models.pooling import pair
from train.allocator import would_help


def _max_pool(images: Array, window: int | tuple[int, int], stride=None, padding: int = 0) -> Array:
    sides = (padding, padding)
    return nn.max_pool(images, pair(window), pair(stride or window), (sides, sides))


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


@contextlib.contextmanager
def plain_flax() -> Iterator[None]:
    """What is traced in here has none of this library's levers for convolutional networks."""
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(layers, "convolve", convolve_directly))
        patches.enter_context(
            mock.patch.object(layers, "convolve_transposed", _convolve_transposed)
        )
        for module in (cnn, crnn, resnet, unet, vgg):
            patches.enter_context(mock.patch.object(module, "max_pool", _max_pool))
        yield


_PR_SET_THP_DISABLE = 41
"""From Linux's prctl.h."""


def in_small_pages(call: Callable[[], object]) -> Callable[[], object]:
    """The same call, whose new memory has the pages of a process that does not ask for large ones.

    The benchmark restarts itself with large pages, which are one of this library's levers.
    """
    if not would_help():
        return call
    prctl = ctypes.CDLL(None).prctl

    def with_default_pages() -> object:
        prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
        try:
            return call()
        finally:
            prctl(_PR_SET_THP_DISABLE, 0, 0, 0, 0)

    return with_default_pages
